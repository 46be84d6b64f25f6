"""Baselines behind the same ask and tell."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from gptnas_samples import FIXED, VARIED, Favor, play, worth

from visus.errors import InputError
from visus.methods.gptnas.baselines import (
    ARMS,
    PriorSampling,
    RandomSearch,
    RegularizedEvolution,
    TreeParzen,
    make_search,
)
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.genetic import mutate
from visus.methods.gptnas.search.priors import UniformPrior
from visus.methods.gptnas.search.search import Search
from visus.methods.gptnas.search.space import pick, stream

SETTINGS = SearchSettings(budget=60, population=8)


def test_random_search_draws_evenly():
    asked = play(RandomSearch(FIXED, SearchSettings(budget=3000, population=10), 0))
    counts = Counter(symbol for individual in asked for symbol in individual)
    assert max(abs(counts[s] - 3600) for s in range(5)) < 4 * np.sqrt(18_000 * 0.2 * 0.8)
    draws, want = stream(0, "random"), []
    while len(want) < 3000:
        individual = FIXED.random(draws)
        want += [individual] if individual not in want[-1:] else []
    assert list(dict.fromkeys(want))[:100] == asked[:100]


def test_sampling_follows_the_prior():
    class Levels(Favor):
        def distribution(self, prefix):
            return np.array([0.6, 0.1, 0.1, 0.1, 0.1])

    search = PriorSampling(FIXED, SETTINGS, 0, Levels(FIXED))
    firsts = Counter(search._grown()[0] for _ in range(4000))
    assert abs(firsts[0] / 4000 - 0.6) < 4 * np.sqrt(0.24 / 4000)
    asked = play(PriorSampling(VARIED, SETTINGS, 0, Favor(VARIED)))
    assert len({len(individual) for individual in asked}) > 2
    with pytest.raises(InputError, match="prior"):
        PriorSampling(FIXED, SETTINGS)


def evolution(space, chosen, seed, sample):
    """Algorithm 1 of Real et al. as one plain loop, duplicates answered from memory."""
    draws, memory, order = stream(seed, "evolution"), {}, []

    def evaluated(individual):
        if individual not in memory:
            memory[individual] = worth(individual)
            order.append(individual)
        return individual, memory[individual]

    drawn = [space.random(draws) for _ in range(chosen.population)]
    population = [evaluated(individual) for individual in drawn]
    while len(memory) < chosen.budget:
        left, best = list(population), None
        for _ in range(min(sample, len(left))):
            rival = left.pop(pick(len(left), draws))
            best = rival if best is None or rival[1] > best[1] else best
        population = [*population[1:], evaluated(mutate(best[0], space, draws))]
    return order


@pytest.mark.parametrize("space", [FIXED, VARIED])
def test_regularized_evolution_is_its_loop(space):
    for seed in range(5):
        assert play(RegularizedEvolution(space, SETTINGS, seed, sample=3)) == evolution(
            space, SETTINGS, seed, 3
        )


def test_the_oldest_dies_not_the_worst():
    search = RegularizedEvolution(FIXED, SETTINGS, 0)
    for individual in search.ask():
        search.tell(individual, worth(individual))
    search.ask()
    members = list(search.members)
    (child,) = search._out
    search.tell(child, -100.0)
    search.ask()
    assert list(search.members) == [*members[1:], (child, -100.0)]


def test_tree_parzen_finds_good_individuals_and_is_deterministic():
    pytest.importorskip("optuna")
    chosen = SearchSettings(budget=40, population=8)
    runs = [play(TreeParzen(VARIED, chosen, seed), lambda i: float(-sum(i))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 40
    drawn = play(RandomSearch(VARIED, chosen, 0))
    assert np.mean([sum(i) for i in runs[0][20:]]) < np.mean([sum(i) for i in drawn])


def test_arms_are_what_they_say():
    known = {name: Favor(FIXED, information=n) for n, name in enumerate(("gpt", "null", "anti", "keep70"))}
    for name, arm in ARMS.items():
        if name == "tpe":
            continue
        search = make_search(name, FIXED, SETTINGS, 0, known)
        assert type(search) is arm.kind
        if arm.prior == "uniform":
            assert search.prior == UniformPrior(FIXED)
        else:
            assert search.prior is (known[arm.prior] if arm.prior else None)
    assert make_search("gpt_init", FIXED, SETTINGS, 0, known).settings.init == "prior"
    assert make_search("gpt@0.2", FIXED, SETTINGS, 0, known).settings.rate == 0.2
    assert type(make_search("ga", FIXED, SETTINGS, 0, {})) is Search


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("annealing", "unknown"),
        ("gpt", "needs the prior 'gpt'"),
        ("ga@fast", "names no rate"),
        ("ga@7", "rate"),
    ],
)
def test_arms_that_cannot_be_made(arm, message):
    with pytest.raises(InputError, match=message):
        make_search(arm, FIXED, SETTINGS, 0, {})
