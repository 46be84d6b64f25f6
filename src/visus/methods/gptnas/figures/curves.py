"""Best-so-far curves of several arms, with intervals and labels beside the lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visus.drawing import (
    BLUE,
    FAINT,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    SERIES,
    SKY,
    VERMILION,
    canvas,
    heading,
    svg,
)
from visus.errors import InputError
from visus.methods.gptnas.figures.labels import spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS: Mapping[str, tuple[str, Any]] = {
    "gpt": (BLUE, "-"),
    "gpt_init": (BLUE, (0, (3, 1.2))),
    "sampling": (GREEN, (0, (6, 1.5))),
    "ga": (INK, "-"),
    "uniform": (ORANGE, (0, (4, 1.5))),
    "null": (PURPLE, (0, (2, 1.2))),
    "anti": (VERMILION, (0, (5, 1.5, 1, 1.5))),
    "keep70": (GRAY, (0, (7, 2))),
    "regularized": (SKY, (0, (3, 1))),
    "tpe": (PURPLE, (0, (6, 1, 1, 1))),
    "random": (GRAY, (0, (1, 1.3))),
}
NAMES: Mapping[str, str] = {
    "gpt": "GA + GPT",
    "gpt_init": "GA + GPT, drawn start",
    "sampling": "sampling the GPT",
    "ga": "GA",
    "uniform": "GA + uniform regrow",
    "null": "GA + GPT, null",
    "anti": "GA + GPT, anti",
    "keep70": "GA + GPT, best 70 %",
    "regularized": "regularized evolution",
    "tpe": "TPE (Optuna)",
    "random": "random search",
}


def look(arm: str, place: int = 0) -> tuple[str, Any]:
    """Color and dashes of an arm; arms without a fixed look take one by their place."""
    return LOOKS.get(arm, (SERIES[place % len(SERIES)], "-"))


def named(arm: str) -> str:
    """What an arm is called in a picture.

    >>> named("gpt@0.2")
    'GA + GPT, r0 = 0.2'
    """
    name, at, rate = arm.partition("@")
    return NAMES.get(name, name.replace("_", " ")) + (f", r0 = {rate}" if at else "")


def draw_curves(
    curves: Mapping[str, ArrayLike],
    *,
    title: str = "",
    quantity: str = "best accuracy so far (%)",
    optimum: float | None = None,
    log: bool = True,
    first: int = 5,
) -> str:
    """Mean of the best found so far against evaluations, one line per arm, with 95 % intervals of the mean.

    Parameters
    ----------
    curves : arm -> (searches, evaluations), or (evaluations,) for a single search, drawn in steps; the n-th
        column is what the best of the first n evaluations is worth. Arms may differ in length; NaN is left out.
    title : over the drawing.
    quantity : label of the vertical axis.
    optimum : the best value there is, drawn as a line.
    log : logarithmic evaluations.
    first : evaluations the picture begins with (the first few are chance and would squeeze the rest).

    Returns
    -------
    SVG text.

    Raises
    ------
    InputError : no curve, or one that is empty or has no finite value.
    """
    known = {arm: _summary(arm, values) for arm, values in curves.items()}
    if not known:
        raise InputError("there is no curve to draw", field="curves", remedy="give at least one arm")
    longest = max(len(mean) for mean, _ in known.values())
    first = max(1, min(first, longest // 4))
    figure, axes = canvas(4.0, width=7.0)
    heading(axes, title)
    for place, (arm, (mean, half)) in enumerate(known.items()):
        color, dashes = look(arm, place)
        evaluations = np.arange(1, len(mean) + 1)
        shown = np.isfinite(mean) & (evaluations >= min(first, len(mean)))
        x, y, h = evaluations[shown], mean[shown], half[shown]
        axes.fill_between(x, y - h, y + h, color=color, alpha=0.13, linewidth=0)
        axes.plot(
            x,
            y,
            color=color,
            linestyle=dashes,
            linewidth=2.4 if arm == "gpt" else 1.7,
            drawstyle="steps-post" if np.ndim(curves[arm]) == 1 else "default",
            zorder=3 if arm == "gpt" else 2,
        )
    if log:
        axes.set_xscale("log")
    _evaluations(axes, first, longest, log=log)
    if optimum is not None:
        axes.axhline(optimum, color=QUIET, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set(xlabel="evaluations", ylabel=quantity)
    axes.set_ylim(_limits(known, first, optimum))
    _labels(axes, known, optimum)
    return svg(figure)


def _summary(arm: str, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over the searches and half the width of its 95 % interval, per evaluation."""
    table = np.atleast_2d(np.asarray(values, dtype=float))
    if table.ndim != 2 or not table.size or not np.isfinite(table).any():
        raise InputError(
            "has no finite value", field=f"curve {arm!r}", remedy="give searches by evaluations of numbers"
        )
    finite = np.isfinite(table)
    count = finite.sum(axis=0)
    mean = np.where(count > 0, np.where(finite, table, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    off = np.where(finite, table - mean, 0)
    variance = (off**2).sum(axis=0) / np.maximum(count - 1, 1)
    return mean, 1.96 * np.sqrt(variance / np.maximum(count, 1))


def _evaluations(axes: Axes, first: int, last: int, *, log: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(first, max(last, first + 1))
    if not log:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    round_numbers = [m * 10**power for power in range(8) for m in (1, 2, 5)]
    inside = [number for number in round_numbers if first <= number <= last]
    ticks = sorted({*inside, last} - {n for n in inside if n != last and n > 0.8 * last})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()


def _labels(
    axes: Axes,
    known: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    optimum: float | None,
) -> None:
    """Names beside the ends of the lines, moved apart where they would cover each other."""
    low, high = axes.get_ylim()
    ends: list[tuple[str, float, str]] = []
    for place, (arm, (mean, _)) in enumerate(known.items()):
        last = float(mean[np.isfinite(mean)][-1])
        ends.append((f"{named(arm)}  {last:.2f}", last, look(arm, place)[0]))
    if optimum is not None:
        ends.append((f"optimum  {optimum:.2f}", optimum, QUIET))
    heights = spread([height for _, height, _ in ends], (high - low) * 0.06, low=low, high=high)
    across = axes.get_yaxis_transform()
    for (text, value, color), height in zip(ends, heights, strict=True):
        axes.plot([1.0, 1.035], [value, height], color=FAINT, linewidth=0.8, transform=across, clip_on=False)
        axes.text(
            1.045, height, text, transform=across, color=_dark(color), fontsize=9, va="center", ha="left"
        )
    axes.set_ylim(low, high)


def _limits(
    known: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], first: int, optimum: float | None
) -> tuple[float, float]:
    """Heights that show where most arms begin; an arm that begins far below enters the picture from below."""
    begins = [mean[first - 1 :][np.isfinite(mean[first - 1 :])] for mean, _ in known.values()]
    starts = np.array([values[0] for values in begins if len(values)])
    tops = [float(np.nanmax(mean + half)) for mean, half in known.values()]
    top = max(tops if optimum is None else [*tops, optimum])
    middle = float(np.median(starts))
    low = max(float(starts.min()), middle - 0.35 * (top - middle))
    room = 0.04 * (top - low) or 0.5
    return low - room, top + room


def _dark(color: str) -> str:
    """The color with at least the contrast small text needs on white."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    while 0.2126 * red + 0.7152 * green + 0.0722 * blue > 115:
        red, green, blue = (int(0.93 * value) for value in (red, green, blue))
    return f"#{red:02x}{green:02x}{blue:02x}"
