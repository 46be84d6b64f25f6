"""The report's figures: how much every arm gains over the plain genetic search, and what the priors know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from visus.drawing import FAINT, INK, QUIET, WIDTH, roomy, svg
from visus.methods.gptnas.figures.curves import look, named
from visus.methods.gptnas.figures.prior import PRIORS, draw_information
from visus.protocols import Figure, PaperEvidence

DATA_SETS: Mapping[str, str] = {"cifar100": "CIFAR-100", "imagenet": "ImageNet16"}
EXPERIMENT, REFERENCE = "transfer", "ga"


def figures(paper: PaperEvidence) -> list[Figure]:
    """Gains over the genetic search, and information of the priors, where `paper` has measured them."""
    table: dict[str, dict[str, list[float]]] = {}
    for evidence in paper.claims:
        measured = {arm: list(values) for arm, values in evidence.arms.items() if any(map(_finite, values))}
        if measured and evidence.claim.experiment == EXPERIMENT:
            table.setdefault(evidence.claim.metric, {}).update(measured)
    gains = {metric: arms for metric, arms in table.items() if _panel_title(metric) and REFERENCE in arms}
    drawn = [gains_figure(gains)] if gains else []
    known = {
        arm: [value for value in values if _finite(value)]
        for arm, values in table.get("information", {}).items()
        if arm in PRIORS  # sampling uses the same prior as the search
    }
    if known:
        drawn.append(
            Figure(
                name="gptnas-information",
                svg=draw_information(known, most=math.log(5)),
                caption="What each prior knows of the cells it was trained on: log 5 minus its cross-entropy on "
                "cells held out from its training. Dots are seeds, strokes their means; the dotted line is certainty.",
                caption_zh="各先验对其训练语料的了解程度：log 5 减去它在留出单元上的交叉熵。"
                "圆点为随机种子，竖线为均值；虚线表示完全确定。",
            )
        )
    return drawn


def gains_figure(table: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Difference of every arm to the plain genetic search, one panel per data set and budget.

    Parameters
    ----------
    table : metric (`<data set>_<evaluations>`) -> arm -> one accuracy in % per seed; every metric has `ga`.
    """
    from matplotlib.figure import Figure as Canvas

    metrics = sorted(table, key=_order)
    arms = [arm for arm in dict.fromkeys(a for m in metrics for a in table[m]) if arm != REFERENCE]
    arms.sort(key=lambda arm: -_mean_gain(table, arm))
    canvas = Canvas(figsize=(WIDTH, 1.15 + 0.29 * len(arms)), layout=roomy())
    panels = canvas.subplots(1, len(metrics), sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics):
        _gains(panel, table[metric], arms)
        panel.set_title(_panel_title(metric), fontsize=8, color=INK, loc="left")
    panels[0].set_yticks(range(len(arms)), [named(arm) for arm in arms], fontsize=9, color=INK)
    panels[0].set_ylim(len(arms) - 0.5, -0.5)
    canvas.supxlabel("accuracy minus that of the plain GA (points)", fontsize=9, color=INK)
    return Figure(
        name="gptnas-gains",
        svg=svg(canvas),
        caption="What each way of searching reaches compared with the plain genetic algorithm (GA) after the same "
        "number of unique evaluations. Dots are seeds (batches of searches with a prior of their own), strokes "
        "their means.",
        caption_zh="在相同的不重复评估次数下，各搜索方式与普通遗传算法（GA）相比的准确率差异。"
        "圆点为随机种子（每个种子是一批搜索，各自训练先验），竖线为均值。",
    )


def _gains(panel: Any, arms: Mapping[str, Sequence[float]], order: Sequence[str]) -> None:
    reference = arms[REFERENCE]
    for row, arm in enumerate(order):
        color = look(arm, row)[0]
        differences = _differences(arms.get(arm, ()), reference)
        panel.plot(differences, [row] * len(differences), "o", color=color, alpha=0.5, markersize=4)
        if differences:
            mean = sum(differences) / len(differences)
            panel.plot([mean], [row], "|", color=color, markersize=13, markeredgewidth=2.2)
    panel.axvline(0, color=QUIET, linewidth=0.9)
    panel.grid(axis="x", color=FAINT, linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.spines["bottom"].set_color(QUIET)
    panel.tick_params(axis="x", labelsize=8, colors=QUIET)
    panel.tick_params(axis="y", length=0)
    panel.locator_params(axis="x", nbins=4)


def _differences(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(values, reference) if _finite(a) and _finite(b)]


def _mean_gain(table: Mapping[str, Mapping[str, Sequence[float]]], arm: str) -> float:
    found = [d for arms in table.values() for d in _differences(arms.get(arm, ()), arms[REFERENCE])]
    return sum(found) / len(found) if found else -math.inf


def _order(metric: str) -> tuple[str, int]:
    name, _, count = metric.rpartition("_")
    return name, int(count)


def _panel_title(metric: str) -> str:
    """`CIFAR-100, 50` of `cifar100_50`; nothing for other metrics."""
    name, _, count = metric.rpartition("_")
    return f"{DATA_SETS[name]}\n{count} evaluations" if name in DATA_SETS and count.isdigit() else ""


def _finite(value: float) -> bool:
    return math.isfinite(value)
