"""Numbers: a measure by arm with its seeds, and the matrix of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from visus.drawing import FAINT, INK, MARKERS, QUIET, SERIES, drawing, headline, svg
from visus.errors import InputError

NAMES = {
    "nsi": "interpreter",
    "hmc": "set prediction",
    "pooled": "pooled",
    "ungrounded": "ungrounded",
    "random": "untrained",
    "patches": "patch tokens",
    "boxes": "true boxes",
    "hungarian": "one-to-one",
    "no_transformer": "no scene context",
    "no_position": "no positions",
    "no_reconstruction": "score alone",
}
"""Arm -> what a reader is shown."""


def draw_recalls(
    table: Mapping[str, Mapping[str, Sequence[float]]], *, chance: Mapping[str, float], title: str = ""
) -> str:
    """Every measure in a panel of its own, arms below each other, one mark per seed and a stroke for the mean.

    Parameters
    ----------
    table : measure (the panel's title) -> arm -> one value per seed.
    chance : measure -> what guessing gives, drawn dotted; measures without one are left out.

    Raises
    ------
    InputError : no measure.
    """
    if not table:
        raise InputError("has no measure", field="table", remedy="give at least one")
    arms = list(dict.fromkeys(arm for values in table.values() for arm in values))
    across = min(2, len(table))
    down = -(-len(table) // across)
    with drawing(0.5 + down * (0.75 + 0.27 * len(arms))) as figure:
        panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for panel, (measure, values) in zip(panels, table.items()):
            _dots(panel, arms, values)
            panel.set_title(measure)
            if measure in chance:
                panel.axvline(chance[measure], color=QUIET, linestyle=":", linewidth=1)
        for panel in panels[len(table) :]:
            panel.axis("off")
        panels[0].set_yticks(range(len(arms)), [NAMES.get(arm, arm) for arm in arms])
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        headline(figure, title)
        return svg(figure)


def draw_scores(scores: Float[np.ndarray, "n n"], *, title: str = "") -> str:
    """The scores of pictures (rows) with programs (columns), their own ones framed, as SVG text.

    Every row is shown relative to its own range, since only differences within a row or column decide. A frame is
    filled dark where the own program is the best of its row.

    Raises
    ------
    InputError : scores that are not square, or not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or not np.isfinite(scores).all():
        raise InputError(
            f"have shape {scores.shape}", field="scores", remedy="give a square table of finite numbers"
        )
    n = len(scores)
    low, high = scores.min(1, keepdims=True), scores.max(1, keepdims=True)
    shares = (scores - low) / np.maximum(high - low, 1e-12)
    with drawing(4.6, width=5.4) as figure:
        axes = figure.subplots()
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.spines[:].set_visible(False)
        best = scores.argmax(1)
        for i in range(n):
            axes.add_patch(_frame(i, i, INK if best[i] == i else SERIES[1]))
        hits = int((best == np.arange(n)).sum())
        axes.set(xlabel="program", ylabel="picture", xticks=[0, n - 1], yticks=[0, n - 1])
        axes.set_xticklabels(["1", str(n)])
        axes.set_yticklabels(["1", str(n)])
        bar = figure.colorbar(shown, ax=axes, ticks=[0, 1], fraction=0.046)
        bar.ax.set_yticklabels(["row's lowest", "row's highest"])
        headline(figure, title or f"own program best for {hits} of {n} pictures (dark frames)")
        return svg(figure)


def _dots(panel: Any, arms: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
    panel.grid(axis="x", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
    for place, arm in enumerate(arms):
        seeds = [value for value in values.get(arm, ()) if np.isfinite(value)]
        if not seeds:
            continue
        color = SERIES[place % len(SERIES)]
        mean = float(np.mean(seeds))
        panel.plot([mean, mean], [place - 0.3, place + 0.3], color=color, linewidth=2.2)
        marker = MARKERS[place % len(MARKERS)]
        panel.plot(seeds, [place] * len(seeds), marker, color=color, markersize=5, alpha=0.75, clip_on=False)


def _frame(row: int, column: int, color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=color, linewidth=1.4)
