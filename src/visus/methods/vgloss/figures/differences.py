"""Every description set against every other, as one square of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from visus.drawing import FAINT, QUIET, drawing, svg
from visus.errors import InputError


def draw_differences(
    names: Sequence[str], differences: Float[np.ndarray, "a a"], sure: Bool[np.ndarray, "a a"]
) -> str:
    """Row minus column in percentage points, bold where it is sure, as SVG text.

    Parameters
    ----------
    differences : shares; antisymmetric.
    sure : which differences are told from zero.

    Raises
    ------
    InputError : sizes that differ, or fewer than two sets.
    """
    values = 100 * np.asarray(differences, dtype=float)
    count = len(names)
    if count < 2 or values.shape != (count, count) or np.shape(sure) != (count, count):
        problem = f"has the shape {values.shape} for {count} names"
        raise InputError(problem, field="differences", remedy="give one row and column per set, two or more")
    most = max(float(np.abs(values).max()), 1e-9)
    with drawing(0.8 + 0.3 * count + 0.055 * max(map(len, names)), width=7.6) as figure:
        axes = figure.subplots()
        axes.imshow(values, cmap="PuOr", vmin=-1.25 * most, vmax=1.25 * most, aspect="auto")
        for i in range(count):
            for j in range(count):
                if i == j:
                    continue
                axes.text(
                    j,
                    i,
                    f"{values[i, j]:+.1f}",
                    ha="center",
                    va="center",
                    fontsize=8 if count < 13 else 6.5,
                    fontweight="bold" if sure[i][j] else "normal",
                    color="white" if abs(values[i, j]) > 0.85 * most else ("black" if sure[i][j] else QUIET),
                )
        axes.set_yticks(range(count), list(names))
        axes.set_xticks(range(count), list(names), rotation=55, ha="right", rotation_mode="anchor")
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=FAINT, linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        return svg(figure)
