"""Files that came over the network: harmless names, known kinds, tables that reach nothing else."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visus.errors import InputError

TABLES = (".csv", ".tsv", ".txt")
MAX_NAME = 200
"""Longest file name, in bytes."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What lies in a folder of uploaded files."""

    folder: Path
    pictures: tuple[str, ...]
    """Or videos."""
    table: str | None

    @property
    def data(self) -> Path:
        """What to give a command: the table, or the folder of pictures."""
        return self.folder if self.table is None else self.folder / self.table


def safe_name(given: str) -> str:
    """The last part of a path without anything that could lead elsewhere.

    >>> safe_name("../../etc/scan 1.png"), safe_name("C:\\\\data\\\\.hidden.png")
    ('scan 1.png', 'hidden.png')

    Raises
    ------
    visus.errors.InputError : nothing is left, or the name is too long.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", given))[-1]
    kept = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    kept = kept.strip().lstrip(". ")
    if not kept or len(kept.encode("utf-8", "replace")) > MAX_NAME:
        raise InputError("a file has no usable name", field="files", remedy="rename it and try again")
    return kept


def endings(*, videos: bool = False) -> tuple[str, ...]:
    """Endings of the pictures and volumes, or of the videos, that can be read."""
    from visus.data.formats import EXTENSIONS
    from visus.data.formats.video import VIDEO_FILES

    return VIDEO_FILES if videos else EXTENSIONS


def receive(folder: Path, names: Iterable[str], *, videos: bool = False) -> tuple[list[Path], Upload]:
    """Where each file is to be written, in the order given, and what the folder then holds.

    Parameters
    ----------
    videos : the files are videos instead of pictures.

    Raises
    ------
    visus.errors.InputError : no file, an ending nobody reads, two files of one name, or two tables.
    """
    targets = [safe_name(name) for name in names]
    if not targets:
        raise InputError("no file was sent", field="files", remedy="choose one or more files")
    lowered = [name.casefold() for name in targets]
    for name, low in zip(targets, lowered, strict=True):
        if not low.endswith((*endings(videos=videos), *TABLES)):
            raise InputError(
                "is of a kind that cannot be read",
                file=name,
                remedy="send " + " ".join((*endings(videos=videos), *TABLES)),
            )
        if lowered.count(low) > 1:
            raise InputError("was sent twice", file=name, remedy="give every file its own name")
    tables = [name for name in targets if name.casefold().endswith(TABLES)]
    if len(tables) > 1:
        raise InputError("is a second table", file=tables[1], remedy="send one table")
    pictures = tuple(name for name in targets if name not in tables)
    upload = Upload(folder=folder, pictures=pictures, table=tables[0] if tables else None)
    return [folder / name for name in targets], upload


def contain(upload: Upload) -> None:
    """Make the table's paths point at the uploaded files, and refuse those that point anywhere else.

    A cell whose last part is the name of an uploaded picture becomes that name, so `scans/a.png` finds
    `a.png`. A cell that leads out of the folder would let the table read files of this machine.
    """
    from visus.data.formats.table import read_rows, sniff
    from visus.data.formats.text import decode

    if upload.table is None:
        return
    rows, changed = read_rows(upload.data), False
    for line, cells in rows:
        for place, cell in enumerate(cells):
            last = re.split(r"[/\\]", cell.strip())[-1]
            if last in upload.pictures and last != cell.strip():
                cells[place], changed = last, True
            elif _leads_out(cell.strip()):
                raise InputError(
                    "names a file that was not sent",
                    file=upload.table,
                    field=f"line {line}",
                    remedy="send the pictures with the table and write their names only",
                )
    if changed:
        text = io.StringIO()
        mark = sniff(decode(upload.data.read_bytes(), file=upload.data))
        csv.writer(text, delimiter=mark, lineterminator="\n").writerows(cells for _, cells in rows)
        upload.data.write_text(text.getvalue(), encoding="utf-8")


def _leads_out(cell: str) -> bool:
    """Whether a relative path of this text ends outside of its folder, in either way of writing paths."""
    for path in {cell, cell.replace("\\", "/")}:
        normal = os.path.normpath(path)
        if os.path.isabs(path) or normal == ".." or normal.startswith("../"):
            return True
    return False
