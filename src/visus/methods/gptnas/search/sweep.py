"""Many searches on a table: every arm with every seed, and the priors they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from visus.errors import InputError
from visus.methods.gptnas.baselines import ARMS, make_search
from visus.methods.gptnas.search.asktell import SearchSettings
from visus.methods.gptnas.search.priors import Prior, TabulatedPrior, information
from visus.methods.gptnas.search.space import Space, stream

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable

KEPT: Mapping[str, tuple[float, bool]] = {
    "gpt": (0.1, True),
    "keep70": (0.7, True),
    "null": (1.0, True),
    "anti": (0.1, False),
}
"""Name of a prior -> which share of a table's architectures it is trained on, and whether the best or the worst.
The paper keeps about 70 % of its corpus."""
SWEEP_SETTINGS = SearchSettings(budget=100, population=10)


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """The best found so far after every evaluation.

    fitness, score : arm -> (seeds, evaluations): fitness of the best individual so far, and its score, which
        the search never sees [%].
    information : prior -> nats per symbol.
    """

    fitness: dict[str, Float64[np.ndarray, "seeds evaluations"]]
    score: dict[str, Float64[np.ndarray, "seeds evaluations"]]
    information: dict[str, float]

    def at(self, arm: str, evaluations: int) -> Float64[np.ndarray, " seeds"]:
        """Score of the chosen individual after so many evaluations, per seed."""
        return self.score[arm][:, evaluations - 1]

    def mean(self, arm: str, evaluations: int) -> tuple[float, float]:
        """Mean score over the seeds with its standard error."""
        values = self.at(arm, evaluations)
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        return float(values.mean()), float(error)

    def difference(self, arm: str, other: str, evaluations: int) -> tuple[float, float]:
        """Mean of arm - other over seeds, and how many standard errors that is (z).

        Seeds are paired: with the same seed all genetic arms begin with the same individuals.
        """
        gap = self.at(arm, evaluations) - self.at(other, evaluations)
        error = gap.std(ddof=1) / np.sqrt(len(gap))
        return float(gap.mean()), float(gap.mean() / error) if error > 0 else 0.0


def sweep(
    table: ArchitectureTable,
    arms: Sequence[str],
    *,
    seeds: Sequence[int],
    settings: SearchSettings = SWEEP_SETTINGS,
    priors: Mapping[str, Prior] | None = None,
    workers: int = 1,
) -> Curves:
    """Search a table with every arm and every seed.

    An evaluation is a look at the table; arms are compared after equal numbers of different evaluations.

    Parameters
    ----------
    arms : names in `baselines.ARMS`; with `@0.2` an elimination rate of their own.
    settings : of all arms; `budget` is the length of the curves.
    priors : those the arms need, as `train_priors` gives them.
    workers : processes; the result does not depend on it.

    Raises
    ------
    InputError : an unknown arm, or one whose prior is not given.
    """
    import joblib

    known = dict(priors or {})
    space = Space.of_table(table)
    for arm in arms:
        make_search(arm, space, settings, 0, known)
    parts = [list(part) for part in np.array_split(np.asarray(seeds, dtype=np.int64), max(workers, 1))]
    parts = [[int(seed) for seed in part] for part in parts if len(part)]
    jobs = [(arm, part) for arm in arms for part in parts]
    done: Any = joblib.Parallel(n_jobs=workers)(
        joblib.delayed(_searches)(table, arm, part, settings, known) for arm, part in jobs
    )
    rows: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    for (arm, _), found in zip(jobs, done, strict=True):
        rows[arm].append(found)
    found = {arm: np.concatenate(parts) for arm, parts in rows.items()}
    return Curves(
        fitness={arm: table.fitness[chosen] for arm, chosen in found.items()},
        score={arm: table.score[chosen] for arm, chosen in found.items()},
        information={name: prior.information for name, prior in known.items()},
    )


def train_priors(
    table: ArchitectureTable,
    names: Sequence[str] = tuple(KEPT),
    *,
    seed: int = 0,
    steps: int = 400,
    workers: int = 1,
) -> dict[str, TabulatedPrior]:
    """The priors of `KEPT`, each a small model of some share of a table's architectures by fitness."""
    for name in names:
        if name not in KEPT:
            raise InputError(f"{name!r} is unknown", field="names", remedy=f"choose from {', '.join(KEPT)}")
    corpora = {name: selected(table, KEPT[name][0], best=KEPT[name][1]) for name in names}
    return train_small_priors(corpora, Space.of_table(table), seed=seed, steps=steps, workers=workers)


def train_small_priors(
    corpora: Mapping[str, np.ndarray], space: Space, *, seed: int = 0, steps: int = 400, workers: int = 1
) -> dict[str, TabulatedPrior]:
    """`train_small_prior` on each of some corpora, side by side; the result does not depend on `workers`."""
    import joblib

    made: Any = joblib.Parallel(n_jobs=workers)(
        joblib.delayed(train_small_prior)(cells, space, seed=seed, steps=steps) for cells in corpora.values()
    )
    return dict(zip(corpora, made, strict=True))


def selected(table: ArchitectureTable, share: float, *, best: bool = True) -> np.ndarray:
    """The architectures (count, length) of the best (or worst) share of a table by fitness; at least two, one to
    learn from and one to measure on."""
    if not 0.0 < share <= 1.0:
        raise InputError(f"is {share}", field="share", remedy="choose more than 0, at most 1")
    order = np.argsort(-table.fitness if best else table.fitness, kind="stable")
    return table.architectures()[order[: max(2, round(share * len(order)))]]


def prior_names(arms: Sequence[str]) -> list[str]:
    """The trained priors some arms need."""
    needed = [ARMS[arm.partition("@")[0]].prior for arm in arms]
    return sorted({name for name in needed if name is not None and name in KEPT})


def train_small_prior(
    sequences: np.ndarray,
    space: Space,
    *,
    seed: int = 0,
    steps: int = 400,
    width: int = 32,
    learning_rate: float = 3e-3,
    batch: int = 64,
    held_out: float = 0.1,
) -> TabulatedPrior:
    """A GPT (4 layers, 4 heads) of short sequences, tabulated: seconds on a CPU, deterministic by seed.

    Adam with a linear decay to zero on all sequences but the share `held_out`, on which its information is
    measured.

    Parameters
    ----------
    sequences : (count, length) indices of symbols.
    """
    import torch

    from visus.engine.seeds import derive_seed, seeded
    from visus.methods.gptnas.model.gpt import LayerGPT, next_token_loss

    if len(sequences) < 2:
        raise InputError(f"holds {len(sequences)} architectures", field="sequences", remedy="give 2 or more")
    order = stream(seed, "held out").permutation(len(sequences))
    beginning = np.full((len(sequences), 1), len(space.symbols))
    tokens = torch.from_numpy(np.concatenate([beginning, sequences], axis=1)[order].astype(np.int64))
    aside = max(1, round(held_out * len(tokens)))
    train, test = tokens[aside:], tokens[:aside]
    with seeded(derive_seed(seed, "gpt")):
        gpt = LayerGPT(len(space.symbols) + 1, width=width, window=space.most)
    optimizer = torch.optim.Adam(gpt.parameters(), lr=learning_rate, fused=True)
    fall = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
    draws = stream(seed, "batches")
    with _one_thread():
        for _ in range(steps):
            chosen = train[torch.from_numpy(draws.integers(len(train), size=batch))]
            optimizer.zero_grad()
            next_token_loss(gpt(chosen[:, :-1]), chosen).backward()
            optimizer.step()
            fall.step()
        known = information(gpt, test.tolist(), symbols=len(space.symbols), padding=len(space.symbols))
        return TabulatedPrior.of_gpt(gpt, space, information=known)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The sums of a matrix product depend on the number of threads; inside, it is the same everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _searches(
    table: ArchitectureTable, arm: str, seeds: Sequence[int], settings: SearchSettings, priors: Any
) -> np.ndarray:
    """Per seed and evaluation the row of the best architecture so far."""
    space, fitness = Space.of_table(table), table.fitness.tolist()
    base = len(table.symbols)
    rows = np.empty((len(seeds), settings.budget), dtype=np.int64)
    for place, seed in enumerate(seeds):
        search = make_search(arm, space, settings, seed, priors)
        asked: list[int] = []
        while batch := search.ask():
            for individual in batch:
                row = 0
                for symbol in individual:
                    row = row * base + symbol
                search.tell(individual, fitness[row])
                asked.append(row)
        values = table.fitness[asked]
        best = np.maximum.accumulate(values)
        first = np.maximum.accumulate(
            np.where(values > np.append(-np.inf, best[:-1]), np.arange(len(asked)), 0)
        )
        rows[place, : len(asked)] = np.asarray(asked)[first]
        rows[place, len(asked) :] = rows[place, len(asked) - 1]
    return rows
