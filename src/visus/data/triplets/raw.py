"""Files of triplets as they are written, before anything is decided about what their numbers mean."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped

from visus.data.formats.arrays import read_array
from visus.data.formats.picture import present
from visus.data.formats.table import sniff
from visus.data.formats.text import decode
from visus.errors import InputError

OBJECT = re.compile(r"(?:image|object|obj|item|stimulus|stim)([123])")
CHOICE = ("choice", "response", "answer", "oddposition")
PARTICIPANT = ("subject", "subjectid", "participant", "participantid", "worker", "workerid", "user", "userid")
HEADED = "name the columns image1, image2, image3, choice (1, 2 or 3) and subject, or delete the header"


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTriplets:
    """The numbers of a file in its own columns and its own counting.

    `numbers` (n, 3) names three objects; `choice` (n,) is the column beside them, if there is one; `text` is a text
    file's content, from which lines are counted.
    """

    path: Path
    numbers: Int64[np.ndarray, "n 3"]
    choice: Int64[np.ndarray, " n"] | None = None
    participants: Shaped[np.ndarray, " n"] | None = None
    text: str | None = None
    headed: bool = False

    def place(self, row: int) -> str:
        """Where row `row` (from 0) stands, in words."""
        return f"row {row}" if self.text is None else f"line {line_of(self.text, row + self.headed)}"


def read_raw(path: str | Path) -> RawTriplets:
    """Read a file of triplets without interpreting it.

    `.npy` (mapped into memory) and `.npz`: 3 columns of numbers, 4 with the choice, 5 with the participant. Every
    other suffix is text, separated by tab, comma, semicolon or blanks, with the same columns; under a header the
    columns are found by their names and others are ignored.

    Raises
    ------
    InputError : names the file, the line and the remedy.
    """
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        values = read_array(path, mapped=True)
        if values.ndim != 2 or values.shape[1] not in (3, 4, 5) or len(values) == 0:
            problem = f"shape {values.shape}, expected (n, 3)"
            raise InputError(problem, file=path, remedy="give columns (a, b, odd)")
        columns = [_whole(values[:, i], path, f"column {i + 1}") for i in range(3, values.shape[1])]
        numbers = values if values.dtype == np.int64 else _whole(values, path, "triplets")
        choice = columns[0] if columns else None
        people = columns[1] if len(columns) > 1 else None
        return RawTriplets(path=path, numbers=numbers[:, :3], choice=choice, participants=people)
    return _read_text(path)


def line_of(text: str, row: int) -> int:
    """The line (from 1) of content row `row` (from 0), blank lines being no rows."""
    seen = -1
    for number, line in enumerate(text.split("\n"), start=1):
        seen += bool(line.strip())
        if seen == row:
            return number
    raise IndexError(f"row {row} of {seen + 1}")


def _read_text(path: Path) -> RawTriplets:
    text = decode(present(path).read_bytes(), file=path)
    separator, first = _opening(text, path)
    headed = not all(_is_number(cell) for cell in first[:3])
    stream = io.StringIO(text)
    if headed:
        for _ in range(line_of(text, 0)):
            stream.readline()
    frame = _parsed(stream, separator, width=len(first), text=text, headed=headed, path=path)
    objects, choice, people = _columns(first if headed else None, len(first), path)

    def taken(column: int) -> np.ndarray:
        return _integers(
            frame.iloc[:, column], text, headed, path, first[column] if headed else f"column {column + 1}"
        )

    return RawTriplets(
        path=path,
        numbers=np.column_stack([taken(column) for column in objects]),
        choice=None if choice is None else taken(choice),
        participants=None if people is None else _people(frame.iloc[:, people], text, headed, path),
        text=text,
        headed=headed,
    )


def _opening(text: str, path: Path) -> tuple[str, list[str]]:
    first = next((line for line in text[: 2**16].split("\n") if line.strip()), "")
    mark = sniff(first)
    cells = [cell.strip().strip('"') for cell in first.split(mark)]
    if len(cells) < 3:
        mark, cells = r"\s+", first.split()
    if len(cells) < 3:
        problem = f"{len(cells)} columns, expected at least 3"
        remedy = "give one triplet per line, separated by tab, comma, semicolon or blanks"
        raise InputError(problem, file=path, field="line 1" if not cells else first[:40], remedy=remedy)
    return mark, cells


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.0*)?", cell) is not None


def _parsed(
    stream: io.StringIO, separator: str, *, width: int, text: str, headed: bool, path: Path
) -> pd.DataFrame:
    remedy = f"give {width} fields on every line"
    try:
        frame = pd.read_csv(stream, sep=separator, header=None, low_memory=False, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise InputError("has a header but no rows", file=path, remedy="add at least one triplet") from None
    except pd.errors.ParserError:
        row, count = _ragged(text, separator, width, headed)
        where = f"line {line_of(text, row)}"
        raise InputError(f"has {count} fields, not {width}", file=path, field=where, remedy=remedy) from None
    if frame.shape[1] != width:
        row, count = _ragged(text, separator, width, headed)
        where = f"line {line_of(text, row)}"
        raise InputError(f"has {count} fields, not {width}", file=path, field=where, remedy=remedy)
    return frame


def _ragged(text: str, separator: str, width: int, headed: bool) -> tuple[int, int]:
    content = [line for line in text.split("\n") if line.strip()]
    for row, line in enumerate(content[headed:], start=headed):
        count = len(line.split() if separator == r"\s+" else line.split(separator))
        if count != width:
            return row, count
    return len(content) - 1, width


def _columns(
    header: Sequence[str] | None, width: int, path: Path
) -> tuple[list[int], int | None, int | None]:
    if header is None or width == 3:
        if width > 5:
            problem = f"{width} columns without a header"
            raise InputError(problem, file=path, field="line 1", remedy=HEADED.split(", or")[0])
        return [0, 1, 2], 3 if width > 3 else None, 4 if width > 4 else None
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    found = {match.group(1): i for i, name in enumerate(names) if (match := OBJECT.fullmatch(name))}
    if len(found) < 3:
        missing = ", ".join(f"image{i}" for i in "123" if i not in found)
        raise InputError(f"has no column {missing}", file=path, field="header", remedy=HEADED)
    choice = next((i for i, name in enumerate(names) if name in CHOICE), None)
    people = next((i for i, name in enumerate(names) if name in PARTICIPANT), None)
    return [found[i] for i in "123"], choice, people


def _integers(column: pd.Series, text: str, headed: bool, path: Path, name: str) -> Int64[np.ndarray, " n"]:
    if column.dtype.kind in "iu":
        return column.to_numpy(np.int64)
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values) | (values != np.floor(values)))
    if not len(wrong):
        return values.astype(np.int64)
    row, cell = int(wrong[0]), column.iloc[int(wrong[0])]
    where = f"{name}, line {line_of(text, row + headed)}"
    if cell is None or cell != cell:
        raise InputError("has no value", file=path, field=where, remedy="complete or delete this line")
    remedy = "objects are given by number, in the order of the concept table"
    raise InputError(f"{str(cell)!r} is not a whole number", file=path, field=where, remedy=remedy)


def _people(column: pd.Series, text: str, headed: bool, path: Path) -> Shaped[np.ndarray, " n"]:
    missing = np.flatnonzero(column.isna())
    if len(missing):
        where = f"participant, line {line_of(text, int(missing[0]) + headed)}"
        raise InputError(
            "has no value", file=path, field=where, remedy="fill in who judged, or drop the column"
        )
    return column.to_numpy(np.int64) if column.dtype.kind in "iu" else column.astype(str).to_numpy(np.str_)


def _whole(values: np.ndarray, path: Path, field: str) -> np.ndarray:
    if values.dtype.kind not in "iuf":
        problem = f"holds {values.dtype} values, not numbers"
        raise InputError(problem, file=path, field=field, remedy="save integers")
    if values.dtype.kind == "f":
        wrong = np.argwhere(~(np.isfinite(values) & (values == np.floor(values))))
        if len(wrong):
            raise InputError("is not a whole number", file=path, field=f"{field}, row {int(wrong[0][0])}")
    return values.astype(np.int64)
