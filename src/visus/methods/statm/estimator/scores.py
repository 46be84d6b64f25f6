"""How well videos were divided, followed and foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from visus.methods.statm.estimator.segments import centers, last_known
from visus.methods.statm.training.inputs import paired_iou
from visus.metrics.segmentation import foreground_ari, matched_slots, mean_iou
from visus.metrics.tracking import identity_switches, j_and_f, lost_after_gap, reappearance_ari
from visus.protocols import Scores

Values = Mapping[str, Float[Tensor, " b"]]
"""Score -> one value per video; nan where there was nothing to judge."""


def of_segments(
    truth: Integer[Tensor, "b t h w"], found: Integer[Tensor, "b t h w"], *, hinted: bool
) -> dict[str, Tensor]:
    """`fg_ari`, `miou_hungarian`, `miou_overlap`, `reappearance_ari`, and `identity_switches` (per chance).

    Where slots started from hints (`hinted`) also `miou_conditioned`, `lost_after_gap`, and `j`, `f`, `j_and_f`
    without the first frame, which was given, and the last.
    """
    objects = max(1, int(truth.max()))
    ids = torch.arange(1, objects + 1, device=truth.device).view(-1, 1, 1)
    visible = (truth.unsqueeze(2) == ids).sum((-2, -1))
    switches = identity_switches(truth, found, objects=objects, background=0 if hinted else None)
    scores = {
        "fg_ari": torch.where((truth > 0).flatten(1).any(1), foreground_ari(truth, found), torch.nan),
        "miou_hungarian": mean_iou(truth, found, matching="hungarian"),
        "miou_overlap": mean_iou(truth, found, matching="overlap"),
        "reappearance_ari": reappearance_ari(truth, found, visible),
        "identity_switches": switches.rate,
        "identity_switches_after_gap": switches.rate_after_gap,
    }
    if hinted:
        scores["miou_conditioned"] = mean_iou(truth, found, matching="conditioned")
        scores["lost_after_gap"] = lost_after_gap(truth, found).share
        if truth.shape[1] > 2:
            quality = j_and_f(truth, found, matching="conditioned", skip_ends=True)
            scores |= {"j": quality.region, "f": quality.boundary, "j_and_f": quality.mean}
    return {name: value.double() for name, value in scores.items()}


def of_boxes(truth: Float[Tensor, "b t m 4"], found: Float[Tensor, "b t n 4"]) -> dict[str, Tensor]:
    """`box_iou`: mean over the frames after the first that have a box of the object, then over objects."""
    count = min(truth.shape[2], found.shape[2])
    truth, found = truth[:, 1:, :count].double(), found[:, 1:, :count].double()
    iou = torch.where((truth != 0).any(-1), paired_iou(truth, found), torch.nan)
    return {"box_iou": iou.nanmean(1).nanmean(1)}


def of_frames(truth: UInt8[Tensor, "b t 3 h w"], found: Float[Tensor, "b t 3 h w"]) -> dict[str, Tensor]:
    """`psnr` [dB] and `ssim` of frames in 0..1, mean over the frames of a video."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    b, t = truth.shape[:2]
    real, made = (truth.float() / 255).flatten(0, 1), found.float().clamp(0, 1).flatten(0, 1)
    # identical frames would have an infinite ratio; 1e-10 is 100 dB
    error = (real - made).square().mean((1, 2, 3)).clamp(min=1e-10)
    ratio = -10 * error.log10()
    likeness = structural_similarity_index_measure(made, real, data_range=1.0, reduction="none")
    assert isinstance(likeness, Tensor)
    return {
        "psnr": ratio.view(b, t).mean(1).double(),
        "ssim": likeness.view(b, t).mean(1).double(),
    }


def of_places(
    truth: Integer[Tensor, "b t h w"],
    found: Integer[Tensor, "b t h w"],
    *,
    first: int,
    hinted: bool,
) -> dict[str, Tensor]:
    """`position_error`: root mean square distance, from frame `first` on, between the centers of an object's
    visible pixels and of its slot's, in shares of the picture's diagonal.

    A slot that paints nothing is where it last painted something. Without hints an object's slot is the one
    matched to it before frame `first`. Objects without a slot that ever painted are left out.
    """
    h, w = truth.shape[-2:]
    objects = max(1, int(truth.max()))
    real = centers(truth, objects)
    if hinted:
        made = last_known(centers(found, objects))
    else:
        slots = matched_slots(truth[:, :first], found[:, :first], objects=objects)
        every = last_known(centers(found, max(objects, int(found.max()))))
        place = (slots.clamp(min=1) - 1)[:, None, :, None].expand(-1, truth.shape[1], -1, 2)
        made = every.gather(2, place).masked_fill((slots < 1)[:, None, :, None], torch.nan)
    sides = torch.tensor([h, w], dtype=torch.float64, device=truth.device) / (h**2 + w**2) ** 0.5
    squared = ((real - made) * sides).square().sum(-1)[:, first:]
    return {"position_error": squared.flatten(1).nanmean(1).sqrt()}


def joined(parts: Sequence[tuple[int, Values]]) -> dict[str, Tensor]:
    """Scores of batches of some videos as one value per video, nan where a score could not judge it."""
    names = dict.fromkeys(name for _, part in parts for name in part)
    return {
        name: torch.cat(
            [
                part[name].cpu() if name in part else torch.full((count,), torch.nan, dtype=torch.float64)
                for count, part in parts
            ]
        )
        for name in names
    }


def averaged(values: Values) -> Scores:
    """Mean of every score over the videos that it could judge; scores that judged none are left out."""
    return {name: float(each.nanmean()) for name, each in values.items() if not each.isnan().all()}
