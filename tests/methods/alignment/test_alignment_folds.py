"""Cross-validation over objects, the aligner of all data, and the search."""

from __future__ import annotations

import dataclasses
import math
import statistics

import pytest
import torch
from alignment_samples import planted, quick

from visus.data.triplets import OddOneOutData, Triplets
from visus.engine import Run
from visus.errors import InputError
from visus.methods.alignment import Aligner, cross_validate, search
from visus.methods.alignment.estimator.folds import CrossValidation
from visus.methods.alignment.model import held_out_predictions
from visus.metrics.odd_one_out import pair_similarities


@pytest.fixture(scope="module")
def data() -> OddOneOutData:
    return planted()


@pytest.fixture(scope="module")
def found(data: OddOneOutData) -> CrossValidation:
    return cross_validate(quick(), data, folds=3)


def test_every_object_is_held_out_once_and_only_whole_triplets_are_scored(data, found):
    assert found.held.shape == (3, 90)
    assert (found.held.sum(0) == 1).all()
    fold = found.held.long().argmax(0)
    slow = [len({int(fold[i]) for i in row}) == 1 for row in data.triplets.tolist()]
    assert found.scored.tolist() == slow
    assert 0.05 < found.scored.double().mean() < 0.2
    assert len(found.choices) == int(found.scored.sum())


def test_a_fold_knows_nothing_of_what_it_judges(data, found):
    """Changing all that belongs to the objects of a fold leaves its aligner and its step as they were."""
    held = found.held[1]
    features = data.features.clone()
    features[held] = torch.randn(int(held.sum()), 16, generator=torch.Generator().manual_seed(0)) * 50
    rows = data.triplets.clone()
    touched = held[rows].any(1)
    rows[touched] = rows[touched].roll(1, dims=1)
    again = cross_validate(quick(), OddOneOutData(features, rows), folds=3, refit=False)
    assert torch.equal(again.members[1].transform_.weights, found.members[1].transform_.weights)
    assert again.members[1].steps_ == found.members[1].steps_
    assert not torch.equal(again.members[0].transform_.weights, found.members[0].transform_.weights)


def test_folds_share_no_state(data, found):
    """A fold fitted by itself is the same: nothing of early stopping survives from one fold to the next."""
    for number in (0, 2):
        alone = Aligner(quick()).fit(data.restricted_to(~found.held[number].numpy()))
        assert torch.equal(alone.transform_.weights, found.members[number].transform_.weights)
        assert alone.validation_ == found.members[number].validation_


def test_similarities_are_those_of_the_fold_that_had_not_seen_the_objects(data, found):
    for model, held in zip(found.members, found.held):
        among = held[data.triplets].all(1)
        z = model.transform(data.features)
        wanted = pair_similarities(z, data.triplets[among], kind="dot")
        torch.testing.assert_close(found.similarities[among], wanted)
    assert not found.similarities[~found.scored].any()


def test_the_final_aligner_learned_from_all_data_and_is_no_fold(data, found):
    steps = statistics.median_low([model.steps_ for model in found.members])
    assert found.final.steps_ == steps
    alone = Aligner(dataclasses.replace(quick(), steps=steps)).fit(data)
    assert torch.equal(found.final.transform_.weights, alone.transform_.weights)
    values = data.features.double()
    assert found.final.transform_.std == pytest.approx(float(values.std(correction=0)), rel=1e-6)
    for model in found.members:
        assert not torch.equal(model.transform_.weights, found.final.transform_.weights)


def test_scores_are_of_the_scored_triplets_and_paired_with_zero_shot(data, found):
    right = (found.choices == 2).double().mean()
    assert found.scores["accuracy"] == pytest.approx(float(right))
    plain = pair_similarities(data.features, data.triplets[found.scored], kind="cosine")
    correct = (plain[:, 0] > plain[:, 1]) & (plain[:, 0] > plain[:, 2])
    assert found.scores["zero_shot_accuracy"] == pytest.approx(float(correct.double().mean()))
    assert len(found.fold_scores) == 3


