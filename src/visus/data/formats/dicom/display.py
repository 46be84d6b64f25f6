"""From stored numbers to values: lookup tables, rescale, windows, padding, and which end is bright."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Num

from visus.errors import InputError

Window = tuple[float | int, float | int] | Literal["file"] | None

RADIOGRAPHS = ("CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA")
"""Modalities of projections: their rescale leads to units of display, not of the body."""
PHYSICAL = ("CT", "PT")


def values(
    stored: Num[np.ndarray, "*frames h w"], dataset: Any, path: Path, window: Window
) -> Float32[np.ndarray, "1 *frames h w"]:
    """Physical values, or 0..1 with bright = high, by the rules of `read_dicom`."""
    scaled, top = _modality(stored, dataset, path)
    physical = window is None and _is_physical(dataset, stored, top)
    if window is not None:
        shown = _windowed(scaled, dataset, path, window)
    elif physical:
        shown = scaled
    elif top is not None:
        shown = np.clip(scaled / top, 0, 1)
    else:
        shown = _share_of_range(stored, dataset)
    if not physical and _low_is_bright(dataset):
        shown = 1 - shown
    outside = _padding(stored, dataset)
    if outside.any() and not outside.all():
        shown = np.where(outside, shown[~outside].min() if physical else 0.0, shown)
    return shown.astype(np.float32)[None]


def color(
    stored: Num[np.ndarray, "*frames h w 3"], dataset: Any, *, palette: bool
) -> Float32[np.ndarray, "3 *frames h w"]:
    """Color channels as 0..1."""
    top = np.iinfo(stored.dtype).max if palette else 2 ** int(dataset.BitsStored) - 1
    return (np.moveaxis(stored, -1, 0) / top).astype(np.float32)


def number(dataset: Any, name: str) -> float | None:
    """The first value of a numeric attribute; None where it is absent or empty."""
    value = getattr(dataset, name, None)
    if value is None or value == "":
        return None
    if hasattr(value, "__len__") and not isinstance(value, str):
        return float(value[0]) if len(value) else None
    return float(value)


def _modality(stored: np.ndarray, dataset: Any, path: Path) -> tuple[np.ndarray, float | None]:
    """Values after the modality's table or rescale, and the largest value that a table can give."""
    table = _first(dataset, "ModalityLUTSequence")
    if table is not None:
        found, top = _looked_up(stored, table, path)
        return found, None if str(getattr(table, "ModalityLUTType", "")) == "HU" else top
    slope, intercept = _rescale(dataset)
    return stored.astype(np.float64) * slope + intercept, None


def _rescale(dataset: Any) -> tuple[float, float]:
    return number(dataset, "RescaleSlope") or 1.0, number(dataset, "RescaleIntercept") or 0.0


def _is_physical(dataset: Any, stored: np.ndarray, top: float | None) -> bool:
    modality = str(getattr(dataset, "Modality", ""))
    if modality in PHYSICAL or stored.dtype.kind == "f":
        return True
    if "ModalityLUTSequence" in dataset and dataset.ModalityLUTSequence:
        return top is None
    return modality not in RADIOGRAPHS and _rescale(dataset) != (1.0, 0.0)


def _share_of_range(stored: np.ndarray, dataset: Any) -> Float[np.ndarray, "*frames h w"]:
    """Where the numbers lie between the least and the greatest that the stored bits can hold."""
    bits, signed = int(dataset.BitsStored), int(getattr(dataset, "PixelRepresentation", 0)) == 1
    share = (stored.astype(np.float64) + (2 ** (bits - 1) if signed else 0)) / (2**bits - 1)
    return np.clip(share if _rescale(dataset)[0] > 0 else 1 - share, 0, 1)


def _low_is_bright(dataset: Any) -> bool:
    """One inversion, also where both attributes ask for it, as they must in digital radiographs."""
    inverse = str(getattr(dataset, "PresentationLUTShape", "")) == "INVERSE"
    return inverse or str(getattr(dataset, "PhotometricInterpretation", "")) == "MONOCHROME1"


def _padding(stored: np.ndarray, dataset: Any) -> Bool[np.ndarray, "*frames h w"]:
    """Pixels that only fill the rectangle (PS3.3, C.7.5.1.1.2)."""
    first = number(dataset, "PixelPaddingValue")
    if first is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, dtype=bool)
    last = number(dataset, "PixelPaddingRangeLimit")
    ends = sorted(_as_stored(end, stored.dtype) for end in (first, first if last is None else last))
    return (stored >= ends[0]) & (stored <= ends[1])


def _as_stored(value: float, dtype: np.dtype) -> int:
    """Some files write a negative number as if it had no sign."""
    span = 2 ** (8 * dtype.itemsize)
    return int(value) - span if dtype.kind == "i" and value >= span // 2 else int(value)


def _windowed(physical: np.ndarray, dataset: Any, path: Path, window: Window) -> np.ndarray:
    if window != "file":
        assert window is not None
        return _window(physical, float(window[0]), float(window[1]), "LINEAR", path)
    table = _first(dataset, "VOILUTSequence")
    if table is not None:
        found, top = _looked_up(physical, table, path)
        return np.clip(found / top, 0, 1)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    if center is None or width is None:
        raise InputError("states no window", file=path, field="WindowCenter", remedy="give center and width")
    return _window(physical, center, width, str(getattr(dataset, "VOILUTFunction", "LINEAR")), path)


def _window(physical: np.ndarray, center: float, width: float, function: str, path: Path) -> np.ndarray:
    """PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    if width < 1 if function not in ("SIGMOID", "LINEAR_EXACT") else width <= 0:
        raise InputError(f"a window's width is at least 1, got {width}", file=path, field="window")
    if function == "SIGMOID":
        from scipy.special import expit

        return expit(4 * (physical - center) / width)
    if function == "LINEAR_EXACT":
        return np.clip((physical - center) / width + 0.5, 0, 1)
    if width == 1:
        return (physical > center - 0.5).astype(np.float64)
    return np.clip((physical - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _looked_up(numbers: np.ndarray, table: Any, path: Path) -> tuple[np.ndarray, float]:
    """Entries of a lookup table (PS3.3, C.11.1.1), and the largest value that its bits hold."""
    try:
        size, first, bits = (int(value) for value in table.LUTDescriptor)
        size = size or 2**16
        data = table.LUTData
        if isinstance(data, bytes):
            entries = np.frombuffer(data, dtype="<u2" if len(data) >= 2 * size else "u1")
        else:
            entries = np.atleast_1d(np.asarray(data, dtype=np.int64))
        if first >= 2**15 and numbers.min() < 0:
            first -= 2**16  # a negative number written as if it had no sign
        if len(entries) < size or not 1 <= bits <= 16:
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            "holds a damaged lookup table", file=path, field="LUTDescriptor", remedy="export the file again"
        ) from None
    where = np.clip(np.rint(numbers).astype(np.int64) - first, 0, size - 1)
    return entries[where].astype(np.float64), float(2**bits - 1)


def _first(dataset: Any, name: str) -> Any:
    sequence = getattr(dataset, name, None)
    return sequence[0] if sequence else None
