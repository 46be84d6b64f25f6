"""DICOM pictures, multi-frame files and series folders through pydicom."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from visus.data.formats.picture import Picture, present
from visus.errors import InputError
from visus.extras import need
from visus.records import write_atomically

Window = tuple[float | int, float | int] | Literal["file"] | None

FACTS = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "PhotometricInterpretation",
    "BitsStored",
    "RescaleType",
)
"""Attributes that go into `Picture.meta`: technical ones only. Names, ids, dates, ages stay in the file."""
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient")
REMEDY = "copy or export it again"
UNCOMPRESS = "install pylibjpeg with its plug-ins, or convert the file: dcmdjpeg, or gdcmconv --raw"


def read_dicom(path: str | Path, *, window: Window = None) -> Picture:
    """Read one file as float32 (c, h, w), or (c, frames, h, w) for several frames.

    Without a window, CT and PET and every file whose rescale changes values give physical values (HU for CT);
    other pictures are divided by the largest value of their stored bits, 0..1, and inverted where the file
    says that low values are bright (MONOCHROME1), so that bright always means high.

    Parameters
    ----------
    window : (center, width) in physical units, or `file` for the file's own first window: values become 0..1
        by the standard's linear function (DICOM PS3.3, C.11.2.1.2.1).

    Raises
    ------
    InputError : absent, empty, cut off, not DICOM, without pixels, or compressed in a way that needs a
        decoder that is not installed.
    MissingExtra : pydicom is not installed.
    """
    path = present(path)
    dataset = _load(path)
    array = _values(dataset, path, window)
    spacing = _spacing(dataset)
    if array.ndim == 4 and spacing is not None:
        gap = _number(dataset, "SpacingBetweenSlices") or _number(dataset, "SliceThickness")
        spacing = (gap, *spacing) if gap else None
    return Picture(
        array=array, kind="dicom", spacing_mm=spacing, affine=_affine([dataset]), meta=_meta(dataset)
    )


def read_series(folder: str | Path, *, window: Window = None) -> Picture:
    """Read a folder of slices as one volume (1, slices, h, w), ordered by position along the normal.

    Files that are not DICOM or hold no pixels are passed over. Slices must share size, orientation and
    spacing and lie at equal distances (tolerance 1 %).

    Raises
    ------
    InputError : no slices, several series, slices that do not form a volume, or a missing slice.
    """
    folder = Path(folder)
    slices = _slices(folder)
    series = {str(getattr(dataset, "SeriesInstanceUID", "")) for _, dataset in slices}
    if len(series) > 1:
        raise InputError(
            f"holds {len(series)} series", file=folder, remedy="put each series into its own folder"
        )
    if len(slices) == 1:
        return read_dicom(slices[0][0], window=window)
    slices, gap = _ordered(slices, folder)
    first = slices[0][1]
    array = np.stack([_values(dataset, path, window) for path, dataset in slices], axis=1)
    plane = _spacing(first) or (1.0, 1.0)
    return Picture(
        array=array,
        kind="dicom",
        spacing_mm=(gap, *plane),
        affine=_affine([dataset for _, dataset in slices]),
        meta={**_meta(first), "slices": len(slices)},
    )


def write_dicom(path: str | Path, picture: Picture) -> None:
    """Write (1, h, w) in 0..1 as a 16-bit secondary capture without any patient data."""
    need("pydicom", extra="medical", purpose="writing DICOM files")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    path, array = Path(path), picture.array
    if array.ndim != 3 or array.shape[0] != 1 or not np.isfinite(array).all():
        raise InputError(f"shape {array.shape} is not a finite (1, h, w)", file=path, field="image")
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(
        entropy_srcs=[array.tobytes().hex()]
    )
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "OT", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = array.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    if picture.spacing_mm is not None:
        dataset.PixelSpacing = [round(size, 6) for size in picture.spacing_mm[-2:]]
    dataset.PixelData = np.rint(np.clip(array[0].astype(np.float64), 0, 1) * 65535).astype("<u2").tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> Any:
    pydicom = need("pydicom", extra="medical", purpose="reading DICOM files")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values in attributes that are not used here
            return pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError:
        raise InputError("is not a DICOM file", file=path, remedy="check the file, or its ending") from None
    except Exception as error:  # damaged headers fail in many ways inside the parser
        raise InputError(
            f"is cut off or damaged ({type(error).__name__})", file=path, remedy=REMEDY
        ) from None


def _slices(folder: Path) -> list[tuple[Path, Any]]:
    pydicom = need("pydicom", extra="medical", purpose="reading DICOM files")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "DICOMDIR" and pydicom.misc.is_dicom(path):
            dataset = _load(path)
            if "Rows" in dataset and "PixelData" in dataset:
                found.append((path, dataset))
    if not found:
        raise InputError(
            "holds no DICOM pictures", file=folder, remedy="give the folder that holds the slices"
        )
    return found


def _ordered(slices: list[tuple[Path, Any]], folder: Path) -> tuple[list[tuple[Path, Any]], float]:
    """Slices by position along their normal, and their distance in mm."""
    first = slices[0][1]
    for path, dataset in slices:
        if any(not getattr(dataset, name, None) for name in GEOMETRY):
            raise InputError("has no position in space", file=path, remedy="export the series with geometry")
        for name in ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing"):
            if getattr(dataset, name, None) != getattr(first, name, None):
                raise InputError(f"differs in {name} from the other slices", file=path, remedy="remove it")
    normal = _normal(first)
    placed = sorted(
        ((float(normal @ np.asarray(item[1].ImagePositionPatient, dtype=float)), item) for item in slices),
        key=lambda pair: pair[0],
    )
    gaps = np.diff([place for place, _ in placed])
    slices = [item for _, item in placed]
    if gaps.min() < 1e-3:
        twice = slices[int(gaps.argmin()) + 1][0]
        raise InputError(
            "lies at the same place as another slice", file=twice, remedy="remove doubled slices"
        )
    if gaps.max() - gaps.min() > 0.01 * float(np.median(gaps)) + 1e-3:
        before = slices[int(gaps.argmax())][0].name
        raise InputError(f"a slice is missing after {before}", file=folder, remedy="export the whole series")
    return slices, float(gaps.mean())


def _values(dataset: Any, path: Path, window: Window) -> np.ndarray:
    """Pixels (c, *space) in physical units or 0..1, by the rules of `read_dicom`."""
    stored, photometric = (
        _stored(dataset, path),
        str(getattr(dataset, "PhotometricInterpretation", "MONOCHROME2")),
    )
    colored = stored.ndim >= 3 and getattr(dataset, "SamplesPerPixel", 1) == 3
    if colored or photometric == "PALETTE COLOR":
        top = (
            np.iinfo(stored.dtype).max if photometric == "PALETTE COLOR" else 2 ** int(dataset.BitsStored) - 1
        )
        return (np.moveaxis(stored, -1, 0) / top).astype(np.float32)
    slope, intercept = _number(dataset, "RescaleSlope") or 1.0, _number(dataset, "RescaleIntercept") or 0.0
    physical = stored.astype(np.float64) * slope + intercept
    if window is not None:
        shown = _windowed(physical, dataset, path, window)
    elif getattr(dataset, "Modality", "") in ("CT", "PT") or (slope, intercept) != (1.0, 0.0):
        return physical.astype(np.float32)[None]
    else:
        bits, signed = int(dataset.BitsStored), int(getattr(dataset, "PixelRepresentation", 0)) == 1
        shown = (stored.astype(np.float64) + (2 ** (bits - 1) if signed else 0)) / (2**bits - 1)
    return (1 - shown if photometric == "MONOCHROME1" else shown).astype(np.float32)[None]


def _stored(dataset: Any, path: Path) -> np.ndarray:
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        kind = getattr(dataset, "Modality", "unknown")
        raise InputError(f"holds no pixels (modality {kind})", file=path, remedy="give an image file")
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(dataset.pixel_array)
            if getattr(dataset, "PhotometricInterpretation", "") == "PALETTE COLOR":
                from pydicom.pixels.processing import apply_color_lut

                pixels = apply_color_lut(pixels, dataset)
            return pixels
    except Exception as error:  # decoders raise their own kinds
        if syntax is not None and syntax.is_compressed and "missing" in str(error):
            raise InputError(f"is compressed ({syntax.name})", file=path, remedy=UNCOMPRESS) from None
        problem = f"its pixels are cut off or damaged ({type(error).__name__})"
        raise InputError(problem, file=path, remedy=REMEDY) from None


def _windowed(physical: np.ndarray, dataset: Any, path: Path, window: Window) -> np.ndarray:
    if window == "file":
        center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
        if center is None or width is None:
            raise InputError(
                "states no window", file=path, field="WindowCenter", remedy="give center and width"
            )
    else:
        assert window is not None
        center, width = float(window[0]), float(window[1])
    if width < 1:
        raise InputError(f"a window's width is at least 1, got {width}", file=path, field="window")
    if width == 1:
        return (physical > center - 0.5).astype(np.float64)
    return np.clip((physical - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _number(dataset: Any, name: str) -> float | None:
    value = getattr(dataset, name, None)
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _spacing(dataset: Any) -> tuple[float, ...] | None:
    """(row, column) distance: in the patient, or at the detector of a radiograph."""
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        value = getattr(dataset, name, None)
        if value:
            return tuple(float(size) for size in value)
    return None


def _normal(dataset: Any) -> np.ndarray:
    along = np.asarray(dataset.ImageOrientationPatient, dtype=float)
    return np.cross(along[:3], along[3:])


def _affine(slices: list[Any]) -> np.ndarray | None:
    """(slice, row, column) -> RAS millimeters of ordered slices; DICOM axes point left and posterior."""
    first, last = slices[0], slices[-1]
    spacing = _spacing(first)
    if spacing is None or not all(getattr(first, name, None) for name in GEOMETRY):
        return None
    along = np.asarray(first.ImageOrientationPatient, dtype=float)
    origin = np.asarray(first.ImagePositionPatient, dtype=float)
    gap = _number(first, "SpacingBetweenSlices") or _number(first, "SliceThickness") or 1.0
    step = _normal(first) * gap
    if len(slices) > 1:
        step = (np.asarray(last.ImagePositionPatient, dtype=float) - origin) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = step, along[3:] * spacing[0], along[:3] * spacing[1]
    affine[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _meta(dataset: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for name in FACTS:
        value = getattr(dataset, name, None)
        if value not in (None, ""):
            meta[name] = int(value) if name == "BitsStored" else str(value)
    return meta
