"""Pictures as DICOM secondary captures that say nothing about a person."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import Picture
from visus.errors import InputError
from visus.extras import need
from visus.records import write_atomically

EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "SeriesNumber", "PatientOrientation"),
)
"""Attributes that the standard asks for and that stay empty."""
_SERIES, _DERIVATION = 64, 1024


def write_dicom(
    path: str | Path, picture: Picture, *, bits: int = 16, series: str = "", derivation: str = ""
) -> None:
    """Write (1, h, w) or (3, h, w) in 0..1 as a secondary capture, gray or RGB, without any patient data.

    Values outside 0..1 are cut. Nothing of `picture.meta` is written but whether text is burned into the pixels,
    where it says so: where it does not, nobody knows. The same picture and words give the same file, and with it
    the same unique identifiers: they are derived from the pixels and the words alone.

    Parameters
    ----------
    bits : 8 or 16 per channel.
    series, derivation : free text for SeriesDescription (up to 64 characters) and DerivationDescription (up
        to 1024): what the picture shows and how it came to be. It is written as it is given.

    Raises
    ------
    InputError : another shape, values that are not finite, other bits, or text that does not fit.
    MissingExtra : pydicom is not installed.
    """
    need("pydicom", extra="medical", purpose="writing DICOM files")
    path = Path(path)
    samples = _samples(path, picture.array, bits)
    _check_text(path, "series", series, _SERIES)
    _check_text(path, "derivation", derivation, _DERIVATION)
    dataset = _described(samples, series, derivation)
    if picture.meta.get("BurnedInAnnotation") in ("YES", "NO"):
        dataset.BurnedInAnnotation = picture.meta["BurnedInAnnotation"]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = samples.shape
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples.shape[2] == 1 else "RGB"
    if samples.shape[2] == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    if picture.spacing_mm is not None:
        dataset.PixelSpacing = [round(size, 6) for size in picture.spacing_mm[-2:]]
    content = samples.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomically(path, buffer.getvalue())


def _samples(path: Path, array: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned integers (h, w, c)."""
    if bits not in (8, 16):
        raise InputError(f"must be 8 or 16, got {bits}", file=path, field="bits")
    if array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape or not np.isfinite(array).all():
        raise InputError(
            f"shape {array.shape} is not a finite (1, h, w) or (3, h, w)", file=path, field="image"
        )
    if max(array.shape[1:]) > 2**16 - 1:
        raise InputError(f"{array.shape[1:]} pixels are more than DICOM holds", file=path, field="image")
    scaled = np.rint(np.clip(np.moveaxis(array, 0, -1).astype(np.float64), 0, 1) * (2**bits - 1))
    return np.ascontiguousarray(scaled.astype("<u2" if bits == 16 else "u1"))


def _check_text(path: Path, field: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise InputError(f"has {len(text)} characters, at most {longest} fit", file=path, field=field)
    if "\\" in text or any(ord(letter) < 32 for letter in text):
        raise InputError("holds a backslash or a control character", file=path, field=field)


def _described(samples: np.ndarray, series: str, derivation: str) -> Any:
    """A data set with everything but the picture."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    words = [samples.tobytes().hex(), str(samples.shape), series, derivation]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=words)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", *words])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", *words])
    for name in EMPTY:
        setattr(dataset, name, None)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType, dataset.ConversionType = ["DERIVED", "SECONDARY"], "WSD"
    dataset.Modality, dataset.Manufacturer, dataset.InstanceNumber = "OT", "visus", 1
    if series:
        dataset.SeriesDescription = series
    if derivation:
        dataset.DerivationDescription = derivation
    return dataset
