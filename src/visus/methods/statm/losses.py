"""What is decoded from slots, and how far off it is: flow as colors, depth, squared errors, roll-outs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError

Target = Literal["flow", "depth", "rgb"]
CHANNELS: dict[Target, int] = {"flow": 3, "depth": 1, "rgb": 3}
"""Channels of each target."""

FLOW_SCALE = 50.0
"""Flow saturates its color at 1/50 of the picture's diagonal."""


def hsv_to_rgb(hsv: Float[Tensor, "*n 3 h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Hue (a full turn is 1), saturation and value, all in 0..1, to red, green and blue in 0..1.

    channel = v (1 - s + s clip(...)), with the pure hue's red |6h - 3| - 1, green 2 - |6h - 2| and blue
    2 - |6h - 4|, each clipped to 0..1.
    """
    hue, saturation, value = hsv.unbind(-3)
    turned = 6.0 * hue
    pure = torch.stack([(turned - 3).abs() - 1, 2 - (turned - 2).abs(), 2 - (turned - 4).abs()], dim=-3)
    saturation, value = saturation.unsqueeze(-3), value.unsqueeze(-3)
    return value * (1 - saturation + saturation * pure.clamp(0, 1))


def flow_to_rgb(flow: Float[Tensor, "*n 2 h w"], *, quantize: bool = True) -> Float[Tensor, "*n 3 h w"]:
    """Motion as a color: its direction is the hue, its size the saturation; what rests is white.

    hue = (atan2(y, x) / pi + 1) / 2, saturation = min(1, 50 |f| / sqrt(h^2 + w^2)), value = 1, then bytes.

    Paper: SAVi 2111.12594, sec. 4 (the target of its flow models). The reference takes channel 0 for x and
    channel 1 for y although MOVi stores (row, column); colors would turn otherwise, so this is kept:
    a motion down the picture has hue 0.5, one to the right 0.75.

    Parameters
    ----------
    flow : in pixels of its own grid; channel 0 is the delta of the row, channel 1 of the column.
    quantize : round as a picture of bytes does, floor(255.5 value) / 255.

    >>> flow_to_rgb(torch.zeros(2, 1, 1)).flatten().tolist()
    [1.0, 1.0, 1.0]
    """
    if flow.ndim < 3 or flow.shape[-3] != 2:
        raise InputError(
            f"has shape {tuple(flow.shape)}, expected (..., 2, height, width)",
            field="flow",
            remedy="give the deltas of row and column as two channels",
        )
    x, y = flow.unbind(-3)
    hue = (torch.atan2(y, x) / math.pi + 1) / 2
    saturation = torch.hypot(x, y) * (FLOW_SCALE / math.hypot(*flow.shape[-2:]))
    rgb = hsv_to_rgb(torch.stack([hue, saturation.clamp(max=1), torch.ones_like(hue)], dim=-3))
    return (rgb * 255.5).floor().clamp(max=255) / 255 if quantize else rgb


def depth_target(depth: Float[Tensor, "*n 1 h w"]) -> Float[Tensor, "*n 1 h w"]:
    """log(1 + depth). Paper: SAVi++ 2206.07764, sec. 3."""
    return depth.log1p()


def frame_targets(
    targets: Sequence[Target],
    *,
    video: Float[Tensor, "b t 3 h w"] | None = None,
    flow: Float[Tensor, "b t 2 h w"] | None = None,
    depth: Float[Tensor, "b t 1 h w"] | None = None,
) -> Float[Tensor, "b t c h w"]:
    """What a decoder with these targets should give, their channels one after the other.

    Parameters
    ----------
    targets : of `flow` (backward flow as colors), `depth` (log(1 + depth)) and `rgb` (the frames, 0..1).

    Raises
    ------
    InputError : a target is unknown or what it is made of is absent.
    """
    given = {"flow": flow, "depth": depth, "rgb": video}
    made = []
    for name in targets:
        if name not in given:
            remedy = "choose from " + ", ".join(get_args(Target))
            raise InputError(f"{name!r} is unknown", field="targets", remedy=remedy)
        value = given[name]
        if value is None:
            raise InputError("is absent", field=name, remedy=f"give it, or leave {name} out of the targets")
        made.append(
            flow_to_rgb(value) if name == "flow" else depth_target(value) if name == "depth" else value
        )
    if not made:
        raise InputError("is empty", field="targets", remedy="give at least one")
    return torch.cat(made, dim=2)


def squared_error(
    decoded: Float[Tensor, "b t c h w"], target: Float[Tensor, "b t c h w"]
) -> Float[Tensor, " b"]:
    """Sum of squared errors over frames, channels and pixels of every clip; training takes their mean.

    Paper: SAVi 2111.12594, sec. 3; the reference of 2403.15245 weighs every target with 1.
    """
    return (decoded - target).square().flatten(1).sum(1)


def rollout_losses(
    predicted: Float[Tensor, "b t k d"],
    slots: Float[Tensor, "b t k d"],
    decoded: Float[Tensor, "b t c h w"] | None = None,
    target: Float[Tensor, "b t c h w"] | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """How far a roll-out is from the slots and frames that came: mean squared error of every clip.

    Paper: SlotFormer 2210.05861, sec. 3.3 (slots and frames, both with weight 1), which 2403.15245 follows.

    Parameters
    ----------
    slots : of the frames that came, from the frozen extractor: no gradient goes there.

    Returns
    -------
    {"slots": (b,)} and, with `decoded` and `target`, "frames": (b,).
    """
    losses = {"slots": (predicted - slots.detach()).square().flatten(1).mean(1)}
    if decoded is not None and target is not None:
        losses["frames"] = (decoded - target).square().flatten(1).mean(1)
    return losses
