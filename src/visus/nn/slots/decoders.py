"""Slots into pictures or features: every slot paints everywhere and its alpha says where it counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots.blocks import start_like_flax
from visus.nn.slots.positions import PositionGrid
from visus.nn.slots.same import SameConvTranspose2d

BROADCAST_SIDE = 8


class Decoded(NamedTuple):
    """What a decoder says about its slots.

    Shapes, for pictures / for tokens: `output` (b, c, h, w) / (b, n, c), the alpha-weighted sum over slots;
    `logits` (b, k, h, w) / (b, k, n), the alphas before the softmax; `parts` (b, k, c, h, w) / (b, k, n, c), what
    each slot paints, None unless asked for.
    """

    output: Tensor
    logits: Tensor
    parts: Tensor | None = None

    @property
    def masks(self) -> Tensor:
        """Alphas: softmax of the logits over slots, shape of `logits`."""
        return self.logits.softmax(1)


class SpatialBroadcastDecoder(nn.Module):
    """Each slot is put on every cell of a grid, given positions, and painted by transposed convolutions.

    out = sum_k alpha_k (W f_k + b),   alpha = softmax_k(w . f_k + c),   f_k = deconvolutions(s_k + position)

    Because the readout is linear and the alphas sum to 1, the features are mixed first and read out once
    (early fusion): out = W (sum_k alpha_k f_k) + b, the same function at 1/k of the readout's cost and memory.

    Paper: SAVi 2111.12594 and SAVi++ 2206.07764; after Watters et al. 2019 (1901.07017).

    Parameters
    ----------
    size : width d of the slots.
    outputs : channels c of the output (flow 3, depth 1, RGB 3; several targets: their sum).
    grid : rows and columns the slots are broadcast to.
    channels, strides : of the 5 x 5 layers; the output has grid * product(strides) pixels a side.
    early_fusion : False paints each slot on its own in every call, as `parts=True` does in one.

    Memory in training: (b k, channels, h, w) per full-size layer; the largest part of a slot model's memory.
    """

    def __init__(
        self,
        size: int,
        outputs: int,
        *,
        grid: tuple[int, int] = (BROADCAST_SIDE, BROADCAST_SIDE),
        channels: Sequence[int] = (64, 64, 64, 64),
        strides: Sequence[int] = (2, 2, 2, 1),
        kernel: int = 5,
        early_fusion: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) != len(strides) or not channels:
            raise InputError(
                f"{len(channels)} widths and {len(strides)} strides",
                field="channels, strides",
                remedy="give one of each per layer",
            )
        self.grid, self.scale, self.early_fusion = (
            (int(grid[0]), int(grid[1])),
            math.prod(strides),
            early_fusion,
        )
        self.positions = PositionGrid(size)
        self.layers = nn.ModuleList(
            SameConvTranspose2d(before, after, kernel, stride=stride)
            for before, after, stride in zip((size, *channels), channels, strides)
        )
        self.alpha = nn.Linear(channels[-1], 1)
        self.readout = nn.Linear(channels[-1], outputs)
        start_like_flax(self)

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of the output, pixels."""
        return self.grid[0] * self.scale, self.grid[1] * self.scale

    def features(self, slots: Float[Tensor, "b k d"]) -> Float[Tensor, "b k c h w"]:
        """The painted features f_k before both readouts."""
        x = slots.flatten(0, 1)[:, :, None, None] + self.positions.embedding(*self.grid)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x.unflatten(0, slots.shape[:2])

    def forward(self, slots: Float[Tensor, "b k d"], *, parts: bool = False) -> Decoded:
        features = self.features(slots)
        logits = torch.einsum("bkchw,c->bkhw", features, self.alpha.weight[0]) + self.alpha.bias
        alphas = logits.softmax(1)
        if parts or not self.early_fusion:
            each = torch.einsum("bkchw,oc->bkohw", features, self.readout.weight)
            each = each + self.readout.bias[:, None, None]
            return Decoded(torch.einsum("bkohw,bkhw->bohw", each, alphas), logits, each)
        # measured twice as fast as an einsum, which would move the channels to the end first
        mixed = (features * alphas[:, :, None]).sum(1)
        return Decoded(self.readout(mixed.movedim(1, -1)).movedim(-1, 1), logits)


