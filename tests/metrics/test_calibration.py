"""Calibration against torchmetrics, a grid search and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
import torchmetrics.functional.classification as tm
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from visus.errors import InputError
from visus.metrics import entropy, expected_calibration_error, fit_temperature, reliability


def draw(seed: int, n: int = 400, k: int = 3, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers drawn from softmax(logits / sharpness), and the logits."""
    rng = np.random.default_rng(seed)
    logits = sharpness * 2 * rng.normal(size=(n, k))
    target = np.array([rng.choice(k, p=row) for row in softmax(logits / sharpness, axis=1)])
    return target, logits


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_equals_torchmetrics_and_a_loop(seed, bins):
    target, logits = draw(seed, sharpness=2.0)
    rows = softmax(logits, axis=1)
    theirs = tm.multiclass_calibration_error(
        torch.tensor(rows), torch.tensor(target), num_classes=3, n_bins=bins
    )
    ours = expected_calibration_error(target, rows, bins=bins)
    assert ours == pytest.approx(theirs.item(), abs=1e-6)
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(len(rows)) if b / bins < rows[i].max() <= (b + 1) / bins]
        if inside:
            right = np.mean([rows[i].argmax() == target[i] for i in inside])
            total += len(inside) / len(rows) * abs(right - np.mean([rows[i].max() for i in inside]))
    assert ours == pytest.approx(total)


def test_reliability_table():
    table = reliability([0, 1, 1], [[0.95, 0.05], [0.6, 0.4], [0.45, 0.55]], bins=10)
    assert table.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    assert table.accuracy[5] == 0.5
    assert table.confidence[5] == pytest.approx(0.575)
    assert np.isnan(table.accuracy[0])
    assert reliability([1], [1.0]).count[-1] == 1
    assert expected_calibration_error([1, 0], [1.0, 0.0]) == 0


def test_temperature_is_recovered_and_calibrates():
    target, logits = draw(0, n=4000, sharpness=3.0)
    temperature = fit_temperature(logits, target)
    assert temperature == pytest.approx(3.0, rel=0.08)
    before = expected_calibration_error(target, softmax(logits, axis=1))
    assert expected_calibration_error(target, softmax(logits / temperature, axis=1)) < 0.25 * before


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_is_the_best_of_a_grid(sharpness):
    target, logits = draw(1, n=300, sharpness=sharpness)
    own, tensor = torch.tensor(target), torch.tensor(logits)

    def loss(temperature: float) -> float:
        return torch.nn.functional.cross_entropy(tensor / temperature, own).item()

    best = fit_temperature(logits, target)
    grid = np.exp(np.linspace(np.log(0.01), np.log(100), 400))
    assert loss(best) <= min(map(loss, grid)) + 1e-9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [0.05, 1.0, 15.0])
def test_temperature_equals_logistic_regression_and_a_root(seed, scale):
    """Of two classes, 1 / T is the slope of a logistic regression of the class on the difference of logits."""
    target, logits = draw(seed, n=150, k=2, sharpness=1.5)
    logits = scale * logits
    difference = logits[:, 1] - logits[:, 0]
    found = fit_temperature(logits, target)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(difference[:, None], target)
    assert found == pytest.approx(1 / fitted.coef_[0, 0], rel=1e-3)

    def slope(inverse: float) -> float:
        """Derivative of the negative log likelihood, which grows with 1 / T."""
        return float(np.mean(difference * (expit(inverse * difference) - target)))

    assert found == pytest.approx(1 / scipy.optimize.brentq(slope, 0.01, 100.0, xtol=1e-13), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_temperature_of_separable_logits_stays_within_its_bounds(scale):
    """Always right, at any margin: no temperature is best, and the lower bound is given, without warnings."""
    target, logits = draw(2, n=30, k=3)
    logits[np.arange(30), target] = logits.max(axis=1) + 0.5
    found = fit_temperature(scale * logits, target)
    assert 0.01 <= found <= 1
    assert scale > 1 or found == pytest.approx(0.01)
    one_wrong = target.copy()
    one_wrong[0] = (target[0] + 1) % 3
    assert 0.01 < fit_temperature(logits, one_wrong) < 100, "one mistake makes the best temperature finite"


def test_temperature_without_a_finite_best():
    assert fit_temperature([[5.0, 0.0], [0.0, 5.0]], [0, 1]) == pytest.approx(0.01)
    assert fit_temperature([[5.0, 0.0], [0.0, 5.0]], [1, 0]) == pytest.approx(100)
    assert fit_temperature([[2.0, 2.0], [3.0, 3.0]], [0, 1]) == 1
    assert fit_temperature([[1000.0, 0.0], [1000.0, 0.0]], [0, 1]) == pytest.approx(100)


def test_entropy_equals_scipy():
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=7)
    np.testing.assert_allclose(entropy(rows), scipy.stats.entropy(rows, axis=1))
    np.testing.assert_allclose(entropy(rows.T, axis=0), scipy.stats.entropy(rows, axis=1))
    assert entropy([0.25] * 4) == pytest.approx(np.log(4))
    assert entropy(torch.tensor([0.0, 1.0, 0.0])) == 0
    assert isinstance(entropy([1.0]), float)


def test_bad_input():
    with pytest.raises(InputError, match="sum to 1"):
        entropy([0.5, 0.6])
    with pytest.raises(InputError, match="nothing to measure"):
        entropy([])
    with pytest.raises(InputError, match="apply softmax"):
        expected_calibration_error([0], [[3.0, -2.0]])
    with pytest.raises(InputError, match=r"class numbers 0\.\.1"):
        expected_calibration_error([2], [[0.5, 0.5]])
    with pytest.raises(InputError, match="no items"):
        fit_temperature(np.zeros((0, 2)), [])
    with pytest.raises(InputError, match="k >= 2"):
        fit_temperature([[1.0]], [0])
    with pytest.raises(InputError, match="bins"):
        reliability([0], [[0.5, 0.5]], bins=0)
