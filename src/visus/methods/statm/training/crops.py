"""Random crops: one rectangle for all frames of a clip."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional as F

from visus.methods.statm.training.inputs import Inputs, ids_of

LEAST_AREA = 0.08
"""Share of the picture that a rectangle has before it is asked how much it covers."""
NARROWEST, WIDEST = 3 / 4, 4 / 3
"""Width over height, in pixels."""
ATTEMPTS = 100


def cropped(inputs: Inputs, *, least: float, generator: torch.Generator) -> Inputs:
    """Every clip cut to one rectangle in all its frames and resized back, with its flow and its hints.

    The rectangle keeps at least the share `least` of the picture. Colors, flow and depth are interpolated
    linearly, masks take the nearest pixel, flow is in pixels of the new size. Boxes are cut to the rectangle;
    objects outside are absent from then on.

    Paper: 2403.15245 trains its larger model as SAVi++ (2206.07764) does, whose reference crops so.
    """
    size = (inputs.video.shape[-2], inputs.video.shape[-1])
    windows = rectangles(len(inputs.video), size, least, generator=generator).to(inputs.video.device)
    sides = windows.new_tensor(size)
    start, span = windows[:, :2] / sides, (windows[:, 2:] - windows[:, :2]) / sides
    hints, present = _cropped_hints(inputs, windows, start, span)
    flow = _cut(inputs.flow, windows)
    return Inputs(
        video=_cut(inputs.video, windows),
        hints=hints,
        present=present,
        flow=None if flow is None else flow / span.view(-1, 1, 2, 1, 1),
        depth=_cut(inputs.depth, windows),
    )


def rectangles(
    count: int, size: tuple[int, int], least: float, *, generator: torch.Generator
) -> Integer[Tensor, "b 4"]:
    """Random [top, left, bottom, right] in whole pixels, the last two not included.

    The aspect is uniform in 3/4..4/3, the height uniform among those with which the rectangle has at least
    `LEAST_AREA` of the picture and fits into it, the place uniform. The first of 100 attempts that covers at
    least the share `least` is taken, and the whole picture if none does.

    Method: TensorFlow's `sample_distorted_bounding_box` with the picture as the object to be covered. As there,
    a rectangle that is smaller than the picture never touches its last row or column.
    """
    h, w = size
    draws = torch.rand(4, count, ATTEMPTS, generator=generator, dtype=torch.float64)
    aspect = NARROWEST + (WIDEST - NARROWEST) * draws[0]
    tallest = ((w + 0.5 - 1e-7) / aspect).floor().clamp(max=h)
    lowest = torch.minimum((LEAST_AREA * h * w / aspect).sqrt().round(), tallest)
    height = lowest + (draws[1] * (tallest - lowest + 1)).floor()
    width = (height * aspect).round()
    top, left = (draws[2] * (h - height)).floor(), (draws[3] * (w - width)).floor()
    fits = (height * width >= max(least, LEAST_AREA) * h * w) & (height > 0) & (width > 0)
    first = fits.int().argmax(1, keepdim=True)
    made = torch.stack([top, left, top + height, left + width], dim=-1).long()
    chosen = made.gather(1, first[..., None].expand(-1, -1, 4))[:, 0]
    return torch.where(fits.any(1, keepdim=True), chosen, torch.tensor([0, 0, h, w]))


def _cut(frames: Any, windows: Integer[Tensor, "b 4"]) -> Any:
    """Frames (b, t, c, h, w) inside the windows, on the same grid; nothing outside a window is looked at."""
    if frames is None:
        return None
    b, t, _, h, w = frames.shape
    y, x = (
        _places(windows[:, first], windows[:, first + 2], side).to(frames.dtype) / side
        for first, side in ((0, h), (1, w))
    )
    grid = torch.stack([x[:, None, :].expand(b, h, w), y[:, :, None].expand(b, h, w)], dim=-1) * 2 - 1
    found = F.grid_sample(
        frames.flatten(0, 1),
        grid.repeat_interleave(t, 0),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return found.unflatten(0, (b, t))


def _places(low: Integer[Tensor, " b"], high: Integer[Tensor, " b"], side: int) -> Float[Tensor, "b s"]:
    """Where along an axis the middles of the `side` new pixels lie, in old pixels."""
    steps = (torch.arange(side, device=low.device, dtype=torch.float64) + 0.5) / side
    places = low[:, None] + steps * (high - low)[:, None]
    return places.clamp(low[:, None] + 0.5, high[:, None] - 0.5)


def _cropped_hints(inputs: Inputs, windows: Tensor, start: Tensor, span: Tensor) -> tuple[Any, Any]:
    hints, present = inputs.hints, inputs.present
    if hints is None or present is None:
        return hints, present
    if "boxes" in hints:
        low, high = (hints["boxes"][..., part] for part in (slice(2), slice(2, 4)))
        moved = torch.cat([(edge - start[:, None]) / span[:, None] for edge in (low, high)], -1).clamp(0, 1)
        present = present & ((moved[..., 2:] - moved[..., :2]) > 0).all(-1)
        return {"boxes": torch.where(present[..., None], moved, 0.0)}, present
    if "points" in hints:
        moved = (hints["points"] - start[:, None]) / span[:, None]
        present = present & ((moved >= 0) & (moved <= 1)).all(-1)
        return {"points": torch.where(present[..., None], moved, -1.0)}, present
    ids = hints["masks"]
    y, x = (
        _places(windows[:, first], windows[:, first + 2], ids.shape[first + 1]).long() for first in (0, 1)
    )
    item = torch.arange(len(ids), device=ids.device).view(-1, 1, 1)
    cut = ids[item, y[:, :, None], x[:, None, :]]
    shown = (cut[:, None] == ids_of(present.shape[1], cut)).flatten(2).any(-1)
    return {"masks": cut}, present & shown
