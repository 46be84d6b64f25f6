"""Ordinary pictures (PNG, JPEG, BMP, TIFF, ...) through Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from visus.data.formats.arrays import scaled
from visus.data.formats.picture import Picture, present
from visus.data.formats.png16 import is_deep_color_png, read_deep_color_png
from visus.errors import InputError
from visus.records import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

REMEDY = "open it in a picture viewer; if that fails too, copy or export it again"


def read_picture(path: str | Path, *, alpha: Literal["white", "keep"] = "white") -> Picture:
    """Read a picture as float32 (c, h, w) in 0..1 (floating-point TIFF: as stored).

    One channel for gray and black-and-white, three for color; palettes are looked up, CMYK and other color
    spaces become RGB, the EXIF orientation is applied. 16-bit gray and 16-bit color PNG keep their depth.
    A TIFF of several pages becomes a volume (c, pages, h, w); of other multi-frame files the first frame is
    read.

    Parameters
    ----------
    alpha : `white` lays transparent pictures on white; `keep` returns alpha as the last channel.

    Raises
    ------
    InputError : absent, empty, cut off, or not a picture.
    """
    path = present(path)
    if is_deep_color_png(path):
        values = read_deep_color_png(path)
        pages, meta = [_without_alpha(values, alpha)], {"format": "PNG", "mode": "16-bit color", "bits": 16}
    else:
        with _opened(path) as image:
            meta = {"format": image.format, "mode": image.mode, "bits": _bits(image)}
            count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
            pages = [_page(image, i, path, alpha) for i in range(count)]
    shapes = {page.shape for page in pages}
    if len(shapes) > 1:
        raise InputError(
            f"pages differ in size: {sorted(shapes)}", file=path, remedy="save one picture per file"
        )
    array = np.stack(pages, axis=1) if len(pages) > 1 else pages[0]
    if not np.isfinite(array).all():
        raise InputError("holds values that are not finite numbers", file=path)
    return Picture(array=np.ascontiguousarray(array), kind="image", meta=meta)


def read_labels(path: str | Path) -> np.ndarray:
    """Read a mask as stored, int64 (h, w): gray values or palette indices, neither scaled nor looked up."""
    path = present(path)
    with _opened(path) as image:
        _load(image, path)
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            remedy = "save the mask with one channel or a palette"
            raise InputError(f"is a color picture ({image.mode}), not a mask", file=path, remedy=remedy)
        return np.asarray(image).astype(np.int64)


def write_picture(path: str | Path, array: np.ndarray, *, bits: int = 8) -> None:
    """Write (1, h, w) or (3, h, w) in 0..1 as a picture file; 16 bits for gray only.

    Values outside 0..1 are clipped. The file appears whole or not at all.
    """
    from PIL import Image

    path, array = Path(path), np.asarray(array)
    if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
        raise InputError(
            f"shape {array.shape} is not (1, h, w), (3, h, w) or (4, h, w)", file=path, field="image"
        )
    if not np.isfinite(array).all():
        raise InputError("holds values that are not finite numbers", file=path, field="image")
    if bits not in (8, 16) or (bits == 16 and array.shape[0] != 1):
        raise InputError(
            f"{bits} bits with {array.shape[0]} channels cannot be written", file=path, field="bits"
        )
    top, kind = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    levels = np.rint(np.clip(array.astype(np.float64), 0, 1) * top).astype(kind)
    image = Image.fromarray(levels[0] if array.shape[0] == 1 else np.moveaxis(levels, 0, -1).copy())
    form = Image.registered_extensions().get(path.suffix.lower())
    if form is None:
        raise InputError(f"no picture format has the ending {path.suffix}", file=path, remedy="use .png")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format=form)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written: {error}", file=path, remedy="use .png") from None
    write_atomically(path, buffer.getvalue())


def write_labels(path: str | Path, labels: np.ndarray) -> None:
    """Write an integer mask (h, w) with values 0..65535 as PNG, the reverse of `read_labels`."""
    from PIL import Image

    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() > 65535:
        raise InputError("a mask is (h, w) integers of 0..65535", file=path)
    buffer = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8 if labels.max() < 256 else np.uint16)).save(buffer, format="PNG")
    write_atomically(Path(path), buffer.getvalue())


def _opened(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except UnidentifiedImageError:
        raise InputError("is not a picture, or is damaged", file=path, remedy=REMEDY) from None
    except Image.DecompressionBombError:
        raise InputError("is larger than is safe to read", file=path, remedy="scale it down") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", file=path, remedy=REMEDY) from None


def _load(image: Image, path: Path) -> None:
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise InputError(f"is cut off or damaged ({error})", file=path, remedy=REMEDY) from None


def _page(image: Image, number: int, path: Path, alpha: str) -> np.ndarray:
    from PIL import ImageOps

    if number:
        try:
            image.seek(number)
        except (EOFError, OSError):
            raise InputError(f"page {number + 1} cannot be read", file=path, remedy=REMEDY) from None
    _load(image, path)
    return _pixels(ImageOps.exif_transpose(image), path, alpha)


def _pixels(image: Image, path: Path, alpha: str) -> np.ndarray:
    mode = image.mode
    if mode == "F":
        return np.asarray(image, dtype=np.float32)[None]
    if mode.startswith("I;16"):
        return scaled(np.asarray(image).astype(np.uint16))[None]
    if mode == "I":
        values = np.asarray(image).astype(np.float64)
        top = 65535 if values.min() >= 0 and values.max() <= 65535 else 2**31 - 1
        return (values / top).astype(np.float32)[None]
    if mode in ("1", "L"):
        if "transparency" not in image.info:
            return scaled(np.asarray(image.convert("L")))[None]
        image = image.convert("LA")
    elif mode == "RGB" and "transparency" not in image.info:
        return scaled(np.moveaxis(np.asarray(image), -1, 0))
    elif mode in ("LA", "La"):
        image = image.convert("LA")
    elif mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    else:
        image = image.convert("RGB")
    return _without_alpha(scaled(np.moveaxis(np.asarray(image), -1, 0)), alpha)


def _without_alpha(values: np.ndarray, alpha: str) -> np.ndarray:
    if values.shape[0] not in (2, 4) or alpha == "keep":
        return values
    color, cover = values[:-1], values[-1:]
    return (color * cover + (1 - cover)).astype(np.float32)


def _bits(image: Image) -> int:
    return {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
