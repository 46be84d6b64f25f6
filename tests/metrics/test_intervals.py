"""Bootstrap intervals: equal to resampling by hand, right in coverage, wide enough for grouped items."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import scipy.stats

from visus.errors import InputError
from visus.metrics import accuracy, auc, balanced_accuracy, bootstrap_interval, macro_f1, mae, mse, r2


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, size=80)
    predicted = np.where(rng.random(80) < 0.7, target, rng.integers(0, 3, size=80))
    return target, predicted, np.repeat(np.arange(20), 4)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1, mae, mse, r2])
def test_weights_give_what_drawing_items_gives(metric, grouped, data):
    target, predicted, groups = data

    def plain(a, b):  # no `weight`: called with the drawn items
        return metric(a, b)

    chosen = groups if grouped else None
    fast = bootstrap_interval(metric, target, predicted, groups=chosen, n=200)
    slow = bootstrap_interval(plain, target, predicted, groups=chosen, n=200)
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


def test_auc_of_resamples():
    rng = np.random.default_rng(1)
    target, score = rng.integers(0, 2, size=50), rng.normal(size=50)
    fast = bootstrap_interval(auc, target, score, n=300)
    np.testing.assert_allclose(
        fast, bootstrap_interval(lambda a, b: auc(a, b), target, score, n=300), rtol=1e-9
    )


def test_near_scipy_on_a_mean():
    errors = np.random.default_rng(2).exponential(size=120)
    theirs = scipy.stats.bootstrap(
        (errors,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    ours = bootstrap_interval(mae, np.zeros(120), errors, n=4000)
    np.testing.assert_allclose(ours, theirs, atol=0.015)
    narrow = bootstrap_interval(mae, np.zeros(120), errors, n=4000, level=0.5)
    assert ours[0] < narrow[0] < errors.mean() < narrow[1] < ours[1]


def test_covers_the_truth_nineteen_times_in_twenty():
    covered = 0
    for seed in range(300):
        right = np.random.default_rng(seed).random(100) < 0.8
        low, high = bootstrap_interval(accuracy, np.ones(100), right.astype(float), n=400, seed=seed)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_items_of_one_patient_are_not_independent():
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(30), 10)
    errors = rng.normal(size=30)[patient] + 0.1 * rng.normal(size=300)
    width = {
        name: np.diff(bootstrap_interval(mse, np.zeros(300), errors, groups=groups))[0]
        for name, groups in {"items": None, "patients": [f"p{i}" for i in patient]}.items()
    }
    assert width["patients"] > 2 * width["items"]


def test_seeds_and_order_of_groups(data):
    target, predicted, groups = data
    one = bootstrap_interval(balanced_accuracy, target, predicted, groups=groups, seed=1)
    assert one == bootstrap_interval(balanced_accuracy, target, predicted, groups=groups, seed=1)
    assert one != bootstrap_interval(balanced_accuracy, target, predicted, groups=groups, seed=2)
    order = np.random.default_rng(0).permutation(80)
    moved = bootstrap_interval(
        balanced_accuracy, target[order], predicted[order], groups=groups[order], seed=1
    )
    np.testing.assert_allclose(moved, one)


def test_undefined_resamples_are_left_out():
    target, score = np.array([0] * 29 + [1]), np.linspace(0, 1, 30)
    assert bootstrap_interval(auc, target, score, n=200) == (1.0, 1.0)
    assert all(math.isnan(bound) for bound in bootstrap_interval(auc, [1, 1], [0.1, 0.2], n=50))
    assert bootstrap_interval(mae, [1.0], [3.0]) == (2.0, 2.0)
    assert bootstrap_interval(mae, [1.0, 1.0], [3.0, 5.0], groups=["a", "a"]) == (3.0, 3.0)


def test_arguments_can_be_bound():
    def share_above(values, threshold):
        return float((values > threshold).mean())

    low, high = bootstrap_interval(functools.partial(share_above, threshold=0.5), np.arange(10) / 10)
    assert 0 <= low < 0.4 < high <= 1


def test_bad_input():
    with pytest.raises(InputError, match="no items"):
        bootstrap_interval(mae, [], [])
    with pytest.raises(InputError, match="array 2: has 1 items"):
        bootstrap_interval(mae, [1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="groups: has 1 items"):
        bootstrap_interval(mae, [1.0, 2.0], [1.0, 2.0], groups=["a"])
    with pytest.raises(InputError, match="level"):
        bootstrap_interval(mae, [1.0], [1.0], level=95.0)
    with pytest.raises(InputError, match="n: must be"):
        bootstrap_interval(mae, [1.0], [1.0], n=0)
