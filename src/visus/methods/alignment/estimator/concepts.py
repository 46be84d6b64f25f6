"""Which human concepts an embedding gets right: triplets split by the dimension that decides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from visus.errors import InputError
from visus.methods.alignment.config import AlignmentConfig
from visus.methods.alignment.estimator.sides import statistics
from visus.methods.alignment.model import held_out_predictions
from visus.methods.alignment.model.ridge import parts
from visus.metrics import r2
from visus.metrics.arrays import to_array

ALPHAS = AlignmentConfig().ridge_alphas


@dataclass(frozen=True, kw_only=True)
class ConceptTable:
    """Errors per concept dimension; nan where a dimension decides no triplet."""

    names: tuple[str, ...]
    count: Int64[np.ndarray, " d"]
    """Triplets that the dimension decides; they sum to the number of triplets (twice that with `top` 2)."""
    hits: Int64[np.ndarray, " d"]
    decodability: Float[np.ndarray, " d"] | None = None
    """R^2 of the dimension, predicted from the features for objects held out."""

    @property
    def error(self) -> Float[np.ndarray, " d"]:
        """1 - hits / count."""
        safe = np.maximum(self.count, 1)
        return np.where(self.count > 0, 1 - self.hits / safe, np.nan)

    @property
    def overall_error(self) -> float:
        """The error of all triplets, from the table: sum of count x error over sum of count."""
        return float(np.nansum(self.count * self.error) / self.count.sum())

    def ranking(self) -> list[int]:
        """Dimensions that decide something, from the worst to the best."""
        decided = np.flatnonzero(self.count > 0)
        return decided[np.argsort(-self.error[decided], kind="stable")].tolist()

    def rows(self) -> list[dict[str, Any]]:
        """One row per dimension: `dimension`, `name`, `count`, `hits`, `error` (None where undefined), `r2`."""
        known = self.decodability
        return [
            {
                "dimension": i,
                "name": name,
                "count": int(self.count[i]),
                "hits": int(self.hits[i]),
                "error": float(self.error[i]) if self.count[i] else None,
                **({} if known is None else {"r2": float(known[i])}),
            }
            for i, name in enumerate(self.names)
        ]


def concept_table(
    reference: Float[Tensor, "m d"],
    triplets: Int64[Tensor, "n 3"],
    right: Bool[Tensor, " n"],
    *,
    names: Sequence[str] | None = None,
    top: int = 1,
    decodability: Float[Any, " d"] | None = None,
) -> ConceptTable:
    """Errors split by the concept dimension in which the similar pair is strongest.

    Paper: 2211.01201, concept analysis (argmax over dimensions of the pair's mean; also the two strongest).

    Parameters
    ----------
    reference : embedding with one concept per dimension, such as VICE.
    triplets, right : people's choices (columns a, b, odd), and whether the model agreed.
    names : of the dimensions; None numbers them.
    top : how many of the strongest dimensions a triplet counts for.

    Raises
    ------
    InputError : lengths that do not fit, or `top` out of range.

    >>> reference = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.2, 1.0]])
    >>> table = concept_table(reference, torch.tensor([[0, 1, 2], [2, 3, 0]]), torch.tensor([True, False]))
    >>> table.count.tolist(), table.error.tolist(), table.overall_error
    ([1, 1], [0.0, 1.0], 0.5)
    """
    agreed = to_array(right).astype(bool)
    names = tuple(f"dimension {i}" for i in range(reference.shape[1])) if names is None else tuple(names)
    if len(names) != reference.shape[1]:
        raise InputError(f"{len(names)} names for {reference.shape[1]} dimensions", field="names")
    if len(agreed) != len(triplets) or not len(agreed):
        raise InputError(f"{len(agreed)} answers for {len(triplets)} triplets", field="right")
    deciding = deciding_dimensions(reference, torch.as_tensor(triplets), top=top).numpy()
    count = np.bincount(deciding.ravel(), minlength=len(names))
    hits = np.bincount(deciding[agreed].ravel(), minlength=len(names))
    known = None if decodability is None else to_array(decodability)
    return ConceptTable(names=names, count=count, hits=hits, decodability=known)


def deciding_dimensions(
    reference: Float[Tensor, "m d"], triplets: Int64[Tensor, "n 3"], *, top: int = 1
) -> Int64[Tensor, "n t"]:
    """The `top` dimensions in which a and b are strongest on average; of equals the first."""
    if not 1 <= top <= reference.shape[1]:
        raise InputError(f"is {top}", field="top", remedy=f"choose 1 to {reference.shape[1]}")
    strength = reference[triplets[:, 0]] + reference[triplets[:, 1]]
    return strength.argsort(dim=1, descending=True, stable=True)[:, :top]


def family_error(tables: Sequence[ConceptTable]) -> Float[np.ndarray, " d"]:
    """Mean over models of the error per dimension, every model counting once.

    Paper: 2211.01201 (errors are averaged over a family of models).
    """
    if not tables or len({table.names for table in tables}) > 1:
        raise InputError("must be of the same dimensions", field="tables", remedy="give at least one")
    errors = np.stack([table.error for table in tables])
    known = ~np.isnan(errors)
    total, times = np.where(known, errors, 0.0).sum(0), known.sum(0)
    return np.divide(total, times, out=np.full(errors.shape[1], np.nan), where=times > 0)


def decodability(
    features: Float[Tensor, "m p"],
    reference: Float[Tensor, "m d"],
    *,
    alphas: Sequence[float] = ALPHAS,
    folds: int = 5,
    seed: int = 0,
) -> tuple[Float[np.ndarray, " d"], Float[Tensor, "m d"]]:
    """R^2 per dimension and the predictions they are of; every object was held out when it was predicted.

    The predictions are an embedding of their own, to be scored on triplets among objects of one fold, or on all.

    Paper: 2211.01201 (ridge regression per dimension, penalties 0.1 to 1e6, five folds over objects). Differs: the
    penalty is chosen within each training side, by leave-one-out.

    Returns
    -------
    (R^2 (d,), predictions (m, d) float32).
    """
    part = parts(len(features), folds, seed)
    # one mean and deviation of all: a common factor on the penalties, which are chosen within training sides
    mean, std = statistics(features, torch.ones(len(features), dtype=torch.bool))
    found = held_out_predictions((features - mean) / std, reference, alphas, part, folds=0)
    wanted = reference.double().numpy()
    scores = np.array([float(r2(wanted[:, i], found[:, i].numpy())) for i in range(wanted.shape[1])])
    return scores, found.float()


def error_by_uncertainty(
    entropy: Float[Any, " n"], right: Bool[Any, " n"], *, width: float = 0.1
) -> list[dict[str, float]]:
    """Error in bins of people's uncertainty, the entropy in nats of their (or their model's) choices.

    Bins [0, width), [width, 2 width), ... up to log 3; empty ones are left out. Rows hold `low`, `high`, `count` and
    `error`.

    Paper: 2211.01201 (steps of 0.1 from 0 to log 3).
    """
    values, agreed = to_array(entropy).astype(np.float64), to_array(right).astype(bool)
    if values.shape != agreed.shape or not len(values):
        raise InputError(f"{values.shape} entropies for {agreed.shape} answers", field="entropy")
    if width <= 0:
        raise InputError(f"is {width}", field="width", remedy="choose a number above 0")
    last = int(np.log(3) / width)
    place = np.clip((values / width).astype(int), 0, last)
    count, wrong = np.bincount(place, minlength=last + 1), np.bincount(place, ~agreed, minlength=last + 1)
    return [
        {
            "low": i * width,
            "high": min((i + 1) * width, float(np.log(3))),
            "count": float(count[i]),
            "error": float(wrong[i] / count[i]),
        }
        for i in range(last + 1)
        if count[i]
    ]
