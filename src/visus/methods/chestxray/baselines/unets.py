"""U-Nets with one encoder: MT-UNet, its map alone, and the residual squeeze-and-excitation encoder alone."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.methods.chestxray.model import Reading
from visus.methods.chestxray.model.blocks import (
    DEPTH,
    ClassHead,
    DoubleConv,
    Encoder,
    ResSE,
    SaliencyHead,
    UpBlock,
    widths,
)
from visus.methods.chestxray.model.padding import covered_mean, crop, pad_to_multiple

STRIDE = 2 ** (DEPTH - 1)
"""Of the deepest level: sides are padded to multiples of it."""


class UNet(nn.Module):
    """Five levels down, four up, a density at the end and, with classes, a head on the deepest and the finest map.

    E1 .. E5 = encoder(x)    D = up(E5; E4 .. E1)
    log q = log-softmax_hw(head(D))    logits = MLP([mean_hw E5 ; mean_hw D])

    Images of any size: padded by repeating the border to multiples of 16, cropped before the softmax.

    Parameters
    ----------
    block : what a level of the encoder computes.
    classes : 0 = no classification.
    base_channels : b; the levels have b, 2b, 4b, 8b, 16b channels.
    hidden, dropout : of the classifier.
    """

    def __init__(
        self, block: type[nn.Module], *, classes: int, base_channels: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.encoder = Encoder(base_channels, block=block)
        outs = widths(base_channels)[::-1]
        self.decoder = nn.ModuleList(UpBlock(low, high, high) for low, high in itertools.pairwise(outs))
        self.saliency = SaliencyHead(base_channels)
        pooled = outs[0] + base_channels
        self.fusion = ClassHead(pooled, classes, hidden=hidden, dropout=dropout) if classes else None

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Reading:
        height, width = image.shape[-2:]
        *skips, deepest = self.encoder(pad_to_multiple(image, STRIDE))
        fine = deepest
        for step, skip in zip(self.decoder, reversed(skips), strict=True):
            fine = step(fine, skip)
        fine = crop(fine, (height, width))
        embedding = covered_mean(deepest, (height, width), STRIDE)
        logits = None
        if self.fusion is not None:
            logits = self.fusion(torch.cat([embedding, fine.mean((2, 3))], dim=1))
        return Reading(logits=logits, log_density=self.saliency(fine), embedding=embedding)

    def groups(self) -> dict[str, list[nn.Module]]:
        """The parts; every parameter is in exactly one."""
        found: dict[str, list[nn.Module]] = {
            "encoder": [self.encoder],
            "decoder": [self.decoder],
            "saliency": [self.saliency],
        }
        return found if self.fusion is None else {**found, "fusion": [self.fusion]}


class MTUNet(UNet):
    """A plain U-Net for map and diagnosis together; at base 64 the diagnosis reads 1024 + 64 means.

    Paper: 2202.07118 (MT-UNet), trained with uncertainty weights; the main rival of 2403.16970.

    >>> reading = MTUNet(classes=3, base_channels=4)(torch.rand(2, 1, 32, 40))
    >>> reading.logits.shape, reading.log_density.shape
    (torch.Size([2, 3]), torch.Size([2, 32, 40]))
    """

    def __init__(
        self, *, classes: int, base_channels: int = 64, hidden: int = 64, dropout: float = 0.25
    ) -> None:
        super().__init__(
            DoubleConv, classes=classes, base_channels=base_channels, hidden=hidden, dropout=dropout
        )


class ResSENet(UNet):
    """The second encoder without the dense one: residual squeeze-and-excitation levels, map and diagnosis.

    Paper: 2403.16970, ablation. Differs: the decoder starts from E5, for there is no dense map to start from.
    """

    def __init__(
        self, *, classes: int, base_channels: int = 64, hidden: int = 64, dropout: float = 0.25
    ) -> None:
        super().__init__(ResSE, classes=classes, base_channels=base_channels, hidden=hidden, dropout=dropout)


class SaliencyUNet(UNet):
    """A plain U-Net for the map alone; it does not classify."""

    def __init__(self, *, base_channels: int = 64) -> None:
        super().__init__(DoubleConv, classes=0, base_channels=base_channels, hidden=1, dropout=0.0)
