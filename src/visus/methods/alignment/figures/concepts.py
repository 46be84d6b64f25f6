"""Which of people's concepts an embedding has: errors by concept, and errors where people themselves are unsure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visus.drawing import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    QUIET,
    VERMILION,
    drawing,
    headline,
    many,
    percent_axis,
    svg,
)
from visus.errors import InputError

SHOWN = 8
WORDS = 44
"""Characters of a concept's name beside its bar."""


@dataclass(frozen=True, kw_only=True)
class ConceptMark:
    """One concept: a dimension of the reference with the triplets that it decides."""

    name: str
    """The objects with most of it."""
    error: float
    interval: tuple[float, float] | None
    triplets: int
    """Those that it decides."""
    reference_error: float | None = None
    """Error of the reference itself on the same triplets."""


def draw_concepts(concepts: Sequence[ConceptMark], *, shown: int = SHOWN, title: str = "") -> str:
    """The best and the worst concepts by error, as SVG text; those in between are left out.

    Bars are the embedding's error, strokes across them that of the reference on the same triplets.

    Parameters
    ----------
    concepts : in any order; those without triplets are left out.
    shown : how many of either end.

    Raises
    ------
    InputError : no concept decides a triplet.
    """
    known = sorted((mark for mark in concepts if mark.triplets), key=lambda mark: mark.error)
    if not known:
        raise InputError("decide no triplet", field="concepts", remedy="give triplets of these objects")
    cut = len(known) > 2 * shown
    rows: list[ConceptMark | None] = [*known[:shown], None, *known[-shown:]] if cut else [*known]
    with drawing(1.0 + 0.3 * len(rows) + (0.25 if title else 0), width=7.2) as figure:
        axes = figure.subplots()
        middle = len(rows) / 2
        for place, mark in enumerate(rows):
            if mark is None:
                axes.text(0.01, place, f"{len(known) - 2 * shown} more", color=QUIET, va="center", fontsize=9)
                continue
            color = GREEN if place < middle else VERMILION
            axes.barh(place, mark.error, height=0.66, color=color, alpha=0.75)
            if mark.interval is not None:
                axes.plot(mark.interval, [place, place], color=INK, linewidth=1)
            if mark.reference_error is not None:
                axes.plot([mark.reference_error] * 2, [place - 0.38, place + 0.38], color=BLUE, linewidth=2.2)
        names = ["" if mark is None else short(mark.name) for mark in rows]
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        if any(mark is not None and mark.reference_error is not None for mark in rows):
            axes.plot([], [], color=BLUE, linewidth=2.2, label="the reference itself")
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)
        axes.axvline(2 / 3, color=QUIET, linestyle=":", linewidth=1.1)
        axes.set_xlabel("share of triplets judged wrong (dotted: guessing)")
        percent_axis(axes.xaxis)
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        headline(figure, title)
        return svg(figure)


def draw_uncertainty(
    entropy: Sequence[float],
    errors: Mapping[str, Sequence[float]],
    counts: Sequence[int],
    *,
    title: str = "",
) -> str:
    """Error over how unsure people are, with the number of triplets below, as SVG text.

    Parameters
    ----------
    entropy : middles of the bins, in nats; 0 where people agree, log 3 where they guess.
    errors : name -> share of wrong choices per bin (nan draws nothing).
    counts : triplets per bin.

    Raises
    ------
    InputError : no bin, or lists of different lengths.
    """
    if not entropy or any(len(values) != len(entropy) for values in (counts, *errors.values())):
        raise InputError("differ in length, or are empty", field="bins", remedy="give one value per bin")
    colors = (VERMILION, BLUE, GREEN, INK)
    with drawing(4.0 + (0.25 if title else 0)) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
        for number, (name, values) in enumerate(errors.items()):
            upper.plot(entropy, values, "o-", color=colors[number % 4], markersize=4.5, label=name)
        upper.axhline(2 / 3, color=QUIET, linestyle=":", linewidth=1.1)
        upper.set(ylim=(0, 1), ylabel="share judged wrong")
        upper.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        upper.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1, ncols=len(errors))
        wide = 0.8 * (entropy[1] - entropy[0] if len(entropy) > 1 else 0.1)
        lower.bar(entropy, counts, width=wide, color=FAINT)
        lower.set(xlabel="how unsure people are: entropy in nats (log 3 = 1.10)", ylabel="triplets")
        lower.locator_params(axis="y", nbins=3)
        lower.yaxis.set_major_formatter(lambda value, _: many(round(value), "").strip(" s"))
        for axes in (upper, lower):
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
        headline(figure, title)
        return svg(figure)


def short(name: str, most: int = WORDS) -> str:
    """A name of at most `most` characters, cut between words.

    >>> short("cat, dog, horse", 10)
    'cat, dog …'
    """
    if len(name) <= most:
        return name
    kept = ""
    for word in name.split(" "):
        if len(f"{kept}{word}".rstrip(",")) + 2 > most:
            break
        kept += f"{word} "
    return f"{kept.rstrip(', ') or name[: most - 2]} …"
