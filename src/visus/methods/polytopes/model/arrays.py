"""The array operations of the cutter, on NumPy for the CPU and on torch for other devices.

A hyperplane hits few faces: most arrays are short, and on those NumPy's calls cost a third of torch's. Arrays of
both kinds share indexing, arithmetic and comparison; `Host` and `Device` supply the rest. Host arrays share the
memory of the tensors they are made from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any
"""A NumPy array (`Host`) or a tensor (`Device`)."""

LONG = 4096
"""Gathers of more entries go through torch, which needs no 64-bit copy of the indices."""


class Host:
    """Arrays in the memory of the CPU."""

    def array(self, tensor: Tensor) -> Array:
        """The tensor as an array."""
        return tensor.detach().numpy()

    def tensor(self, array: Array) -> Tensor:
        """The array as a tensor."""
        return torch.from_numpy(np.ascontiguousarray(array))

    def zeros(self, shape: int | tuple[int, ...], kind: str) -> Array:
        return np.zeros(shape, kind)

    def empty(self, shape: int | tuple[int, ...], kind: str) -> Array:
        return np.empty(shape, kind)

    def arange(self, start: int, count: int) -> Array:
        """Consecutive int32."""
        return np.arange(start, start + count, dtype=np.int32)

    def cast(self, array: Array, kind: str) -> Array:
        return array.astype(kind)

    def contiguous(self, array: Array) -> Array:
        """The array, row after row in memory."""
        return np.ascontiguousarray(array)

    def take(self, array: Array, index: Array) -> Array:
        """array[index] of two vectors."""
        if index.size < LONG:
            return array.take(index)
        return torch.from_numpy(array).index_select(0, torch.from_numpy(index)).numpy()

    def positions(self, mask: Array) -> Array:
        """Indices of the true entries of a vector."""
        return mask.nonzero()[0]

    def concat(self, parts: list[Array], axis: int = 0) -> Array:
        return np.concatenate(parts, axis)

    def stack(self, parts: list[Array]) -> Array:
        return np.stack(parts)

    def tile(self, vector: Array, times: int) -> Array:
        """The vector, `times` times."""
        return np.concatenate([vector] * times)

    def where(self, mask: Array, yes: Array, no: Array) -> Array:
        return np.where(mask, yes, no)

    def count(self, array: Array, length: int) -> Array:
        """How often each of 0..length-1 occurs."""
        return np.bincount(array, minlength=length)

    def unique(self, array: Array) -> Array:
        return np.unique(array)

    def minimum(self, one: Array, two: Array) -> Array:
        return np.minimum(one, two)

    def maximum(self, one: Array, two: Array) -> Array:
        return np.maximum(one, two)

    def extremes(self, array: Array) -> tuple[Array, Array]:
        """Least and greatest along the last axis."""
        return array.min(-1), array.max(-1)

    def signs(self, values: Array, limit: float) -> Array:
        """1, 0, -1 (int8) for values above, within and below +-limit."""
        return (values > limit).view(np.int8) - (values < -limit).view(np.int8)


class Device:
    """Arrays in the memory of an accelerator (or torch's own on the CPU)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def array(self, tensor: Tensor) -> Array:
        """The tensor as an array."""
        return tensor.detach()

    def tensor(self, array: Array) -> Tensor:
        """The array as a tensor."""
        return array.contiguous()

    def zeros(self, shape: int | tuple[int, ...], kind: str) -> Array:
        return torch.zeros(shape, dtype=getattr(torch, kind), device=self.device)

    def empty(self, shape: int | tuple[int, ...], kind: str) -> Array:
        return torch.empty(shape, dtype=getattr(torch, kind), device=self.device)

    def arange(self, start: int, count: int) -> Array:
        """Consecutive int32."""
        return torch.arange(start, start + count, dtype=torch.int32, device=self.device)

    def cast(self, array: Array, kind: str) -> Array:
        return array.to(getattr(torch, kind))

    def contiguous(self, array: Array) -> Array:
        """The array, row after row in memory."""
        return array.contiguous()

    def take(self, array: Array, index: Array) -> Array:
        """array[index] of two vectors."""
        return array.index_select(0, index)

    def positions(self, mask: Array) -> Array:
        """Indices of the true entries of a vector."""
        return mask.nonzero()[:, 0]

    def concat(self, parts: list[Array], axis: int = 0) -> Array:
        return torch.cat(parts, axis)

    def stack(self, parts: list[Array]) -> Array:
        return torch.stack(parts)

    def tile(self, vector: Array, times: int) -> Array:
        """The vector, `times` times."""
        return vector.repeat(times)

    def where(self, mask: Array, yes: Array, no: Array) -> Array:
        return torch.where(mask, yes, no)

    def count(self, array: Array, length: int) -> Array:
        """How often each of 0..length-1 occurs."""
        return torch.bincount(array, minlength=length)

    def unique(self, array: Array) -> Array:
        return torch.unique(array)

    def minimum(self, one: Array, two: Array) -> Array:
        return torch.minimum(one, two)

    def maximum(self, one: Array, two: Array) -> Array:
        return torch.maximum(one, two)

    def extremes(self, array: Array) -> tuple[Array, Array]:
        """Least and greatest along the last axis."""
        return torch.aminmax(array, dim=-1)

    def signs(self, values: Array, limit: float) -> Array:
        """1, 0, -1 (int8) for values above, within and below +-limit."""
        return (values > limit).view(torch.int8) - (values < -limit).view(torch.int8)


Arrays = Host | Device


def arrays_for(device: torch.device) -> Arrays:
    """The operations for a device."""
    return Host() if device.type == "cpu" else Device(device)
