"""Repeated trials: which belong together, what a model can reach at most, and how far a score would move.

Trials of the same three objects, in any order and by any people, hang together: they form one unordered
triplet, and intervals draw whole unordered triplets.

Unordered triplets with the same counts are interchangeable in a bootstrap: intervals draw how often each
distinct count occurs, which has the same distribution and takes milliseconds for millions of triplets.

Paper: 2211.01201 (noise ceiling of the repeated trials).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64

from visus.errors import InputError
from visus.metrics.arrays import to_array
from visus.metrics.triplet_choices import triplet_rows

_KEYED = 2_000_000  # its third power still fits into 63 bits
_CHUNK = 1 << 20


class Difference(NamedTuple):
    """Share of hits of the first model - of the second, with its bootstrap interval."""

    effect: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class NoiseCeiling:
    """What `noise_ceiling` found: the share of choices that the best possible fixed choices would match."""

    ceiling: float
    interval: tuple[float, float]
    standard_error: float
    triplets: int
    """Unordered triplets with enough repeated trials."""
    trials: int
    """Trials of those triplets."""
    repeats: tuple[int, int]
    """Fewest and most trials of a counted triplet."""


# ---- groups and resamples ---------------------------------------------------------------------------------


def unordered_triplets(triplets: Any) -> Int64[np.ndarray, " n"]:
    """Number 0, 1, ... of the set of three objects of each trial, whatever their order.

    `triplets` (n, 3) integers; a memory map is read in chunks.

    >>> unordered_triplets([[4, 1, 2], [0, 1, 2], [2, 4, 1]]).tolist()
    [1, 0, 1]
    """
    rows = triplet_rows(triplets)
    keys = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _CHUNK):
        part = to_array(rows[start : start + _CHUNK]).T.astype(np.int64)
        low, high = part.min(axis=0), part.max(axis=0)
        if low.min() < 0 or high.max() >= _KEYED:
            raise InputError(f"object numbers must lie within 0..{_KEYED - 1}", field="triplets")
        middle = part.sum(axis=0) - low - high
        keys[start : start + _CHUNK] = (low * _KEYED + middle) * _KEYED + high
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def grouped(groups: Any, size: int) -> Int64[np.ndarray, " n"]:
    """Labels of `size` trials as numbers 0, 1, ... without gaps; a group for each trial where None."""
    labels = np.arange(size) if groups is None else to_array(groups)
    if labels.shape != (size,):
        raise InputError(
            f"has shape {labels.shape} for {size} trials", field="groups", remedy="one label per trial"
        )
    if not size:
        raise InputError("there are no trials to score", field="triplets", remedy="give at least one")
    if labels.dtype.kind in "iu" and labels.min() == 0 and labels.max() < size and np.bincount(labels).all():
        return labels.astype(np.int64, copy=False)
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def group_sums(groups: Int[np.ndarray, " n"], values: np.ndarray) -> Int64[np.ndarray, " g"]:
    """Sum of whole numbers per group."""
    return np.rint(np.bincount(groups, weights=values)).astype(np.int64)


class Resamples:
    """Sums over groups, and over groups drawn with replacement, of functions of whole numbers per group.

    `counts`: arrays (g,) of whole numbers.
    """

    def __init__(self, counts: list[np.ndarray], resamples: int, seed: int) -> None:
        if resamples < 1:
            raise InputError("must be at least 1", field="resamples")
        lowest = [int(column.min()) for column in counts]
        sizes = tuple(int(column.max()) - low + 1 for column, low in zip(counts, lowest))
        keys = np.ravel_multi_index([column - low for column, low in zip(counts, lowest)], sizes)
        cells, times = np.unique(keys, return_counts=True)
        self.counts = [column + low for column, low in zip(np.unravel_index(cells, sizes), lowest)]
        """The distinct combinations, one array per count."""
        self.observed = times[None].astype(np.float64)
        total = int(times.sum())
        self.drawn = np.random.default_rng(seed).multinomial(total, times / total, size=resamples)

    def ratio(self, above: np.ndarray, below: np.ndarray) -> tuple[float, Float[np.ndarray, " r"]]:
        """Sum of `above` over sum of `below`, both given per distinct combination: as observed, and drawn."""
        with np.errstate(invalid="ignore", divide="ignore"):
            observed, drawn = ((times @ above) / (times @ below) for times in (self.observed, self.drawn))
        return float(observed[0]), drawn


def percentile_interval(values: Float[np.ndarray, " r"], level: float) -> tuple[float, float]:
    """The middle `level` of the values that are finite; nan if none is."""
    if not 0 < level < 1:
        raise InputError("must lie between 0 and 1", field="level")
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def accuracy_interval(
    hits: Any, groups: Any = None, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the share of hits (n,), drawing whole groups (unordered triplets).

    What `visus.metrics.bootstrap_interval` gives for the mean with these groups, from other draws.

    >>> low, high = accuracy_interval([True, False] * 50)
    >>> round(low, 2), round(high, 2)
    (0.4, 0.6)
    """
    right = _booleans(hits, "hits")
    labels = grouped(groups, len(right))
    drawn = Resamples([group_sums(labels, right), np.bincount(labels)], resamples, seed)
    return percentile_interval(drawn.ratio(*drawn.counts)[1], level)


