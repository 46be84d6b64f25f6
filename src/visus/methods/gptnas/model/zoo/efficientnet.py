"""EfficientNet B0 to B7 (1905.11946): one baseline, scaled in width, depth and image size.

Differs: stochastic depth, which acts in training only and learns nothing, is left out, and the normalizations have
torch's constants (published: eps 1e-3, momentum 0.01).
"""

from __future__ import annotations

import math
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from visus.methods.gptnas.model.blocks import ConvNormActivation, SqueezeExcitation
from visus.methods.gptnas.model.zoo.entry import Entry, divisible, head

_BASELINE = (
    # expansion, kernel, stride, channels in, channels out, repeats
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
_SCALES = {
    # width, depth, dropout, image side
    "efficientnet_b0": (1.0, 1.0, 0.2, 224),
    "efficientnet_b1": (1.0, 1.1, 0.2, 240),
    "efficientnet_b2": (1.1, 1.2, 0.3, 260),
    "efficientnet_b3": (1.2, 1.4, 0.3, 300),
    "efficientnet_b4": (1.4, 1.8, 0.4, 380),
    "efficientnet_b5": (1.6, 2.2, 0.4, 456),
    "efficientnet_b6": (1.8, 2.6, 0.5, 528),
    "efficientnet_b7": (2.0, 3.1, 0.5, 600),
}


class MBConv(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze-excitation, 1x1 projection; plus x where the size stays."""

    def __init__(self, c_in: int, c_out: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = divisible(c_in * expansion, 8)
        self.adds = stride == 1 and c_in == c_out
        widen = [ConvNormActivation(c_in, inner, kernel=1)] if inner != c_in else []
        self.branch = nn.Sequential(
            *widen,
            ConvNormActivation(inner, inner, kernel=kernel, stride=stride, groups=inner),
            SqueezeExcitation(inner, max(1, c_in // 4)),
            ConvNormActivation(inner, c_out, kernel=1, act=None),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k p q"]:
        return self.branch(x) + x if self.adds else self.branch(x)


def efficientnet(width: float, depth: float, dropout: float, *, num_classes: int) -> nn.Module:
    """The baseline with channels times `width` (rounded to multiples of 8) and repeats times `depth` (up)."""
    c_in = divisible(32 * width, 8)
    layers: list[nn.Module] = [ConvNormActivation(3, c_in, stride=2)]
    for expansion, kernel, stride, _, channels, repeats in _BASELINE:
        c_out = divisible(channels * width, 8)
        for number in range(math.ceil(repeats * depth)):
            first = stride if number == 0 else 1
            layers.append(MBConv(c_in, c_out, expansion=expansion, kernel=kernel, stride=first))
            c_in = c_out
    layers.append(ConvNormActivation(c_in, 4 * c_in, kernel=1))
    return nn.Sequential(*layers, *head(4 * c_in, num_classes, dropout=dropout))


ENTRIES: dict[str, Entry] = {
    name: Entry(partial(efficientnet, width, depth, dropout), side)
    for name, (width, depth, dropout, side) in _SCALES.items()
}
