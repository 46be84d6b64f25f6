"""One DICOM file as a picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.dicom.display import Window, color, number, values
from visus.data.formats.dicom.quiet import quiet
from visus.data.formats.picture import Picture, present
from visus.errors import InputError
from visus.extras import need

FACTS = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "PatientOrientation",
    "PhotometricInterpretation",
    "PixelAspectRatio",
    "BitsStored",
    "RescaleType",
    "BurnedInAnnotation",
)
"""Attributes that go into `Picture.meta`: technical ones only. Names, ids, dates, ages stay in the file."""
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient")
REMEDY = "copy or export it again"
UNCOMPRESS = (
    'pip install "visus[medical]" brings python-gdcm; pylibjpeg with its plug-ins reads more; or convert the '
    "file: dcmdjpeg, or gdcmconv --raw"
)
_TABLES = ("LUTData", *(f"{hue}PaletteColorLookupTableData" for hue in ("Red", "Green", "Blue")))
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


@quiet()
def read_dicom(path: str | Path, *, window: Window = None, frame: int | None = None) -> Picture:
    """Read one file as float32 (c, h, w), or (c, frames, h, w) for several frames.

    Without a window, CT and PET and every file whose rescale changes values give physical values (HU for CT).
    Radiographs, whatever their rescale, and other pictures give 0..1: the share of what the stored bits, or
    the entries of a modality lookup table, can hold. They are inverted where the file says that low values
    are bright (MONOCHROME1, or the presentation shape INVERSE), so that bright always means high. Pixels with
    the padding value become 0, or the least physical value of the others. Overlays are left out.

    Parameters
    ----------
    window : (center, width) in physical units, or `file` for the file's own first lookup table of values of
        interest or, without one, its first window: values become 0..1 by the standard's functions (DICOM
        PS3.3, C.11.2.1).
    frame : number, from 0, of the one frame to read as (c, h, w); only it is decoded.

    Raises
    ------
    InputError : absent, empty, cut off, not DICOM, without pixels or without that frame, or compressed in a
        way that needs a decoder that is not installed.
    MissingExtra : pydicom is not installed.
    """
    path = present(path)
    dataset = load(path)
    array = pixels(dataset, path, window, frame)
    spacing = plane_spacing(dataset)
    if array.ndim == 4 and spacing is not None:
        gap = number(dataset, "SpacingBetweenSlices") or number(dataset, "SliceThickness")
        spacing = (gap, *spacing) if gap else None
    return Picture(
        array=array, kind="dicom", spacing_mm=spacing, affine=affine([dataset]), meta=meta(dataset)
    )


def load(path: Path) -> Any:
    """The file's data set, its pixels not yet decoded."""
    pydicom = need("pydicom", extra="medical", purpose="reading DICOM files")
    try:
        dataset = pydicom.dcmread(path)
        if dataset.original_encoding[1] is False:
            dataset.walk(_turn_words, recursive=True)
        return dataset
    except pydicom.errors.InvalidDicomError:
        raise InputError("is not a DICOM file", file=path, remedy="check the file, or its ending") from None
    except Exception as error:  # damaged headers fail in many ways inside the parser
        raise InputError(
            f"is cut off or damaged ({type(error).__name__})", file=path, remedy=REMEDY
        ) from None


def _turn_words(_: Any, element: Any) -> None:
    """Bring the 16-bit words of a lookup table of a big-endian file into order, which pydicom leaves."""
    if element.VR == "OW" and element.keyword in _TABLES and isinstance(element.value, bytes):
        element.value = np.frombuffer(element.value, dtype=">u2").astype("<u2").tobytes()


def pixels(dataset: Any, path: Path, window: Window = None, frame: int | None = None) -> np.ndarray:
    """Pixels (c, *space) in physical units or 0..1, by the rules of `read_dicom`."""
    stored = _stored(dataset, path, frame)
    palette = str(getattr(dataset, "PhotometricInterpretation", "")) == "PALETTE COLOR"
    if palette or (stored.ndim >= 3 and getattr(dataset, "SamplesPerPixel", 1) == 3):
        return color(stored, dataset, palette=palette)
    return values(stored, dataset, path, window)


