"""The estimator: what it learns from, what it says, what it refuses."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from alignment_samples import planted, quick

from visus.data.loader import Subset
from visus.data.triplets import OddOneOutData
from visus.engine import Run, derive_seed
from visus.errors import InputError
from visus.methods.alignment import Aligner, AlignmentConfig, Transform
from visus.methods.alignment.estimator.sides import sides_of, statistics
from visus.metrics.odd_one_out import choices, pair_similarities

KINDS = ("probe", "glocal", "ridge", "center", "none")


@pytest.fixture(scope="module")
def data() -> OddOneOutData:
    return planted()


@pytest.fixture(scope="module")
def fitted(data: OddOneOutData) -> dict[str, Aligner]:
    return {kind: Aligner(quick(aligner=kind)).fit(data) for kind in KINDS}


# ---- sides ------------------------------------------------------------------------------------------------


def test_no_object_is_on_both_sides_and_mixed_triplets_are_on_neither(data):
    sides = sides_of(quick(), data, seed=3)
    training = set(torch.nonzero(sides.training).flatten().tolist())
    assert len(training) == round(0.75 * data.objects)
    slow = {"learned": [], "chosen": []}
    for row in data.triplets.tolist():
        inside = sum(item in training for item in row)
        if inside == 3:
            slow["learned"].append(row)
        elif inside == 0:
            slow["chosen"].append(row)
    assert sides.learned.tolist() == slow["learned"]
    assert sides.chosen.tolist() == slow["chosen"]
    assert len(slow["learned"]) + len(slow["chosen"]) < len(data)
    assert not set(sides.learned.flatten().tolist()) & set(sides.chosen.flatten().tolist())


def test_millions_of_triplets_are_parted_by_looking_up_not_by_searching():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 600, (1_000_000, 3)) + [0, 600, 1200]
    large = OddOneOutData(torch.zeros(1800, 2), rows)
    started = time.process_time()
    sides = sides_of(quick(), large, seed=0)
    assert time.process_time() - started < 2
    assert 0.4 < len(sides.learned) / 1_000_000 < 0.45


def test_statistics_are_two_numbers_of_the_training_objects(data):
    sides = sides_of(quick(), data, seed=derive_seed(0, "objects"))
    model = Aligner(quick()).fit(data, Run(progress=False, seed=0))
    values = data.features[sides.training].double().numpy()
    assert model.transform_.mean == pytest.approx(values.mean(), rel=1e-6)
    assert model.transform_.std == pytest.approx(values.std(), rel=1e-6)
    everything = data.features.double().numpy()
    assert model.transform_.std != pytest.approx(everything.std(), rel=1e-6)
    assert model.transform_.std == float(np.float32(model.transform_.std))


@pytest.mark.parametrize("kind", KINDS)
def test_dead_features_do_no_harm(data, kind):
    features = data.features.clone()
    features[:, 3] = 1e-32
    dead = OddOneOutData(features, data.triplets, reference=data.reference)
    model = Aligner(quick(aligner=kind)).fit(dead)
    assert torch.isfinite(model.transform_.weights).all()
    assert torch.isfinite(model.predict(dead)["probabilities"]).all()


def test_features_that_are_all_equal_are_refused():
    with pytest.raises(InputError, match="all equal"):
        statistics(torch.full((5, 2), 0.1), torch.ones(5, dtype=torch.bool))


# ---- predictions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_follow_from_the_transform(data, fitted, kind):
    model, found = fitted[kind], fitted[kind].predict(data)
    z = model.transform(data.features)
    assert torch.equal(z, model.transform_.apply(data.features))
    similarity = "dot" if kind in ("probe", "glocal", "ridge") else "cosine"
    a, b, c = (z[data.triplets[:, i]].double() for i in range(3))

    def alike(one, other):
        dot = (one * other).sum(1)
        return dot if similarity == "dot" else dot / one.norm(dim=1) / other.norm(dim=1)

    pairs = torch.stack([alike(a, b), alike(a, c), alike(b, c)], 1)
    torch.testing.assert_close(found["similarities"].double(), pairs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        found["probabilities"].double(), pairs.softmax(1)[:, [2, 1, 0]], rtol=1e-4, atol=1e-4
    )
    assert torch.equal(found["label"], choices(found["similarities"]))
    assert found["label"].dtype == torch.int64


def test_sources_batches_and_subsets_are_predicted_alike(data, fitted):
    model = fitted["probe"]
    whole = model.predict(data)["probabilities"]
    part = Subset(data, [5, 2, 700])
    torch.testing.assert_close(model.predict(part)["probabilities"], whole[[5, 2, 700]])
    torch.testing.assert_close(model.predict(data.batch([2]))["probabilities"], whole[[2]])
    scores = model.evaluate(part)
    assert scores == pytest.approx(model.evaluate(data.subset([5, 2, 700])), rel=1e-5)


def test_scores_say_what_they_say(data, fitted):
    model = fitted["ridge"]
    scores, found = model.evaluate(data), model.predict(data)
    right = (found["label"] == 2).double()
    assert scores["accuracy"] == pytest.approx(float(right.mean()))
    assert scores["accuracy_low"] < scores["accuracy"] < scores["accuracy_high"]
    assert scores["cross_entropy"] == pytest.approx(
        float(-found["probabilities"][:, 2].double().log().mean()), rel=1e-5
    )
    plain = choices(pair_similarities(data.features, data.triplets, kind="cosine")) == 2
    assert scores["zero_shot_accuracy"] == pytest.approx(float(plain.double().mean()))
    assert scores["gain"] == pytest.approx(scores["accuracy"] - scores["zero_shot_accuracy"])
    assert 0 < scores["gain_low"] < scores["gain"] < scores["gain_high"]
    assert scores["ties"] == 0


def test_features_as_they_are_gain_nothing(data, fitted):
    scores = fitted["none"].evaluate(data)
    assert scores["gain"] == scores["gain_low"] == scores["gain_high"] == 0
    assert torch.equal(fitted["none"].transform(data.features), data.features)


def test_centering_subtracts_the_training_mean(data, fitted):
    z = fitted["center"].transform(data.features)
    torch.testing.assert_close(z.mean(0), torch.zeros(16), rtol=0, atol=1e-5)
    model = fitted["center"]
    torch.testing.assert_close(
        z * model.transform_.std, data.features - data.features.mean(0), rtol=1e-4, atol=1e-4
    )


def test_ridge_predicts_the_reference_and_keeps_its_penalties(data, fitted):
    model = fitted["ridge"]
    assert model.transform(data.features).shape == data.reference.shape
    assert len(model.alphas_) == 5
    assert set(model.alphas_) <= set(AlignmentConfig().ridge_alphas)
    gaps = (model.transform(data.features) - data.reference).square().mean()
    assert gaps < 0.2 * data.reference.var()


def test_a_fitted_temperature_lowers_the_cross_entropy_and_keeps_the_choices(data, fitted):
    model = Aligner(quick(aligner="none", temperature="fit")).fit(data)
    assert model.temperature_ != 1
    assert torch.equal(model.predict(data)["label"], fitted["none"].predict(data)["label"])
    assert model.evaluate(data)["cross_entropy"] < fitted["none"].evaluate(data)["cross_entropy"]


# ---- keeping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_saved_aligners_come_back_whole(data, fitted, tmp_path, kind):
    model = fitted[kind]
    model.save(tmp_path)
    loaded = Aligner.load(tmp_path)
    assert torch.equal(loaded.transform(data.features), model.transform(data.features))
    assert (loaded.steps_, loaded.alphas_, loaded.temperature_) == (
        model.steps_,
        model.alphas_,
        model.temperature_,
    )
    assert loaded.validation_ == model.validation_
    model.transform_.save_npz(tmp_path / "map.npz")
    exported = Transform.load_npz(tmp_path / "map.npz")
    assert torch.equal(exported.apply(data.features), model.transform(data.features))


def test_a_bias_is_learned_as_a_vector(data):
    transform = Aligner(quick(bias=True)).fit(data).transform_
    assert transform.weights.shape == (16, 16)
    assert transform.bias is not None
    assert transform.bias.shape == (16,)
    assert transform.bias.std() > 0


def test_fitting_again_forgets_the_map_before(data):
    model = Aligner(quick()).fit(data)
    before = model.transform_.weights.clone()
    model.fit(planted(seed=4))
    assert not torch.equal(model.transform_.weights, before)
    assert torch.equal(model.transform_.weights, model.parts()["net"].weight.detach())


# ---- unrelated images -------------------------------------------------------------------------------------


def test_glocal_keeps_the_similarities_of_unrelated_images(data):
    images = torch.randn(200, 16, generator=torch.Generator().manual_seed(0)) * 2
    shared = {"epochs": 10, "learning_rate": 0.02, "penalty": "none"}
    before = pair_similarities(images, torch.arange(198).view(-1, 3), kind="cosine")
    moved = {}
    for weight in (0.0, 0.9):
        config = quick(aligner="glocal", contrastive_weight=weight, contrastive_batch=64, **shared)
        model = Aligner(config).fit(data, unrelated=images)
        after = pair_similarities(model.transform(images), torch.arange(198).view(-1, 3), kind="cosine")
        moved[weight] = float((after - before).abs().mean())
    assert moved[0.9] < 0.5 * moved[0.0]


def test_unrelated_images_without_use_or_of_another_width_are_refused(data):
    with pytest.raises(InputError, match="not used by aligner=probe"):
        Aligner(quick()).fit(data, unrelated=torch.zeros(20, 16))
    with pytest.raises(InputError, match=r"expected \(8 or more, 16\)"):
        Aligner(quick(aligner="glocal")).fit(data, unrelated=torch.zeros(20, 4))
    holes = torch.zeros(20, 16)
    holes[7, 3] = float("nan")
    with pytest.raises(InputError, match="unrelated, row 7: is not finite"):
        Aligner(quick(aligner="glocal")).fit(data, unrelated=holes)


# ---- refusals ---------------------------------------------------------------------------------------------


def test_ridge_without_a_reference_is_refused(data, tmp_path):
    bare = OddOneOutData(data.features, data.triplets)
    with pytest.raises(InputError, match="reference: is missing"):
        Aligner(quick(aligner="ridge")).fit(bare, Run(tmp_path / "run", progress=False))
    assert not list((tmp_path / "run").iterdir())


def test_a_side_without_triplets_is_refused():
    few = planted().subset(range(8))
    with pytest.raises(InputError, match="none of 8 triplets lies among the"):
        Aligner(quick()).fit(few)


def test_features_of_another_width_are_refused(data, fitted):
    model = fitted["probe"]
    narrow = OddOneOutData(data.features[:, :7], data.triplets)
    for inputs in (narrow, narrow.batch([0])):
        with pytest.raises(InputError, match="7 numbers per object; the aligner was fitted on 16"):
            model.predict(inputs)
    with pytest.raises(InputError, match="expected \\(triplets, 3, 16\\)"):
        model.predict({"features": data.features})
    batch = data.batch([0, 1])
    batch["features"][1, 2, 3] = float("inf")
    with pytest.raises(InputError, match="row 5: is not finite"):
        model.predict(batch)


def test_a_run_of_other_settings_is_refused(data, tmp_path):
    Aligner(quick()).fit(data, Run(tmp_path, progress=False))
    with pytest.raises(InputError, match="other settings"):
        Aligner(dataclasses.replace(quick(), epochs=7)).fit(data, Run(tmp_path, progress=False))
