"""Whether one model is better than another on the same items.

Two lists of per-item values (n,), in the same order, arrays or tensors. Items of which one value is nan count
for neither side. With `groups` (one label per item, such as the patient) the items of a group are taken to
hang together: intervals draw groups, the t-test and the rank test see one mean difference per group, and the
permutation flips the signs of whole groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from visus.errors import InputError
from visus.metrics.arrays import items, to_array
from visus.metrics.intervals import bootstrap_interval

_EXACT = 20
"""Up to so many groups every choice of signs is tried: 2^20 sums."""
_CELLS = 4_000_000


@dataclass(frozen=True)
class PairedComparison:
    """What `compare_paired` found about first - second; p-values are two-sided."""

    items: int
    """Pairs of which both values are defined."""
    groups: int
    difference: float
    """Mean over the items of first - second."""
    interval: tuple[float, float]
    """Percentile bootstrap interval of the difference."""
    t: float
    t_p: float
    wilcoxon_p: float
    permutation_p: float
    effect: float
    """Cohen's d_z: mean over standard deviation of the groups' differences."""


@dataclass(frozen=True)
class AreaComparison:
    """What `delong` found about two areas under the ROC curve; the p-value is two-sided."""

    first: float
    second: float
    difference: float
    standard_error: float
    """Of the difference."""
    z: float
    p: float
    interval: tuple[float, float]
    """Normal interval of the difference."""


def compare_paired(
    first: Any,
    second: Any,
    *,
    groups: Any = None,
    n: int = 1000,
    flips: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedComparison:
    """Mean difference of two lists of values with its interval, three tests and the effect size.

    Parameters
    ----------
    first, second, groups : see the module.
    n, level, seed : of `bootstrap_interval`; `flips`, `seed` : of `sign_flip_test`.

    >>> found = compare_paired([0.9, 0.8, 0.7, 0.9], [0.8, 0.6, 0.6, 0.8])
    >>> round(found.difference, 3), found.permutation_p
    (0.125, 0.125)
    """
    differences, labels = _differences(first, second, groups)
    means = _group_sums(differences, labels) / np.bincount(labels)
    t, t_p, effect = _t_test(means)
    return PairedComparison(
        items=len(differences),
        groups=len(means),
        difference=float(differences.mean()),
        interval=bootstrap_interval(_mean, differences, groups=labels, n=n, seed=seed, level=level),
        t=t,
        t_p=t_p,
        wilcoxon_p=_wilcoxon(means),
        permutation_p=_sign_flips(_group_sums(differences, labels), flips, seed),
        effect=effect,
    )


def paired_t_test(first: Any, second: Any, *, groups: Any = None) -> tuple[float, float]:
    """Student's t of the differences and its two-sided p.

    Differences that are all equal give t = 0, p = 1 where they are zero, and an infinite t, p = 0 otherwise;
    one item, or one group, gives nan.
    """
    differences, labels = _differences(first, second, groups)
    return _t_test(_group_sums(differences, labels) / np.bincount(labels))[:2]


def cohens_dz(first: Any, second: Any, *, groups: Any = None) -> float:
    """Mean of the differences over their standard deviation (n - 1); nan for one item."""
    differences, labels = _differences(first, second, groups)
    return _t_test(_group_sums(differences, labels) / np.bincount(labels))[2]


def wilcoxon_test(first: Any, second: Any, *, groups: Any = None) -> float:
    """Two-sided p of Wilcoxon's signed rank test; zero differences are left out (1 where nothing is left).

    Exact for up to 50 differences that all differ in size, otherwise normal with the correction for ties.
    """
    differences, labels = _differences(first, second, groups)
    return _wilcoxon(_group_sums(differences, labels) / np.bincount(labels))


def sign_flip_test(
    first: Any, second: Any, *, groups: Any = None, flips: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p of the mean difference under random signs of the differences.

    It assumes only that the models could have been exchanged. Exact, over all 2^n choices of signs, for up to
    20 items or groups; otherwise (1 + hits) / (1 + flips) over `flips` draws from `seed`, never 0.

    Source: Fisher, The Design of Experiments, 1935; Phipson and Smyth, SAGMB 9(1), 2010 (the added one).

    >>> sign_flip_test([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    0.25
    """
    differences, labels = _differences(first, second, groups)
    return _sign_flips(_group_sums(differences, labels), flips, seed)


def delong(target: Any, first: Any, second: Any, *, level: float = 0.95) -> AreaComparison:
    """DeLong's test of two areas under the ROC curve of the same items.

    Parameters
    ----------
    target : (n,) booleans, or 0 and 1; items must be independent (for several pictures of a patient use
        `bootstrap_interval` with groups).
    first, second : (n,) scores of two models in any units.
    level : of the interval.

    Two models that order the items alike give a standard error of 0 and p = 1.

    Raises
    ------
    InputError : fewer than two positives or negatives: their spread cannot be known.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; the midranks of Sun and Xu, IEEE Signal
    Processing Letters 21, 2014.
    """
    from scipy.special import ndtr, ndtri

    if not 0 < level < 1:
        raise InputError("must lie between 0 and 1", field="level")
    areas, covariance = delong_covariance(target, np.stack([_scores(target, s) for s in (first, second)]))
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # Rounding leaves about 1e-17 where the models order the items alike.
    error = float(np.sqrt(variance)) if variance > 1e-15 else 0.0
    z = _over(difference if abs(difference) > 1e-12 else 0.0, error)
    reach = float(ndtri((1 + level) / 2)) * error
    return AreaComparison(
        first=float(areas[0]),
        second=float(areas[1]),
        difference=difference,
        standard_error=error,
        z=z,
        p=float(2 * ndtr(-abs(z))),
        interval=(difference - reach, difference + reach),
    )


