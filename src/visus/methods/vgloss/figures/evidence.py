"""Which sentences decided: what each did for the winner or for the runner-up."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from visus.drawing import BLUE, FAINT, QUIET, VERMILION, drawing, svg
from visus.errors import InputError


class Said(Protocol):
    """One sentence of one class in a decision; see `visus.methods.vgloss.estimator.Evidence`."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def similarity(self) -> float: ...
    @property
    def effect(self) -> float: ...


SHOWN = 5
"""Sentences per class: those with the largest effects."""
ACROSS = 56
"""Letters to a line."""


def draw_evidence(
    evidence: Sequence[Said],
    *,
    label: str,
    other: str,
    called: dict[str, str],
    picture: UInt8[np.ndarray, "h w 3"] | None = None,
) -> str:
    """Bars: by how much the margin between `label` and `other` falls without each sentence, as SVG text.

    Bars to the right speak for the winner. Beside each, the cosine of picture and sentence.

    Parameters
    ----------
    called : class -> its name in words.
    picture : shown beside the bars.

    Raises
    ------
    InputError : no sentence.
    """
    rows = [
        each
        for name in (label, other)
        for each in sorted((e for e in evidence if e.name == name), key=lambda e: -abs(e.effect))[:SHOWN]
    ]
    if not rows:
        raise InputError("has nothing to draw", field="evidence", remedy="give at least one sentence")
    wrapped = [textwrap.wrap(each.text, ACROSS)[:2] or [""] for each in rows]
    words = ["\n".join(lines) for lines in wrapped]
    words = [
        text + (" …" if len(each.text) > len(text) + 2 else "")
        for text, each in zip(words, rows, strict=True)
    ]
    lines = sum(len(each) for each in wrapped)
    high = max(0.95 + 0.18 * lines + 0.12 * len(rows), 0.0 if picture is None else 2.2)
    with drawing(high, width=8.4 if picture is None else 10.6) as figure:
        if picture is None:
            axes = figure.subplots()
        else:
            shown, axes = figure.subplots(1, 2, width_ratios=(1, 1.9))
            shown.imshow(picture, interpolation="nearest" if max(picture.shape) < 100 else "auto")
            shown.axis("off")
        _bars(axes, rows, label)
        axes.set_yticks(range(len(rows)), words, fontsize=8.5)
        for name, color in ((label, BLUE), (other, VERMILION)):
            axes.barh([0], [0], color=color, label=f"said of {called[name]}")
        figure.legend(loc="outside upper right", ncols=2, handlelength=1.2)
        return svg(figure)


def _bars(axes: Any, rows: Sequence[Said], label: str) -> None:
    """A bar per sentence, with its cosine at the right."""
    from matplotlib.ticker import MaxNLocator

    colors = [BLUE if each.name == label else VERMILION for each in rows]
    axes.barh(range(len(rows)), [each.effect for each in rows], color=colors, height=0.62)
    axes.axvline(0, color=QUIET, linewidth=1)
    for place, each in enumerate(rows):
        axes.annotate(
            f"cos {each.similarity:.3f}",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=QUIET,
        )
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="what the margin loses without the sentence")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.12)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
