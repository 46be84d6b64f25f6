"""What every picture of the house shares: sizes, colors told apart by color-blind readers, deterministic SVG.

A drawing has a white ground of its own, so it reads the same on a light and on a dark page; text stays text, and
the same numbers always give the same file. Methods draw in their `figures`; nothing that is measured comes here.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

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


# ---- marks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value with its interval; marks of one group share a color and a symbol."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    group: str = ""
    seeds: tuple[float, ...] = ()
    """Single values the mark is the mean of, drawn beside it."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """A line, or a band where `low` and `high` differ, across all marks."""

    name: str
    low: float
    high: float
    aim: bool = True
    """Something to be reached, such as the noise ceiling; guessing is not."""


def draw_marks(
    marks: Sequence[Mark],
    *,
    what: str,
    bands: Sequence[Band] = (),
    percent: bool = False,
    title: str = "",
) -> str:
    """Values below each other with their intervals, and lines such as guessing and ceiling, as SVG text.

    Parameters
    ----------
    marks : from top to bottom; one whose value is nan keeps an empty line.
    what : the axis.
    bands : lines and bands across all marks, named above the panel.
    percent : values are shares.
    title : a line above.

    Raises
    ------
    InputError : no mark.
    """
    if not marks:
        raise InputError("has nothing to draw", field="marks", remedy="give at least one")
    groups = list(dict.fromkeys(mark.group for mark in marks))
    told = [group for group in groups if group] if len(groups) > 1 else []
    with drawing(0.95 + 0.27 * len(marks) + 0.25 * -(-len(told) // 3) + (0.25 if title else 0)) as figure:
        axes = figure.subplots()
        _lines(axes, bands, percent)
        for place, mark in enumerate(marks):
            number = groups.index(mark.group) % len(SERIES)
            _mark(axes, mark, place, color=SERIES[number], marker=MARKERS[number])
        axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
        axes.set_ylim(len(marks) - 0.4, -0.75)
        _finish(axes, what, percent)
        if told:
            _legend(figure, axes, groups)
        headline(figure, title)
        return svg(figure)


def seed_marks(values: Mapping[str, Sequence[float]]) -> list[Mark]:
    """Marks of arms from one value per seed; an arm without a finite value is left out.

    >>> seed_marks({"name": [0.5, 0.7], "gloss": [float("nan")]})[0].value
    0.6
    """
    found = {arm: [value for value in seeds if math.isfinite(value)] for arm, seeds in values.items()}
    return [
        Mark(name=arm, value=sum(known) / len(known), seeds=tuple(known))
        for arm, known in found.items()
        if known
    ]


def percent_axis(axis: Any) -> None:
    """Ticks of an axis of shares, at whole percents."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")


def _lines(axes: Any, bands: Sequence[Band], percent: bool) -> None:
    for band in bands:
        color = GREEN if band.aim else QUIET
        if band.high > band.low:
            axes.axvspan(band.low, band.high, color=color, alpha=0.15, linewidth=0)
        else:
            axes.axvline(band.low, color=color, linewidth=1.3, linestyle="--" if band.aim else ":")
        place = (band.low + band.high) / 2
        if band.high > band.low:
            told = f"{_value(band.low, percent)} to {_value(band.high, percent)}"
        else:
            told = _value(band.low, percent)
        axes.annotate(
            f"{band.name} {told}",
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=color,
            fontsize=8.5,
        )


def _mark(axes: Any, mark: Mark, place: int, *, color: str, marker: str) -> None:
    if not math.isfinite(mark.value):
        return
    if mark.interval is not None and all(map(math.isfinite, mark.interval)):
        axes.plot(mark.interval, [place, place], color=color, linewidth=1.8, solid_capstyle="butt")
    if mark.seeds:
        seeds = [value for value in mark.seeds if math.isfinite(value)]
        axes.plot(seeds, [place] * len(seeds), marker, color=color, markersize=4.5, alpha=0.55)
        axes.plot([mark.value, mark.value], [place - 0.3, place + 0.3], color=color, linewidth=2.2)
    else:
        axes.plot([mark.value], [place], marker, color=color, markersize=6)


def _finish(axes: Any, what: str, percent: bool) -> None:
    axes.set_xlabel(what)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    if percent:
        percent_axis(axes.xaxis)


def _legend(figure: Any, axes: Any, groups: Sequence[str]) -> None:
    for number, group in enumerate(groups):
        if group:
            axes.plot([], [], MARKERS[number % len(MARKERS)], color=SERIES[number % len(SERIES)], label=group)
    figure.legend(loc="outside lower left", ncols=3, handletextpad=0.2, columnspacing=1.2)


def _value(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"
