"""Class labels become concepts: from an id, from the person, or by the company a label keeps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from visus.data.wordnet import CONCRETE, Synset, WordNet, wu_palmer_matrix
from visus.errors import InputError
from visus.methods.vgloss.model.candidates import Candidates, candidates, readable
from visus.methods.vgloss.model.concept import (
    Concept,
    Given,
    How,
    Sense,
    concept_of,
    concept_without_synset,
)
from visus.methods.vgloss.model.context import choose

if TYPE_CHECKING:
    from visus.data.features import TextEncoder

__all__ = ["Concept", "ConceptMapper", "Given", "How", "Sense", "concept_of", "concept_without_synset"]

LESS_SURE = 0.5
"""Factor on the confidence where only the head noun was found, or no meaning a photo can show."""
_ID = re.compile(r"n\d{8}|.+\.n\.\d+")


class _Weighed(NamedTuple):
    """A label's meanings, the place of the chosen one, and the share of each."""

    found: Candidates
    best: int
    shares: Float[np.ndarray, " s"]


class ConceptMapper:
    """Find the concept of each label of a label set.

    A label's meaning comes from an id, from the person, from its own qualifier, or else from the company it is
    in: `crane` among birds is a bird, among machines a machine.

    Paper: 2306.06077 maps classes to WordNet concepts; how senses are chosen is not published.
    Differs: see `choose`.

    Parameters
    ----------
    wordnet : the database; by default the one found on this machine.
    files : lexicographer files of meanings to prefer; by default those of things a photo can show.
    rounds : times that all labels reconsider their meaning.
    encoder : if given, the similarity of two meanings is the mean of Wu-Palmer and the cosine of their glosses.

    >>> mapper = ConceptMapper()                                                    # doctest: +SKIP
    >>> [concept.synset.name for concept in mapper.map(["crane", "heron", "stork"])]    # doctest: +SKIP
    ['crane.n.05', 'heron.n.02', 'stork.n.01']
    """

    def __init__(
        self,
        wordnet: WordNet | None = None,
        files: Sequence[str] = CONCRETE,
        *,
        rounds: int = 3,
        encoder: TextEncoder | None = None,
    ) -> None:
        if rounds < 1:
            raise InputError(f"is {rounds}", field="rounds", remedy="give 1 or more")
        self.wordnet = wordnet or WordNet.open()
        self.files, self.rounds, self.encoder = tuple(files), rounds, encoder

    def map(
        self,
        labels: Sequence[str],
        wnids: Sequence[str | None] | None = None,
        given: Mapping[str, Given | str] | None = None,
        *,
        parent: str | None = None,
    ) -> list[Concept]:
        """Concepts in the order of the labels; which meaning a label gets does not depend on that order.

        Parameters
        ----------
        wnids : ids in the order of the labels, None where one is unknown.
        given : label -> `Given`, or a synset's name or id, or else a gloss.
        parent : what all labels are kinds of (a synset's name, id, or word): other meanings do not count, and
            labels without a meaning get it as parent.

        Raises
        ------
        InputError : no or doubled labels, an unknown synset, or two labels with one synset (names both).
        """
        labels = list(labels)
        notes = {label: _as_given(note) for label, note in (given or {}).items()}
        _check(labels, wnids, notes)
        ids = wnids or [None] * len(labels)
        known = {label: self._known(label, wnid, notes.get(label)) for label, wnid in zip(labels, ids)}
        above = self._find(parent, "parent") if parent is not None else None
        weighed = self._weighed(known, above)
        concepts = [
            known[label] or self._described(label, weighed[label], notes.get(label), above)
            for label in labels
        ]
        _refuse_shared(concepts)
        return concepts

    def _known(self, label: str, wnid: str | None, note: Given | None) -> Concept | None:
        """The concept of a label whose synset somebody names."""
        gloss = note.gloss if note else None
        if note is not None and note.synset is not None:
            return concept_of(label, self._find(note.synset, f"given, {label}"), how="given", gloss=gloss)
        if wnid is not None:
            return concept_of(label, self.wordnet.of_wnid(wnid), how="wnid", gloss=gloss)
        return None

    def _find(self, name: str, field: str) -> Synset:
        """A synset by its name, its id, or a word (the first allowed meaning)."""
        if _ID.fullmatch(name):
            return self.wordnet.synset(name)
        found = candidates(self.wordnet, name, files=self.files)
        if found.how == "head" or not found.synsets:
            raise InputError(f"WordNet does not know {name!r}", field=field, remedy="name another concept")
        return found.synsets[0]

    def _weighed(self, known: Mapping[str, Concept | None], above: Synset | None) -> dict[str, _Weighed]:
        """The open labels' meanings, weighed in the company of all labels."""
        labels = sorted(label for label, concept in known.items() if concept is None)
        if not labels:
            return {}
        found = {label: candidates(self.wordnet, label, files=self.files, parent=above) for label in labels}
        settled = {concept.synset for concept in known.values() if concept and concept.synset}
        groups = [found[label].synsets for label in labels if found[label].synsets]
        groups += [(synset,) for synset in sorted(settled, key=lambda synset: synset.offset)]
        chosen = iter(self._choose(groups) if groups else ())
        return {
            label: _Weighed(found[label], *(next(chosen) if found[label].synsets else (0, np.zeros(0))))
            for label in labels
        }

    def _choose(self, groups: Sequence[Sequence[Synset]]) -> list[tuple[int, Float[np.ndarray, " s"]]]:
        flat = [synset for group in groups for synset in group]
        similarity = wu_palmer_matrix(flat)
        if self.encoder is not None:
            texts = [f"{synset.words[0]}: {synset.definition}" for synset in flat]
            similarity = (similarity + _cosine(np.asarray(self.encoder.texts(texts).cpu(), np.float32))) / 2
        counts = [len(group) for group in groups]
        best, share = choose(similarity, counts, rounds=self.rounds)
        return list(zip(best.tolist(), np.split(share, np.cumsum(counts)[:-1])))

    def _described(self, label: str, weighed: _Weighed, note: Given | None, above: Synset | None) -> Concept:
        """The concept of a label whose meaning was looked for; a person's gloss or parent outweighs a head."""
        found, best, shares = weighed
        gloss, own_parent = (note.gloss, note.parent) if note else (None, None)
        if own_parent is not None:
            above = self._find(own_parent, f"given, {label}")
        if not found.synsets or (note is not None and found.how == "head"):
            return concept_without_synset(label, above, gloss, how="given" if note else "none")
        order = [int(i) for i in np.argsort(-shares, kind="stable") if i != best]
        others = tuple(Sense(found.synsets[i], float(shares[i])) for i in order)
        sure = float(shares[best]) * (1.0 if found.concrete else LESS_SURE)
        if found.how == "head":
            concept = concept_without_synset(label, found.synsets[best], gloss, how="head")
            return replace(concept, confidence=sure * LESS_SURE, alternatives=others)
        how: How = "qualified" if found.how == "qualified" else "context" if others else "only sense"
        concept = concept_of(label, found.synsets[best], how=how, gloss=gloss)
        return replace(concept, confidence=sure, alternatives=others)


