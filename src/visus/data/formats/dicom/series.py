"""A folder of DICOM slices as one volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.dicom.display import Window
from visus.data.formats.dicom.quiet import quiet
from visus.data.formats.dicom.reading import (
    GEOMETRY,
    affine,
    load,
    meta,
    normal,
    pixels,
    plane_spacing,
    read_dicom,
)
from visus.data.formats.picture import Picture
from visus.errors import InputError
from visus.extras import need


@quiet()
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
    array = np.stack([pixels(dataset, path, window) for path, dataset in slices], axis=1)
    plane = plane_spacing(first) or (1.0, 1.0)
    return Picture(
        array=array,
        kind="dicom",
        spacing_mm=(gap, *plane),
        affine=affine([dataset for _, dataset in slices]),
        meta={**meta(first), "slices": len(slices)},
    )


def _slices(folder: Path) -> list[tuple[Path, Any]]:
    pydicom = need("pydicom", extra="medical", purpose="reading DICOM files")
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "DICOMDIR" and pydicom.misc.is_dicom(path):
            dataset = load(path)
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
    through = normal(first)
    placed = sorted(
        ((float(through @ np.asarray(item[1].ImagePositionPatient, dtype=float)), item) for item in slices),
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