def delong_covariance(target: Any, scores: Any) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m m"]]:
    """Areas under the ROC curve of m models (m, n) on the same items, and the covariance of the areas.

    The square root of a diagonal element is the standard error of that model's area. See `delong`.
    """
    rows = to_array(scores).astype(np.float64)
    if rows.ndim != 2:
        raise InputError(f"has shape {rows.shape}", field="scores", remedy="give (models, items)")
    positive = _positives(target, rows)
    plus, minus = rows[:, positive], rows[:, ~positive]
    m, n = plus.shape[1], minus.shape[1]
    if min(m, n) < 2:
        raise InputError(f"has {m} positives and {n} negatives", field="target", remedy="give two of each")
    # A score's midrank among all, less that among its own class, counts the other class below it.
    among_all = _midranks(np.concatenate([plus, minus], axis=1))
    below = (among_all[:, :m] - _midranks(plus)) / n
    above = 1 - (among_all[:, m:] - _midranks(minus)) / m
    return below.mean(axis=1), np.atleast_2d(np.cov(below)) / m + np.atleast_2d(np.cov(above)) / n


def holm(p_values: Any) -> Any:
    """Holm's correction for several comparisons: p-values of the same shape of container, at most 1.

    A dict keeps its names. nan stays nan and counts as no comparison. Rejecting where the corrected value is
    at most alpha keeps the chance of any false rejection at alpha, however the tests depend on each other.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    if isinstance(p_values, dict):
        return dict(zip(p_values, holm(list(p_values.values())), strict=True))
    given = to_array(p_values).astype(np.float64)
    if given.ndim != 1 or (given < 0).any() or (given > 1).any():
        raise InputError("must be a list of numbers within 0..1", field="p_values")
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    corrected = np.full_like(given, np.nan)
    steps = given[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return corrected.tolist() if isinstance(p_values, Sequence) else corrected


def _differences(first: Any, second: Any, groups: Any) -> tuple[np.ndarray, np.ndarray]:
    """Defined differences, and the number 0.. of the group of each."""
    values = {"first": to_array(first).astype(np.float64), "second": to_array(second).astype(np.float64)}
    size = len(values["first"]) if values["first"].ndim == 1 else -1
    for name, given in values.items():
        if given.ndim != 1 or len(given) != size or np.isinf(given).any():
            raise InputError(
                f"must be finite numbers (n,) with one per item, got shape {given.shape}", field=name
            )
    labels = np.arange(size) if groups is None else to_array(groups)
    if labels.shape != (size,):
        raise InputError(f"has shape {labels.shape} for {size} items", field="groups")
    differences = values["first"] - values["second"]
    defined = ~np.isnan(differences)
    if not defined.any():
        raise InputError("there are no items of which both values are defined", field="first")
    return differences[defined], np.unique(labels[defined], return_inverse=True)[1].reshape(-1)


def _group_sums(differences: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " g"]:
    return np.bincount(labels, weights=differences)


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (weight @ values) / weight.sum(axis=-1)


def _t_test(values: Float[np.ndarray, " g"]) -> tuple[float, float, float]:
    """t, its two-sided p, and Cohen's d_z."""
    from scipy.special import stdtr

    if len(values) < 2:
        return float("nan"), float("nan"), float("nan")
    effect = _over(float(values.mean()), float(values.std(ddof=1)) if np.ptp(values) else 0.0)
    t = effect * len(values) ** 0.5
    return t, float(2 * stdtr(len(values) - 1, -abs(t))), effect


def _over(value: float, spread: float) -> float:
    """value / spread, where 0 / 0 is 0 and anything else over 0 is infinite."""
    if spread:
        return value / spread
    return float(np.copysign(np.inf, value)) if value else 0.0


def _wilcoxon(values: Float[np.ndarray, " g"]) -> float:
    from scipy.stats import wilcoxon

    moved = values[values != 0]
    if not len(moved):
        return 1.0
    exact = len(moved) <= 50 and len(np.unique(np.abs(moved))) == len(moved)
    found: Any = wilcoxon(moved, method="exact" if exact else "approx")
    return float(found.pvalue)


def _sign_flips(sums: Float[np.ndarray, " g"], flips: int, seed: int) -> float:
    if flips < 1:
        raise InputError("must be at least 1", field="flips")
    moved = sums[sums != 0]  # a sign says nothing about zero
    if not len(moved):
        return 1.0
    # Sums of the same numbers in another order differ by rounding.
    seen = abs(float(moved.sum())) - 1e-12 * float(np.abs(moved).sum())
    if len(moved) <= _EXACT:
        reached = np.zeros(1)
        for size in moved[1:]:
            reached = np.concatenate([reached + size, reached - size])
        # The other half of the signs mirrors those in which the first is positive.
        return float(np.mean(np.abs(reached + moved[0]) >= seen))
    rng, hits, step = np.random.default_rng(seed), 0, max(1, _CELLS // len(moved))
    for start in range(0, flips, step):
        signs = rng.integers(0, 2, size=(min(step, flips - start), len(moved)), dtype=np.int8)
        hits += int((np.abs((2 * signs - 1) @ moved) >= seen).sum())
    return (1 + hits) / (1 + flips)


def _scores(target: Any, scores: Any) -> np.ndarray:
    return items(target, scores, name="scores")[1]


def _positives(target: Any, rows: np.ndarray) -> Bool[np.ndarray, " n"]:
    target, _ = items(target, rows.T, name="scores")
    if not np.isin(target, (0, 1)).all():
        raise InputError("holds values other than 0 and 1", field="target", remedy="compare class by class")
    return target.astype(bool)


def _midranks(rows: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """Ranks from 1 along the last axis, the mean rank for ties."""
    from scipy.stats import rankdata

    return rankdata(rows, axis=1)
