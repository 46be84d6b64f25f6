"""Plots of the report, drawn by matplotlib and returned as SVG text.

Every plot is 360 units wide with text of 12, so it stays readable at the width of a phone; text stays text, so
Chinese labels need no font on the machine that draws. Candidate and reference differ in shape as well as in
color (colors of Okabe and Ito, told apart by color-blind readers).
"""

from __future__ import annotations

import contextlib
import io
import math
import statistics
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from visus.protocols import Evidence, PaperEvidence
from visus.report import format as text
from visus.report.reading import OUTCOMES, Reading, finite, neutral, outcome, pairs, per_seed, read, tally
from visus.report.svg import INK, tidy
from visus.report.words import MARKS, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 360.0
BLUE, VERMILION, GRAY, GREEN, FAINT = "#0072b2", "#d55e00", "#6b7480", "#009e73", "#9aa3ad"
_VARIABLES = {
    BLUE: "candidate",
    VERMILION: "reference",
    GRAY: "other",
    GREEN: "region",
    FAINT: "faint",
}
_SQUARES = {
    "holds": "#00714f",
    "fails": "#b04400",
    "undecided": "#7a5800",
    "not_measured": "#5c6470",
}  # carry white text in both schemes
_LOOK = {
    "candidate": (BLUE, "o"),
    "reference": (VERMILION, "D"),
    "": (GRAY, "^"),
}
_SIDE, _ROW, _AXIS = 6.0, 40.0, 40.0
_LETTERS = 54  # that fit into the width


def strip(evidence: Evidence, *, name: str, lang: str = "en") -> str:
    """Every seed of every arm; below it the effect with its interval against the smallest effect that counts.

    Parameters
    ----------
    evidence : what was measured for one claim.
    name : prefix of the identifiers inside the drawing, unique in the page.
    lang : language of the labels.
    """
    reading, table = read(evidence, lang), words(lang)
    top, bottom = 2 + _ROW * max(1, len(reading.arms)), 40.0
    height = 22 + top + _AXIS + 22 + bottom + 26
    with _drawing(height) as figure:
        upper = _panel(figure, height, from_top=22, tall=top)
        _rows(upper, evidence, reading, table["no_value"])
        room = _LETTERS - _wide(table["strip_rows"].format(metric=""))
        _heading(upper, table["strip_rows"].format(metric=_short(reading.claim.metric, room)))
        lower = _panel(figure, height, from_top=22 + top + _AXIS + 22, tall=bottom)
        _effect(lower, evidence, table["no_value"])
        room = _LETTERS - _wide(table["strip_effect"].format(formula=""))
        _heading(lower, table["strip_effect"].format(formula=_short(reading.formula, room)))
        drawn = _svg(figure)
    label = table["strip_alt"].format(
        metric=reading.claim.metric,
        arms=table["comma"].join(arm.name for arm in reading.arms),
        effect=reading.effect,
        interval=reading.interval,
        verdict=reading.verdict_word,
    )
    return tidy(drawn, name=name, label=label, colors=_VARIABLES)


def overview(papers: Sequence[PaperEvidence], *, name: str, lang: str = "en") -> str:
    """One square per claim, one row per paper (wrapped at 12 claims).

    Parameters
    ----------
    papers : what was measured.
    name : prefix of the identifiers inside the drawing, unique in the page.
    lang : language of the description for people who do not see the plot.
    """
    lines: list[tuple[str, list[str]]] = []
    sentences = []
    for paper in papers:
        verdicts = sorted(map(outcome, paper.claims), key=OUTCOMES.index)
        said = words(lang)["comma"].join(tally([paper], lang))
        sentences.append(paper.slug + words(lang)["colon"] + said)
        chunks = [verdicts[i : i + 12] for i in range(0, len(verdicts), 12)] or [[]]
        lines += [(paper.slug if i == 0 else "", chunk) for i, chunk in enumerate(chunks)]
    height = 24.0 * len(lines) + 12
    with _drawing(height) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        for index, (label, verdicts) in enumerate(lines):
            y = 18 + 24 * index
            axes.text(_SIDE, y, _short(label, 15), ha="left", va="center", fontsize=12, color=INK)
            for place, verdict in enumerate(verdicts):
                x = 122 + 20.5 * place
                axes.plot(x, y, marker="s", markersize=17, color=_SQUARES[verdict], markeredgewidth=0)
                axes.text(x, y, MARKS[verdict], ha="center", va="center", fontsize=12, color="white")
        drawn = _svg(figure)
    label = words(lang)["overview_alt"].format(rows="; ".join(sentences))
    return tidy(drawn, name=name, label=label, colors=_VARIABLES)


