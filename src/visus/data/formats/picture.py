"""What every image format reads into."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from visus.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture or a volume with what its file says about space.

    `array` is float32 (c, *space). Values of ordinary pictures lie in 0..1 (divided by the largest value of
    the file's bit depth); values with a physical meaning (NIfTI, DICOM with a rescale: HU) keep it.
    """

    array: Float32[np.ndarray, "c ..."]
    kind: Literal["image", "numpy", "nifti", "dicom"]
    spacing_mm: tuple[float, ...] | None = None
    """Distance of neighboring samples along each axis of space."""
    affine: np.ndarray | None = None
    """(4, 4): index along the axes of space -> millimeters in right, anterior, superior."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Technical facts of the file; nothing that identifies a person."""


def present(path: str | Path) -> Path:
    """The path, if it is a file with content; otherwise an `InputError`."""
    path = Path(path)
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="check the path")
    if path.is_dir():
        raise InputError("is a folder, not a file", file=path)
    if path.stat().st_size == 0:
        raise InputError("is empty (0 bytes)", file=path, remedy="copy or download the file again")
    return path
