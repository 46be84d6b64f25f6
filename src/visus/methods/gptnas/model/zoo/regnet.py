"""RegNet X and Y (2003.13678): widths and depths from four numbers."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

from torch import nn

from visus.methods.gptnas.model.blocks import ResBottleneckBlock, SimpleStem
from visus.methods.gptnas.model.zoo.entry import Entry, divisible, head

_RULES = {
    # depth d, initial width w0, slope wa, quantization wm, group width
    "regnet_x_400mf": (22, 24, 24.48, 2.54, 16),
    "regnet_x_800mf": (16, 56, 35.73, 2.28, 16),
    "regnet_x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "regnet_x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "regnet_x_8gf": (23, 80, 49.56, 2.88, 120),
    "regnet_x_16gf": (22, 216, 55.59, 2.1, 128),
    "regnet_x_32gf": (23, 320, 69.86, 2.0, 168),
    "regnet_y_400mf": (16, 48, 27.89, 2.09, 8),
    "regnet_y_800mf": (14, 56, 38.84, 2.4, 16),
    "regnet_y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "regnet_y_3_2gf": (21, 80, 42.63, 2.66, 24),
    "regnet_y_8gf": (17, 192, 76.82, 2.19, 56),
    "regnet_y_16gf": (18, 200, 106.23, 2.48, 112),
    "regnet_y_32gf": (20, 232, 115.89, 2.53, 232),
}


def stages(depth: int, start: int, slope: float, factor: float, group: int) -> list[tuple[int, int, int]]:
    """(width, depth, group width) of every stage.

    u_j = w0 + wa j, s_j = round(log_wm(u_j / w0)), w_j = w0 wm^s_j rounded to a multiple of 8; blocks of equal
    width are a stage, whose width is then made divisible by the group width.

    Paper: 2003.13678, eq. 2 to 4.

    >>> stages(22, 24, 24.48, 2.54, 16)
    [(32, 1, 16), (64, 2, 16), (160, 7, 16), (400, 12, 16)]
    """
    steps = [round(math.log((start + slope * j) / start) / math.log(factor)) for j in range(depth)]
    widths = [8 * round(start * factor**step / 8) for step in steps]
    counted = sorted(Counter(widths).items())
    return [(divisible(width, min(group, width)), count, min(group, width)) for width, count in counted]


def regnet(
    depth: int, start: int, slope: float, factor: float, group: int, excited: bool, *, num_classes: int
) -> nn.Module:
    """Stem of 32 channels and stages of bottleneck blocks, each beginning with stride 2.

    excited : squeeze-excitation with a quarter of the block's input channels (Y) or none (X).
    """
    layers: list[nn.Module] = [SimpleStem(3, 32)]
    c_in = 32
    for width, count, per_group in stages(depth, start, slope, factor, group):
        for number in range(count):
            squeezed = round(c_in / 4) if excited else None
            stride = 2 if number == 0 else 1
            block = ResBottleneckBlock(
                c_in, width, stride=stride, groups=width // per_group, squeezed=squeezed
            )
            layers.append(block)
            c_in = width
    return nn.Sequential(*layers, *head(c_in, num_classes))


ENTRIES: dict[str, Entry] = {
    name: Entry(partial(regnet, *rule, "_y_" in name)) for name, rule in _RULES.items()
}
