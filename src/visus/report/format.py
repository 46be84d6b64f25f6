"""Numbers as text: as many places as the comparison can carry, and no more."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MINUS = "−"


def places_for(scale: float) -> int:
    """Decimal places that show a difference of `scale` with two digits.

    >>> places_for(0.01), places_for(1.3), places_for(250)
    (3, 2, 0)
    """
    if not math.isfinite(scale) or scale <= 0:
        return 3
    return min(12, max(0, 1 - math.floor(math.log10(scale)) + (1 <= scale < 10)))


def number(value: float | None, places: int | None = None, *, signed: bool = False) -> str:
    """One number. Whole numbers with `places=None` are grouped by thousands; others keep four digits.

    >>> number(4224), number(0.91234, 3), number(-0.5, 2, signed=True), number(None)
    ('4,224', '0.912', '−0.50', '–')
    """
    if value is None:
        return "–"
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    size = abs(value)
    if places is not None:
        text = f"{size:,.{places}f}"
    elif value.is_integer() and size < 1e15:
        text = f"{int(size):,}"
    else:
        text = f"{size:,.4g}" if 1e-4 <= size < 1e4 else (f"{size:,.1f}" if size < 1e9 else f"{size:.3e}")
        text = f"{size:.3g}" if size < 1e-4 else text
    nothing = not any(digit in text for digit in "123456789")
    if nothing and value != 0:  # a small effect must not be printed as none
        text, nothing = f"{size:.1e}", False
    if nothing:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def span(interval: tuple[float, float] | None, places: int | None = None, *, signed: bool = False) -> str:
    """An interval.

    >>> span((-0.01, 0.03), 3, signed=True)
    '[−0.010, +0.030]'
    """
    if interval is None:
        return "–"
    low, high = (number(value, places, signed=signed) for value in interval)
    return f"[{low}, {high}]"


def mean(values: Sequence[float]) -> float | None:
    """Mean of the values, None of nothing."""
    return statistics.fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1), None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None
