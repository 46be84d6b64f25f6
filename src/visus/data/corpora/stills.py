"""Still pictures of several objects with their ground truth: what the corpora of scenes have in common.

| field | shape, type | meaning |
|---|---|---|
| image | b 3 h w float32 | color in 0..1 |
| objects | list of lists of dicts | the objects of a picture: attribute -> text, number or tuple of numbers |
| num_instances | b int64 | how many they are |
| segmentation | b h w uint8 | 0 background, i+1 = object i |
| boxes | b m 4 float32 | ymin xmin ymax xmax in 0..1, zeros past the last object |
| visibility | b m int64 | visible pixels |
| target | list of str | class of the picture, where it has one |
| name | list of str | |

Fields that a corpus does not have are absent keys; `m` is the most objects a source was asked for.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from visus.data.cache import ImageCache
from visus.data.formats.images import read_picture
from visus.data.image_table import resize
from visus.data.instances import boxes_and_visibility
from visus.data.loader import Indices, as_indices
from visus.errors import InputError
from visus.protocols import Batch
from visus.records import read_json, record, write_json

Part = Literal["train", "validation", "test"]
Bad = Literal["refuse", "skip"]
Object = dict[str, Any]
"""Attribute -> text, number or tuple of numbers."""

CACHE_BYTES = 512 * 2**20
"""Most memory that the decoded pictures of one source may occupy between batches."""


@record
class View:
    """How pictures are cut and sized, and what happens to those that cannot be read."""

    size: int | tuple[int, int] | None = 128
    """Rows and columns of every picture (one number: both); None keeps the files' size."""
    crop: float | None = None
    """Side of the centered square that is kept, as a share of the shorter side; None keeps the whole picture,
    squeezed into `size`."""
    max_objects: int = 10
    """Most objects per picture; those past them become background."""
    bad: Bad = "refuse"
    """`refuse`: an absent picture is an error at once, a damaged one when it is read. `skip`: every picture is
    decoded once at the start, and those that cannot be read are left out."""

    def shape(self) -> tuple[int, int] | None:
        """Rows and columns, None for the files' own."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """First row, first column, rows and columns of what is kept of a picture.

        >>> View(crop=0.8).window(240, 320)
        (24, 64, 192, 192)
        """
        if self.crop is None:
            return 0, 0, height, width
        side = max(int(self.crop * min(height, width)), 1)
        return (height - side) // 2, (width - side) // 2, side, side


class Stills(ABC):
    """Pictures with objects as a source; corpora say where pictures, objects and masks are.

    `paths` are the picture files, `names` their names, `skipped` the names left out (with `bad="skip"`).
    """

    has_masks = True

    def __init__(self, paths: Sequence[Path], names: Sequence[str], *, view: View, folder: Path) -> None:
        self.view, self.folder = _checked(view), folder
        self.paths, self.names = list(paths), list(names)
        self.entries = list(range(len(self.paths)))
        self.skipped: list[str] = []
        self._cache = ImageCache(CACHE_BYTES)

    @abstractmethod
    def objects(self, index: int) -> list[Object]:
        """The objects of picture `index`, at most `view.max_objects`."""

    @abstractmethod
    def whole_segmentation(self, index: int, height: int, width: int) -> Int[np.ndarray, "h w"]:
        """Object numbers over the whole picture of that size, not yet cut or resized."""

    def annotated_boxes(self, index: int) -> np.ndarray | None:
        """Boxes (m, 4) where the corpus states them; None takes them from the segmentation."""
        return None

    def target(self, index: int) -> str | None:
        """The picture's class, None where pictures have none."""
        return None

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Indices) -> Batch:
        """The named pictures. A file that cannot be read is an `InputError` naming it."""
        index = as_indices(indices, len(self)).tolist()
        planes = [self._planes(i) for i in index]
        for i, plane in zip(index, planes):
            if plane.shape != planes[0].shape:
                problem = f"has {tuple(plane.shape[1:])} pixels, {self.names[index[0]]} in the same batch "
                problem += f"{tuple(planes[0].shape[1:])}"
                raise InputError(problem, file=self.paths[i], field="size", remedy="give a size")
        stacked = torch.stack(planes) if planes else torch.zeros(0, 4, 1, 1, dtype=torch.uint8)
        batch: Batch = {
            "image": stacked[:, :3].float() / 255,
            "objects": [self.objects(i) for i in index],
            "name": [self.names[i] for i in index],
        }
        batch["num_instances"] = torch.tensor([len(listed) for listed in batch["objects"]], dtype=torch.int64)
        if self.has_masks:
            batch |= self._ground_truth(stacked[:, 3], index)
        targets = [self.target(i) for i in index]
        if targets and all(target is not None for target in targets):
            batch["target"] = targets
        return batch

    @functools.cached_property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Every attribute whose values are words -> the words that occur, sorted."""
        found: dict[str, set[str]] = {}
        for index in range(len(self)):
            for item in self.objects(index):
                for name, value in item.items():
                    if isinstance(value, str):
                        found.setdefault(name, set()).add(value)
        return {name: tuple(sorted(values)) for name, values in sorted(found.items())}

    def subset(self, indices: Indices) -> Self:
        """Some pictures as a source of their own; decoded pictures are shared."""
        index = as_indices(indices, len(self)).tolist()
        if not index:
            raise InputError("has no items", field="subset", remedy="choose at least one item")
        part = copy.copy(self)
        vars(part).pop("attributes", None)
        for name in ("paths", "names", "entries"):
            setattr(part, name, [getattr(self, name)[i] for i in index])
        return part

    def fingerprint(self) -> str:
        """Hash of the view, the names, the sizes of the picture files and the objects."""
        digest = hashlib.sha256(repr(self.view).encode())
        for index, path in enumerate(self.paths):
            size = path.stat().st_size if path.exists() else -1
            digest.update(f"{self.names[index]}:{size}:{self.target(index)}".encode())
            digest.update(json.dumps(self.objects(index), sort_keys=True).encode())
        return digest.hexdigest()

    def _settle(self) -> Self:
        """Refuse or leave out pictures that cannot be read; corpora call this once they are complete."""
        if not self.paths:
            raise InputError("lists no pictures", file=self.folder, remedy="give at least one picture")
        if self.view.bad == "refuse":
            absent = [path for path in self.paths if not path.exists()]
            if absent:
                problem = f"does not exist ({len(absent)} of {len(self.paths)} pictures are missing)"
                raise InputError(problem, file=absent[0], remedy='copy them, or leave them out (bad="skip")')
            return self
        kept, skipped = [], []
        for index, name in enumerate(self.names):
            try:
                self._planes(index)
                self.objects(index)
                kept.append(index)
            except InputError:
                skipped.append(name)
        if not kept:
            raise InputError(f"none of {len(self)} pictures can be read", file=self.folder)
        part = self if len(kept) == len(self) else self.subset(kept)
        part.skipped = skipped
        return part

    def _planes(self, index: int) -> UInt8[Tensor, "4 h w"]:
        """Red, green, blue and object numbers of one picture, cut and sized."""
        key = (str(self.paths[index]), self.entries[index])
        found = self._cache.get(key)
        if found is None:
            found = self._decoded(index)
            self._cache.put(key, found)
        return found

    def _decoded(self, index: int) -> UInt8[Tensor, "4 h w"]:
        array = read_picture(self.paths[index]).array
        if array.ndim != 3:
            raise InputError("has several pages", file=self.paths[index], remedy="give one picture per file")
        pixels = torch.from_numpy(array).expand(3, -1, -1)
        height, width = pixels.shape[1:]
        top, left, rows, columns = self.view.window(height, width)
        shape = self.view.shape() or (rows, columns)
        image = resize(pixels[None, :, top : top + rows, left : left + columns], shape)[0]
        planes = torch.zeros(4, *shape, dtype=torch.uint8)
        planes[:3] = (image * 255).round().clamp(0, 255).byte()
        if self.has_masks:
            numbers = self.whole_segmentation(index, height, width)
            numbers = np.where(numbers > self.view.max_objects, 0, numbers)
            nearest = numbers[
                np.ix_(top + _nearest(rows, shape[0]), left + _nearest(columns, shape[1]))
            ]  # the pixel in which the new pixel's center lies
            planes[3] = torch.from_numpy(nearest.astype(np.uint8))
        return planes

    def _ground_truth(self, segmentation: UInt8[Tensor, "b h w"], index: list[int]) -> Batch:
        boxes, visible = boxes_and_visibility(segmentation.numpy(), self.view.max_objects)
        for place, i in enumerate(index):
            stated = self.annotated_boxes(i)
            if stated is not None:
                boxes[place] = stated
        return {
            "segmentation": segmentation,
            "boxes": torch.from_numpy(boxes),
            "visibility": torch.from_numpy(visible),
        }


def paint(masks: Sequence[np.ndarray], height: int, width: int, *, file: Path) -> Int[np.ndarray, "h w"]:
    """Masks (h, w) of objects 0, 1, ... as one map of object numbers; where they overlap, the later one shows."""
    numbers = np.zeros((height, width), dtype=np.int64)
    for i, mask in enumerate(masks):
        if mask.shape != numbers.shape:
            problem = f"the mask of object {i} has {mask.shape} pixels, the picture {numbers.shape}"
            raise InputError(problem, file=file, remedy="take masks and picture from the same release")
        numbers[mask] = i + 1
    return numbers


def write_attributes(path: str | Path, attributes: Mapping[str, Sequence[str]]) -> None:
    """Keep a vocabulary (`Stills.attributes`) as JSON, so that later data get the same numbers for the same words."""
    write_json(Path(path), {name: sorted(words) for name, words in attributes.items()})


def read_attributes(path: str | Path) -> dict[str, tuple[str, ...]]:
    """A vocabulary from `write_attributes`."""
    content = read_json(Path(path))
    if not isinstance(content, dict) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words) for words in content.values()
    ):
        raise InputError("is not a table of attribute -> words", file=path, remedy="write it again")
    return {name: tuple(words) for name, words in content.items()}


def entry(item: Any, name: str, kind: type | tuple[type, ...], *, file: Path, field: str) -> Any:
    """`item[name]`, if it is there and of that kind; otherwise an `InputError` naming file and place."""
    value = item.get(name) if isinstance(item, Mapping) else None
    if not isinstance(value, kind):
        what = "is missing" if value is None else f"is {type(value).__name__}, which cannot be used"
        raise InputError(what, file=file, field=f"{field}.{name}", remedy="download the file again")
    return value


def numbers(value: Any, count: int, *, file: Path, field: str) -> tuple[float, ...]:
    """A list of `count` finite numbers as a tuple, or an `InputError` naming file and place."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        raise InputError(f"is not {count} numbers", file=file, field=field, remedy="download the file again")
    if not all(isinstance(part, int | float) and np.isfinite(part) for part in value):
        raise InputError("holds what is no number", file=file, field=field, remedy="download the file again")
    return tuple(float(part) for part in value)


def _checked(view: View) -> View:
    shape = view.shape()
    if shape is not None and min(shape) < 1:
        raise InputError(f"must be at least 1, got {view.size}", field="size")
    if view.crop is not None and not 0 < view.crop <= 1:
        raise InputError(f"must lie above 0 and at most at 1, got {view.crop}", field="crop")
    if not 1 <= view.max_objects <= 255:
        raise InputError(f"must lie in 1..255, got {view.max_objects}", field="max_objects")
    if view.bad not in ("refuse", "skip"):
        raise InputError(f"must be refuse or skip, got {view.bad}", field="bad")
    return view


def _nearest(old: int, new: int) -> Int[np.ndarray, " n"]:
    return ((np.arange(new) + 0.5) * old / new).astype(np.int64)
