"""ResNet (1512.03385), ResNeXt (1611.05431) and wide ResNet (1605.07146): one plan, three kinds of bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from visus.methods.gptnas.model.blocks import BasicBlock, Bottleneck, Kind, normalized
from visus.methods.gptnas.model.zoo.entry import Entry, head


def resnet(
    depths: Sequence[int], kind: Kind | None, groups: int, per_group: int, *, num_classes: int
) -> nn.Module:
    """Four stages of 64, 128, 256, 512 planes; a bottleneck gives four times its planes.

    kind : of the bottleneck; None for the basic block.
    groups, per_group : the 3x3 convolution of a bottleneck has groups * planes * per_group / 64 channels.
    """
    layers = [*normalized(nn.Conv2d(3, 64, 7, 2, 3, bias=False)), nn.MaxPool2d(3, 2, 1)]
    c_in = 64
    for stage, depth in enumerate(depths):
        planes = 64 * 2**stage
        c_out = planes if kind is None else 4 * planes
        for number in range(depth):
            stride = 2 if stage and not number else 1
            if kind is None:
                layers.append(BasicBlock(c_in, c_out, stride=stride))
            else:
                width = planes * per_group // 64 * groups
                layers.append(Bottleneck(c_in, c_out, width=width, stride=stride, groups=groups, kind=kind))
            c_in = c_out
    return nn.Sequential(*layers, *head(c_in, num_classes))


_PLANS: dict[str, tuple[tuple[int, ...], Kind | None, int, int]] = {
    "resnet18": ((2, 2, 2, 2), None, 1, 64),
    "resnet34": ((3, 4, 6, 3), None, 1, 64),
    "resnet50": ((3, 4, 6, 3), "ResNet", 1, 64),
    "resnet101": ((3, 4, 23, 3), "ResNet", 1, 64),
    "resnet152": ((3, 8, 36, 3), "ResNet", 1, 64),
    "resnext50_32x4d": ((3, 4, 6, 3), "ResNeXt", 32, 4),
    "resnext101_32x8d": ((3, 4, 23, 3), "ResNeXt", 32, 8),
    "wide_resnet50_2": ((3, 4, 6, 3), "wide", 1, 128),
    "wide_resnet101_2": ((3, 4, 23, 3), "wide", 1, 128),
}
ENTRIES: dict[str, Entry] = {name: Entry(partial(resnet, *plan)) for name, plan in _PLANS.items()}
