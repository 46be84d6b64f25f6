"""Sources that sit in memory, views of them, and the order in which items are read.

The order of an epoch is a pure function of (seed, epoch), so a run that was interrupted finds its place from
three integers and every process of a parallel run knows all shares without talking to the others.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from visus.errors import InputError
from visus.protocols import Batch, Source

SALT = 0x7669737573
"""Keeps the order independent of data that a caller drew from a generator with the same seed."""

Indices = Sequence[int] | np.ndarray | Tensor


@functools.lru_cache(maxsize=8)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    # Raw bits keep their meaning between NumPy versions; `Generator.permutation` makes no such promise.
    bits = np.random.PCG64(np.random.SeedSequence([SALT, seed, epoch])).random_raw(n)
    order = np.argsort(bits, kind="stable")
    order.flags.writeable = False
    return order


def sample_order(n: int, *, seed: int, epoch: int, shuffle: bool = True) -> Int64[Tensor, " n"]:
    """The order in which the `n` items are read in an epoch: a pure function of its arguments.

    Raises
    ------
    InputError : `n` is zero, or `seed` or `epoch` is negative.

    >>> sample_order(5, seed=0, epoch=1).equal(sample_order(5, seed=0, epoch=1))
    True
    """
    if n < 1:
        raise InputError("has no items", field="source", remedy="give at least one item")
    if seed < 0 or epoch < 0:
        raise InputError(f"must not be negative, got seed {seed} and epoch {epoch}", field="seed, epoch")
    if not shuffle:
        return torch.arange(n)
    return torch.from_numpy(_permutation(n, seed, epoch).copy())


def steps_in_epoch(n: int, *, batch_size: int, drop_last: bool = False) -> int:
    """Number of batches in one pass over `n` items.

    Raises
    ------
    InputError : `batch_size` is below one, or dropping the incomplete batch leaves nothing.
    """
    if batch_size < 1:
        raise InputError(f"must be at least 1, got {batch_size}", field="batch_size")
    steps = n // batch_size if drop_last else -(-n // batch_size)
    if steps == 0:
        raise InputError(
            f"no complete batch of {batch_size} in {n} items",
            field="batch_size",
            remedy="use a smaller batch size, more data, or keep the incomplete batch",
        )
    return steps


def step_indices(
    n: int,
    *,
    seed: int,
    epoch: int,
    step: int,
    batch_size: int,
    drop_last: bool = False,
    shuffle: bool = True,
) -> Int64[Tensor, " b"]:
    """The items of batch `step` of an epoch; the steps of an epoch partition it (less the dropped rest)."""
    steps = steps_in_epoch(n, batch_size=batch_size, drop_last=drop_last)
    if not 0 <= step < steps:
        raise IndexError(f"step {step} is outside the epoch's {steps} steps")
    order = sample_order(n, seed=seed, epoch=epoch, shuffle=shuffle)
    return order[step * batch_size : (step + 1) * batch_size]


def share(indices: Int64[Tensor, " b"], rank: int, world: int) -> Int64[Tensor, " s"]:
    """The contiguous part of a batch that process `rank` of `world` works on.

    Parts differ in length by at most one (a part is empty when there are fewer items than processes) and,
    concatenated by rank, give the batch back in its order.

    >>> [share(torch.arange(5), rank, 2).tolist() for rank in range(2)]
    [[0, 1, 2], [3, 4]]
    """
    if not 0 <= rank < world:
        raise IndexError(f"rank {rank} is outside 0..{world - 1}")
    return torch.tensor_split(indices, world)[rank]


def as_indices(indices: Indices, n: int) -> Int64[Tensor, " b"]:
    """Indices in any form as a tensor, checked against 0..n-1; an `IndexError` names the first outside."""
    if isinstance(indices, Tensor):
        index = indices.detach().to(device="cpu", dtype=torch.long).flatten()
    else:
        index = torch.as_tensor(np.asarray(indices, dtype=np.int64).reshape(-1))
    outside = index[(index < 0) | (index >= n)]
    if len(outside):
        raise IndexError(f"item {int(outside[0])} is outside 0..{n - 1}")
    return index


class Tensors:
    """A source in memory: fields of equal length.

    Parameters
    ----------
    fields : name -> tensor or array (first axis = items) or list; arrays become tensors that share memory,
        arrays of strings or objects become lists.

    Raises
    ------
    InputError : no field, no item, or fields of different lengths.

    >>> source = Tensors({"x": torch.arange(6).reshape(3, 2), "name": ["a", "b", "c"]})
    >>> source.batch([2, 0])["name"]
    ['c', 'a']
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = {name: _field(value) for name, value in fields.items()}
        lengths = {name: len(value) for name, value in self.fields.items()}
        if not lengths:
            raise InputError("has no fields", field="source", remedy="give at least one named field")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"fields differ in length: {told}", field="source")
        self._length = next(iter(lengths.values()))
        if self._length == 0:
            raise InputError("has no items", field="source", remedy="give at least one item")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> Any:
        """A whole field."""
        return self.fields[name]

    def batch(self, indices: Indices) -> Batch:
        index = as_indices(indices, self._length)
        return {name: _pick(value, index) for name, value in self.fields.items()}

    def subset(self, indices: Indices) -> Tensors:
        """The named items as a source of their own (a copy)."""
        return Tensors(self.batch(indices))

    def fingerprint(self) -> str:
        """Hash of names and contents."""
        digest = hashlib.sha256()
        for name in sorted(self.fields):
            value = self.fields[name]
            if isinstance(value, Tensor):
                digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
                digest.update(
                    value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
                )
            else:
                digest.update(f"{name}:{value!r}".encode())
        return digest.hexdigest()


