"""From a table with gaps, text and mixed scales to a float matrix; every statistic is the training rows'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from visus.data.tables.columns import (
    ColumnKind,
    binary_levels,
    check_names,
    infer_columns,
    read_categories,
    read_numbers,
)
from visus.data.tables.imputation import Imputer
from visus.errors import InputError


class TablePreprocessor:
    """Turn table rows into numbers: scaled, one-hot, gaps filled and marked.

    Output columns, in this order:
    1. per `continuous` column its z-score (mean and standard deviation over the training rows that have a
       value), per `binary` column 0 or 1, per `categorical` column one 0/1 column per category seen in
       training, `name=category`, then `name=missing` if training rows lacked it, then `name=unknown` if asked
       for;
    2. `name:missing`, 0 or 1, for each continuous or binary column that training rows lacked. Never scaled.

    An unseen category gives zeros in all columns of its categories (and 1 in `name=unknown` where that
    exists). A binary value that is neither of the two is treated as missing. A column with no value, or
    one value only, in training gives zeros throughout. A row's result does not depend on the rows beside it.

    Paper: 2403.13319 (imputer with medians, indicators that are never scaled, one-hot sex).
    Differs: fitted on the training rows only; values are standardized by the observed values before they are
    imputed, not after, so that the regressions see columns of one scale; imputed values are clipped to the
    training range.

    Parameters
    ----------
    columns : kind per column as from `infer_columns`; None infers them in `fit`. Columns not named are not
        used.
    imputer : `iterative` (chained regressions) or `median`.
    max_iter : most rounds of chained regressions.
    unknown_column : add a 0/1 column per categorical column for categories not seen in training. It is 0 in
        training.

    >>> table = pd.DataFrame({"age": [50.0, 70.0, None], "sex": ["F", "M", "F"]})
    >>> prepared = TablePreprocessor({"age": "continuous", "sex": "categorical"}).fit(table)
    >>> prepared.names
    ['age', 'sex=F', 'sex=M', 'age:missing']
    >>> prepared.transform(pd.DataFrame({"age": [60.0], "sex": ["M"]})).tolist()
    [[0.0, 0.0, 1.0, 0.0]]
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnKind] | None = None,
        *,
        imputer: Literal["iterative", "median"] = "iterative",
        max_iter: int = 200,
        unknown_column: bool = False,
    ) -> None:
        if imputer not in ("iterative", "median"):
            raise InputError(
                f"unknown imputer {imputer!r}", field="imputer", remedy="use iterative or median"
            )
        self.columns = columns
        self.imputer: Literal["iterative", "median"] = imputer
        self.max_iter, self.unknown_column = max_iter, unknown_column

    def fit(self, frame: pd.DataFrame | Sequence[Mapping[str, Any]]) -> TablePreprocessor:
        """Learn scales, categories, indicators and regressions from `frame`: n >= 1 training rows.

        Like `transform`, takes a list of dicts (the `row` of a batch) as well as a frame.
        """
        table = _as_frame(frame)
        if not len(table):
            raise InputError("the table has no rows", remedy="give at least one training row")
        declared = infer_columns(table) if self.columns is None else self.columns
        self.kinds_: dict[str, ColumnKind] = {
            name: kind for name, kind in declared.items() if kind != "ignore"
        }
        _require(table, self.kinds_)
        self.fitted_ = {
            name: _fit_column(name, kind, table.loc[:, name]) for name, kind in self.kinds_.items()
        }
        values = self._values(table)
        low, high = self._bounds(values)
        self.imputer_ = Imputer(self.imputer, max_iter=self.max_iter).fit(values, (low, high))
        return self

    @property
    def names(self) -> list[str]:
        """Names of the output columns."""
        main = [name for column in self.fitted_ for name in self._value_names(column)]
        return main + [f"{name}:missing" for name, kept in self.fitted_.items() if kept.get("indicator")]

    def transform(self, frame: pd.DataFrame | Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Rows of `frame` (n, any columns) as float32 (n, m), finite; m = len(names).

        Extra columns are not looked at. A column of the training table that is absent, or a cell that is not
        a number in a continuous column, raises `InputError` with the column and the row (counted from 1).
        """
        table = _as_frame(frame)
        _require(table, self.kinds_)
        values = self._values(table)
        indicators = [
            np.isnan(values[:, self._position(name)])
            for name, kept in self.fitted_.items()
            if kept.get("indicator")
        ]
        filled = self.imputer_.transform(values)
        return np.column_stack([filled, *indicators]).astype(np.float32)

    def fit_transform(self, frame: pd.DataFrame) -> np.ndarray:
        """`fit(frame).transform(frame)`."""
        return self.fit(frame).transform(frame)

    def to_state(self) -> dict[str, Any]:
        """Everything learned, as JSON-able data."""
        return {
            "imputer": self.imputer,
            "max_iter": self.max_iter,
            "unknown_column": self.unknown_column,
            "columns": dict(self.kinds_),
            "fitted": self.fitted_,
            "regressions": self.imputer_.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TablePreprocessor:
        """The preprocessor that `to_state` described; its output is equal to the last bit."""
        made = cls(
            state["columns"],
            imputer=state["imputer"],
            max_iter=state["max_iter"],
            unknown_column=state["unknown_column"],
        )
        made.kinds_ = dict(state["columns"])
        made.fitted_ = {name: dict(kept) for name, kept in state["fitted"].items()}
        made.imputer_ = Imputer.from_state(state["regressions"])
        return made

    def _value_names(self, name: str) -> list[str]:
        kept = self.fitted_[name]
        if "categories" not in kept:
            return [name]
        names = [f"{name}={value}" for value in kept["categories"]]
        names += [f"{name}=missing"] if kept["missing"] else []
        return names + ([f"{name}=unknown"] if self.unknown_column else [])

    def _position(self, name: str) -> int:
        before = list(self.fitted_)[: list(self.fitted_).index(name)]
        return sum(len(self._value_names(column)) for column in before)

    def _values(self, frame: pd.DataFrame) -> np.ndarray:
        """(n, m) float64 before imputation: scaled numbers with NaN, 0/1 columns."""
        blocks = [self._encode(frame.loc[:, name], kept) for name, kept in self.fitted_.items()]
        return np.column_stack(blocks) if blocks else np.zeros((len(frame), 0))

    def _encode(self, column: pd.Series, kept: dict[str, Any]) -> np.ndarray:
        if "mean" in kept:
            numbers = read_numbers(column)
            if kept["empty"]:
                return np.zeros(len(numbers))
            return (numbers - kept["mean"]) / kept["std"] if kept["std"] else 0.0 * numbers
        cells = read_categories(column)
        if "levels" in kept:
            code = {level: float(i) for i, level in enumerate(kept["levels"])}
            missing = np.nan if code else 0.0
            return np.array(
                [missing if cell is None else code.get(cell, missing) for cell in cells], dtype=np.float64
            )
        known = {value: i for i, value in enumerate(kept["categories"])}
        width = len(known) + kept["missing"] + self.unknown_column
        block = np.zeros((len(cells), width))
        for row, cell in enumerate(cells):
            if cell is None:
                if kept["missing"]:
                    block[row, len(known)] = 1.0
            elif cell in known:
                block[row, known[cell]] = 1.0
            elif self.unknown_column:
                block[row, -1] = 1.0
        return block

    def _bounds(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Range within which imputed values stay: that of training, 0..1 for the 0/1 columns."""
        low, high = np.zeros(values.shape[1]), np.ones(values.shape[1])
        for name, kept in self.fitted_.items():
            if "mean" in kept and not kept["empty"]:
                position = self._position(name)
                column = values[:, position]
                low[position], high[position] = np.nanmin(column), np.nanmax(column)
                if low[position] == high[position]:
                    high[position] += (
                        1e-6  # scikit-learn refuses an empty range; the regression predicts the constant
                    )
        return low, high


def _as_frame(frame: Any) -> pd.DataFrame:
    table = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame)
    check_names(table)
    return table


