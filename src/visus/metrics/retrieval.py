"""How near the top of a ranking the right answers are, with ties counted honestly.

`scores` (n, m): query i against candidate j, higher is better. Scores that tie leave the ranking open. A
search that happens to list the right answer first of a thousand equals has found nothing, so ties are never
broken by position:

- ``ties="expected"``: the mean over all orders of the tied candidates, in closed form (McSherry and Najork,
  2008). Constant scores then give chance level;
- ``ties="pessimistic"``: wrong answers stand before right ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from visus.errors import InputError

Ties = Literal["expected", "pessimistic"]


def recall_at_k(
    scores: Float[Tensor, "n m"],
    *,
    k: Sequence[int] = (1, 5, 10),
    target: Int[Tensor, " n"] | None = None,
    ties: Ties = "expected",
) -> dict[int, float]:
    """k -> share of queries whose one right answer is among the first k.

    `target` is the right candidate of each query; the one of the same number where None.

    >>> scores = torch.tensor([[0.9, 0.1, 0.3], [0.5, 0.5, 0.5], [0.7, 0.6, 0.8]])
    >>> recall_at_k(scores, k=(1, 2))
    {1: 0.7777777777777777, 2: 0.8888888888888888}
    >>> recall_at_k(scores, k=(1,), ties="pessimistic")
    {1: 0.6666666666666666}
    """
    n, m = _check(scores, ties)
    if target is None:
        if n != m:
            raise InputError(f"has shape {(n, m)}", field="scores", remedy="say the target of each query")
        target = torch.arange(n, device=scores.device)
    own = scores.gather(1, target.to(scores.device).view(-1, 1))
    above, tied = (scores > own).sum(1), (scores == own).sum(1)
    if ties == "pessimistic":
        return {int(cut): float((above + tied <= cut).double().mean()) for cut in k}
    return {int(cut): float(((cut - above) / tied.double()).clamp(0, 1).mean()) for cut in k}


def two_way_recall(
    scores: Float[Tensor, "n n"], *, k: Sequence[int] = (1, 5, 10), ties: Ties = "expected"
) -> dict[str, float]:
    """`recall_at_k` of rows as queries (`forward@k`) and of columns as queries (`backward@k`).

    >>> two_way_recall(torch.eye(3), k=(1,))
    {'forward@1': 1.0, 'backward@1': 1.0}
    """
    ways = {"forward": scores, "backward": scores.T}
    return {
        f"{name}@{cut}": share
        for name, way in ways.items()
        for cut, share in recall_at_k(way, k=k, ties=ties).items()
    }


def mean_average_precision(
    scores: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"], *, ties: Ties = "expected"
) -> float:
    """Mean over queries of the average of the precisions at the places of their relevant candidates.

    Queries without a relevant candidate are left out; nan if none remains.

    Differs: scikit-learn's `average_precision_score` puts tied candidates on one place, a third convention.

    >>> mean_average_precision(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]))
    0.8333333333333333
    """
    ranking = _rank(scores, relevant, ties)
    place = torch.arange(1, scores.shape[1] + 1, dtype=torch.float64, device=scores.device)
    inside = place - ranking.start - 1  # candidates of the own group that stand before
    others = inside * (ranking.relevant - 1).clamp(min=0) / (ranking.size - 1).clamp(min=1)
    gain = ranking.chance * (ranking.before + 1 + others) / place
    total = relevant.sum(1)
    return float((gain.sum(1) / total.clamp(min=1))[total > 0].mean())


def precision_at_k(
    scores: Float[Tensor, "n m"],
    relevant: Bool[Tensor, "n m"],
    *,
    k: Sequence[int] = (1, 5, 10),
    ties: Ties = "expected",
) -> dict[int, float]:
    """k -> share of relevant candidates among the first k, mean over queries that have a relevant one.

    The divisor is k even where there are fewer candidates or fewer relevant ones.

    >>> precision_at_k(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]), k=(1, 2))
    {1: 1.0, 2: 0.5}
    """
    if any(cut < 1 for cut in k):
        raise InputError(f"is {list(k)}", field="k", remedy="count from 1")
    chance = _rank(scores, relevant, ties).chance[relevant.any(1)]
    return {int(cut): float((chance[:, :cut].sum(1) / cut).mean()) for cut in k}


class _Ranking(NamedTuple):
    """For every place of every query, best first: the group of tied candidates that it belongs to."""

    start: Tensor
    """Places before the group."""
    size: Tensor
    relevant: Tensor
    """Relevant candidates in the group."""
    before: Tensor
    """Relevant candidates in front of the group."""
    chance: Tensor
    """That the place holds a relevant candidate."""


def _rank(scores: Tensor, relevant: Any, ties: Ties) -> _Ranking:
    _check(scores, ties)
    if relevant.shape != scores.shape or relevant.dtype != torch.bool:
        raise InputError(
            f"is {relevant.dtype} of shape {tuple(relevant.shape)}",
            field="relevant",
            remedy=f"give booleans of shape {tuple(scores.shape)}",
        )
    n, m = scores.shape
    scores, order = scores.sort(dim=1, descending=True)
    marks = relevant.gather(1, order).double()
    place = torch.arange(m, device=scores.device).expand(n, m)
    fresh = torch.ones_like(relevant)
    fresh[:, 1:] = scores[:, 1:] != scores[:, :-1]
    start = torch.where(fresh, place, 0).cummax(1).values
    group = fresh.long().cumsum(1) - 1
    size = torch.zeros_like(marks).scatter_add_(1, group, torch.ones_like(marks)).gather(1, group)
    inside = torch.zeros_like(marks).scatter_add_(1, group, marks).gather(1, group)
    before = (marks.cumsum(1) - marks).gather(1, start)
    if ties == "expected":
        return _Ranking(start.double(), size, inside, before, inside / size)
    # The relevant ones stand last in their group: every place is then a group of its own.
    chance = (place - start >= size - inside).double()
    ahead = chance.cumsum(1) - chance
    return _Ranking(place.double(), torch.ones_like(size), chance, ahead, chance)


def _check(scores: Tensor, ties: str) -> tuple[int, int]:
    if scores.ndim != 2 or not scores.numel():
        raise InputError(f"has shape {tuple(scores.shape)}", field="scores", remedy="give (n, m), not empty")
    if not torch.isfinite(scores).all():
        query = int((~torch.isfinite(scores)).any(1).nonzero()[0])
        raise InputError(f"query {query} has a score that is not a finite number", field="scores")
    if ties not in ("expected", "pessimistic"):
        raise InputError(f"is {ties!r}", field="ties", remedy="choose expected or pessimistic")
    return scores.shape[0], scores.shape[1]
