"""Scores of predictions, and the second look at the best classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.data.loader import iterate
from visus.errors import InputError
from visus.methods.vgloss.estimator.bank import Bank
from visus.methods.vgloss.model.confusion import Pairs
from visus.protocols import Scores, Source

READ_AT_ONCE = 256


def look_again(
    logits: Float[Tensor, "b c"], rows: Float[Tensor, "b e"], bank: Bank, *, k: int, scale: float
) -> Float[Tensor, "b c"]:
    """Re-score the `k` best classes of every picture by the texts that set them apart from each other.

    Among the best classes, those that contrastive texts link make a group. In a group every class that has texts
    against others of it gets the row v = normalize(mean of these texts), and the probability that the group had
    together is shared out again by softmax(scale <picture, v>). Everything else stays.

    Source: the follow-up of FuDD (Esfandiarpoor & Bach 2023), with the texts of 2306.06077.
    Differs: there every two of the best classes have texts; here only confusable ones, and a text that was
    written against one class says nothing about a class of another group. Probabilities still sum to 1.
    """
    if not len(bank.contrast) or k < 2:
        return logits
    contrast, first, second = (part.to(rows.device) for part in (bank.contrast, bank.one, bank.other))
    pictures, found = F.normalize(rows, dim=-1), logits.clone()
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices.sort(dim=1).values
    sets, member = best.unique(dim=0, return_inverse=True)
    for number, among in enumerate(sets):
        some = (member == number).nonzero()[:, 0]
        inside = (torch.isin(first, among) & torch.isin(second, among)).nonzero()[:, 0]
        for group in _linked(first[inside].tolist(), second[inside].tolist()):
            told = inside[torch.isin(first[inside], torch.tensor(group, device=rows.device))]
            known = first[told].unique()
            if len(known) < 2:
                continue
            place = torch.searchsorted(known, first[told])
            means = rows.new_zeros(len(known), rows.shape[1]).index_add(0, place, contrast[told])
            again = (scale * pictures[some] @ F.normalize(means, dim=-1).T).log_softmax(1)
            found[some[:, None], known] = again + logits[some][:, known].logsumexp(1, keepdim=True)
    return found


def _linked(one: Sequence[int], other: Sequence[int]) -> list[list[int]]:
    """Groups of classes that are linked, directly or through others.

    >>> _linked([0, 1, 5], [1, 2, 6])
    [[0, 1, 2], [5, 6]]
    """
    group = {number: {number} for number in (*one, *other)}
    for left, right in zip(one, other):
        if group[left] is not group[right]:
            group[left] |= group[right]
            for number in group[right]:
                group[number] = group[left]
    return sorted({tuple(sorted(each)): sorted(each) for each in group.values()}.values())


def targets_of(data: Source, names: Sequence[str]) -> Int64[Tensor, " n"]:
    """The class numbers of all items, from `target` (numbers or names).

    Raises
    ------
    InputError : no such field, or a class that the classifier does not know.
    """
    number, found = {name: i for i, name in enumerate(names)}, []
    for batch in iterate(data, READ_AT_ONCE):
        if "target" not in batch:
            raise InputError(
                "is missing", field="target", remedy="give each picture's class, by name or number"
            )
        given = batch["target"]
        for value in given.tolist() if isinstance(given, Tensor) else given:
            found.append(_number(value, number))
    return torch.tensor(found)


def _number(value: Any, number: dict[str, int]) -> int:
    if isinstance(value, str) and value in number:
        return number[value]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(number):
        return value
    shown = ", ".join(list(number)[:5]) + (", ..." if len(number) > 5 else "")
    raise InputError(f"{value!r} is no class of this classifier", field="target", remedy=f"classes: {shown}")


def scores_of(logits: Float[Tensor, "b c"], target: Int64[Tensor, " b"], pairs: Pairs) -> Scores:
    """`top1`, `top5` (of at most all classes), `mean_per_class` over classes with pictures, `cross_entropy`, and
    `pairs`: see `pair_accuracy`, left out where no pair has pictures."""
    order = logits.argsort(dim=1, descending=True, stable=True)
    place = (order == target[:, None]).long().argmax(1)
    hit = (place == 0).double()
    shown = target.unique()
    per_class = [float(hit[target == number].mean()) for number in shown]
    found = {
        "top1": float(hit.mean()),
        "top5": float((place < 5).double().mean()),
        "mean_per_class": sum(per_class) / len(per_class),
        "cross_entropy": float(F.cross_entropy(logits.double(), target)),
    }
    each = pair_accuracy(logits, target, pairs)
    return {**found, "pairs": sum(each.values()) / len(each)} if each else found


def pair_accuracy(
    logits: Float[Tensor, "b c"], target: Int64[Tensor, " b"], pairs: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], float]:
    """For every pair of classes with pictures: how often its own class scores higher than the other one.

    The mean of the two sides, so that chance is 1/2 whatever the counts; an equal score is half a hit.
    """
    found = {}
    for one, other in sorted(pairs):
        sides = []
        for own, rival in ((one, other), (other, one)):
            margin = logits[target == own][:, [own, rival]].diff(dim=1).neg()[:, 0]
            if len(margin):
                sides.append(float(((margin > 0).double() + (margin == 0).double() / 2).mean()))
        if sides:
            found[one, other] = sum(sides) / len(sides)
    return found
