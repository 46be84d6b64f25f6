"""Whether slots stay with their objects: identity, re-appearance, and the scores of video object segmentation.

Maps of ids and their meaning: see `visus.metrics.segmentation`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from visus.errors import InputError
from visus.metrics.segmentation import Matching, foreground_ari, matched_slots, overlaps


class IdentitySwitches(NamedTuple):
    """How often objects changed their slot, per video."""

    count: Float[Tensor, " b"]
    chances: Float[Tensor, " b"]
    """Pairs of consecutive frames that show the same object."""
    count_after_gap: Float[Tensor, " b"]
    """Switches across frames in which the object was not to be seen."""
    chances_after_gap: Float[Tensor, " b"]

    @property
    def rate(self) -> Float[Tensor, " b"]:
        """Switches per chance; nan without a chance."""
        return self.count / self.chances

    @property
    def rate_after_gap(self) -> Float[Tensor, " b"]:
        """Switches per gap; nan without a gap."""
        return self.count_after_gap / self.chances_after_gap


class LostFrames(NamedTuple):
    """How often an object that came back was not with its own slot, per video."""

    count: Float[Tensor, " b"]
    chances: Float[Tensor, " b"]
    """Pairs of an object and a frame that shows it after it had been hidden."""

    @property
    def share(self) -> Float[Tensor, " b"]:
        """Lost frames per chance; nan without a chance."""
        return self.count / self.chances


class JAndF(NamedTuple):
    """Region and boundary similarity per video."""

    region: Float[Tensor, " b"]
    boundary: Float[Tensor, " b"]

    @property
    def mean(self) -> Float[Tensor, " b"]:
        """J&F, the mean of the two."""
        return (self.region + self.boundary) / 2


def reappeared(visibility: Integer[Tensor, "b t m"], *, least: int = 1) -> Bool[Tensor, "b t m"]:
    """Frames in which an object is visible (`least` pixels or more) that had been visible, then hidden.

    >>> reappeared(torch.tensor([[[0], [9], [0], [9], [9]]])).flatten().tolist()
    [False, False, False, True, True]
    """
    visible = visibility >= least
    seen = visible.int().cummax(1).values.bool()
    lost = (seen & ~visible).int().cummax(1).values.bool()
    return visible & lost


def reappearance_ari(
    truth: Integer[Tensor, "b t h w"],
    predicted: Integer[Tensor, "b t h w"],
    visibility: Integer[Tensor, "b t m"],
    *,
    scope: Literal["frames", "tracks"] = "frames",
    least: int = 1,
) -> Float[Tensor, " b"]:
    """Foreground ARI where it needs memory; nan for a video in which nothing re-appears.

    Parameters
    ----------
    truth, predicted : maps of ids.
    visibility : visible pixels of every object in every frame.
    scope : `frames`: all objects, in frames that show one which has re-appeared; `tracks`: only objects that
        re-appear, in all frames that show them, so that a new slot after the gap costs even where no other
        object had it.
    least : pixels that make an object visible.
    """
    back = reappeared(visibility, least=least)
    if scope == "frames":
        counted = back.any(2, keepdim=True).expand_as(back)
    elif scope == "tracks":
        counted = back.any(1, keepdim=True).expand_as(back)
    else:
        raise InputError(f"is {scope!r}", field="scope", remedy="choose frames or tracks")
    return foreground_ari(truth, predicted, counted=counted)


def identity_switches(
    truth: Integer[Tensor, "b t h w"],
    predicted: Integer[Tensor, "b t h w"],
    *,
    objects: int | None = None,
    background: int | None = None,
    least: int = 1,
) -> IdentitySwitches:
    """Changes of the slot that shares most pixels with an object, from one frame that shows it to the next.

    As in multi-object tracking, hidden frames are passed over: the object that comes back is compared with
    the one last seen. Of equal overlaps the slot held before is kept, else the lowest number counts.

    Parameters
    ----------
    truth, predicted : maps of ids.
    objects : number of objects; the highest id where None.
    background : a slot that stands for no object. Frames in which it covers the object best are misses, not
        identities, and are passed over like hidden ones (but make no gap). None: every slot is an identity.
    least : pixels that make an object visible.

    Method: the identity switches of the CLEAR measures (Bernardin and Stiefelhagen, 2008). Differs: there
    a match needs an IoU of 0.5; a slot's greatest overlap needs no threshold.
    """
    table = overlaps(truth, predicted, objects=objects)[:, :, 1:]
    visible = table.sum(-1) >= least
    most = table.amax(-1)
    best = table.argmax(-1)
    held = torch.full_like(best[:, 0], -1)
    gap = torch.zeros_like(visible[:, 0])
    totals = torch.zeros(4, len(table), dtype=torch.float64, device=table.device)
    for t in range(table.shape[1]):
        shares = table[:, t].gather(2, held.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        slot = torch.where((held >= 0) & (shares == most[:, t]), held, best[:, t])
        matched = visible[:, t] if background is None else visible[:, t] & (slot != background)
        chance = matched & (held >= 0)
        switch = chance & (slot != held)
        totals += torch.stack([event.sum(1) for event in (switch, chance, switch & gap, chance & gap)])
        held = torch.where(matched, slot, held)
        gap = torch.where(matched, False, gap | (~visible[:, t] & (held >= 0)))
    return IdentitySwitches(*totals)


def lost_after_gap(
    truth: Integer[Tensor, "b t h w"],
    predicted: Integer[Tensor, "b t h w"],
    *,
    least: int = 1,
) -> LostFrames:
    """Frames that show an object which had been hidden, and in which another slot has more of it than its own.

    Slot i + 1 is object i's own; the background's slot counts as another one. Unlike an identity switch, which
    counts once, an object is lost for as long as it is not found.

    Parameters
    ----------
    truth, predicted : maps of ids.
    least : pixels that make an object visible.
    """
    table = overlaps(truth, predicted)[:, :, 1:]
    objects = torch.arange(table.shape[2], device=table.device)
    back = reappeared(table.sum(-1), least=least)
    lost = back & (table[:, :, objects, objects + 1] < table.amax(-1))
    return LostFrames(*(found.flatten(1).sum(1).double() for found in (lost, back)))


def region_similarity(
    truth: Bool[Tensor, "*n h w"], predicted: Bool[Tensor, "*n h w"]
) -> Float[Tensor, " *n"]:
    """J of DAVIS: intersection over union of two masks; 1 where both are empty.

    Method: Perazzi et al., CVPR 2016, sec. 4.1.
    """
    shared, either = (truth & predicted).sum((-2, -1)), (truth | predicted).sum((-2, -1))
    return torch.where(either == 0, 1.0, shared.double() / either.clamp(min=1))


def boundary_similarity(
    truth: Bool[Tensor, "*n h w"], predicted: Bool[Tensor, "*n h w"], *, tolerance: float = 0.008
) -> Float[Tensor, " *n"]:
    """F of DAVIS: harmonic mean of precision and recall of the boundary pixels of two masks.

    A boundary pixel is found if the other boundary passes within `tolerance` diagonals of the picture,
    rounded up to pixels (a disk); from 1 on `tolerance` is in pixels. 1 where neither mask has a boundary, 0
    where one has not.

    Method: Perazzi et al., CVPR 2016, sec. 4.2; the boundary map and the dilation are those of the benchmark's
    published evaluation.
    """
    if tolerance <= 0:
        raise InputError(f"is {tolerance}", field="tolerance", remedy="give a positive number")
    h, w = truth.shape[-2:]
    radius = math.ceil(tolerance * math.hypot(h, w)) if tolerance < 1 else round(tolerance)
    edges = [_boundary(mask.reshape(-1, h, w)) for mask in (truth, predicted)]
    near = [_dilate(edge, radius) for edge in edges]
    sizes = [edge.sum((1, 2)).double() for edge in edges]
    recall = (edges[0] & near[1]).sum((1, 2)) / sizes[0].clamp(min=1)
    precision = (edges[1] & near[0]).sum((1, 2)) / sizes[1].clamp(min=1)
    both = precision + recall
    score = torch.where(both == 0, 0.0, 2 * precision * recall / torch.where(both == 0, 1.0, both))
    return torch.where((sizes[0] == 0) & (sizes[1] == 0), 1.0, score).view(truth.shape[:-2])


def j_and_f(
    truth: Integer[Tensor, "b t h w"],
    predicted: Integer[Tensor, "b t h w"],
    *,
    matching: Matching = "conditioned",
    skip_ends: bool = False,
    tolerance: float = 0.008,
) -> JAndF:
    """Region (J) and boundary (F) similarity, mean over frames, then over the objects of a video.

    Parameters
    ----------
    truth, predicted : maps of ids.
    matching : which slot stands for an object, chosen over the whole video (see `object_iou`).
    skip_ends : leave out the first frame, which is given, and the last, as the benchmark with given first
        masks does.
    tolerance : see `boundary_similarity`.

    A frame in which neither the object nor its slot is to be seen counts as 1. An object that is absent from
    every frame is left out; nan for a video without objects.
    """
    slots = matched_slots(truth, predicted, matching=matching)
    if skip_ends:
        if truth.shape[1] < 3:
            raise InputError(f"has {truth.shape[1]} frames", field="truth", remedy="give three or more")
        truth, predicted = truth[:, 1:-1], predicted[:, 1:-1]
    scores = torch.full((2, *slots.shape), torch.nan, dtype=torch.float64, device=truth.device)
    for i in range(slots.shape[1]):
        present = (truth == i + 1).flatten(1).any(1)
        real = truth == i + 1
        found = predicted == slots[:, i].view(-1, 1, 1, 1)
        region = region_similarity(real, found).mean(1)
        boundary = boundary_similarity(real, found, tolerance=tolerance).mean(1)
        scores[:, :, i] = torch.where(present, torch.stack([region, boundary]), torch.nan)
    return JAndF(*scores.nanmean(-1))


def _boundary(mask: Bool[Tensor, "n h w"]) -> Bool[Tensor, "n h w"]:
    """Pixels that differ from their right, lower or lower right neighbor, where there is one."""
    edge = torch.zeros_like(mask)
    edge[:, :, :-1] |= mask[:, :, :-1] ^ mask[:, :, 1:]
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:, :-1, :-1] |= mask[:, :-1, :-1] ^ mask[:, 1:, 1:]
    return edge


def _dilate(mask: Bool[Tensor, "n h w"], radius: int) -> Bool[Tensor, "n h w"]:
    """Pixels within `radius` of a pixel of the mask; shifts of booleans, far cheaper than a convolution."""
    h, w = mask.shape[1:]
    wide = functional.pad(mask, (radius, radius, radius, radius))
    near = torch.zeros_like(mask)
    for y in range(-radius, radius + 1):
        reach = math.isqrt(radius**2 - y**2)
        for x in range(-reach, reach + 1):
            near |= wide[:, radius + y : radius + y + h, radius + x : radius + x + w]
    return near
