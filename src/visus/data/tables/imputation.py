"""Missing numbers filled in by chained regressions, kept as plain coefficients."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np


class Imputer:
    """Fill missing values: start from the column medians, then predict each column from all others, round
    after round.

    The regressions are Bayesian ridge regressions fitted by scikit-learn's `IterativeImputer` on the rows
    given to `fit`; afterwards only their coefficients remain (no pickled object), and a row's result depends
    on that row alone. Predictions are clipped to `bounds`, so that a filled value is one that a row could
    have had.

    Method: van Buuren and Groothuis-Oudshoorn, J. Stat. Softw. 45(3), 2011 (chained equations, here without
    sampling). Differs from scikit-learn: a batch in which every cell is missing is treated like any other;
    scikit-learn returns the medians then, though it would apply the regressions to the same rows within a
    larger batch.

    Parameters
    ----------
    kind : `iterative`, or `median` to stop after the medians.
    max_iter : most rounds of regressions while fitting; fewer when the values settle.
    """

    def __init__(self, kind: Literal["iterative", "median"] = "iterative", *, max_iter: int = 200) -> None:
        self.kind, self.max_iter = kind, max_iter

    def fit(self, values: np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> Imputer:
        """Learn from `values` (n, m) with NaN where missing; every column has a value. `bounds`: two arrays
        (m,)."""
        self.medians_ = np.nanmedian(values, axis=0) if values.shape[1] else np.zeros(0)
        self.low_, self.high_ = (np.asarray(bound, dtype=np.float64) for bound in bounds)
        self.columns_ = np.zeros(0, dtype=np.int64)
        self.coefficients_ = np.zeros((0, values.shape[1]))
        self.intercepts_ = np.zeros(0)
        if self.kind == "iterative" and values.shape[1] > 1 and len(values) > 1:
            self._fit_regressions(values)
        return self

    def _fit_regressions(self, values: np.ndarray) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer

        fitted = IterativeImputer(
            max_iter=self.max_iter,
            initial_strategy="median",
            random_state=0,
            min_value=self.low_,  # pyright: ignore[reportArgumentType] - one bound per column
            max_value=self.high_,  # pyright: ignore[reportArgumentType]
        )
        with warnings.catch_warnings():
            # Not settling after 200 rounds leaves usable values; the number of rounds kept is the number
            # made.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(values)
        steps = fitted.imputation_sequence_
        self.columns_ = np.array([step.feat_idx for step in steps], dtype=np.int64)
        self.coefficients_ = np.zeros((len(steps), values.shape[1]))
        for row, step in zip(self.coefficients_, steps):
            row[step.neighbor_feat_idx] = step.estimator.coef_
        self.intercepts_ = np.array([float(step.estimator.intercept_) for step in steps])

    def transform(self, values: np.ndarray) -> np.ndarray:
        """A copy of `values` (n, m) float64 without NaN."""
        missing = np.isnan(values)
        filled = np.where(missing, self.medians_, values)
        rows_with_gaps = missing.any(axis=1)
        if not rows_with_gaps.any():
            return filled
        part, gaps = filled[rows_with_gaps], missing[rows_with_gaps]
        for column, weights, intercept in zip(self.columns_, self.coefficients_, self.intercepts_):
            if gaps[:, column].any():
                # A sum per row instead of a matrix product: the same bits whatever other rows are in the
                # batch.
                guess = np.clip(
                    (part * weights).sum(axis=1) + intercept, self.low_[column], self.high_[column]
                )
                part[:, column] = np.where(gaps[:, column], guess, part[:, column])
        filled[rows_with_gaps] = part
        return filled

    def to_state(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        arrays = ("medians_", "low_", "high_", "columns_", "coefficients_", "intercepts_")
        state: dict[str, Any] = {name.rstrip("_"): getattr(self, name).tolist() for name in arrays}
        return {"kind": self.kind, "max_iter": self.max_iter, **state}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Imputer:
        """The imputer that `to_state` described."""
        made = cls(state["kind"], max_iter=state["max_iter"])
        made.medians_ = np.array(state["medians"], dtype=np.float64)
        made.low_, made.high_ = (np.array(state[name], dtype=np.float64) for name in ("low", "high"))
        made.columns_ = np.array(state["columns"], dtype=np.int64)
        made.coefficients_ = np.array(state["coefficients"], dtype=np.float64).reshape(-1, len(made.medians_))
        made.intercepts_ = np.array(state["intercepts"], dtype=np.float64)
        return made
