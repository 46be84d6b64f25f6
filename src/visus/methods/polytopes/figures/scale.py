"""The scale from simple to complicated cells, and its legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from visus.drawing import INK, QUIET, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEQUENCE = ("#fbf3c4", "#cfe5a8", "#8fcfa4", "#4fb0a8", "#2c88a6", "#2a5f97", "#303a7c", "#2a1a4f")
"""From simple (light) to complicated (dark); lightness falls evenly, so order survives color blindness and
gray."""


def levels(values: Any, *, first: int, most: int = len(SEQUENCE)) -> tuple[Any, list[str]]:
    """Class of each value (first, first + 1, ..., the last class open) and the classes' labels."""
    import numpy as np

    values = np.asarray(values)
    last = min(first + most - 1, int(values.max(initial=first)))
    labels = [str(value) for value in range(first, last + 1)]
    if len(values) and values.max() > last:
        labels[-1] += "+"
    return np.clip(values, first, last) - first, labels


def ramp(count: int) -> list[str]:
    """`count` colors from light to dark."""
    return [SEQUENCE[i] for i in range(count)]


def legend_row(axes: Axes, title: str, labels: Sequence[str], shares: Sequence[float]) -> None:
    """A strip of classes of equal widths, with the value in each and its share of the cells below."""
    from matplotlib.patches import Rectangle

    axes.set(xlim=(0, max(len(labels), len(SEQUENCE))), ylim=(-1.9, 1.9))
    axes.axis("off")
    for place, (label, share, color) in enumerate(zip(labels, shares, ramp(len(labels)), strict=True)):
        axes.add_patch(
            Rectangle((place + 0.02, 0), 0.96, 0.9, facecolor=color, edgecolor=QUIET, linewidth=0.4)
        )
        light = place < 4
        axes.text(place + 0.5, 0.43, label, ha="center", va="center", color=INK if light else "white")
        axes.text(place + 0.5, -0.6, percent(share), ha="center", va="center", color=QUIET, fontsize=8.5)
    axes.text(0.02, 1.5, title, ha="left", va="center")
