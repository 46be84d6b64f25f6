"""From a table's rows to the network's inputs: which columns, which classes, which box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from visus.data.formats.table import line_of
from visus.data.loader import iterate
from visus.data.splits import grouped_stratified_split
from visus.data.tables import infer_columns
from visus.data.tables.columns import read_numbers
from visus.errors import InputError
from visus.methods.polytopes.config import FEWEST, MOST
from visus.protocols import Batch, Source

READ_AT_ONCE = 1024
SMALLEST_SPLIT = 10
Box = tuple[tuple[float, ...], tuple[float, ...]]


def frame_of(data: Batch | Source) -> pd.DataFrame:
    """The rows of a batch or a source."""
    features = getattr(data, "features", None)
    if features is not None:
        return features
    batches = [data] if isinstance(data, dict) else list(iterate(data, READ_AT_ONCE))
    if "row" not in batches[0]:
        raise InputError("is absent", field="row", remedy="give a dict of column values per item")
    return pd.DataFrame([row for batch in batches for row in batch["row"]])


def targets_of(data: Source) -> list[str]:
    """The class names of all items."""
    given = getattr(data, "targets", None)
    if given is None:
        batches = [data] if isinstance(data, dict) else list(iterate(data, READ_AT_ONCE))
        if "target" not in batches[0]:
            raise InputError("is absent", field="target", remedy="give a class for every item")
        given = [value for batch in batches for value in batch["target"]]
    return [class_name(value) for value in given]


def class_name(value: Any) -> str:
    """A class's name; 1, 1.0 and "1" are one class."""
    value = value.item() if isinstance(value, Tensor | np.generic) else value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def natural(name: str) -> tuple[int, float, str]:
    """Numbers by value before words by alphabet."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)


def columns_of(frame: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    """The input columns: those asked for, or all numeric ones if these are two to four."""
    for name in asked:
        if name not in frame:
            known = ", ".join(str(column) for column in frame if _is_numeric(frame.loc[:, column]))
            raise InputError("no such column", field=f"column {name}", remedy=f"numeric columns: {known}")
    check_numbers(frame, asked)
    if not asked:
        kinds = _kinds(frame)
        asked = [name for name, kind in kinds.items() if kind != "ignore" and _is_numeric(frame.loc[:, name])]
        if not FEWEST <= len(asked) <= MOST:
            told = ", ".join(asked) or "none"
            raise InputError(
                f"there are {len(asked)} numeric columns ({told})",
                field="columns",
                remedy=f"choose {FEWEST} to {MOST} of them: the number of cells grows with the power of the inputs",
            )
    for name in asked:
        if pd.Series(read_numbers(frame.loc[:, name])).nunique() < 2:
            raise InputError(
                "has one value throughout", field=f"column {name}", remedy="choose another column"
            )
    return list(asked)


def _kinds(frame: pd.DataFrame) -> dict[str, Any]:
    """`infer_columns`; a word in a column of numbers is told with its line."""
    try:
        return infer_columns(frame)
    except InputError as error:
        check_numbers(frame, [(error.field or "").rpartition(", row ")[0]])
        raise


def check_numbers(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse a cell of these columns (those that are there) that is no number; empty cells are allowed."""
    for name in names:
        if name in frame:
            column = frame.loc[:, name]
            wrong = np.flatnonzero(np.isinf(read_numbers(column, strict=False)))
            if len(wrong):
                where = f"column {name}, line {line_of(column.index[wrong[0]])}"
                cell = column.iloc[int(wrong[0])]
                raise InputError(
                    f"{cell!r} is not a number", field=where, remedy="give numbers or empty cells"
                )


def _is_numeric(column: pd.Series) -> bool:
    return not np.isinf(read_numbers(column, strict=False)).any()


def box_of(values: Tensor, half: float) -> Box:
    """[-half, half] on every axis, or the range of the values."""
    if half > 0:
        return (-half,) * values.shape[1], (half,) * values.shape[1]
    return tuple(values.amin(0).tolist()), tuple(values.amax(0).tolist())


def held_out(
    names: Sequence[str], groups: Sequence[Any] | None, share: float, *, seed: int
) -> tuple[Tensor, Tensor]:
    """Rows to learn from and rows that choose the epoch; none of the latter where there is too little."""
    if share == 0.0 or len(names) * share < 1 or len(names) < SMALLEST_SPLIT:
        return torch.arange(len(names)), torch.arange(0)
    parts = grouped_stratified_split(list(names), groups, {"train": 1 - share, "validation": share}, seed)
    return parts["train"], parts["validation"]