def _rows(axes: Axes, evidence: Evidence, reading: Reading, nothing: str) -> None:
    known = [value for values in evidence.arms.values() for value in finite(values)]
    axes.set(xlim=_limits(known), ylim=(_ROW * max(1, len(reading.arms)) + 2, 0))
    middles = {}
    for index, arm in enumerate(reading.arms):
        middles[arm.name] = y = _ROW * index + 28
        color, marker = _LOOK[arm.role]
        values = evidence.arms[arm.name]
        _label(axes, y - 17, _short(arm.name, 42), side="left")
        _label(axes, y - 17, arm.mean if arm.count else nothing, side="right")
        face = "none" if arm.role == "reference" else color
        heights = [y + _apart(seed) for seed in range(len(values))]
        axes.plot(values, heights, marker, ms=6.5, mew=1.4, color=color, mfc=face, alpha=0.85, ls="")
        if arm.count > 1:
            middle = statistics.fmean(finite(values))
            axes.plot([middle, middle], [y - 8, y + 8], color=color, lw=2.2)
    claim, both = evidence.claim, pairs(evidence)
    if len(both) > 1:
        above, below = middles[claim.candidate], middles[claim.reference]
        ends = [((a, above + _apart(i)), (b, below + _apart(i)), (math.nan, math.nan)) for i, a, b in both]
        xs, ys = zip(*(end for line in ends for end in line), strict=True)
        axes.plot(xs, ys, color=FAINT, lw=0.9, zorder=0)
    _ticks(axes, plain=not known)


def _apart(seed: int) -> float:
    """How far a seed's mark stands from its row's middle, so that equal values do not hide each other."""
    return 9 * ((0.5 + 0.618 * seed) % 1 - 0.5)


def _effect(axes: Axes, evidence: Evidence, nothing: str) -> None:
    claim = evidence.claim
    low, high = claim.region
    measured = [
        v for v in ([evidence.effect] + list(evidence.interval or ())) if v is not None and math.isfinite(v)
    ]
    seeds = per_seed(evidence)
    bounds = finite((low, high))
    left, right = _limits([*measured, *seeds, *bounds, neutral(claim)])
    axes.set(xlim=(left, right), ylim=(1, 0))
    axes.axvspan(max(low, left), min(high, right), color=GREEN, alpha=0.2, lw=0)
    for bound in bounds:
        axes.axvline(bound, color=GREEN, lw=1.2, ls=(0, (4, 2)))
    axes.axvline(neutral(claim), color=FAINT, lw=1)
    if len(seeds) > 1:
        axes.plot(seeds, [0.74] * len(seeds), "|", markersize=9, color=GRAY)
    if evidence.interval is not None and all(math.isfinite(v) for v in evidence.interval):
        axes.plot(list(evidence.interval), [0.36, 0.36], color=INK, lw=2.2, solid_capstyle="butt")
    if evidence.effect is not None and math.isfinite(evidence.effect):
        axes.plot([evidence.effect], [0.36], "o", markersize=8, color=INK)
    else:
        axes.text(
            0.5, 0.4, nothing, transform=axes.transAxes, ha="center", va="center", fontsize=12, color=INK
        )
    _ticks(axes, plain=False)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _ticks(axes: Axes, *, plain: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_visible(False)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.tick_params(axis="x", labelsize=12, colors=INK, length=4, pad=3)
    if plain:
        axes.set_xticks([])
        return
    low, high = axes.get_xlim()
    edge = 0.05 * (high - low)  # a label at the edge would be cut
    places = [
        value for value in MaxNLocator(nbins=4).tick_values(low, high) if low + edge <= value <= high - edge
    ]
    axes.set_xticks(places, [f"{value:,.10g}".replace("-", text.MINUS) for value in places])


def _heading(axes: Axes, heading: str) -> None:
    axes.text(0, 1, heading, transform=_lifted(axes, 9), ha="left", va="center", fontsize=12, color=INK)


def _label(axes: Axes, y: float, label: str, *, side: Literal["left", "right"]) -> None:
    place = axes.get_yaxis_transform()  # across: share of the panel; down: the data's units
    axes.text(side == "right", y, label, transform=place, ha=side, va="center", fontsize=12, color=INK)


def _lifted(axes: Axes, points: float) -> Any:
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure()
    return axes.transAxes + ScaledTranslation(0, points / 72, figure.dpi_scale_trans)  # type: ignore[union-attr]


def _panel(figure: Figure, height: float, *, from_top: float, tall: float) -> Axes:
    axes = figure.add_axes(
        (_SIDE / WIDTH, 1 - (from_top + tall) / height, 1 - 2 * _SIDE / WIDTH, tall / height)
    )
    axes.patch.set_visible(False)
    return axes


def _wide(label: str) -> int:
    """Room a label takes, in letters; a Chinese character takes the room of two."""
    return sum(2 if ord(sign) > 0x2E7F else 1 for sign in label)


def _short(label: str, most: int) -> str:
    """A label cut to the room of `most` letters."""
    if _wide(label) <= most:
        return label
    kept = label
    while kept and _wide(kept) > most - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


@contextlib.contextmanager
def _drawing(height: float) -> Iterator[Figure]:
    """A figure, and around it the settings under which the same numbers always give the same file."""
    import matplotlib.style
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "visus",
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
    }
    with warnings.catch_warnings(), matplotlib.style.context(["default", settings]):
        # text is measured with a font that lacks Chinese; the browser that shows it does not use that font
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        yield figure


def _svg(figure: Figure) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    return stream.getvalue()
