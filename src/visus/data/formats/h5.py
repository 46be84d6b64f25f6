"""HDF5 containers through h5py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.picture import present
from visus.errors import InputError
from visus.extras import need


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """An HDF5 file for reading; a file that is cut off or something else is an `InputError`."""
    path = present(path)
    h5py = need("h5py", extra="medical", purpose="reading HDF5 files")
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise InputError(
            "is cut off or not an HDF5 file", file=path, remedy="copy or export it again"
        ) from None
    with file:
        yield file


def read_dataset(group: Any, name: str, *, file: str | Path) -> np.ndarray:
    """A data set of a group as an array; its absence or damage is an `InputError` naming it."""
    where = f"{group.name.rstrip('/')}/{name}"
    if name not in group or not hasattr(group[name], "shape"):
        held = ", ".join(sorted(group)[:10])
        raise InputError("no such data set", file=file, field=where, remedy=f"the group holds: {held}")
    try:
        return np.asarray(group[name][()])
    except OSError:
        raise InputError("cannot be read", file=file, field=where, remedy="copy the file again") from None


@contextmanager
def created(path: str | Path) -> Iterator[Any]:
    """A new HDF5 file that takes its name only when it is complete."""
    h5py = need("h5py", extra="medical", purpose="writing HDF5 files")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with h5py.File(part, "w") as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