def test_ridge_predicts_every_object_by_a_fold_that_had_not_seen_it(data):
    config = quick(aligner="ridge", ridge_folds=0)
    found = cross_validate(config, data, folds=3)
    assert found.embedding is not None
    part = found.held.long().argmax(0)
    slow = held_out_predictions(data.features, data.reference, (1e-9,), part, folds=0)
    tiny = cross_validate(dataclasses.replace(config, ridge_alphas=(1e-9,)), data, folds=3)
    torch.testing.assert_close(tiny.embedding, slow.float(), rtol=1e-3, atol=1e-3)
    assert found.scores["gain_low"] > 0.2
    assert found.final.steps_ == 0


def test_other_triplets_of_the_same_objects_can_be_judged(data):
    rows = data.triplets[:500].numpy()
    found = cross_validate(
        quick(aligner="center"), data, folds=2, judged=Triplets(rows=rows, objects=90), refit=False
    )
    assert found.similarities.shape == (500, 3)
    assert found.final is None
    with pytest.raises(InputError, match="are of 91 objects, the features of 90"):
        cross_validate(quick(), data, judged=Triplets(rows=rows, objects=91))


def test_folds_without_triplets_are_refused(data):
    with pytest.raises(InputError, match="none of 3 triplets lies within one of 20 folds"):
        cross_validate(quick(), data.subset([0, 1, 2]), folds=20)


def test_an_interrupted_cross_validation_goes_on_where_it_stopped(data, found, tmp_path):
    run = Run(tmp_path, progress=False)
    first = cross_validate(quick(), data, folds=3, run=run)
    marks = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step-*-done/tensors.safetensors")}
    assert len(marks) == 4
    again = cross_validate(quick(), data, folds=3, run=Run(tmp_path, progress=False))
    assert {path: path.stat().st_mtime_ns for path in marks} == marks
    assert first.scores == again.scores == found.scores
    assert torch.equal(first.final.transform_.weights, again.final.transform_.weights)


# ---- search -----------------------------------------------------------------------------------------------


def test_the_lowest_cross_entropy_on_unseen_objects_wins(data, tmp_path):
    grid = {"penalty_weight": [0.01, 1e5], "learning_rate": [0.02, 1e-5]}
    config = quick(penalty="fro2", epochs=3)
    result = search(config, data, grid=grid, folds=2, run=Run(tmp_path, progress=False))
    assert [point.settings for point in result.points] == [
        {"penalty_weight": weight, "learning_rate": rate} for weight in (0.01, 1e5) for rate in (0.02, 1e-5)
    ]
    entropies = [point.cross_entropy for point in result.points]
    lowest = result.points[entropies.index(min(entropies))]
    assert len(set(entropies)) == 4
    assert result.best == dataclasses.replace(config, **lowest.settings)
    one = cross_validate(result.best, data, folds=2, refit=False)
    assert one.scores["cross_entropy"] == lowest.cross_entropy
    again = search(config, data, grid=grid, folds=2, run=Run(tmp_path, progress=False))
    assert again == result


def test_maps_that_diverge_or_collapse_cannot_win(data):
    result = search(
        quick(penalty="fro2", optimizer="sgd", clip=0.0, epochs=2),
        data,
        grid={"learning_rate": [1e25, 0.01]},
        folds=2,
    )
    assert result.points[0].cross_entropy is None
    assert "not a number" in result.points[0].why
    assert result.best.learning_rate == 0.01
    with pytest.raises(InputError, match="collapsed to zero"):
        search(quick(init_scale=0.0, penalty="fro", epochs=1), data, grid={"penalty_weight": [1.0]}, folds=2)


@pytest.mark.parametrize(
    ("grid", "says"),
    [({}, "nothing to try"), ({"penalty_weight": []}, "nothing to try"), ({"speed": [1]}, "no such setting")],
)
def test_grids_that_cannot_be_searched_are_refused(data, grid, says):
    with pytest.raises(InputError, match=says):
        search(quick(), data, grid=grid)


def test_log_three_is_what_a_zero_map_costs(data):
    model = Aligner(quick(init_scale=0.0, penalty="fro", epochs=1)).fit(data)
    assert not model.transform_.weights.any()
    scores = model.evaluate(data)
    assert scores["accuracy"] == 0
    assert scores["ties"] == 1
    assert scores["cross_entropy"] == pytest.approx(math.log(3), abs=1e-7)
