"""A concept: what a class label means, how sure that is, and what WordNet knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from visus.data.wordnet import Synset
from visus.methods.vgloss.model.candidates import readable

How: TypeAlias = Literal["wnid", "given", "context", "only sense", "qualified", "head", "none"]
KINDS = 3
"""Most names of what a concept is a kind of."""
_TOP = "noun.Tops"
"""Lexicographer file of the topmost concepts, such as entity: they say nothing about looks."""


@dataclass(frozen=True)
class Sense:
    """A meaning that was weighed, and its share among the label's meanings (0..1)."""

    synset: Synset
    share: float


@dataclass(frozen=True)
class Given:
    """What a person says about a label: its synset (`crane.n.05` or an id), or a gloss and a parent concept."""

    synset: str | None = None
    gloss: str | None = None
    parent: str | None = None


@dataclass(frozen=True)
class Concept:
    """What a class label means.

    Parameters
    ----------
    label : as the label set has it.
    synset : its meaning, None if WordNet has none (aircraft variants, coined names).
    gloss : the person's text, else the synset's definition, else the parent's; empty without any.
    lemmas : its names, with spaces; of a concept without synset the label alone.
    hypernyms : what it is a kind of, nearest first; the parent and what is above where there is no synset.
    examples : sentences that use the word.
    parts : its parts, or those of the nearest kind above it that has some.
    hyponyms : kinds of it.
    confidence : 1 for `wnid`, `given` and `only sense`; for `context` and `qualified` the chosen meaning's share
        among the label's meanings (see `choose`); half of that where only the head noun was found or WordNet
        knows no concrete meaning; 0 for `none`.
    alternatives : the other meanings, best first.
    how : where the meaning is from. `qualified`: the label itself says which ("crane (bird)", "maple tree").
        `head`: only the last words were found; then they are the parent and there is no synset.
    parent : the concept above a label that has no synset.
    """

    label: str
    synset: Synset | None = None
    gloss: str = ""
    lemmas: tuple[str, ...] = ()
    hypernyms: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    hyponyms: tuple[str, ...] = ()
    confidence: float = 0.0
    alternatives: tuple[Sense, ...] = ()
    how: How = "none"
    parent: Synset | None = None

    @property
    def name(self) -> str:
        """The label as a person would write it."""
        return readable(self.label)


def concept_of(label: str, synset: Synset, *, how: How, gloss: str | None = None) -> Concept:
    """Everything WordNet says about a meaning, under a label, with confidence 1."""
    return Concept(
        label=label,
        synset=synset,
        gloss=gloss or synset.definition,
        lemmas=synset.words,
        hypernyms=_kinds(synset),
        examples=synset.examples,
        parts=_parts(synset),
        hyponyms=tuple(kind.words[0] for kind in synset.related("~")),
        confidence=1.0,
        how=how,
    )


def concept_without_synset(
    label: str, parent: Synset | None, gloss: str | None = None, *, how: How = "none"
) -> Concept:
    """A concept known by its name, the person's gloss and the concept above it."""
    return Concept(
        label=label,
        gloss=gloss or (parent.definition if parent else ""),
        lemmas=(readable(label),),
        hypernyms=(parent.words[0], *_kinds(parent))[:KINDS] if parent else (),
        parts=_parts(parent) if parent else (),
        confidence=1.0 if how == "given" else 0.0,
        how=how,
        parent=parent,
    )


def _kinds(synset: Synset) -> tuple[str, ...]:
    """Names of what it is a kind of, nearest first."""
    above = [kind for kind in synset.closure("@", "@i") if kind.lexfile != _TOP]
    return tuple(dict.fromkeys(kind.words[0] for kind in above[:KINDS]))


def _parts(synset: Synset) -> tuple[str, ...]:
    """Names of its parts, or of those of the nearest kind above it that has some.

    Its meat is none (the grouse that is eaten, of the grouse that flies), nor is a thing of its own first name.
    """
    for kind in (synset, *synset.closure("@", "@i")):
        parts = [
            part.words[0]
            for part in kind.related("%p")
            if (kind.lexfile, part.lexfile) != ("noun.animal", "noun.food")
            and part.words[0] != synset.words[0]
        ]
        if parts:
            return tuple(dict.fromkeys(parts)) if kind.lexfile != _TOP else ()
    return ()
