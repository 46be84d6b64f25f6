"""Classes from slots as tokens."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.nn.slots import TransformerBlock


class SlotClassifier(nn.Module):
    """A small transformer over a learned class token and the slots, without positions.

    Slots are a set: permuting them does not change the class scores. Any tokens may be given, patch tokens of a
    frozen network among them; then their place on the grid counts as little.

    Paper: 2403.07887, few-shot classification with slots as tokens (n pictures per class, the slots frozen); the
    sizes are not published.

    Parameters
    ----------
    slots : width of the tokens.
    classes : number of classes.
    width, blocks, heads : of the transformer; its MLPs are four times as wide.
    dropout : on the tokens and before the readout.

    >>> SlotClassifier(16, 3, width=32)(torch.zeros(2, 7, 16)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        slots: int,
        classes: int,
        *,
        width: int = 192,
        blocks: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(slots, width)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads=heads, hidden=4 * width, pre_norm=True) for _ in range(blocks)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, slots: Float[Tensor, "b k d"]) -> Float[Tensor, "b c"]:
        """Class scores."""
        x = torch.cat([self.token.expand(len(slots), -1, -1), self.dropout(self.enter(slots))], 1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.dropout(self.norm(x[:, 0])))
