"""Balls in their box: what was seen, what came, and what predictors foretold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from visus.drawing import BLUE, FAINT, GREEN, INK, QUIET, VERMILION, drawing, headline, svg
from visus.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = (BLUE, VERMILION, GREEN)
Path = Float[np.ndarray, "t k 2"]


def draw_paths(
    seen: Sequence[Path],
    came: Sequence[Path],
    foretold: Mapping[str, Sequence[Path]],
    *,
    radius: float,
    title: str = "",
) -> str:
    """One row per clip, one panel per predictor, as SVG text.

    Thin lines are the frames that were seen, thick ones what came, dots what was foretold; circles are the
    balls at the end, a stroke ties the foretold ball to the real one.

    Parameters
    ----------
    seen, came : places (t, k, 2) in 0..1, of each clip; at most three balls.
    foretold : name -> places of each clip, as long as `came`.
    radius : of the balls, in widths of the box.
    title : a line above.

    Raises
    ------
    visus.errors.InputError : no clip, no predictor, or shapes that do not agree.
    """
    if not seen or not foretold:
        raise InputError("is empty", field="seen, foretold", remedy="give at least one clip and predictor")
    for name, paths in foretold.items():
        if [path.shape for path in paths] != [path.shape for path in came] or len(seen) != len(came):
            raise InputError("does not foretell the frames that came", field=f"foretold, {name}")
    with drawing(2.05 * len(seen) * 3 / len(foretold) + 0.75 + (0.25 if title else 0)) as figure:
        grid = figure.subplots(len(seen), len(foretold), squeeze=False)
        for column, (name, paths) in enumerate(foretold.items()):
            for row, path in enumerate(paths):
                _panel(grid[row, column], seen[row], came[row], path, radius)
                error = float(np.sqrt(((path - came[row]) ** 2).mean()))
                grid[row, column].set_xlabel(f"error {error:.3f}", fontsize=8.5, color=QUIET)
            grid[0, column].set_title(name)
        headline(figure, title)
        return svg(figure)


def _panel(axes: Axes, seen: Path, came: Path, foretold: Path, radius: float) -> None:
    from matplotlib.patches import Circle

    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT)
    for ball, color in zip(range(seen.shape[1]), COLORS, strict=False):
        look: dict[str, Any] = {"color": color, "solid_capstyle": "round"}
        axes.plot(*seen[:, ball].T, linewidth=1.0, alpha=0.55, **look)
        later = np.concatenate([seen[-1:, ball], came[:, ball]])
        axes.plot(*later.T, linewidth=2.6, alpha=0.35, **look)
        axes.plot(*foretold[:, ball].T, "o", color=color, markersize=3)
        axes.plot(*np.stack([came[-1, ball], foretold[-1, ball]]).T, color=INK, linewidth=0.8)
        axes.add_patch(Circle(tuple(came[-1, ball]), radius, facecolor=color, alpha=0.12, edgecolor="none"))
        axes.add_patch(Circle(tuple(foretold[-1, ball]), radius, fill=False, edgecolor=color, linewidth=1.0))
