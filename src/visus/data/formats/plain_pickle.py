"""Pickles of plain values, read without executing what a pickle asks for.

Unpickling runs whatever code a file names, so a stranger's file must never be given to `pickle.load`. The
reader here looks names up in a fixed list - those that stand for a plain NumPy array or number, its type, and
text - and refuses every other name before anything is called. Nothing of NumPy is handed to the pickle either: it
fills in small records, of which the arrays are made afterwards.
"""

from __future__ import annotations

import codecs
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import present
from visus.errors import InputError


class _PlainUnpickler(pickle.Unpickler):
    """Rebuilds dicts, lists, numbers, text and NumPy arrays; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        place = module.replace("numpy._core", "numpy.core")
        if (place, name) in _ALLOWED:
            return _ALLOWED[place, name]
        raise pickle.UnpicklingError(f"asks for {module}.{name}")


class _Kind:
    """What a pickle says of a number type: its name when made, its byte order afterwards."""

    def __init__(self, name: Any, *_flags: Any) -> None:
        self.type = np.dtype(name.decode("ascii") if isinstance(name, bytes) else str(name))
        if self.type.kind not in "biuf":
            raise pickle.UnpicklingError(f"holds {self.type} values")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.type = self.type.newbyteorder(">" if as_text(state[1]) == ">" else "<")


class _Array:
    """What a pickle says of an array, made into one when its bytes are known."""

    values: np.ndarray

    def __init__(self, *_given: Any) -> None:
        self.values = np.zeros(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, content = state
        self.values = _from_bytes(content, kind, shape, "F" if by_column else "C").values


def _from_bytes(content: Any, kind: Any, shape: Any, order: Any = "C") -> _Array:
    if not isinstance(kind, _Kind) or not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("holds an array of no plain numbers")
    array = _Array()
    flat = np.frombuffer(content, kind.type).astype(kind.type.newbyteorder("="))
    array.values = flat.reshape(shape, order="F" if as_text(order) == "F" else "C")
    return array


def _number(kind: Any, content: Any) -> int | float | bool:
    return _from_bytes(content, kind, ()).values.item()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"asks for the encoding {encoding}")
    return codecs.encode(text, "latin1")


def _no_bytes() -> bytes:
    return b""


class _Sealed:
    """A function that a pickle may call and can do nothing else to: it may not set its attributes."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *given: Any) -> Any:
        return self.function(*given)

    def __setstate__(self, _state: Any) -> None:
        raise pickle.UnpicklingError("asks for a change of the reader")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Sealed(_Array),
    ("numpy.core.multiarray", "scalar"): _Sealed(_number),
    ("numpy.core.numeric", "_frombuffer"): _Sealed(_from_bytes),
    ("numpy", "ndarray"): "array",
    ("numpy", "dtype"): _Sealed(_Kind),
    ("_codecs", "encode"): _Sealed(_latin1),
    ("__builtin__", "bytes"): _Sealed(_no_bytes),  # how the old protocols write bytes of length 0
}


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
        found = _plain(_PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load())
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


def _plain(value: Any) -> Any:
    """The value with its arrays in place of what stood for them."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return type(value)(_plain(item) for item in value) if isinstance(value, list | tuple) else value
