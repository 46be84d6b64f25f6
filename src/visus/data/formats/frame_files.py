"""Videos kept as one picture file per frame: frames, masks with DAVIS's palette, and their folders."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from visus.data.formats import PICTURES
from visus.data.formats.picture import present
from visus.errors import InputError
from visus.records import write_atomically

_REMEDY = "open it in a picture viewer; if that fails too, copy or export it again"


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(PICTURES) and not path.name.startswith(".")
    )


def read_frame(path: str | Path) -> UInt8[np.ndarray, "3 h w"]:
    """A frame as stored, without its alpha; gray becomes color.

    Raises
    ------
    InputError : absent, cut off, or no picture.
    """
    from PIL import Image

    path = present(path)
    try:
        with Image.open(path) as image:
            color = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
            return np.ascontiguousarray(np.moveaxis(np.asarray(color)[..., :3], -1, 0))
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"is no picture, or is damaged ({error})", file=path, remedy=_REMEDY) from None


def read_frames(paths: Sequence[Path]) -> UInt8[Tensor, "t 3 h w"]:
    """Frames of one size.

    Raises
    ------
    InputError : a frame that cannot be read or differs in size from the first; names it.
    """
    frames = [read_frame(path) for path in paths]
    for path, frame in zip(paths, frames):
        if frame.shape != frames[0].shape:
            problem = f"is {frame.shape[1:]}, but {paths[0].name} is {frames[0].shape[1:]}"
            raise InputError(problem, file=path, remedy="give all frames of a video one size")
    return torch.from_numpy(np.stack(frames))


def write_frame(path: str | Path, frame: UInt8[Tensor, "3 h w"], *, quality: int = 95) -> None:
    """Write a frame; `quality` is that of JPEG."""
    from PIL import Image

    path, buffer = Path(path), io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(np.asarray(frame), 0, -1)))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        image.save(buffer, format="JPEG", quality=quality)
    else:
        image.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def write_mask(path: str | Path, ids: Any) -> None:
    """Write object ids (h, w) of 0..255 as an indexed PNG with DAVIS's palette.

    Raises
    ------
    InputError : other values or another shape.
    """
    from PIL import Image

    array = np.asarray(ids)
    if array.ndim != 2 or array.dtype.kind not in "biu" or array.min() < 0 or array.max() > 255:
        raise InputError(f"a mask is (h, w) integers of 0..255, got {array.dtype} {array.shape}", file=path)
    image = Image.fromarray(array.astype(np.uint8))
    image.putpalette(davis_palette())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_atomically(Path(path), buffer.getvalue())


def write_masks(folder: str | Path, segmentation: UInt8[Tensor, "t h w"]) -> list[Path]:
    """Write `00000.png`, `00001.png`, ... with DAVIS's palette; returns the paths."""
    paths = [Path(folder) / f"{k:05d}.png" for k in range(len(segmentation))]
    for path, mask in zip(paths, segmentation):
        write_mask(path, mask)
    return paths


@functools.cache
def davis_palette() -> bytes:
    """256 colors (red, green, blue): the bits of the id are dealt to the three channels, highest first.

    The palette of PASCAL VOC, which DAVIS took over.

    >>> list(davis_palette()[:12])
    [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    """
    ids, colors = np.arange(256), np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colors.tobytes()
