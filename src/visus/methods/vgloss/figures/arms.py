"""What description sets reach, one below the other, with intervals or seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visus.drawing import FAINT, MARKERS, QUIET, SERIES, drawing, svg
from visus.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A value with its interval, or with the seeds it is the mean of; a group shares color and symbol."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    group: str = ""
    seeds: tuple[float, ...] = ()


def draw_arms(arms: Sequence[Arm], *, what: str, chance: float | None = None, percent: bool = True) -> str:
    """Arms from top to bottom as SVG text.

    Parameters
    ----------
    what : the axis.
    chance : a dotted line.
    percent : values are shares.

    Raises
    ------
    InputError : no arm.
    """
    if not arms:
        raise InputError("has nothing to draw", field="arms", remedy="give at least one")
    groups = list(dict.fromkeys(arm.group for arm in arms))
    told = [group for group in groups if group] if len(groups) > 1 else []
    with drawing(0.95 + 0.26 * len(arms) + 0.25 * -(-len(told) // 3)) as figure:
        axes = figure.subplots()
        if chance is not None:
            _line(axes, chance, percent)
        for place, arm in enumerate(arms):
            number = groups.index(arm.group) % len(SERIES)
            _draw(axes, arm, place, color=SERIES[number], marker=MARKERS[number])
        axes.set_yticks(range(len(arms)), [arm.name for arm in arms])
        axes.set(ylim=(len(arms) - 0.4, -0.7), xlabel=what)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.08)
        if percent:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        for group in told:
            number = groups.index(group) % len(SERIES)
            axes.plot([], [], MARKERS[number], color=SERIES[number], label=group)
        if told:
            figure.legend(loc="outside lower left", ncols=3, handletextpad=0.2, columnspacing=1.2)
        return svg(figure)


def summary(values: Mapping[str, Sequence[float]]) -> list[Arm]:
    """Arms from one value per seed; an arm without a finite value is left out.

    >>> summary({"name": [0.5, 0.7], "gloss": [float("nan")]})[0].value
    0.6
    """
    found = {arm: [value for value in seeds if math.isfinite(value)] for arm, seeds in values.items()}
    return [
        Arm(name=arm, value=float(np.mean(known)), seeds=tuple(known))
        for arm, known in found.items()
        if known
    ]


def _line(axes: Any, chance: float, percent: bool) -> None:
    axes.axvline(chance, color=QUIET, linewidth=1.3, linestyle=":")
    axes.annotate(
        f"chance {100 * chance:.1f} %" if percent else f"chance {chance:.3g}",
        (chance, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=QUIET,
        fontsize=8.5,
    )


def _draw(axes: Any, arm: Arm, place: int, *, color: str, marker: str) -> None:
    if not math.isfinite(arm.value):
        return
    if arm.interval is not None and all(map(math.isfinite, arm.interval)):
        axes.plot(arm.interval, [place, place], color=color, linewidth=1.8, solid_capstyle="butt")
    if arm.seeds:
        axes.plot(arm.seeds, [place] * len(arm.seeds), marker, color=color, markersize=4.5, alpha=0.55)
        axes.plot([arm.value, arm.value], [place - 0.3, place + 0.3], color=color, linewidth=2.2)
    else:
        axes.plot([arm.value], [place], marker, color=color, markersize=6)
