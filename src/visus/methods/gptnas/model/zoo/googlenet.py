"""GoogLeNet (1409.4842) with batch normalization, without the auxiliary classifiers of training."""

from __future__ import annotations

from torch import nn

from visus.methods.gptnas.model.blocks import Inception, conv, normalized
from visus.methods.gptnas.model.zoo.entry import Entry, head

_INCEPTIONS = (
    # channels in, then 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    ((192, (64, 96, 128, 16, 32, 32)), (256, (128, 128, 192, 32, 96, 64))),
    (
        (480, (192, 96, 208, 16, 48, 64)),
        (512, (160, 112, 224, 24, 64, 64)),
        (512, (128, 128, 256, 24, 64, 64)),
        (512, (112, 144, 288, 32, 64, 64)),
        (528, (256, 160, 320, 32, 128, 128)),
    ),
    ((832, (256, 160, 320, 32, 128, 128)), (832, (384, 192, 384, 48, 128, 128))),
)
"""Stages 3, 4 and 5."""


def googlenet(*, num_classes: int) -> nn.Module:
    """Three convolutions and nine inception blocks, with four pools between them."""
    layers: list[nn.Module] = [
        *normalized(nn.Conv2d(3, 64, 7, 2, 3, bias=False), eps=1e-3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *normalized(conv(64, 64), eps=1e-3),
        *normalized(conv(64, 192, 3), eps=1e-3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
    ]
    for stage, inceptions in enumerate(_INCEPTIONS):
        if stage:
            layers.append(nn.MaxPool2d(3 if stage == 1 else 2, 2, ceil_mode=True))
        layers += [Inception(c_in, widths) for c_in, widths in inceptions]
    return nn.Sequential(*layers, *head(1024, num_classes, dropout=0.2))


ENTRIES: dict[str, Entry] = {"googlenet": Entry(googlenet)}
