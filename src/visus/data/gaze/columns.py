"""A few columns of a large table, plain or packed (.gz, .zip), quickly and strictly.

`visus.data.formats.table.read_table` keeps every cell and suits tables written by hand. Gaze samples come in
millions of rows of forty columns; here only the named columns are kept, and every line's number of fields is
still checked.
"""

from __future__ import annotations

import csv
import gzip
import io
import warnings
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from visus.data.formats.picture import present
from visus.data.formats.table import require_column, sniff
from visus.errors import InputError

REMEDY = "copy or download the file again"


def header_of(path: str | Path) -> list[str]:
    """The column names of a plain or packed table, stripped of spaces.

    Raises
    ------
    InputError : absent, empty, damaged or binary.
    """
    with _opened(Path(path)) as stream:
        first = stream.readline()
    if "\0" in first:
        raise InputError("is a binary file, not a table", file=path, remedy="give a text table")
    if not first.strip():
        raise InputError("has no content", file=path, remedy="add a header line and rows")
    return [name.strip() for name in next(csv.reader([first], delimiter=sniff(first), skipinitialspace=True))]


def read_columns(
    path: str | Path,
    *,
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    optional: Sequence[str] = (),
    rows_needed: bool = True,
) -> pd.DataFrame:
    """Some columns of a table with a header line, in this order; the index holds each row's line in the file.

    Parameters
    ----------
    texts : columns kept as text exactly as written; empty cells are missing.
    numbers : columns read as float64; empty cells are NaN.
    optional : those of them that may be absent.
    rows_needed : False accepts a table that has a header only.

    Raises
    ------
    InputError : names the file and the column or line: a column is absent, a line has another number of
        fields than the header (a cut-off file ends in one), or a cell that should be a number is none.
    """
    path = Path(path)
    header = header_of(path)
    for column in (*texts, *numbers):
        if column not in optional:
            require_column(pd.DataFrame(columns=pd.Index(header)), column, file=path)
    wanted = [name for name in (*texts, *numbers) if name in header]
    doubled = [name for name in wanted if header.count(name) > 1]
    if doubled:
        raise InputError("appears more than once", file=path, field=f"column {doubled[0]}")
    separator, lines = _checked_lines(path, header)
    if not len(lines) and rows_needed:
        raise InputError("has a header but no rows", file=path, remedy="add at least one row")
    with _opened(path) as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        frame = pd.read_csv(
            stream,
            sep=separator,
            names=[name if name in wanted else f"{i} {name}" for i, name in enumerate(header)],
            header=0,
            usecols=wanted,
            dtype={name: str for name in texts if name in header},  # pyright: ignore[reportArgumentType]
            skipinitialspace=True,
            low_memory=False,
        )
    frame.index = pd.Index(lines, name="line")
    for name in numbers:
        if name in frame:
            frame[name] = as_numbers(pd.Series(frame[name]), file=path)
    return pd.DataFrame(frame[wanted])


def as_numbers(column: pd.Series, *, file: str | Path | None = None) -> Float64[np.ndarray, " n"]:
    """A column as float64, empty cells as NaN; a cell that is no number is an `InputError` with its index."""
    values = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    wrong = np.flatnonzero(np.isnan(values) & column.notna().to_numpy())
    if len(wrong) and not pd.api.types.is_numeric_dtype(column):
        where = f"column {column.name}, line {column.index[wrong[0]]}"
        raise InputError(f"{column.iloc[wrong[0]]!r} is not a number", file=file, field=where)
    return values


def _checked_lines(path: Path, header: list[str]) -> tuple[str, Int64[np.ndarray, " n"]]:
    """The separator and the line each data row begins in; every row has as many fields as the header.

    Unnamed columns at the header's end may be absent from rows.
    """
    starts, fields = array("q"), len(header)
    least = max((i + 1 for i, name in enumerate(header) if name), default=fields)
    with _opened(path) as stream:
        first = stream.readline()
        separator, line = sniff(first), 1
        for text in stream:
            line = start = line + 1
            held = text.count(separator) + 1
            if held != fields or '"' in text:
                if not text.strip():
                    continue
                while text.count('"') % 2:  # a quoted cell goes on in the next line
                    more = stream.readline()
                    if not more:
                        problem = "a quoted cell does not end"
                        raise InputError(problem, file=path, field=f"line {start}", remedy=REMEDY)
                    text, line = text + more, line + 1
                held = len(next(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)))
                if not least <= held <= fields:
                    raise InputError(
                        f"has {held} fields where the header has {fields}",
                        file=path,
                        field=f"line {start}",
                        remedy=f"put text that contains the separator in double quotes, or {REMEDY}",
                    )
            starts.append(start)
    return separator, np.frombuffer(starts, dtype=np.int64) if starts else np.zeros(0, dtype=np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """The table as text; what a damaged archive raises while it is read becomes an `InputError`."""
    path = present(path)
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as stream:
                yield stream
        elif path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only(archive, path)) as raw:
                yield io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
        else:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                yield stream
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        problem = f"is cut off or damaged ({type(error).__name__})"
        raise InputError(problem, file=path, remedy=REMEDY) from None


def _only(archive: zipfile.ZipFile, path: Path) -> str:
    tables = [name for name in archive.namelist() if name.lower().endswith((".csv", ".tsv", ".txt"))]
    if len(tables) != 1:
        raise InputError(f"holds {len(tables)} tables, not one", file=path, remedy="unpack it")
    return tables[0]
