"""How a prediction changes with each column of the table, the image held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.image_table import ImageTable
from visus.data.tables.columns import read_numbers
from visus.errors import InputError
from visus.methods.hyperfusion.config import at_least
from visus.methods.hyperfusion.estimator.ensemble import Ensemble
from visus.methods.hyperfusion.estimator.fusion import HyperFusion
from visus.methods.hyperfusion.estimator.targets import from_prediction


@dataclass(frozen=True, kw_only=True)
class Response:
    """Predictions with one column set to each of some values, everything else as it is."""

    column: str
    kind: str
    """continuous, categorical or binary."""
    values: list[Any]
    """What the column was set to; None = missing."""
    curves: Float[Tensor, "p n k"]
    """Per value and item the class probabilities, or the value (k = 1)."""

    @property
    def mean(self) -> Float[Tensor, "p k"]:
        """Mean over items: the partial dependence."""
        return self.curves.mean(1)

    @property
    def effect(self) -> float:
        """Largest minus smallest mean over the values, of the output where that is largest."""
        return float((self.mean.amax(0) - self.mean.amin(0)).max())


def explain(
    model: HyperFusion | Ensemble,
    data: ImageTable,
    *,
    columns: Sequence[str] | None = None,
    points: int = 9,
    items: int = 40,
    seed: int = 0,
) -> list[Response]:
    """Responses of the columns that the model uses, the one with the largest effect first.

    Numbers take `points` quantiles of `data`, categories every value known from training; where training rows
    lacked the column, also "missing". Says how the model reacts, not what would happen to a person.
    Combinations that never occur (age 20 with a patient of 80's image) are asked for too.

    Method: Friedman 2001 (partial dependence), Goldstein et al. 2015 (one curve per item).

    Parameters
    ----------
    columns : which; None = all that the model uses.
    points : values per numeric column.
    items : at most so many rows of `data`, drawn by `seed`.
    """
    for name, value, least in (("points", points, 2), ("items", items, 1), ("seed", seed, 0)):
        at_least(name, value, least)
    table = (model if isinstance(model, HyperFusion) else model.members[0]).table_
    if table is None:
        raise InputError("this model does not read the table", field="fusion", remedy="explain another model")
    unknown = [name for name in columns or () if name not in table.kinds_]
    if unknown:
        raise InputError(
            "is not a column of this model", field=unknown[0], remedy=f"one of {list(table.kinds_)}"
        )
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data))[:items])
    part = data.subset(chosen)
    found = []
    for name in columns or table.kinds_:
        values = _values(table.kinds_[name], table.fitted_[name], data.frame[name].tolist(), points)
        curves = [
            from_prediction(model.targets_, model.predict(_with(part, name, value))) for value in values
        ]
        stacked = torch.stack(curves)
        stacked = stacked[:, :, None] if stacked.ndim == 2 else stacked
        found.append(Response(column=name, kind=table.kinds_[name], values=values, curves=stacked))
    return sorted(found, key=lambda response: -response.effect)


def _values(kind: str, fitted: dict[str, Any], cells: list[Any], points: int) -> list[Any]:
    lacked = [None] if fitted.get("indicator") or fitted.get("missing") else []
    if kind != "continuous":
        return [*fitted.get("categories", fitted.get("levels", [])), *lacked]
    numbers = read_numbers(pd.Series(cells, dtype=object), strict=False)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        raise InputError(
            "a column of numbers holds none in these data", field="table", remedy="give other rows"
        )
    grid = np.unique(np.quantile(numbers, np.linspace(0.02, 0.98, points)))
    return [*grid.tolist(), *lacked]


def _with(part: ImageTable, column: str, value: Any) -> ImageTable:
    changed = part.subset(range(len(part)))
    changed.frame = part.frame.assign(**{column: pd.Series([value] * len(part), dtype=object)})
    return changed
