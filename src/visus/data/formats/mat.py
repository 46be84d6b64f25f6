"""MATLAB files (up to version 7) as dicts of arrays; structs keep MATLAB's nesting of 1 x 1 arrays."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import present
from visus.errors import InputError


def read_mat(path: str | Path) -> dict[str, np.ndarray]:
    """Variable name -> array. Structs are structured arrays, text is an array of one string.

    Raises
    ------
    InputError : the file is damaged, no MATLAB file, or of version 7.3, which is HDF5.
    """
    from scipy.io import loadmat

    path = present(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns of variables it skips; they are then absent
            content = loadmat(path)
    except NotImplementedError:
        remedy = "save it in MATLAB with save(..., '-v7')"
        raise InputError("is a MATLAB 7.3 file, which is not read", file=path, remedy=remedy) from None
    except Exception:  # a damaged file fails in many ways
        remedy = "copy or download the file again"
        raise InputError("is cut off or no MATLAB file", file=path, remedy=remedy) from None
    return {
        name: value
        for name, value in content.items()
        if not name.startswith("__") and isinstance(value, np.ndarray)
    }


def variable(content: dict[str, np.ndarray], name: str, path: str | Path) -> np.ndarray:
    """A variable of a file, or an `InputError` that lists what there is."""
    if name not in content:
        there = ", ".join(f"{key} {value.shape}" for key, value in content.items()) or "no variables"
        raise InputError(f"has no variable {name}", file=path, remedy=f"the file holds {there}")
    return content[name]


def member(struct: np.ndarray, name: str, path: str | Path) -> Any:
    """A field of a 1 x 1 struct."""
    fields = struct.dtype.names or ()
    if name not in fields or struct.size != 1:
        told = ", ".join(fields) or "no fields"
        raise InputError(f"is no struct with the field {name}", file=path, remedy=f"it has {told}")
    return struct[name].ravel()[0]


def word(value: Any) -> str:
    """Text as MATLAB keeps it."""
    flat = np.asarray(value).ravel()
    return str(flat[0]).strip() if len(flat) else ""
