"""How far a score would move had other people been in the test set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.metrics.arrays import to_array

_CELLS = 4_000_000


def bootstrap_interval(
    metric: Callable[..., Any],
    *arrays: Any,
    groups: Any = None,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `metric(*arrays)`.

    Items are drawn with replacement; with `groups` (one label per item, such as the patient) whole groups are
    drawn with all their items. Metrics with a keyword `weight`, as all of `visus.metrics`, score the
    resamples at once from how often each item was drawn; others are called once per resample with the drawn
    items.

    Method: Efron, Ann. Statist. 7, 1979 (bootstrap); Field and Welsh, J. R. Stat. Soc. B 69, 2007 (clusters).

    Parameters
    ----------
    metric : function of the arrays, returning one number. Keyword arguments can be bound with
        `functools.partial`.
    arrays : arrays, tensors or lists of equal length; the first axis is the items.
    groups : labels of what is drawn together; None draws items.
    n : resamples.
    seed : of the draws; the same seed draws the same items for every metric, so differences can be compared.
    level : of the interval, 0.95 for the 2.5th to the 97.5th percentile.

    Resamples in which the metric is undefined (nan, as AUC of one class) are left out; (nan, nan) if all are.
    One item, or one group, gives an interval of width zero: it says nothing about other people.

    >>> from visus.metrics import accuracy
    >>> bootstrap_interval(accuracy, [0, 1] * 50, [0, 1] * 49 + [1, 0])
    (0.95, 1.0)
    """
    columns = [to_array(values) for values in arrays]
    if not columns or not len(columns[0]):
        raise InputError("there are no items to score", field="arrays", remedy="give at least one")
    size = len(columns[0])
    labels = np.arange(size) if groups is None else to_array(groups)
    for name, values in (
        *((f"array {i + 1}", column) for i, column in enumerate(columns)),
        ("groups", labels),
    ):
        if len(values) != size:
            raise InputError(f"has {len(values)} items, the first array {size}", field=name)
    if n < 1 or not 0 < level < 1:
        raise InputError(
            "must be at least 1" if n < 1 else "must lie between 0 and 1", field="n" if n < 1 else "level"
        )
    member = np.unique(labels, return_inverse=True)[1].reshape(-1)
    counts = np.random.default_rng(seed).multinomial(*_shares(member), size=n)
    values = _weighted(metric, columns, counts, member) if _takes_weight(metric) else None
    if values is None:
        values = _one_by_one(metric, columns, counts, member)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _shares(member: np.ndarray) -> tuple[int, Float[np.ndarray, " g"]]:
    count = int(member.max()) + 1
    return count, np.full(count, 1 / count)


def _takes_weight(metric: Callable[..., Any]) -> bool:
    try:
        return "weight" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        return False


def _weighted(
    metric: Callable[..., Any], columns: list[np.ndarray], counts: np.ndarray, member: np.ndarray
) -> Float[np.ndarray, " r"]:
    step = max(1, _CELLS // len(member))
    parts = [counts[start : start + step][:, member] for start in range(0, len(counts), step)]
    return np.concatenate([np.atleast_1d(metric(*columns, weight=part)) for part in parts])


def _one_by_one(
    metric: Callable[..., Any], columns: list[np.ndarray], counts: np.ndarray, member: np.ndarray
) -> Float[np.ndarray, " r"]:
    everyone = np.arange(len(member))
    drawn = (np.repeat(everyone, row[member]) for row in counts)
    return np.array([float(metric(*(column[index] for column in columns))) for index in drawn])
