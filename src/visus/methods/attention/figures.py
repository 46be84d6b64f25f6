"""Figures for the report: accuracy of every arm, and what each kind costs as inputs grow."""

from __future__ import annotations

import statistics

from visus.drawing import BLUE, GRAY, GREEN, VERMILION, canvas, svg
from visus.nn.attention.cost import KINDS, cost, super_limits
from visus.protocols import Figure, PaperEvidence

COLORS = {"standard": "#4d4d4d", "optimized": BLUE, "efficient": GREEN, "super": VERMILION}
WIDTH = 64


def figures(paper: PaperEvidence) -> list[Figure]:
    """The accuracy figure of every experiment in `paper` that trained something, and the cost figure."""
    drawn = []
    for experiment in dict.fromkeys(evidence.claim.experiment for evidence in paper.claims):
        arms: dict[str, list[float]] = {}
        for evidence in paper.claims:
            if evidence.claim.experiment == experiment and evidence.claim.metric == "accuracy":
                arms |= evidence.arms
        if any(arms.values()):
            drawn.append(accuracy_figure(experiment, arms))
    return [*drawn, cost_figure()]


def accuracy_figure(experiment: str, arms: dict[str, list[float]]) -> Figure:
    """One row per arm: every seed as a dot, the mean as a bar."""
    kept = {name: values for name, values in arms.items() if values}
    figure, axes = canvas(0.9 + 0.32 * len(kept))
    for row, (name, values) in enumerate(kept.items()):
        color = COLORS.get(name, GRAY)
        axes.plot(values, [row] * len(values), "o", color=color, alpha=0.55, markersize=5)
        axes.plot([statistics.fmean(values)], [row], "|", color=color, markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(kept)), [name.replace("_", " ") for name in kept])
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
    return Figure(
        name=f"attention-{experiment}",
        svg=svg(figure),
        caption=f"Test accuracy in the experiment '{experiment}': dots are seeds, bars their means.",
        caption_zh=f"实验“{experiment}”的测试准确率：圆点为各随机种子，竖线为均值。",
    )


def cost_figure(width: int = WIDTH) -> Figure:
    """Operations relative to standard attention as the input grows, for layers of `width`."""
    figure, axes = canvas(3.0)
    lengths = sorted({max(1, round(width * 2 ** (step / 8))) for step in range(-32, 33)})
    standard = [cost("standard", width=width, length=length).macs for length in lengths]
    for kind in KINDS:
        share = [
            cost(kind, width=width, length=n).macs / base for n, base in zip(lengths, standard, strict=True)
        ]
        axes.plot([length / width for length in lengths], share, color=COLORS[kind], label=kind)
    axes.axvline(2, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("length / width")
    axes.set_ylabel("operations, standard = 1")
    axes.legend(frameon=False, fontsize=9)
    return Figure(
        name="attention-cost",
        svg=svg(figure),
        caption="Multiply-accumulates of one layer relative to standard attention. Super stops paying at twice "
        f"the width (for width {width}: beyond length {super_limits(width).macs}).",
        caption_zh="单层乘加次数与标准注意力之比。长度达到宽度的两倍后，超级注意力不再划算"
        f"（宽度 {width} 时：长度超过 {super_limits(width).macs}）。",
    )
