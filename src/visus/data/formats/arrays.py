"""NumPy files (.npy, .npz) and the two rules shared by all picture formats: bit depth and axis order."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from visus.data.formats.picture import Picture, present
from visus.errors import InputError
from visus.records import write_atomically

Layout = Literal["auto", "channels_first", "channels_last", "space"]

CHANNELS = 4
"""An axis of at most this length is taken for channels where the file does not say."""


def scaled(values: np.ndarray) -> Float32[np.ndarray, "*shape"]:
    """Values as float32; unsigned 8 and 16 bit integers are divided by the largest value of their type.

    >>> scaled(np.array([0, 255], dtype=np.uint8)).tolist()
    [0.0, 1.0]
    """
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    return np.ascontiguousarray(values, dtype=np.float32)


def channels_first(values: np.ndarray, layout: Layout = "auto", *, file: Path | None = None) -> np.ndarray:
    """Bring an array to (c, *space).

    `auto`: two axes are a gray picture. Of three or four axes, a last (then a first) axis of at most 4 beside
    longer ones is the channels; otherwise three axes are a volume, and four are an error.
    """
    if values.ndim < 2 or values.ndim > 4 or values.size == 0:
        raise InputError(
            f"shape {values.shape} is not a picture or a volume", file=file, remedy="give 2 to 4 axes"
        )
    if layout == "space" or (layout == "auto" and values.ndim == 2):
        return values[None]
    if layout == "channels_first":
        return values
    if layout == "channels_last":
        return np.moveaxis(values, -1, 0)
    if values.shape[-1] <= CHANNELS < min(values.shape[:-1]):
        return np.moveaxis(values, -1, 0)
    if values.shape[0] <= CHANNELS:
        return values
    if values.ndim == 3:
        return values[None]
    raise InputError(
        f"cannot tell the channels in shape {values.shape}", file=file, remedy="state the layout"
    )


def read_array(path: str | Path, *, mapped: bool = False) -> np.ndarray:
    """The array of an .npy file, or of an .npz file with one array or one named `image`; never unpickles.

    With `mapped`, an .npy file is mapped into memory instead of being read; writing to it leaves the file alone.
    """
    path = present(path)
    with _naming(path):
        loaded = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return _only(loaded, path)
        return np.asarray(loaded)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file by name; never unpickles."""
    path = present(path)
    with _naming(path):
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError("holds one array without a name", file=path, remedy="save it with numpy.savez")
        with loaded:
            return dict(loaded)


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed .npz file, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(values) for name, values in arrays.items()})  # pyright: ignore[reportArgumentType]
    write_atomically(Path(path), buffer.getvalue())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What NumPy raises for files it cannot read, as an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            problem = "holds Python objects, which are not read because loading them could run foreign code"
            raise InputError(problem, file=path, remedy="save a plain numeric array") from None
        raise InputError(
            "is not a complete NumPy file", file=path, remedy="write it again with numpy.save"
        ) from None


def _only(archive: np.lib.npyio.NpzFile, path: Path) -> np.ndarray:
    if len(archive.files) == 1:
        return archive[archive.files[0]]
    if "image" in archive.files:
        return archive["image"]
    names = ", ".join(archive.files) or "nothing"
    raise InputError(f"holds {names}; which is the image?", file=path, remedy="name the array `image`")


def read_npy(path: str | Path, *, layout: Layout = "auto") -> Picture:
    """A picture or volume from a NumPy file; values as `scaled`, axes as `channels_first`."""
    values = read_array(path)
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"holds {values.dtype} values, not numbers", file=path, remedy="save a numeric array"
        )
    return Picture(array=scaled(channels_first(values, layout, file=Path(path))), kind="numpy")


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write an array as .npy (or compressed as .npz under the name `image`), whole or not at all."""
    buffer = io.BytesIO()
    if Path(path).suffix == ".npz":
        np.savez_compressed(buffer, image=array)
    else:
        np.save(buffer, array, allow_pickle=False)
    write_atomically(Path(path), buffer.getvalue())
