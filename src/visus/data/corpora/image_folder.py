"""Pictures in one sub-folder per class, or in a table of paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from visus.data.formats import EXTENSIONS, read_table, write_image
from visus.data.image_table import ImageTable
from visus.errors import InputError

PATH_NAMES = ("path", "image", "file", "filename", "image_path")
LABEL_NAMES = ("label", "class", "target", "category")


def load_image_folder(folder: str | Path, *, image_size: Sequence[int] | None = None) -> ImageTable:
    """`<folder>/<class>/**/<picture>` as an image table with the target `label`.

    Classes and pictures come in the order of their names. Hidden files and files with other endings are
    passed over.

    Raises
    ------
    InputError : the folder is absent, has no sub-folders, or a class holds no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "is not a folder", file=folder, remedy="give the folder that holds one folder per class"
        )
    classes = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    if not classes:
        raise InputError(
            "has no sub-folders", file=folder, remedy="put the pictures of each class into a folder"
        )
    paths: list[Path] = []
    labels: list[str] = []
    for item in classes:
        found = sorted(path for path in item.rglob("*") if _is_picture(path))
        if not found:
            raise InputError("holds no pictures", file=item, remedy="remove the folder or add pictures")
        paths += found
        labels += [item.name] * len(found)
    frame = pd.DataFrame({"label": labels})
    return ImageTable(frame, images=paths, target="label", file=folder, image_size=image_size)


def load_image_csv(
    path: str | Path, *, image_column: str | None = None, target: str | None = None, **options: Any
) -> ImageTable:
    """A table of paths and labels; columns not named are found by usual names (path, image, ...; label, ...).

    `options` go to `ImageTable.from_csv`.
    """
    names = list(read_table(path).columns)
    image_column = image_column or _usual(names, PATH_NAMES, Path(path))
    if target is None and options.get("require_target", True):
        target = _usual(names, LABEL_NAMES, Path(path))
    return ImageTable.from_csv(path, image_column=image_column, target=target, **options)


def write_image_folder(
    folder: str | Path, images: np.ndarray, labels: Sequence[Any], *, ending: str = ".png"
) -> None:
    """Write images (n, c, *space) of values 0..1 into one folder per label."""
    for i, (image, label) in enumerate(zip(np.asarray(images), labels)):
        write_image(Path(folder) / str(label) / f"{i:05d}{ending}", image)


def _is_picture(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(EXTENSIONS)


def _usual(names: list[str], usual: Sequence[str], path: Path) -> str:
    lowered = {name.lower(): name for name in reversed(names)}
    for name in usual:
        if name in lowered:
            return lowered[name]
    problem = f"no column is named like one of: {', '.join(usual)}"
    raise InputError(problem, file=path, remedy=f"name the column to use; there are: {', '.join(names)}")
