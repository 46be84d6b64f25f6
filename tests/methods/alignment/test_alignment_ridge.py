"""The closed form against scikit-learn and against refitting without each object."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from visus.errors import InputError
from visus.methods.alignment.model import held_out_predictions, ridge
from visus.methods.alignment.model.ridge import parts

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1000.0)


def data(n: int = 40, p: int = 12, d: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Dimensions of very different noise, so that they want different penalties; the last column is dead."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p)) * rng.uniform(0.1, 3, p) + 5
    x[:, -1] = 0.25
    y = x @ rng.normal(size=(p, d)) * [1.0, 0.1, 0.01] + rng.normal(size=(n, d)) + [0, 3, -2]
    return x, y


@pytest.mark.parametrize("shape", [(40, 12), (15, 30)])
def test_leave_one_out_agrees_with_scikit_learn(shape):
    x, y = data(*shape)
    theirs = RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
    ours = ridge(torch.from_numpy(x), torch.from_numpy(y), ALPHAS)
    np.testing.assert_array_equal(ours.alphas.numpy(), theirs.alpha_)
    assert len(set(ours.alphas.tolist())) > 1, "dimensions must differ for this test to say something"
    np.testing.assert_allclose(ours.weights.numpy(), theirs.coef_.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.bias.numpy(), theirs.intercept_, rtol=1e-7)


def test_leave_one_out_errors_are_those_of_refitting():
    x, y = data(14, 5)
    found = ridge(torch.from_numpy(x), torch.from_numpy(y), ALPHAS).errors.numpy()
    for row, alpha in enumerate(ALPHAS):
        gaps = [
            Ridge(alpha).fit(np.delete(x, i, 0), np.delete(y, i, 0)).predict(x[i : i + 1])[0] - y[i]
            for i in range(len(x))
        ]
        np.testing.assert_allclose(found[row], np.square(gaps).mean(0), rtol=1e-8)


def test_errors_by_parts_are_those_of_a_grid_search_of_scikit_learn():
    x, y = data()
    part = parts(len(x), 5, 3)
    ours = ridge(torch.from_numpy(x), torch.from_numpy(y), ALPHAS, folds=5, seed=3)
    for dimension in range(y.shape[1]):
        theirs = GridSearchCV(
            Ridge(), {"alpha": ALPHAS}, scoring="neg_mean_squared_error", cv=PredefinedSplit(part.numpy())
        ).fit(x, y[:, dimension])
        np.testing.assert_allclose(
            ours.errors[:, dimension].numpy(), -theirs.cv_results_["mean_test_score"], rtol=1e-8
        )
        assert float(ours.alphas[dimension]) == theirs.best_params_["alpha"]
        np.testing.assert_allclose(
            ours.weights[:, dimension].numpy(), theirs.best_estimator_.coef_, rtol=1e-7
        )


def test_a_dead_feature_gets_no_weight():
    x, y = data()
    fit = ridge(torch.from_numpy(x), torch.from_numpy(y), (1e-6,))
    assert fit.weights[-1].abs().max() < 1e-12
    assert torch.isfinite(fit.weights).all()


def test_held_out_predictions_do_not_see_their_own_part():
    x, y = (torch.from_numpy(values) for values in data())
    part = parts(len(x), 4, 0)
    found = held_out_predictions(x, y, ALPHAS, part, folds=0)
    held = part == 2
    theirs = RidgeCV(ALPHAS, alpha_per_target=True).fit(x[~held].numpy(), y[~held].numpy())
    np.testing.assert_allclose(found[held].numpy(), theirs.predict(x[held].numpy()), rtol=1e-7)
    changed = y.clone()
    changed[held] += 100
    assert torch.equal(held_out_predictions(x, changed, ALPHAS, part, folds=0)[held], found[held])


def test_parts_are_even_and_follow_the_seed():
    assert sorted(parts(11, 3, 0).bincount().tolist()) == [3, 4, 4]
    assert torch.equal(parts(11, 3, 0), parts(11, 3, 0))
    assert not torch.equal(parts(11, 3, 0), parts(11, 3, 1))


def test_too_few_objects_are_refused():
    with pytest.raises(InputError, match="4 objects are too few"):
        ridge(torch.zeros(4, 2), torch.zeros(4, 1), ALPHAS, folds=5)
