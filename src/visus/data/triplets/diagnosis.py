"""Which reading of a triplet file is right, asked of an embedding that knows the objects.

Numbers counted from the wrong start or an odd one looked for in the wrong column are silent: every number is in
range. An embedding that predicts people's choices - VICE for THINGS, any good network else - agrees with the right
reading and is at chance, or below, with the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from visus.data.triplets.raw import RawTriplets, read_raw
from visus.data.triplets.reading import ORDERS, ordered
from visus.data.triplets.record import Triplets, as_rows, plain_array
from visus.errors import InputError
from visus.metrics.triplet_choices import Kind, hits, pair_similarities

ROWS = 20_000
"""Most rows a reading is scored on, evenly spaced."""
PLACES = {
    "last": "the odd one stands in the last column",
    "first": "the odd one stands in the first column, as in cblearn's layout",
    "middle": "the odd one stands in the middle column",
    "choice": "the fourth column holds the position 1, 2 or 3 of the odd one",
    "choice from 0": "the fourth column holds the position of the odd one counted from 0",
    "choice as object": "the fourth column holds the odd one's own number",
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read the numbers, and how often the reference agrees with it.

    `base` is what the first object is called in the file (for triplets that were read already: 0 as they are, 1 if
    they are one too high, -1 if one too low); `odd` is a key of `PLACES`.
    """

    base: int
    odd: str
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Every plausible reading, the best first, and what follows.

    `fits` is the reading that the reference agrees with clearly more often than chance and than with any other
    reading; None where there is none. `as_given` tells whether triplets that were read already need no change
    (None for a file).
    """

    readings: tuple[Reading, ...]
    fits: Reading | None
    as_given: bool | None
    verdict: str


def diagnose(triplets: Triplets | str | Path | Any, reference: Any, *, kind: Kind = "dot") -> Diagnosis:
    """Score every plausible reading with a reference embedding and name the one that fits.

    Parameters
    ----------
    triplets : a file, or triplets (n, 3) that were read already.
    reference : (m, d) embedding of the objects that predicts people's choices.
    kind : similarity of the reference; VICE's is the dot product.

    Raises
    ------
    InputError : no reading gives numbers of the reference's objects.
    """
    points = torch.as_tensor(np.array(plain_array(reference), dtype=np.float64))
    if points.ndim != 2 or not torch.isfinite(points).all():
        problem = f"shape {tuple(points.shape)}, expected a finite (objects, width)"
        raise InputError(problem, field="reference", remedy="give one row per object")
    is_file = isinstance(triplets, str | Path)
    raw = _thinned(read_raw(triplets) if is_file else _as_raw(triplets))
    found = [
        (Reading(base=base, odd=odd, accuracy=float(hits(similar).double().mean())), rows)
        for base, odd, rows in _readings(raw, len(points), given=not is_file)
        for similar in [pair_similarities(points, rows, kind=kind)]
    ]
    if not found:
        problem = f"numbers {int(raw.numbers.min())} to {int(raw.numbers.max())} for {len(points)} objects"
        remedy = "give the embedding of the objects that these triplets are about"
        raise InputError(problem, file=raw.path if is_file else None, field="reference", remedy=remedy)
    found.sort(key=lambda item: -item[0].accuracy)
    rows = np.sort(found[0][1], axis=1)
    readings = tuple(reading for reading, _ in found)
    fits = _clear(readings, len(np.unique(rows, axis=0)))
    as_given = None if is_file else fits is not None and (fits.base, fits.odd) == (0, "last")
    return Diagnosis(
        readings=readings, fits=fits, as_given=as_given, verdict=_verdict(readings, fits, as_given)
    )


def _as_raw(given: Any) -> RawTriplets:
    rows = given.rows if isinstance(given, Triplets) else as_rows(given)
    path = given.file if isinstance(given, Triplets) and given.file else Path()
    return RawTriplets(path=path, numbers=rows)


def _thinned(raw: RawTriplets) -> RawTriplets:
    if len(raw.numbers) == 0:
        raise InputError("has no triplets", field="triplets", remedy="give at least one")
    some = np.unique(np.linspace(0, len(raw.numbers) - 1, ROWS).astype(np.int64))
    choice = None if raw.choice is None else raw.choice[some]
    return RawTriplets(path=raw.path, numbers=np.array(raw.numbers[some]), choice=choice)


def _readings(
    raw: RawTriplets, count: int, *, given: bool
) -> Iterator[tuple[int, str, Int64[np.ndarray, "n 3"]]]:
    for base in (0, 1, -1) if given else (0, 1):
        low, high = int(raw.numbers.min()) - base, int(raw.numbers.max()) - base
        if low < 0 or high >= count:
            continue
        for odd, rows in _orders(raw):
            yield base, odd, rows - base


def _orders(raw: RawTriplets) -> Iterator[tuple[str, Int64[np.ndarray, "n 3"]]]:
    for odd in ORDERS:
        yield odd, ordered(raw, odd)
    if raw.choice is None:
        return
    for odd, choice in (("choice", raw.choice), ("choice from 0", raw.choice + 1)):
        if choice.min() >= 1 and choice.max() <= 3:
            yield odd, ordered(RawTriplets(path=raw.path, numbers=raw.numbers, choice=choice), "choice")
    same = raw.numbers == raw.choice[:, None]
    if same.any(axis=1).all():
        own = same.argmax(axis=1) + 1
        yield (
            "choice as object",
            ordered(RawTriplets(path=raw.path, numbers=raw.numbers, choice=own), "choice"),
        )


def _clear(readings: Sequence[Reading], triplets: int) -> Reading | None:
    """The first reading, if it is beyond four standard errors from chance and from the second."""
    best = readings[0].accuracy
    if best <= 1 / 3 + 4 * math.sqrt(2 / 9 / triplets):
        return None
    if len(readings) > 1 and best - readings[1].accuracy <= 4 * math.sqrt(0.5 / triplets):
        return None
    return readings[0]


def _verdict(readings: Sequence[Reading], fits: Reading | None, as_given: bool | None) -> str:
    if fits is None:
        best = readings[0]
        return (
            f"no reading stands out: at best the reference agrees in {best.accuracy:.1%} of the triplets "
            f"(base {best.base}, {best.odd}; chance is 33.3%). Are these the objects of the embedding, in its order?"
        )
    share = f"the reference agrees in {fits.accuracy:.1%} of the triplets (chance is 33.3%)"
    if as_given:
        return f"fits as read: {share}"
    if as_given is None:
        return f"objects are counted from {fits.base} and {PLACES[fits.odd]}: {share}"
    as_read = next((r.accuracy for r in readings if (r.base, r.odd) == (0, "last")), None)
    told = "" if as_read is None else f", as read in {as_read:.1%}"
    if fits.base == 0:
        return f"wrong column: {PLACES[fits.odd]}, so that {share}{told}"
    slip = "too high: the file counts from 1" if fits.base == 1 else "too low: the file counts from 0"
    column = "" if fits.odd == "last" else f", and {PLACES[fits.odd]}"
    return f"off by one: every number is one {slip}{column}; read so, {share}{told}"
