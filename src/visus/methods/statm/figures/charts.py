"""Dots of every seed side by side, and costs over the length of the memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from visus.drawing import FAINT, GRAY, INK, MARKERS, SERIES, drawing, headline, number, svg
from visus.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from visus.methods.statm.model.predictors import Predictor


def draw_scores(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    names: Mapping[str, str] | None = None,
    unlearned: Sequence[str] = (),
    title: str = "",
) -> str:
    """One row per arm and one panel per score: a dot for every seed, a stroke at their mean, as SVG text.

    Parameters
    ----------
    panels : what the horizontal axis shows -> arm -> one value per seed; values that are not finite are left
        out. Rows are the arms of the first panel, in its order, then those that only others have.
    names : arm -> what the row is called.
    unlearned : arms that are drawn in gray, as marks to compare with.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : there is no finite value.
    """
    rows = list(dict.fromkeys(arm for values in panels.values() for arm in values))
    if not any(
        math.isfinite(value) for values in panels.values() for arm in values.values() for value in arm
    ):
        raise InputError("hold no finite value", field="panels", remedy="measure something first")
    with drawing(0.95 + 0.27 * len(rows) + (0.25 if title else 0)) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (label, values) in zip(axes, panels.items(), strict=True):
            for row, arm in enumerate(rows):
                known = [value for value in values.get(arm, ()) if math.isfinite(value)]
                color = GRAY if arm in unlearned else SERIES[0]
                places = [row + 0.3 * ((0.5 + 0.618 * i) % 1 - 0.5) for i in range(len(known))]
                axis.plot(known, places, "o", color=color, alpha=0.65, markersize=4.5)
                if known:
                    axis.plot(
                        [sum(known) / len(known)], [row], "|", color=INK, markersize=12, markeredgewidth=1.6
                    )
            axis.set_xlabel(label)
            axis.locator_params(axis="x", nbins=4)
            axis.grid(axis="both", color=FAINT, linewidth=0.6)
            axis.set_axisbelow(True)
            axis.spines["left"].set_visible(False)
            axis.tick_params(axis="y", length=0)
        axes[0].set_yticks(range(len(rows)), [(names or {}).get(arm, arm.replace("_", " ")) for arm in rows])
        axes[0].set_ylim(len(rows) - 0.5, -0.5)
        headline(figure, title)
        return svg(figure)


def draw_costs(
    predictors: Mapping[str, Predictor],
    *,
    slots: int = 11,
    lengths: Sequence[int] = (1, 2, 4, 6, 12, 24, 48, 96),
    title: str = "",
) -> str:
    """Multiply-adds of a step and numbers remembered, over the frames in memory, as SVG text.

    Both are exact, from the layers' sizes; nothing is computed. Predictors that remember nothing have no curve in
    the second panel.

    Parameters
    ----------
    predictors : name -> predictor, at most seven.
    slots : slots per frame.
    lengths : frames in memory, the current one included.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : no predictor, or more than seven.
    """
    from visus.methods.statm.model.cost import cost

    if not 1 <= len(predictors) <= len(SERIES):
        raise InputError(
            f"{len(predictors)} curves do not fit", field="predictors", remedy=f"give 1 to {len(SERIES)}"
        )
    with drawing(3.3 + 0.19 * len(predictors) + (0.25 if title else 0)) as figure:
        left, right = figure.subplots(1, 2)
        for place, (name, predictor) in enumerate(predictors.items()):
            costs = [cost(predictor, slots=slots, length=length) for length in lengths]
            look = {"color": SERIES[place], "marker": MARKERS[place], "markersize": 4, "linewidth": 1.4}
            left.plot(lengths, [one.operations / 1e6 for one in costs], label=name, **look)
            if all(one.remembered for one in costs):
                right.plot(lengths, [one.remembered for one in costs], **look)
        _logarithmic(left, lengths, "multiply-adds of a step [million]")
        _logarithmic(right, lengths, "numbers remembered")
        right.yaxis.set_major_formatter(lambda value, _: number(value))
        figure.legend(loc="outside lower left", ncols=2, handlelength=2)
        headline(figure, title)
        return svg(figure)


def _logarithmic(axes: Axes, lengths: Sequence[int], label: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(lengths[::2], [str(length) for length in lengths[::2]])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlabel="frames in memory", title=label)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
