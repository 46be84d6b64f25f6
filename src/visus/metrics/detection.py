"""Whether the right things are found: boxes, and objects described by their properties.

Detections of all pictures are sorted by confidence; each takes at most one true object of its picture, and
each object is taken once. Average precision is the area under the precision-recall curve, with precision made
monotone and every point counted (all-point interpolation, as PASCAL VOC since 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from visus.errors import InputError

DISTANCES = (math.inf, 1.0, 0.5, 0.25, 0.125)


class Boxes(NamedTuple):
    """The boxes of one picture, in any one order of corners (low, low, high, high) and unit."""

    corners: Float[Tensor, "n 4"]
    labels: Int[Tensor, " n"]
    scores: Float[Tensor, " n"] | None = None
    """Confidence of a detection; the truth has none."""


class AveragePrecision(NamedTuple):
    """Average precision of each class that occurs in the truth, and their mean (nan if none does)."""

    mean: float
    per_class: dict[int, float]


def box_iou(first: Float[Tensor, "*b n 4"], second: Float[Tensor, "*b m 4"]) -> Float[Tensor, "*b n m"]:
    """Intersection over union of every box with every other; 0 for two boxes without area.

    >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]])).tolist()
    [[0.3333333432674408]]
    """
    a, b = first.unsqueeze(-2), second.unsqueeze(-3)
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = sides.prod(-1)
    total = _area(a) + _area(b) - shared
    return torch.where(total > 0, shared / torch.where(total > 0, total, 1.0), 0.0)


def box_average_precision(
    truth: Sequence[Boxes], detections: Sequence[Boxes], *, threshold: float = 0.5
) -> AveragePrecision:
    """Average precision of detected boxes at an IoU of `threshold` or more; AP50 by default.

    A detection is held against the object of its class that it overlaps most; if a better one has taken that
    object, it is a false alarm, as in PASCAL VOC. Equal scores keep the order given.

    >>> box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    >>> found = Boxes(box, torch.tensor([3]), torch.tensor([0.9]))
    >>> box_average_precision([Boxes(box, torch.tensor([3]))], [found])
    AveragePrecision(mean=1.0, per_class={3: 1.0})
    """
    if len(truth) != len(detections):
        raise InputError(
            f"has {len(detections)} pictures, the truth {len(truth)}", field="detections", remedy="one each"
        )
    if any(picture.scores is None for picture in detections):
        raise InputError("has no confidence", field="detections: scores", remedy="give one per box")
    classes = sorted({label for picture in truth for label in picture.labels.tolist()})
    per_class = {label: _class_precision(truth, detections, label, threshold) for label in classes}
    mean = sum(per_class.values()) / len(classes) if classes else math.nan
    return AveragePrecision(mean, per_class)


def property_average_precision(
    predicted: Mapping[str, Int[Tensor, "b k"]],
    positions: Float[Tensor, "b k p"],
    scores: Float[Tensor, "b k"],
    truth: Mapping[str, Int[Tensor, "b m"]],
    true_positions: Float[Tensor, "b m p"],
    present: Bool[Tensor, "b m"],
    *,
    distances: Sequence[float] = DISTANCES,
) -> dict[float, float]:
    """Distance -> average precision of objects predicted with all their properties.

    A prediction claims the nearest of the objects of its picture that have its class in every category. It is
    right if that one lies nearer than the distance and no prediction of higher score has claimed it.

    Parameters
    ----------
    predicted, truth : category (shape, color, ...) -> class numbers, of every prediction and every object.
    positions, true_positions : in the units of `distances`.
    scores : confidence that a prediction is an object. Predictions of nothing stay, with a low score.
    present : which of the m objects exist.

    Source: the set prediction task of Slot Attention (arXiv 2006.15055, sec. 4.2 and its published evaluation:
    all-point interpolation, the denominator of recall counts existing objects). nan without any object.
    """
    if set(predicted) != set(truth):
        raise InputError(
            f"has categories {sorted(predicted)}, the truth {sorted(truth)}",
            field="predicted",
            remedy="predict the same categories",
        )
    same = present.unsqueeze(1).expand(-1, positions.shape[1], -1).clone()
    for name, classes in predicted.items():
        same &= classes.unsqueeze(2) == truth[name].unsqueeze(1)
    order = scores.argsort(dim=1, descending=True, stable=True)
    ranking = scores.gather(1, order).flatten().argsort(descending=True, stable=True)
    gap = torch.cdist(positions.double(), true_positions.double())
    gap = torch.where(same, gap, torch.inf).gather(1, order.unsqueeze(2).expand_as(gap))
    total = int(present.sum())
    return {
        distance: area_under_precision(_first_takers(gap, distance).flatten()[ranking], total)
        for distance in distances
    }


def area_under_precision(hits: Bool[Tensor, " n"], total: int) -> float:
    """Average precision of detections sorted by confidence, of `total` objects; nan where there are none.

    >>> area_under_precision(torch.tensor([True, False, True]), 2)
    0.8333333333333333
    """
    if total == 0:
        return math.nan
    right = hits.double().cumsum(0)
    precision = right / torch.arange(1, len(hits) + 1, dtype=torch.float64, device=hits.device)
    # the best precision at this recall or a higher one
    best = precision.flip(0).cummax(0).values.flip(0) if len(hits) else precision
    return float((best * hits).sum() / total)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)


def _class_precision(
    truth: Sequence[Boxes], detections: Sequence[Boxes], label: int, threshold: float
) -> float:
    hits, scores, total = [], [], 0
    for real, found in zip(truth, detections, strict=True):
        assert found.scores is not None
        corners, mine = real.corners[real.labels == label], found.labels == label
        order = found.scores[mine].argsort(descending=True, stable=True)
        total += len(corners)
        scores.append(found.scores[mine][order].cpu())
        iou = box_iou(found.corners[mine][order], corners).cpu()
        hits.append(_first_takers(torch.where(iou >= threshold, 1 - iou, 2.0), 2.0))
    ranking = torch.cat(scores).argsort(descending=True, stable=True)
    return area_under_precision(torch.cat(hits)[ranking], total)


def _first_takers(cost: Float[Tensor, "*b n m"], limit: float) -> Bool[Tensor, "*b n"]:
    """Which of the detections, best first, are the first to claim the object that costs them least.

    A claim must cost less than `limit`.
    """
    if not cost.numel():
        return torch.zeros(cost.shape[:-1], dtype=torch.bool, device=cost.device)
    least, wanted = cost.min(-1)
    claims = least < limit
    earlier = (wanted.unsqueeze(-1) == wanted.unsqueeze(-2)).tril(-1) & claims.unsqueeze(-2)
    return claims & ~earlier.any(-1)
