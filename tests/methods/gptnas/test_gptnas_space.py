"""Spaces: what an individual is, and how many there are."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from visus.data.corpora.architecture_table import ArchitectureTable
from visus.errors import InputError
from visus.methods.gptnas.search.space import Space, block_space, pick, stream
from visus.records import from_plain, to_plain

SPACE = Space("tiny", ("a", "b", "c"), least=1, most=3)


def everything(space):
    lengths = range(space.least, space.most + 1)
    return [i for n in lengths for i in itertools.product(range(len(space.symbols)), repeat=n)]


def test_size_is_the_number_of_individuals():
    for space in (SPACE, Space("fixed", ("a", "b"), 5, 5), Space("one", ("a",), 1, 4)):
        assert space.size == len(everything(space))
    assert Space("cells", tuple("abcde"), 6, 6).size == 15625


def test_random_individuals_cover_the_space_evenly_by_length():
    rng = np.random.default_rng(0)
    drawn = Counter(SPACE.random(rng) for _ in range(6000))
    assert set(drawn) == set(everything(SPACE))
    for length in (1, 2, 3):
        share = sum(count for individual, count in drawn.items() if len(individual) == length) / 6000
        assert abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 6000)
    for individual in drawn:
        assert all(type(symbol) is int for symbol in individual)


def test_checks():
    assert SPACE.check(np.array([0, 2])) == (0, 2)
    assert SPACE.names((2, 0)) == ("c", "a")
    for wrong, why in (((), "0 symbols"), ((0,) * 4, "4 symbols"), ((3,), "outside"), ((-1,), "outside")):
        with pytest.raises(InputError, match=why):
            SPACE.check(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        {"symbols": ()},
        {"symbols": ("a", "a")},
        {"least": 0},
        {"least": 4},
        {"layers": (1, 2)},
        {"layers": (1, 2, 0)},
    ],
)
def test_spaces_that_make_no_sense(arguments):
    with pytest.raises(InputError):
        Space(**{"name": "x", "symbols": ("a", "b", "c"), "least": 1, "most": 3, **arguments})


def test_layers():
    assert SPACE.layer_counts() == (1, 1, 1)
    assert block_space(["a", "b"], layers=[3, 1]).layer_counts() == (3, 1)
    space = block_space([f"b{i}" for i in range(15)])
    assert (space.least, space.most, space.varies) == (10, 20, True)


def test_space_of_a_table():
    table = ArchitectureTable(name="t", symbols=("a", "b"), length=3, fitness=np.zeros(8), score=np.zeros(8))
    space = Space.of_table(table)
    assert (space.size, space.varies, space.symbols) == (8, False, ("a", "b"))


def test_a_space_is_a_plain_record():
    assert from_plain(Space, to_plain(SPACE)) == SPACE


def test_streams_are_functions_of_seed_and_purpose():
    first = stream(3, "genetic").random(4)
    assert np.array_equal(first, stream(3, "genetic").random(4))
    for other in (stream(4, "genetic"), stream(3, "regrowth"), stream(3, "geneti")):
        assert not np.array_equal(first, other.random(4))
    with pytest.raises(InputError, match="seed"):
        stream(-1, "genetic")


def test_pick_is_even():
    rng = np.random.default_rng(1)
    counts = Counter(pick(5, rng) for _ in range(20_000))
    assert set(counts) == set(range(5))
    assert max(abs(count - 4000) for count in counts.values()) < 4 * np.sqrt(20_000 * 0.2 * 0.8)
