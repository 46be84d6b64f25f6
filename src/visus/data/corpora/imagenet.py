"""ImageNet pictures: one folder per class named by its WordNet id, or files whose names begin with the id.

Labels are numbers into the sorted ids. Source: Russakovsky et al., 1409.0575.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from visus.data.formats import PICTURES
from visus.data.image_table import ImageTable
from visus.errors import InputError

_ID = re.compile(r"n\d{8}")


def load_imagenet(
    folder: str | Path,
    part: str | None = None,
    *,
    wnids: Sequence[str] | None = None,
    image_size: Sequence[int] | None = None,
) -> ImageTable:
    """Pictures with the target `label` (the class's id), class after class in the order of the ids.

    Parameters
    ----------
    folder : `<folder>/<id>/<picture>` or `<folder>/<id>_<name>.JPEG`; with `part` (`val`, `train`) the folder of
        that name in it.
    wnids : the classes that labels refer to; the folder's classes have to be among them.
    image_size : size to which the pictures, which differ in size, are resized.

    Raises
    ------
    InputError : no classes or no pictures, a class folder without pictures, folders not named by ids, `wnids` not
        in sorted order, or a class that is not among them.
    """
    place = _place(folder, part)
    found = dict(_classes(place))
    if wnids is not None:
        if list(wnids) != sorted(set(wnids)):
            remedy = "ImageNet's labels number the sorted ids; sort them"
            raise InputError("are not in sorted order, or doubled", field="wnids", remedy=remedy)
        strangers = sorted(set(found) - set(wnids))
        if strangers:
            problem = f"holds the class {strangers[0]}, which is not one of the {len(wnids)} given"
            raise InputError(problem, file=place, field="wnids", remedy="give the ids of all its classes")
    paths = [path for wnid in sorted(found) for path in found[wnid]]
    labels = [wnid for wnid in sorted(found) for _ in found[wnid]]
    frame = pd.DataFrame({"label": labels})
    return ImageTable(frame, images=paths, target="label", file=place, image_size=image_size)


def imagenet_wnids(folder: str | Path, part: str | None = None) -> tuple[str, ...]:
    """The ids of the classes of a folder, sorted: the order of ImageNet's labels."""
    return tuple(sorted(wnid for wnid, _ in _classes(_place(folder, part))))


def _place(folder: str | Path, part: str | None) -> Path:
    place = Path(folder) / part if part else Path(folder)
    if not place.is_dir():
        raise InputError("is not a folder", file=place, remedy="give the folder that holds the class folders")
    return place


def _classes(place: Path) -> Iterator[tuple[str, list[Path]]]:
    """Id and pictures of every class."""
    visible = sorted(item for item in place.iterdir() if not item.name.startswith("."))
    folders = [item for item in visible if item.is_dir()]
    if not folders:
        yield from _flat(place, visible)
        return
    named = [item for item in folders if _ID.fullmatch(item.name)]
    if not named:
        parts = [item.name for item in folders if item.name in ("train", "val")]
        remedy = f"give part={parts[0]!r}" if parts else "name each class folder by its id, such as n01440764"
        raise InputError("has no folders named by WordNet ids", file=place, remedy=remedy)
    if len(named) < len(folders):
        other = next(item for item in folders if item not in named)
        raise InputError("is not named by a WordNet id", file=other, remedy="move it elsewhere")
    for item in named:
        pictures = sorted(path for path in item.iterdir() if _is_picture(path))
        if not pictures:
            raise InputError("holds no pictures", file=item, remedy="remove the folder or add pictures")
        yield item.name, pictures


def _flat(place: Path, items: Sequence[Path]) -> Iterator[tuple[str, list[Path]]]:
    classes: dict[str, list[Path]] = {}
    for path in filter(_is_picture, items):
        named = _ID.match(path.name)
        if named is None:
            remedy = "begin each name with the class's id, as in n01440764_tench.JPEG"
            raise InputError("has no WordNet id in its name", file=path, remedy=remedy)
        classes.setdefault(named[0], []).append(path)
    if not classes:
        raise InputError("holds neither class folders nor pictures", file=place, remedy="check the folder")
    yield from classes.items()


def _is_picture(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(PICTURES)
