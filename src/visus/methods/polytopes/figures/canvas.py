"""Canvas, colors and legends that all pictures share.

Every picture is an SVG text on a white card, so it can be read in a light and in a dark page; text stays text.
The same numbers always give the same file.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 5.4
"""Inches; text of 9 to 10 points stays readable at the width of a phone."""
INK, FAINT, GRID = "#1b1f24", "#6b7480", "#d9dee3"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a5800")
MARKERS = ("o", "D", "^", "s", "v", "P")
SEQUENCE = ("#fbf3c4", "#cfe5a8", "#8fcfa4", "#4fb0a8", "#2c88a6", "#2a5f97", "#303a7c", "#2a1a4f")
"""From simple (light) to complicated (dark); lightness falls evenly, so order survives color blindness and
gray."""
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "visus",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def drawing(height: float, *, width: float = WIDTH) -> Iterator[Canvas]:
    """A figure, and around it the settings under which the same numbers give the same file."""
    import matplotlib.style
    from matplotlib.figure import Figure as Canvas

    with matplotlib.style.context(["default", _SETTINGS]):
        figure = Canvas(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)  # type: ignore[union-attr]
        yield figure


def to_svg(figure: Canvas, *, dpi: int = 220) -> str:
    """The figure as SVG text; `dpi` is that of parts drawn as pixels."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def headline(figure: Canvas, title: str) -> None:
    """A line above everything."""
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=10)


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
            Rectangle((place + 0.02, 0), 0.96, 0.9, facecolor=color, edgecolor=FAINT, linewidth=0.4)
        )
        light = place < 4
        axes.text(place + 0.5, 0.43, label, ha="center", va="center", color=INK if light else "white")
        axes.text(place + 0.5, -0.6, percent(share), ha="center", va="center", color=FAINT, fontsize=8.5)
    axes.text(0.02, 1.5, title, ha="left", va="center")


def percent(share: float) -> str:
    """A share in words short enough for a tick."""
    value = 100 * share
    if value < 0.1:
        return "<0.1 %" if value > 0 else "0 %"
    if 99.5 <= value < 100 - 1e-6:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def number(value: float) -> str:
    """A count with thousands apart."""
    return f"{value:,.0f}"


def many(count: int, what: str) -> str:
    """A count of things.

    >>> many(1, "cell"), many(1200, "cell")
    ('1 cell', '1,200 cells')
    """
    return f"{number(count)} {what}{'' if count == 1 else 's'}"
