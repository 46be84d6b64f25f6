"""A model that follows videos piece by piece, with all it knows in an explicit state."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from visus.errors import InputError
from visus.methods.statm.estimator.segments import Segments, divide
from visus.methods.statm.model.predictors import Predictor
from visus.methods.statm.model.rollout import burn_in, rollout
from visus.methods.statm.model.video import SlotVideo, VideoState
from visus.methods.statm.training.inputs import Inputs, resize_frames


class Following:
    """Some videos of one size, followed from their first frames on.

    Pieces of any length give the segments of one pass over the whole: the slots that start the next frame and
    the memory are carried from piece to piece.

    Parameters
    ----------
    model : in evaluation mode.
    start : the first frames, of which only the hints are used.
    """

    def __init__(self, model: SlotVideo, start: Inputs, *, grid: tuple[int, int]) -> None:
        self.model, self.grid = model, grid
        self.hints, self.present = start.hints, start.present
        self.state: VideoState | None = None

    @torch.no_grad()
    def push(self, frames: Integer[Tensor, "b t 3 h w"]) -> Segments:
        """Segments of the next frames, on their own grid."""
        device = next(self.model.parameters()).device
        video = resize_frames(frames.to(device).float() / 255, self.grid)
        hints = self.hints if self.state is None else None
        found = self.model(video, hints, state=self.state)
        self.state = found.state
        assert found.logits is not None
        assert found.output is not None
        ids, boxes = divide(found.logits, self.present, (frames.shape[-2], frames.shape[-1]))
        return Segments(ids, boxes, found.slots.float(), found.output.float())

    @torch.no_grad()
    def foretell(
        self,
        seen: Float[Tensor, "b t k d"],
        steps: int,
        *,
        size: tuple[int, int],
        predictor: Predictor | None,
    ) -> Segments:
        """Segments of the `steps` frames after those pushed, which nobody has seen; the state stays as it is.

        Parameters
        ----------
        seen : slots of the frames pushed so far, for a `predictor` of its own; None: the model's goes on.
        size : rows and columns of the segmentation.
        """
        if self.state is None:
            raise InputError("no frame was pushed", field="frames", remedy="push one or more frames first")
        state = self.state if predictor is None else burn_in(predictor, seen.to(self.state.slots))
        found = rollout(self.model, state, steps, predictor=predictor)
        assert found.logits is not None
        assert found.output is not None
        ids, boxes = divide(found.logits, self.present, size)
        return Segments(ids, boxes, found.slots.float(), found.output.float())
