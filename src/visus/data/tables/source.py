"""Table rows as a source: what methods without pictures learn from."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.util import hash_pandas_object

from visus.data.formats.table import line_of, read_table, require_column
from visus.data.loader import Indices, as_indices
from visus.data.splits import grouped_stratified_split
from visus.errors import InputError
from visus.protocols import Batch


class RowTable:
    """A source of table rows, with a target if there is one; `visus.data.image_table.ImageTable` adds pictures.

    A batch holds `row` (a dict per item: the feature columns, missing values as None) and, with a target,
    `target` (a list of Python values). Target and group are not part of `row`.

    Parameters
    ----------
    frame : one row per item, any index.
    target : column to predict.
    group : column naming what must not be torn apart by a split (the person).
    file : the table's file, for error messages.

    Raises
    ------
    InputError : no rows, a named column is absent, duplicated columns, or a target or group is missing.

    >>> table = RowTable(pd.DataFrame({"age": [30.0, 50.0], "y": ["a", "b"]}), target="y")
    >>> table.batch([1])
    {'row': [{'age': 50.0}], 'target': ['b']}
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        target: str | None = None,
        group: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        self.target, self.group, self.file = target, group, file
        self.frame = _checked(frame, target=target, group=group, file=file)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        target: str | None = None,
        group: str | None = None,
        columns: Sequence[str] | None = None,
        require_target: bool = True,
    ) -> RowTable:
        """Read a table with a header line (comma, semicolon or tab; encoding recognized).

        Parameters
        ----------
        columns : feature columns to keep; None keeps all.
        require_target : False accepts a table without the target column or with empty targets (for
            predicting); the source then has no target.

        Raises
        ------
        InputError : names the file, the column and the line of what is wrong.
        """
        path = Path(path)
        frame = read_table(path)
        if not require_target:
            frame, target = whole_target(frame, target)
        for column in (*(columns or ()), target, group):
            if column is not None:
                require_column(frame, column, file=path)
        if columns is not None:
            doubled = sorted({name for name in columns if list(columns).count(name) > 1 or name == target})
            if doubled:
                what = "is also the target" if doubled[0] == target else "is named twice"
                raise InputError(what, file=path, field=f"column {doubled[0]}", remedy="name it once")
            kept = [*columns, *(name for name in (target, group) if name is not None and name not in columns)]
            frame = frame.loc[:, kept]
        return cls(frame, target=target, group=group, file=path)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """The feature columns: all but target and group."""
        return [name for name in self.frame.columns if name not in (self.target, self.group)]

    @property
    def features(self) -> pd.DataFrame:
        """The feature columns as a frame."""
        return self.frame.loc[:, self.columns]

    @property
    def targets(self) -> list[Any]:
        """Every item's target."""
        if self.target is None:
            raise InputError("has no target", file=self.file, remedy="name the target column")
        return [_plain(value) for value in self.frame[self.target]]

    @property
    def groups(self) -> list[Any] | None:
        """Every item's group, None without a group column."""
        return None if self.group is None else [_plain(value) for value in self.frame[self.group]]

    def batch(self, indices: Indices) -> Batch:
        """The named items."""
        index = as_indices(indices, len(self)).tolist()
        rows = self.features.iloc[index]
        batch: Batch = {
            "row": [{name: _plain(value) for name, value in row.items()} for row in rows.to_dict("records")]
        }
        if self.target is not None:
            batch["target"] = [_plain(value) for value in self.frame[self.target].iloc[index]]
        return batch

    def subset(self, indices: Indices) -> Self:
        """Some items as a table of their own."""
        index = as_indices(indices, len(self)).tolist()
        part = copy.copy(self)
        part.frame = _checked(self.frame.iloc[index], target=self.target, group=self.group, file=self.file)
        return part

    def split(self, fractions: Mapping[str, float], *, seed: int) -> dict[str, Self]:
        """Parts by name: no group is in two of them, classes keep their shares (`grouped_stratified_split`)."""
        parts = grouped_stratified_split(self.targets, self.groups, fractions, seed)
        return {name: self.subset(index) for name, index in parts.items()}

    def fingerprint(self) -> str:
        """Hash of names and values."""
        digest = hashlib.sha256(repr((list(self.frame.columns), self.target, self.group)).encode())
        digest.update(hash_pandas_object(self.frame, index=False).to_numpy().tobytes())  # pyright: ignore[reportCallIssue]
        return digest.hexdigest()


@contextmanager
def naming_file(data: Any) -> Iterator[None]:
    """Complete an `InputError` raised inside by the file that the data come from, if they come from one."""
    try:
        yield
    except InputError as error:
        file = getattr(data, "file", None)
        if error.file is not None or file is None:
            raise
        raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from error


def whole_target(frame: pd.DataFrame, target: str | None) -> tuple[pd.DataFrame, str | None]:
    """The frame with its target if that has no gaps; else without the column, and None."""
    if target is None or (target in frame and not bool(frame[target].isna().any())):
        return frame, target
    return frame.drop(columns=[target], errors="ignore"), None


def _checked(
    frame: pd.DataFrame, *, target: str | None, group: str | None, file: str | Path | None
) -> pd.DataFrame:
    if len(frame) == 0:
        raise InputError("has no rows", file=file, remedy="give at least one item")
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    doubled = sorted(set(frame.columns[frame.columns.duplicated()]))
    if doubled:
        raise InputError(
            "appears more than once", file=file, field=f"column {doubled[0]}", remedy="rename one"
        )
    for column, role in ((target, "target"), (group, "group")):
        if column is None:
            continue
        require_column(frame, column, file=file)
        missing = np.flatnonzero(frame[column].isna())
        if len(missing):
            raise InputError(
                f"{role} is missing in {len(missing)} of {len(frame)} rows",
                file=file,
                field=f"column {column}, line {line_of(missing[0])}",
                remedy=f"fill in the {role} or delete these rows",
            )
    return frame


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value is pd.NA or value != value else value
