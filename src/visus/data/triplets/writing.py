"""`Triplets` -> the three public layouts, as NumPy or as text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from visus.data.formats.arrays import write_npy
from visus.data.triplets.reading import ORDERS
from visus.data.triplets.record import Triplets
from visus.errors import InputError
from visus.records import write_atomically

Layout = Literal["things", "cblearn", "trials"]
SEPARATORS = {".txt": " ", ".csv": ",", ".tsv": "\t"}


def write_triplets(
    path: str | Path, triplets: Triplets, *, layout: Layout = "things", header: bool = True
) -> None:
    """Write a file that `read_triplets` reads back into equal rows.

    Parameters
    ----------
    path : ends in `.npy`, `.txt` (blanks), `.csv` or `.tsv`.
    layout : `things` - columns a, b, odd from 0; `cblearn` - columns odd, a, b from 0 (read with
        `odd="first"`); `trials` - three objects from 1, the position 1, 2 or 3 of the odd one (each in turn)
        and, where known, the participant.
    header : whether text of the layout `trials` starts with the names of its columns.

    Raises
    ------
    InputError : unknown layout or suffix, or participants that are text in a `.npy` file.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if layout not in ("things", "cblearn", "trials"):
        remedy = "choose things, cblearn or trials"
        raise InputError(f"unknown layout {layout!r}", field="layout", remedy=remedy)
    if suffix != ".npy" and suffix not in SEPARATORS:
        raise InputError(f"unknown suffix {suffix!r}", file=path, remedy="use .npy, .txt, .csv or .tsv")
    columns: dict[str, np.ndarray]
    if layout == "trials":
        columns = _trials(triplets)
    else:
        rows = triplets.rows if layout == "things" else triplets.rows[:, [2, 0, 1]]
        columns = dict(zip(("a", "b", "odd"), rows.T))
    if suffix == ".npy":
        people = columns.get("subject")
        if people is not None and people.dtype.kind not in "iu":
            remedy = "write .csv or .tsv, or give participants by number"
            raise InputError("participants are text", file=path, remedy=remedy)
        write_npy(path, np.column_stack(list(columns.values())).astype(np.int64))
        return
    text = io.StringIO()
    pd.DataFrame(columns).to_csv(
        text,
        sep=SEPARATORS[suffix],
        index=False,
        header=header and layout == "trials",
        lineterminator="\n",
    )
    write_atomically(path, text.getvalue())


def _trials(triplets: Triplets) -> dict[str, np.ndarray]:
    place = np.arange(len(triplets)) % 3
    # ORDERS tells where a, b and the odd one stand; its inverse puts them there.
    back = np.argsort(np.array(list(ORDERS.values())), axis=1)
    shown = np.take_along_axis(triplets.rows, back[place], axis=1) + 1
    columns = {f"image{i + 1}": shown[:, i] for i in range(3)} | {"choice": place + 1}
    return columns if triplets.participants is None else columns | {"subject": triplets.participants}
