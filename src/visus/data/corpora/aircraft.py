"""FGVC-Aircraft in its published layout (`fgvc-aircraft-2013b/data`).

`images/<number>.jpg`; `variants.txt`, `families.txt`, `manufacturers.txt` with the class names in label order;
`images_<level>_<part>.txt` with a picture's number and its class per line. Source: Maji et al., 1306.5151.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from visus.data.corpora.class_lists import check_order
from visus.data.formats.text import read_text
from visus.data.image_table import ImageTable
from visus.errors import InputError

Level = Literal["variant", "family", "manufacturer"]
LEVELS: dict[Level, str] = {
    "variant": "variants.txt",
    "family": "families.txt",
    "manufacturer": "manufacturers.txt",
}
PARTS = ("train", "val", "trainval", "test")


def load_aircraft(
    folder: str | Path,
    part: Literal["train", "val", "trainval", "test"] = "train",
    *,
    level: Level = "variant",
    image_size: Sequence[int] | None = None,
) -> ImageTable:
    """Pictures of one part with the target `label` (class name), in the order of the list file.

    The pictures' lowest 20 rows hold a copyright line; they are read as they are.

    Parameters
    ----------
    folder : the unpacked archive or the `data` folder in it.
    level : 100 variants, 70 families or 30 manufacturers.
    image_size : size to which the pictures, which differ in size, are resized.

    Raises
    ------
    InputError : a file is missing, a line has no class or an unknown one, a picture stands twice or is missing,
        or the variants are the published ones in another order.
    """
    if part not in PARTS or level not in LEVELS:
        raise InputError(f"unknown part or level: {part}, {level}", field="part, level")
    data = _data(Path(folder))
    names = aircraft_names(folder, level)
    file = data / f"images_{level}_{part}.txt"
    classes: dict[str, str] = {}
    for line, text in enumerate(read_text(file).splitlines(), start=1):
        number, _, label = text.strip().partition(" ")
        if not number:
            continue
        if label not in names:
            problem = f"{label!r} is not in {LEVELS[level]}" if label else "names no class"
            raise InputError(problem, file=file, field=f"line {line}", remedy="unpack the archive again")
        if number in classes:
            raise InputError(f"picture {number} stands twice", file=file, field=f"line {line}")
        classes[number] = label
    if not classes:
        raise InputError("lists no pictures", file=file, remedy="unpack the archive again")
    paths = [data / "images" / f"{number}.jpg" for number in classes]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        problem = f"does not exist ({len(absent)} of {len(paths)} pictures are missing)"
        raise InputError(problem, file=absent[0], remedy="unpack the archive again")
    frame = pd.DataFrame({"label": list(classes.values())})
    return ImageTable(frame, images=paths, target="label", file=file, image_size=image_size)


def aircraft_names(folder: str | Path, level: Level = "variant") -> tuple[str, ...]:
    """Class names in label order."""
    path = _data(Path(folder)) / LEVELS[level]
    names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    if len(set(names)) < len(names):
        raise InputError("names a class twice", file=path, remedy="unpack the archive again")
    if level == "variant":
        check_order(names, "aircraft", file=path)
    return names


def _data(folder: Path) -> Path:
    found = next((each for each in (folder, folder / "data") if (each / "variants.txt").is_file()), None)
    if found is None:
        remedy = "give the unpacked folder fgvc-aircraft-2013b"
        raise InputError("is no FGVC-Aircraft folder: it has no variants.txt", file=folder, remedy=remedy)
    return found
