"""From pictures of any size to what the network reads, and from its maps back to the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.gaze.placement import Placement
from visus.data.gaze.table import GazeTable, View
from visus.data.image_table import resize, scaled_tensor
from visus.data.loader import Tensors, iterate
from visus.errors import InputError
from visus.protocols import Batch, Source

LUMINANCE = (0.299, 0.587, 0.114)
ROUNDING = 1e-3


def pictures(
    inputs: Batch | Source, view: View, batch_size: int
) -> Iterator[tuple[Batch, Float[Tensor, "b 1 h w"], list[Placement]]]:
    """Batches with their images brought to the view, and where every picture lies in it.

    A batch (dict with `image`), a `GazeTable` (which is seen through `view`), or any other source of `image`.

    Raises
    ------
    InputError : `image` is missing, has another shape, or values that are no brightness in 0..1.
    """
    source: Any = inputs
    if isinstance(inputs, dict):
        kept = {name: value for name, value in inputs.items() if _per_item(value)}
        image(kept)  # a missing image is told before lengths are compared
        source = Tensors(kept)
    table = source.viewed(view) if isinstance(source, GazeTable) else None
    done = 0
    for batch in iterate(table or source, batch_size):
        given = image(batch)
        high, wide = given.shape[-2:]
        if table is not None:
            places = [table.placement(i) for i in range(done, done + len(given))]
            yield batch, given, places
        else:
            place = Placement.of((high, wide), view.image_size, view.fit)
            yield batch, place.picture(given), [place] * len(given)
        done += len(given)


def image(batch: Batch) -> Float[Tensor, "b 1 h w"]:
    """The field `image` as one gray channel in 0..1; color is weighed by luminance.

    Raises
    ------
    InputError : no such field, another shape, values that are not finite or not in 0..1.
    """
    if "image" not in batch:
        known = ", ".join(batch) or "no field"
        raise InputError(f"is missing (there are {known})", field="image", remedy="give `image` (b, 1, h, w)")
    given = torch.as_tensor(batch["image"])
    if given.ndim != 4 or given.shape[1] not in (1, 3):
        remedy = "give gray pictures (b, 1, h, w) or color ones (b, 3, h, w)"
        raise InputError(f"has shape {tuple(given.shape)}", field="image", remedy=remedy)
    values = scaled_tensor(given)
    for fault, wrong in (
        ("values that are not finite", ~torch.isfinite(values)),
        ("values outside 0..1", (values < -ROUNDING) | (values > 1 + ROUNDING)),
    ):
        if bool(wrong.any()):
            item = int(wrong.flatten(1).any(1).nonzero()[0])
            remedy = "give brightness in 0..1, bright for dense"
            raise InputError(f"item {item} has {fault}", field="image", remedy=remedy)
    if values.shape[1] == 1:
        return values
    return (values * values.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def to_native(density: Float[Tensor, "h w"], placement: Placement) -> Float[Tensor, "high wide"]:
    """A density on the network's view as one on the picture itself, without the padding; sums to 1.

    >>> placement = Placement.of((40, 20), (8, 8), "pad")
    >>> found = to_native(torch.full((8, 8), 1 / 64), placement)
    >>> found.shape, round(float(found.sum()), 5)
    (torch.Size([40, 20]), 1.0)
    """
    rows = slice(placement.top, placement.top + placement.content[0])
    columns = slice(placement.left, placement.left + placement.content[1])
    enlarged = resize(density[None, None, rows, columns].double(), placement.native)[0, 0].clamp(min=0)
    total = enlarged.sum()
    even = torch.full_like(enlarged, 1 / enlarged.numel())
    return (enlarged / total if float(total) > 0 else even).to(density.dtype)


def _per_item(value: Any) -> bool:
    return isinstance(value, Tensor | Sequence) or hasattr(value, "__array__")
