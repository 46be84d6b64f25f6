"""Arrays and tensors, checked once for all metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from visus.errors import InputError


def to_array(values: Any) -> np.ndarray:
    """A tensor (any device, any type), an array or a list as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16
        values = (
            values.float() if values.is_floating_point() and values.element_size() == 2 else values
        ).numpy()
    return np.asarray(values)


def items(target: Any, other: Any, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, of equal and positive length."""
    target, other = to_array(target), to_array(other)
    if target.ndim != 1:
        raise InputError(f"has shape {target.shape}", field="target", remedy="give one value per item")
    if not len(target):
        raise InputError("there are no items to score", field="target", remedy="give at least one")
    if other.ndim < 1 or len(other) != len(target):
        raise InputError(
            f"has shape {other.shape} for {len(target)} targets", field=name, remedy="one per target"
        )
    for field, values in (("target", target), (name, other)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            item = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
            raise InputError(f"item {item} is not a finite number", field=field)
    return target, other


def weights(weight: Any, n: int) -> np.ndarray:
    """Weights (n,) or (r, n), not negative; ones when None."""
    if weight is None:
        return np.ones(n)
    checked = to_array(weight).astype(np.float64)
    if checked.ndim not in (1, 2) or checked.shape[-1] != n:
        raise InputError(f"has shape {checked.shape} for {n} items", field="weight", remedy="(n,) or (r, n)")
    if not np.isfinite(checked).all() or (checked < 0).any() or (checked.sum(axis=-1) <= 0).any():
        raise InputError("must be finite, not negative, and not all zero", field="weight")
    return checked


def result(values: np.ndarray | float) -> Any:
    """A float for one set of weights, an array for several."""
    values = np.asarray(values, dtype=np.float64)
    return float(values) if values.ndim == 0 else values


def mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean over items; `values` (n,), `weight` (n,) or (r, n)."""
    return np.asarray((weight @ values.astype(np.float64)) / weight.sum(axis=-1))


def mean_of_defined(values: Any, *, weight: Any = None) -> Any:
    """Mean of per-item values (n,), those that are nan left out; nan if no other has weight.

    >>> mean_of_defined([1.0, float("nan"), 3.0])
    2.0
    """
    given = to_array(values).astype(np.float64)
    if given.ndim != 1 or not given.size:
        raise InputError(f"has shape {given.shape}", field="values", remedy="give one number per item")
    defined = ~np.isnan(given)
    weight = weights(weight, len(given)) * defined
    share = np.asarray(weight.sum(axis=-1))
    total = np.asarray(weight @ np.where(defined, given, 0.0))
    return result(np.divide(total, share, out=np.full_like(share, np.nan), where=share > 0))
