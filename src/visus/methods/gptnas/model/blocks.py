"""The fifteen blocks a network is searched from, as modules of any width, stride and image size.

Each composite block is the published one: with the published widths it has the published number of parameters.
`BLOCKS` wraps them in one signature, (channels in, channels out, stride), with default inner widths.

Paper: 2305.05351, Table II (the names); the blocks themselves from EfficientNet (1905.11946),
GoogLeNet (1409.4842), RegNet (2003.13678), ResNet (1512.03385), ResNeXt (1611.05431), ShuffleNet V2 (1807.11164)
and wide ResNet (1605.07146).
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.gptnas.model.records import Architecture, Layer
from visus.methods.gptnas.model.tracing import trace

Image = Float[Tensor, "b c h w"]
Result = Float[Tensor, "b k p q"]
Kind = Literal["ResNet", "ResNeXt", "wide"]


def normalized(
    conv: nn.Conv2d, act: Callable[[], nn.Module] | None = nn.ReLU, eps: float = 1e-5
) -> list[nn.Module]:
    """A convolution, its batch normalization, and an activation unless `act` is None."""
    return [conv, nn.BatchNorm2d(conv.out_channels, eps=eps), *([act()] if act else [])]


def conv(c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias whose output has ceil(side / stride) cells per side."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


class ConvNormActivation(nn.Sequential):
    """Convolution, batch normalization, activation (SiLU; None for none). Source: EfficientNet."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: Callable[[], nn.Module] | None = nn.SiLU,
    ) -> None:
        super().__init__(*normalized(conv(c_in, c_out, kernel, stride, groups), act))


class SimpleStem(nn.Sequential):
    """3x3 convolution, batch normalization, ReLU. Source: RegNet (there with stride 2)."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 2) -> None:
        super().__init__(*normalized(conv(c_in, c_out, 3, stride)))


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate that sees the mean of all: y = x * sigmoid(W2 act(W1 mean(x))).

    Source: 1709.01507, in the form of EfficientNet (SiLU) and RegNet Y (ReLU): 1x1 convolutions with bias.
    """

    def __init__(self, channels: int, squeezed: int, *, act: Callable[[], nn.Module] = nn.SiLU) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze, self.act = nn.Conv2d(channels, squeezed, 1), act()
        self.excite, self.gate = nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()

    def forward(self, x: Image) -> Image:
        return x * self.gate(self.excite(self.act(self.squeeze(self.pool(x)))))


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 then 3x3; 1x1 then 3x3; 3x3 maximum then 1x1. Each with BN and ReLU.

    `widths` are the published six: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection; a branch of width 0 is
    left out. Source: GoogLeNet, in the common version whose "5x5" branch has a 3x3 kernel, with eps 1e-3.
    Differs: takes a stride (in the 3x3 convolutions, the lone 1x1 and the pool).
    """

    def __init__(self, c_in: int, widths: Sequence[int], *, stride: int = 1) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = widths
        branches = [
            (one, [(c_in, one, 1, stride)]),
            (three, [(c_in, reduce3, 1, 1), (reduce3, three, 3, stride)]),
            (five, [(c_in, reduce5, 1, 1), (reduce5, five, 3, stride)]),
            (pooled, [(c_in, pooled, 1, 1)]),
        ]
        self.branches = nn.ModuleList()
        for number, (width, parts) in enumerate(branches):
            layers = [layer for part in parts for layer in normalized(conv(*part), eps=1e-3)] if width else []
            if number == 3 and layers:
                layers.insert(0, nn.MaxPool2d(3, stride, 1))
            if layers:
                self.branches.append(nn.Sequential(*layers))

    def forward(self, x: Image) -> Result:
        return torch.cat([branch(x) for branch in self.branches], 1)


class _Residual(nn.Module):
    """relu(branch(x) + skip(x)); the skip is a 1x1 convolution with BN where the size changes."""

    def __init__(self, branch: list[nn.Module], c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        same = c_in == c_out and stride == 1
        self.skip = nn.Identity() if same else nn.Sequential(*normalized(conv(c_in, c_out, 1, stride), None))
        self.act = nn.ReLU()

    def forward(self, x: Image) -> Result:
        return self.act(self.branch(x) + self.skip(x))


class BasicBlock(_Residual):
    """Two 3x3 convolutions beside a skip. Source: ResNet 18 and 34."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1) -> None:
        branch = [*normalized(conv(c_in, c_out, 3, stride)), *normalized(conv(c_out, c_out, 3), None)]
        super().__init__(branch, c_in, c_out, stride)


