"""From clips as data give them to what the network reads: frames, hints about the first of them, targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional as F

from visus.errors import InputError
from visus.metrics.detection import box_iou
from visus.protocols import Batch

HintKind = Literal["boxes", "points", "masks", "none"]

ROUNDING = 1e-3
"""How far beyond 0..1 a box may reach by rounding."""


@dataclass(frozen=True)
class Inputs:
    """Clips on the network's grid. `hints` is what the slots start from, None for nothing."""

    video: Float[Tensor, "b t 3 h w"]
    hints: dict[str, Tensor] | None
    present: Bool[Tensor, "b m"] | None
    """Which of the hinted objects exist; the slots of the others are further ones of the background."""
    flow: Float[Tensor, "b t 2 h w"] | None = None
    depth: Float[Tensor, "b t 1 h w"] | None = None


def as_inputs(
    batch: Batch,
    *,
    size: tuple[int, int],
    hint: HintKind,
    objects: int,
    device: torch.device | None = None,
) -> Inputs:
    """Read a batch of clips.

    Parameters
    ----------
    batch : `video` (b, t, 3, h, w) uint8, and what the hints need of `boxes`, `points` (b, m, 2) as (y, x) in
        0..1, `segmentation`; `backward_flow` and `depth` where there are.
    size : rows and columns to resize to.
    hint : what the slots start from.
    objects : objects with a slot; further ones are dropped.

    Raises
    ------
    InputError : no frames of three colors, or hints that are absent or wrong; names the videos if they have names.
    """
    video = frames_of(batch)
    clips = {
        key: batch[key].to(device) for key in ("backward_flow", "depth") if isinstance(batch.get(key), Tensor)
    }
    hints, present = None, None
    if hint != "none":
        hints, present = hints_of(batch, hint, objects=objects, size=size)
        hints, present = {key: value.to(device) for key, value in hints.items()}, present.to(device)
    flow = clips.get("backward_flow")
    depth = clips.get("depth")
    return Inputs(
        video=resize_frames(video.to(device).float() / 255, size),
        hints=hints,
        present=present,
        flow=None if flow is None else resize_flow(flow.float(), size),
        depth=None if depth is None else resize_fields(depth.float(), size),
    )


def frames_of(batch: Batch) -> Integer[Tensor, "b t 3 h w"]:
    """The frames of a batch.

    Raises
    ------
    InputError : there are none, or they have another form.
    """
    video = batch.get("video")
    if video is None:
        raise InputError("is absent", field="video", remedy="give clips with the field video")
    if not isinstance(video, Tensor) or video.ndim != 5 or video.shape[2] != 3 or video.dtype != torch.uint8:
        told = f"{video.dtype} {tuple(video.shape)}" if isinstance(video, Tensor) else type(video).__name__
        raise InputError(
            f"is {told}, expected bytes of shape (b, t, 3, h, w)",
            field="video",
            remedy="give frames of three colors, 0 to 255",
        )
    if 0 in video.shape:
        raise InputError(f"has shape {tuple(video.shape)}", field="video", remedy="give at least one frame")
    return video


# ---- sizes ------------------------------------------------------------------------------------------------


def resize_frames(frames: Float[Tensor, "b t c h w"], size: tuple[int, int]) -> Float[Tensor, "b t c y x"]:
    """Bilinear, averaged where it gets smaller."""
    if frames.shape[-2:] == size:
        return frames
    flat = F.interpolate(frames.flatten(0, 1), size=size, mode="bilinear", antialias=True)
    return flat.unflatten(0, frames.shape[:2])


def resize_fields(fields: Float[Tensor, "b t c h w"], size: tuple[int, int]) -> Float[Tensor, "b t c y x"]:
    """The value at the middle of every new pixel: a mean over an edge would belong to neither side."""
    if fields.shape[-2:] == size:
        return fields
    flat = F.interpolate(fields.flatten(0, 1), size=size, mode="nearest-exact")
    return flat.unflatten(0, fields.shape[:2])


def resize_flow(flow: Float[Tensor, "b t 2 h w"], size: tuple[int, int]) -> Float[Tensor, "b t 2 y x"]:
    """Motion in pixels of the new size."""
    if flow.shape[-2:] == size:
        return flow
    scale = flow.new_tensor([size[0] / flow.shape[-2], size[1] / flow.shape[-1]])
    return resize_fields(flow, size) * scale.view(2, 1, 1)


def resize_ids(ids: Integer[Tensor, "*n h w"], size: tuple[int, int]) -> Integer[Tensor, "*n y x"]:
    """The id at the middle of every new pixel."""
    if ids.shape[-2:] == size:
        return ids
    rows, columns = (
        ((torch.arange(new, device=ids.device) + 0.5) * old / new).long().clamp(max=old - 1)
        for new, old in zip(size, ids.shape[-2:])
    )
    return ids[..., rows[:, None], columns]


# ---- hints ------------------------------------------------------------------------------------------------


