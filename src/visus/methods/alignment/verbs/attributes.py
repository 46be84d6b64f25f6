"""What is known of the models of a folder: a table with a row per model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MODEL_COLUMNS = ("model", "name", "embedding", "file")
WIDE = 30
"""Positive numbers that span more than this factor are taken by their logarithm."""


def raw_attributes(file: Path | None, models: list[str]) -> pd.DataFrame | None:
    """The table of attributes by model, as written.

    Raises
    ------
    InputError : no column with the models' names, or a model without a row.
    """
    from visus.data.formats.table import read_table

    if file is None:
        return None
    frame: Any = read_table(file, text_columns=MODEL_COLUMNS)
    column = next((name for name in MODEL_COLUMNS if name in frame.columns), None)
    if column is None:
        problem = f"has no column named like one of {', '.join(MODEL_COLUMNS)}"
        raise InputError(problem, file=file, remedy="name the models' column `model`")
    frame[column] = [str(name).strip() for name in frame[column]]
    known = [*frame[column]]
    if "." in "".join(known) and not set(models) & set(known):
        frame[column] = [Path(name).stem for name in known]
    doubled = frame[column][frame[column].duplicated()]
    if len(doubled):
        raise InputError(f"has two rows for {doubled.iloc[0]}", file=file, field=column, remedy="keep one")
    frame = frame.set_index(column)
    absent = [name for name in models if name not in frame.index]
    if absent:
        remedy = "add a row with its attributes, or take its file out of the folder"
        raise InputError(f"has no row for {absent[0]}", file=file, field=f"column {column}", remedy=remedy)
    return frame.loc[models]


def read_attributes(
    file: Path, models: list[str], *, use: list[str] | None, keep: str | None
) -> pd.DataFrame:
    """The attributes that explain: those asked for, large ranges of numbers as log10.

    Raises
    ------
    InputError : as `raw_attributes`; no such attribute, or one that is the same for all models.
    """
    import numpy as np
    import pandas as pd

    frame: Any = raw_attributes(file, models)
    wanted = [*use, *([keep] if keep is not None and keep not in use else [])] if use else list(frame.columns)
    for name in [*wanted, *([keep] if keep is not None else [])]:
        if name not in frame.columns:
            remedy = f"attributes: {', '.join(map(str, frame.columns))}"
            raise InputError("no such attribute", file=file, field=name, remedy=remedy)
    frame = frame[wanted].copy()
    for name in [column for column in frame.columns if column != keep]:
        if frame[name].nunique() < 2:
            if use:
                problem = "is the same for every model"
                raise InputError(problem, file=file, field=f"column {name}", remedy="leave it out of --use")
            frame = frame.drop(columns=[name])
        elif pd.api.types.is_numeric_dtype(frame[name]) and wide(frame[name].min(), frame[name].max()):
            frame[name] = np.log10(frame[name].astype(float))
            frame = frame.rename(columns={name: f"log10 {name}"})
    return frame


def wide(low: float, high: float) -> bool:
    """Whether numbers of this range are better compared by their logarithm.

    >>> wide(1e6, 1e8), wide(0, 1e8)
    (True, False)
    """
    return low > 0 and high > WIDE * low
