"""What the cells of a table mean, and what kind of quantity each column holds."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from visus.errors import InputError

ColumnKind: TypeAlias = Literal["continuous", "categorical", "binary", "ignore"]
KINDS: tuple[str, ...] = get_args(ColumnKind)

_MISSING = {"", "na", "n/a", "nan", "nat", "none", "null", "<na>", "missing"}
_MISSING_NUMBER = _MISSING | {"-", ".", "?", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"}
_NUMBER = re.compile(r"[<>≤≥]?=?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./]\d{1,2}[./](\d{4}|\d{2})([T ].*)?|\d{4}/\d{1,2}/\d{1,2}.*"
)
_ID_NAME = re.compile(
    r"(.*[_\s])?(id|ids|rid|ptid|uid|uuid|guid|mrn)|(subject|patient|participant|image|scan|study|case)s?([_\s]?id|s)?",
    re.IGNORECASE,
)
_BINARY_WORDS = ({"false", "true"}, {"no", "yes"}, {"n", "y"}, {"0", "1"})


class ColumnWarning(UserWarning):
    """Columns were left out of a table because they cannot describe an unseen row."""


def infer_columns(
    frame: pd.DataFrame, declared: Mapping[str, ColumnKind] | None = None
) -> dict[str, ColumnKind]:
    """Say what kind of quantity each column holds; `declared` kinds win over what the cells look like.

    - `continuous`: numbers, also as text and as censored values (`<8.2` reads as 8.2). Infinite codes are
      missing values.
    - `binary`: booleans, yes/no words, or numbers with exactly two values.
    - `categorical`: other text with repeated values, or one value beside empty cells.
    - `ignore`: nothing can be learned for an unseen row. These are columns without any value, columns with
      one value throughout, dates (turn them into an age or a duration), row identifiers and free text. An
      identifier is a column named like one (`id`, `patient_id`, `Subject`, ...) whose values are whole
      numbers or text, a count 0, 1, 2, ... over ten or more rows, or ten or more texts that all differ; free
      text is more than 20 texts with half of them different. One
      `ColumnWarning` lists what was ignored and why; declare a column to keep it (or as `ignore`, to silence
      the warning).

    Numbers that are codes of groups (site 1, 2, 3) look continuous: declare them `categorical`.

    Returns a dict in the frame's column order. Raises `InputError` for a declared column that is absent, an
    unknown kind, two columns of one name, or a column that is numbers except for a few cells.

    >>> table = pd.DataFrame({"tau": ["<8.2", "9", "12"], "sex": ["F", "M", "F"], "ill": [True, False, None]})
    >>> infer_columns(table)
    {'tau': 'continuous', 'sex': 'categorical', 'ill': 'binary'}
    """
    check_names(frame)
    declared = dict(declared or {})
    for name, kind in declared.items():
        if name not in frame.columns:
            known = ", ".join(map(str, frame.columns))
            raise InputError(
                "is declared but the table has no such column", field=name, remedy=f"columns: {known}"
            )
        if kind not in KINDS:
            raise InputError(f"unknown kind {kind!r}", field=name, remedy="use one of " + ", ".join(KINDS))
    kinds: dict[str, ColumnKind] = {}
    ignored: list[str] = []
    for name in frame.columns:
        if name in declared:
            kinds[name] = declared[name]
            continue
        kinds[name], reason = _guess(name, frame.loc[:, name])
        if reason:
            ignored.append(f"{name} ({reason})")
    if ignored:
        text = (
            "columns left out: "
            + ", ".join(ignored)
            + ". Declare a column to keep it, or declare it 'ignore'."
        )
        warnings.warn(text, ColumnWarning, stacklevel=2)
    return kinds


def check_names(frame: pd.DataFrame) -> None:
    """Refuse tables whose columns cannot be told apart by name."""
    for name in frame.columns:
        if not isinstance(name, str):
            raise InputError("is not text", field=f"column name {name!r}", remedy="give every column a name")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InputError("appears more than once", field=str(twice[0]), remedy="rename one of the columns")


def read_numbers(column: pd.Series, *, strict: bool = True) -> np.ndarray:
    """The column as float64 (n,), missing cells as NaN.

    Text is read as a number where it is one; a censored value gives its bound; infinities and the usual words
    for
    "no value" are missing. A cell that is anything else raises `InputError` with its row (counted from 1), or
    is infinite in the result when not `strict`.
    """
    if column.dtype != object and pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(values), values, np.nan)
    values = np.array([_number(cell) for cell in column.tolist()], dtype=np.float64)
    wrong = np.flatnonzero(np.isinf(values))
    if strict and len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{column.iloc[row]!r} is not a number",
            field=f"{column.name}, row {row + 1}",
            remedy="write a number, leave the cell empty, or declare the column 'categorical'",
        )
    return values


def read_categories(column: pd.Series) -> list[str | None]:
    """The column's cells as text (1, 1.0 and "1" are one category), missing cells as None."""
    return [_category(cell) for cell in column.tolist()]


