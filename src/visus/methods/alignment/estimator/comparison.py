"""Many models on the same triplets: what do architecture, size, objective and data have to do with accuracy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from visus.errors import InputError
from visus.metrics.odd_one_out import CHANCE, Kind, hits, pair_similarities, unordered_triplets
from visus.metrics.triplet_trials import percentile_interval

SCORED_AT_ONCE = 2**20
DRAWN_AT_ONCE = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How much accuracy changes with a level of an attribute, the other attributes held fixed."""

    attribute: str
    level: str
    """The level compared with `reference`; for a number, "per unit"."""
    reference: str
    effect: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class AttributeShare:
    """What the linear model loses without an attribute."""

    attribute: str
    share: float
    """Fall of R^2 when the attribute is left out."""
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models with their accuracies, and what the attributes explain of them."""

    table: pd.DataFrame
    """One row per model: `model`, its attributes, `accuracy`, `low`, `high`, and with a ceiling `normalized`."""
    hits: Bool[np.ndarray, "k n"]
    effects: list[Effect]
    shares: list[AttributeShare]
    r_squared: float
    """Of the whole linear model."""


def compare_models(
    embeddings: Mapping[str, Float[Tensor, "m e"]],
    triplets: Int64[Tensor, "n 3"],
    attributes: pd.DataFrame | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    kind: Kind = "cosine",
    ceiling: float | None = None,
    clusters: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Score every embedding on the same triplets and regress accuracy on the models' attributes.

    accuracy_i = c + sum over attributes of (slope x number, or the level's offset from the first level) by least
    squares; models lacking a value of any attribute are left out of the regression. Intervals (95 %, percentile) come
    from a bootstrap that draws unordered triplets with all their judgments, the same for every model, and models (or
    whole clusters of models) at once, and fits again. A draw in which a level's offset cannot be told from the other
    attributes says nothing of that level and is left out for it.

    Paper: 2211.01201, sec. 3 (which properties of models go with accuracy). Differs: one model of all attributes with
    intervals, instead of one plot per attribute.

    Parameters
    ----------
    embeddings : name -> one row per object.
    triplets : (n, 3), columns (a, b, odd).
    attributes : one row per model; a table indexed by model name, or name -> attribute -> value. Numbers are
        slopes (give sizes as logarithms), anything else is levels; None: accuracies only.
    kind : how embeddings are compared.
    ceiling : noise ceiling; adds (accuracy - 1/3) / (ceiling - 1/3).
    clusters : attribute whose models are drawn together (a family); it is not part of the regression.

    Raises
    ------
    InputError : no embedding, embeddings of other objects, a model without attributes, an attribute that never
        varies, or fewer models than the regression has coefficients.
    """
    if not embeddings:
        raise InputError("hold no model", field="embeddings", remedy="give at least one")
    names = list(embeddings)
    right = np.stack([_hits(embeddings[name], triplets, kind, name) for name in names])
    group = unordered_triplets(triplets)
    count = np.bincount(group).astype(float)
    sums = np.stack([np.bincount(group, row, minlength=len(count)) for row in right])
    frame = _frame(attributes, names)
    family = _families(frame, clusters, names)
    frame = frame.drop(columns=[clusters] if clusters else [])
    accuracies, weights = _draws(sums, count, family, resamples, seed)
    accuracy = sums.sum(1) / count.sum()
    table = frame.copy()
    table.insert(0, "model", names)
    table["accuracy"] = accuracy
    bounds = [percentile_interval(row, 0.95) for row in accuracies.T]
    table["low"], table["high"] = zip(*bounds)
    if ceiling is not None:
        if not CHANCE < ceiling <= 1:
            raise InputError(f"is {ceiling}", field="ceiling", remedy="give a number above 1/3, at most 1")
        table["normalized"] = (accuracy - CHANCE) / (ceiling - CHANCE)
    effects, shares, explained = _regression(frame, accuracy, accuracies, weights)
    return Comparison(
        table=table.reset_index(drop=True), hits=right, effects=effects, shares=shares, r_squared=explained
    )


def _hits(embedding: Any, triplets: Tensor, kind: Kind, name: str) -> Bool[np.ndarray, " n"]:
    try:
        found = [
            hits(pair_similarities(torch.as_tensor(embedding), part, kind=kind)).cpu()
            for part in triplets.split(SCORED_AT_ONCE)
        ]
    except InputError as error:
        raise InputError(
            error.problem, file=error.file, field=f"embedding {name}", remedy=error.remedy
        ) from error
    return torch.cat(found).numpy()


def _frame(attributes: Any, names: Sequence[str]) -> pd.DataFrame:
    """One row per model, in their order."""
    if attributes is None:
        return pd.DataFrame(index=list(names))
    frame = (
        attributes if isinstance(attributes, pd.DataFrame) else pd.DataFrame.from_dict(attributes, "index")
    )
    absent = [name for name in names if name not in frame.index]
    if absent:
        raise InputError(
            f"no row for model {absent[0]}", field="attributes", remedy="give one row per model, by its name"
        )
    taken = [name for name in ("model", "accuracy", "low", "high", "normalized") if name in frame]
    if taken:
        raise InputError("is a column of the result", field=f"attribute {taken[0]}", remedy="rename it")
    return frame.loc[list(names)].infer_objects()


