"""Spaces, fitness and priors the search tests share."""

from __future__ import annotations

import numpy as np

from visus.methods.gptnas.search.space import Space

FIXED = Space("fixed", tuple("abcde"), 6, 6)
VARIED = Space("varied", tuple("abcd"), 2, 7)


def worth(individual):
    """A rugged function of the symbols and their neighbors; many individuals are equal."""
    pairs = zip(individual, (*individual[1:], 0), strict=True)
    return float(sum((3 * a + 7 * b) % 5 - (a == b) for a, b in pairs) // 2)


def of_candidate(candidate):
    """`worth`, as `run_search` asks it."""
    return worth(candidate.individual)


class Favor:
    """A prior that favors symbol = last + 1."""

    def __init__(self, space, information=0.7):
        self.space, self.information = space, information

    def distribution(self, prefix):
        count = len(self.space.symbols) + self.space.varies
        p = np.full(count, 0.5 / (count - 1))
        p[(prefix[-1] + 1 if prefix else 0) % len(self.space.symbols)] = 0.5
        return p


def play(search, value=worth):
    """Run a search to its end; the individuals in the order they were asked."""
    asked = []
    while batch := search.ask():
        for individual in batch:
            asked.append(individual)
            search.tell(individual, value(individual))
    return asked
