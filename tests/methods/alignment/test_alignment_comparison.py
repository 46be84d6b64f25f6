"""Many models on the same triplets: accuracies, and what their attributes explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from alignment_samples import planted
from sklearn.linear_model import LinearRegression

from visus.errors import InputError
from visus.methods.alignment import compare_models
from visus.methods.alignment.estimator.comparison import _fit
from visus.metrics.odd_one_out import hits, pair_similarities

DATA = planted(count=2000)


def models() -> tuple[dict[str, torch.Tensor], pd.DataFrame]:
    """Accuracy depends on `objective` (how much of the truth is in the embedding), hardly on `size`."""
    assert DATA.reference is not None
    embeddings, rows = {}, {}
    draw = torch.Generator().manual_seed(0)
    for objective, share in (("human", 3.0), ("labels", 1.2), ("none", 0.3)):
        for size in (1.0, 2.0, 3.0):
            for family in ("a", "b"):
                name = f"{objective}-{size}-{family}"
                noise = torch.randn(90, 12, generator=draw)
                embeddings[name] = torch.cat([share * DATA.reference, noise], 1)
                rows[name] = {"objective": objective, "size": size, "family": family}
    return embeddings, pd.DataFrame.from_dict(rows, orient="index")


def test_accuracies_are_those_of_each_model_with_intervals():
    embeddings, attributes = models()
    found = compare_models(embeddings, DATA.triplets, attributes, resamples=300, ceiling=0.7)
    assert found.table["model"].tolist() == list(embeddings)
    for row in found.table.itertuples():
        right = hits(pair_similarities(embeddings[str(row.model)], DATA.triplets, kind="cosine"))
        assert row.accuracy == pytest.approx(float(right.double().mean()))
        assert row.low < row.accuracy < row.high
        assert row.normalized == pytest.approx((row.accuracy - 1 / 3) / (0.7 - 1 / 3))
        width = 1.96 * np.sqrt(row.accuracy * (1 - row.accuracy) / 2000)
        assert row.high - row.accuracy == pytest.approx(width, rel=0.3)
    assert found.hits.shape == (18, 2000)


def test_effects_and_shares_are_those_of_least_squares():
    embeddings, attributes = models()
    found = compare_models(embeddings, DATA.triplets, attributes[["objective", "size"]], resamples=50)
    accuracy = found.table["accuracy"].to_numpy()
    levels = [(attributes["objective"] == name).to_numpy(float) for name in ("labels", "none")]
    x = np.stack([*levels, attributes["size"].to_numpy()], 1)
    fit = LinearRegression().fit(x, accuracy)
    assert [(e.attribute, e.level, e.reference) for e in found.effects] == [
        ("objective", "labels", "human"),
        ("objective", "none", "human"),
        ("size", "per unit", ""),
    ]
    np.testing.assert_allclose([effect.effect for effect in found.effects], fit.coef_, atol=1e-12)
    assert found.r_squared == pytest.approx(fit.score(x, accuracy))
    without = LinearRegression().fit(x[:, 2:], accuracy).score(x[:, 2:], accuracy)
    assert found.shares[0].share == pytest.approx(found.r_squared - without)


def test_intervals_tell_what_matters_from_what_does_not():
    embeddings, attributes = models()
    found = compare_models(embeddings, DATA.triplets, attributes, clusters="family", resamples=300)
    none, size = found.effects[1], found.effects[2]
    assert none.interval[1] < 0
    assert none.interval[0] < none.effect < none.interval[1]
    assert size.interval[0] < 0 < size.interval[1]
    objective, other = found.shares
    assert objective.share > 0.8
    assert objective.interval[0] > other.interval[1]
    assert "family" not in {effect.attribute for effect in found.effects}


def test_draws_are_of_whole_triplets_with_all_their_judgments():
    """Every trial twenty times over says nothing new: the interval stays as wide."""
    embeddings, _ = models()
    some = {name: embeddings[name] for name in list(embeddings)[:2]}
    once = compare_models(some, DATA.triplets[:300], resamples=500).table
    often = compare_models(some, DATA.triplets[:300].repeat(20, 1), resamples=500).table
    assert often["high"][0] - often["low"][0] == pytest.approx(once["high"][0] - once["low"][0], rel=0.15)
    assert often["accuracy"][0] == pytest.approx(once["accuracy"][0])


def test_weighted_least_squares_by_hand():
    rng = np.random.default_rng(0)
    matrix, y = np.stack([np.ones(6), rng.normal(size=6)], 1), rng.normal(size=(1, 6))
    weights = np.array([[1.0, 2.0, 0.0, 1.0, 3.0, 1.0]])
    slopes, explained = _fit(matrix, y, weights)
    repeated = np.repeat(np.arange(6), weights[0].astype(int))
    fit = LinearRegression().fit(matrix[repeated, 1:], y[0, repeated])
    np.testing.assert_allclose(slopes[0], [fit.intercept_, fit.coef_[0]])
    assert explained[0] == pytest.approx(fit.score(matrix[repeated, 1:], y[0, repeated]))
    lost, _ = _fit(matrix[:, [0, 1, 1]], y, weights)
    assert np.isfinite(lost[0, 0])
    assert np.isnan(lost[0, 1:]).all(), "two equal columns cannot be told apart"


def test_models_without_a_value_are_left_out_of_the_regression_only():
    embeddings, attributes = models()
    attributes.loc["human-1.0-a", "size"] = np.nan
    found = compare_models(embeddings, DATA.triplets, attributes[["objective", "size"]], resamples=20)
    assert len(found.table) == 18
    known = attributes["size"].notna().to_numpy()
    levels = [(attributes["objective"] == name).to_numpy(float) for name in ("labels", "none")]
    x = np.stack([*levels, attributes["size"].to_numpy()], 1)[known]
    fit = LinearRegression().fit(x, found.table["accuracy"].to_numpy()[known])
    np.testing.assert_allclose([effect.effect for effect in found.effects], fit.coef_, atol=1e-12)


def test_the_same_seed_gives_the_same_intervals():
    embeddings, attributes = models()
    one, other, third = (
        compare_models(embeddings, DATA.triplets, attributes, resamples=30, seed=seed) for seed in (0, 0, 1)
    )
    assert one.effects == other.effects
    assert one.effects != third.effects


def bad_attributes(attributes: pd.DataFrame, case: str) -> pd.DataFrame:
    if case == "absent":
        return attributes.iloc[1:]
    if case == "constant":
        return attributes.assign(size=1.0)
    if case == "taken":
        return attributes.rename(columns={"size": "accuracy"})
    return attributes.assign(copy=attributes["objective"])


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("absent", "no row for model human-1.0-a"),
        ("constant", "attribute size: is the same for every model"),
        ("taken", "attribute accuracy: is a column of the result"),
        ("collinear", "cannot tell 7 coefficients apart"),
    ],
)
def test_attributes_that_explain_nothing_are_refused(case, says):
    embeddings, attributes = models()
    with pytest.raises(InputError, match=says):
        compare_models(embeddings, DATA.triplets, bad_attributes(attributes, case), resamples=5)


def test_other_bad_input_is_refused():
    embeddings, attributes = models()
    with pytest.raises(InputError, match="hold no model"):
        compare_models({}, DATA.triplets)
    with pytest.raises(InputError, match="embedding short: "):
        compare_models({"short": torch.zeros(4, 2)}, DATA.triplets)
    with pytest.raises(InputError, match="no attribute maker"):
        compare_models(embeddings, DATA.triplets, attributes, clusters="maker")
    with pytest.raises(InputError, match="ceiling"):
        compare_models(embeddings, DATA.triplets, ceiling=0.2)
