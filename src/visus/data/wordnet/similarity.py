"""How near two meanings are in the hierarchy of hypernyms.

Sources: Rada et al. 1989 (path length); Wu and Palmer 1994, cmp-lg/9406033 (depth of the common ancestor);
conventions on several parents as in NLTK.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from visus.data.wordnet.synset import Synset
from visus.errors import InputError


def path_similarity(one: Synset, other: Synset) -> float:
    """1 / (1 + edges of the shortest way through a common ancestor); 0 where there is none."""
    if one.pos != other.pos:
        return 0.0
    mine, theirs = _ancestors(one), _ancestors(other)
    ways = [distance + theirs[node] for node, distance in mine.items() if node in theirs]
    return 1 / (1 + min(ways)) if ways else 0.0


def wu_palmer(one: Synset, other: Synset) -> float:
    """2 d / (p + q + 2 d), d = nodes from the root down to the lowest common ancestor, p, q = edges up to it.

    Lowest means farthest from the root along the shortest way; d is then counted along the longest. Of several
    lowest ancestors the one of the greatest similarity counts. 0 without a common ancestor.
    Differs: NLTK takes the alphabetically first of several, which is not symmetric.
    """
    return float(wu_palmer_matrix([one, other])[0, 1])


def wu_palmer_matrix(synsets: Sequence[Synset]) -> Float[np.ndarray, "n n"]:
    """`wu_palmer` of all pairs of synsets of one part of speech, (n, n) float32, symmetric.

    Ancestors are visited from the root downwards; each overwrites the block of the synsets below it. A
    thousand nouns take a fraction of a second.
    """
    if len({synset.pos for synset in synsets}) > 1:
        if len(synsets) == 2:
            return np.eye(2, dtype=np.float32)
        raise InputError("synsets of several parts of speech have no common hierarchy", field="synsets")
    table = np.zeros((len(synsets), len(synsets)), dtype=np.float32)
    if not synsets:
        return table
    pos, taxonomy = synsets[0].pos, synsets[0].wordnet.taxonomy
    below: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for place, synset in enumerate(synsets):
        for node, distance in _ancestors(synset).items():
            below[node].append((place, distance))
    levels: dict[int, list[int]] = defaultdict(list)
    for node in below:
        levels[taxonomy.depths(pos, node)[0]].append(node)
    for level in sorted(levels):
        fresh = np.zeros_like(table, dtype=bool) if len(levels[level]) > 1 else None
        for node in levels[level]:
            places, up = np.asarray(below[node], dtype=np.int64).T
            nodes = np.float32(2 * (taxonomy.depths(pos, node)[1] + 1))
            block = nodes / (up[:, None] + up[None, :] + nodes).astype(np.float32)
            where = np.ix_(places, places)
            if fresh is not None:
                block = np.where(fresh[where], np.maximum(table[where], block), block)
                fresh[where] = True
            table[where] = block
    return table


def _ancestors(synset: Synset) -> dict[int, int]:
    return synset.wordnet.taxonomy.ancestors(synset.pos, synset.offset)