def plane_spacing(dataset: Any) -> tuple[float, ...] | None:
    """(row, column) distance: in the patient, or at the detector of a radiograph; None if not positive."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        value = getattr(dataset, name, None)
        if value and all(size is not None and float(size) > 0 for size in value):
            return tuple(float(size) for size in value)
    return None


def normal(dataset: Any) -> np.ndarray:
    """Unit vector through the slice."""
    along = np.asarray(dataset.ImageOrientationPatient, dtype=float)
    return np.cross(along[:3], along[3:])


def affine(slices: list[Any]) -> np.ndarray | None:
    """(slice, row, column) -> RAS millimeters of ordered slices; DICOM axes point left and posterior."""
    first, last = slices[0], slices[-1]
    spacing = plane_spacing(first)
    if spacing is None or not all(getattr(first, name, None) for name in GEOMETRY):
        return None
    along = np.asarray(first.ImageOrientationPatient, dtype=float)
    origin = np.asarray(first.ImagePositionPatient, dtype=float)
    gap = number(first, "SpacingBetweenSlices") or number(first, "SliceThickness") or 1.0
    step = normal(first) * gap
    if len(slices) > 1:
        step = (np.asarray(last.ImagePositionPatient, dtype=float) - origin) / (len(slices) - 1)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = step, along[3:] * spacing[0], along[:3] * spacing[1]
    matrix[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def meta(dataset: Any) -> dict[str, Any]:
    """Technical facts; text that is not one of the standard's short codes is dropped."""
    found: dict[str, Any] = {}
    for name in FACTS:
        value = getattr(dataset, name, None)
        if value is None or value == "":
            continue
        if name == "BitsStored":
            found[name] = int(value)
            continue
        several = not isinstance(value, str) and hasattr(value, "__len__")
        parts = [str(part) for part in (value if several else [value])]
        if parts and all(_CODE.fullmatch(part) for part in parts):
            found[name] = "\\".join(parts)
    return found


def _stored(dataset: Any, path: Path, frame: int | None) -> np.ndarray:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        kind = getattr(dataset, "Modality", "unknown")
        raise InputError(f"holds no pixels (modality {kind})", file=path, remedy="give an image file")
    try:
        count = int(getattr(dataset, "NumberOfFrames", None) or 1)
        if frame is None or 0 <= frame < count:
            return _decoded(dataset, frame)
    except Exception as error:  # decoders raise their own kinds
        raise _refusal(dataset, path, error) from None
    some = "one frame: 0" if count == 1 else f"{count} frames: 0..{count - 1}"
    raise InputError(f"{frame} is not in the file", file=path, field="frame", remedy=f"it holds {some}")


def _decoded(dataset: Any, frame: int | None) -> np.ndarray:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    found = np.asarray(dataset.pixel_array if frame is None else pixel_array(dataset, index=frame))
    if getattr(dataset, "PhotometricInterpretation", "") == "PALETTE COLOR":
        return apply_color_lut(found, dataset)
    bits = int(getattr(dataset, "BitsStored", 0) or 0)
    if found.dtype.kind == "u" and bits and _overlays_in_pixels(dataset):
        return found & np.array(2**bits - 1, dtype=found.dtype)
    return found


def _overlays_in_pixels(dataset: Any) -> bool:
    """Whether unused high bits of the pixels hold an overlay, as old files have it (PS3.3, C.9.2)."""
    planes = range(0x6000, 0x6020, 2)
    return any((at, 0x0102) in dataset and int(dataset[at, 0x0102].value or 0) > 0 for at in planes)


def _refusal(dataset: Any, path: Path, error: Exception) -> InputError:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is not None and syntax.is_compressed:
        if "missing" in str(error):
            return InputError(f"is compressed ({syntax.name})", file=path, remedy=UNCOMPRESS)
        if "does not support" in str(error):
            problem = f"is compressed ({syntax.name}) in a way that the installed decoders do not know"
            return InputError(problem, file=path, remedy=UNCOMPRESS)
    problem = f"its pixels are cut off or damaged ({type(error).__name__})"
    return InputError(problem, file=path, remedy=REMEDY)
