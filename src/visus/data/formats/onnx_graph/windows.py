"""Operators that move a window over space: convolution and pooling, with ONNX's rules of padding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visus.data.formats.onnx_graph.node import Node

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
AVERAGE_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


@dataclass(frozen=True, kw_only=True)
class Window:
    """Size, stride and dilation along every axis of space, and the padding before and after it."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    around: tuple[tuple[int, int], ...]
    same: str
    """`SAME_UPPER` or `SAME_LOWER` where the padding follows from the input; else empty."""

    @property
    def reach(self) -> tuple[int, ...]:
        """Length of the window along every axis, gaps included."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.size, self.dilation))

    @property
    def even(self) -> tuple[int, ...] | None:
        """The padding where it is the same before and after on every axis."""
        if self.same or any(before != after for before, after in self.around):
            return None
        return tuple(before for before, _ in self.around)


class Border(nn.Module):
    """Adds a border: as wide as stated, or as `SAME` padding of this input needs.

    `value` fills it; None repeats the outermost values, which leaves maxima over windows as they are.
    """

    def __init__(self, window: Window, value: float | None) -> None:
        super().__init__()
        self.window, self.value = window, value

    def forward(self, x: Tensor) -> Tensor:
        around = self.window.around
        if self.window.same:
            around = [self._same(x.shape[i + 2], i) for i in range(len(around))]
        flat = [size for pair in reversed(around) for size in pair]
        return F.pad(x, flat, mode="replicate") if self.value is None else F.pad(x, flat, value=self.value)

    def _same(self, length: int, axis: int) -> tuple[int, int]:
        stride, reach = self.window.stride[axis], self.window.reach[axis]
        missing = max(0, (math.ceil(length / stride) - 1) * stride + reach - length)
        less, more = missing // 2, missing - missing // 2
        return (less, more) if self.window.same == "SAME_UPPER" else (more, less)


class SharesOfWindow(nn.Module):
    """Average over the part of each window that lies on the input, for padding that differs between sides."""

    def __init__(self, window: Window, ceil: bool) -> None:
        super().__init__()
        self.border, self.window, self.ceil = Border(window, 0.0), window, ceil

    def forward(self, x: Tensor) -> Tensor:
        pool = AVERAGES[len(self.window.size)]
        # made from the sizes alone: the divisor must not look as if it depended on the data
        inside = self.border(torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device))
        sums, shares = (
            pool(values, self.window.size, self.window.stride, ceil_mode=self.ceil)
            for values in (self.border(x), inside)
        )
        return sums / shares


def conv(node: Node) -> nn.Module:
    """A convolution with constant weights."""
    weight, groups = node.fixed(1, "weight"), int(node.take("group", 1))
    if weight.ndim - 2 not in CONVOLUTIONS:
        node.refuse(f"a weight of shape {tuple(weight.shape)} is no convolution", "use 1 to 3 axes of space")
    window = _window(node, tuple(weight.shape[2:]))
    bias = node.fixed(2, "bias") if node.has(2) else None
    made: Any = nn.utils.skip_init(
        CONVOLUTIONS[weight.ndim - 2],
        weight.shape[1] * groups,
        weight.shape[0],
        window.size,
        stride=window.stride,
        padding=window.even or 0,
        dilation=window.dilation,
        groups=groups,
        bias=bias is not None,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made if window.even is not None else nn.Sequential(Border(window, 0.0), made)


def max_pool(node: Node) -> nn.Module:
    """The largest value of each window; padding never wins."""
    node.expect(storage_order=0)
    if len([name for name in node.outputs if name]) > 1:
        node.refuse("it also gives the places of the maxima", "export without the second output")
    window, ceil = _pooling(node), bool(node.take("ceil_mode", 0))
    fits = window.even is not None and all(2 * p <= s for p, s in zip(window.even, window.size))
    made = MAX_POOLS[len(window.size)](
        window.size,
        window.stride,
        padding=window.even if fits and window.even is not None else 0,
        dilation=window.dilation,
        ceil_mode=ceil,
    )
    touches = all(step == 1 for step in window.dilation) and all(
        max(pair) < size for pair, size in zip(window.around, window.size)
    )
    return made if fits else nn.Sequential(Border(window, None if touches else -math.inf), made)


def average_pool(node: Node) -> nn.Module:
    """The mean of each window, with or without its padding."""
    window, ceil = _pooling(node), bool(node.take("ceil_mode", 0))
    counted = bool(node.take("count_include_pad", 0))
    if any(step != 1 for step in window.dilation):
        node.refuse(f"dilations={list(window.dilation)} is not supported", "export it without dilations")
    pool = AVERAGE_POOLS[len(window.size)]
    if window.even is not None and all(2 * p <= s for p, s in zip(window.even, window.size)):
        return pool(
            window.size, window.stride, padding=window.even, ceil_mode=ceil, count_include_pad=counted
        )
    if counted and not ceil:
        return nn.Sequential(Border(window, 0.0), pool(window.size, window.stride))
    if counted:
        node.refuse("ceil_mode with unequal padding is not supported", "export it with ceil_mode=0")
    return SharesOfWindow(window, ceil)


def _pooling(node: Node) -> Window:
    size = tuple(node.take("kernel_shape") or ())
    if len(size) not in MAX_POOLS:
        node.refuse(f"kernel_shape={list(size)} is not supported", "use 1 to 3 axes of space")
    return _window(node, size)


def _window(node: Node, size: tuple[int, ...]) -> Window:
    stated = tuple(node.take("kernel_shape") or size)
    if stated != size:
        node.refuse(f"kernel_shape={list(stated)} does not fit a weight of {list(size)}", "export it again")
    ones, count = [1] * len(size), len(size)
    pads: Sequence[int] = node.take("pads") or [0] * 2 * count
    auto = node.take("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"auto_pad={auto} is not supported", "export it with explicit pads")
    if min(pads) < 0:
        node.refuse(f"pads={list(pads)} cut the input", "export it with pads of 0 or more")
    if auto == "VALID":
        pads = [0] * 2 * count
    return Window(
        size=size,
        stride=tuple(node.take("strides") or ones),
        dilation=tuple(node.take("dilations") or ones),
        around=tuple(zip(pads[:count], pads[count:])),
        same=auto if auto.startswith("SAME") else "",
    )
