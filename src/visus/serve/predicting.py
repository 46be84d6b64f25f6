"""One prediction at a time: a folder for the files, the method's own command, its table back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import io
import logging
import math
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.errors import InputError, VisusError
from visus.serve.finding import SavedModel
from visus.serve.intake import Intake
from visus.serve.uploads import Upload, contain

_log = logging.getLogger("visus.serve")
MOST_PICTURES, MOST_PICTURE_BYTES = 24, 8 * 2**20
"""Drawings of one prediction that are shown, and how much they may weigh together."""
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+([eE][+-]?\d+)?|[eE][+-]?\d+)")


class Busy(VisusError):
    """Too many predictions are waiting."""


class Failed(VisusError):
    """A prediction stopped for a reason that is not in the files; the log has the kind of error."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A PNG file that `predict` drew."""

    name: str
    png: bytes

    @property
    def base64(self) -> str:
        """Its content as text."""
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True, kw_only=True)
class Result:
    """The table that `predict` wrote, and the first of what it drew."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    pictures: tuple[Drawn, ...] = ()
    drawn: int = 0
    """How many were drawn, shown or not."""

    @property
    def csv(self) -> str:
        """As comma-separated text."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def records(self) -> list[dict[str, Any]]:
        """Rows as JSON objects: columns of decimal numbers as numbers, all others as text, no value as null.

        Whole numbers stay text: they are names of classes or of items.
        """
        columns = [_typed([row[place] for row in self.rows]) for place in range(len(self.columns))]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True)]


class Predictor:
    """Runs predictions one after the other; at most `waiting` requests wait.

    Parameters
    ----------
    scratch : folder for the files of the requests; each request's are gone when it ends, however it ends.
    waiting : requests beyond the one that runs.
    """

    def __init__(self, scratch: Path, *, waiting: int = 4) -> None:
        self.scratch, self.waiting = scratch, waiting
        self._present = 0
        self._one = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """A place in the queue, with an empty folder.

        Raises
        ------
        Busy : the queue is full.
        """
        if self._present > self.waiting:
            raise Busy("other predictions are waiting")
        self._present += 1
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            (folder / "in").mkdir()
            yield folder
        finally:
            self._present -= 1
            shutil.rmtree(folder, ignore_errors=True)

    async def predict(
        self,
        folder: Path,
        asked: Intake,
        model: SavedModel,
        upload: Upload,
        columns: Mapping[str, str],
        *,
        draw: bool = True,
    ) -> Result:
        """Run `asked` on the files in `folder / "in"`, in a thread, as soon as it is this request's turn."""
        async with self._one:
            return await asyncio.to_thread(predict, folder, asked, model, upload, columns, draw=draw)


def predict(
    folder: Path,
    asked: Intake,
    model: SavedModel,
    upload: Upload,
    columns: Mapping[str, str],
    *,
    draw: bool = True,
) -> Result:
    """Call the method's command and read what it wrote; `draw` also asks for pictures, if it can draw any.

    Raises
    ------
    visus.errors.VisusError : in words, without the paths of this machine.
    """
    inside, out = folder / "in", folder / "out" / "predictions.csv"
    out.parent.mkdir()
    pictures = folder / "pictures" if draw and asked.draws else None
    try:
        if asked.needs_table and upload.table is None:
            raise InputError("no table was sent", field="table", remedy="add the CSV that names the pictures")
        contain(upload)
        with contextlib.redirect_stdout(io.StringIO()):
            if asked.videos:
                boxes = None if upload.table is None else upload.data
                asked.call(upload.folder, model=model.folder, out=out, columns=columns, boxes=boxes)
            else:
                asked.call(upload.data, model=model.folder, out=out, columns=columns, pictures=pictures)
        return _read(out, inside, pictures)
    except InputError as error:
        shown = [None if part is None else _hidden(str(part), inside, model) for part in _parts(error)]
        problem, file, field, remedy = shown
        raise InputError(problem or "", file=file or None, field=field, remedy=remedy) from None
    except VisusError:
        raise
    except Exception as error:  # its message may hold names and contents of the files
        _log.error("prediction with a %s model failed: %s", model.slug, type(error).__name__)
        raise Failed(f"the prediction failed ({type(error).__name__})") from None


def _read(out: Path, inside: Path, pictures: Path | None) -> Result:
    with out.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    shown, drawn = _drawn(pictures)
    local = [[_local(cell, inside) for cell in row] for row in rows]
    return Result(columns=tuple(head), rows=local, pictures=shown, drawn=drawn)


def _drawn(folder: Path | None) -> tuple[tuple[Drawn, ...], int]:
    """The first PNG files of a folder by name, and how many there are."""
    if folder is None or not folder.is_dir():
        return (), 0
    files = sorted(path for path in folder.rglob("*.png") if path.is_file() and not path.is_symlink())
    shown, left = [], MOST_PICTURE_BYTES
    for path in files[:MOST_PICTURES]:
        left -= path.stat().st_size
        if left < 0:
            break
        shown.append(Drawn(name=path.relative_to(folder).as_posix(), png=path.read_bytes()))
    return tuple(shown), len(files)


def _parts(error: InputError) -> tuple[Any, Any, Any, Any]:
    return error.problem, error.file, error.field, error.remedy


def _hidden(text: str, inside: Path, model: SavedModel) -> str:
    return _local(text, inside).replace(str(model.folder), model.name)


def _local(text: str, inside: Path) -> str:
    """Text with the names of uploaded files as they were sent."""
    for folder in (inside, inside.parent):
        text = text.replace(f"{folder}/", "").replace(str(folder), "")
    return text


def _typed(cells: list[str]) -> list[Any]:
    given = [cell for cell in cells if cell]
    if given and all(_DECIMAL.fullmatch(cell) and math.isfinite(float(cell)) for cell in given):
        return [float(cell) if cell else None for cell in cells]
    return [cell or None for cell in cells]
