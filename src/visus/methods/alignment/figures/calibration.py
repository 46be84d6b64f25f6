"""The line of guessing, and whether probabilities hold."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from visus.drawing import FAINT, QUIET, SERIES, Band, drawing, headline, svg
from visus.errors import InputError

GUESSING = Band(name="guessing", low=1 / 3, high=1 / 3, aim=False)
"""One of three."""


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
