"""Histograms of cell shapes, their course over training, and sizes against the theorem's bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from visus.drawing import FAINT, INK, MARKERS, SERIES, drawing, headline, number, percent, svg
from visus.errors import InputError
from visus.methods.polytopes.baselines.bounds import mean_facets_bound
from visus.methods.polytopes.config import SIMPLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from visus.methods.polytopes.model.tally import Measure, Tally, Weight

MOST_SERIES = len(SERIES)
TAIL = 0.998
"""Share of the cells that a histogram shows; the legend tells the largest value."""
_NAMES = {
    "num_simplices": "simplices per cell",
    "num_facets": "facets per cell",
    "num_vertices": "vertices per cell",
    "interior_degree": "neighbors per cell",
}


def draw_histograms(
    tallies: Mapping[str, Tally],
    *,
    measure: Measure = "num_simplices",
    weight: Weight = "cells",
    at_most: int | None = None,
    title: str = "",
) -> str:
    """Histograms side by side in one panel, as SVG text.

    The legend also tells the mean, which says little: it comes close to 2 d facets for every network.

    Parameters
    ----------
    tallies : name -> tally; one to six, drawn from left to right.
    measure, weight : which histogram.
    at_most : shade the values up to this one and tell their share; None shades the simple cells of the paper
        (at most 7) in a histogram of simplices and nothing else.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : no tally, or more than six.
    """
    if not 1 <= len(tallies) <= MOST_SERIES:
        raise InputError(
            f"{len(tallies)} histograms do not fit into one panel",
            field="tallies",
            remedy=f"give 1 to {MOST_SERIES}",
        )
    with drawing(2.7 + 0.17 * len(tallies) + (0.25 if title else 0)) as figure:
        histograms(figure.subplots(), tallies, measure, weight, at_most)
        headline(figure, title)
        return svg(figure)


def draw_views(
    tally: Tally, *, measure: Measure = "num_simplices", at_most: int | None = None, title: str = ""
) -> str:
    """One census in two histograms, every cell counting once and by its volume, as SVG text.

    The second is what a random point of the box sees. Parameters as for `draw_histograms`.
    """
    if at_most is None and measure == "num_simplices":
        at_most = SIMPLE
    largest = f", largest {tally.largest(measure)}"
    views = {
        "share of the cells": (tally.shares(measure), largest),
        "share of the volume": (tally.shares(measure, "volume"), ""),
    }
    with drawing(3.1 + (0.25 if title else 0)) as figure:
        axes = figure.subplots()
        panel(axes, views, at_most)
        axes.set(xlabel=_NAMES[measure], ylabel="share [%]")
        headline(figure, title)
        return svg(figure)


def histograms(
    axes: Axes, tallies: Mapping[str, Tally], measure: Measure, weight: Weight, at_most: int | None = None
) -> None:
    """Draw the histograms into a panel."""
    if at_most is None and measure == "num_simplices":
        at_most = SIMPLE
    shares = {
        name: (tally.shares(measure, weight), f", largest {tally.largest(measure)}")
        for name, tally in tallies.items()
    }
    panel(axes, shares, at_most)
    what = "share of the cells [%]" if weight == "cells" else "share of the volume [%]"
    axes.set(xlabel=_NAMES[measure], ylabel=what)


def panel(axes: Axes, series: Mapping[str, tuple[Float[np.ndarray, " n"], str]], at_most: int | None) -> None:
    """Bars of several distributions over 0, 1, 2, ...; the legend gives name, share of the simple, mean, and more."""
    from matplotlib.ticker import MaxNLocator

    first = min(int(np.flatnonzero(shares)[0]) for shares, _ in series.values())
    last = max(int(np.argmax(np.cumsum(shares) >= TAIL)) for shares, _ in series.values())
    values, wide = np.arange(first, last + 1), 0.84 / len(series)
    for place, (name, (shares, more)) in enumerate(series.items()):
        mean = float(shares @ np.arange(len(shares)))
        simple = "" if at_most is None else f"{percent(float(shares[: at_most + 1].sum()))} up to {at_most}, "
        axes.bar(
            values + wide * (place - (len(series) - 1) / 2),
            100 * np.pad(shares, (0, last + 1))[first : last + 1],
            width=wide,
            color=SERIES[place],
            label=f"{name}: {simple}mean {mean:.2f}{more}",
        )
    if at_most is not None:
        axes.axvspan(first - 0.5, at_most + 0.5, color="#f0f3e6", zorder=0, linewidth=0)
    axes.set_xlim(first - 0.5, max(last, at_most or last) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    legend_above(axes)


def legend_above(axes: Axes) -> None:
    """One line per series, over the panel, where it hides nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        borderaxespad=0.1,
        handlelength=1.4,
        labelspacing=0.25,
    )