def hints_of(
    batch: Batch, hint: HintKind, *, objects: int, size: tuple[int, int]
) -> tuple[dict[str, Tensor], Bool[Tensor, "b m"]]:
    """What is known of the first frame, and which objects it shows.

    Boxes and points that the batch lacks are made from its segmentation, points from boxes, too.
    """
    masks = batch.get("segmentation")
    first = None if masks is None else masks[:, 0].masked_fill(masks[:, 0] > objects, 0)
    if hint == "masks":
        if first is None:
            raise _lacks(batch, "segmentation")
        present = (first[:, None] == ids_of(objects, first)).flatten(2).any(-1)
        return {"masks": resize_ids(first, size)}, present
    boxes = first_boxes(batch, objects, first)
    present = (boxes != 0).any(-1)
    if hint == "boxes":
        return {"boxes": boxes}, present
    points = batch.get("points")
    if points is not None:
        points = _padded(points.float(), objects, -1.0)
        return {"points": points}, (points >= 0).all(-1)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    return {"points": torch.where(present[..., None], centers, -1.0)}, present


def first_boxes(batch: Batch, objects: int, first: Integer[Tensor, "b h w"] | None) -> Float[Tensor, "b m 4"]:
    """The boxes of the first frame, as given or around its segments; zeros for objects it does not show."""
    given = batch.get("boxes")
    if given is None:
        if first is None:
            raise _lacks(batch, "boxes or segmentation")
        return boxes_around(first, objects)
    boxes = given[:, 0].float()
    check_boxes(boxes, first, names=_names(batch))
    return _padded(boxes, objects, 0.0)


def check_boxes(
    boxes: Float[Tensor, "b m 4"], segments: Integer[Tensor, "b h w"] | None, *, names: list[str]
) -> None:
    """Refuse boxes that are not [ymin, xmin, ymax, xmax] in 0..1.

    With the segmentation of the same frame it is also noticed that rows and columns were exchanged, and that
    an object to be seen has no box.

    Raises
    ------
    InputError : names the video and the object.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    order = "give ymin, xmin, ymax, xmax as shares of the picture's height and width"
    faults = [
        (~torch.isfinite(boxes).all(-1), "has a box that is not finite", "give numbers from 0 to 1"),
        ((boxes > 2).any(-1), "has a box in pixels", order),
        ((boxes < -ROUNDING).any(-1) | (boxes > 1 + ROUNDING).any(-1), "has a box outside of 0..1", order),
        ((low > high).any(-1), "has a box that ends before it begins", order),
    ]
    if segments is not None:
        exact = boxes_around(segments, boxes.shape[1])
        there, given = (exact != 0).any(-1), (boxes != 0).any(-1)
        faults.append((there & ~given, "has no box, but the first frame shows it", "give every object a box"))
        turned = paired_iou(boxes[..., [1, 0, 3, 2]], exact) > paired_iou(boxes, exact) + 0.2
        swapped = (turned | ~there).all(-1) & there.any(-1)
        faults.append((swapped[:, None] & there, "has a box with rows and columns exchanged", order))
    for wrong, problem, remedy in faults:
        if wrong.any():
            item, one = (int(place) for place in wrong.nonzero()[0])
            where = f"video {names[item]}, object {one + 1}" if names else f"object {one + 1} of item {item}"
            raise InputError(problem, field=where, remedy=remedy)


def boxes_around(ids: Integer[Tensor, "*n h w"], objects: int) -> Float[Tensor, "*n m 4"]:
    """The box [ymin, xmin, ymax, xmax] in 0..1 around the pixels of id i + 1, zeros where it has none.

    >>> boxes_around(torch.tensor([[0, 1], [0, 1]]), 2).tolist()
    [[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    each = ids.unsqueeze(-3) == ids_of(objects, ids)
    edges = []
    for lines in (each.any(-1), each.any(-2)):
        count = lines.shape[-1]
        first = lines.int().argmax(-1)
        last = count - lines.flip(-1).int().argmax(-1)
        edges.append((first / count, last / count))
    (top, bottom), (left, right) = edges
    boxes = torch.stack([top, left, bottom, right], dim=-1)
    return torch.where(each.flatten(-2).any(-1, keepdim=True), boxes, 0.0)


def ids_of(objects: int, like: Tensor) -> Integer[Tensor, "m 1 1"]:
    """1, ..., m, to be compared with maps of ids."""
    return torch.arange(1, objects + 1, device=like.device).view(objects, 1, 1)


def paired_iou(one: Float[Tensor, "*n 4"], other: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n"]:
    """Intersection over union of each box with the box at the same place; 0 for two without area."""
    return box_iou(one.unsqueeze(-2), other.unsqueeze(-2))[..., 0, 0]


def _padded(values: Tensor, count: int, fill: float) -> Tensor:
    """Values (b, n, c) cut or filled up to `count` objects."""
    return F.pad(values[:, :count], (0, 0, 0, max(0, count - values.shape[1])), value=fill)


def _names(batch: Batch) -> list[str]:
    return [str(name) for name in batch.get("name", [])]


def _lacks(batch: Batch, fields: str) -> InputError:
    names = _names(batch)
    return InputError(
        f"lacks {fields}, but the slots start from the objects of the first frame",
        field=f"video {names[0]}" if names else "data",
        remedy=f"give {fields}, or fit with init=none",
    )
