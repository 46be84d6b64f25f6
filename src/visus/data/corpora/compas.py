"""The recidivism table published by ProPublica (`compas-scores-two-years.csv`), one row per person.

The table is used here because the paper on polytopes trains on it. It records arrests, not crimes, and was
published to show that a score treats groups of people unequally; a classifier learned from it inherits that.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from visus.data.formats.table import read_rows, require_column
from visus.data.tables.columns import read_numbers
from visus.data.tables.source import RowTable
from visus.errors import InputError
from visus.records import write_atomically

TARGET, GROUP = "two_year_recid", "person"
FEATURES = ("age", "priors_count", "juv_misd_count")
"""Numbers known at the time of the arrest."""
NUMBERS = (*FEATURES, "juv_fel_count", "juv_other_count", "decile_score", "days_b_screening_arrest")
WORDS = ("sex", "race", "c_charge_degree", "age_cat")
OUTCOMES = ("is_recid", "is_violent_recid", "violent_recid", "event", "start", "end")
"""Columns that tell the answer; those named `r_...` and `vr_...` do, too."""
HEADER = (
    *("id", "name", "first", "last", "compas_screening_date", "sex", "dob", "age", "age_cat", "race"),
    *("juv_fel_count", "decile_score", "juv_misd_count", "juv_other_count", "priors_count"),
    *("days_b_screening_arrest", "c_jail_in", "c_jail_out", "c_case_number", "c_offense_date"),
    *("c_arrest_date", "c_days_from_compas", "c_charge_degree", "c_charge_desc", "is_recid"),
    *("r_case_number", "r_charge_degree", "r_days_from_arrest", "r_offense_date", "r_charge_desc"),
    *("r_jail_in", "r_jail_out", "violent_recid", "is_violent_recid", "vr_case_number"),
    *("vr_charge_degree", "vr_offense_date", "vr_charge_desc", "type_of_assessment", "decile_score"),
    *("score_text", "screening_date", "v_type_of_assessment", "v_decile_score", "v_score_text"),
    *("v_screening_date", "in_custody", "out_custody", "priors_count", "start", "end", "event", TARGET),
)
"""The file's columns; `decile_score` and `priors_count` stand there twice, with equal values."""
FILTERED_BY = ("days_b_screening_arrest", "is_recid", "c_charge_degree", "score_text")


def is_compas(path: str | Path) -> bool:
    """Whether a table has this file's columns, doubled ones included."""
    header = [name.strip() for name in read_rows(path)[0][1]]
    return TARGET in header and header.count("decile_score") == 2


def load_compas(path: str | Path, *, columns: Sequence[str] = FEATURES, filtered: bool = True) -> RowTable:
    """Rows with the features `columns`, the target `two_year_recid` (`yes`, `no`) and the group `person`.

    `filtered` keeps the rows the publishers used: screened within 30 days of the arrest, an outcome on record,
    no ordinary traffic offense, and a score (6,172 of 7,214 rows). The group is the same number for rows of
    one name and date of birth; names do not leave this function.

    Raises
    ------
    InputError : a column is absent, tells the outcome, or stands twice with different values; a cell that is no
        number; no rows left. Names the file, the column and the line.
    """
    path = Path(path)
    lines, table = _read(path)
    for column in (*columns, *FILTERED_BY, TARGET):
        require_column(table, column, file=path)
    for column in columns:
        if column == TARGET or column in OUTCOMES or column.startswith(("r_", "vr_")):
            remedy = "choose from " + ", ".join((*NUMBERS, *WORDS))
            raise InputError("tells the outcome", file=path, field=f"column {column}", remedy=remedy)
    kept = _kept(table) if filtered else pd.Series(True, index=table.index)
    if not kept.any():
        raise InputError("has no rows that pass the filter", file=path, remedy="give filtered=False")
    table, lines = table.loc[kept], [line for line, keep in zip(lines, kept) if keep]
    frame = pd.DataFrame({name: _feature(table[name], lines, path) for name in columns})
    frame[TARGET] = _outcome(table[TARGET], lines, path)
    persons = [name for name in ("name", "dob") if name in table] or ["id"]
    if set(persons) <= set(table):
        frame[GROUP] = table.groupby(persons, sort=False).ngroup()
        return RowTable(frame, target=TARGET, group=GROUP, file=path)
    return RowTable(frame, target=TARGET, file=path)


def write_compas(path: str | Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows in this layout, doubled columns included; what a row does not say stays empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([row.get(name, "") for name in HEADER] for row in rows)
    write_atomically(Path(path), buffer.getvalue())


def _read(path: Path) -> tuple[list[int], pd.DataFrame]:
    """Line numbers and cells as text, doubled columns once."""
    rows = read_rows(path)
    header = [name.strip() for name in rows[0][1]]
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"has {len(cells)} fields where the header has {len(header)}",
                file=path,
                field=f"line {line}",
                remedy="copy or download the file again",
            )
    if len(rows) < 2:
        raise InputError("has a header but no rows", file=path, remedy="copy or download the file again")
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        first = places.setdefault(name, place)
        for line, cells in rows[1:]:
            if cells[first] != cells[place]:
                raise InputError(
                    f"stands twice, with {cells[first]!r} and {cells[place]!r}",
                    file=path,
                    field=f"column {name}, line {line}",
                    remedy="rename one of the columns",
                )
    columns = {name: [cells[place].strip() for _, cells in rows[1:]] for name, place in places.items()}
    return [line for line, _ in rows[1:]], pd.DataFrame(columns, dtype=object)


def _kept(table: pd.DataFrame) -> pd.Series:
    days = pd.Series(pd.to_numeric(table["days_b_screening_arrest"], errors="coerce"), index=table.index)
    return (
        days.between(-30, 30)
        & (table["is_recid"] != "-1")
        & (table["c_charge_degree"] != "O")
        & (table["score_text"] != "N/A")
    )


def _feature(column: pd.Series, lines: Sequence[int], path: Path) -> pd.Series:
    if column.name not in NUMBERS:
        return column.where(column != "", None)
    try:
        return pd.Series(read_numbers(column), index=column.index)
    except InputError as error:
        row = int(str(error.field).rsplit(" ", 1)[-1]) - 1
        where = f"column {column.name}, line {lines[row]}"
        raise InputError(error.problem, file=path, field=where, remedy="write a number") from None


def _outcome(column: pd.Series, lines: Sequence[int], path: Path) -> pd.Series:
    for line, cell in zip(lines, column):
        if cell not in ("0", "1"):
            where = f"column {column.name}, line {line}"
            raise InputError(f"{cell!r} is neither 0 nor 1", file=path, field=where, remedy="write 0 or 1")
    return column.map({"0": "no", "1": "yes"})
