"""Radiographs as one gray channel in which bright means dense, and their size without decoding them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from visus.data.formats import kind_of, read_image
from visus.data.formats.picture import present
from visus.errors import InputError
from visus.extras import need


def read_radiograph(path: str | Path) -> Float32[Tensor, "1 h w"]:
    """Read a DICOM, PNG, JPEG, ... as (1, h, w) in 0..1, bright = dense.

    Color is averaged by luminance. MONOCHROME1 files are inverted. DICOM values with a physical rescale,
    which do not lie in 0..1, are stretched from their smallest to their largest value.

    Differs: the paper's code divides DICOM by the largest pixel value, so that a burned-in marker sets the
    brightness of the lungs; here by the largest value of the stored bits.

    Raises
    ------
    InputError : absent, empty, cut off, not one flat picture, or values that are not finite.
    """
    picture = read_image(path)
    array = np.asarray(picture.array, dtype=np.float32)
    if array.ndim != 3:
        problem = f"holds {array.shape[1]} pictures, not one" if array.ndim > 3 else "is no flat picture"
        raise InputError(problem, file=path, remedy="save the radiograph as a single picture")
    if not np.isfinite(array).all():
        remedy = "replace them, for example by 0"
        raise InputError("holds values that are not finite numbers", file=path, remedy=remedy)
    if array.shape[0] > 1:
        gray = np.array([0.299, 0.587, 0.114], dtype=np.float32) if array.shape[0] >= 3 else np.ones(1, "f4")
        array = np.tensordot(gray, array[: len(gray)], axes=1)[None]
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        array = (array - low) / (high - low) if high > low else np.zeros_like(array)
        if picture.meta.get("PhotometricInterpretation") == "MONOCHROME1":
            array = 1 - array  # the reader leaves physical values as they are
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def native_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture file; of DICOM and ordinary pictures only the header is read.

    Raises
    ------
    InputError : absent, empty, or not a picture.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "dicom" and path.is_file():
        size = _dicom_size(path)
    elif kind == "image":
        size = _picture_size(path)
    else:
        size = None
    if size is None:
        high, wide = read_image(path).array.shape[-2:]
        size = high, wide
    return size


def _dicom_size(path: Path) -> tuple[int, int] | None:
    pydicom = need("pydicom", extra="medical", purpose="reading DICOM files")
    try:
        dataset = pydicom.dcmread(present(path), specific_tags=["Rows", "Columns"], stop_before_pixels=True)
        return int(dataset.Rows), int(dataset.Columns)
    except InputError:
        raise
    except Exception:  # damaged headers fail in many ways; the full reader says what is wrong
        return None


def _picture_size(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with Image.open(present(path)) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            wide, high = image.size[::-1] if turned else image.size
            return high, wide
    except InputError:
        raise
    except Exception:  # the full reader says what is wrong
        return None
