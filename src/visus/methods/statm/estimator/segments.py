"""From what slots paint to maps of objects and boxes around them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F

from visus.methods.statm.training.inputs import boxes_around


class Segments(NamedTuple):
    """Frames of b videos, divided among their slots.

    `segmentation` 0 is the background and i + 1 object i; where nothing was known of the first frame, i + 1 is
    slot i and nothing is 0. `boxes` are [ymin, xmin, ymax, xmax] in 0..1 around the segments, zeros for none.
    """

    segmentation: UInt8[Tensor, "b t h w"]
    boxes: Float[Tensor, "b t m 4"]
    slots: Float[Tensor, "b t k d"]
    output: Float[Tensor, "b t c y x"]
    """What was decoded, on the network's grid."""


def divide(
    logits: Float[Tensor, "b t k y x"],
    present: Bool[Tensor, "b m"] | None,
    size: tuple[int, int],
) -> tuple[UInt8[Tensor, "b t h w"], Float[Tensor, "b t m 4"]]:
    """Every pixel to the slot with the greatest alpha, on a grid of `size`; and boxes around the segments.

    `present` says which hinted objects exist: the slots of the others started as further backgrounds and count
    as such. None: every slot counts. Frames are done one by one, so that memory is that of one frame.
    """
    b, t, k = logits.shape[:3]
    number = ids_of_slots(present, b, k, logits.device)
    objects = k if present is None else k - 1
    maps, boxes = [], []
    for frame in range(t):
        at = logits[:, frame].float()
        if at.shape[-2:] != size:
            at = F.interpolate(at, size=size, mode="bilinear")
        ids = number.gather(1, at.argmax(1).flatten(1)).view(b, *size)
        maps.append(ids.to(torch.uint8))
        boxes.append(boxes_around(ids, objects))
    return torch.stack(maps, 1), torch.stack(boxes, 1).float()


def ids_of_slots(
    present: Bool[Tensor, "b m"] | None, batch: int, slots: int, device: torch.device
) -> Integer[Tensor, "b k"]:
    """The id that each slot's pixels get.

    >>> ids_of_slots(torch.tensor([[True, False]]), 1, 3, torch.device("cpu")).tolist()
    [[0, 1, 0]]
    """
    if present is None:
        return torch.arange(1, slots + 1, device=device).expand(batch, slots)
    numbers = torch.arange(1, slots, device=device) * present
    return F.pad(numbers, (1, 0))


def centers(ids: Integer[Tensor, "b t h w"], objects: int) -> Float[Tensor, "b t m 2"]:
    """Mean (y, x) of the pixels of id i + 1, in shares of the height and the width; nan for no pixel.

    >>> centers(torch.tensor([[[[1, 1]]]]), 1).tolist()
    [[[[0.5, 0.5]]]]
    """
    h, w = ids.shape[-2:]
    each = (ids.unsqueeze(2) == torch.arange(1, objects + 1, device=ids.device).view(-1, 1, 1)).double()
    y = (torch.arange(h, device=ids.device, dtype=torch.float64) + 0.5) / h
    x = (torch.arange(w, device=ids.device, dtype=torch.float64) + 0.5) / w
    count = each.sum((-2, -1))
    sums = torch.stack([(each.sum(-1) * y).sum(-1), (each.sum(-2) * x).sum(-1)], dim=-1)
    return sums / count.unsqueeze(-1).masked_fill(count.unsqueeze(-1) == 0, torch.nan)


def last_known(places: Float[Tensor, "b t m c"]) -> Float[Tensor, "b t m c"]:
    """Every missing (nan) place replaced by the one before it; nan only where there has been none."""
    found = [places[:, 0]]
    for frame in range(1, places.shape[1]):
        now = places[:, frame]
        found.append(torch.where(now.isnan(), found[-1], now))
    return torch.stack(found, 1)
