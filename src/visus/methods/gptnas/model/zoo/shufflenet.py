"""ShuffleNet V2 x0.5 to x2.0 (1807.11164)."""

from __future__ import annotations

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from visus.methods.gptnas.model.blocks import InvertedResidual, conv, normalized
from visus.methods.gptnas.model.zoo.entry import Entry

_DEPTHS = (4, 8, 4)
_WIDTHS = {
    "shufflenet_v2_x0_5": (24, 48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (24, 116, 232, 464, 1024),
    "shufflenet_v2_x1_5": (24, 176, 352, 704, 1024),
    "shufflenet_v2_x2_0": (24, 244, 488, 976, 2048),
}


class GlobalMean(nn.Module):
    """Mean over the cells, (b, c, h, w) -> (b, c)."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        return x.mean([2, 3])


def shufflenet(widths: tuple[int, ...], *, num_classes: int) -> nn.Module:
    """Stem, three stages of inverted residuals, a last 1x1 convolution.

    widths : of the stem, the stages and the last convolution.
    """
    layers: list[nn.Module] = [*normalized(conv(3, widths[0], 3, 2)), nn.MaxPool2d(3, 2, 1)]
    c_in = widths[0]
    for depth, width in zip(_DEPTHS, widths[1:]):
        for number in range(depth):
            layers.append(InvertedResidual(c_in, width, stride=2 if number == 0 else 1))
            c_in = width
    layers += normalized(conv(c_in, widths[-1]))
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(widths[-1], num_classes))


ENTRIES: dict[str, Entry] = {name: Entry(partial(shufflenet, widths)) for name, widths in _WIDTHS.items()}
