"""The plain operators of a genetic search over lists: parents, crossover, mutation, survival.

The paper names probabilities (0.9 and 0.3) but not the operators; these are the usual ones of its authors'
earlier block-based searches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visus.methods.gptnas.search.space import Individual, Space, pick

Rated = tuple[Individual, float]
"""An individual with its fitness (higher is better)."""


def tournament(population: Sequence[Rated], rng: np.random.Generator) -> Individual:
    """The better of two members drawn evenly, with replacement; the first drawn on a tie."""
    first, second = (population[pick(len(population), rng)] for _ in range(2))
    return second[0] if second[1] > first[1] else first[0]


def crossover(
    one: Individual, two: Individual, space: Space, rng: np.random.Generator
) -> tuple[Individual, Individual]:
    """One-point crossover with a cut point in each parent.

    The second cut is moved, if need be, so that both children have allowed lengths; where the length is fixed
    this makes it a common cut. Parents of one symbol come back as they are.
    """
    a, b = len(one), len(two)
    if min(a, b) < 2:
        return one, two
    i, j = 1 + pick(a - 1, rng), 1 + pick(b - 1, rng)
    low = max(1, i + b - space.most, i + space.least - a)
    high = min(b - 1, i + b - space.least, i + space.most - a)
    j = min(max(j, low), high)
    return one[:i] + two[j:], two[:j] + one[i:]


def mutate(individual: Individual, space: Space, rng: np.random.Generator) -> Individual:
    """Replace a symbol by another one, insert one, or delete one: each as likely, where allowed."""
    kinds = ["replace"] if len(space.symbols) > 1 else []
    kinds += ["insert"] if len(individual) < space.most else []
    kinds += ["delete"] if len(individual) > space.least else []
    if not kinds:
        return individual
    kind = kinds[0] if len(kinds) == 1 else kinds[pick(len(kinds), rng)]
    if kind == "insert":
        place, symbol = pick(len(individual) + 1, rng), pick(len(space.symbols), rng)
        return (*individual[:place], symbol, *individual[place:])
    place = pick(len(individual), rng)
    if kind == "delete":
        return individual[:place] + individual[place + 1 :]
    symbol = pick(len(space.symbols) - 1, rng)
    symbol += symbol >= individual[place]
    return (*individual[:place], symbol, *individual[place + 1 :])


def survivors(candidates: Sequence[Rated], count: int) -> list[Rated]:
    """The best `count` different individuals of parents and offspring, best first; earlier ones win ties.

    The best individual so far always survives.
    """
    different = dict(candidates)
    return sorted(different.items(), key=lambda rated: rated[1], reverse=True)[:count]


def offspring(
    population: Sequence[Rated],
    space: Space,
    rng: np.random.Generator,
    *,
    count: int,
    crossover_rate: float,
    mutation_rate: float,
) -> list[Individual]:
    """`count` children of parents chosen by tournament."""
    made: list[Individual] = []
    while len(made) < count:
        pair = tournament(population, rng), tournament(population, rng)
        if rng.random() < crossover_rate:
            pair = crossover(*pair, space, rng)
        made += [mutate(child, space, rng) if rng.random() < mutation_rate else child for child in pair]
    return made[:count]
