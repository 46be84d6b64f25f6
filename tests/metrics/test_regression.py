"""Regression scores against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from visus.errors import InputError
from visus.metrics import mae, mse, r2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("ours", "theirs"), [(mae, sk.mean_absolute_error), (mse, sk.mean_squared_error), (r2, sk.r2_score)]
)
def test_equals_scikit_learn(ours, theirs, seed):
    rng = np.random.default_rng(seed)
    target = 1e4 * (seed == 4) + rng.normal(size=50)
    predicted = target + rng.normal(size=50)
    weight = rng.multinomial(50, [1 / 50] * 50, size=6)
    assert ours(target, predicted) == pytest.approx(theirs(target, predicted))
    assert ours(torch.tensor(target), predicted.tolist()) == pytest.approx(theirs(target, predicted))
    expected = [theirs(target, predicted, sample_weight=row) for row in weight]
    np.testing.assert_allclose(ours(target, predicted, weight=weight), expected, rtol=1e-7)


def test_variance_that_is_not_there():
    assert math.isnan(r2([2.0], [2.0]))
    assert math.isnan(r2([2.1, 2.1, 2.1], [1.0, 2.0, 3.0]))
    assert math.isnan(r2([0.1, 0.7], [0.1, 0.6], weight=[0, 3]))
    assert mae([2.0], [1.5]) == 0.5
    assert mse([2.0], [1.5]) == 0.25
    assert r2([1.0, 2.0], [1.0, 2.0]) == 1


@pytest.mark.parametrize("metric", [mae, mse, r2])
def test_bad_input(metric):
    with pytest.raises(InputError, match="no items"):
        metric([], [])
    with pytest.raises(InputError, match="for 1 targets"):
        metric([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="target: item 0"):
        metric([float("inf")], [1.0])
    with pytest.raises(InputError, match="one number per item"):
        metric([1.0, 2.0], [[1.0], [2.0]])
    with pytest.raises(InputError, match="not numbers"):
        metric([1.0, 2.0], ["1", "2"])
