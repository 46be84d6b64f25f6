"""What the methods' commands share: places to write to, refused before any work, and rows on the terminal."""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from visus.errors import InputError


def check_out(
    out: Path | None, *, kind: Literal["folder", "file"], inputs: Collection[Any] = (), field: str = "--out"
) -> None:
    """Refuse a place that cannot be written to, or where an input would be written over.

    Parameters
    ----------
    out : what `field` names; None is not asked for.
    inputs : what is read: paths, or texts that may be paths; None is passed over.

    Raises
    ------
    InputError : names the path.
    """
    if out is None:
        return
    if kind == "folder" and out.exists() and not out.is_dir():
        raise InputError("is a file", file=out, field=field, remedy="name a folder")
    if kind == "file" and out.is_dir():
        raise InputError("is a folder", file=out, field=field, remedy="name a file")
    nearest = next((above for above in out.absolute().parents if above.exists()), Path("/"))
    if not nearest.is_dir():
        problem = f"lies below a file ({nearest})"
        raise InputError(problem, file=out, field=field, remedy="choose another path")
    read = {Path(given).resolve() for given in inputs if given is not None and Path(given).exists()}
    taken = {path.parent for path in read if path.is_file()} | {path for path in read if path.is_dir()}
    if out.resolve() in (taken if kind == "folder" else read):
        problem = "is where the input is read from, which might be written over"
        raise InputError(problem, file=out, field=field, remedy="choose a place of its own")


def check_inputs(**paths: Path | None) -> None:
    """Refuse files that are not there, before any of them is read.

    Parameters
    ----------
    paths : option -> path, in capitals where it is an argument without an option's name; None is not asked for.

    Raises
    ------
    InputError : names the path and the option.
    """
    for name, path in paths.items():
        if path is not None and not path.exists():
            field = name if name.isupper() else f"--{name}"
            raise InputError("does not exist", file=path, field=field, remedy="check the path")


@contextmanager
def emptied(out: Path) -> Iterator[None]:
    """Remove a folder that was not there before, if the input is refused while it is being filled."""
    before = out.exists()
    try:
        yield
    except InputError:
        if not before:
            shutil.rmtree(out, ignore_errors=True)
        raise


def finite(plain: Any) -> Any:
    """Plain data in which what is not a finite number is None, as JSON wants it.

    >>> finite({"a": float("nan"), "b": (1, 2.5)})
    {'a': None, 'b': [1, 2.5]}
    """
    if isinstance(plain, Mapping):
        return {str(key): finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [finite(value) for value in plain]
    if isinstance(plain, float):
        return plain if math.isfinite(plain) else None
    return plain


def say(rows: Sequence[Sequence[str]]) -> None:
    """Rows of cells on the terminal, in columns."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  " + "  ".join(cells).rstrip().replace("\u00a0", " "))
