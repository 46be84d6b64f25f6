"""Stage 2: the generator learns to write programs from frozen slots."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from visus.data.loader import Tensors, iterate
from visus.engine.plateau import Plateau
from visus.methods.nsi.config import NSIConfig
from visus.methods.nsi.losses import GeneratorLoss, generator_loss
from visus.methods.nsi.model.generator import ProgramGenerator
from visus.methods.nsi.training.data import unpack
from visus.protocols import Batch, Logs, Scores, Turn


class Writing:
    """Trains the generator on slots, programs and dense associations. Satisfies `visus.protocols.Trainable`.

    Slots and associations come from the frozen alignment and are computed once, before.
    """

    def __init__(self, generator: ProgramGenerator, config: NSIConfig) -> None:
        self.generator = generator
        self.halving = Plateau(config.halve_after, factor=0.5)
        self.batch_size = config.batch_size
        self._optimizer = torch.optim.Adam(generator.parameters(), lr=config.learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The generator."""
        return {"generator": self.generator}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"generator": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"slots", "association", fields of Programs}."""
        lost = self._loss(batch)
        count = len(batch["slots"])
        terms = {name: turn.mean(value.expand(count)) for name, value in lost._asdict().items()}
        loss = torch.stack(list(terms.values())).sum()
        turn.update("generator", loss)
        return cast(Logs, {"loss": loss, **terms})

    def validate(self, written: Tensors) -> Scores:
        """Negative log-likelihood of held-out programs."""
        self.generator.eval()
        device, total = next(self.generator.parameters()).device, 0.0
        for batch in iterate(written, self.batch_size):
            moved = {name: value.to(device) for name, value in batch.items()}
            total += float(self._loss(moved).total) * len(batch["slots"]) / len(written)
        self.halving.tell(self._optimizer, total)
        return {"loss": total}

    def _loss(self, batch: Batch) -> GeneratorLoss:
        emissions = self.generator(batch["slots"])
        return generator_loss(emissions, unpack(batch), self.generator.schema, batch["association"])
