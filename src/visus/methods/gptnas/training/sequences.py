"""Token sequences as things to learn from: the next layer after a window, the block behind a first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data import Tensors
from visus.methods.gptnas.model.chooser import BlockChooser, last_tokens
from visus.methods.gptnas.model.gpt import LayerGPT
from visus.protocols import Batch, Logs, Turn


def windows(sequences: Sequence[Sequence[int]], *, window: int, padding: int) -> Tensors:
    """One item per token but the first of each sequence: the last `window` tokens before it, and itself.

    Fields: `context` (n, window), filled up on the right with `padding`; `place` (n,), where in it the last
    token stands; `target` (n,).

    Paper: 2305.05351, sec. III-C (window 10, stride 1).

    >>> windows([[9, 4, 5, 6]], window=2, padding=0)["context"].tolist()
    [[9, 0], [9, 4], [4, 5]]
    """
    context, place, target = [], [], []
    for sequence in sequences:
        for i in range(1, len(sequence)):
            before = list(sequence[max(0, i - window) : i])
            place.append(len(before) - 1)
            context.append(before + [padding] * (window - len(before)))
            target.append(sequence[i])
    fields = {"context": context, "place": place, "target": target}
    return Tensors({name: torch.tensor(values, dtype=torch.long) for name, values in fields.items()})


def next_layer_loss(
    logits: Float[Tensor, "b n k"], place: Int[Tensor, " b"], target: Int[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """-log softmax(logits[place])[target] per item.

    Paper: 2305.05351, eq. 2, whose sum over the layers of a network is a sum over items here.
    """
    chosen = logits[torch.arange(len(place), device=logits.device), place]
    return F.cross_entropy(chosen, target, reduction="none")


def block_loss(scores: Float[Tensor, "b k"], block: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """-log softmax(scores)[block] per item."""
    return F.cross_entropy(scores, block, reduction="none")


class LayerTraining:
    """Adam on the mean `next_layer_loss` (a `Trainable`)."""

    def __init__(self, gpt: LayerGPT, *, learning_rate: float) -> None:
        self.gpt = gpt
        self._optimizer = torch.optim.Adam(gpt.parameters(), lr=learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The layer model."""
        return {"gpt": self.gpt}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"gpt": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"context", "place", "target"}."""
        losses = next_layer_loss(self.gpt(batch["context"]), batch["place"], batch["target"])
        loss = turn.mean(losses)
        turn.update("gpt", loss)
        return {"loss": loss}


class ChooserTraining:
    """Adam on the mean `block_loss`; the layer model's embedding is read, not moved (a `Trainable`)."""

    def __init__(self, chooser: BlockChooser, gpt: LayerGPT, *, learning_rate: float) -> None:
        self.chooser, self.gpt = chooser, gpt
        self._optimizer = torch.optim.Adam(chooser.parameters(), lr=learning_rate)

    def parts(self) -> dict[str, nn.Module]:
        """The chooser."""
        return {"chooser": self.chooser}

    def optimizers(self) -> dict[str, Any]:
        """The one optimizer."""
        return {"chooser": self._optimizer}

    def step(self, batch: Batch, turn: Turn) -> Logs:
        """One step on {"context", "layer", "block"}."""
        scores = self.chooser.scores(batch["context"], batch["layer"], embedding=self.gpt.embedding)
        loss = turn.mean(block_loss(scores, batch["block"]))
        turn.update("chooser", loss)
        return {"loss": loss}


def beginnings(openings: Sequence[tuple[Sequence[int], int, int]], *, window: int, padding: int) -> Tensors:
    """One item per block of the corpus: the tokens before it, its first layer, which block it is.

    Fields: `context` (n, window), filled up on the left with `padding`; `layer` (n,); `block` (n,).
    """
    rows = [
        (last_tokens(before, window=window, padding=padding), layer, block)
        for before, layer, block in openings
    ]
    context, layer, block = (torch.tensor(column, dtype=torch.long) for column in zip(*rows))
    return Tensors({"context": context, "layer": layer, "block": block})
