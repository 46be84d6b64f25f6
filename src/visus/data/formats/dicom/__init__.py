"""DICOM pictures, multi-frame files and series folders through pydicom, and secondary captures."""

from visus.data.formats.dicom.display import Window
from visus.data.formats.dicom.polarity import looks_inverted, polarity
from visus.data.formats.dicom.reading import FACTS, read_dicom
from visus.data.formats.dicom.series import read_series
from visus.data.formats.dicom.writing import write_dicom

__all__ = [
    "FACTS",
    "Window",
    "looks_inverted",
    "polarity",
    "read_dicom",
    "read_series",
    "write_dicom",
]