def _families(frame: pd.DataFrame, clusters: str | None, names: Sequence[str]) -> Int64[np.ndarray, " k"]:
    if clusters is None:
        return np.arange(len(names))
    if clusters not in frame:
        raise InputError(f"no attribute {clusters}", field="clusters", remedy=f"one of {list(frame.columns)}")
    return pd.factorize(frame[clusters].astype(str))[0]


def _draws(
    sums: Float[np.ndarray, "k g"],
    count: Float[np.ndarray, " g"],
    family: Int64[np.ndarray, " k"],
    resamples: int,
    seed: int,
) -> tuple[Float[np.ndarray, "r k"], Float[np.ndarray, "r k"]]:
    """Accuracies in every draw of triplets, and how often every model was drawn."""
    rng = np.random.default_rng(seed)
    groups, step = len(count), max(1, DRAWN_AT_ONCE // len(count))
    parts = []
    for start in range(0, resamples, step):
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=min(step, resamples - start))
        parts.append((drawn @ sums.T) / (drawn @ count)[:, None])
    clusters = int(family.max()) + 1
    times = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)[:, family]
    return np.concatenate(parts), times.astype(float)


@dataclass(frozen=True)
class _Design:
    """Columns of the regression: the constant first, then each attribute's."""

    matrix: Float[np.ndarray, "k c"]
    columns: list[tuple[str, str, str]]
    """(attribute, level, reference) of every column after the constant."""


def _design(frame: pd.DataFrame) -> _Design:
    matrix, columns = [np.ones(len(frame))], []
    for attribute in frame.columns:
        values = pd.Series(frame[attribute])
        if len(values.unique()) < 2:
            raise InputError(
                "is the same for every model", field=f"attribute {attribute}", remedy="leave it out"
            )
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            matrix.append(values.to_numpy(float))
            columns.append((str(attribute), "per unit", ""))
            continue
        first, *others = sorted(values.astype(str).unique())
        for level in others:
            matrix.append((values.astype(str) == level).to_numpy(float))
            columns.append((str(attribute), level, first))
    return _Design(np.stack(matrix, 1), columns)


def _regression(
    frame: pd.DataFrame,
    accuracy: Float[np.ndarray, " k"],
    accuracies: Float[np.ndarray, "r k"],
    weights: Float[np.ndarray, "r k"],
) -> tuple[list[Effect], list[AttributeShare], float]:
    known = frame.notna().all(axis=1).to_numpy()
    frame, accuracy = frame.loc[known], accuracy[known]
    accuracies, weights = accuracies[:, known], weights[:, known]
    if not len(frame.columns):
        return [], [], float("nan")
    design = _design(frame)
    if np.linalg.matrix_rank(design.matrix) < design.matrix.shape[1] or len(frame) <= design.matrix.shape[1]:
        raise InputError(
            f"{len(frame)} models cannot tell {design.matrix.shape[1]} coefficients apart",
            field="attributes",
            remedy="give more models, fewer attributes, or levels that do not go together",
        )
    one = np.ones((1, len(frame)))
    slopes = _fit(design.matrix, accuracy[None], one)[0][0]
    drawn = _fit(design.matrix, accuracies, weights)[0]
    effects = [
        Effect(
            attribute=name,
            level=level,
            reference=reference,
            effect=float(slopes[i]),
            interval=percentile_interval(drawn[:, i], 0.95),
        )
        for i, (name, level, reference) in enumerate(design.columns, 1)
    ]
    whole = _fit(design.matrix, accuracy[None], one)[1]
    whole_drawn = _fit(design.matrix, accuracies, weights)[1]
    shares = []
    for attribute in dict.fromkeys(name for name, _, _ in design.columns):
        kept = [0, *(i for i, (name, _, _) in enumerate(design.columns, 1) if name != attribute)]
        lost = whole - _fit(design.matrix[:, kept], accuracy[None], one)[1]
        lost_drawn = whole_drawn - _fit(design.matrix[:, kept], accuracies, weights)[1]
        bounds = percentile_interval(lost_drawn, 0.95)
        shares.append(AttributeShare(attribute=attribute, share=float(lost[0]), interval=bounds))
    return effects, shares, float(whole[0])


def _fit(
    matrix: Float[np.ndarray, "k c"], y: Float[np.ndarray, "r k"], weights: Float[np.ndarray, "r k"]
) -> tuple[Float[np.ndarray, "r c"], Float[np.ndarray, " r"]]:
    """Weighted least squares of every row of y: coefficients (nan where not determined) and R^2."""
    root = np.sqrt(weights)[:, :, None]
    scaled = root * matrix
    inverse = np.linalg.pinv(scaled)
    slopes = (inverse @ (root * y[:, :, None]))[:, :, 0]
    # a coefficient is determined if the projection on the rows drawn leaves its axis as it is
    determined = np.abs(np.diagonal(inverse @ scaled, axis1=1, axis2=2) - 1) < 1e-8
    residual = y - (matrix @ slopes[:, :, None])[:, :, 0]
    total = weights.sum(1)
    mean = np.divide((weights * y).sum(1), total, out=np.zeros_like(total), where=total > 0)
    spread = (weights * (y - mean[:, None]) ** 2).sum(1)
    rest = (weights * residual**2).sum(1)
    explained = np.where(spread > 1e-15, 1 - rest / np.maximum(spread, 1e-15), np.nan)
    return np.where(determined, slopes, np.nan), explained
