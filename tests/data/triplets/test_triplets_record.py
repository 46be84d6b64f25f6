"""The record of triplets, and parts of it that share no object."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.triplets import Triplets, object_folds, object_mask, split_objects, within
from visus.data.triplets.record import as_rows
from visus.errors import InputError


@st.composite
def triplet_sets(draw, most=12):
    objects = draw(st.integers(3, most))
    row = st.permutations(range(objects)).map(lambda order: order[:3])
    rows = draw(st.lists(row, min_size=1, max_size=30))
    return Triplets(rows=np.array(rows, dtype=np.int64), objects=objects)


def brute_partition(rows, side):
    inside = [tuple(row) for row in rows.tolist() if all(number in side for number in row)]
    outside = [tuple(row) for row in rows.tolist() if not any(number in side for number in row)]
    return inside, outside


@settings(max_examples=60, deadline=None)
@given(triplet_sets(), st.data())
def test_partition_is_that_of_a_slow_loop_and_mixed_rows_are_in_neither(triplets, data):
    side = set(data.draw(st.lists(st.integers(0, triplets.objects - 1), max_size=triplets.objects)))
    inside, outside = triplets.partition(sorted(side))
    expected = brute_partition(triplets.rows, side)
    assert [tuple(row) for row in inside.rows.tolist()] == expected[0]
    assert [tuple(row) for row in outside.rows.tolist()] == expected[1]
    mask = object_mask(sorted(side), triplets.objects)
    assert np.array_equal(within(triplets, mask), within(triplets, torch.from_numpy(mask)))
    assert np.array_equal(within(triplets, mask), within(triplets, sorted(side)))
    assert np.array_equal(within(triplets, mask), within(triplets.rows, mask))


@settings(max_examples=60, deadline=None)
@given(triplet_sets(most=6))
def test_groups_are_those_of_unordered_sets(triplets):
    sets = [frozenset(row) for row in triplets.rows.tolist()]
    groups = triplets.groups()
    for i, j in itertools.combinations(range(len(sets)), 2):
        assert (groups[i] == groups[j]) == (sets[i] == sets[j])
    assert set(groups.tolist()) == set(range(len(set(sets))))
    for least in (1, 2, 3):
        expected = [row for row, own in zip(triplets.rows.tolist(), sets) if sets.count(own) >= least]
        assert triplets.repeated(least).rows.tolist() == expected


def test_groups_of_more_objects_than_a_key_can_number():
    rows = np.array([[0, 1, 2_500_000], [2_500_000, 0, 1], [0, 1, 2]])
    groups = Triplets(rows=rows, objects=2_500_001).groups()
    assert groups[0] == groups[1] != groups[2]


def test_large_sets_are_looked_at_in_chunks(monkeypatch):
    monkeypatch.setattr("visus.data.triplets.record.CHUNK", 7)
    monkeypatch.setattr("visus.data.triplets.partition.CHUNK", 7)
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(9)[:3] for _ in range(40)])
    side = {0, 2, 3, 5, 8}
    inside, outside = Triplets(rows=rows, objects=9).partition(sorted(side))
    assert ([tuple(r) for r in inside.rows.tolist()], [tuple(r) for r in outside.rows.tolist()]) == (
        brute_partition(rows, side)
    )
    rows[23] = [4, 4, 1]
    with pytest.raises(InputError, match=r"row 23.*\[4, 4, 1\] names an object twice"):
        Triplets(rows=rows, objects=9)


def test_participants_and_names_go_with_the_rows():
    triplets = Triplets(
        rows=np.array([[0, 1, 2], [1, 2, 3], [2, 1, 0]]),
        objects=4,
        names=("a", "b", "c", "d"),
        participants=np.array(["x", "y", "z"]),
    )
    assert triplets.subset([2, 0]).participants.tolist() == ["z", "x"]
    assert triplets.subset(np.array([False, True, False])).names == ("a", "b", "c", "d")
    assert triplets.repeated().participants.tolist() == ["x", "z"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": np.array([[0, 1, 4]])}, r"row 0: object 4 is outside 0\.\.3.*counted from 1"),
        ({"rows": np.array([[0, 1, 2], [0, -1, 2]])}, "row 1: object -1 is outside"),
        ({"rows": np.array([[0, 1, 1]])}, "names an object twice"),
        ({"rows": np.array([[0, 1]])}, r"shape \(1, 2\), expected \(n, 3\)"),
        ({"rows": np.array([[0.0, 1.0, 1.5]])}, "row 0: is not a whole number"),
        ({"rows": np.array([["a", "b", "c"]])}, "not numbers of objects"),
        ({"objects": 2}, "objects: are 2"),
        ({"names": ("a",)}, "1 names for 4 objects"),
        ({"participants": np.arange(5)}, r"shape \(5,\) for 1 triplets"),
    ],
)
def test_what_a_record_refuses(change, says):
    whole = {"rows": np.array([[0, 1, 2]]), "objects": 4}
    with pytest.raises(InputError, match=says):
        Triplets(**(whole | change))
    with pytest.raises(InputError, match="mask of shape"):
        Triplets(**whole).subset(np.array([True, False]))


def test_whole_floats_and_small_integers_become_int64():
    assert as_rows(np.array([[0.0, 1.0, 2.0]])).dtype == np.int64
    kept = np.array([[0, 1, 2]])
    assert as_rows(kept) is kept
    assert as_rows(torch.tensor([[0, 1, 2]], dtype=torch.int32)).dtype == np.int64


@pytest.mark.parametrize(("count", "folds"), [(9, 3), (20, 4), (1854, 3)])
def test_every_object_is_held_out_once(count, folds):
    parts = object_folds(count, folds, seed=3)
    held = np.stack([mask for _, mask in parts])
    assert (held.sum(axis=0) == 1).all()
    assert np.ptp(held.sum(axis=1)) <= 1
    assert all((train == ~mask).all() for train, mask in parts)
    again, other = object_folds(count, folds, seed=3), object_folds(count, folds, seed=4)
    assert all((a[1] == b[1]).all() for a, b in zip(parts, again))
    assert any((a[1] != b[1]).any() for a, b in zip(parts, other))


def test_split_objects_is_a_partition_of_the_stated_sizes():
    parts = split_objects(101, {"train": 0.7, "check": 0.1, "test": 0.2}, seed=0)
    assert (np.stack(list(parts.values())).sum(axis=0) == 1).all()
    assert [int(mask.sum()) for mask in parts.values()] == [71, 10, 20]


def test_parts_that_cannot_be():
    with pytest.raises(InputError, match="4 folds of 11 objects"):
        object_folds(11, 4, seed=0)
    with pytest.raises(InputError, match="leave test fewer than 3"):
        split_objects(10, {"train": 0.9, "test": 0.1}, 0)
    with pytest.raises(InputError, match="sum to 1"):
        split_objects(10, {"train": 0.9}, 0)
    with pytest.raises(InputError, match=r"object 7 is outside 0\.\.6"):
        object_mask([7], 7)
    with pytest.raises(InputError, match="mask of shape"):
        object_mask(np.ones(6, dtype=bool), 7)
