"""Where a token is: a linear grid, projected and added."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.nn.slots.blocks import start_like_flax


def linear_grid(
    height: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, "2 h w"]:
    """Row and column of every cell, each from -1 (first) to 1 (last).

    >>> linear_grid(2, 3)[:, 1]
    tensor([[ 1.,  1.,  1.],
            [-1.,  0.,  1.]])
    """
    rows = torch.linspace(-1, 1, height, device=device, dtype=dtype)
    columns = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


class PositionGrid(nn.Module):
    """Add a learned linear map of the position: x + W p + b, p in [-1, 1]^2. Any height and width.

    Paper: SAVi 2111.12594 (linear position embedding, "project and add"), after Slot Attention 2006.15055.

    >>> PositionGrid(8)(torch.zeros(2, 8, 5, 7)).shape
    torch.Size([2, 8, 5, 7])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(2, channels)
        start_like_flax(self)

    def embedding(self, height: int, width: int) -> Float[Tensor, "c h w"]:
        """What is added, for a grid of this size."""
        weight = self.project.weight
        grid = linear_grid(height, width, device=weight.device, dtype=weight.dtype)
        return self.project(grid.movedim(0, -1)).movedim(-1, 0)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return features + self.embedding(*features.shape[-2:])
