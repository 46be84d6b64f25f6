"""What a prior believes, and how much it knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visus.drawing import FAINT, INK, QUIET, SERIES, canvas, heading, plain, svg
from visus.errors import InputError
from visus.methods.gptnas.figures.cell import COLORS, SHORT
from visus.methods.gptnas.figures.curves import look, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PRIORS: Mapping[str, str] = {
    "gpt": "best 10 %",
    "keep70": "best 70 %",
    "null": "all (null)",
    "anti": "worst 10 % (anti)",
}
"""What the models of the comparison were trained on."""
MOST = 20_000
"""Prefixes `marginals` visits at most."""


def marginals(
    distribution: Callable[[tuple[int, ...]], ArrayLike], *, symbols: int, length: int
) -> NDArray[np.float64]:
    """How often each symbol stands at each place when a whole individual is drawn from the prior.

    P(x_t = s) = sum over prefixes p of P(p) P(s | p), summed exactly.

    Parameters
    ----------
    distribution : prefix -> probabilities of the next symbol; probabilities after the first `symbols`
        (an end sign) are dropped and the rest is made to sum to one.
    symbols, length : size of the alphabet and number of places.

    Returns
    -------
    (length, symbols), rows summing to one.

    Raises
    ------
    InputError : more prefixes than can be visited.
    """
    if symbols ** (length - 1) > MOST:
        problem = f"{symbols}^{length - 1} prefixes are too many"
        raise InputError(problem, field="length", remedy="give fewer places")
    weights = np.ones(1)
    found = np.empty((length, symbols))
    for place in range(length):
        prefixes = product(range(symbols), repeat=place)
        table = np.stack([np.asarray(distribution(prefix), dtype=float)[:symbols] for prefix in prefixes])
        table = table / table.sum(axis=1, keepdims=True)
        joint = weights[:, None] * table
        found[place] = joint.sum(axis=0)
        weights = joint.ravel()
    return found


def draw_prior(
    table: ArrayLike,
    symbols: Sequence[str],
    *,
    places: Sequence[str] = (),
    title: str = "",
    information: float | None = None,
) -> str:
    """Stacked bars: one row per place (or prefix), one segment per symbol as wide as its probability.

    Parameters
    ----------
    table : (rows, symbols), non-negative, every row with a positive sum.
    symbols : names of the symbols.
    places : names of the rows; numbered if left out.
    title : over the drawing.
    information : nats, noted beside the largest possible value log(number of symbols).

    Returns
    -------
    SVG text.
    """
    rows = np.atleast_2d(np.asarray(table, dtype=float))
    if rows.shape[1] != len(symbols) or not (rows >= 0).all() or not (rows.sum(axis=1) > 0).all():
        raise InputError(
            f"a table of shape {rows.shape} is no set of distributions over {len(symbols)} symbols",
            field="table",
            remedy="give non-negative rows, one column per symbol",
        )
    rows = rows / rows.sum(axis=1, keepdims=True)
    labels = list(places) or [str(row + 1) for row in range(len(rows))]
    top, step, left, wide = 62.0, 30.0, 74.0, 372.0
    figure, axes = plain((top + step * len(rows) + 26) / 72)
    if title:
        axes.text(14, 18, title, fontsize=11, color=INK, va="center")
    _legend(axes, symbols, y=42.0)
    for row, (label, shares) in enumerate(zip(labels, rows, strict=True)):
        y, x = top + step * row, left
        axes.text(left - 8, y + step * 0.4, label, ha="right", va="center", fontsize=9, color=INK)
        for column, share in enumerate(shares):
            color = _shade(symbols[column], column)
            axes.barh(
                y + step * 0.4, wide * share, height=step * 0.72, left=x, color=color, edgecolor="white"
            )
            if share >= 0.075:
                text = f"{100 * share:.0f}"
                ink = _over(color)
                axes.text(
                    x + wide * share / 2,
                    y + step * 0.4,
                    text,
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=ink,
                )
            x += wide * share
    note = "numbers in %"
    if information is not None:
        note += f" · information {information:.2f} of at most {math.log(len(symbols)):.2f} nats per symbol"
    axes.text(left, top + step * len(rows) + 10, note, fontsize=9, color=QUIET, va="center")
    return svg(figure)


def draw_information(
    known: Mapping[str, Sequence[float]], *, most: float | None = None, title: str = ""
) -> str:
    """One row per prior: its information (nats) per seed as dots, the mean as a stroke.

    Parameters
    ----------
    known : name of a prior -> one value per training.
    most : the largest possible value, log(number of symbols).
    title : over the drawing.
    """
    if not any(len(values) for values in known.values()):
        raise InputError("there is no value to draw", field="known")
    figure, axes = canvas(1.0 + 0.34 * len(known))
    heading(axes, title)
    for row, (name, values) in enumerate(known.items()):
        color = look(name, row)[0]
        axes.plot(values, [row] * len(values), "o", color=color, alpha=0.55, markersize=5)
        if len(values):
            axes.plot([float(np.mean(values))], [row], "|", color=color, markersize=16, markeredgewidth=2.2)
    axes.axvline(0, color=FAINT, linewidth=1, zorder=0)
    if most is not None:
        axes.set_xlim(right=max(axes.get_xlim()[1], 1.02 * most))
        axes.axvline(most, color=QUIET, linewidth=0.9, linestyle=(0, (1, 2)))
    axes.set_yticks(range(len(known)), [PRIORS.get(name, named(name)) for name in known])
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlabel("information of the layer model (nats per symbol)")
    return svg(figure)


def _legend(axes: Axes, symbols: Sequence[str], *, y: float) -> None:
    x = 74.0
    for column, symbol in enumerate(symbols):
        text = SHORT.get(symbol, symbol.replace("_", " "))
        axes.plot(x + 5, y, "s", markersize=9, color=_shade(symbol, column), markeredgewidth=0)
        axes.text(x + 14, y, text, fontsize=9, color=INK, va="center")
        x += 26 + 5.6 * len(text)


def _shade(symbol: str, place: int) -> str:
    return COLORS.get(symbol, SERIES[place % len(SERIES)])


def _over(color: str) -> str:
    """Black or white, whichever reads better on the color."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 125 else INK
