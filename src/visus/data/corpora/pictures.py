"""Labeled pictures in whatever layout is there: folders by class, a table, MNIST's files, a CIFAR folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from visus.data.corpora.cifar import load_cifar
from visus.data.corpora.image_folder import load_image_csv, load_image_folder
from visus.data.corpora.mnist import load_mnist
from visus.data.formats import EXTENSIONS
from visus.data.image_table import ImageTable
from visus.errors import InputError

Part = Literal["train", "test"]
_CIFAR = ("meta", "batches.meta", "fine_label_names.txt", "batches.meta.txt")


def load_pictures(
    path: str | Path,
    part: Part = "train",
    *,
    labeled: bool = True,
    image_size: Sequence[int] | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> ImageTable:
    """Pictures with a target, told apart by what `path` holds.

    - a folder with one sub-folder per class, or such folders inside train/ and test/;
    - a table (CSV) of paths and labels;
    - the files of MNIST, or an unpacked folder of CIFAR-10 or CIFAR-100;
    - with `labeled=False` also a folder of loose pictures, one picture, or a table without labels.

    Raises
    ------
    InputError : nothing there that can be read, or only the other part of a set in parts.
    """
    path, shape = Path(path), None if image_size is None else tuple(image_size)
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="give a folder of pictures by class, or a table")
    if path.is_file():
        if path.name.lower().endswith(EXTENSIONS):
            if labeled:
                raise InputError(
                    "is one picture", file=path, remedy="give a folder of pictures by class, or a table"
                )
            return _loose([path], shape)
        return load_image_csv(
            path,
            image_column=image_column,
            target=label_column,
            image_size=shape,
            require_target=labeled,
        )
    if any((path / name).exists() for name in _CIFAR):
        return load_cifar(path, part).resized(shape)
    if any(path.glob("*idx3-ubyte*")):
        return load_mnist(path, part).resized(shape)
    if (path / part).is_dir() and any(item.is_dir() for item in (path / part).iterdir()):
        path = path / part
    pictures = sorted(item for item in path.iterdir() if _is_picture(item))
    if pictures and not labeled:
        return _loose(pictures, shape)
    _refuse_other_part(path, part)
    return load_image_folder(path, image_size=shape)


def _is_picture(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(EXTENSIONS)


def _loose(paths: Sequence[Path], shape: Sequence[int] | None) -> ImageTable:
    frame = pd.DataFrame({"file": [path.name for path in paths]})
    return ImageTable(frame, images=paths, image_size=shape)


def _refuse_other_part(path: Path, part: Part) -> None:
    folders = [item.name for item in path.iterdir() if item.is_dir() and not item.name.startswith(".")]
    if folders == ["train" if part == "test" else "test"]:
        raise InputError(
            f"holds the part {folders[0]} but no {part}",
            file=path,
            field="part",
            remedy=f"add the folder {part}, or give {path / folders[0]}",
        )