class Bottleneck(_Residual):
    """1x1, 3x3, 1x1 convolutions beside a skip: narrow (ResNet), grouped (ResNeXt) or wide inside.

    `width` is the number of channels of the 3x3 convolution, which carries the stride.
    Source: ResNet 50 to 152, ResNeXt, wide ResNet 50-2 and 101-2.
    """

    def __init__(
        self, c_in: int, c_out: int, *, width: int, stride: int = 1, groups: int = 1, kind: Kind = "ResNet"
    ) -> None:
        inner = conv(width, width, 3, stride, groups)
        branch = [*normalized(conv(c_in, width)), *normalized(inner), *normalized(conv(width, c_out), None)]
        super().__init__(branch, c_in, c_out, stride)
        self.kind = kind


class ResBottleneckBlock(_Residual):
    """1x1, grouped 3x3, optional squeeze-excitation, 1x1 beside a skip that runs first. Source: RegNet X and Y.

    `squeezed` is the width inside the squeeze-excitation; None leaves it out (X).
    """

    def __init__(
        self, c_in: int, c_out: int, *, stride: int = 1, groups: int = 1, squeezed: int | None = None
    ) -> None:
        branch = [*normalized(conv(c_in, c_out)), *normalized(conv(c_out, c_out, 3, stride, groups))]
        if squeezed is not None:
            branch.append(SqueezeExcitation(c_out, squeezed, act=nn.ReLU))
        branch += normalized(conv(c_out, c_out), None)
        super().__init__(branch, c_in, c_out, stride)

    def forward(self, x: Image) -> Result:
        return self.act(self.skip(x) + self.branch(x))


