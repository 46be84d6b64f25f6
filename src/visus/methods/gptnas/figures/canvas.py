"""What every picture of the method shares: sizes, colors told apart by color-blind readers, deterministic SVG.

A drawing has a white ground of its own, so it reads the same on a light and on a dark page.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, FAINT, GROUND = "#1b1f24", "#55606c", "#c4cad1", "#f4f6f8"
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GRAY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#e69f00",
    "#56b4e9",
    "#cc79a7",
    "#8c8c8c",
)
SPARE = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GRAY)
WIDTH = 6.4
"""Inches; at 72 to the inch and text of 9 to 10 a drawing stays readable at the width of a phone."""


def canvas(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty drawing of `width` by `height` inches with one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=roomy())
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(QUIET)
    axes.tick_params(colors=QUIET, labelsize=9)
    axes.xaxis.label.set(color=INK, fontsize=10)
    axes.yaxis.label.set(color=INK, fontsize=10)
    return figure, axes


def roomy() -> Any:
    """A layout that keeps text off the edges."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)


def plain(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A drawing without axes whose units are points, with the origin in the upper left corner."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 72 * width), ylim=(72 * height, 0))
    axes.axis("off")
    return figure, axes


def heading(axes: Axes, text: str) -> None:
    """A title over the panel, at its left edge."""
    if text:
        axes.set_title(text, loc="left", fontsize=11, color=INK, pad=10)


def svg(figure: Figure) -> str:
    """The drawing as SVG text: the same numbers always give the same text."""
    import matplotlib

    buffer = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "visus", "svg.fonttype": "none", "text.parse_math": False}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def spread(
    places: Sequence[float], least: float, *, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Places moved as little as needed (least squares) so that neighbors are at least `least` apart.

    The order is kept; equal places keep the order given. All stay between `low` and `high` where these leave
    enough room, else above `low`.

    >>> spread([0.0, 0.0, 5.0], 1.0)
    [-0.5, 0.5, 5.0]
    >>> spread([0.0, 0.0, 5.0], 1.0, low=0.0)
    [0.0, 1.0, 5.0]
    """
    order = np.argsort(places, kind="stable")
    groups: list[tuple[float, int]] = []  # mean of (place - rank * least), how many
    for rank, index in enumerate(order):
        mean, count = float(places[index]) - rank * least, 1
        while groups and groups[-1][0] > mean:  # pool adjacent violators
            before, many = groups.pop()
            mean, count = (mean * count + before * many) / (count + many), count + many
        groups.append((mean, count))
    flat = [
        max(low, min(mean, high - (len(order) - 1) * least)) for mean, count in groups for _ in range(count)
    ]
    found = [0.0] * len(places)
    for rank, index in enumerate(order):
        found[index] = flat[rank] + rank * least
    return found
