"""The hierarchy of hypernyms: ancestors with their distances, and depths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.data.wordnet.lexicon import HYPERNYM, INSTANCE_HYPERNYM

if TYPE_CHECKING:
    from visus.data.wordnet.reader import WordNet

ROOT = -1
"""Offset that stands for the node above all roots, which only the verbs need."""

Depths = tuple[int, int]
"""Edges to the nearest root along the shortest and along the longest way."""


class Taxonomy:
    """Ancestors and depths by offset, remembered once computed.

    Nouns have one root. The hierarchies of the verbs are joined under an extra node `ROOT` of depth -1.
    Adjectives and adverbs have no hypernyms.
    """

    def __init__(self, wordnet: WordNet) -> None:
        self.wordnet = wordnet
        self._parents: dict[tuple[str, int], tuple[int, ...]] = {}
        self._depths: dict[tuple[str, int], Depths] = {("v", ROOT): (-1, 0)}
        self._ancestors: dict[tuple[str, int], dict[int, int]] = {}

    def parents(self, pos: str, offset: int) -> tuple[int, ...]:
        """Offsets one step up, hypernyms of individuals included."""
        if offset == ROOT:
            return ()
        known = self._parents.get((pos, offset))
        if known is None:
            pointers = self.wordnet.at(offset, pos).pointers
            steps = [p.offset for p in pointers if p.symbol in (HYPERNYM, INSTANCE_HYPERNYM) and p.pos == pos]
            known = tuple(dict.fromkeys(steps)) or ((ROOT,) if pos == "v" else ())
            self._parents[pos, offset] = known
        return known

    def ancestors(self, pos: str, offset: int) -> dict[int, int]:
        """Offset of every ancestor, the synset itself included -> fewest edges up to it."""
        known = self._ancestors.get((pos, offset))
        if known is None:
            known, level, distance = {offset: 0}, [offset], 0
            while level:
                distance += 1
                level = [up for node in level for up in self.parents(pos, node) if up not in known]
                level = list(dict.fromkeys(level))
                known.update(dict.fromkeys(level, distance))
            self._ancestors[pos, offset] = known
        return known

    def depths(self, pos: str, offset: int) -> Depths:
        """Fewest and most edges up to a root; the verbs' extra node does not count as an edge."""
        known = self._depths.get((pos, offset))
        if known is None:
            above = [self.depths(pos, parent) for parent in self.parents(pos, offset) if parent != ROOT]
            known = (
                (1 + min(low for low, _ in above), 1 + max(high for _, high in above)) if above else (0, 0)
            )
            self._depths[pos, offset] = known
        return known

    def is_under(self, pos: str, offset: int, ancestor: int) -> bool:
        """Whether `ancestor` is the synset itself or above it."""
        return ancestor in self.ancestors(pos, offset)
