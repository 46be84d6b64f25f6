"""What every picture of the house shares: sizes, colors told apart by color-blind readers, deterministic SVG.

A drawing has a white ground of its own, so it reads the same on a light and on a dark page; text stays text, and
the same numbers always give the same file. Methods draw in their `figures`; nothing that is measured comes here.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK, QUIET, FAINT, GROUND = "#1b1f24", "#55606c", "#c4cad1", "#f4f6f8"
"""Text, secondary text and axes, grid lines, filled ground."""
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GRAY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#e69f00",
    "#56b4e9",
    "#cc79a7",
    "#8c8c8c",
)
SERIES = (BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, GRAY)
MARKERS = ("o", "D", "^", "s", "v", "P", "X")
WIDTH = 6.4
"""Inches; at 72 to the inch and text of 9 to 10 a drawing stays readable at the width of a phone."""
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def drawing(height: float, *, width: float = WIDTH) -> Iterator[Canvas]:
    """An empty figure of `width` by `height` inches, and around it the house's style.

    Inside the context, `figure.subplots(...)` gives panels in that style; end with `svg(figure)`.
    """
    import matplotlib.style
    from matplotlib.figure import Figure as Canvas

    with matplotlib.style.context(["default", _SETTINGS]):
        figure = Canvas(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)  # type: ignore[union-attr]
        yield figure


def canvas(height: float, *, width: float = WIDTH) -> tuple[Canvas, Axes]:
    """A figure with one panel, for drawings that need no context."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height), layout=roomy())
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


def plain(height: float, *, width: float = WIDTH) -> tuple[Canvas, Axes]:
    """A figure without axes whose units are points, with the origin in the upper left corner."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 72 * width), ylim=(72 * height, 0))
    axes.axis("off")
    return figure, axes


def heading(axes: Axes, text: str) -> None:
    """A title over the panel, at its left edge."""
    if text:
        axes.set_title(text, loc="left", fontsize=11, color=INK, pad=10)


def headline(figure: Canvas, title: str) -> None:
    """A line above all panels."""
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=10)


def svg(figure: Canvas, *, dpi: int = 220) -> str:
    """The figure as SVG text; `dpi` is that of parts drawn as pixels."""
    import matplotlib

    buffer = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "visus", "svg.fonttype": "none", "text.parse_math": False}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def percent(share: float) -> str:
    """A share in words short enough for a tick.

    >>> percent(0.0004), percent(0.0312), percent(0.68)
    ('<0.1 %', '3.1 %', '68 %')
    """
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
