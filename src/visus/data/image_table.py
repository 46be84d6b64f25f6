"""Images with one table row each: the source behind every method that reads pictures or volumes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pandas.util import hash_pandas_object
from torch import Tensor

from visus.data.cache import ImageCache
from visus.data.formats import read_image
from visus.data.formats.arrays import scaled
from visus.data.formats.table import line_of, read_table, require_column
from visus.data.loader import Indices, as_indices
from visus.data.tables.source import RowTable, whole_target
from visus.errors import InputError
from visus.protocols import Batch

CACHE_BYTES = 512 * 2**20
"""Most memory that decoded images of one table may occupy between batches."""


class ImageTable(RowTable):
    """A source of images with table rows, and a target if there is one.

    A batch holds `image` (float32, (b, c, *space)), `row` (a dict per item: the feature columns, missing
    values as None) and, with a target, `target` (a list of Python values). Target and group are not part of
    `row`, so a method that takes all columns as features cannot see them.

    Parameters
    ----------
    frame : one row per image, any index.
    images : tensor or array (n, c, *space) - uint8 and uint16 are scaled to 0..1, other types are taken as
        they are - or one path per row, read when needed.
    target : column to predict.
    group : column naming what must not be torn apart by a split (the patient).
    file : the table's file, for error messages.
    image_size : *space to which every image is resized (area-preserving linear interpolation).
    read : path -> image (c, *space); by default `visus.data.formats.read_image`.

    Raises
    ------
    InputError : no rows, lengths differ, a named column is absent, duplicated columns, or a target is
        missing.

    >>> frame = pd.DataFrame({"age": [30.0, 50.0], "y": ["a", "b"]})
    >>> table = ImageTable(frame, images=torch.rand(2, 1, 8, 8), target="y")
    >>> table.batch([1])["row"], table.batch([1])["target"]
    ([{'age': 50.0}], ['b'])
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        images: Tensor | np.ndarray | Sequence[Path],
        target: str | None = None,
        group: str | None = None,
        file: str | Path | None = None,
        image_size: Sequence[int] | None = None,
        read: Callable[[Path], Tensor] | None = None,
    ) -> None:
        super().__init__(frame, target=target, group=group, file=file)
        self.image_size = tuple(int(size) for size in image_size) if image_size is not None else None
        self.read = read or _read_pixels
        self.paths: list[Path] | None = None
        self.images: Tensor | None = None
        if isinstance(images, Tensor | np.ndarray):
            self.images = _checked_images(images)
        else:
            self.paths = [Path(path) for path in images]
        count = len(self.paths) if self.paths is not None else len(images)
        if count != len(self.frame):
            raise InputError(f"{count} images for {len(self.frame)} rows", file=file, field="images")
        self._row_numbers = np.arange(len(self.frame))
        self._image_field = "image"
        self._cache = ImageCache(CACHE_BYTES)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        image_column: str,
        target: str | None = None,
        group: str | None = None,
        root: str | Path | None = None,
        require_target: bool = True,
        image_size: Sequence[int] | None = None,
        read: Callable[[Path], Tensor] | None = None,
    ) -> ImageTable:
        """Read a table whose `image_column` names an image file (or a folder with a DICOM series) per row.

        Relative paths resolve against `root`, by default the table's own folder. Separator (comma, semicolon,
        tab) and encoding are recognized. The image column does not stay in `frame`; its paths are in `paths`.

        Parameters
        ----------
        require_target : False accepts a table without the target column or with empty targets (for
            predicting); the source then has no target.

        Raises
        ------
        InputError : names the file, the column and the line of what is wrong.
        """
        path = Path(path)
        frame = read_table(path, text_columns=(image_column,))
        require_column(frame, image_column, file=path)
        if not require_target:
            frame, target = whole_target(frame, target)
        for column in (target, group):
            if column is not None:
                require_column(frame, column, file=path)
                if column == image_column:
                    raise InputError("is also the image column", file=path, field=column)
        paths = _resolve(
            frame[image_column].tolist(), image_column, Path(root) if root is not None else path.parent, path
        )
        table = cls(
            frame.drop(columns=[image_column]),
            images=paths,
            target=target,
            group=group,
            file=path,
            image_size=image_size,
            read=read,
        )
        table._image_field = image_column
        return table

    def batch(self, indices: Indices) -> Batch:
        """The named items. A picture that cannot be read is an `InputError` naming file, column and line."""
        index = as_indices(indices, len(self)).tolist()
        return {"image": self._pictures(index), **super().batch(index)}

    def subset(self, indices: Indices) -> Self:
        """Some items as a table of their own; decoded images are shared with this one."""
        index = as_indices(indices, len(self))
        part = super().subset(index)
        part.images = self.images[index] if self.images is not None else None
        part.paths = [self.paths[i] for i in index.tolist()] if self.paths is not None else None
        part._row_numbers = self._row_numbers[index.numpy()]
        return part

    def resized(self, size: Sequence[int] | None) -> Self:
        """The same items with images resized to *space `size`; None changes nothing."""
        if size is None:
            return self
        made = copy.copy(self)
        made.image_size = tuple(int(side) for side in size)
        return made

    def fingerprint(self) -> str:
        """Hash of the table and the images. Of image files: name, size, first and last 4 KiB."""
        digest = hashlib.sha256()
        digest.update(repr((list(self.frame.columns), self.target, self.group, self.image_size)).encode())
        digest.update(hash_pandas_object(self.frame, index=False).to_numpy().tobytes())  # pyright: ignore[reportCallIssue]
        if self.images is not None:
            digest.update(repr((self.images.dtype, tuple(self.images.shape))).encode())
            digest.update(self.images.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for path in self.paths or ():
            digest.update(path.name.encode())
            held = path if path.exists() else path.parent  # an item inside a container file
            for part in sorted(held.iterdir()) if held.is_dir() else [held]:
                digest.update(_ends(part))
        return digest.hexdigest()

    def _pictures(self, index: list[int]) -> Float[Tensor, "b ..."]:
        if self.images is not None:
            return self._sized(scaled_tensor(self.images[index]))
        pictures = [self._picture(i) for i in index]
        for i, picture in zip(index, pictures):
            if picture.shape != pictures[0].shape:
                raise InputError(
                    f"is {_shape(picture)}, but {self._name(index[0])} is {_shape(pictures[0])}",
                    file=self.file,
                    field=self._where(i),
                    remedy="give image_size to resize all, and one number of channels",
                )
        return torch.stack(pictures) if pictures else torch.zeros(0)

    def _picture(self, i: int) -> Float[Tensor, "c ..."]:
        assert self.paths is not None
        key = (str(self.paths[i]), self.image_size)
        found = self._cache.get(key)
        if found is None:
            try:
                picture = self.read(self.paths[i]).float()
            except InputError as error:
                where = f"{self._where(i)} ({self.paths[i]})"
                raise InputError(error.problem, file=self.file, field=where, remedy=error.remedy) from error
            if not torch.isfinite(picture).all():
                where = f"{self._where(i)} ({self.paths[i]})"
                raise InputError(
                    "holds values that are not finite numbers",
                    file=self.file,
                    field=where,
                    remedy="replace them, for example by 0",
                )
            found = self._sized(picture[None])[0]
            self._cache.put(key, found)
        return found

    def _sized(self, images: Float[Tensor, "b c ..."]) -> Float[Tensor, "b c ..."]:
        return images if self.image_size is None else resize(images, self.image_size)

    def _where(self, i: int) -> str:
        return f"column {self._image_field}, line {line_of(self._row_numbers[i])}"

    def _name(self, i: int) -> str:
        return str(self.paths[i].name) if self.paths is not None else f"line {line_of(self._row_numbers[i])}"


def resize(images: Float[Tensor, "b c ..."], size: Sequence[int]) -> Float[Tensor, "b c ..."]:
    """Linear interpolation to *space `size`; pictures are smoothed first when they shrink.

    >>> resize(torch.zeros(1, 3, 7, 9), (4, 4)).shape
    torch.Size([1, 3, 4, 4])
    """
    space = tuple(images.shape[2:])
    if space == tuple(size):
        return images
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}.get(len(space))
    if mode is None or len(size) != len(space) or min(size) < 1:
        raise InputError(f"cannot resize images of size {space} to {tuple(size)}", field="image_size")
    if mode == "bilinear":
        return F.interpolate(images, size=tuple(size), mode=mode, align_corners=False, antialias=True)
    if any(old > new for old, new in zip(space, size)):  # no antialiasing for volumes in torch: average first
        images = _shrink(images, [max(old // new, 1) for old, new in zip(space, size)])
    return F.interpolate(images, size=tuple(size), mode=mode, align_corners=False)


def _shrink(images: Tensor, factors: list[int]) -> Tensor:
    pool = F.avg_pool1d if len(factors) == 1 else F.avg_pool3d
    return pool(images, kernel_size=tuple(factors), stride=tuple(factors))


def scaled_tensor(images: Tensor) -> Tensor:
    """Pixels as float32; uint8 and uint16 are scaled to 0..1."""
    return (
        torch.from_numpy(scaled(images.numpy()))
        if images.dtype in (torch.uint8, torch.uint16)
        else images.float()
    )


def _read_pixels(path: Path) -> Float[Tensor, "c ..."]:
    return torch.from_numpy(read_image(path).array)


def _checked_images(images: Tensor | np.ndarray) -> Tensor:
    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.ndim < 3:
        raise InputError(f"images need axes (n, c, *space), got shape {tuple(tensor.shape)}", field="images")
    if tensor.is_complex():
        raise InputError("images must be real numbers", field="images")
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        item = int(torch.nonzero(~torch.isfinite(tensor).flatten(1).all(dim=1))[0])
        raise InputError(
            f"item {item} holds values that are not finite numbers",
            field="images",
            remedy="replace them, for example by 0",
        )
    return tensor


def _resolve(given_paths: list[Any], column: str, root: Path, file: Path) -> list[Path]:
    paths: list[Path] = []
    absent: list[int] = []
    for i, given in enumerate(given_paths):
        if pd.isna(given) or not str(given).strip():
            where = f"column {column}, line {line_of(i)}"
            raise InputError("names no image", file=file, field=where, remedy="write the image's path")
        path = root / str(given).strip()
        if not path.exists() and "\\" in str(given):
            path = root / str(given).strip().replace("\\", "/")
        if not path.exists():
            absent.append(i)
        paths.append(path)
    if absent:
        raise InputError(
            f"{paths[absent[0]]} does not exist ({len(absent)} of {len(paths)} images are missing)",
            file=file,
            field=f"column {column}, line {line_of(absent[0])}",
            remedy=f"relative paths are looked up in {root}; correct them or give another root folder",
        )
    return paths


def _shape(picture: Tensor) -> str:
    return f"{picture.shape[0]} channels of {'x'.join(str(size) for size in picture.shape[1:])}"


def _ends(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = path.stat().st_size
        first = stream.read(4096)
        stream.seek(max(size - 4096, 0))
        return str(size).encode() + first + stream.read(4096)
