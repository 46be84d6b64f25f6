"""COCO 2017 instances: photographs with the outlines of objects of 80 classes.

`annotations/instances_<split>2017.json` with the pictures in `<split>2017/` or `images/<split>2017/`; splits train
and val (the annotations of test are not published).

Source: Lin et al., 1405.0312.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int

from visus.data.corpora.stills import Object, Part, Stills, View, entry, numbers, paint
from visus.data.formats.images import write_picture
from visus.data.formats.rle import decode_mask, encode_mask, fill_polygons
from visus.data.loader import iterate
from visus.errors import InputError
from visus.protocols import Source
from visus.records import read_json, write_json

SPLITS: dict[Part, str] = {"train": "train", "validation": "val"}
Choice = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One outlined object."""

    category: str
    box: tuple[float, ...]
    """x, y, width, height in pixels."""
    area: float
    outline: Mapping[str, Any] | list[np.ndarray]
    """Run lengths or polygons."""
    number: int
    """Place in the file's list, for error messages."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture's entry with its objects, the largest first."""

    file_name: str
    height: int
    width: int
    objects: list[Annotation]


class Coco(Stills):
    """One split of COCO.

    Objects come by falling area, so the largest remain when there are more than `max_objects`, and small ones lie
    above large ones where outlines overlap. They have `category` and `box` (x, y, width, height in 0..1 of
    what is kept of the picture; zeros where nothing of it is). `boxes` are the annotated ones, also of objects
    too small for a pixel of the resized mask.

    `crowds` counts the outlines of crowds (`iscrowd`), `empty` the pictures without objects, in the whole file.
    """

    crowds = 0
    empty = 0

    def __init__(self, photographs: list[Photograph], file: Path, images: Path, *, view: View) -> None:
        self.file, self.photographs = file, photographs
        paths = [images / item.file_name for item in photographs]
        super().__init__(paths, [path.stem for path in paths], view=view, folder=file)

    def objects(self, index: int) -> list[Object]:
        words = [item.category for item in self._kept(index)]
        boxes = self._corners(index)
        return [
            {"category": word, "box": (left, top, right - left, bottom - top)}
            for word, (top, left, bottom, right) in zip(words, boxes.tolist())
        ]

    def annotated_boxes(self, index: int) -> np.ndarray:
        made = np.zeros((self.view.max_objects, 4), dtype=np.float32)
        corners = self._corners(index)
        made[: len(corners)] = corners
        return made

    def whole_segmentation(self, index: int, height: int, width: int) -> Int[np.ndarray, "h w"]:
        photograph = self.photographs[self.entries[index]]
        if (photograph.height, photograph.width) != (height, width):
            problem = f"has {height} x {width} pixels, {self.file.name} says {photograph.height} x "
            problem += f"{photograph.width}"
            raise InputError(problem, file=self.paths[index], remedy="download the picture again")
        masks = [self._mask(item, height, width) for item in self._kept(index)]
        return paint(masks, height, width, file=self.paths[index])

    def _kept(self, index: int) -> list[Annotation]:
        return self.photographs[self.entries[index]].objects[: self.view.max_objects]

    def _corners(self, index: int) -> np.ndarray:
        """Boxes [ymin, xmin, ymax, xmax] of what is kept of the picture, clipped to it."""
        photograph = self.photographs[self.entries[index]]
        boxes = np.array([item.box for item in self._kept(index)], dtype=np.float64).reshape(-1, 4)
        top, left, rows, columns = self.view.window(photograph.height, photograph.width)
        x, y, w, h = boxes.T
        corners = np.stack([y - top, x - left, y + h - top, x + w - left], axis=1)
        corners = np.clip(corners / np.array([rows, columns, rows, columns]), 0, 1)
        seen = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        return corners * seen[:, None]

    def _mask(self, item: Annotation, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        field = f"annotations[{item.number}].segmentation"
        if isinstance(item.outline, list):
            return fill_polygons(item.outline, height, width, file=self.file, field=field)
        return decode_mask(item.outline, file=self.file, field=field)


def read_coco(
    folder: str | Path,
    part: Part = "train",
    *,
    crowd: Choice = "drop",
    empty: Choice = "keep",
    view: View | None = None,
) -> Coco:
    """A split of COCO 2017.

    Parameters
    ----------
    crowd : `drop` leaves out outlines of whole crowds (their pixels are background), `keep` takes them for objects.
    empty : `drop` leaves out pictures without objects.

    Raises
    ------
    InputError : the annotations are absent or damaged (file and place), or name an unknown picture or class.
    """
    folder = Path(folder)
    if part not in SPLITS:
        remedy = "use the part validation"
        raise InputError("COCO publishes no annotations of its test part", file=folder, remedy=remedy)
    split = f"{SPLITS[part]}2017"
    file = folder / "annotations" / f"instances_{split}.json"
    if not file.exists():
        raise InputError("does not exist", file=file, field=f"part {part}", remedy="give the folder above it")
    images = folder / "images" / split
    images = images if images.is_dir() else folder / split
    content = read_json(file)
    names = _categories(content, file)
    photographs = _photographs(content, file)
    crowds = _attach(content, photographs, names, file, keep_crowd=crowd == "keep")
    listed = [photographs[key] for key in sorted(photographs)]
    bare = sum(not item.objects for item in listed)
    chosen = [item for item in listed if item.objects or empty == "keep"]
    source = Coco(chosen, file, images, view=view or View())._settle()
    source.crowds, source.empty = crowds, bare
    return source


def write_coco(
    folder: str | Path,
    source: Source,
    *,
    part: Part = "train",
    category: str = "category",
    ending: Literal[".png", ".jpg"] = ".png",
) -> Path:
    """Write stills with objects and segmentation in COCO's layout; returns the annotations, written last.

    Outlines are packed run lengths, boxes and areas those of the outlines; an object without a pixel is left
    out. `category` names the attribute that becomes the class.
    """
    folder, split = Path(folder), f"{SPLITS[part]}2017"
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for batch in iterate(source, 16):
        for i, objects in enumerate(batch["objects"]):
            number = len(images) + 1
            name = f"{number:012d}{ending}"
            height, width = batch["image"].shape[-2:]
            write_picture(folder / split / name, batch["image"][i].numpy())
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            for j, item in enumerate(objects):
                mask = batch["segmentation"][i].numpy() == j + 1
                if category not in item:
                    where = f"picture {number - 1}, object {j}, {category}"
                    raise InputError("is missing", field=where, remedy="name the attribute to use as class")
                if mask.any():
                    annotations.append(_as_annotation(mask, number, len(annotations) + 1, item[category]))
    words = sorted({made["category_id"] for made in annotations})
    for made in annotations:
        made["category_id"] = words.index(made["category_id"]) + 1
    kinds = [{"id": i + 1, "name": word, "supercategory": "object"} for i, word in enumerate(words)]
    file = folder / "annotations" / f"instances_{split}.json"
    write_json(file, {"images": images, "annotations": annotations, "categories": kinds})
    return file


def _as_annotation(mask: Bool[np.ndarray, "h w"], image: int, number: int, word: str) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": word,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": encode_mask(mask),
    }


