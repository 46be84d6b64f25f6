"""What is amiss with a description set, against the bounds of the quality report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.drawing import BLUE, FAINT, INK, QUIET, VERMILION, drawing, svg

if TYPE_CHECKING:
    from visus.methods.vgloss.model.quality import QualityReport, Thresholds


def draw_quality(report: QualityReport, bounds: Thresholds | None = None) -> str:
    """Shares that should be small, red where they are beyond their bound, as SVG text."""
    from visus.methods.vgloss.model.quality import Thresholds

    bounds = bounds or Thresholds()
    rows = [
        ("name another class", report.leakage, bounds.leakage),
        ("are there twice", report.duplicates, bounds.duplicates),
        ("say nothing visible", 1 - report.visual, 1 - bounds.visual),
        ("unrelated to the gloss", report.unrelated, bounds.unrelated),
        ("answers dropped", sum(report.dropped.values()) if report.dropped else None, bounds.dropped),
        ("mean cosine of classes", report.overlap, bounds.overlap),
    ]
    shown = [(name, value, bound) for name, value, bound in rows if value is not None]
    with drawing(0.75 + 0.28 * len(shown)) as figure:
        axes = figure.subplots()
        values = [max(value, 0.0) for _, value, _ in shown]
        colors = [VERMILION if value > bound else BLUE for _, value, bound in shown]
        axes.barh(range(len(shown)), values, color=colors, height=0.6)
        for place, (_, value, bound) in enumerate(shown):
            axes.plot([bound, bound], [place - 0.42, place + 0.42], color=QUIET, linewidth=1.6)
            axes.annotate(
                f"{100 * value:.0f} %",
                (1, place),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=VERMILION if value > bound else INK,
            )
        axes.set_yticks(range(len(shown)), [name for name, _, _ in shown])
        axes.set(ylim=(len(shown) - 0.4, -0.6), xlim=(0, 1), xlabel="share")
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        return svg(figure)