def binary_levels(categories: list[str | None], *, name: str) -> list[str]:
    """The two values of a binary column, the one coded 0 first (one value only: that one).

    Pairs of words are ordered no, yes; numbers by size; other text alphabetically. More than two raise
    `InputError`.
    """
    found = {value for value in categories if value is not None}
    for low, high in map(sorted, _BINARY_WORDS):
        if (
            found
            and {value.lower() for value in found} <= {low, high}
            and len({v.lower() for v in found}) == len(found)
        ):
            spelling = {value.lower(): value for value in found}
            like = next(iter(found))
            return [spelling.get(word, _spell(word, like)) for word in (low, high)]
    if len(found) > 2:
        some = ", ".join(sorted(found)[:4])
        raise InputError(
            f"is declared binary but has {len(found)} values ({some} ...)", field=name, remedy="categorical"
        )
    return sorted(found, key=lambda text: (_as_float(text), text))


def _spell(word: str, like: str) -> str:
    """`word` in upper, title or lower case as `like` is."""
    if like.isupper() and like.isalpha():
        return word.upper()
    return word.title() if like.istitle() else word


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.inf


def _number(cell: object) -> float:
    """The cell's number; NaN when missing; infinity when it is not a number."""
    if isinstance(cell, (bool, int, float, np.number, np.bool_)):
        value = float(cell)
        return value if np.isfinite(value) else np.nan
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return np.nan
    if not isinstance(cell, str):
        return np.inf
    text = cell.strip()
    if text.lower() in _MISSING_NUMBER:
        return np.nan
    match = _NUMBER.fullmatch(text)
    if match is None:
        return np.inf
    value = float(match.group(1))
    return value if np.isfinite(value) else np.nan


def _category(cell: object) -> str | None:
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return None
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if isinstance(cell, (int, float, np.number)):
        value = float(cell)
        if np.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    text = str(cell).strip()
    if text.lower() in _MISSING:
        return None
    return str(int(float(text))) if re.fullmatch(r"[-+]?\d{1,15}\.0*", text) else text


def _guess(name: str, column: pd.Series) -> tuple[ColumnKind, str]:
    """The kind, and why the column is ignored (empty when it is not)."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
        return "ignore", "dates"
    numbers = read_numbers(column, strict=False)
    categories = read_categories(column)
    present = [value for value in categories if value is not None]
    is_text = np.isinf(numbers)
    if is_text.any():
        return _guess_text(name, column, numbers, present)
    if not present or np.isnan(numbers).all():
        return "ignore", "no value"
    values = numbers[~np.isnan(numbers)]
    distinct = np.unique(values)
    if _ID_NAME.fullmatch(name) and (values == np.round(values)).all() and len(distinct) > 2:
        return "ignore", "identifier"
    if len(distinct) == 1:
        return ("ignore", "one value throughout") if len(values) == len(column) else ("categorical", "")
    if len(distinct) == 2:
        return "binary", ""
    whole_run = len(values) >= 10 and len(distinct) == len(values) and np.ptp(values) == len(values) - 1
    if whole_run and (values == np.round(values)).all():
        return "ignore", "identifier: counts the rows"
    return "continuous", ""


def _guess_text(
    name: str, column: pd.Series, numbers: np.ndarray, present: list[str]
) -> tuple[ColumnKind, str]:
    if all(_DATE.fullmatch(value) for value in present):
        return "ignore", "dates"
    if any(isinstance(cell, (list, dict, tuple, set, np.ndarray)) for cell in column.tolist()):
        return "ignore", "not text or numbers"
    distinct = set(present)
    finite = numbers[np.isfinite(numbers)]
    if len(np.unique(finite)) >= 10 and len(finite) >= 0.9 * len(present):
        read_numbers(column)  # names the cell that is not a number
    if _ID_NAME.fullmatch(name) and len(distinct) > 2:
        return "ignore", "identifier"
    if len(distinct) == 1:
        return ("ignore", "one value throughout") if len(present) == len(column) else ("categorical", "")
    if any({value.lower() for value in distinct} == words for words in _BINARY_WORDS[:3]):
        return "binary", ""
    if len(present) >= 10 and len(distinct) == len(present):
        return "ignore", "every text differs: identifier or free text"
    if len(distinct) > 20 and 2 * len(distinct) >= len(present):
        return "ignore", f"free text: {len(distinct)} different values"
    return "categorical", ""