def _require(frame: pd.DataFrame, kinds: Mapping[str, str]) -> None:
    absent = [name for name in kinds if name not in frame.columns]
    if absent:
        there = ", ".join(map(str, frame.columns)) or "none"
        raise InputError(
            "the table lacks this column of the training table",
            field=", ".join(absent),
            remedy=f"add it (empty cells are allowed); columns found: {there}",
        )


def _fit_column(name: str, kind: ColumnKind, column: pd.Series) -> dict[str, Any]:
    """What to keep of a column, JSON-able."""
    if kind == "continuous":
        numbers = read_numbers(column)
        present = numbers[~np.isnan(numbers)]
        mean, std = (float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
        # A column that is constant up to rounding would otherwise be blown up to noise.
        constant = std <= 1e-12 * max(1.0, abs(mean))
        lacked = 0 < len(present) < len(numbers)
        return {"mean": mean, "std": 0.0 if constant else std, "empty": not len(present), "indicator": lacked}
    categories = read_categories(column)
    lacked = any(value is None for value in categories)
    if kind == "binary":
        levels = binary_levels(categories, name=name)
        return {"levels": levels, "indicator": lacked and bool(levels)}
    if kind == "categorical":
        return {"categories": sorted({v for v in categories if v is not None}), "missing": lacked}
    raise InputError(
        f"unknown kind {kind!r}", field=name, remedy="use continuous, categorical, binary or ignore"
    )