def _as_given(note: Given | str) -> Given:
    """A person's note: a synset's name or id, or else a gloss."""
    if isinstance(note, Given):
        return note
    return Given(synset=note) if _ID.fullmatch(note) else Given(gloss=note)


def _check(labels: Sequence[str], wnids: Sequence[str | None] | None, notes: Mapping[str, Given]) -> None:
    if not labels or not all(readable(label) for label in labels):
        raise InputError("an empty label" if labels else "no labels", field="labels")
    doubled = [label for label, count in Counter(labels).items() if count > 1]
    if doubled:
        raise InputError(f"{doubled[0]!r} stands twice", field="labels", remedy="make the names unique")
    if wnids is not None and len(wnids) != len(labels):
        raise InputError(f"{len(wnids)} ids for {len(labels)} labels", field="wnids")
    strangers = sorted(set(notes) - set(labels))
    if strangers:
        raise InputError(f"{strangers[0]!r} is not among the labels", field="given")


def _refuse_shared(concepts: Sequence[Concept]) -> None:
    """Two classes with one meaning cannot be told apart by it."""
    first: dict[Synset, Concept] = {}
    for concept in concepts:
        if concept.synset is None:
            continue
        other = first.setdefault(concept.synset, concept)
        if other is not concept:
            meaning = f"{concept.synset.name} ({concept.synset.definition})"
            raise InputError(
                f"{other.label!r} and {concept.label!r} would both mean {meaning}",
                field="labels",
                remedy="give the id or the synset of one of them, for example given={label: 'crane.n.05'}",
            )


def _cosine(vectors: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n n"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    return units @ units.T
