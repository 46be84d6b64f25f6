"""Into the future without seeing: predicted slots are remembered as if they had been seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError
from visus.methods.statm.model.predictors import Predictor
from visus.methods.statm.model.video import SlotVideo, VideoState


class Future(NamedTuple):
    """The frames to come: `slots` (b, s, k, d), `state` after them, and decoded `output` (b, s, c, h, w) and
    alpha `logits` (b, s, k, h, w), None where not asked for.
    """

    slots: Tensor
    state: VideoState
    output: Tensor | None = None
    logits: Tensor | None = None


def burn_in(predictor: Predictor, slots: Float[Tensor, "b t k d"]) -> VideoState:
    """The state of a predictor that has seen the slots of these frames; for one that did not follow the video
    itself, such as one trained for roll-outs on the slots of a frozen model.
    """
    batch, frames, count, _ = slots.shape
    memory = predictor.start(batch, count, device=slots.device, dtype=slots.dtype)
    predicted, memory = predictor.advance(slots, memory)
    return VideoState(predicted[:, -1], memory, frames)


def roll_slots(
    predictor: Predictor, state: VideoState, steps: int
) -> tuple[Float[Tensor, "b s k d"], VideoState]:
    """The slots of the next `steps` frames, and the state from which it goes on.

    p_(t+1) = predictor(p_t, memory with p_t); the first frame's slots are the state's own.

    Paper: SlotFormer 2210.05861, sec. 3.2, with the memory of 2403.15245: every prediction enters it.
    """
    if steps < 1:
        raise InputError(f"is {steps}", field="steps", remedy="choose 1 or more frames")
    slots, memory = state.slots, state.memory
    made = []
    for _ in range(steps):
        made.append(slots)
        slots, memory = predictor(slots, memory)
    return torch.stack(made, dim=1), VideoState(slots, memory, state.frame + steps)


def rollout(model: SlotVideo, state: VideoState, steps: int, *, predictor: Predictor | None = None) -> Future:
    """Slots and pictures of the next `steps` frames.

    Parameters
    ----------
    state : of `model` after the frames that were seen; of `predictor` (see `burn_in`) where one is given.
    predictor : what rolls out, where it is not the model's own.
    """
    slots, state = roll_slots(model.predictor if predictor is None else predictor, state, steps)
    decoded = model.decode(slots)
    return Future(slots, state, decoded.output, decoded.logits)
