"""Arrays that grow along their last axis."""

from __future__ import annotations

from visus.methods.polytopes.model.arrays import Array, Arrays

SPARE = 1.5
"""Capacity over need when a store is moved: appending costs a constant per element on average."""


class Growing:
    """A vector, or a table whose columns are appended at amortized constant cost.

    `view` is what is filled; it is valid until the next `extend`, `append` or `widen`.
    """

    __slots__ = ("_arrays", "_kind", "_store", "size", "view")

    def __init__(self, arrays: Arrays, data: Array) -> None:
        self._arrays, self._store = arrays, data
        self._kind = str(data.dtype).removeprefix("torch.")
        self.size = data.shape[-1]
        self.view = data

    @property
    def flat(self) -> Array:
        """A table as a vector: entry (row, column) stands at row * `stride` + column."""
        return self._store.reshape(-1)

    @property
    def stride(self) -> int:
        """Distance of two rows in `flat`."""
        return self._store.shape[-1]

    @property
    def bytes(self) -> int:
        """Memory held, spare capacity included."""
        return self._store.nbytes

    def extend(self, count: int, first: int = 0) -> Array:
        """Room for `count` more columns, uninitialized, to be written by the caller.

        Rows of a table before `first` may be lost.
        """
        start, self.size = self.size, self.size + count
        if self.size > self._store.shape[-1]:
            shape = (*self._store.shape[:-1], int(self.size * SPARE) + 64)
            store = self._arrays.empty(shape, self._kind)
            here = (slice(first, None), slice(start)) if len(shape) == 2 else slice(start)
            store[here] = self._store[here]
            self._store = store
        self.view = self._store[..., : self.size]
        return self._store[..., start : self.size]

    def append(self, block: Array) -> None:
        """Copy the columns of `block` to the end."""
        self.extend(block.shape[-1])[...] = block

    def widen(self, rows: int) -> None:
        """Give a table at least this many rows; new ones are zero."""
        missing = rows - self._store.shape[0]
        if missing > 0:
            more = self._arrays.zeros((missing, self.size), self._kind)
            self._store = self.view = self._arrays.concat([self.view, more])
