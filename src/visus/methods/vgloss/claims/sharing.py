"""Work that trials of several processes have in common is done once: one at a time, the others wait."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """No other process is in the part of this name at the same time; a killed one leaves nothing locked."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        yield


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills; it is there whole or not at all."""
    with alone(folder.parent, folder.name):
        if not folder.exists():
            draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            try:
                make(draft / "made")
                (draft / "made").replace(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder
