"""Labelled texts in one table: a person's own, or the Amazon and Yelp review layout without a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from visus.data.formats.table import read_rows, require_column
from visus.data.loader import Tensors
from visus.errors import InputError
from visus.records import write_atomically

TEXT_NAMES = ("text", "review", "sentence", "content", "document", "comment")
LABEL_NAMES = ("label", "sentiment", "class", "target", "category", "stars", "rating")


def load_text_csv(
    path: str | Path,
    *,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    header: bool | None = None,
    require_label: bool = True,
) -> Tensors:
    """Texts as {"text": list[str], "target": list[str]}.

    With a header: the named columns, or the first with a usual name (text, review, ...; label, sentiment,
    ...). Without: the class first, then one or more text cells (Amazon reviews: `class,title,text`, where a
    backslash and n stand for a line break). Several text cells are joined by a space. Separators , ; tab are
    recognized.

    Parameters
    ----------
    header : None decides: a first line whose first cell is a whole number is not a header.
    require_label : False accepts a table without the label column (for predicting); there is no `target`
        then.

    Raises
    ------
    InputError : names the file, the column and the line: absent column, missing cell, empty label, no rows.
    """
    path = Path(path)
    rows = read_rows(path)
    named = bool(text_columns or label_column)
    has_header = header if header is not None else named or not _whole(rows[0][1][0])
    if not has_header:
        return _without_header(rows, path)
    names = [cell.strip() for cell in rows[0][1]]
    texts = (
        [_place(names, name, path) for name in text_columns]
        if text_columns
        else [_usual(names, TEXT_NAMES, path)]
    )
    label: int | None
    if require_label or label_column in names or (label_column is None and _known(names, LABEL_NAMES)):
        label = _place(names, label_column, path) if label_column else _usual(names, LABEL_NAMES, path)
    else:
        label = None
    return _collect(rows[1:], texts, label, path)


def write_text_csv(path: str | Path, texts: Sequence[str], targets: Sequence[str]) -> None:
    """Write a table `text,label`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows(zip(texts, targets))
    write_atomically(Path(path), buffer.getvalue())


def _without_header(rows: list[tuple[int, list[str]]], path: Path) -> Tensors:
    width = len(rows[0][1])
    if width < 2:
        remedy = "write the class first, then the text, or give a header line"
        raise InputError("has one column", file=path, field=f"line {rows[0][0]}", remedy=remedy)
    source = _collect(rows, list(range(1, width)), 0, path)
    return Tensors(
        {"text": [text.replace("\\n", "\n") for text in source["text"]], "target": source["target"]}
    )


def _collect(rows: list[tuple[int, list[str]]], texts: list[int], label: int | None, path: Path) -> Tensors:
    if not rows:
        raise InputError("has a header but no rows", file=path, remedy="add at least one row")
    found: dict[str, list[str]] = {"text": []} if label is None else {"text": [], "target": []}
    last = max([*texts, label or 0])
    for line, cells in rows:
        if len(cells) <= last:
            remedy = "put text that contains the separator in double quotes"
            raise InputError(
                f"has {len(cells)} cells, too few", file=path, field=f"line {line}", remedy=remedy
            )
        found["text"].append(" ".join(cells[i].strip() for i in texts if cells[i].strip()))
        if label is not None:
            if not cells[label].strip():
                raise InputError(
                    "has no label", file=path, field=f"line {line}", remedy="write one or delete it"
                )
            found["target"].append(cells[label].strip())
    return Tensors(found)


def _whole(cell: str) -> bool:
    return cell.strip().lstrip("-").isdigit()


def _place(names: list[str], name: str, path: Path) -> int:
    require_column(pd.DataFrame(columns=names), name, file=path)
    return names.index(name)


def _known(names: list[str], usual: Sequence[str]) -> int | None:
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in usual if name in lowered), None)


def _usual(names: list[str], usual: Sequence[str], path: Path) -> int:
    place = _known(names, usual)
    if place is None:
        problem = f"no column is named like one of: {', '.join(usual)}"
        raise InputError(problem, file=path, remedy=f"name the column to use; there are: {', '.join(names)}")
    return place
