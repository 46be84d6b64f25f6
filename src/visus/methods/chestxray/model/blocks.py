"""The parts of the networks: residual blocks with squeeze and excitation, the decoder's steps, the two heads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

DEPTH = 5
"""Levels of the encoders; the last one is at 1/16 of the image."""
LEAST_SQUEEZED = 4


def widths(base_channels: int) -> list[int]:
    """Channels of the five levels.

    >>> widths(64)
    [64, 128, 256, 512, 1024]
    """
    return [base_channels * 2**level for level in range(DEPTH)]


class ConvNormReLU(nn.Sequential):
    """conv3x3 (with bias) -> BN -> ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        # in place is safe: batch norm keeps its input for the gradient, not its output
        super().__init__(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class DoubleConv(nn.Sequential):
    """Twice conv3x3 -> BN -> ReLU: the step of a plain U-Net."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(ConvNormReLU(c_in, c_out), ConvNormReLU(c_out, c_out))


class ResSE(nn.Module):
    """Residual block with squeeze and excitation.

    a = BN(conv3(ReLU(BN(conv3(x))))),   s = conv3(x),   y = ReLU(a + s)
    out = y * sigmoid(W2 ReLU(W1 mean_hw(y))),   W1: o -> o/16, W2: o/16 -> o, no bias

    The shortcut is a 3x3 convolution without normalization, whether or not the channels change.

    Paper: 2403.16970, the second encoder (its figure writes 3x3x3, the images are 2-D).
    Differs: the squeezed width is at least 4, as of the published first level, and W1 starts without negative
    entries: y is never negative, so that a unit would else start dead, and with it often all of a narrow block.

    >>> ResSE(1, 8)(torch.zeros(2, 1, 6, 5)).shape
    torch.Size([2, 8, 6, 5])
    """

    def __init__(self, c_in: int, c_out: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.main = nn.Sequential(
            ConvNormReLU(c_in, c_out), nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out)
        )
        self.shortcut = nn.Conv2d(c_in, c_out, 3, padding=1)
        squeezed = max(LEAST_SQUEEZED, c_out // reduction)
        first = nn.Linear(c_out, squeezed, bias=False)
        first.weight.data.abs_()
        self.excite = nn.Sequential(
            first,
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, c_out, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        y = F.relu(self.main(x) + self.shortcut(x), inplace=True)
        return y * self.excite(y.mean((2, 3)))[:, :, None, None]


class Encoder(nn.Module):
    """Five levels, each at half the resolution of the one before (max pooling), the first at full resolution.

    Parameters
    ----------
    block : what a level computes, made from its channels in and out (`ResSE`, `DoubleConv`).
    """

    def __init__(self, base_channels: int, *, channels: int = 1, block: type[nn.Module] = ResSE) -> None:
        super().__init__()
        outs = widths(base_channels)
        self.levels = nn.ModuleList(block(i, o) for i, o in zip([channels, *outs], outs))

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """E1 .. E5: maps of b, 2b, 4b, 8b, 16b channels at 1, 1/2, 1/4, 1/8, 1/16 of the resolution."""
        maps: list[Tensor] = []
        for level in self.levels:
            maps.append(level(F.max_pool2d(maps[-1], 2) if maps else image))
        return maps


class UpBlock(nn.Module):
    """One step of a decoder: up to the skip's resolution (nearest) -> conv3 BN ReLU -> cat(skip, up) -> DoubleConv.

    Paper: 2403.16970; from 1/32 to 1/16 and so on the resolution doubles.

    >>> UpBlock(12, 6, 4)(torch.zeros(2, 12, 3, 2), torch.zeros(2, 6, 6, 4)).shape
    torch.Size([2, 4, 6, 4])
    """

    def __init__(self, c_in: int, c_skip: int, c_out: int) -> None:
        super().__init__()
        self.up = ConvNormReLU(c_in, c_out)
        self.merge = DoubleConv(c_skip + c_out, c_out)

    def forward(
        self, x: Float[Tensor, "b i y x"], skip: Float[Tensor, "b s h w"]
    ) -> Float[Tensor, "b o h w"]:
        x = self.up(F.interpolate(x, size=skip.shape[-2:], mode="nearest"))
        return self.merge(torch.cat([skip, x], dim=1))


class Decoder(nn.Module):
    """D5 .. D1: from a coarse feature map up to full resolution, each level joined by one of an encoder.

    At base 64 from DenseNet-201: 1920 -> 512 (with E5) -> 256 (E4) -> 128 (E3) -> 64 (E2) -> 64 (E1).

    Parameters
    ----------
    channels : of the coarse map.
    """

    def __init__(self, channels: int, base_channels: int) -> None:
        super().__init__()
        skips = widths(base_channels)[::-1]
        outs = [*skips[1:], base_channels]
        self.levels = nn.ModuleList(UpBlock(*sizes) for sizes in zip([channels, *outs], skips, outs))

    def forward(
        self, top: Float[Tensor, "b c y x"], skips: Sequence[Float[Tensor, "b _ _ _"]]
    ) -> Float[Tensor, "b o h w"]:
        x = top
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            x = level(x, skip)
        return x


class SaliencyHead(nn.Sequential):
    """conv3 BN ReLU -> conv1 to one channel -> log-softmax over all pixels of an image.

    exp of the output is a probability per pixel and sums to 1 over each image. Computed in float32 at least.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(ConvNormReLU(channels, channels), nn.Conv2d(channels, 1, 1))

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        return log_density(super().forward(input)[:, 0])


class ClassHead(nn.Sequential):
    """Linear -> dropout -> ReLU -> Linear: features to logits, the fusion classifier.

    Paper: 2403.16970; at base 64 with DenseNet-201, 1920 + 64 -> 64 -> classes.
    """

    def __init__(self, features: int, classes: int, *, hidden: int = 64, dropout: float = 0.25) -> None:
        super().__init__(
            nn.Linear(features, hidden),
            nn.Dropout(dropout),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, classes),
        )


def log_density(logits: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Log-probability of each pixel: log-softmax over the image, in float32 at least."""
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.flatten(1).log_softmax(1).view_as(logits)
