"""The Hannover chest radiographs (CC BY 3.0): 243 pictures of 71 patients with laboratory values.

Data: COVID-19 Image Repository, Hannover Medical School (repository ml-workgroup/covid-19-image-repository).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from visus.data.formats.table import line_of, read_table, require_column, write_table
from visus.data.image_table import ImageTable
from visus.errors import InputError

FEATURES = (
    "sex",
    "age",
    "crp_val",
    "d-dimer_val",
    "factor_xii_val",
    "ldh_val",
    "lymphocytes_val",
    "neutrophils_val",
    "pco2_val",
    "po2_val",
)
_EVENTS = {"icu": "icu_admission_offset", "death": "death_offset"}


def load_hannover_cxr(
    folder: str | Path,
    *,
    target: Literal["icu", "death", "projection"] = "icu",
    columns: Sequence[str] = FEATURES,
    image_size: Sequence[int] | None = None,
) -> ImageTable:
    """`png/<image_id>.png` with laboratory values, target `target`, group `patient_id`.

    `icu` and `death` are `yes` where the table states when it happened (before or after the picture), else
    `no`; `projection` is `ap` or `pa`. A laboratory value of `inf` or `-inf` lies above or below the
    measuring range and becomes the largest or smallest value measured in its column. Columns without any
    value are left out. Projection, modality and the offsets of days are not features: bedside pictures and
    days state the outcome.

    Raises
    ------
    InputError : a column or picture is absent, or a projection is missing.
    """
    folder = Path(folder)
    table = folder / "data.csv"
    frame = read_table(table, text_columns=("patient_id", "image_id"))
    wanted = _EVENTS.get(target, "projection")
    if target not in (*_EVENTS, "projection"):
        raise InputError(f"must be icu, death or projection, got {target}", field="target")
    for column in ("patient_id", "image_id", wanted, *columns):
        require_column(frame, column, file=table)
    paths = [folder / "png" / f"{name}.png" for name in frame["image_id"]]
    absent = [i for i, path in enumerate(paths) if not path.exists()]
    if absent:
        problem = f"{paths[absent[0]]} does not exist ({len(absent)} of {len(paths)} pictures are missing)"
        where = f"column image_id, line {line_of(absent[0])}"
        raise InputError(
            problem, file=table, field=where, remedy="give the folder that holds data.csv and png"
        )
    kept = [name for name in columns if bool(frame[name].notna().any())]
    features = frame.loc[:, kept].copy()
    for name in features.columns:
        if pd.api.types.is_numeric_dtype(features[name]):
            features[name] = _within_range(features[name])
    features["patient_id"] = frame["patient_id"]
    events = np.where(frame[wanted].notna(), "yes", "no")
    features[target] = frame[wanted] if target == "projection" else events
    return ImageTable(
        features, images=paths, target=target, group="patient_id", file=table, image_size=image_size
    )


def write_hannover_cxr(folder: str | Path, frame: pd.DataFrame, images: np.ndarray) -> None:
    """Write images (n, 1, h, w) of values 0..1 as `png/<image_id>.png` and the table as `data.csv`."""
    from visus.data.formats import write_image

    for name, image in zip(frame["image_id"], images):
        write_image(Path(folder) / "png" / f"{name}.png", image)
    write_table(Path(folder) / "data.csv", frame)


def _within_range(column: pd.Series) -> pd.Series:
    measured = column[np.isfinite(column)]
    if not len(measured):
        return column.replace([np.inf, -np.inf], np.nan)
    return column.replace({np.inf: measured.max(), -np.inf: measured.min()})
