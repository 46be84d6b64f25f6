"""Numbers: calibration, ROC curves, the confusion matrix, and a measure by arm with its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from visus.drawing import FAINT, GRAY, INK, MARKERS, QUIET, SERIES, drawing, headline, svg
from visus.errors import InputError

NAMES = {
    "staged_total": "staged, same total",
    "staged_module": "staged, same per module",
    "joint": "joint from scratch",
    "mtunet": "MT-UNet",
    "dense": "dense classifier",
    "shuffled": "gaze of other images",
    "mean_map": "mean gaze map",
    "center": "Gaussian",
    "staged_head": "last stage: head alone",
    "staged_no_triplet": "no triplets",
    "staged_dense_only": "diagnosis: dense alone",
    "fixed": "fixed task weights",
    "no_gaze": "trained without gaze",
    "res_se": "Res+SE U-Net",
    "unet": "U-Net, gaze alone",
    "gaze_mtl": "gaze as labels",
    "pool_staged": "staged, pre-trained",
    "pool_joint": "joint, pre-trained",
    "lite_staged": "staged, ImageNet",
    "lite_joint": "joint, ImageNet",
}
"""Arm -> what a reader is shown."""


def draw_reliability(
    target: Int[np.ndarray, " n"],
    before: Float[np.ndarray, "n k"],
    after: Float[np.ndarray, "n k"],
    *,
    bins: int = 15,
) -> str:
    """Accuracy against confidence before and after the temperature, and how many images stand behind, as SVG text.

    The dotted diagonal is a model whose probabilities can be taken at their word. Bins of equal width; the area of
    a mark grows with its number of images.

    Raises
    ------
    visus.errors.InputError : no image, or no probabilities.
    """
    from visus.metrics.calibration import expected_calibration_error, reliability

    with drawing(3.6, width=4.4) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], ":", color=QUIET, linewidth=1)
        for place, (name, values) in enumerate((("as trained", before), ("with temperature", after))):
            found = reliability(target, values, bins=bins)
            filled = found.count > 0
            error = expected_calibration_error(target, values, bins=bins)
            color, marker = (GRAY, SERIES[0])[place], MARKERS[place]
            axes.plot(found.confidence[filled], found.accuracy[filled], "-", color=color, linewidth=1.2)
            sizes = 14 + 160 * found.count[filled] / found.count.sum()
            axes.scatter(
                found.confidence[filled],
                found.accuracy[filled],
                s=sizes,
                marker=marker,
                color=color,
                alpha=0.8,
                label=f"{name} (ECE {error:.3f})",
                clip_on=False,
                zorder=3,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", aspect="equal")
        _legend_above(axes)
        return svg(figure)


def draw_roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float], float]]) -> str:
    """ROC curves as SVG text.

    Parameters
    ----------
    curves : name -> false positive rates, true positive rates, area under the curve.

    Raises
    ------
    visus.errors.InputError : no curve.
    """
    if not curves:
        raise InputError("has no curve", field="curves", remedy="score images of at least two classes")
    with drawing(3.6, width=4.4) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], ":", color=QUIET, linewidth=1)
        for place, (name, (fall_out, recall, area)) in enumerate(curves.items()):
            color = SERIES[place % len(SERIES)]
            style = ("-", "--", "-.", (0, (1, 1)))[place % 4]
            axes.plot(fall_out, recall, linestyle=style, color=color, label=f"{name} (AUC {area:.3f})")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        axes.set(xlabel="share of others taken for it", ylabel="share of its images found")
        _legend_above(axes)
        return svg(figure)


def draw_confusion(counts: Int[np.ndarray, "k k"], classes: Sequence[str]) -> str:
    """Truth (rows) against prediction (columns) in images, shaded by the share of the row, as SVG text.

    Raises
    ------
    visus.errors.InputError : not as many rows and columns as classes.
    """
    if counts.shape != (len(classes), len(classes)) or not len(classes):
        raise InputError(f"has shape {counts.shape} for {len(classes)} classes", field="counts")
    with drawing(1.0 + 0.55 * len(classes), width=1.9 + 0.85 * len(classes)) as figure:
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1.15, edgecolors="white", linewidth=1.5)
        for row, column in np.ndindex(counts.shape):
            dark = shares[row, column] > 0.6
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                color="white" if dark else INK,
            )
        middles = np.arange(len(classes)) + 0.5
        axes.set_xticks(middles, classes)
        axes.set_yticks(middles, classes)
        axes.set(ylabel="truth", ylim=(len(classes), 0))
        axes.set_xlabel("predicted", labelpad=7)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return svg(figure)


def draw_arms(
    table: Mapping[str, Mapping[str, Sequence[float]]], *, names: Mapping[str, str] = NAMES, title: str = ""
) -> str:
    """Every measure in a panel of its own, arms below each other: a stroke for the mean, a dot per seed, as SVG text.

    Parameters
    ----------
    table : measure (the panel's title) -> arm -> one value per seed.
    names : arm -> what a reader is shown; others stay as they are.

    Raises
    ------
    visus.errors.InputError : no measure.
    """
    if not table:
        raise InputError("has no measure", field="table", remedy="give at least one")
    arms = list(dict.fromkeys(arm for values in table.values() for arm in values))
    with drawing(0.9 + 0.28 * len(arms)) as figure:
        panels = figure.subplots(1, len(table), squeeze=False, sharey=True)[0]
        for panel, (measure, values) in zip(panels, table.items(), strict=True):
            _bars(panel, arms, values)
            panel.set_title(measure)
        panels[0].set_yticks(range(len(arms)), [names.get(arm, arm.replace("_", " ")) for arm in arms])
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        headline(figure, title)
        return svg(figure)


def _legend_above(axes: Any) -> None:
    """Above the panel, where it hides no curve."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8, borderaxespad=0.2)


def _bars(panel: Any, arms: Sequence[str], values: Mapping[str, Sequence[float]]) -> None:
    panel.grid(axis="x", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
    for place, arm in enumerate(arms):
        seeds = [value for value in values.get(arm, ()) if np.isfinite(value)]
        if not seeds:
            continue
        color = SERIES[0] if place == 0 else GRAY
        # no bars: their lengths would lie on an axis that does not begin at 0
        mean = float(np.mean(seeds))
        panel.plot(
            [mean, mean], [place - 0.32, place + 0.32], color=color, linewidth=3, solid_capstyle="butt"
        )
        panel.plot(seeds, [place] * len(seeds), MARKERS[0], color=color, markersize=4.5, alpha=0.7)
    panel.margins(x=0.08)
