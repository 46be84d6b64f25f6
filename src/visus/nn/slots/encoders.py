"""Pictures into tokens for Slot Attention: backbones, positions and an optional transformer over the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.nn.slots.blocks import FLAX_EPSILON, TransformerBlock, layer_norm, mlp, start_like_flax
from visus.nn.slots.positions import PositionGrid
from visus.nn.slots.same import SameConv2d

EncoderKind = Literal["small", "plus", "cnn"]
NORM_GROUPS = 32


class Backbone(nn.Module):
    """Any module (b, i, h, w) -> (b, channels, y, x) that says its width and its strides.

    Attributes
    ----------
    channels : width of the feature map.
    strides : each divides a side, rounding up.
    """

    channels: int
    strides: Sequence[int]


class ConvBackbone(Backbone):
    """Convolutions with SAME padding, ReLU after each.

    The backbone of SAVi-small is four 5 x 5 layers of 32 channels without a stride (every pixel stays a token).
    Memory in training: one (b, channels, h, w) map per layer.
    """

    def __init__(
        self, inputs: int = 3, *, channels: int = 32, strides: Sequence[int] = (1, 1, 1, 1), kernel: int = 5
    ) -> None:
        super().__init__()
        self.channels, self.strides = channels, tuple(strides)
        self.layers = nn.ModuleList(
            SameConv2d(inputs if index == 0 else channels, channels, kernel, stride=stride)
            for index, stride in enumerate(self.strides)
        )
        start_like_flax(self)

    def forward(self, images: Float[Tensor, "b i h w"]) -> Float[Tensor, "b c y x"]:
        for layer in self.layers:
            images = F.relu(layer(images))
        return images


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with GroupNorm and a residual; the second scale starts at zero (the identity)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = SameConv2d(inputs, outputs, 3, stride=stride, bias=False)
        self.norm1 = _group_norm(outputs)
        self.conv2 = SameConv2d(outputs, outputs, 3, bias=False)
        self.norm2 = _group_norm(outputs)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                SameConv2d(inputs, outputs, 1, stride=stride, bias=False), _group_norm(outputs)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o y x"]:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + inner)


class ResNetBackbone(Backbone):
    """ResNet-34 with GroupNorm(32) and the stem for small pictures: 3 x 3, stride 1, no pooling; sides / 8.

    Paper: the backbone of SAVi++ (2206.07764): 128 px -> 16 x 16 tokens of 512 channels.

    Parameters
    ----------
    stages : blocks per stage; every stage but the first halves the sides and doubles the channels.
    width : channels of the first stage, a multiple of 32.
    """

    def __init__(self, inputs: int = 3, *, stages: Sequence[int] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        if width % NORM_GROUPS:
            raise InputError(f"is {width}", field="width", remedy=f"give a multiple of {NORM_GROUPS}")
        self.channels = width * 2 ** (len(stages) - 1)
        self.strides = (1, *[2] * (len(stages) - 1))
        self.stem = SameConv2d(inputs, width, 3, bias=False)
        self.norm = _group_norm(width)
        blocks: list[nn.Module] = []
        before = width
        for stage, depth in enumerate(stages):
            after = width * 2**stage
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(BasicBlock(before, after, stride=stride))
                before = after
        self.blocks = nn.Sequential(*blocks)
        start_like_flax(self)

    def forward(self, images: Float[Tensor, "b i h w"]) -> Float[Tensor, "b c y x"]:
        return self.blocks(F.relu(self.norm(self.stem(images))))


class SlotEncoder(nn.Module):
    """Backbone -> position -> LN -> MLP -> (Dense, ReLU, transformer): pictures of any size into tokens.

    Paper: the frame encoders of SAVi (2111.12594) and SAVi++ (2206.07764).

    Parameters
    ----------
    backbone : the convolutional part.
    hidden : width inside the MLP; its output has the backbone's channels.
    width : width of the tokens when a transformer follows (after a dense layer with ReLU); ignored without.
    blocks, heads, feedforward : depth of that pre-norm transformer, its heads, the width inside its MLPs.

    Attributes
    ----------
    features : width c of the tokens.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        hidden: int = 64,
        width: int = 64,
        blocks: int = 0,
        heads: int = 4,
        feedforward: int = 1024,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.channels
        self.features = width if blocks else channels
        self.positions = PositionGrid(channels)
        self.norm, self.mlp = layer_norm(channels), mlp(channels, hidden, channels)
        self.reduce = nn.Linear(channels, width) if blocks else None
        self.transformer = nn.ModuleList(
            TransformerBlock(width, heads=heads, hidden=feedforward, pre_norm=True) for _ in range(blocks)
        )
        start_like_flax(nn.ModuleList([self.mlp] if self.reduce is None else [self.mlp, self.reduce]))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for a picture of this size: each stride divides a side, rounding up."""
        for stride in self.backbone.strides:
            height, width = -(-height // stride), -(-width // stride)
        return height, width

    def forward(self, images: Float[Tensor, "b i h w"]) -> Float[Tensor, "b n c"]:
        features = self.positions(self.backbone(images))
        tokens = self.mlp(self.norm(rearrange(features, "b c h w -> b (h w) c")))
        if self.reduce is not None:
            tokens = F.relu(self.reduce(tokens))
        for block in self.transformer:
            tokens = block(tokens)
        return tokens


def slot_encoder(
    kind: EncoderKind,
    *,
    inputs: int = 3,
    channels: int = 32,
    strides: Sequence[int] = (2, 2, 1),
    hidden: int = 64,
) -> SlotEncoder:
    """A frame encoder by name.

    Parameters
    ----------
    kind : `"small"`, SAVi's four 5 x 5 layers without stride (one token per pixel); `"plus"`, SAVi++'s ResNet-34
        with a four-block transformer of width 64 (one token per 8 x 8 pixels); `"cnn"`, 5 x 5 layers with
        `strides`, a few percent of the cost of the first, for processors.
    inputs : color channels.
    channels : width of the convolutions of `"small"` and `"cnn"`.
    strides : of `"cnn"`.
    hidden : width inside the MLP after the positions.

    >>> import torch
    >>> encoder = slot_encoder("cnn")
    >>> encoder(torch.zeros(2, 3, 48, 64)).shape, encoder.grid(48, 64)
    (torch.Size([2, 192, 32]), (12, 16))
    """
    if kind == "small":
        return SlotEncoder(ConvBackbone(inputs, channels=channels), hidden=hidden)
    if kind == "plus":
        return SlotEncoder(ResNetBackbone(inputs), hidden=hidden, width=64, blocks=4)
    if kind == "cnn":
        return SlotEncoder(ConvBackbone(inputs, channels=channels, strides=strides), hidden=hidden)
    raise InputError(f"{kind!r} is not an encoder", field="kind", remedy="choose small, plus or cnn")


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(NORM_GROUPS, channels, eps=FLAX_EPSILON)
