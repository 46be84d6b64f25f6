"""How slots start: noise, learned vectors, or hints about the objects of the first frame."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots.blocks import mlp, start_like_flax
from visus.nn.slots.positions import PositionGrid
from visus.nn.slots.same import SameConv2d

MISSING_POINT = -1.0


class GaussianSlots(nn.Module):
    """Slots drawn from one learned Gaussian: mu + exp(log_sigma) eps, eps ~ N(0, I).

    All slots share mu and log_sigma, so their number may change after training.

    Paper: Slot Attention 2006.15055, section 2.1. Both vectors start Xavier-uniform, as its reference code has it.

    >>> GaussianSlots(5, 8)(2, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.count = _checked(count)
        self.mean = nn.Parameter(torch.empty(1, 1, size))
        self.log_sigma = nn.Parameter(torch.empty(1, 1, size))
        nn.init.xavier_uniform_(self.mean)
        nn.init.xavier_uniform_(self.log_sigma)

    def forward(
        self,
        batch: int,
        *,
        generator: torch.Generator | None = None,
        count: int | None = None,
        shared: bool = False,
    ) -> Float[Tensor, "b k d"]:
        """Start slots for `batch` items.

        Parameters
        ----------
        generator : where the noise is drawn from (torch's global one if None). The draw happens on the
            generator's own device, so a CPU generator gives the same slots on every device.
        count : number of slots if other than the one of the constructor.
        shared : the same noise for every item, so that an item's slots do not depend on its batch; for
            evaluation.
        """
        count = self.count if count is None else _checked(count)
        device = self.mean.device if generator is None else generator.device
        shape = (1 if shared else batch, count, self.mean.shape[-1])
        noise = torch.randn(shape, generator=generator, device=device, dtype=self.mean.dtype)
        slots = self.mean + self.log_sigma.exp() * noise.to(self.mean.device)
        return slots.expand(batch, -1, -1)


class LearnedSlots(nn.Module):
    """One learned vector per slot, the same for every item."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.count = _checked(count)
        self.slots = nn.Parameter(torch.empty(1, count, size))
        nn.init.xavier_uniform_(self.slots)

    def forward(self, batch: int) -> Float[Tensor, "b k d"]:
        return self.slots.expand(batch, -1, -1)


class BoxSlots(nn.Module):
    """One slot per box through a shared MLP; slot 0 is the background, with a box of zeros.

    Boxes are [ymin, xmin, ymax, xmax] in 0..1. An absent object has a box of zeros and so becomes one more
    background slot.

    Paper: SAVi 2111.12594, section 3 (conditional video decomposition).

    >>> BoxSlots(16)(torch.rand(2, 3, 4)).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.mlp = mlp(4, hidden, size)
        start_like_flax(self)

    def forward(self, boxes: Float[Tensor, "b m 4"]) -> Float[Tensor, "b k d"]:
        return self.mlp(F.pad(boxes, (0, 0, 1, 0)))


class PointSlots(nn.Module):
    """One slot per click (y, x) in 0..1 through a shared MLP; slot 0 is the background.

    The background and absent objects are the point (-1, -1), which no picture contains; a point with either
    number below 0 counts as absent.

    >>> PointSlots(16)(torch.rand(2, 3, 2)).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, size: int, *, hidden: int = 256) -> None:
        super().__init__()
        self.mlp = mlp(2, hidden, size)
        start_like_flax(self)

    def forward(self, points: Float[Tensor, "b m 2"]) -> Float[Tensor, "b k d"]:
        absent = (points < 0).any(-1, keepdim=True)
        points = points.masked_fill(absent, MISSING_POINT)
        return self.mlp(F.pad(points, (0, 0, 1, 0), value=MISSING_POINT))


class MaskSlots(nn.Module):
    """One slot per instance mask: a strided CNN and positions, an MLP per cell, mean over space. Slot 0: background.

    Masks hold instance ids: 0 background, i + 1 object i; ids above `count` belong to no slot. An absent object
    has an empty mask.

    Paper: SAVi 2111.12594 (segmentation-mask conditioning). Differs: masks are first averaged to `grid` x `grid`
    cells, so that memory is (b, m + 1, grid, grid, channels) whatever the size of the picture.

    >>> MaskSlots(16)(torch.zeros(2, 64, 48, dtype=torch.uint8), 3).shape
    torch.Size([2, 4, 16])
    """

    def __init__(self, size: int, *, grid: int = 32, channels: int = 32, hidden: int = 256) -> None:
        super().__init__()
        self.grid = grid
        self.convolutions = nn.Sequential(
            SameConv2d(1, channels, 5, stride=2),
            nn.ReLU(),
            SameConv2d(channels, channels, 5, stride=2),
            nn.ReLU(),
        )
        self.positions = PositionGrid(channels)
        self.mlp = mlp(channels, hidden, size)
        start_like_flax(self)

    def forward(self, masks: Int[Tensor, "b h w"], count: int) -> Float[Tensor, "b k d"]:
        ids = torch.arange(count + 1, device=masks.device)
        each = (masks[:, None] == ids[:, None, None]).to(self.positions.project.weight.dtype)
        small = F.adaptive_avg_pool2d(each, self.grid)
        features = self.positions(self.convolutions(small.flatten(0, 1)[:, None]))
        # the MLP comes before the mean: a mean of added positions would be the same for every mask
        cells = self.mlp(rearrange(features, "bk c h w -> bk (h w) c"))
        return rearrange(cells.mean(1), "(b k) d -> b k d", k=count + 1)


def _checked(count: int) -> int:
    if count < 1:
        raise InputError(f"is {count}", field="count", remedy="give at least one slot")
    return count
