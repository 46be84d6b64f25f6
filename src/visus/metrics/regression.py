"""Errors of predicted numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from visus.errors import InputError
from visus.metrics.arrays import items, mean, result, weights


def mae(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Mean absolute error, in the target's units. Both (n,).

    >>> mae([1.0, 2.0], [2.0, 4.0])
    1.5
    """
    target, predicted = _numbers(target, predicted)
    return result(mean(np.abs(target - predicted), weights(weight, len(target))))


def mse(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Mean squared error, in the target's units squared. Both (n,).

    >>> mse([1.0, 2.0], [2.0, 4.0])
    2.5
    """
    target, predicted = _numbers(target, predicted)
    return result(mean((target - predicted) ** 2, weights(weight, len(target))))


def r2(target: Any, predicted: Any, *, weight: Any = None) -> Any:
    """Share of the target's variance that is explained: 1 - MSE / variance. Both (n,).

    nan when the targets do not vary (one item, or all equal). Differs: scikit-learn gives 0 or 1 then, a
    number that looks like a measurement.

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    target, predicted = _numbers(target, predicted)
    weight = weights(weight, len(target))
    if (target == target[0]).all():
        return result(np.full(weight.shape[:-1], np.nan))
    target, predicted = target - target.mean(), predicted - target.mean()
    variance = mean(target**2, weight) - mean(target, weight) ** 2
    error = mean((target - predicted) ** 2, weight)
    # A resample may hold one item only, many times over: its variance is zero up to rounding.
    varies = variance > 1e-12 * float((target**2).mean())
    return result(1 - np.divide(error, variance, out=np.full_like(error, np.nan), where=varies))


def _numbers(target: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    target, predicted = items(target, predicted, name="predicted")
    if predicted.ndim != 1:
        raise InputError(f"has shape {predicted.shape}", field="predicted", remedy="give one number per item")
    for name, values in (("target", target), ("predicted", predicted)):
        if values.dtype.kind not in "fiub":
            raise InputError(f"holds {values.dtype}, not numbers", field=name)
    return target.astype(np.float64), predicted.astype(np.float64)
