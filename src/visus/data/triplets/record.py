"""Odd-one-out judgments as a record: which two of three objects were alike, and which was the odd one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor

from visus.errors import InputError

Objects: TypeAlias = "Any"
"""Some of the objects: a boolean mask over all of them, or their numbers (array, tensor or sequence)."""

CHUNK = 2**20
"""Rows looked at in one go, so that a memory-mapped file is never held as a whole."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Triplets:
    """Judgments of "which of these three is the odd one".

    Parameters
    ----------
    rows : (n, 3) object numbers from 0, columns (a, b, odd): a and b were judged most alike. May be
        memory-mapped.
    objects : how many objects there are; every number is below it.
    names : one name per object, in the order of the numbers.
    participants : who judged each row, (n,), numbers or text.
    file : where they were read.

    Raises
    ------
    InputError : not (n, 3) integers, fewer than 3 objects, a number out of range, an object twice in a row,
        or names or participants of another length. `row` in a message counts from 0.

    >>> Triplets(rows=np.array([[4, 0, 2], [1, 3, 0]]), objects=5).subset([1]).rows.tolist()
    [[1, 3, 0]]
    """

    rows: Int64[np.ndarray, "n 3"]
    objects: int
    names: tuple[str, ...] | None = None
    participants: Shaped[np.ndarray, " n"] | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", as_rows(self.rows, file=self.file))
        if self.objects < 3:
            raise InputError(f"are {self.objects}", file=self.file, field="objects", remedy="give 3 or more")
        check_rows(self.rows, self.objects, file=self.file)
        if self.names is not None:
            object.__setattr__(self, "names", tuple(str(name) for name in self.names))
            if len(self.names) != self.objects:
                problem = f"{len(self.names)} names for {self.objects} objects"
                raise InputError(problem, file=self.file, field="names", remedy="give one name per object")
        if self.participants is not None:
            people = np.asarray(self.participants)
            if people.shape != (len(self.rows),):
                problem = f"shape {people.shape} for {len(self.rows)} triplets"
                raise InputError(problem, file=self.file, field="participants", remedy="give one per row")
            object.__setattr__(self, "participants", people)

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, which: Any) -> Triplets:
        """Some rows, by number or by a boolean mask over all rows."""
        chosen = plain_array(which)
        if chosen.dtype == bool and chosen.shape != (len(self),):
            raise InputError(f"a mask of shape {chosen.shape} for {len(self)} triplets", field="which")
        chosen = chosen if chosen.dtype == bool else chosen.astype(np.int64)
        people = None if self.participants is None else self.participants[chosen]
        return dataclasses.replace(self, rows=np.array(self.rows[chosen]), participants=people)

    def groups(self) -> Int64[np.ndarray, " n"]:
        """A number from 0 per row that is the same for all rows about the same three objects."""
        low = np.sort(self.rows, axis=1)
        if self.objects**3 >= 2**63:
            _, group = np.unique(low, axis=0, return_inverse=True)
            return group.reshape(-1).astype(np.int64)
        key = (low[:, 0] * self.objects + low[:, 1]) * self.objects + low[:, 2]
        return np.unique(key, return_inverse=True)[1].reshape(-1).astype(np.int64)

    def repeated(self, least: int = 2) -> Triplets:
        """The rows about three objects that were judged at least `least` times, whatever the answer."""
        group = self.groups()
        return self.subset(np.bincount(group, minlength=1)[group] >= least)

    def partition(self, objects: Objects) -> tuple[Triplets, Triplets]:
        """Rows with all three objects among `objects`, and rows with none of them; mixed rows are in neither."""
        from visus.data.triplets.partition import object_mask, within

        mask = object_mask(objects, self.objects)
        return self.subset(within(self, mask)), self.subset(within(self, ~mask))


def as_rows(rows: Any, *, file: Path | None = None) -> Int64[np.ndarray, "n 3"]:
    """Anything with shape (n, 3) and integer values as int64; not copied where it is that already."""
    values = plain_array(rows)
    if values.ndim != 2 or values.shape[1] != 3:
        problem = f"shape {values.shape}, expected (n, 3)"
        raise InputError(problem, file=file, field="triplets", remedy="give columns (a, b, odd)")
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.floor(values))
        if not whole.all():
            row = int(np.flatnonzero(~whole.all(axis=1))[0])
            raise InputError("is not a whole number", file=file, field=f"triplets, row {row}")
    elif values.dtype.kind not in "iu":
        problem = f"holds {values.dtype} values, not numbers of objects"
        raise InputError(problem, file=file, field="triplets", remedy="give integers")
    return values.astype(np.int64, copy=False)


def check_rows(rows: Int64[np.ndarray, "n 3"], objects: int, *, file: Path | None = None) -> None:
    """Raise an `InputError` naming the first row with a number out of range or an object twice."""
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        if part.min() < 0 or part.max() >= objects:
            row = int(np.flatnonzero(((part < 0) | (part >= objects)).any(axis=1))[0])
            wrong = next(int(value) for value in part[row] if not 0 <= value < objects)
            problem = f"object {wrong} is outside 0..{objects - 1}"
            remedy = "are these numbers counted from 1?" if wrong == objects else "check the object numbers"
            raise InputError(problem, file=file, field=f"triplets, row {start + row}", remedy=remedy)
        twice = doubled(part)
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            problem = f"{part[row].tolist()} names an object twice"
            raise InputError(
                problem, file=file, field=f"triplets, row {start + row}", remedy="drop such triplets"
            )


def doubled(rows: Int64[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Rows in which an object appears twice."""
    a, b, odd = rows[:, 0], rows[:, 1], rows[:, 2]
    return (a == b) | (a == odd) | (b == odd)


def plain_array(values: Any) -> np.ndarray:
    """A tensor, sequence or array as an array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
