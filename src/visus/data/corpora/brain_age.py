"""The brain-age layout of HyperFusion: `<Subject>.npy` beside a table of ages and sexes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.corpora.adni import limits_to_numbers
from visus.data.formats.arrays import read_npy, write_npy
from visus.data.formats.table import line_of, read_table, require_column, write_table
from visus.data.image_table import ImageTable
from visus.errors import InputError

FEATURES = ("Gender_F", "Gender_M")


def load_brain_age(folder: str | Path, table: str | Path, *, columns: Sequence[str] = FEATURES) -> ImageTable:
    """Volumes (n, 1, h, w, d), features `columns`, target `Age` in years, group `Subject`.

    The table has the columns `Subject,Age,ProjName,Gender_F,Gender_M`. The project (the scanner's site) is
    left out by default: ages differ between sites, so it would give away part of the answer.

    Paper: 2403.13319 (26,690 healthy subjects, volumes of 90 x 120 x 99).

    Raises
    ------
    InputError : a column is absent, an age is missing or no number, or a subject's file is missing or
        damaged.
    """
    folder, table = Path(folder), Path(table)
    frame = read_table(table, text_columns=("Subject",))
    for column in ("Subject", "Age", *columns):
        require_column(frame, column, file=table)
    frame = frame.loc[:, ["Subject", "Age", *columns]].copy()
    frame["Age"] = limits_to_numbers(frame["Age"], file=table)
    paths = [folder / f"{str(subject).strip()}.npy" for subject in frame["Subject"]]
    for i, path in enumerate(paths):
        if not path.exists():
            where = f"column Subject, line {line_of(i)}"
            raise InputError(
                f"{path} does not exist", file=table, field=where, remedy="add it or delete the row"
            )
    return ImageTable(frame, images=paths, target="Age", group="Subject", file=table, read=_read_volume)


def write_brain_age(folder: str | Path, frame: pd.DataFrame, volumes: np.ndarray) -> Path:
    """Write volumes (n, h, w, d) and the table `subjects.csv` in this layout; returns the table's path."""
    folder = Path(folder)
    for subject, volume in zip(frame["Subject"], volumes):
        write_npy(folder / f"{subject}.npy", np.asarray(volume, np.float32))
    write_table(folder / "subjects.csv", frame)
    return folder / "subjects.csv"


def _read_volume(path: Path) -> Float[Tensor, "1 h w d"]:
    array = read_npy(path, layout="space").array
    if array.ndim != 4:
        raise InputError(f"has shape {array.shape[1:]}, not three axes", file=path)
    return torch.from_numpy(array)
