"""Triplets split by the concept that decides them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from alignment_samples import planted
from sklearn.linear_model import RidgeCV

from visus.errors import InputError
from visus.methods.alignment.estimator.concepts import (
    ALPHAS,
    concept_table,
    deciding_dimensions,
    decodability,
    error_by_uncertainty,
    family_error,
)
from visus.methods.alignment.model.ridge import parts
from visus.metrics.odd_one_out import hits, pair_similarities


@pytest.fixture(scope="module")
def data():
    return planted()


@pytest.fixture(scope="module")
def right(data):
    return hits(pair_similarities(data.features, data.triplets, kind="cosine"))


def test_the_table_is_that_of_a_slow_transcription(data, right):
    table = concept_table(data.reference, data.triplets, right)
    count, wrong = [0] * 5, [0] * 5
    for (a, b, _), good in zip(data.triplets.tolist(), right.tolist()):
        mean = [(float(data.reference[a, i]) + float(data.reference[b, i])) / 2 for i in range(5)]
        best = max(range(5), key=lambda i: mean[i])
        count[best] += 1
        wrong[best] += not good
    assert table.count.tolist() == count
    np.testing.assert_allclose(table.error, [w / c for w, c in zip(wrong, count)])


def test_counts_sum_to_all_triplets_and_errors_to_the_overall_error(data, right):
    table = concept_table(data.reference, data.triplets, right)
    assert table.count.sum() == len(data)
    assert table.overall_error == pytest.approx(1 - float(right.double().mean()), abs=1e-12)
    two = concept_table(data.reference, data.triplets, right, top=2)
    assert two.count.sum() == 2 * len(data)
    assert two.overall_error == pytest.approx(table.overall_error, abs=1e-12)
    assert (two.count >= table.count).all()


def test_the_strongest_dimensions_come_in_order(data):
    both = deciding_dimensions(data.reference, data.triplets, top=2)
    assert torch.equal(both[:, :1], deciding_dimensions(data.reference, data.triplets))
    assert (both[:, 0] != both[:, 1]).all()
    # objects without any strength in common decide by the first of equal dimensions
    assert deciding_dimensions(torch.zeros(3, 4), torch.tensor([[0, 1, 2]])).tolist() == [[0]]


def test_dimensions_that_decide_nothing_have_no_error():
    reference = torch.tensor([[1.0, 0.0, 0.2], [1.0, 0.0, 0.1], [0.9, 0.0, 0.0]])
    table = concept_table(reference, torch.tensor([[0, 1, 2]]), torch.tensor([True]), names=("a", "b", "c"))
    assert np.isnan(table.error[1:]).all()
    assert table.ranking() == [0]
    assert table.overall_error == 0
    assert table.rows()[1] == {"dimension": 1, "name": "b", "count": 0, "hits": 0, "error": None}


def test_concepts_are_ranked_from_the_worst(data, right):
    table = concept_table(data.reference, data.triplets, right)
    errors = table.error[table.ranking()]
    assert (np.diff(errors) <= 0).all()


def test_a_family_counts_every_model_once(data, right):
    tables = [concept_table(data.reference, data.triplets, answers) for answers in (right, ~right)]
    np.testing.assert_allclose(family_error(tables), np.full(5, 0.5))
    with pytest.raises(InputError, match="same dimensions"):
        family_error([])


def test_decodability_is_that_of_regressions_that_had_not_seen_the_object(data):
    scores, found = decodability(data.features, data.reference, seed=2)
    assert scores.shape == (5,)
    assert (scores > 0.8).all()
    assert found.shape == data.reference.shape
    part = parts(90, 5, 2)
    x = data.features.double()
    x = ((x - x.mean()) / x.std(correction=0)).numpy()
    held = (part == 3).numpy()
    theirs = RidgeCV(ALPHAS, alpha_per_target=True).fit(x[~held], data.reference.numpy()[~held])
    np.testing.assert_allclose(found[part == 3].numpy(), theirs.predict(x[held]), rtol=1e-3, atol=1e-3)
    noise = torch.randn(90, 16, generator=torch.Generator().manual_seed(0))
    assert (decodability(noise, data.reference)[0] < 0.2).all()


def test_decodability_goes_into_the_table(data, right):
    scores, _ = decodability(data.features, data.reference)
    table = concept_table(data.reference, data.triplets, right, decodability=scores)
    assert [row["r2"] for row in table.rows()] == scores.tolist()


def test_errors_by_uncertainty_cover_all_trials():
    entropy, right = np.array([0.0, 0.05, 0.15, 1.05, math.log(3)]), np.array([1, 0, 1, 0, 0], dtype=bool)
    rows = error_by_uncertainty(entropy, right)
    assert [(round(row["low"], 1), row["count"], row["error"]) for row in rows] == [
        (0.0, 2, 0.5),
        (0.1, 1, 0.0),
        (1.0, 2, 1.0),
    ]
    assert rows[-1]["high"] == math.log(3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"names": ("a",)}, "1 names for 5 dimensions"),
        ({"right": torch.ones(3)}, "3 answers for 6000 triplets"),
        ({"top": 6}, "choose 1 to 5"),
    ],
)
def test_what_does_not_fit_is_refused(data, right, changes, says):
    with pytest.raises(InputError, match=says):
        concept_table(data.reference, data.triplets, **{"right": right, **changes})