class InvertedResidual(nn.Module):
    """Half of the channels pass, half go through 1x1, depthwise 3x3, 1x1; then both are shuffled together.

    Where the size changes, the passing half becomes a depthwise 3x3 and a 1x1 of all channels.
    Source: ShuffleNet V2.
    Differs: the second form also serves a change of channels without stride; an odd width gives the passing half
    one channel more and is not shuffled.
    """

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.split = stride == 1 and c_in == c_out > 1
        worked = max(1, c_out // 2)
        self.passing, source = c_out - worked, worked if self.split else c_in
        self.branch = nn.Sequential(
            *normalized(conv(source, worked)),
            *normalized(conv(worked, worked, 3, stride, worked), None),
            *normalized(conv(worked, worked)),
        )
        self.side = None
        if not self.split and self.passing:
            self.side = nn.Sequential(
                *normalized(conv(c_in, c_in, 3, stride, c_in), None), *normalized(conv(c_in, self.passing))
            )
        self.shuffle = nn.ChannelShuffle(2) if c_out % 2 == 0 else nn.Identity()

    def forward(self, x: Image) -> Result:
        if self.split:
            kept, x = x.split([self.passing, x.shape[1] - self.passing], 1)
            return self.shuffle(torch.cat([kept, self.branch(x)], 1))
        if self.side is None:
            return self.branch(x)
        return self.shuffle(torch.cat([self.side(x), self.branch(x)], 1))


class Projection(nn.Sequential):
    """1x1 convolution with stride, batch normalization: repairs the size in front of a block that keeps it."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1) -> None:
        super().__init__(*normalized(conv(c_in, c_out, 1, stride), None))


# ---- one signature for all ----------------------------------------------------------------------------------

Maker = Callable[[int, int, int], nn.Module]


@dataclass(frozen=True)
class Block:
    """A block of the search space.

    name : as in Table II.
    make : (channels in, channels out, stride) -> module.
    widens, strides : whether it can change the number of channels, and the number of cells; where it cannot, a
        `Projection` in front does.
    """

    name: str
    make: Maker
    widens: bool = True
    strides: bool = True

    def build(self, in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        """A module (b, in_channels, h, w) -> (b, out_channels, ceil(h / stride), ceil(w / stride)).

        Raises
        ------
        InputError : a number is not positive.
        """
        for field, number in (
            ("in_channels", in_channels),
            ("out_channels", out_channels),
            ("stride", stride),
        ):
            if number < 1:
                raise InputError(f"is {number}", field=field, remedy="give a positive number")
        if not self.repaired(in_channels, out_channels, stride):
            return self.make(in_channels, out_channels, stride)
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["project"] = Projection(in_channels, out_channels, stride=stride)
        parts["block"] = self.make(out_channels, out_channels, 1)
        return nn.Sequential(parts)

    def repaired(self, in_channels: int, out_channels: int, stride: int = 1) -> bool:
        """Whether `build` puts a `Projection` in front."""
        return (in_channels != out_channels and not self.widens) or (stride > 1 and not self.strides)

    def record(
        self, in_channels: int = 64, out_channels: int = 64, stride: int = 1, side: int = 16
    ) -> Architecture:
        """The block's record, by tracing what `build` gives on an image of that side."""
        return _record(self.name, in_channels, out_channels, stride, side)

    def layers(self, in_channels: int = 64, out_channels: int = 64, stride: int = 1) -> tuple[Layer, ...]:
        """The layers the block becomes."""
        return self.record(in_channels, out_channels, stride).layers


@functools.lru_cache(maxsize=4096)
def _record(name: str, c_in: int, c_out: int, stride: int, side: int) -> Architecture:
    with torch.device("meta"):
        block = BLOCKS[index_of(name)].build(c_in, c_out, stride)
    record = trace(block, (c_in, side, side), name=name)
    return record.with_blocks([(name, 0, len(record.layers))])


def _inception(c_in: int, c_out: int, stride: int) -> nn.Module:
    """The proportions of the first published block: 64, 96 -> 128, 16 -> 32, 32 of 256."""
    three, five = c_out // 2, c_out // 8
    one = c_out - three - 2 * five
    return Inception(
        c_in, (one, max(1, 3 * c_out // 8), three, max(1, c_out // 16), five, five), stride=stride
    )


def _bottleneck(kind: Kind) -> Maker:
    def make(c_in: int, c_out: int, stride: int) -> nn.Module:
        width = max(1, c_out // (4 if kind == "ResNet" else 2))
        groups = gcd(width, 32) if kind == "ResNeXt" else 1
        return Bottleneck(c_in, c_out, width=width, stride=stride, groups=groups, kind=kind)

    return make


BLOCKS: tuple[Block, ...] = (
    Block("ConvNormActivation", lambda i, o, s: ConvNormActivation(i, o, stride=s)),
    Block("SqueezeExcitation", lambda i, o, s: SqueezeExcitation(o, max(1, o // 4)), False, False),
    Block("Inception", _inception),
    Block("AvgPool", lambda i, o, s: nn.AvgPool2d(3, s, 1), widens=False),
    Block("ResBottleneckBlock", lambda i, o, s: ResBottleneckBlock(i, o, stride=s, groups=o // gcd(o, 16))),
    Block("SimpleStem", lambda i, o, s: SimpleStem(i, o, stride=s)),
    Block("Bottleneck(ResNet)", _bottleneck("ResNet")),
    Block("BasicBlock", lambda i, o, s: BasicBlock(i, o, stride=s)),
    Block("Bottleneck(ResNeXt)", _bottleneck("ResNeXt")),
    Block("InvertedResidual(ShuffleNet)", lambda i, o, s: InvertedResidual(i, o, stride=s)),
    Block("Bottleneck(wide)", _bottleneck("wide")),
    Block("MaxPool", lambda i, o, s: nn.MaxPool2d(3, s, 1), widens=False),
    Block("BatchNorm", lambda i, o, s: nn.BatchNorm2d(o), False, False),
    Block("ReLU", lambda i, o, s: nn.ReLU(), False, False),
    Block("Conv", lambda i, o, s: conv(i, o, 3, s)),
)
"""The search space, in the order of Table II. Its symbols are the positions here.

Differs: the paper's AvgPool occurs as the global pool in front of the classifier; inside a network it is a 3x3
average here, as MaxPool is a 3x3 maximum.
"""


def index_of(name: str) -> int:
    """Position of a block by name; `InputError` for an unknown one."""
    for index, block in enumerate(BLOCKS):
        if block.name == name:
            return index
    known = ", ".join(block.name for block in BLOCKS)
    raise InputError(f"is {name!r}", field="block", remedy=f"known blocks: {known}")


_COMPOSITE: dict[type[nn.Module], str] = {
    ConvNormActivation: "ConvNormActivation",
    SqueezeExcitation: "SqueezeExcitation",
    Inception: "Inception",
    ResBottleneckBlock: "ResBottleneckBlock",
    SimpleStem: "SimpleStem",
    BasicBlock: "BasicBlock",
    InvertedResidual: "InvertedResidual(ShuffleNet)",
}


def composite_blocks(model: nn.Module) -> dict[str, str]:
    """Module name -> block name, for every composite block inside a model."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, Bottleneck):
            found[name] = f"Bottleneck({module.kind})"
        elif type(module) in _COMPOSITE:
            found[name] = _COMPOSITE[type(module)]
    return found


def with_single_blocks(architecture: Architecture) -> Architecture:
    """Mark every lone convolution, pool, batch normalization and ReLU outside the given spans as its own block."""
    spans, end = [], 0
    for name, start, stop in (*architecture.blocks, ("", len(architecture.layers), 0)):
        singles = [(_single(layer), layer.id) for layer in architecture.layers[end:start]]
        spans += [(single, index, index + 1) for single, index in singles if single]
        if name:
            spans.append((name, start, stop))
        end = stop
    return architecture.with_blocks(spans)


def _single(layer: Layer) -> str | None:
    if layer.family == "conv":
        return "Conv"
    if layer.family == "pool":
        return "MaxPool" if layer.type == "MAX" else "AvgPool"
    return {"BatchNorm2d": "BatchNorm", "ReLU": "ReLU"}.get(layer.name or "")