def draw_bounds(
    means: Mapping[str, Sequence[float]],
    counts: Mapping[str, Sequence[float]],
    *,
    dimension: int,
    what: str = "mean facets per cell",
    title: str = "",
) -> str:
    """Mean facets against the theorem's bound, and the number of cells that grows beside it, as SVG text.

    Parameters
    ----------
    means : name of a network -> mean facets of each seed; the bound is one on those that are not on the box.
    counts : the same names -> number of cells of each seed.
    dimension : of the input; the bound is 2 d.
    what : names the left axis.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : nothing to draw, or the names differ.
    """
    if not means or list(means) != list(counts):
        raise InputError(
            "have no name in common" if means else "are empty",
            field="means, counts",
            remedy="give the same names in the same order to both",
        )
    with drawing(1.35 + 0.3 * len(means)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.15, 1])
        bound = mean_facets_bound(dimension)
        for row, name in enumerate(means):
            for axes, values in ((left, means[name]), (right, counts[name])):
                axes.plot(values, _spread(row, len(values)), "o", color=SERIES[0], alpha=0.6, markersize=4.5)
                axes.plot([float(np.mean(values))], [row], "|", color=INK, markersize=13, markeredgewidth=1.8)
        every = [value for values in means.values() for value in values]
        low, high = min(*every, bound - 0.2), max(*every, bound)
        left.axvline(bound, color=SERIES[1], linewidth=1.4)
        left.text(bound, -0.62, f"2 d = {bound} ", ha="right", va="center", color=SERIES[1], fontsize=9)
        left.set(xlim=(low - 0.15 * (high - low), high + 0.12 * (high - low)), xlabel=what)
        left.set_yticks(range(len(means)), list(means))
        left.set_ylim(len(means) - 0.5, -0.95)
        cells = [value for values in counts.values() for value in values]
        if max(cells) > 10 * min(cells):
            right.set_xscale("log")
            right.xaxis.set_minor_formatter(lambda value, _: "")
        else:
            right.locator_params(axis="x", nbins=3)
        right.xaxis.set_major_formatter(lambda value, _: number(value))
        right.set_xlabel("cells")
        for axes in (left, right):
            axes.grid(axis="x", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
        headline(figure, title)
        return svg(figure)


def _spread(row: int, count: int) -> list[float]:
    """Heights of a row's marks, so that equal values do not hide each other."""
    return [row + 0.3 * ((0.5 + 0.618 * i) % 1 - 0.5) for i in range(count)]


def draw_history(
    epochs: Sequence[float],
    tallies: Sequence[Tally],
    *,
    scores: Mapping[str, Sequence[float]] | None = None,
    at_most: int = SIMPLE,
    title: str = "",
) -> str:
    """The number of cells and the share of simple ones over training, as SVG text.

    Censuses are drawn at equal distances, whatever lies between their epochs.

    Parameters
    ----------
    epochs : when each census was taken.
    tallies : the censuses.
    scores : name -> one value between 0 and 1 per census (an accuracy), drawn with the shares.
    at_most : most simplices of a simple cell.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : no census, or lists of different lengths.
    """
    scores = scores or {}
    if not tallies or any(len(values) != len(epochs) for values in (tallies, *scores.values())):
        raise InputError(
            f"{len(epochs)} epochs and {len(tallies)} censuses",
            field="epochs, tallies",
            remedy="give one census and one score per epoch, at least one",
        )
    lines: dict[str, tuple[Any, str]] = {
        f"share of the cells with up to {at_most} simplices": (
            [tally.share("num_simplices", at_most) for tally in tallies],
            "-",
        ),
        "the same by volume": ([tally.share("num_simplices", at_most, "volume") for tally in tallies], "-"),
        "facet histogram moved since the start": (
            [tally.distance(tallies[0], "num_facets") for tally in tallies],
            "-",
        ),
        **{name: (list(values), ":") for name, values in scores.items()},
    }
    with drawing(4.3 + 0.17 * len(lines)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.5])
        places = range(len(epochs))
        look: dict[str, Any] = {"markersize": 4, "linewidth": 1.4, "clip_on": False}
        upper.plot(places, [tally.num_cells for tally in tallies], "o-", color=INK, **look)
        upper.set_ylim(0, 1.15 * max(tally.num_cells for tally in tallies))
        upper.set_ylabel("cells")
        upper.yaxis.set_major_formatter(lambda value, _: number(value))
        for place, (name, (values, style)) in enumerate(lines.items()):
            color, marker = SERIES[place % MOST_SERIES], MARKERS[place % MOST_SERIES]
            lower.plot(places, values, style, label=name, color=color, marker=marker, **look)
        step = -(-len(epochs) // 12)
        lower.set_xticks(places[::step], [f"{epoch:g}" for epoch in epochs[::step]])
        lower.set(ylim=(0, 1.04), xlabel="epoch")
        for axes in (upper, lower):
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
        legend_above(lower)
        headline(figure, title)
        return svg(figure)
