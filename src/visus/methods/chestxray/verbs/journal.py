"""Rows of a long prediction as they come, so that a stopped command goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visus.errors import InputError


class Journal:
    """A file beside the table to be written, with one line per image that is done.

    It belongs to one model and one way of asking; another starts anew. A line that was cut off counts as not
    written. `finish` removes the file: then the table is there.

    Parameters
    ----------
    out : the table.
    key : what the rows depend on.
    """

    def __init__(self, out: Path, key: Mapping[str, Any]) -> None:
        self._out, self.file = out, out.with_name(f".{out.name}.part")
        self._key = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()
        self.rows = self._read()

    def add(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the rows of images by their marks (see `mark`), on disk when this returns."""
        fresh = not self.rows
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("w" if fresh else "a", encoding="utf-8") as stream:
            if fresh:
                stream.write(json.dumps({"key": self._key}) + "\n")
            for mark, row in rows.items():
                stream.write(json.dumps({"mark": mark, "row": row}, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.rows.update({mark: dict(row) for mark, row in rows.items()})

    def finish(self) -> None:
        """Everything is written elsewhere."""
        self.file.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except NotADirectoryError:
            remedy = "name a file in a folder"
            raise InputError("lies below a file", file=self._out, remedy=remedy) from None
        lines = [_parsed(line) for line in text.split("\n")]
        if not lines or lines[0].get("key") != self._key:
            return {}
        whole = [line for line in lines[1:] if "mark" in line and "row" in line]
        if not text.endswith("\n"):  # the next line would be glued to the torn one
            known = {line["mark"]: line["row"] for line in whole}
            self.rows: dict[str, dict[str, Any]] = {}
            self.add(known)
            return known
        return {line["mark"]: line["row"] for line in whole}


def mark(path: Path, *, name: str) -> str:
    """A file by the name it was given, size and time of its last change."""
    with contextlib.suppress(OSError):
        state = path.stat()
        return f"{name}|{state.st_size}|{state.st_mtime_ns}"
    return name


def digest(files: Sequence[Path]) -> str:
    """Hash of files' contents."""
    made = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            made.update(hashlib.file_digest(stream, "sha256").digest())
    return made.hexdigest()


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