def paired_difference(
    hits_a: Any,
    hits_b: Any,
    groups: Any = None,
    seed: int = 0,
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> Difference:
    """Accuracy of model a - of model b on the same trials, drawing whole groups (unordered triplets).

    >>> paired_difference([True, True, False, True], [True, False, False, True]).effect
    0.25
    """
    first, second = _booleans(hits_a, "hits_a"), _booleans(hits_b, "hits_b")
    if len(first) != len(second):
        raise InputError(f"has {len(second)} trials, hits_a {len(first)}", field="hits_b")
    labels = grouped(groups, len(first))
    more = group_sums(labels, first.astype(np.int8) - second.astype(np.int8))
    drawn = Resamples([more, np.bincount(labels)], resamples, seed)
    effect, values = drawn.ratio(*drawn.counts)
    return Difference(effect, percentile_interval(values, level))


def _booleans(values: Any, name: str) -> np.ndarray:
    given = to_array(values)
    if given.ndim != 1 or (given.dtype != bool and not np.isin(given, (0, 1)).all()):
        raise InputError("must be one boolean per trial", field=name)
    return given.astype(bool)


# ---- ceiling ----------------------------------------------------------------------------------------------


def noise_ceiling(
    triplets: Any,
    groups: Any = None,
    *,
    least_repeats: int = 2,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> NoiseCeiling:
    """Mean over unordered triplets of the share of their trials that agree with the majority.

    Parameters
    ----------
    triplets : (n, 3) trials, the last column what the person chose as odd.
    groups : label of the unordered triplet of each trial; None finds them by `unordered_triplets`.
    least_repeats : triplets with fewer trials are left out: a single trial always agrees with itself.
    resamples, seed, level : of the bootstrap over unordered triplets.

    No fixed choice per triplet can match more of the same trials, if all triplets were repeated equally often.
    With few repeats the majority fits its own trials, and the ceiling is too high.

    Raises
    ------
    InputError : no triplet was repeated.

    >>> noise_ceiling([[0, 1, 2], [1, 0, 2], [2, 1, 0], [3, 4, 5], [3, 4, 5]]).ceiling
    0.8333333333333333
    """
    rows = triplet_rows(triplets)
    labels = unordered_triplets(rows) if groups is None else grouped(groups, len(rows))
    trials, majority = majority_counts(labels, to_array(rows[:, 2]))
    repeated = trials >= max(least_repeats, 1)
    if not repeated.any():
        raise InputError(
            f"none of {len(trials)} triplets has {least_repeats} trials",
            field="triplets",
            remedy="a noise ceiling needs triplets that several people judged",
        )
    counts = [trials[repeated], majority[repeated]]
    drawn = Resamples(counts, resamples, seed)
    shares = drawn.counts[1] / drawn.counts[0]
    ceiling, values = drawn.ratio(shares, np.ones_like(shares))
    return NoiseCeiling(
        ceiling=ceiling,
        interval=percentile_interval(values, level),
        standard_error=float(values.std()),
        triplets=int(repeated.sum()),
        trials=int(counts[0].sum()),
        repeats=(int(counts[0].min()), int(counts[0].max())),
    )


def majority_counts(
    groups: Int[np.ndarray, " n"], odd: Int[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " g"], Int64[np.ndarray, " g"]]:
    """Trials of each group, and how many of them name its most frequent odd one."""
    if not len(groups):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    odd = odd - odd.min()
    span = int(odd.max()) + 1
    pairs, times = np.unique(groups * span + odd, return_counts=True)
    most = np.zeros(int(groups.max()) + 1, np.int64)
    np.maximum.at(most, pairs // span, times)
    return np.bincount(groups), most
