"""STL-10 in its binary layout (`stl10_binary`): 96 x 96 color pictures of ten classes.

`<part>_X.bin` holds pictures of 3 x 96 x 96 bytes, each channel column by column; `<part>_y.bin` one label 1..10
per picture (0: none); `class_names.txt` the names, label 1 first. Source: Coates, Ng, Lee, AISTATS 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from visus.data.corpora.class_lists import check_order
from visus.data.formats.picture import present
from visus.data.formats.text import read_text
from visus.data.image_table import ImageTable
from visus.errors import InputError

SIDE = 96
PIXELS = 3 * SIDE * SIDE
AGAIN = "unpack the archive again"


def load_stl10(folder: str | Path, part: Literal["train", "test", "unlabeled"] = "train") -> ImageTable:
    """Images (n, 3, 96, 96), uint8, with the target `label` (class name), in the order of the file.

    The part `unlabeled` (100,000 pictures, 2.6 GiB) has no target.

    Raises
    ------
    InputError : a file is missing or cut off, pictures and labels differ in number, a label has no name, or
        the names are the published ones in another order.
    """
    folder = Path(folder)
    if part not in ("train", "test", "unlabeled"):
        raise InputError(f"unknown part {part!r}", field="part", remedy="give train, test or unlabeled")
    images = _images(folder / f"{part}_X.bin")
    if part == "unlabeled":
        return ImageTable(pd.DataFrame(index=range(len(images))), images=images, file=folder)
    names = stl10_names(folder)
    path = folder / f"{part}_y.bin"
    numbers = np.fromfile(present(path), dtype=np.uint8).astype(np.int64)
    if len(numbers) != len(images):
        raise InputError(f"{len(numbers)} labels for {len(images)} pictures", file=path, remedy=AGAIN)
    if numbers.min() < 1 or numbers.max() > len(names):
        worst = int(numbers.min()) if numbers.min() < 1 else int(numbers.max())
        raise InputError(f"label {worst} where 1 to {len(names)} are named", file=path, remedy=AGAIN)
    frame = pd.DataFrame({"label": [names[number - 1] for number in numbers.tolist()]})
    return ImageTable(frame, images=images, target="label", file=folder)


def stl10_names(folder: str | Path) -> tuple[str, ...]:
    """Class names in label order, from `class_names.txt`."""
    path = Path(folder) / "class_names.txt"
    names = tuple(read_text(path).split())
    check_order(names, "stl10", file=path)
    return names


def _images(path: Path) -> UInt8[np.ndarray, "n 3 96 96"]:
    content = np.fromfile(present(path), dtype=np.uint8)
    if len(content) % PIXELS:
        raise InputError(f"{len(content)} bytes are not a multiple of {PIXELS}", file=path, remedy=AGAIN)
    return np.ascontiguousarray(content.reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2))
