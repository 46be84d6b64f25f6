"""The two trainings: of the video model, and of a predictor for long roll-outs on its frozen slots."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.data.loader import iterate
from visus.methods.statm.config import StatmConfig
from visus.methods.statm.losses import Target, frame_targets, rollout_losses, squared_error
from visus.methods.statm.model.predictors import Predictor
from visus.methods.statm.model.rollout import burn_in, roll_slots
from visus.methods.statm.model.video import SlotVideo
from visus.methods.statm.training.crops import cropped
from visus.methods.statm.training.inputs import HintKind, Inputs, as_inputs
from visus.protocols import Batch, Logs, Phase, Scores, Source, Turn

VALIDATED = 256
"""Clips of the held-out videos that are looked at in a validation."""
AVERAGED = 32
"""Training clips whose mean color the decoder starts at."""


def targets_of(inputs: Inputs, names: tuple[Target, ...], *, first: int = 0) -> Float[Tensor, "b t c h w"]:
    """What should be decoded from frame `first` on."""
    fields = {"video": inputs.video, "flow": inputs.flow, "depth": inputs.depth}
    later = {key: None if value is None else value[:, first:] for key, value in fields.items()}
    return frame_targets(names, **later)


class Training:
    """Adam on the squared error of what is decoded from every frame's slots (a `Trainable`).

    Paper: 2403.15245 trains as SAVi (2111.12594) does: sum over frames, channels and pixels, mean over clips.
    """

    def __init__(
        self, model: SlotVideo, config: StatmConfig, *, hint: HintKind, targets: tuple[Target, ...]
    ) -> None:
        self.model, self.config, self.targets = model, config, targets
        self.hint: HintKind = hint
        self._optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The whole model."""
        return {"model": self.model}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"model": self._optimizer}

    @torch.no_grad()
    def start_at_mean(self, clips: Source) -> None:
        """Let the decoder begin with the mean of what it is to give, over the first training clips.

        A readout that begins at zero spends hundreds of steps on a constant, in which its slots learn nothing.
        """
        batch = clips.batch(range(min(AVERAGED, len(clips))))
        device = self.model.decoder.readout.bias.device
        target = targets_of(self.read(batch, device), self.targets)
        self.model.decoder.readout.bias.copy_(target.mean((0, 1, 3, 4)))

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on clips."""
        inputs = self.read(batch, turn.device)
        # drawn on the processor: a step is the same on every device, and when a run is resumed
        generator = torch.Generator().manual_seed(turn.seed)
        if self.config.crop < 1:
            inputs = cropped(inputs, least=self.config.crop, generator=generator)
        loss = turn.mean(self.losses(inputs, generator=generator))
        turn.update("model", loss)
        return {"loss": loss}

    def losses(self, inputs: Inputs, *, generator: torch.Generator | None = None) -> Float[Tensor, " b"]:
        """The squared error of every clip; `generator` draws what slots start from where nothing is known."""
        output = self.model(inputs.video, inputs.hints, generator=generator).output
        return squared_error(output.float(), targets_of(inputs, self.targets))

    def read(self, batch: Batch, device: torch.device) -> Inputs:
        """A batch as the model reads it."""
        config = self.config
        return as_inputs(
            batch, size=config.image_size, hint=self.hint, objects=config.max_instances, device=device
        )


class FutureTraining:
    """Adam on how far roll-outs are from the slots, and the frames, that came (a `Trainable`).

    The model is frozen and gives the slots; its decoder shows what foretold slots look like.

    Paper: 2403.15245 rolls out as SlotFormer (2210.05861, sec. 3.3) does: both errors with equal weight.
    """

    def __init__(
        self,
        model: SlotVideo,
        future: Predictor,
        config: StatmConfig,
        *,
        hint: HintKind,
        targets: tuple[Target, ...],
    ) -> None:
        self.model, self.future, self.config = model.eval().requires_grad_(False), future, config
        self.hint: HintKind = hint
        self.targets = targets
        self._optimizer = torch.optim.Adam(future.parameters(), lr=config.learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The predictor alone."""
        return {"future": self.future}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"future": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on clips of `burn_in` and `horizon` frames or more."""
        config, seen = self.config, self.config.burn_in
        inputs = as_inputs(
            batch, size=config.image_size, hint=self.hint, objects=config.max_instances, device=turn.device
        )
        end = seen + config.horizon
        with torch.no_grad():
            slots = self.model(inputs.video[:, :end], inputs.hints, decode=False).slots
        made, _ = roll_slots(self.future, burn_in(self.future, slots[:, :seen]), config.horizon)
        shown = self.model.decode(made).output if config.future_image_weight else None
        target = None if shown is None else targets_of(inputs, self.targets, first=seen)[:, : config.horizon]
        losses = rollout_losses(made, slots[:, seen:], shown, target)
        logs = {name: turn.mean(value) for name, value in losses.items()}
        loss = logs["slots"] + config.future_image_weight * logs.get("frames", 0.0)
        turn.update("future", loss)
        return {"loss": loss, **logs}


def phase(config: StatmConfig, *, validated: bool) -> Phase:
    """The training of the model; the weights with the lowest validation loss are kept where there is one."""
    return Phase(
        steps=config.steps,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm or None,
        schedule="cosine",
        warmup=config.warmup,
        monitor="loss" if validated else None,
        better="lower",
        check_every=config.check_every,
    )


def future_phase(config: StatmConfig) -> Phase:
    """The training of the roll-out predictor."""
    return Phase(
        name="future",
        steps=config.future_steps,
        batch_size=config.batch_size,
        clip_norm=config.clip_norm or None,
        schedule="cosine",
        warmup=config.warmup,
    )


@torch.no_grad()
def validated(training: Training, held: Source, device: torch.device) -> Scores:
    """The mean loss over the first clips of the held-out videos."""
    training.model.eval()
    losses = [
        training.losses(training.read(batch, device)).cpu()
        for batch in islice(
            iterate(held, training.config.batch_size), max(1, VALIDATED // training.config.batch_size)
        )
    ]
    return {"loss": float(torch.cat(losses).mean())}
