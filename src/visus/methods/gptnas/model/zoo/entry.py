"""What every family of the zoo has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Entry:
    """A network of the zoo: how it is made (`make(num_classes=...)`), and the side of its square images."""

    make: Callable[..., nn.Module]
    side: int = 224


def head(channels: int, num_classes: int, *, dropout: float = 0.0) -> list[nn.Module]:
    """Global average, optional dropout, linear classifier."""
    drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *drop, nn.Linear(channels, num_classes)]


def divisible(number: float, by: int) -> int:
    """The multiple of `by` nearest to a number (halves up), but not below nine tenths of it.

    >>> divisible(35.2, 8), divisible(11, 8)
    (32, 16)
    """
    rounded = max(by, int(number + by / 2) // by * by)
    return rounded if rounded >= 0.9 * number else rounded + by
