"""NIfTI volumes (.nii, .nii.gz) through nibabel, with affine, spacing and orientation kept."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import Picture, present
from visus.errors import InputError
from visus.extras import need
from visus.records import write_atomically

MILLIMETERS = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}


def read_nifti(path: str | Path, *, canonical: bool = True) -> Picture:
    """Read a volume as float32 (c, x, y, z) with the stored scaling applied (HU stay HU).

    A fourth axis (time, channels) becomes `c`. `meta["orientation"]` names the direction in which each axis
    grows, for example RAS.

    Parameters
    ----------
    canonical : flip and permute axes so that they run to the right, anterior and superior; the affine
        follows. False keeps the stored axes.

    Raises
    ------
    InputError : absent, empty, cut off, not NIfTI, or with colors, more than four axes, or values not finite.
    MissingExtra : nibabel is not installed.
    """
    path = present(path)
    nibabel = need("nibabel", extra="medical", purpose="reading NIfTI volumes")
    try:
        image = nibabel.load(path)
        if canonical:
            image = nibabel.as_closest_canonical(image)
        if image.get_data_dtype().fields is not None:
            raise InputError(
                "holds colors, not one value per voxel", file=path, remedy="export it as gray values"
            )
        values = np.asarray(image.dataobj, dtype=np.float32)
    except InputError:
        raise
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        problem = f"is cut off or not a NIfTI volume ({type(error).__name__})"
        raise InputError(problem, file=path, remedy="copy or export it again") from None
    array = _channels(values, path)
    if not np.isfinite(array).all():
        raise InputError(
            "holds values that are not finite numbers", file=path, remedy="replace them, for example by 0"
        )
    header: Any = image.header
    unit = header.get_xyzt_units()[0] if hasattr(header, "get_xyzt_units") else "mm"
    factor = MILLIMETERS.get(unit, 1.0)
    affine = np.asarray(image.affine, dtype=np.float64).copy()
    affine[:3] *= factor
    return Picture(
        array=array,
        kind="nifti",
        spacing_mm=tuple(float(size) * factor for size in header.get_zooms()[:3]),
        affine=affine,
        meta={
            "orientation": "".join(nibabel.aff2axcodes(image.affine)),
            "stored": str(image.get_data_dtype()),
        },
    )


def _channels(values: np.ndarray, path: Path) -> np.ndarray:
    while values.ndim > 4 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim == 5 and values.shape[3] == 1:
        values = values[:, :, :, 0]
    if values.ndim not in (3, 4) or values.size == 0:
        raise InputError(f"has shape {values.shape}", file=path, remedy="give a volume of three or four axes")
    return np.ascontiguousarray(values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0))


def write_nifti(path: str | Path, picture: Picture) -> None:
    """Write (c, x, y, z) as NIfTI-1 float32 with affine and spacing; compressed when the name ends in .gz."""
    nibabel = need("nibabel", extra="medical", purpose="writing NIfTI volumes")
    path, array = Path(path), picture.array
    if array.ndim != 4:
        raise InputError(f"shape {array.shape} is not (c, x, y, z)", file=path, field="image")
    affine = picture.affine
    if affine is None:
        affine = np.diag([*(picture.spacing_mm or (1.0, 1.0, 1.0)), 1.0])
    values = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    image = nibabel.Nifti1Image(np.asarray(values, dtype=np.float32), affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    # mtime 0: the same volume gives the same bytes
    write_atomically(path, gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)
