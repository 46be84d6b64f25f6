"""Values with their intervals between what guessing gives and what people reach, and whether probabilities hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from visus.drawing import FAINT, GREEN, MARKERS, QUIET, SERIES, drawing, headline, svg
from visus.errors import InputError


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


GUESSING = Band(name="guessing", low=1 / 3, high=1 / 3, aim=False)
"""One of three."""


def draw_marks(
    marks: Sequence[Mark],
    *,
    what: str,
    bands: Sequence[Band] = (),
    percent: bool = False,
    title: str = "",
) -> str:
    """Values below each other with their intervals, and lines such as chance and ceiling, as SVG text.

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
    with drawing(0.95 + 0.27 * len(marks) + 0.25 * -(-len(told) // 4) + (0.25 if title else 0)) as figure:
        axes = figure.subplots()
        _lines(axes, bands, percent)
        for place, mark in enumerate(marks):
            number = groups.index(mark.group)
            _draw(axes, mark, place, color=SERIES[number % 7], marker=MARKERS[number % 7])
        axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
        axes.set_ylim(len(marks) - 0.4, -0.75)
        _finish(axes, what, percent)
        if told:
            _legend(figure, axes, groups)
        headline(figure, title)
        return svg(figure)


def draw_calibration(
    confidence: Float[np.ndarray, " bins"],
    accuracy: Float[np.ndarray, " bins"],
    count: Float[np.ndarray, " bins"],
    *,
    title: str = "",
) -> str:
    """Share of right choices over the probability given to them, bin by bin, as SVG text.

    The area of a mark grows with the number of triplets of its bin; empty bins (nan) are left out.

    Raises
    ------
    InputError : no bin has a triplet.
    """
    shown = [i for i in range(len(count)) if count[i] > 0]
    if not shown:
        raise InputError("has no triplets", field="count", remedy="give at least one")
    with drawing(3.4 + (0.25 if title else 0), width=4.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
        sizes = [20 + 160 * float(count[i]) / float(np.max(count)) for i in shown]
        axes.plot([float(confidence[i]) for i in shown], [float(accuracy[i]) for i in shown], color=SERIES[0])
        axes.scatter(
            [float(confidence[i]) for i in shown],
            [float(accuracy[i]) for i in shown],
            s=sizes,
            color=SERIES[0],
            alpha=0.8,
            zorder=3,
        )
        axes.set(xlim=(0.3, 1.01), ylim=(0, 1.01), xlabel="probability of the choice", ylabel="share right")
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        headline(figure, title)
        return svg(figure)


def limits(values: Sequence[float], *, room: float = 0.06) -> tuple[float, float]:
    """An axis that holds all finite values with some room.

    >>> limits([0.0, 1.0], room=0.1)
    (-0.1, 1.1)
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    reach = room * (high - low) or max(abs(high), 1.0) * room
    return low - reach, high + reach


def shares(axis: Any) -> None:
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
            told = f"{_number(band.low, percent)} to {_number(band.high, percent)}"
        else:
            told = _number(band.low, percent)
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


def _draw(axes: Any, mark: Mark, place: int, *, color: str, marker: str) -> None:
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
        shares(axes.xaxis)


def _legend(figure: Any, axes: Any, groups: Sequence[str]) -> None:
    for number, group in enumerate(groups):
        if group:
            axes.plot([], [], MARKERS[number % 7], color=SERIES[number % 7], label=group)
    figure.legend(loc="outside lower left", ncols=4, handletextpad=0.2, columnspacing=1.2)


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def summary(values: Mapping[str, Sequence[float]]) -> list[Mark]:
    """Marks of arms from one value per seed.

    >>> summary({"ridge": [0.5, 0.7]})[0].value
    0.6
    """
    return [
        Mark(name=arm, value=float(np.mean(known)) if known else math.nan, seeds=tuple(known))
        for arm, seeds in values.items()
        for known in [[value for value in seeds if math.isfinite(value)]]
    ]
