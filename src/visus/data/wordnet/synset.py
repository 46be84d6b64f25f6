"""A set of words with one meaning, and where its relations lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from visus.data.wordnet.lexicon import (
    HOLONYMS,
    HYPERNYM,
    HYPONYM,
    INSTANCE_HYPERNYM,
    INSTANCE_HYPONYM,
    MERONYMS,
)
from visus.data.wordnet.parsing import Pointer

if TYPE_CHECKING:
    from visus.data.wordnet.reader import WordNet


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning. Relations are looked up when asked for; their order is that of the file.

    Parameters
    ----------
    offset : byte offset of its line in the data file; ImageNet's number in version 3.0.
    pos : `n`, `v`, `a`, `s` (adjective satellite) or `r`.
    lexfile : lexicographer file, such as `noun.animal`.
    lemmas : its words as written, underscores between the parts of a compound.
    definition, examples : the two parts of its gloss.
    """

    offset: int
    pos: str
    lexfile: str
    lemmas: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]
    pointers: tuple[Pointer, ...] = field(repr=False, compare=False)
    wordnet: WordNet = field(repr=False, compare=False)

    @property
    def wnid(self) -> str:
        """`n02012849`: part of speech and offset. Comparable with ImageNet's ids under version 3.0 only."""
        return f"{self.pos}{self.offset:08d}"

    @property
    def name(self) -> str:
        """`crane.n.05`: first lemma, part of speech, number of this sense among those of the lemma."""
        lemma = self.lemmas[0].lower()
        number = self.wordnet.offsets(lemma, self.pos).index(self.offset) + 1
        return f"{lemma}.{self.pos}.{number:02d}"

    @property
    def words(self) -> tuple[str, ...]:
        """The lemmas with spaces."""
        return tuple(lemma.replace("_", " ") for lemma in self.lemmas)

    @property
    def is_instance(self) -> bool:
        """Whether it is one individual (a person, a place) and not a kind."""
        return any(pointer.symbol == INSTANCE_HYPERNYM for pointer in self.pointers)

    def related(self, *symbols: str) -> tuple[Synset, ...]:
        """Synsets that pointers of these symbols lead to."""
        return tuple(
            self.wordnet.at(pointer.offset, pointer.pos)
            for pointer in self.pointers
            if pointer.symbol in symbols and not pointer.lexical
        )

    def hypernyms(self) -> tuple[Synset, ...]:
        """What it is a kind of; for an individual, what it is one of."""
        return self.related(HYPERNYM, INSTANCE_HYPERNYM)

    def hyponyms(self) -> tuple[Synset, ...]:
        """Its kinds and its known individuals."""
        return self.related(HYPONYM, INSTANCE_HYPONYM)

    def meronyms(self) -> tuple[Synset, ...]:
        """Its parts, members and substances."""
        return self.related(*MERONYMS)

    def holonyms(self) -> tuple[Synset, ...]:
        """What it is a part, a member or a substance of."""
        return self.related(*HOLONYMS)

    def closure(self, *symbols: str) -> Iterator[Synset]:
        """Everything that these pointers lead to, step by step (nearest first), without the synset itself."""
        seen: set[Synset] = {self}
        level: list[Synset] = [self]
        while level:
            following: list[Synset] = []
            for synset in level:
                for other in synset.related(*symbols):
                    if other not in seen:
                        seen.add(other)
                        following.append(other)
                        yield other
            level = following
