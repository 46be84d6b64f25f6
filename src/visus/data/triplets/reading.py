"""Files of triplets -> `Triplets`, with the slips that such files invite found and named.

Public files differ in three ways that no header tells: numbers count from 0 or from 1, and the odd one is the last
column (THINGS), the first (cblearn), or told by a further column with its position 1, 2 or 3 (the raw trials).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64

from visus.data.triplets.raw import RawTriplets, read_raw
from visus.data.triplets.record import Triplets, doubled
from visus.errors import InputError

Base = Literal[0, 1, "auto"]
Odd = Literal["auto", "last", "first", "choice"]

ORDERS = {"first": (1, 2, 0), "middle": (0, 2, 1), "last": (0, 1, 2)}
"""Where the odd one stands -> the columns in the order (a, b, odd)."""
BY_CHOICE = np.array(list(ORDERS.values()))
TELL = "state base=0 or base=1; `diagnose` with an embedding of these objects finds out which fits"


def read_triplets(
    path: str | Path,
    *,
    objects: int | None = None,
    base: Base = "auto",
    odd: Odd = "auto",
    names: Sequence[str] | None = None,
) -> Triplets:
    """Read THINGS' `.npy` and `.txt`, its raw trials (`.csv`, `.tsv`, with or without a header), or cblearn's layout.

    Parameters
    ----------
    objects : how many objects there are; by default as many as `names`, else the largest number used.
    base : what the first object is called. `auto`: 0 where 0 is used, 1 where 0 is not used and the largest
        number equals `objects`; anything else cannot be decided and must be stated.
    odd : where the odd one stands. `auto`: `choice` with a fourth column, else `last`. cblearn's `first` cannot be
        told from the numbers and must be stated.
    names : of the objects, in the order of their numbers.

    Returns
    -------
    numbers from 0 in columns (a, b, odd). A `.npy` file of int64 that counts from 0 stays mapped.

    Raises
    ------
    InputError : the file is broken or ragged, a number is out of range, an object stands twice in a triplet, a
        choice is not 1, 2 or 3, or the counting cannot be decided; names the line.
    """
    if base not in (0, 1, "auto") or odd not in ("auto", "last", "first", "choice"):
        raise InputError(f"unknown base or place of the odd one: {base}, {odd}", field="base, odd")
    if objects is None and names is not None:
        objects = len(names)
    raw = read_raw(path)
    start = _base(raw, objects, base)
    count = objects if objects is not None else int(raw.numbers.max()) + 1 - start
    _check_range(raw, start, count)
    twice = np.flatnonzero(doubled(raw.numbers))
    if len(twice):
        problem = f"{raw.numbers[twice[0]].tolist()} names an object twice"
        remedy = "drop this line: a triplet needs three objects"
        raise InputError(problem, file=raw.path, field=raw.place(int(twice[0])), remedy=remedy)
    rows = ordered(raw, _place_of_odd(raw, odd))
    return Triplets(
        rows=rows - start if start else rows,
        objects=count,
        names=None if names is None else tuple(names),
        participants=raw.participants,
        file=raw.path,
    )


def ordered(raw: RawTriplets, odd: str) -> Int64[np.ndarray, "n 3"]:
    """The columns of a file in the order (a, b, odd), counted as in the file."""
    if odd == "last":
        return raw.numbers
    if odd != "choice":
        return np.ascontiguousarray(raw.numbers[:, list(ORDERS[odd])])
    assert raw.choice is not None
    return np.take_along_axis(raw.numbers, BY_CHOICE[raw.choice - 1], axis=1)


def _place_of_odd(raw: RawTriplets, odd: Odd) -> str:
    if raw.choice is None:
        if odd == "choice":
            problem = "has no fourth column with the choice"
            raise InputError(problem, file=raw.path, field="odd", remedy='state odd="last" or odd="first"')
        return "last" if odd == "auto" else odd
    if odd not in ("auto", "choice"):
        problem = f'odd="{odd}" was asked for, but a fourth column tells the odd one'
        raise InputError(
            problem, file=raw.path, field="odd", remedy='state odd="choice", or drop that column'
        )
    _check_choice(raw, raw.choice)
    return "choice"


def _base(raw: RawTriplets, objects: int | None, stated: Base) -> int:
    if stated != "auto":
        return stated
    low, high = int(raw.numbers.min()), int(raw.numbers.max())
    if low <= 0:
        return 0
    if objects is not None and high >= objects:
        return 1
    known = "the number of objects is not known" if objects is None else f"the largest is {high} of {objects}"
    problem = f"cannot tell whether objects are counted from 0 or from 1: 0 is never used, and {known}"
    raise InputError(problem, file=raw.path, field="base", remedy=TELL)


def _check_range(raw: RawTriplets, start: int, count: int) -> None:
    low, high = int(raw.numbers.min()), int(raw.numbers.max())
    if low >= start and high < start + count:
        return
    outside = (raw.numbers < start) | (raw.numbers >= start + count)
    row = int(np.flatnonzero(outside.any(axis=1))[0])
    wrong = int(raw.numbers[row][outside[row]][0])
    problem = f"object {wrong} is outside {start}..{start + count - 1} (counted from {start})"
    remedy = "check the number of objects, and that the file belongs to them"
    if start == 0 and low >= 1 and high == count:
        problem += "; 0 is never used: the file counts from 1"
        remedy = "read it with base=1"
    elif start == 1 and low == 0 and high < count:
        problem += "; the file counts from 0"
        remedy = "read it with base=0"
    raise InputError(problem, file=raw.path, field=raw.place(row), remedy=remedy)


def _check_choice(raw: RawTriplets, choice: Int64[np.ndarray, " n"]) -> None:
    wrong = np.flatnonzero((choice < 1) | (choice > 3))
    if not len(wrong):
        return
    row = int(wrong[0])
    problem, remedy = f"choice {int(choice[row])} is not 1, 2 or 3", "correct or drop this line"
    if (raw.numbers == choice[:, None]).any(axis=1).all():
        problem += ": it holds the object's own number, not the position of the odd one"
        remedy = "write the position 1, 2 or 3 of the odd one"
    elif choice.min() == 0 and choice.max() <= 2:
        problem += ": positions are counted from 0 here"
        remedy = "add 1 to the choice column"
    raise InputError(problem, file=raw.path, field=f"choice, {raw.place(row)}", remedy=remedy)
