"""Captioned pictures as a person has them: a table, or a folder with a text beside each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from visus.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from visus.data.image_table import ImageTable
    from visus.data.loader import Indices
    from visus.methods.vgloss.model.classes import ClassTexts
    from visus.protocols import Batch

IMAGE_COLUMNS = ("path", "image", "file", "filename", "image_path")
CAPTION = "caption"
TABLE = "captions.csv"
REMEDY = "give the columns path and caption; a picture may have several rows"


class CaptionedPictures:
    """Pictures with one caption or several each, and the classes to tell apart afterwards."""

    def __init__(self, table: ImageTable, captions: Sequence[Sequence[str]], classes: ClassTexts) -> None:
        self.table, self.captions, self.classes = table, [list(told) for told in captions], classes

    def __len__(self) -> int:
        return len(self.captions)

    def batch(self, indices: Indices) -> Batch:
        from visus.data.loader import as_indices

        rows = as_indices(indices, len(self)).tolist()
        return {**self.table.batch(rows), "caption": [self.captions[i] for i in rows]}

    def fingerprint(self) -> str:
        """Hash of pictures and captions."""
        import hashlib

        told = repr((self.table.fingerprint(), self.captions))
        return hashlib.sha256(told.encode()).hexdigest()


def read_captioned(data: Path, classes: ClassTexts, *, size: int) -> CaptionedPictures:
    """Read captioned pictures, squeezed to squares of `size` pixels.

    Parameters
    ----------
    data : a table with the columns path and caption (a row per caption); a folder with captions.csv; or a folder with
        NAME.txt beside each picture, one caption per line.

    Raises
    ------
    InputError : names the file, column and line.
    """
    from visus.data.image_table import ImageTable

    if not data.exists():
        raise InputError("does not exist", file=data, remedy="check the path")
    table = data / TABLE if data.is_dir() else data
    told = _from_table(table) if table.is_file() else _from_texts(data)
    if not told:
        raise InputError("holds no captioned pictures", file=data, remedy=REMEDY)
    paths = list(told)
    frame = pd.DataFrame({"name": [path.name for path in paths]})
    source = ImageTable(frame, images=paths, file=table, image_size=(size, size), read=_rgb)
    return CaptionedPictures(source, list(told.values()), classes)


def write_captioned(
    folder: Path, pictures: Mapping[str, Float[Tensor, "3 h w"]], captions: pd.DataFrame
) -> None:
    """Write pictures (name -> values 0..1) as PNG files into FOLDER/pictures, and captions.csv."""
    from visus.data.formats import write_image, write_table

    for name, picture in pictures.items():
        write_image(folder / "pictures" / name, picture.numpy())
    write_table(folder / TABLE, captions)


def _from_table(path: Path) -> dict[Path, list[str]]:
    from visus.data.formats import read_table

    columns = list(read_table(path).columns)
    frame = read_table(path, text_columns=tuple(columns))
    lowered = {column.lower(): column for column in reversed(columns)}
    image = next((lowered[name] for name in IMAGE_COLUMNS if name in lowered), None)
    if image is None or CAPTION not in lowered:
        problem = f"has the columns {', '.join(columns)}"
        raise InputError(problem, file=path, field=f"path, {CAPTION}", remedy=REMEDY)
    told: dict[Path, list[str]] = {}
    for number, (name, text) in enumerate(zip(frame[image], frame[lowered[CAPTION]], strict=True), 2):
        for column, cell in ((image, name), (lowered[CAPTION], text)):
            if not isinstance(cell, str) or not cell.strip():
                raise InputError(
                    "is empty", file=path, field=f"column {column}, line {number}", remedy=REMEDY
                )
        picture = path.parent / name.strip()
        if picture not in told and not picture.is_file():
            where = f"column {image}, line {number}"
            problem = f"{name} does not exist"
            raise InputError(problem, file=path, field=where, remedy="give paths from the table's folder on")
        told.setdefault(picture, []).append(text.strip())
    return told


def _from_texts(folder: Path) -> dict[Path, list[str]]:
    from visus.data.formats import read_text
    from visus.methods.vgloss.verbs.classifying import list_pictures

    told = {}
    for path in list_pictures(folder):
        beside = path.with_suffix(".txt")
        if not beside.is_file():
            remedy = f"write its caption into {beside.name}, or all captions into {TABLE}"
            raise InputError("has no caption", file=path, remedy=remedy)
        lines = [line.strip() for line in read_text(beside).splitlines() if line.strip()]
        if not lines:
            raise InputError("holds no caption", file=beside, remedy="write one per line")
        told[path] = lines
    return told


def _rgb(path: Path) -> Tensor:
    """A picture of any kind of file in three channels, 0..1."""
    import numpy as np
    import torch

    from visus.data.features.pictures import read_rgb

    return torch.from_numpy(np.array(read_rgb(path))).permute(2, 0, 1).float() / 255
