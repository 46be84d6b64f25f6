"""Calibration against torchmetrics, a grid search and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
import torchmetrics.functional.classification as tm
from scipy.special import softmax

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