def _field(value: Any) -> Tensor | list:
    if isinstance(value, Tensor):
        if value.ndim == 0:
            raise InputError("a field needs an axis of items, got a single number", field="source")
        return value
    if not isinstance(value, np.ndarray):
        array = value.to_numpy() if hasattr(value, "to_numpy") else None
    else:
        array = value
    if array is not None and array.dtype.kind in "biufc":
        return torch.from_numpy(np.array(array)) if not array.flags.writeable else torch.from_numpy(array)
    return array.tolist() if array is not None else list(value)


def _pick(value: Tensor | list, index: Tensor) -> Tensor | list:
    if isinstance(value, Tensor):
        return value[index.to(value.device)]
    return [value[i] for i in index.tolist()]


class Subset:
    """Some items of a source, in a given order; nothing is copied."""

    def __init__(self, source: Source, indices: Indices) -> None:
        self.source, self.indices = source, as_indices(indices, len(source))
        if len(self.indices) == 0:
            raise InputError("has no items", field="subset", remedy="choose at least one item")

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Indices) -> Batch:
        return self.source.batch(self.indices[as_indices(indices, len(self))].tolist())

    def fingerprint(self) -> str:
        """Hash of the source's fingerprint and the choice."""
        return hashlib.sha256((fingerprint(self.source) + str(self.indices.tolist())).encode()).hexdigest()


class Mapped:
    """A source whose batches pass through a pure function (same items, same order)."""

    def __init__(self, source: Source, function: Callable[[Batch], Batch]) -> None:
        self.source, self.function = source, function

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Indices) -> Batch:
        return self.function(self.source.batch(as_indices(indices, len(self)).tolist()))

    def fingerprint(self) -> str:
        """Hash of the source's fingerprint and the function's name."""
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return hashlib.sha256((fingerprint(self.source) + name).encode()).hexdigest()


def fingerprint(source: Source) -> str:
    """The source's own fingerprint, or a hash of its first and last items and its length."""
    own = getattr(source, "fingerprint", None)
    if own is not None:
        return own()
    ends = source.batch(sorted({0, len(source) - 1}))
    return hashlib.sha256(f"{len(source)}:{Tensors(ends).fingerprint()}".encode()).hexdigest()


def iterate(source: Source, batch_size: int) -> Iterator[Batch]:
    """All items in order, in batches: the way to evaluate and to predict."""
    if len(source) == 0:
        raise InputError("has no items", field="source", remedy="give at least one item")
    for step in range(steps_in_epoch(len(source), batch_size=batch_size)):
        yield source.batch(range(step * batch_size, min(len(source), (step + 1) * batch_size)))


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Several batches with the same fields as one."""
    if not batches:
        raise InputError("has no items", field="batches")
    joined: Batch = {}
    for name, first in batches[0].items():
        parts = [batch[name] for batch in batches]
        joined[name] = (
            torch.cat(parts) if isinstance(first, Tensor) else [item for part in parts for item in part]
        )
    return joined


def collate(items: Sequence[Mapping[str, Any]]) -> Batch:
    """Single items as one batch: tensors and arrays are stacked, numbers become tensors, the rest lists.

    Python floats become float32, integers int64. A missing value (None) keeps its field a list.

    Raises
    ------
    InputError : no items, items with different fields, or tensors of different shapes in one field.
    """
    if not items:
        raise InputError("has no items", field="items")
    batch: Batch = {}
    for name in items[0]:
        if any(name not in item for item in items) or any(len(item) != len(items[0]) for item in items):
            raise InputError("items have different fields", field=name)
        batch[name] = _stack(name, [item[name] for item in items])
    return batch


def _stack(name: str, values: list[Any]) -> Tensor | list:
    if all(isinstance(value, Tensor | np.ndarray) for value in values):
        tensors = [torch.as_tensor(value) for value in values]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise InputError(
                f"shapes differ within a batch: {sorted(shapes)}", field=name, remedy="resize the items"
            )
        return torch.stack(tensors)
    if all(isinstance(value, bool | np.bool_) for value in values):
        return torch.tensor([bool(value) for value in values])
    if all(isinstance(value, int | np.integer) for value in values):
        return torch.tensor([int(value) for value in values])
    if all(isinstance(value, int | float | np.number) for value in values):
        return torch.tensor([float(value) for value in values])
    return values
