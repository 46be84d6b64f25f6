"""Oxford Flowers-102 in its published layout: `jpg/image_00001.jpg`, `imagelabels.mat`, `setid.mat`.

`imagelabels.mat` holds one label 1..102 per picture, `setid.mat` the numbers (from 1) of the pictures of the three
parts: `trnid` (10 per class), `valid` (10 per class) and `tstid`, the larger rest, which is the official test set.
Source: Nilsback and Zisserman, ICVGIP 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int

from visus.data.corpora.class_lists import class_list
from visus.data.formats.mat import read_mat, variable
from visus.data.image_table import ImageTable
from visus.errors import InputError

PARTS = {"train": "trnid", "validation": "valid", "test": "tstid"}
AGAIN = "download the file again"


def load_flowers102(
    folder: str | Path,
    part: Literal["train", "validation", "test", "all"] = "train",
    *,
    image_size: Sequence[int] | None = None,
) -> ImageTable:
    """Pictures of one part with the target `label` (class name), in the order of their numbers.

    Parameters
    ----------
    image_size : size to which the pictures, which differ in size, are resized.

    Raises
    ------
    InputError : a file is missing or damaged, a label is not 1..102, the parts overlap or name pictures that are
        not there.
    """
    folder = Path(folder)
    if part not in (*PARTS, "all"):
        raise InputError(f"unknown part {part!r}", field="part", remedy="give train, validation, test or all")
    names = class_list("flowers102").names
    file = folder / "imagelabels.mat"
    labels = _numbers(file, "labels")
    if labels.min() < 1 or labels.max() > len(names):
        wrong = int(labels.min()) if labels.min() < 1 else int(labels.max())
        problem = f"label {wrong} where 1 to {len(names)} are classes"
        raise InputError(problem, file=file, field="labels", remedy=AGAIN)
    chosen = (
        np.arange(1, len(labels) + 1) if part == "all" else _part(folder / "setid.mat", part, len(labels))
    )
    paths = [folder / "jpg" / f"image_{number:05d}.jpg" for number in chosen.tolist()]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        problem = f"does not exist ({len(absent)} of {len(paths)} pictures are missing)"
        raise InputError(problem, file=absent[0], remedy="unpack 102flowers.tgz into this folder")
    frame = pd.DataFrame({"label": [names[labels[number - 1] - 1] for number in chosen.tolist()]})
    return ImageTable(frame, images=paths, target="label", file=folder, image_size=image_size)


def _part(file: Path, part: str, count: int) -> Int[np.ndarray, " n"]:
    sets = {name: _numbers(file, field) for name, field in PARTS.items()}
    together = np.concatenate(list(sets.values()))
    if len(np.unique(together)) != len(together):
        raise InputError("one picture stands in two parts, or twice", file=file, remedy=AGAIN)
    if together.min() < 1 or together.max() > count:
        problem = f"names picture {int(together.max())} of {count}; they count from 1"
        raise InputError(problem, file=file, remedy=AGAIN)
    return np.sort(sets[part])


def _numbers(file: Path, field: str) -> Int[np.ndarray, " n"]:
    found = variable(read_mat(file), field, file)
    if found.dtype.kind not in "iuf" or found.size == 0:
        raise InputError("has no numbers", file=file, field=field, remedy=AGAIN)
    return found.reshape(-1).astype(np.int64)
