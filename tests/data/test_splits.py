"""Splits never tear a group apart and keep class shares."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.splits import adni_folds, assign_folds, folds, grouped_stratified_split, strata
from visus.errors import InputError

PARTS = {"train": 0.7, "validation": 0.1, "test": 0.2}


@settings(max_examples=150, deadline=None)
@given(
    items=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=3, max_size=120),
    seed=st.integers(0, 1000),
)
def test_no_group_is_in_two_parts_and_every_item_is_in_one(items, seed):
    labels, groups = [label for label, _ in items], [group for _, group in items]
    if len(set(groups)) < len(PARTS):
        with pytest.raises(InputError, match="groups cannot fill"):
            grouped_stratified_split(labels, groups, PARTS, seed)
        return
    parts = grouped_stratified_split(labels, groups, PARTS, seed)
    assert list(parts) == list(PARTS)
    held = {name: {groups[i] for i in index.tolist()} for name, index in parts.items()}
    assert held["train"].isdisjoint(held["test"])
    assert held["train"].isdisjoint(held["validation"])
    assert held["validation"].isdisjoint(held["test"])
    assert sorted(i for index in parts.values() for i in index.tolist()) == list(range(len(items)))
    assert all(len(index) > 0 for index in parts.values())
    again = grouped_stratified_split(labels, groups, PARTS, seed)
    assert all(parts[name].equal(again[name]) for name in parts)


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.floats(-100, 100), min_size=10, max_size=80),
    count=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_folds_hold_every_item_out_once_without_leak(values, count, seed):
    groups = [f"p{i // 2}" for i in range(len(values))]
    held = []
    for train, test in folds(values, groups, count, seed, bins=4):
        assert {groups[i] for i in train.tolist()}.isdisjoint({groups[i] for i in test.tolist()})
        assert len(train) + len(test) == len(values)
        held += test.tolist()
    assert sorted(held) == list(range(len(values)))


@pytest.mark.parametrize("seed", range(5))
def test_class_shares_are_kept(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(["CN", "MCI", "AD"], size=600, p=[0.35, 0.5, 0.15])
    parts = grouped_stratified_split(labels, None, PARTS, seed)
    for name, index in parts.items():
        assert abs(len(index) - 600 * PARTS[name]) <= 2
        for kind, total in Counter(labels.tolist()).items():
            got = int((labels[index.numpy()] == kind).sum())
            assert abs(got - total * PARTS[name]) <= 2, (name, kind)


def test_classes_of_one_item_and_sorted_items_do_not_spoil_the_sizes():
    for labels in ([f"c{i}" for i in range(100)], ["a"] * 60 + ["b"] * 40):
        parts = grouped_stratified_split(labels, None, PARTS, 0)
        assert [len(index) for index in parts.values()] == pytest.approx([70, 10, 20], abs=1)
    assert sum(labels[i] == "b" for i in parts["validation"].tolist()) == pytest.approx(4, abs=1)


def test_class_shares_are_kept_with_groups_of_unequal_size():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), rng.integers(1, 8, size=100))
    kind = rng.random(100) < 0.3
    labels = kind[groups].astype(int)
    parts = grouped_stratified_split(labels, groups.tolist(), PARTS, 0)
    for name, index in parts.items():
        assert abs(len(index) / len(labels) - PARTS[name]) < 0.03
        assert abs(labels[index.numpy()].mean() - labels.mean()) < 0.06


def test_a_random_target_is_stratified_by_value():
    rng = np.random.default_rng(1)
    ages = rng.gamma(4.0, 10.0, size=500)
    parts = grouped_stratified_split(ages, None, {"a": 0.5, "b": 0.5}, 3)
    means = [ages[index.numpy()].mean() for index in parts.values()]
    assert abs(means[0] - means[1]) < 1.5
    assert sorted(Counter(strata(ages).tolist()).values()) == [50] * 10


def test_strata_rules():
    assert strata(["b", "a", "b"]).tolist() == [1, 0, 1]
    assert strata(np.array([1.0, 2.0, 1.0])).tolist() == [0, 1, 0]
    assert strata([5.0, 5.0, 5.0, 9.0], bins=2).tolist() == [0, 0, 0, 1]
    with pytest.raises(InputError, match="item 1 is not a finite"):
        strata(np.array([1.0, np.nan]))


def test_seeds_matter():
    labels = [0, 1] * 50
    one, two = (assign_folds(labels, None, 5, seed) for seed in (0, 1))
    assert not one.equal(two)


def test_bad_requests():
    for fractions in ({"a": 0.5}, {"a": 1.5, "b": -0.5}, {}):
        with pytest.raises(InputError, match="sum to 1"):
            grouped_stratified_split([0, 1], None, fractions, 0)
    with pytest.raises(InputError, match="1 groups for 2 labels"):
        grouped_stratified_split([0, 1], ["a"], {"a": 1.0}, 0)
    with pytest.raises(InputError, match="item 1 has no group"):
        grouped_stratified_split([0, 1], ["a", None], {"a": 1.0}, 0)
    with pytest.raises(InputError, match="item 0 has no group"):
        grouped_stratified_split([0, 1], [float("nan"), "a"], {"a": 1.0}, 0)
    with pytest.raises(InputError, match="no items"):
        grouped_stratified_split([], None, {"a": 1.0}, 0)
    with pytest.raises(InputError, match="at least 2"):
        folds([0, 1], None, 1, 0)


def test_adni_folds_deal_every_cell_evenly():
    rng = np.random.default_rng(0)
    n = 400
    sex, label = rng.choice(["F", "M"], n).tolist(), rng.choice(["CN", "MCI", "AD"], n).tolist()
    age = rng.uniform(55, 90, n)
    fold = adni_folds(sex, label, age, seed=7).numpy()
    assert Counter(fold.tolist()) == dict.fromkeys(range(5), 80)
    bins = np.minimum(((age - age.min()) / np.ptp(age) * 20).astype(int), 19)
    for cell in set(zip(sex, label, bins.tolist())):
        inside = [fold[i] for i in range(n) if (sex[i], label[i], int(bins[i])) == cell]
        counts = [inside.count(i) for i in range(5)]
        assert max(counts) - min(counts) <= 1
    assert np.array_equal(fold, adni_folds(sex, label, age, seed=7).numpy())
    assert not np.array_equal(fold, adni_folds(sex, label, age, seed=8).numpy())


def test_adni_folds_refuse_what_they_cannot_place():
    with pytest.raises(InputError, match="item 1 has no age"):
        adni_folds(["F", "M"], ["AD", "CN"], [70.0, float("nan")], seed=0)
    with pytest.raises(InputError, match="2 labels and 1 ages"):
        adni_folds(["F"], ["AD", "CN"], [70.0], seed=0)
