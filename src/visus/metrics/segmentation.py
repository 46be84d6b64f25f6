"""How well slots divide a video, or a picture, into its objects.

`truth` and `predicted` are maps of ids (b, t, h, w), or (b, h, w) for pictures: 0 is the truth's background,
i + 1 its object i; `predicted` holds the number of the slot that a pixel belongs to. A video is judged as a
whole: an object that changes its slot half-way is not segmented well, however good every frame is. Results
have one value per video, float64, on the device of the maps; nan where there was nothing to judge.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from visus.errors import InputError

Matching = Literal["conditioned", "hungarian", "overlap"]


def overlaps(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    objects: int | None = None,
) -> Int[Tensor, "b frames ids k"]:
    """Pixels that each id of the truth (0..objects) shares with each slot, frame by frame.

    There are at least as many slots as ids, so that slot i + 1 exists for object i. All scores of this module
    and of `visus.metrics.tracking` are sums over this table.
    """
    if truth.shape != predicted.shape or truth.ndim not in (3, 4):
        raise InputError(
            f"has shape {tuple(predicted.shape)}, the truth {tuple(truth.shape)}",
            field="predicted",
            remedy="give maps of ids (b, t, h, w) or (b, h, w) of equal shape",
        )
    if not truth.numel():
        raise InputError("there are no pixels to judge", field="truth")
    for name, maps in (("truth", truth), ("predicted", predicted)):
        if int(maps.min()) < 0:
            raise InputError("holds a negative id", field=name, remedy="count ids from 0")
    most = int(truth.max())
    if objects is not None and most > objects:
        raise InputError(
            f"holds id {most} of {objects} objects", field="truth", remedy="make ids above it background"
        )
    ids = (most if objects is None else objects) + 1
    slots = max(int(predicted.max()) + 1, ids)
    b, frames = truth.shape[0], truth.shape[1] if truth.ndim == 4 else 1
    truth, predicted = truth.reshape(b * frames, -1).long(), predicted.reshape(b * frames, -1).long()
    picture = torch.arange(b * frames, device=truth.device).unsqueeze(1)
    cell = (picture * ids + truth) * slots + predicted
    return torch.bincount(cell.flatten(), minlength=b * frames * ids * slots).view(b, frames, ids, slots)


def rand_index_of_table(table: Float[Tensor, "b ids k"]) -> Float[Tensor, " b"]:
    """Adjusted Rand index of contingency tables; 1 where the index is 0 / 0.

    ARI = (S - E) / ((A + B) / 2 - E),  E = A B / T,  with S, A, B, T the pairs of pixels that are together in
    both partitions, in the truth, in the prediction, and at all. Method: Hubert and Arabie, 1985.
    """
    both, rows, columns = _pairs(table).sum((1, 2)), _pairs(table.sum(2)).sum(1), _pairs(table.sum(1)).sum(1)
    # A (B / T), not (A B) / T: exact where B = T, so that the denominator of one cluster is exactly zero.
    expected = rows * (columns / _pairs(table.sum((1, 2))).clamp(min=1))
    room = (rows + columns) / 2 - expected
    return torch.where(room == 0, 1.0, (both - expected) / torch.where(room == 0, 1.0, room))


def adjusted_rand_index(
    truth: Integer[Tensor, "b *t h w"], predicted: Integer[Tensor, "b *t h w"], *, skip_first: bool = False
) -> Float[Tensor, " b"]:
    """Adjusted Rand index over all pixels of a video, the background being a cluster like others."""
    table = overlaps(*_without_first(truth, predicted, skip_first))
    return rand_index_of_table(table.sum(1).double())


def foreground_ari(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    skip_first: bool = False,
    counted: Bool[Tensor, "b frames m"] | None = None,
) -> Float[Tensor, " b"]:
    """Adjusted Rand index over the pixels of a video whose true id is above 0 (FG-ARI).

    One table per video, over all its frames: an object that changes its slot costs.

    Parameters
    ----------
    truth, predicted : see the module.
    skip_first : leave out frame 0, which a model that is told the first boxes has seen the answer of.
    counted : which objects count in which frames (b, t, m); all where None. nan where none is left.

    Source: the evaluation that the authors of SAVi published (arXiv 2111.12594) counts frame 0 and gives 1
    where the index is 0 / 0: no foreground, or one object in one slot.

    >>> truth = torch.tensor([[[[1, 1, 2, 2]], [[1, 1, 2, 2]]]])
    >>> foreground_ari(truth, torch.tensor([[[[3, 3, 0, 0]], [[3, 3, 0, 0]]]])).item()
    1.0
    >>> foreground_ari(truth, torch.tensor([[[[3, 3, 0, 0]], [[0, 0, 3, 3]]]])).item() < 0.0
    True
    """
    objects = None if counted is None else counted.shape[-1]
    table = overlaps(*_without_first(truth, predicted, skip_first), objects=objects)[:, :, 1:].double()
    if counted is None:
        return rand_index_of_table(table.sum(1))
    counted = counted[:, 1:] if skip_first else counted
    chosen = (table * counted.unsqueeze(-1)).sum(1)
    return torch.where(counted.any(-1).any(-1), rand_index_of_table(chosen), torch.nan)


def object_iou(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    matching: Matching = "hungarian",
    objects: int | None = None,
    counted: Bool[Tensor, "b frames m"] | None = None,
) -> Float[Tensor, "b m"]:
    """Intersection over union of every object with the slot matched to it, over the whole video.

    Parameters
    ----------
    truth, predicted : see the module.
    matching : `conditioned`: object i belongs to slot i + 1, as where slots start from the objects' boxes;
        `hungarian`: every slot to at most one object, so that the sum is greatest; `overlap`: every object
        takes its best slot, which several may share. The slot of the background may be matched like others.
    objects : columns of the result; the highest id where None.
    counted : frames in which an object is judged (b, t, m); all where None. Outside them neither its pixels
        nor its slot's count.

    nan for an object without a (counted) pixel; 0 for one that is left without a slot.
    """
    scores, _ = _matched(truth, predicted, matching, objects, counted)
    return scores


def mean_iou(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    matching: Matching = "hungarian",
    counted: Bool[Tensor, "b frames m"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean of `object_iou` over a video's objects; nan for a video without any.

    >>> truth = torch.tensor([[[[0, 1, 1, 2]]]])
    >>> predicted = torch.tensor([[[[0, 2, 2, 1]]]])
    >>> [mean_iou(truth, predicted, matching=name).item() for name in ("conditioned", "hungarian")]
    [0.0, 1.0]
    """
    objects = None if counted is None else counted.shape[-1]
    return object_iou(truth, predicted, matching=matching, objects=objects, counted=counted).nanmean(-1)