def broadcast_decoder(
    size: int,
    outputs: int,
    *,
    image: tuple[int, int],
    channels: int = 64,
    layers: int | None = None,
    side: int = BROADCAST_SIDE,
) -> SpatialBroadcastDecoder:
    """A spatial broadcast decoder for pictures of this size.

    Halves the picture while both sides stay even and at least `side`, which gives the broadcast grid; then one
    stride-2 layer per halving, and stride-1 layers up to `layers` in all. SAVi's 64 px (3 + 1 layers) and SAVi++'s
    128 px (4 layers) are what it gives by default.

    Parameters
    ----------
    image : height and width, pixels.
    channels : width of every layer.
    layers : at least this many layers; 4 unless given.
    side : the broadcast grid's smaller side is not below this.

    >>> broadcast_decoder(128, 3, image=(64, 96)).grid, broadcast_decoder(128, 3, image=(128, 128)).image
    ((8, 12), (128, 128))
    """
    height, width = image
    doublings = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) // 2 >= side:
        height, width, doublings = height // 2, width // 2, doublings + 1
    plain = max((4 if layers is None else layers) - doublings, 0 if doublings else 1)
    strides = (*[2] * doublings, *[1] * plain)
    return SpatialBroadcastDecoder(
        size, outputs, grid=(height, width), channels=[channels] * len(strides), strides=strides
    )


class MLPDecoder(nn.Module):
    """Each slot, added to a learned position per token, goes through an MLP: features and an alpha per token.

    f_kn = ReLU(... ReLU(W_1 (s_k + p_n) + b_1)),   out_n = W sum_k alpha_kn f_kn + b,   alpha = softmax_k(w . f_kn)

    The first layer is linear, so W_1 s_k and W_1 p_n are computed once each instead of for every pair; the readout
    is linear and the alphas sum to 1, so it is applied after mixing. Both are the same function as the plain form.

    Paper: DINOSAUR (2209.14860), section 3; sizes of NSI 2403.07887 by default.

    Parameters
    ----------
    size : width d of the slots and of the positions.
    outputs : width c of the decoded features.
    grid : rows and columns of tokens; other grids are served by bilinear interpolation of the positions.
    hidden : widths inside the MLP.

    Memory in training: b k n numbers per hidden unit; 128 x 15 x 784 x 1024 floats are 6 GB for each layer.

    >>> decoded = MLPDecoder(16, 32, grid=(4, 4), hidden=(64,))(torch.zeros(2, 3, 16))
    >>> decoded.output.shape, decoded.masks.shape
    (torch.Size([2, 16, 32]), torch.Size([2, 3, 16]))
    """

    def __init__(
        self, size: int, outputs: int, *, grid: tuple[int, int], hidden: Sequence[int] = (1024, 1024, 1024)
    ) -> None:
        super().__init__()
        if not hidden:
            raise InputError("is empty", field="hidden", remedy="give at least one width")
        self.grid = (int(grid[0]), int(grid[1]))
        self.positions = nn.Parameter(torch.randn(1, size, *self.grid) * 0.02)
        self.first = nn.Linear(size, hidden[0])
        self.rest = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(hidden))
        self.alpha = nn.Linear(hidden[-1], 1)
        self.readout = nn.Linear(hidden[-1], outputs)
        start_like_flax(self)

    def embedding(self, grid: tuple[int, int] | None = None) -> Float[Tensor, "n d"]:
        """Position of every token, row by row, on this grid or the learned one."""
        positions = self.positions
        if grid is not None and tuple(grid) != self.grid:
            positions = F.interpolate(positions, size=tuple(grid), mode="bilinear", align_corners=False)
        return rearrange(positions, "1 d h w -> (h w) d")

    def features(
        self, slots: Float[Tensor, "b k d"], grid: tuple[int, int] | None = None
    ) -> Float[Tensor, "b k n c"]:
        """The hidden features f_kn before both readouts."""
        of_slots = F.linear(slots, self.first.weight)
        of_positions = self.first(self.embedding(grid))
        x = F.relu(of_slots[:, :, None] + of_positions)
        for layer in self.rest:
            x = F.relu(layer(x))
        return x

    def forward(
        self, slots: Float[Tensor, "b k d"], *, grid: tuple[int, int] | None = None, parts: bool = False
    ) -> Decoded:
        features = self.features(slots, grid)
        logits = self.alpha(features).squeeze(-1)
        alphas = logits.softmax(1)
        if parts:
            each = self.readout(features)
            return Decoded(torch.einsum("bknc,bkn->bnc", each, alphas), logits, each)
        return Decoded(self.readout(torch.einsum("bknc,bkn->bnc", features, alphas)), logits)
