"""Tables in text files: comma, semicolon or tab separated."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsInt

import numpy as np
import pandas as pd
from jaxtyping import Float

from visus.data.formats.picture import present
from visus.data.formats.text import decode
from visus.errors import InputError
from visus.records import write_atomically

SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
LIMIT = 2**24
"""Longest cell, in characters."""


def line_of(row: SupportsInt) -> int:
    """The line of data row `row` (from 0) in a file whose first line is the header."""
    return int(row) + 2


def read_table(path: str | Path, *, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with a header line.

    The separator (comma, semicolon, tab) is the one that splits the header into most fields. UTF-8 with and
    without mark, UTF-16 and Latin-1 are recognized. With semicolons, numbers may have a decimal comma.

    Parameters
    ----------
    text_columns : columns kept as text exactly as written (so that `007` stays `007`).

    Raises
    ------
    InputError : a spreadsheet, binary or empty file, no data rows, unnamed or doubled columns, or a line with
        another number of fields than the header.
    """
    path = Path(path)
    text = decode(_refuse_spreadsheet(path), file=path)
    separator = sniff(text)
    rows = _parsed(text, separator, path)
    header = _header(rows[0][1], path)
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise InputError(
                f"has {len(fields)} fields where the header has {len(header)}",
                file=path,
                field=f"line {line}",
                remedy="put text that contains the separator in double quotes",
            )
    if len(rows) < 2:
        raise InputError("has a header but no rows", file=path, remedy="add at least one row")
    types: Any = {name: str for name in text_columns if name in header}
    frame = pd.read_csv(
        io.StringIO(text), sep=separator, dtype=types, skipinitialspace=True, low_memory=False
    )
    frame.columns = header
    return _decimal_commas(frame, skip=text_columns) if separator == ";" else frame


def read_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Every line of a separated text file, header or not, as (line number, cells as written)."""
    path = Path(path)
    text = decode(_refuse_spreadsheet(path), file=path)
    return _parsed(text, sniff(text), path)


def write_table(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a frame as comma-separated UTF-8, whole or not at all."""
    write_atomically(Path(path), frame.to_csv(index=False, lineterminator="\n"))


def write_classes(
    path: str | Path,
    items: Sequence[object],
    *,
    labels: Sequence[str],
    probabilities: Float[np.ndarray, "n k"],
    classes: Sequence[str],
) -> None:
    """Write what a classifier says of n items: item, label, its probability, and a column p_<class> per class.

    Parameters
    ----------
    probabilities : (n, k), k = len(classes).
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    frame = pd.DataFrame({"item": items, "label": labels, "probability": shares.max(1)})
    each = pd.DataFrame(shares, columns=[f"p_{name}" for name in classes])
    write_table(path, pd.concat([frame, each], axis=1).round(6))


def sniff(text: str) -> str:
    """The separator that splits the first line into most fields; a comma if none does."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    counts = {mark: len(next(csv.reader([first], delimiter=mark))) for mark in (",", ";", "\t")}
    return max(counts, key=lambda mark: counts[mark])


def require_column(frame: pd.DataFrame, column: str, *, file: str | Path | None = None) -> None:
    """Raise an `InputError` that suggests near matches unless `frame` has the column."""
    if column in frame.columns:
        return
    names = [str(name) for name in frame.columns]
    lowered = {name.lower(): name for name in names}
    near = [
        lowered[name] for name in difflib.get_close_matches(column.lower(), list(lowered), n=3, cutoff=0.6)
    ]
    remedy = f"did you mean {' or '.join(near)}?" if near else "columns: " + ", ".join(names[:20])
    raise InputError("no such column", file=file, field=f"column {column}", remedy=remedy)


def _refuse_spreadsheet(path: Path) -> bytes:
    content = present(path).read_bytes()
    if path.suffix.lower() in SPREADSHEETS or content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        remedy = "open it in the spreadsheet program and save it as CSV (UTF-8)"
        raise InputError("is a spreadsheet, not a text table", file=path, remedy=remedy)
    return content


def _parsed(text: str, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    csv.field_size_limit(LIMIT)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    rows: list[tuple[int, list[str]]] = []
    try:
        for fields in reader:
            if any(field.strip() for field in fields) or (fields and len(fields) > 1):
                rows.append((reader.line_num, fields))
    except csv.Error as error:
        remedy = "check the double quotes on this line"
        raise InputError(str(error), file=path, field=f"line {reader.line_num}", remedy=remedy) from None
    if not rows:
        raise InputError("has no content", file=path, remedy="add a header line and rows")
    return rows


def _header(cells: list[str], path: Path) -> list[str]:
    header = [name.strip() for name in cells]
    doubled = sorted({name for name in header if header.count(name) > 1 and name})
    if doubled:
        where = f"column {doubled[0]}"
        raise InputError("appears more than once", file=path, field=where, remedy="rename one of them")
    if header.count("") > 1:
        problem = "several columns have no name"
        raise InputError(problem, file=path, field="line 1", remedy="name every column")
    return [name or "unnamed" for name in header]


def _decimal_commas(frame: pd.DataFrame, *, skip: Sequence[str]) -> pd.DataFrame:
    pattern = re.compile(r"[+-]?\d+(,\d+)?")
    for name in frame.columns:
        column = frame[name]
        if name in skip or pd.api.types.is_numeric_dtype(column):
            continue
        given = column.dropna().astype(str).str.strip()
        if len(given) and given.map(lambda text: pattern.fullmatch(text) is not None).all():
            frame[name] = pd.to_numeric(column.astype("object").map(_point, na_action="ignore"))
    return frame


def _point(text: str) -> str:
    return str(text).strip().replace(",", ".")
