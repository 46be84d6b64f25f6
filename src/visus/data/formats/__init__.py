"""One reader and writer per kind of file.

`read_image` and `write_image` choose by extension and, where that fails, by the file's first bytes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visus.data.formats.picture import Picture, present
from visus.data.formats.table import read_table, write_classes, write_table
from visus.data.formats.text import read_text
from visus.errors import InputError

__all__ = [
    "Picture",
    "kind_of",
    "read_image",
    "read_table",
    "read_text",
    "write_classes",
    "write_image",
    "write_table",
]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm")
ARRAYS = (".npy", ".npz")
VOLUMES = (".nii", ".nii.gz")
DICOM = (".dcm", ".dicom", ".ima")
EXTENSIONS = (*PICTURES, *ARRAYS, *VOLUMES, *DICOM)
"""File names that are taken for images when a folder is searched."""


def kind_of(path: str | Path) -> str:
    """`image`, `numpy`, `nifti` or `dicom`, by name or, failing that, by content (a folder: `dicom`)."""
    path = Path(path)
    if path.is_dir():
        return "dicom"
    name = path.name.lower()
    for kind, endings in (("image", PICTURES), ("numpy", ARRAYS), ("nifti", VOLUMES), ("dicom", DICOM)):
        if name.endswith(endings):
            return kind
    with present(path).open("rb") as stream:
        head = stream.read(352)
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:6] == b"\x93NUMPY":
        return "numpy"
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        return "nifti"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")):
        return "image"
    known = " ".join(EXTENSIONS)
    raise InputError("is no image that can be read", file=path, remedy=f"convert it to one of: {known}")


def read_image(path: str | Path) -> Picture:
    """Read a picture or volume as float32 (c, *space); see `Picture` for units.

    NIfTI volumes are turned to axes right, anterior, superior; a DICOM folder is read as one series. The
    formats' own readers (`visus.data.formats.nifti.read_nifti`, ...) have options.

    Raises
    ------
    InputError : absent, empty, cut-off or unknown file; names it and says what to do.
    """
    kind = kind_of(path)
    if kind == "image":
        from visus.data.formats.images import read_picture

        return read_picture(path)
    if kind == "numpy":
        from visus.data.formats.arrays import read_npy

        return read_npy(path)
    if kind == "nifti":
        from visus.data.formats.nifti import read_nifti

        return read_nifti(path)
    from visus.data.formats.dicom import read_dicom, read_series

    return read_series(path) if Path(path).is_dir() else read_dicom(path)


def write_image(path: str | Path, picture: Picture | np.ndarray, *, bits: int = 8) -> None:
    """Write a picture or an array (c, *space) in the format the name's ending asks for.

    Picture files take 0..1 and `bits` 8 or 16; NIfTI and DICOM keep spacing and, NIfTI, the affine.
    """
    path = Path(path)
    given = (
        picture
        if isinstance(picture, Picture)
        else Picture(array=np.asarray(picture, np.float32), kind="numpy")
    )
    name = path.name.lower()
    if name.endswith(PICTURES):
        from visus.data.formats.images import write_picture

        write_picture(path, given.array, bits=bits)
    elif name.endswith(ARRAYS):
        from visus.data.formats.arrays import write_npy

        write_npy(path, given.array)
    elif name.endswith(VOLUMES):
        from visus.data.formats.nifti import write_nifti

        write_nifti(path, given)
    elif name.endswith(DICOM):
        from visus.data.formats.dicom import write_dicom

        write_dicom(path, given)
    else:
        raise InputError("has no known image ending", file=path, remedy=f"use one of: {' '.join(EXTENSIONS)}")
