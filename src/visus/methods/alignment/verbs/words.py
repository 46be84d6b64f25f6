"""What scores look like in words."""

from __future__ import annotations

import math
from collections.abc import Sequence


def told(value: float | None, *, percent: bool = False, digits: int = 3) -> str:
    """A number in words short enough for a cell, on one line; a dash where there is none.

    >>> told(0.4937, percent=True).replace(chr(160), " "), told(0.5), told(float("nan"))
    ('49.4 %', '0.500', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f}\u00a0%" if percent else f"{value:.{digits}f}"


def ranged(interval: Sequence[float] | None, *, percent: bool = False, digits: int = 3) -> str:
    """An interval in words that stay on one line.

    >>> ranged((0.1, 0.25), percent=True).replace(chr(160), " ")
    '10.0 to 25.0 %'
    """
    if interval is None or not all(map(math.isfinite, interval)):
        return ""
    low, high = (told(value, percent=percent, digits=digits) for value in interval)
    low = low.removesuffix("\u00a0%")
    return f"{low} to {high}".replace(" ", "\u00a0")


def chance(p: float) -> str:
    """A p-value in words.

    >>> chance(0.0002), chance(0.2)
    ('< 0.001', '= 0.200')
    """
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def points(value: float, interval: Sequence[float]) -> tuple[str, str]:
    """A difference of shares in percentage points, with its interval.

    >>> [word.replace(chr(160), " ") for word in points(0.05, (-0.004, 0.1))]
    ['+5.0', '-0.4 to +10.0']
    """
    if not all(map(math.isfinite, interval)):
        return f"{100 * value:+.1f}", "cannot be told"
    low, high = (f"{100 * end:+.1f}" for end in interval)
    return f"{100 * value:+.1f}", f"{low} to {high}".replace(" ", "\u00a0")
