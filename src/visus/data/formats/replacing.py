"""Large files written piece by piece that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visus.errors import InputError


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Unlike `visus.records.write_atomically` the content need not be in memory. The path keeps the ending, so
    that writers that look at it work.

    Raises
    ------
    InputError : the path is a folder, lies below a file, or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder", file=path, remedy="name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    except (FileExistsError, NotADirectoryError):
        raise InputError("lies below a file", file=path, remedy="name a file in a folder") from None
    except PermissionError:
        problem = "may not be written (permission denied)"
        raise InputError(problem, file=path, remedy="name a file in a folder of yours") from None
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
