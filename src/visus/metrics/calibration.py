"""Whether predicted probabilities can be taken at their word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from visus.errors import InputError
from visus.metrics.arrays import items, to_array


@dataclass(frozen=True)
class Reliability:
    """Items sorted into bins by confidence; nan in empty bins."""

    edges: Float[np.ndarray, " bins+1"]
    count: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    """Mean probability of the predicted class."""
    accuracy: Float[np.ndarray, " bins"]
    """Share of right predictions."""


def reliability(target: Any, probabilities: Any, *, bins: int = 15) -> Reliability:
    """Confidence against accuracy in `bins` bins of equal width, (0, 1/bins], (1/bins, 2/bins], ...

    `target` (n,) class numbers; `probabilities` (n, k), or (n,) for class 1 of two. Confidence is the
    probability of the most probable class (the first of equals), which is the prediction.
    """
    if bins < 1:
        raise InputError("must be at least 1", field="bins")
    target, rows = _probabilities(target, probabilities)
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == target
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    sums = (
        np.bincount(where, weights=values, minlength=bins) for values in (confidence, right.astype(float))
    )
    means = [np.divide(total, count, out=np.full(bins, np.nan), where=count > 0) for total in sums]
    return Reliability(edges, count, *means)


def expected_calibration_error(target: Any, probabilities: Any, *, bins: int = 15) -> float:
    """Mean over items of |accuracy - confidence| of their bin (ECE).

    Method: Guo et al., ICML 2017, eq. 3 (arXiv 1706.04599).

    >>> expected_calibration_error([0, 1], [[0.8, 0.2], [0.2, 0.8]])
    0.19999999999999996
    """
    table = reliability(target, probabilities, bins=bins)
    filled = table.count > 0
    gaps = np.abs(table.accuracy - table.confidence)[filled]
    return float((table.count[filled] * gaps).sum() / table.count.sum())


def fit_temperature(logits: Any, target: Any) -> float:
    """The temperature T > 0 that minimizes the negative log likelihood of softmax(logits / T).

    Method: Guo et al., ICML 2017, sec. 4.2. Fit it on validation items, not on those that are to be judged. T
    is sought within 0.01..100: logits that are always right have no finite best T and give 0.01, worthless
    ones 100. T is 1 where no other T is better (equal logits).

    `logits` (n, k) finite, `target` (n,) class numbers.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    target, rows = items(target, logits, name="logits")
    rows = rows.astype(np.float64)
    _check_classes(target, rows, name="logits")
    own = rows[np.arange(len(target)), target.astype(np.int64)]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(scale * rows, axis=1) - scale * own))

    # Convex in 1 / T, hence with one minimum in log T as well.
    bounds = (np.log(0.01), np.log(100.0))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    best = min([*bounds, found.x], key=loss)
    return float(np.exp(best)) if loss(best) < loss(0.0) - 1e-12 else 1.0


def entropy(probabilities: Any, *, axis: int = -1) -> Any:
    """Shannon entropy in nats along `axis`, 0 log 0 = 0; a float for one distribution.

    Rows must not be negative and must sum to 1 (within 1e-3).

    >>> entropy([[1.0, 0.0], [0.5, 0.5]]).tolist()
    [0.0, 0.6931471805599453]
    """
    from scipy.special import entr

    values = to_array(probabilities).astype(np.float64)
    if not values.size:
        raise InputError("there is nothing to measure", field="probabilities")
    _check_distribution(values, axis)
    found = entr(values).sum(axis=axis)
    return float(found) if found.ndim == 0 else found


def _probabilities(target: Any, probabilities: Any) -> tuple[np.ndarray, np.ndarray]:
    target, rows = items(target, probabilities, name="probabilities")
    rows = rows.astype(np.float64)
    if rows.ndim == 1:
        rows = np.stack([1 - rows, rows], axis=1)
    _check_classes(target, rows, name="probabilities")
    _check_distribution(rows, axis=1)
    return target, rows


def _check_classes(target: np.ndarray, rows: np.ndarray, *, name: str) -> None:
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise InputError(f"has shape {rows.shape}", field=name, remedy="give (n, k) with k >= 2")
    if target.dtype.kind not in "iub" or target.min() < 0 or target.max() >= rows.shape[1]:
        raise InputError(f"must hold class numbers 0..{rows.shape[1] - 1}", field="target")


def _check_distribution(values: np.ndarray, axis: int) -> None:
    if not np.isfinite(values).all() or (values < 0).any() or np.abs(values.sum(axis=axis) - 1).max() > 1e-3:
        raise InputError(
            "must not be negative and must sum to 1",
            field="probabilities",
            remedy="apply softmax to logits first",
        )
