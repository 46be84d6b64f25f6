"""Paths that a command is to write to, refused before any work is done and before anything is written over."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from visus.errors import InputError


def check_file(path: Path | None, field: str, *, example: str, inputs: Collection[Path] = ()) -> None:
    """Refuse a file that is a folder, lies below a file, or is one of the inputs.

    Parameters
    ----------
    path : the file; None is not asked for.
    field : the option that names it.
    example : a name for the remedy.
    inputs : files that are read.

    Raises
    ------
    InputError : names the path and the option.
    """
    if path is None:
        return
    remedy = f"name a file, for example {example}"
    if path.is_dir():
        raise InputError("is a folder", file=path, field=field, remedy=remedy)
    _check_above(path, field)
    if path.resolve() in {given.resolve() for given in inputs}:
        raise InputError("is read and would be written over", file=path, field=field, remedy=remedy)


def check_folder(path: Path | None, field: str, *, inputs: Collection[Path] = ()) -> None:
    """Refuse a folder that is a file, lies below a file, or holds one of the inputs directly.

    Parameters
    ----------
    path : the folder; None is not asked for.
    field : the option that names it.
    inputs : files that are read; what is written beside them might replace them, or be read the next time.

    Raises
    ------
    InputError : names the path and the option.
    """
    if path is None:
        return
    if path.exists() and not path.is_dir():
        raise InputError("is a file", file=path, field=field, remedy="name a folder")
    _check_above(path, field)
    if path.resolve() in {given.resolve().parent for given in inputs}:
        problem = "holds images that are read; they might be written over"
        raise InputError(problem, file=path, field=field, remedy="name a folder of its own")


def _check_above(path: Path, field: str) -> None:
    nearest = next((above for above in path.parents if above.exists()), path.parent)
    if nearest.exists() and not nearest.is_dir():
        raise InputError(
            f"lies below a file ({nearest})", file=path, field=field, remedy="choose another path"
        )
