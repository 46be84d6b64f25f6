"""The few-shot classifier's training: cross-entropy on frozen slots."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from visus.methods.nsi.config import FewShotConfig
from visus.methods.nsi.model.fewshot import SlotClassifier
from visus.protocols import Batch, Logs, Phase, Turn


class Classes:
    """Trains a classifier on {"slots", "target"}. Satisfies `visus.protocols.Trainable`."""

    def __init__(self, classifier: SlotClassifier, config: FewShotConfig) -> None:
        self.classifier = classifier
        self._optimizer = torch.optim.AdamW(
            classifier.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def parts(self) -> dict[str, nn.Module]:
        """The classifier."""
        return {"classifier": self.classifier}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"classifier": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step."""
        scores = self.classifier(batch["slots"])
        loss = turn.mean(F.cross_entropy(scores, batch["target"], reduction="none"))
        turn.update("classifier", loss)
        return {"loss": loss}


def class_phases(config: FewShotConfig) -> list[Phase]:
    """One phase; with so few pictures none is spared to choose an epoch by."""
    return [Phase(name="classify", epochs=config.epochs, batch_size=config.batch_size, clip_norm=1.0)]
