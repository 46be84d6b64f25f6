"""What holds without any data: the schedule, the budget, and what the layer model can see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch

from visus.methods.gptnas.model.gpt import LayerGPT
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.priors import TabulatedPrior
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import Individual, Space
from visus.protocols import Scores, Trial

CELLS = Space("cells", ("a", "b", "c", "d", "e"), least=6, most=6)
CHAINS = Space("chains", ("a", "b", "c"), least=2, most=5)
BUDGETS = (1, 13, 57)
WINDOW = 10
STATED = {
    "rate_at_start": 0.4,
    "rate_midway": 0.2,
    "rate_at_end": 0.0,
    "places_differing": 0.0,
    "overspent": 0.0,
    "leak_from_later": 0.0,
    "leak_from_beyond": 0.0,
}


def measure_exact(trial: Trial, run: Any) -> Scores:
    """`stated`: the paper's numbers, or that nothing leaks; `built`: what this implementation does."""
    if trial.arm == "stated":
        return dict(STATED)
    seed = trial.seed
    with run.seeded("layer model"):
        found = leaks(LayerGPT(20, width=32, window=WINDOW))
    return {
        **rates(seed),
        "places_differing": float(places_differing(seed)),
        "overspent": float(overspent(seed)),
        **found,
    }


def worth(individual: Individual) -> float:
    """A made-up fitness in which symbols depend on each other; many individuals are equal."""
    return float(
        sum(
            (symbol * 7 + place * 3) % 5 * (1 + individual[place - 1])
            for place, symbol in enumerate(individual)
        )
    )


def opinionated(space: Space, seed: int) -> TabulatedPrior:
    """A prior that is far from uniform and depends on the whole prefix."""
    rng, base = np.random.default_rng(seed), len(space.symbols)
    levels = [rng.dirichlet(np.full(base, 0.3), base**n) for n in range(space.most)]
    return TabulatedPrior(space, tuple(levels), 0.5)


def evaluated(search: Search) -> list[Individual]:
    """Every individual a search asks for, in order, until it stops."""
    order: list[Individual] = []
    while asked := search.ask():
        for individual in asked:
            order.append(individual)
            search.tell(individual, worth(individual))
    return order


def rates(seed: int) -> dict[str, float]:
    """The elimination rate before the first, after half and after all of the evaluations."""
    search = Search(CELLS, SearchSettings(budget=40, population=8), seed, opinionated(CELLS, seed))
    found = [search.rate]
    while asked := search.ask(1):
        search.tell(asked[0], worth(asked[0]))
        found.append(search.rate)
    return {"rate_at_start": found[0], "rate_midway": found[20], "rate_at_end": found[40]}


def places_differing(seed: int) -> int:
    """At how many places the sequence of a search that eliminates nothing differs from the plain search's."""
    settings = SearchSettings(budget=80, population=10, rate=0.0)
    off = evaluated(Search(CELLS, settings, seed, opinionated(CELLS, seed)))
    plain = evaluated(Search(CELLS, settings, seed))
    return sum(a != b for a, b in zip(off, plain)) + abs(len(off) - len(plain))


def overspent(seed: int) -> int:
    """Evaluations beyond the budget, and evaluations of something evaluated before, over several searches."""
    total = 0
    for budget in BUDGETS:
        for space, prior in ((CELLS, opinionated(CELLS, seed)), (CHAINS, None)):
            order = evaluated(Search(space, SearchSettings(budget=budget, population=10), seed, prior))
            counts = Counter(order)
            total += max(0, len(order) - budget) + sum(count - 1 for count in counts.values())
    return total


@torch.inference_mode()
def leaks(model: LayerGPT) -> dict[str, float]:
    """Largest change of a score when a later token, or one that has left the window, is exchanged."""
    model.eval()
    tokens = torch.arange(4 * 26).reshape(4, 26) * 7 % model.size
    before = model(tokens)
    later, beyond = [0.0], [0.0]
    for place in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % model.size
        difference = (model(changed) - before).abs().amax(dim=(0, 2)).tolist()
        later += difference[:place]
        beyond += difference[place + model.window :]
    return {"leak_from_later": max(later), "leak_from_beyond": max(beyond)}
