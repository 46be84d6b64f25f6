"""Pickles of plain values, read without executing what a pickle asks for.

Unpickling runs whatever code a file names, so a stranger's file must never be given to `pickle.load`. The
reader here looks names up in a fixed list - the two functions that rebuild a plain NumPy array, its type, and
text - and refuses every other name before anything is called.
"""

from __future__ import annotations

import codecs
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import present
from visus.errors import InputError


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds dicts, lists, numbers, text and NumPy arrays; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _empty_array
        if (module, name) == ("numpy", "ndarray"):
            return "array"
        if (module, name) == ("numpy", "dtype"):
            return _number_type
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"asks for {module}.{name}")


def read_plain_pickle(
    path: str | Path, *, remedy: str = "ask for the same content in a format that holds no code"
) -> dict[str, Any]:
    """A pickled dict of plain values and numeric arrays (written by Python 2 or 3), keys as text.

    Parameters
    ----------
    remedy : what to do about a file that is refused.

    Raises
    ------
    InputError : the file is cut off, is no pickle, or names anything but plain values and numeric arrays.
    """
    path = present(path)
    try:
        found = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        if "asks for" in str(error) or "holds" in str(error):
            raise InputError(f"{error}, which is refused", file=path, remedy=remedy) from None
        raise InputError("is cut off or no pickle", file=path, remedy="unpack the archive again") from None
    except Exception:  # a damaged pickle fails in many ways
        raise InputError("is cut off or no pickle", file=path, remedy="unpack the archive again") from None
    if not isinstance(found, dict):
        raise InputError(f"holds a {type(found).__name__}, not a dict", file=path)
    return {as_text(key): value for key, value in found.items()}


def as_text(value: Any) -> str:
    """Text that may have been pickled as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _empty_array(_kind: Any, _shape: Any, _type: Any) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def _number_type(name: Any, *_flags: Any) -> np.dtype:
    kind = np.dtype(name.decode("ascii") if isinstance(name, bytes) else str(name))
    if kind.kind not in "biuf":
        raise pickle.UnpicklingError(f"holds {kind} values")
    return kind


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"asks for the encoding {encoding}")
    return codecs.encode(text, "latin1")
