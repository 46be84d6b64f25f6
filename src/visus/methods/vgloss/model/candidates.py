"""From a class label to the meanings it may have: spelling variants, qualifiers and head nouns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from visus.data.wordnet import Synset, WordNet, wu_palmer

_PARENTHESIS = re.compile(r"\s*\(([^)]*)\)\s*$")
_HEAD = re.compile(r"[^\W\d_]{3,}(?:[ '-][^\W\d_]+)*")
"""What can be the head noun of a label: words of letters, the first of at least three."""


NEAR = 0.5
"""Least Wu-Palmer similarity at which a qualifier that is no kind of the word still decides."""


class Candidates(NamedTuple):
    """Meanings a label may have, most frequent first.

    `how` tells how they were found: `exact`, `qualified` (the label names the kind, as in "crane (bird)" and
    "maple tree"), `head` (meanings of the last words only, "fish" for "aquarium fish") or `none`.
    `concrete` is False where none of them is in the allowed lexicographer files.
    """

    synsets: tuple[Synset, ...]
    how: str
    concrete: bool = True


def readable(label: str) -> str:
    """The label as a person would write it.

    >>> readable("aquarium_fish")
    'aquarium fish'
    """
    return " ".join(label.replace("_", " ").split())


def candidates(
    wordnet: WordNet, label: str, *, files: Sequence[str], parent: Synset | None = None
) -> Candidates:
    """Meanings of one label.

    The order of attempts: the label as written, without hyphens, joined; "X (Y)" and "X, Y" as X, of the
    meanings those that are a Y, or else the one nearest to Y; "X Y" as X if X is a kind of Y; the longest last
    words that are in WordNet. Proper names of individuals count only where nothing else is found.

    Parameters
    ----------
    files : lexicographer files whose meanings are preferred.
    parent : only meanings that are kinds of it count.
    """
    text = readable(label)
    hints: list[str] = []
    inside = _PARENTHESIS.search(text)
    if inside:
        hints, text = [inside[1]], text[: inside.start()]
    first, *others = (part.strip() for part in text.split(","))
    found = _senses(wordnet, first, files, parent)
    hints += others
    fitting = _fitting(wordnet, found.synsets, hints) or _near(wordnet, found.synsets, hints)
    if fitting:
        return Candidates(fitting, "qualified", found.concrete)
    if found.synsets:
        return found
    words = first.split()
    for cut in range(len(words) - 1, 0, -1):
        kept = _senses(wordnet, " ".join(words[:cut]), files, parent)
        fitting = _fitting(wordnet, kept.synsets, [" ".join(words[cut:])])
        if fitting:
            return Candidates(fitting, "qualified", kept.concrete)
    for cut in range(1, len(words)):
        head = " ".join(words[cut:])
        kept = _senses(wordnet, head, files, parent) if _HEAD.fullmatch(head) else None
        if kept is not None and kept.synsets and kept.concrete:
            return Candidates(kept.synsets, "head")
    return Candidates((), "none")


def _senses(wordnet: WordNet, text: str, files: Sequence[str], parent: Synset | None) -> Candidates:
    variants = dict.fromkeys((text, text.replace("-", " "), text.replace("-", ""), text.replace(" ", "-")))
    variants[text.replace(" ", "")] = None
    found = next((senses for variant in variants if (senses := wordnet.synsets(variant))), ())
    if parent is not None:
        found = tuple(sense for sense in found if _is_under(sense, parent))
    kinds = tuple(sense for sense in found if not sense.is_instance)
    allowed = tuple(sense for sense in kinds if sense.lexfile in files)
    senses = allowed or kinds or found
    return Candidates(senses, "exact" if senses else "none", bool(allowed))


def _fitting(wordnet: WordNet, senses: Sequence[Synset], hints: Sequence[str]) -> tuple[Synset, ...]:
    """Those of the meanings that are, or are a kind of, something a hint may mean."""
    kinds = [kind for hint in hints for kind in wordnet.synsets(hint)]
    return tuple(sense for sense in senses if any(_is_under(sense, kind) for kind in kinds))


def _near(wordnet: WordNet, senses: Sequence[Synset], hints: Sequence[str]) -> tuple[Synset, ...]:
    """The meaning most similar to a hint, which may be longer than any word of WordNet; () if none is near."""
    tails = [" ".join(hint.split()[cut:]) for hint in hints for cut in range(len(hint.split()))]
    kinds = next((found for tail in tails if (found := wordnet.synsets(tail))), ())
    scores = [max((wu_palmer(sense, kind) for kind in kinds), default=0.0) for sense in senses]
    best = max(range(len(senses)), key=scores.__getitem__, default=0)
    return (senses[best],) if senses and scores[best] >= NEAR else ()


def _is_under(sense: Synset, kind: Synset) -> bool:
    return sense.pos == kind.pos and sense.wordnet.taxonomy.is_under("n", sense.offset, kind.offset)