def _categories(content: Any, file: Path) -> dict[int, str]:
    listed = entry(content, "categories", list, file=file, field="(top)")
    made = {}
    for i, item in enumerate(listed):
        key = entry(item, "id", int, file=file, field=f"categories[{i}]")
        made[key] = entry(item, "name", str, file=file, field=f"categories[{i}]")
    return made


def _photographs(content: Any, file: Path) -> dict[int, Photograph]:
    made: dict[int, Photograph] = {}
    for i, item in enumerate(entry(content, "images", list, file=file, field="(top)")):
        where = f"images[{i}]"
        name = entry(item, "file_name", str, file=file, field=where)
        height, width = (entry(item, side, int, file=file, field=where) for side in ("height", "width"))
        made[entry(item, "id", int, file=file, field=where)] = Photograph(name, height, width, [])
    return made


def _attach(
    content: Any, photographs: dict[int, Photograph], names: dict[int, str], file: Path, *, keep_crowd: bool
) -> int:
    """Give every picture its objects, the largest first; returns the number of crowds."""
    crowds = 0
    for i, item in enumerate(entry(content, "annotations", list, file=file, field="(top)")):
        where = f"annotations[{i}]"
        crowd = bool(item.get("iscrowd", 0)) if isinstance(item, Mapping) else False
        crowds += crowd
        if crowd and not keep_crowd:
            continue
        picture = photographs.get(entry(item, "image_id", int, file=file, field=where))
        name = names.get(entry(item, "category_id", int, file=file, field=where))
        if picture is None or name is None:
            field, what = ("image_id", "picture") if picture is None else ("category_id", "class")
            problem = f"is {item[field]}, but no {what} has this id"
            raise InputError(problem, file=file, field=f"{where}.{field}", remedy="download the file again")
        box = numbers(item.get("bbox"), 4, file=file, field=f"{where}.bbox")
        outline = entry(item, "segmentation", (dict, list), file=file, field=where)
        if isinstance(outline, list):
            outline = [_polygon(part, file, f"{where}.segmentation") for part in outline]
        area = float(entry(item, "area", (int, float), file=file, field=where))
        picture.objects.append(Annotation(name, box, area, outline, i))
    for picture in photographs.values():
        picture.objects.sort(key=lambda made: -made.area)
    return crowds


def _polygon(part: Any, file: Path, field: str) -> np.ndarray:
    """Corners as 32-bit numbers: lists of Python numbers would take ten times the memory."""
    try:
        return np.asarray(part, dtype=np.float32)
    except (TypeError, ValueError):
        remedy = "download the file again"
        raise InputError("holds what is no polygon", file=file, field=field, remedy=remedy) from None
