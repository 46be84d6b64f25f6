"""Genetic operators."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.methods.gptnas.search.genetic import crossover, mutate, offspring, survivors, tournament
from visus.methods.gptnas.search.space import Space

FIXED = Space("fixed", tuple("abcde"), 6, 6)
VARIED = Space("varied", tuple("abcde"), 3, 7)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_tournament_is_binary():
    """Of four members with replacement the best wins 1 - (3/4)^2 of the time, the worst (1/4)^2."""
    population = [((place,), float(place)) for place in range(4)]
    draws, source = 20_000, rng()
    wins = Counter(tournament(population, source) for _ in range(draws))
    for place in range(4):
        share = (2 * place + 1) / 16
        assert abs(wins[(place,)] / draws - share) < 4 * np.sqrt(share * (1 - share) / draws)


@given(st.integers(0, 10_000), st.integers(3, 7), st.integers(3, 7))
@settings(max_examples=200, deadline=None)
def test_crossover_swaps_tails_and_keeps_lengths_allowed(seed, a, b):
    one, two = tuple(range(100, 100 + a)), tuple(range(200, 200 + b))
    children = crossover(one, two, VARIED, rng(seed))
    assert all(3 <= len(child) <= 7 for child in children)
    assert sum(map(len, children)) == a + b
    i = sum(symbol < 200 for symbol in children[0])
    j = sum(symbol >= 200 for symbol in children[1])
    assert 1 <= i < a
    assert 1 <= j < b
    assert children == (one[:i] + two[j:], two[:j] + one[i:])


def test_cut_points_are_independent_where_lengths_allow_it():
    cuts, wide = Counter(), Space("wide", ("a",), 1, 100)
    source = rng()
    for _ in range(8000):
        first, _ = crossover((1,) * 5, (2,) * 5, wide, source)
        cuts[first.count(1), 5 - first.count(2)] += 1
    assert set(cuts) == {(i, j) for i in range(1, 5) for j in range(1, 5)}
    assert max(abs(count - 500) for count in cuts.values()) < 5 * np.sqrt(500)


def test_fixed_length_means_a_common_cut():
    one, two = (1,) * 6, (2,) * 6
    made = {crossover(one, two, FIXED, rng(seed)) for seed in range(200)}
    assert made == {(one[:i] + two[i:], two[:i] + one[i:]) for i in range(1, 6)}
    single = Space("single", ("a", "b"), 1, 1)
    assert crossover((0,), (1,), single, rng()) == ((0,), (1,))


def distance(a, b):
    """Levenshtein."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, before = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 4), min_size=3, max_size=7))
@settings(max_examples=200, deadline=None)
def test_a_mutation_is_one_edit(seed, symbols):
    parent = tuple(symbols)
    child = mutate(parent, VARIED, rng(seed))
    assert distance(parent, child) == 1
    assert VARIED.check(child) == child


def test_kinds_of_mutation_are_equally_likely_where_allowed():
    source = rng()

    def lengths(parent, space):
        return Counter(len(mutate(parent, space, source)) - len(parent) for _ in range(6000))

    middle = lengths((0, 1, 2, 3, 4), VARIED)
    assert max(abs(middle[change] - 2000) for change in (-1, 0, 1)) < 4 * np.sqrt(6000 * 2 / 9)
    assert set(lengths((0, 1, 2), VARIED)) == {0, 1}
    assert set(lengths((0,) * 7, VARIED)) == {-1, 0}
    assert set(lengths((0,) * 6, FIXED)) == {0}


def test_every_neighbor_is_reached():
    source, parent = rng(), (0, 1, 2, 3, 4, 0)
    reached = {mutate(parent, FIXED, source) for _ in range(3000)}
    assert reached == {
        (*parent[:i], symbol, *parent[i + 1 :])
        for i in range(6)
        for symbol in range(5)
        if symbol != parent[i]
    }
    assert mutate((0, 0), Space("dull", ("a",), 2, 2), source) == (0, 0)


def test_survivors_are_the_best_different_ones():
    pool = [((1,), 1.0), ((2,), 3.0), ((1,), 1.0), ((3,), 3.0), ((4,), float("-inf")), ((5,), 2.0)]
    assert survivors(pool, 3) == [((2,), 3.0), ((3,), 3.0), ((5,), 2.0)]
    assert survivors(pool, 10) == [((2,), 3.0), ((3,), 3.0), ((5,), 2.0), ((1,), 1.0), ((4,), float("-inf"))]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=30), st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_survivors_against_a_slow_selection(drawn, count):
    """The best is never lost; ties go to who came first."""
    values = {}
    for key, value in drawn:
        values.setdefault((key,), float(value))
    left, want = list(values.items()), []
    while left and len(want) < count:
        best = left[0]
        for rated in left[1:]:
            best = rated if rated[1] > best[1] else best
        want.append(best)
        left.remove(best)
    assert survivors([(key, values[key]) for key, _ in ((((k,), 0)) for k, _ in drawn)], count) == want


@pytest.mark.parametrize("count", [1, 4, 7])
def test_offspring(count):
    population = [(FIXED.random(rng(seed)), float(seed)) for seed in range(5)]
    parents = {individual for individual, _ in population}
    copies = offspring(population, FIXED, rng(), count=count, crossover_rate=0.0, mutation_rate=0.0)
    assert len(copies) == count
    assert set(copies) <= parents
    moved = offspring(population, FIXED, rng(), count=count, crossover_rate=0.0, mutation_rate=1.0)
    assert all(min(distance(child, parent) for parent in parents) == 1 for child in moved)
