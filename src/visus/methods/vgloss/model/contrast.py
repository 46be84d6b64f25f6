"""Contrastive answers: which pairs are asked about, and which sentence of an answer belongs to which side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from visus.errors import InputError
from visus.methods.vgloss.model.languages.english import NameIndex, folded, plain, sentences
from visus.methods.vgloss.model.prompter import contrast_names

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concepts import Concept

Fault: TypeAlias = Literal["names the other", "missing"]
MARKS = re.compile(r"^[\s*•>#\-–_`\"“]*(?:\(?\d{1,2}[.):]\s+)?[\s*_`\"“]*")
LETTERS = {"a": 0, "b": 1, "1": 0, "2": 1, "first": 0, "second": 1}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """One sentence on each of two concepts; None where the answer has none that can be used."""

    one: str | None
    other: str | None
    dropped: tuple[tuple[Literal["one", "other"], str, Fault], ...] = ()


def ordered_pairs(pairs: Iterable[frozenset[str]], keys: Sequence[str]) -> list[tuple[str, str]]:
    """Each unordered pair once, both pairs and members in the order of the classes.

    Raises
    ------
    InputError : a pair has not two members, or names no class.

    >>> ordered_pairs({frozenset({"b", "a"}), frozenset({"c", "a"})}, ["a", "b", "c"])
    [('a', 'b'), ('a', 'c')]
    """
    place = {key: i for i, key in enumerate(keys)}
    found: set[tuple[int, int]] = set()
    for pair in pairs:
        members = frozenset(pair)
        if len(members) != 2:
            raise InputError(f"{sorted(members)} is not a pair of two classes", field="pairs")
        if unknown := sorted(members - place.keys()):
            raise InputError(
                f"{unknown[0]!r} is not a class",
                field="pairs",
                remedy="name classes by the keys of their concepts",
            )
        i, j = sorted(place[key] for key in members)
        found.add((i, j))
    return [(keys[i], keys[j]) for i, j in sorted(found)]


def split_sides(answer: str, one: Concept, other: Concept) -> Sides:
    """The sentence on each side of an answer to a contrastive prompt.

    A line behind a label (`crane:`, `**Crane** -`, `A:`, `1:`) belongs to what the label names; a first line
    without one continues the prompt, which ended in the first concept's label. Without labels, two lines are one
    and the other, and of a single line the first sentence and the next that names the other concept alone. A
    sentence that names the opposite concept is dropped: it would pull the text's embedding to the class it should
    keep away from. Names both share do not count.
    """
    shown = contrast_names(one, other)
    labels = {folded(name): side for side, name in enumerate(shown)}
    for side, concept in enumerate((one, other)):
        for name in (concept.label, *concept.lemmas):
            key = folded(name)
            labels[key] = side if labels.get(key, side) == side else -1
    found: list[list[str]] = [[], []]
    free: list[str] = []
    for line in filter(None, map(str.strip, answer.splitlines())):
        side, text = _labeled(line, labels)
        if text:
            (free if side is None else found[side]).append(text)
    if not found[0] and not found[1] and len(free) == 1:
        first, *others = sentences(free[0])
        names = other_names(one, other)
        free = [first, *(text for text in others if names.found(text) == {"other"})]
    for side in (0, 1):
        if not found[side] and free:
            found[side].append(free.pop(0))
    return _judged([texts[0] if texts else "" for texts in found], one, other)


def other_names(one: Concept, other: Concept) -> NameIndex[str]:
    """Finds `"own"` names of one concept and `"other"` names that are not also its own."""
    own = {folded(name) for name in (one.label, *one.lemmas)}
    foreign = [name for name in (other.label, *other.lemmas) if folded(name) not in own]
    return NameIndex({"own": [one.label, *one.lemmas], "other": [plain(name) for name in foreign]})


def _labeled(line: str, labels: dict[tuple[str, ...], int]) -> tuple[int | None, str]:
    """Which side a line's label names, if it has one, and the rest of the line."""
    bare = MARKS.sub("", line)
    match = re.match(r"^([^:]{1,60}?)[*_`\"”]*\s*(?::|\s[-–—]\s)[*_`\"”]*\s*(.*)$", bare)
    if match:
        key = folded(re.sub(r"^(?:the|an?)\s+", "", match[1], flags=re.I))
        side = labels.get(key, LETTERS.get(" ".join(match[1].lower().split())))
        if side in (0, 1):
            return side, match[2].strip()
    return None, bare


def _judged(texts: Sequence[str], one: Concept, other: Concept) -> Sides:
    kept: list[str | None] = []
    dropped: list[tuple[Literal["one", "other"], str, Fault]] = []
    sides: tuple[Literal["one", "other"], ...] = ("one", "other")
    for text, side, (concept, foreign) in zip(texts, sides, ((one, other), (other, one)), strict=True):
        fault: Fault | None = None
        if not text:
            fault = "missing"
        elif "other" in other_names(concept, foreign).found(text):
            fault = "names the other"
        if fault:
            dropped.append((side, text, fault))
        kept.append(None if fault else text)
    return Sides(one=kept[0], other=kept[1], dropped=tuple(dropped))
