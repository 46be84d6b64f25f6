"""Images with where readers looked: one row per image, one geometry for everything that has a place."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Shaped, UInt8
from torch import Tensor

from visus.data.cache import ImageCache
from visus.data.gaze.density import Weight, countable, density_on
from visus.data.gaze.fixations import DropReport
from visus.data.gaze.placement import Placement
from visus.data.gaze.radiograph import native_size, read_radiograph
from visus.data.image_table import CACHE_BYTES, ImageTable
from visus.data.loader import Indices, as_indices
from visus.data.splits import grouped_stratified_split
from visus.errors import InputError
from visus.protocols import Batch
from visus.records import record

Mask = np.ndarray | Tensor | Callable[[], np.ndarray | None] | None
Box = Mapping[str, Any]

NAME_COLUMNS = ("name", "image", "image_id", "dicom_id")
"""The first of these columns that a frame has names the images; it is no feature."""
NO_FIXATIONS = np.zeros((0, 3), dtype=np.float32)


@record
class View:
    """How images and gaze are given out.

    `image_size` (height, width), None for the native size; `fit` keeps the aspect with zeros around (`pad`)
    or fills (`stretch`); `sigma_px` is the width of the gaze Gaussians in native pixels (None: 2.97 % of the
    native width); `weight` weighs fixations by duration or counts them.
    """

    image_size: tuple[int, int] | None = None
    fit: Literal["pad", "stretch"] = "pad"
    sigma_px: float | None = None
    weight: Weight = "duration"

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))
        Placement.of((1, 1), self.image_size or (1, 1), self.fit)
        if self.weight not in ("duration", "count"):
            raise InputError(f"must be duration or count, got {self.weight}", field="weight")
        if self.sigma_px is not None and not self.sigma_px > 0:
            raise InputError(f"must be above 0, got {self.sigma_px}", field="sigma_px")


class GazeTable(ImageTable):
    """A source of radiographs with gaze.

    A batch holds `image` (b, 1, h, w) in 0..1, `gaze` (b, h, w) float32 that sums to 1 per image (zeros where
    nobody looked), `has_gaze` (b,) bool, `fixations` (list of (n, 3) float32 tensors: x, y in pixels of
    `image` with centers at +0.5, seconds), `row`, `name`, `patient` (the group, else the name), `target` if
    there is one, and where known `segmentation` (b, h, w) uint8 (1 right lung, 2 left lung, 3 heart and
    mediastinum) and `boxes` (per image a list of {name, box: [x1, y1, x2, y2] in pixels of `image`}).

    Density maps are made on the grid they are given out on, so no resizing can un-normalize them.

    Parameters
    ----------
    frame : one row per image; a column `name`, `image`, `image_id` or `dicom_id` names the images.
    images : (n, 1, h, w) or one path per row, as for `ImageTable`.
    fixations : per image (n, 3) x, y in native pixels and seconds, or None without a reading.
    native : per image the (height, width) in whose pixels fixations, masks and boxes are given, where the
        image files are scaled copies; None: the image's own size.
    view : how images and gaze are given out.

    Raises
    ------
    InputError : as `ImageTable`; fixations of another number or shape.

    >>> looked = [np.array([[4.0, 4.0, 0.5]]), None]
    >>> table = GazeTable(pd.DataFrame({"name": ["a", "b"]}), images=torch.rand(2, 1, 8, 8), fixations=looked)
    >>> table.batch([0, 1])["has_gaze"].tolist()
    [True, False]
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        images: Tensor | np.ndarray | Sequence[Path],
        fixations: Sequence[np.ndarray | Tensor | None],
        target: str | None = None,
        group: str | None = None,
        file: str | Path | None = None,
        view: View | None = None,
        native: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(frame, images=images, target=target, group=group, file=file, read=read_radiograph)
        if self.images is not None and (self.images.ndim != 4 or self.images.shape[1] != 1):
            problem = f"shape {tuple(self.images.shape)} is not (n, 1, h, w)"
            raise InputError(problem, file=file, field="images", remedy="give one gray channel")
        if len(fixations) != len(self):
            raise InputError(
                f"{len(fixations)} sets of fixations for {len(self)} rows", file=file, field="fixations"
            )
        if native is not None and len(native) != len(self):
            raise InputError(f"{len(native)} sizes for {len(self)} rows", file=file, field="native")
        self._fixations = [_checked(rows, i, file) for i, rows in enumerate(fixations)]
        self._native = None if native is None else [(int(h), int(w)) for h, w in native]
        self._masks: list[Mask] | None = None
        self._boxes: list[Sequence[Box]] | None = None
        self._sizes: dict[int, tuple[int, int]] = {}
        self.dropped = DropReport(kept=sum(len(rows) for rows in self._fixations))
        self._name_column = next(
            (name for name in NAME_COLUMNS if name in self.frame and name != target), None
        )
        self.view = View()
        self._show(view or View())

    def with_regions(
        self,
        *,
        segmentation: Sequence[Mask] | Tensor | np.ndarray | None = None,
        boxes: Sequence[Sequence[Box]] | None = None,
    ) -> Self:
        """The same items with masks (h, w) and boxes in native pixels.

        A mask is an array, None where there is none, or a function that reads it when needed. A table in
        which any image has a mask gives `segmentation` for all, zeros where there is none.
        """
        made = copy.copy(self)
        for field, given in (("segmentation", segmentation), ("boxes", boxes)):
            if given is not None and len(given) != len(self):
                raise InputError(f"{len(given)} for {len(self)} rows", file=self.file, field=field)
        made._masks = self._masks if segmentation is None else list(segmentation)
        made._boxes = self._boxes if boxes is None else [list(few) for few in boxes]
        made._maps = ImageCache(CACHE_BYTES)
        return made

    def reported(self, dropped: DropReport) -> Self:
        """The same items with the reader's account of the rows it dropped."""
        made = copy.copy(self)
        made.dropped = dropped
        return made

    def viewed(self, view: View) -> Self:
        """The same items given out in another way."""
        if view == self.view:
            return self
        made = copy.copy(self)
        made._show(view)
        return made

    def resized(self, size: Sequence[int] | None) -> Self:
        """The same items at another size; None changes nothing."""
        if size is None:
            return self
        return self.viewed(dataclasses.replace(self.view, image_size=(int(size[0]), int(size[1]))))

    @property
    def columns(self) -> list[str]:
        """The feature columns: all but target, group and the images' names."""
        return [name for name in super().columns if name != self._name_column]

    @property
    def names(self) -> list[str]:
        """Every image's id: the column that names it, else the file's stem, else its row number."""
        if self._name_column is not None:
            return [str(name) for name in self.frame[self._name_column]]
        if self.paths is not None:
            return [path.stem for path in self.paths]
        return [str(number) for number in self._row_numbers.tolist()]

    @property
    def patients(self) -> list[Any]:
        """Every image's group; without a group column each image stands for itself."""
        return self.groups if self.group is not None else self.names  # pyright: ignore[reportReturnType]

    @property
    def has_gaze(self) -> list[bool]:
        """Whether any fixation of an image counts under the view's weight."""
        return [
            len(countable(rows, self._native_size(i), self.view.weight)) > 0 if len(rows) else False
            for i, rows in enumerate(self._fixations)
        ]

    def batch(self, indices: Indices) -> Batch:
        """The named items. A picture that cannot be read is an `InputError` naming file, column and line."""
        index = as_indices(indices, len(self)).tolist()
        batch = super().batch(index)
        names, patients = self.names, self.patients
        placed = [self.placement(i) for i in index]
        space = tuple(batch["image"].shape[-2:]) if index else (0, 0)
        gaze = [self._density(i, place) for i, place in zip(index, placed)]
        batch["gaze"] = torch.stack(gaze) if gaze else torch.zeros(0, *space)
        batch["has_gaze"] = batch["gaze"].flatten(1).any(1) if gaze else torch.zeros(0, dtype=torch.bool)
        batch["fixations"] = [self._looked(i, place) for i, place in zip(index, placed)]
        batch["name"], batch["patient"] = [names[i] for i in index], [patients[i] for i in index]
        if self._masks is not None and index:
            batch["segmentation"] = torch.stack([self._regions(i, place) for i, place in zip(index, placed)])
        if self._boxes is not None:
            batch["boxes"] = [self._boxed(i, place) for i, place in zip(index, placed)]
        return batch

    def subset(self, indices: Indices) -> Self:
        """Some items as a table of their own; decoded images and maps are shared with this one."""
        index = as_indices(indices, len(self)).tolist()
        part = super().subset(index)
        part._fixations = [self._fixations[i] for i in index]
        part._native = None if self._native is None else [self._native[i] for i in index]
        part._masks = None if self._masks is None else [self._masks[i] for i in index]
        part._boxes = None if self._boxes is None else [self._boxes[i] for i in index]
        return part

    def split(self, fractions: Mapping[str, float], *, seed: int) -> dict[str, Self]:
        """Parts by name: no patient is in two of them, classes (if known) keep their shares."""
        labels = self.targets if self.target is not None else [0] * len(self)
        parts = grouped_stratified_split(labels, self.patients, fractions, seed)
        return {name: self.subset(index) for name, index in parts.items()}

    def fingerprint(self) -> str:
        """Hash of the table, the images, the fixations and the view."""
        digest = hashlib.sha256(super().fingerprint().encode())
        digest.update(repr((self.view, self._native)).encode())
        for rows in self._fixations:
            digest.update(len(rows).to_bytes(8, "little") + rows.tobytes())
        return digest.hexdigest()

    def report(self) -> str:
        """How many images have gaze, and what the reader dropped, by reason."""
        seen = sum(self.has_gaze)
        counts = pd.Series(self.targets).value_counts(sort=False) if self.target is not None else None
        lines = [f"{len(self)} images of {len(set(self.patients))} patients, {seen} with gaze"]
        if counts is not None:
            lines.append("  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        return "\n".join([*lines, self.dropped.text()])

    def _show(self, view: View) -> None:
        self.view, self.image_size = view, view.image_size
        self._cache, self._maps = ImageCache(CACHE_BYTES), ImageCache(CACHE_BYTES)

    def _sized(self, images: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c ..."]:
        return Placement.of(images.shape[-2:], self.view.image_size, self.view.fit).picture(images)

    def _size(self, i: int) -> tuple[int, int]:
        """(height, width) of the image file or tensor."""
        if self.images is not None:
            return int(self.images.shape[-2]), int(self.images.shape[-1])
        assert self.paths is not None
        row = int(self._row_numbers[i])
        if row not in self._sizes:
            self._sizes[row] = native_size(self.paths[i])
        return self._sizes[row]

    def _native_size(self, i: int) -> tuple[int, int]:
        return self._size(i) if self._native is None else self._native[i]

    def placement(self, i: int) -> Placement:
        """From native pixels to the output, along the path the image itself takes."""
        placed = Placement.of(self._size(i), self.view.image_size, self.view.fit)
        return placed if self._native is None else dataclasses.replace(placed, native=self._native[i])

    def _density(self, i: int, placed: Placement) -> Float32[Tensor, "h w"]:
        if not len(self._fixations[i]):
            return torch.zeros(placed.size)
        key = int(self._row_numbers[i])
        found = self._maps.get(key)
        if found is None:
            found = density_on(
                placed, self._fixations[i], sigma_px=self.view.sigma_px, weight=self.view.weight
            )
            self._maps.put(key, found)
        return found

    def _looked(self, i: int, placed: Placement) -> Float32[Tensor, "n 3"]:
        rows = countable(self._fixations[i], placed.native, self.view.weight)
        xy = placed.points(rows[:, :2].numpy())
        return torch.cat([torch.from_numpy(xy), rows[:, 2:]], dim=1).float()

    def _regions(self, i: int, placed: Placement) -> UInt8[Tensor, "h w"]:
        assert self._masks is not None
        key = ("mask", int(self._row_numbers[i]))
        found = self._maps.get(key)
        if found is None:
            given = self._masks[i]
            found = _mask(given() if callable(given) else given, placed)
            self._maps.put(key, found)
        return found

    def _boxed(self, i: int, placed: Placement) -> list[dict[str, Any]]:
        assert self._boxes is not None
        return [{**box, "box": placed.box(box["box"])} for box in self._boxes[i]]


def _mask(given: np.ndarray | Tensor | None, placed: Placement) -> UInt8[Tensor, "h w"]:
    if given is None:
        return torch.zeros(placed.size, dtype=torch.uint8)
    labels: Shaped[Tensor, "h w"] = torch.as_tensor(given).to(torch.uint8)
    if labels.ndim != 2:
        raise InputError(f"shape {tuple(labels.shape)} is not (h, w)", field="segmentation")
    return placed.labels(labels[None])[0]


def _checked(rows: np.ndarray | Tensor | None, i: int, file: str | Path | None) -> np.ndarray:
    if rows is None:
        return NO_FIXATIONS
    array = rows.detach().cpu().numpy() if isinstance(rows, Tensor) else np.asarray(rows)
    if array.ndim != 2 or array.shape[1] != 3:
        problem = f"item {i} has shape {array.shape}, not (n, 3)"
        raise InputError(problem, file=file, field="fixations", remedy="give x, y and seconds per row")
    return np.ascontiguousarray(array, dtype=np.float32)
