"""How the classifier is trained."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.methods.attention.config import AttentionConfig
from visus.methods.attention.model import Classifier
from visus.protocols import Batch, Logs, Phase, Turn


def cross_entropy(scores: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """-log softmax(scores)[target] per item."""
    return F.cross_entropy(scores, target, reduction="none")


class Training:
    """AdamW on the mean cross-entropy. Differs from the paper's Adam only by the decoupled weight decay."""

    def __init__(self, model: Classifier, config: AttentionConfig) -> None:
        self.model = model
        self._optimizer = torch.optim.AdamW(
            [weight for weight in model.parameters() if weight.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,  # one call instead of several per parameter, which small models feel
        )

    def parts(self) -> dict[str, nn.Module]:
        """The one module."""
        return {"model": self.model}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"model": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"inputs", "target"} and, for texts, "padding"."""
        loss = turn.mean(cross_entropy(self.model(batch["inputs"], batch.get("padding")), batch["target"]))
        turn.update("model", loss)
        return {"loss": loss}


def phases(config: AttentionConfig, *, validated: bool) -> list[Phase]:
    """One phase; the epoch with the lowest validation loss is kept where there is a validation part."""
    return [
        Phase(
            epochs=config.epochs,
            batch_size=config.batch_size,
            clip_norm=config.clip_norm or None,
            monitor="loss" if validated else None,
            better="lower",
        )
    ]
