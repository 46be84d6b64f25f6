"""Triplets from a model of choice, and from classes."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.triplets import cifar_coarse, sample_triplets
from visus.data.triplets.sampling import choose, random_triples
from visus.errors import InputError


def slow_probabilities(points, triple, temperature):
    """Position of the odd one -> probability, pair by pair."""
    pairs = {2: (0, 1), 1: (0, 2), 0: (1, 2)}
    weight = {
        odd: math.exp(sum(points[triple[i]] * points[triple[j]]) / temperature)
        for odd, (i, j) in pairs.items()
    }
    return [weight[odd] / sum(weight.values()) for odd in range(3)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_choices_follow_the_model(temperature):
    points = np.array([[1.0, 0.2], [0.8, 0.0], [0.1, 1.1], [0.5, 0.5]])
    found = sample_triplets(points, 80_000, seed=0, temperature=temperature)
    counts = {}
    for row in found.rows.tolist():
        counts.setdefault(tuple(sorted(row)), []).append(row[2])
    assert set(counts) == set(itertools.combinations(range(4), 3))
    for triple, odd in counts.items():
        expected = slow_probabilities(points, triple, temperature)
        share = [odd.count(number) / len(odd) for number in triple]
        assert np.abs(np.array(share) - expected).max() < 5 * math.sqrt(0.25 / len(odd))
        assert len(odd) == pytest.approx(20_000, rel=0.05)


def test_temperature_zero_takes_the_most_similar_pair():
    rng = np.random.default_rng(0)
    points = rng.gamma(1.0, 1.0, (20, 5))
    for a, b, odd in sample_triplets(points, 200, seed=0, temperature=0).rows.tolist():
        assert points[a] @ points[b] >= max(points[a] @ points[odd], points[b] @ points[odd])
    equal = sample_triplets(np.zeros((3, 2)), 3000, seed=0, temperature=0).rows[:, 2]
    assert np.bincount(equal).min() > 900


def test_other_similarities():
    points = np.array([[1.0, 0.0], [9.0, 1.0], [1.0, 0.9]])
    odd = {
        kind: sample_triplets(points, 1, seed=0, temperature=0, kind=kind).rows[0, 2]
        for kind in ("dot", "cosine", "euclidean")
    }
    assert odd == {"dot": 0, "cosine": 2, "euclidean": 1}


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 12), st.integers(0, 2**20))
def test_all_unique_triples_can_be_drawn(objects, seed):
    total = math.comb(objects, 3)
    drawn = random_triples(objects, total, np.random.default_rng(seed), unique=True)
    assert set(map(tuple, drawn.tolist())) == set(itertools.combinations(range(objects), 3))
    with pytest.raises(InputError, match=f"there are {total}"):
        random_triples(objects, total + 1, np.random.default_rng(seed), unique=True)


def test_unique_triples_of_many_objects():
    drawn = random_triples(1854, 50_000, np.random.default_rng(0), unique=True)
    assert len(np.unique(drawn, axis=0)) == 50_000
    assert (np.diff(drawn, axis=1) > 0).all()
    assert (drawn.min(), drawn.max()) == (0, 1853)
    share = np.bincount(drawn.ravel(), minlength=1854) / drawn.size
    assert share.max() < 2 / 1854


def test_repeats_are_judged_by_different_people():
    points = np.random.default_rng(0).random((30, 4))
    found = sample_triplets(points, 100, seed=0, repeats=7, people=11, unique=True)
    assert len(found) == 700
    for rows, people in zip(found.rows.reshape(100, 7, 3), found.participants.reshape(100, 7)):
        assert len({frozenset(row) for row in rows.tolist()}) == 1
        assert len(set(people.tolist())) == 7
    load = np.bincount(found.participants)
    assert (len(load), np.ptp(load) <= 1) == (11, True)
    assert sample_triplets(points, 5, seed=0).participants is None
    assert len(found.repeated(7)) == 700


def test_sampling_is_a_function_of_the_seed_and_stays_among_the_objects():
    points = np.random.default_rng(0).random((30, 4))
    among = [1, 4, 9, 16, 25, 29]
    one, two = (sample_triplets(points, 50, seed=seed, among=among) for seed in (1, 2))
    assert set(one.rows.ravel().tolist()) == set(among)
    assert one.objects == 30
    assert (one.rows == sample_triplets(points, 50, seed=1, among=among).rows).all()
    assert (one.rows != two.rows).any()


def test_what_cannot_be_sampled():
    points = np.eye(4)
    for settings_, says in (
        ({"count": 0}, "count 0"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"repeats": 5, "people": 4}, "4 people cannot judge each triplet 5 times"),
        ({"among": [0, 1]}, "objects: are 2"),
        ({"count": 5, "unique": True}, "there are 4"),
    ):
        with pytest.raises(InputError, match=says):
            sample_triplets(points, **({"count": 3, "seed": 0} | settings_))
    with pytest.raises(InputError, match="expected a finite"):
        sample_triplets(points * np.nan, 3, seed=0)


def test_choose_by_probability():
    shares = np.tile([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], (20_000, 1))
    picked = choose(shares, np.random.default_rng(0)).reshape(-1, 3)
    assert np.abs(np.bincount(picked[:, 0]) / 20_000 - [0.2, 0.5, 0.3]).max() < 0.02
    assert (picked[:, 1] == 2).all()
    assert (picked[:, 2] == 0).all()


def test_cifar_coarse_never_pairs_a_picture_with_itself():
    labels = np.random.default_rng(0).permutation(np.repeat([f"class {i}" for i in range(20)], 300))
    begun = time.process_time()
    found = cifar_coarse(labels)
    assert time.process_time() - begun < 1.0
    assert (len(found), found.objects) == (50_000, 6000)
    a, b, odd = found.rows.T
    assert (a != b).all()
    assert (labels[a] == labels[b]).all()
    assert (labels[a] != labels[odd]).all()
    assert (found.rows == cifar_coarse(labels.tolist(), seed=0).rows).all()
    for column in (a, b, odd):
        share = np.unique(labels[column], return_counts=True)[1] / 50_000
        assert np.abs(share - 1 / 20).max() < 0.005
        assert len(np.unique(column)) > 5900


def test_cifar_coarse_with_small_classes():
    found = cifar_coarse([0, 0, 1, 2], count=400)
    assert {tuple(sorted(pair)) for pair in found.rows[:, :2].tolist()} == {(0, 1)}
    assert set(found.rows[:, 2].tolist()) == {2, 3}
    for labels in ([0, 0, 0], [0, 1, 2], []):
        with pytest.raises(InputError, match="classes"):
            cifar_coarse(labels, count=3)