def mean_best_overlap(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    classes: Int[Tensor, "b m"] | None = None,
) -> Float[Tensor, " b"]:
    """Mean over objects of the IoU with the slot that covers each best (mBO), one value per video.

    With `classes` (class of object i, any number from 0; below 0 for padding) the objects of one class are
    one: mBO over classes. Method: Pont-Tuset et al., 2015; as used by DINOSAUR (arXiv 2209.14860, sec. 4).
    """
    if classes is not None:
        if int(truth.max()) > classes.shape[1]:
            raise InputError(
                f"has {classes.shape[1]} columns for id {int(truth.max())}",
                field="classes",
                remedy="one each",
            )
        ids = torch.cat([classes.new_zeros(len(classes), 1), (classes + 1).clamp(min=0)], dim=1)
        truth = ids.gather(1, truth.long().flatten(1)).view(truth.shape)
    return mean_iou(truth, predicted, matching="overlap")


def matched_slots(
    truth: Integer[Tensor, "b *t h w"],
    predicted: Integer[Tensor, "b *t h w"],
    *,
    matching: Matching = "hungarian",
    objects: int | None = None,
) -> Int[Tensor, "b m"]:
    """The slot that each object is judged by; -1 for an object that is absent or left without one."""
    _, slots = _matched(truth, predicted, matching, objects, None)
    return slots


def _matched(
    truth: Tensor, predicted: Tensor, matching: str, objects: int | None, counted: Tensor | None
) -> tuple[Float[Tensor, "b m"], Int[Tensor, "b m"]]:
    table = overlaps(truth, predicted, objects=objects).double()
    own = table[:, :, 1:]
    weight = torch.ones_like(own[..., 0]) if counted is None else counted.double()
    shared = torch.einsum("btmk,btm->bmk", own, weight)
    covered = torch.einsum("btk,btm->bmk", table.sum(2), weight)
    size = shared.sum(-1, keepdim=True)
    iou = shared / (size + covered - shared).clamp(min=1)
    present = size.squeeze(-1) > 0
    slots = _choose(iou, present, matching)
    scores = iou.gather(2, slots.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(present, torch.where(slots < 0, 0.0, scores), torch.nan), slots


def _choose(iou: Tensor, present: Tensor, matching: str) -> Int[Tensor, "b m"]:
    b, m, _ = iou.shape
    if matching == "conditioned":
        slots = torch.arange(1, m + 1, device=iou.device).expand(b, m)
    elif matching == "overlap":
        slots = iou.argmax(-1)
    elif matching == "hungarian":
        slots = _assign(iou, present)
    else:
        raise InputError(
            f"is {matching!r}", field="matching", remedy="choose conditioned, hungarian or overlap"
        )
    return torch.where(present, slots, -1)


def _assign(iou: Tensor, present: Tensor) -> Int[Tensor, "b m"]:
    from scipy.optimize import linear_sum_assignment

    slots = torch.full(iou.shape[:2], -1, dtype=torch.long)
    for i, (scores, there) in enumerate(zip(iou.cpu().numpy(), present.cpu().numpy(), strict=True)):
        rows = there.nonzero()[0]
        taken, columns = linear_sum_assignment(scores[rows], maximize=True)
        slots[i, torch.as_tensor(rows[taken])] = torch.as_tensor(columns)
    return slots.to(iou.device)


def _pairs(count: Tensor) -> Tensor:
    return count * (count - 1) / 2


def _without_first(truth: Tensor, predicted: Tensor, skip_first: bool) -> tuple[Tensor, Tensor]:
    if not skip_first:
        return truth, predicted
    if truth.ndim != 4 or truth.shape[1] < 2:
        raise InputError(f"has shape {tuple(truth.shape)}", field="truth", remedy="give two frames or more")
    return truth[:, 1:], predicted[:, 1:]
