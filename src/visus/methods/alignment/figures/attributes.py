"""What embeddings have in common and how well they do: one panel per attribute, and the effects of attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from visus.drawing import FAINT, INK, QUIET, SERIES, Mark, drawing, headline, percent_axis, svg
from visus.errors import InputError


def draw_attribute(
    name: str, values: Sequence[str | float], accuracies: Sequence[float], *, names: Sequence[str] = ()
) -> str:
    """Accuracy of every embedding over one of its attributes, as SVG text.

    Texts stand beside each other with a stroke at their mean; numbers make an axis, logarithmic where they span
    more than a factor of 30.

    Parameters
    ----------
    values : of the attribute, one per embedding.
    accuracies : shares.
    names : of the embeddings, written beside the marks where there is room.

    Raises
    ------
    InputError : nothing to draw, or lists of different lengths.
    """
    if not values or len(values) != len(accuracies):
        problem = f"{len(values)} values and {len(accuracies)} accuracies"
        raise InputError(problem, field=name, remedy="give one of each per embedding, at least one")
    numeric = not any(isinstance(value, str) for value in values)
    with drawing(3.1) as figure:
        axes = figure.subplots()
        places = [float(v) for v in values] if numeric else _kinds(axes, [str(v) for v in values], accuracies)
        axes.plot(places, accuracies, "o", color=SERIES[0], markersize=6, alpha=0.75)
        if len(names) == len(values):
            _label(axes, places, accuracies, names)
        if numeric and min(places) > 0 and max(places) > 30 * min(places):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: _short(value))
            axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set(xlabel=name, ylabel="odd-one-out accuracy")
        percent_axis(axes.yaxis)
        axes.margins(x=0.15, y=0.12)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        return svg(figure)


def _short(value: float) -> str:
    """A size in words short enough for a tick.

    >>> _short(2e7), _short(512.0)
    ('20 M', '512')
    """
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def draw_effects(marks: Sequence[Mark], *, title: str = "") -> str:
    """Differences in percentage points with their intervals about a line at zero, as SVG text.

    A mark whose interval excludes zero is filled, the others are open; `group` names the attribute.

    Parameters
    ----------
    marks : values are shares.

    Raises
    ------
    InputError : no mark.
    """
    if not marks:
        raise InputError("has nothing to draw", field="marks", remedy="give at least one")
    groups = list(dict.fromkeys(mark.group for mark in marks))
    with drawing(0.85 + 0.3 * len(marks) + (0.25 if title else 0)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=QUIET, linewidth=1.1)
        for place, mark in enumerate(marks):
            color = SERIES[groups.index(mark.group) % len(SERIES)]
            low, high = mark.interval if mark.interval is not None else (math.nan, math.nan)
            clear = low > 0 or high < 0
            axes.plot([100 * low, 100 * high], [place, place], color=color, linewidth=1.8)
            face = color if clear else "white"
            axes.plot([100 * mark.value], [place], "o", color=color, markerfacecolor=face, markersize=6)
        axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
        axes.set_ylim(len(marks) - 0.4, -0.6)
        axes.set_xlabel("difference in odd-one-out accuracy (points)")
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        headline(figure, title)
        return svg(figure)


def _label(axes: Any, places: Sequence[float], accuracies: Sequence[float], names: Sequence[str]) -> None:
    """Names beside the marks, from the top; those that would cover another are left out."""
    room = 0.06 * (max(accuracies) - min(accuracies))
    lowest: dict[float, float] = {}
    for place, accuracy, name in sorted(zip(places, accuracies, names, strict=True), key=lambda m: -m[1]):
        if len(set(places)) > 6 or lowest.get(place, math.inf) - accuracy < room:
            continue
        lowest[place] = accuracy
        axes.annotate(
            name,
            (place, accuracy),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
            color=QUIET,
        )


def _kinds(axes: Any, values: Sequence[str], accuracies: Sequence[float]) -> list[float]:
    """Places of texts, in the order of their means, with a stroke at each mean."""
    means = {
        kind: float(np.mean([a for v, a in zip(values, accuracies, strict=True) if v == kind]))
        for kind in dict.fromkeys(values)
    }
    order = sorted(means, key=lambda kind: (means[kind], kind))
    for place, kind in enumerate(order):
        axes.plot([place - 0.25, place + 0.25], [means[kind]] * 2, color=INK, linewidth=2)
    axes.set_xticks(range(len(order)), order)
    axes.set_xlim(-0.6, len(order) - 0.4)
    return [float(order.index(value)) for value in values]
