"""What the readers of videos share: size, object ids, boxes of masks, whole numbers for real ones."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from visus.data.videos import Clip
from visus.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""


def as_size(size: int | Collection[int] | None) -> Size | None:
    """One side or (height, width) as a pair; None stays.

    >>> as_size(64)
    (64, 64)
    """
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
    if len(sides) != 2 or min(sides) < 1:
        raise InputError(f"must be one side or (height, width), got {size}", field="size")
    return sides[0], sides[1]


def resized_clip(clip: Clip, size: Size | None) -> Clip:
    """The clip with its pictures at another size.

    Color is interpolated linearly and smoothed first where it shrinks. Masks, flow and depth take the nearest
    pixel, since a mean over the edge of an object belongs to neither side. Flow, in pixels, is scaled with the
    sides. Visibility is counted again in the mask, or scaled with the area. Boxes and positions are relative
    and stay.
    """
    height, width = clip["video"].shape[-2:]
    if size is None or (height, width) == size:
        return clip
    made = dict(clip)
    made["video"] = F.interpolate(
        clip["video"], size=size, mode="bilinear", align_corners=False, antialias=True
    )
    for field in ("forward_flow", "backward_flow", "depth", "normal"):
        if field in clip:
            made[field] = F.interpolate(clip[field], size=size, mode="nearest-exact")
    scale = torch.tensor([size[0] / height, size[1] / width]).view(1, 2, 1, 1)
    for field in ("forward_flow", "backward_flow"):
        if field in clip:
            made[field] = made[field] * scale
    if "segmentation" in clip:
        mask = F.interpolate(clip["segmentation"][:, None], size=size, mode="nearest-exact")
        made["segmentation"] = mask[:, 0]
    if "visibility" in clip:
        if "segmentation" in clip:
            made["visibility"] = visible_pixels(made["segmentation"], clip["visibility"].shape[1])
        else:
            area = size[0] * size[1] / (height * width)
            made["visibility"] = (clip["visibility"] * area).round().long()
    return made


def instance_mask(ids: np.ndarray, most: int) -> UInt8[Tensor, "t h w"]:
    """Object ids as uint8; ids above `most` become background."""
    return torch.from_numpy(np.where((ids < 0) | (ids > most), 0, ids).astype(np.uint8))


def visible_pixels(segmentation: UInt8[Tensor, "t h w"], most: int) -> Int64[Tensor, "t m"]:
    """Pixels of each object in each frame.

    >>> visible_pixels(torch.tensor([[[0, 1], [2, 1]]], dtype=torch.uint8), 3)
    tensor([[2, 1, 0]])
    """
    counts = [
        torch.bincount(frame.flatten().long(), minlength=most + 1)[1 : most + 1] for frame in segmentation
    ]
    return torch.stack(counts)


def boxes_of(segmentation: UInt8[Tensor, "t h w"], most: int) -> Float32[Tensor, "t m 4"]:
    """Boxes around the masks: [ymin, xmin, ymax, xmax] in 0..1, the far edges of the last pixels included.

    >>> boxes_of(torch.tensor([[[0, 0], [0, 1]]], dtype=torch.uint8), 1)
    tensor([[[0.5000, 0.5000, 1.0000, 1.0000]]])
    """
    frames, height, width = segmentation.shape
    boxes = torch.zeros(frames, most, 4)
    for i in range(most):
        mask = segmentation == i + 1
        for axis, side in ((2, height), (1, width)):
            on = mask.any(dim=axis).float()
            first, last = on.argmax(dim=1), side - on.flip(1).argmax(dim=1)
            boxes[:, i, 0 if axis == 2 else 1] = first / side
            boxes[:, i, 2 if axis == 2 else 3] = last / side
        boxes[:, i] *= mask.flatten(1).any(dim=1, keepdim=True)
    return boxes


def padded(rows: np.ndarray, most: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "t m ..."]:
    """Values (objects, t, ...) as (t, most, ...), zeros where there are fewer objects."""
    rows = rows[:most]
    out = torch.zeros(rows.shape[1], most, *rows.shape[2:], dtype=dtype)
    out[:, : len(rows)] = torch.from_numpy(np.ascontiguousarray(np.moveaxis(rows, 0, 1))).to(dtype)
    return out


def chosen_fields(clip: Clip, fields: Collection[str] | None, *, file: Path, where: str) -> Clip:
    """The asked fields of a clip (`name` always); None keeps all.

    Raises
    ------
    InputError : a field is asked for that the data do not have.
    """
    if fields is None:
        return clip
    for field in fields:
        if field not in clip:
            there = ", ".join(sorted(clip))
            raise InputError(f"has no {field}", file=file, field=where, remedy=f"choose among: {there}")
    return {field: value for field, value in clip.items() if field in fields or field == "name"}


def quantized(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Real values as 16-bit levels and the least and greatest value; the reverse of `dequantized`."""
    low, high = float(values.min()), float(values.max())
    scale = 65535 / (high - low) if high > low else 0.0
    return np.rint((values.astype(np.float64) - low) * scale).astype(np.uint16), (low, high)


def dequantized(levels: np.ndarray, low: float, high: float) -> Float32[np.ndarray, "*axes"]:
    """Levels 0..65535 as values `low`..`high`.

    >>> dequantized(np.array([0, 65535]), -2, 3).tolist()
    [-2.0, 3.0]
    """
    return levels.astype(np.float32) * np.float32((high - low) / 65535) + np.float32(low)
