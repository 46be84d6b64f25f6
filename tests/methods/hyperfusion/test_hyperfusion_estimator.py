"""The estimator: missing values, leak-free preprocessing, selection, saving, seeds, cross-validation."""

import dataclasses
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from visus.data.image_table import ImageTable
from visus.data.splits import grouped_stratified_split
from visus.data.tables import TablePreprocessor
from visus.engine import Run
from visus.errors import InputError
from visus.methods.hyperfusion import Ensemble, HyperFusion, HyperFusionConfig, cross_validate
from visus.methods.hyperfusion.config import Fusion
from visus.methods.hyperfusion.estimator.ensemble import load
from visus.methods.hyperfusion.training import halves, normalize

TINY = HyperFusionConfig(
    width=2, blocks=2, stem_pool=False, dropout=0.2, epochs=2, batch_size=16, learning_rate=3e-3, trees=5
)
COLUMNS = {"age": "continuous", "stage": "categorical", "smoker": "binary"}
FUSIONS = list(get_args(Fusion))


def clinic(n=60, *, space=(8, 8), target="class", seed=0):
    """People with gaps in their table, two pictures each."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(60, 10, n).round(1),
            "stage": rng.choice(["I", "II", "III"], n).astype(object),
            "smoker": rng.choice([0.0, 1.0], n),
            "patient": [f"p{i // 2}" for i in range(n)],
        }
    )
    frame["y"] = np.where(frame["age"] + rng.normal(0, 5, n) > 60, "ill", "well")
    if target == "number":
        frame["y"] = 3 * frame["age"] + rng.normal(0, 5, n)
    for column in ("age", "stage", "smoker"):
        frame[column] = frame[column].mask(rng.random(n) < 0.2)
    images = torch.from_numpy(rng.random((n, 1, *space)).astype(np.float32))
    return ImageTable(frame, images=images, target="y", group="patient")


def tiny(**changes):
    return dataclasses.replace(TINY, columns=COLUMNS, **changes)


def fitted(data, **changes):
    return HyperFusion(tiny(**changes)).fit(data, Run(progress=False, seed=changes.pop("seed", 0)))


@pytest.fixture(scope="module")
def data():
    return clinic()


@pytest.fixture(scope="module")
def model(data):
    return fitted(data)


# ---- every fusion, both tasks


@pytest.mark.parametrize("target", ["class", "number"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_fits_predicts_saves_and_loads(fusion, target, tmp_path):
    train, test = clinic(target=target), clinic(20, target=target, seed=1)
    model = fitted(train, fusion=fusion, epochs=1)
    prediction = model.predict(test)
    scores = model.evaluate(test)
    if target == "class":
        probabilities = prediction["probabilities"]
        assert probabilities.shape == (20, 2)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(20))
        assert prediction["name"] == [model.classes_[i] for i in prediction["label"].tolist()]
        np.testing.assert_array_equal(model.predict_proba(test), probabilities.numpy())
        assert set(scores) == {
            f"{name}{end}"
            for name in ("balanced_accuracy", "macro_f1", "auc", "accuracy")
            for end in ("", "_low", "_high")
        }
        assert (
            scores["balanced_accuracy_low"] <= scores["balanced_accuracy"] <= scores["balanced_accuracy_high"]
        )
    else:
        assert prediction["value"].shape == (20,)
        truth = np.array(test.targets)
        assert scores["mae"] == pytest.approx(np.abs(prediction["value"].numpy() - truth).mean(), rel=1e-5)
        assert set(scores) == {f"{name}{end}" for name in ("mae", "mse") for end in ("", "_low", "_high")}
    model.save(tmp_path / "model")
    again = HyperFusion.load(tmp_path / "model")
    key = "probabilities" if target == "class" else "value"
    assert torch.equal(again.predict(test)[key], prediction[key])
    batch = test.batch(range(20))
    torch.testing.assert_close(
        again.predict({"image": batch["image"], "row": batch["row"]})[key], prediction[key]
    )


def test_volumes_and_the_age_network(tmp_path):
    volumes = clinic(12, space=(36, 36, 36), target="number")
    model = fitted(volumes, position="paper_age", width=1, epochs=1, batch_size=6)
    assert model.sizes_.space == (36, 36, 36)
    assert model.predict(volumes)["value"].shape == (12,)


# ---- the table: gaps, leaks, unseen categories


def test_preprocessing_is_fitted_on_the_training_rows_alone(data, model):
    parts = grouped_stratified_split(data.targets, data.groups, {"train": 0.8, "validation": 0.2}, 0)
    alone = TablePreprocessor(COLUMNS).fit(data.features.iloc[parts["train"].numpy()])
    assert model.table_.to_state() == alone.to_state()
    everyone = TablePreprocessor(COLUMNS).fit(data.features)
    assert model.table_.to_state() != everyone.to_state()
    patients = np.array(data.groups)
    assert not set(patients[parts["train"].numpy()]) & set(patients[parts["validation"].numpy()])


def test_gaps_unseen_categories_and_empty_rows_are_predicted(data, model):
    row = {"age": None, "stage": None, "smoker": None}
    rows = [row, {"age": 55.0, "stage": "IV", "smoker": 1.0}, {"age": "<40", "stage": "I", "smoker": "?"}]
    prediction = model.predict({"image": torch.rand(3, 1, 8, 8), "row": rows})
    assert torch.isfinite(prediction["probabilities"]).all()
    numbers = model._rows(data)
    marks = numbers[:, [name.endswith(":missing") for name in model.table_.names]]
    assert marks.shape[1] == 2
    assert set(np.unique(marks)) == {0.0, 1.0}
    filled = fitted(data, missing="fill", epochs=1)
    assert filled.sizes_.columns == model.sizes_.columns - 2


def test_only_the_table_changes_the_prediction(data, model):
    batch = data.batch([0, 1])
    young, old = ([{**row, "age": age} for row in batch["row"]] for age in (30.0, 90.0))
    outputs = [model.outputs({"image": batch["image"], "row": rows}) for rows in (young, old)]
    assert (outputs[0] - outputs[1]).abs().amax(1).min() > 0


def test_a_prediction_does_not_depend_on_its_batch_mates(data, model):
    together = model.outputs(data)
    for i in (0, 7, 59):
        torch.testing.assert_close(model.outputs(data.subset([i]))[0], together[i], atol=1e-5, rtol=1e-5)


# ---- seeds, resume, selection


def test_same_seed_same_model_other_seed_other_model(data, model):
    again = fitted(data)
    assert torch.equal(again.outputs(data), model.outputs(data))
    other = HyperFusion(tiny()).fit(data, Run(progress=False, seed=1))
    assert not torch.equal(other.outputs(data), model.outputs(data))


def test_fitting_again_in_the_same_folder_goes_on_and_other_settings_are_refused(data, model, tmp_path):
    run = Run(tmp_path / "run", progress=False)
    first = HyperFusion(tiny()).fit(data, run)
    again = HyperFusion(tiny()).fit(data, Run(tmp_path / "run", progress=False))
    assert torch.equal(first.outputs(data), again.outputs(data))
    assert torch.equal(first.outputs(data), model.outputs(data))
    with pytest.raises(InputError, match="other settings"):
        HyperFusion(tiny(width=3)).fit(data, Run(tmp_path / "run", progress=False))


def test_the_epoch_is_chosen_by_validation_and_optional(data):
    run = Run(progress=False)
    model = HyperFusion(tiny(epochs=4)).fit(data, run)
    checks = [
        row["balanced_accuracy"]
        for row in map(eval_json, (run.folder / "log.jsonl").read_text().splitlines())
        if "balanced_accuracy" in row
    ]
    assert len(checks) == 4
    parts = grouped_stratified_split(data.targets, data.groups, {"train": 0.8, "validation": 0.2}, 0)
    held = model.evaluate(data.subset(parts["validation"]), intervals=False)
    assert held["balanced_accuracy"] == pytest.approx(max(checks), abs=1e-6)
    assert torch.isfinite(fitted(data, validation=0.0).outputs(data)).all()


def eval_json(line):
    import json

    return json.loads(line)


def test_pretrained_embedding_starts_the_network(data):
    run = Run(progress=False)
    model = HyperFusion(tiny(embedding_epochs=2, epochs=1, learning_rate=1e-9)).fit(data, run)
    plain = HyperFusion(tiny(epochs=1, learning_rate=1e-9)).fit(data, Run(progress=False))
    assert (run.folder / "embedding").is_dir()
    assert not torch.equal(model.net_.embedding[0].weight, plain.net_.embedding[0].weight)


# ---- options


def test_hemisphere_averaging_equals_the_manual_average():
    data = clinic(40, space=(8, 10))
    model = fitted(data, hemispheres=1)
    assert model.sizes_.space == (8, 5)
    image = data.batch(range(40))["image"]
    table = torch.from_numpy(model._rows(data))
    with torch.no_grad():
        sides = [model.net_(normalize(side, "image"), table) for side in halves(image, 1)]
    torch.testing.assert_close(model.outputs(data), (sides[0] + sides[1]) / 2, atol=1e-6, rtol=1e-5)
    mirrored = ImageTable(data.frame, images=image.flip(3), target="y", group="patient")
    torch.testing.assert_close(model.outputs(mirrored), model.outputs(data), atol=1e-6, rtol=1e-5)


def test_flips_and_image_size_change_training(data, model):
    assert not torch.equal(fitted(data, flips=(0, 1)).outputs(data), model.outputs(data))
    resized = fitted(data, image_size=(6, 6))
    assert resized.sizes_.space == (6, 6)
    assert torch.isfinite(resized.outputs(data)).all()


def test_given_class_order_and_weights(data):
    model = fitted(
        data, classes=("well", "ill", "unknown"), class_weights={"well": 1, "ill": 2, "unknown": 1}
    )
    assert model.classes_ == ("well", "ill", "unknown")
    assert model.predict(data)["probabilities"].shape == (60, 3)


def test_scikit_learn_contract(model):
    twin = clone(HyperFusion(TINY))
    assert twin.get_params()["config"] == TINY
    assert set(HyperFusion.PRESETS) >= {"smoke", "demo", "gpu", "paper"}


# ---- cross-validation and ensembles


def test_cross_validation_keeps_patients_whole_and_makes_an_ensemble(data, tmp_path):
    found = cross_validate(tiny(epochs=1), data, count=3, run=Run(tmp_path / "run", progress=False))
    assert len(found.members) == len(found.fold_scores) == 3
    assert found.prediction["probabilities"].shape == (60, 2)
    assert found.scores["balanced_accuracy_low"] <= found.scores["balanced_accuracy"]
    # every item's held-out prediction comes from a model that did not train on its patient
    from visus.data.splits import folds

    patients = np.array(data.groups)
    for member, (train, test) in zip(found.members, folds(data.targets, data.groups, 3, 0)):
        assert not set(patients[train.numpy()]) & set(patients[test.numpy()])
        held = member.predict(data.subset(test))["probabilities"]
        torch.testing.assert_close(found.prediction["probabilities"][test], held)
    ensemble = found.ensemble("mean")
    wanted = torch.stack([member.predict(data)["probabilities"] for member in found.members]).mean(0)
    torch.testing.assert_close(ensemble.predict(data)["probabilities"], wanted)
    ensemble.save(tmp_path / "ensemble")
    again = load(tmp_path / "ensemble")
    assert isinstance(again, Ensemble)
    assert again.mode == "mean"
    assert torch.equal(again.predict(data)["probabilities"], ensemble.predict(data)["probabilities"])
    assert set(ensemble.evaluate(data, intervals=False)) == {
        "balanced_accuracy",
        "macro_f1",
        "auc",
        "accuracy",
    }


def test_an_ensemble_of_one_is_that_one(data, model):
    for mode in ("entropy", "mean", "confident"):
        torch.testing.assert_close(
            Ensemble([model, model], mode=mode).predict(data)["probabilities"],
            model.predict(data)["probabilities"],
        )
    with pytest.raises(InputError, match="needs members"):
        Ensemble([])


# ---- refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": {"age": "ignore", "stage": "ignore", "smoker": "ignore"}}, "no column can be used"),
        ({"columns": {"weight": "continuous"}}, "no such column"),
        ({"validation": 1.0}, "not a share"),
        ({"position": "paper_age"}, "too small"),
        ({"classes": ("ill",)}, "not among the classes"),
    ],
)
def test_impossible_settings_are_refused_in_words(data, change, words):
    with pytest.raises(InputError, match=words):
        HyperFusion(dataclasses.replace(tiny(), **change)).fit(data, Run(progress=False))


def test_wrong_inputs_are_refused_in_words(data, model):
    with pytest.raises(InputError, match="spatial axes"):
        model.predict({"image": torch.rand(1, 1, 8, 8, 8), "row": [{"age": 1, "stage": "I", "smoker": 0}]})
    with pytest.raises(InputError, match="lacks this column"):
        model.predict({"image": torch.rand(1, 1, 8, 8), "row": [{"age": 1}]})
    with pytest.raises(InputError, match="row"):
        model.predict({"image": torch.rand(1, 1, 8, 8)})
    with pytest.raises(InputError, match="ImageTable"):
        HyperFusion(TINY).fit([1, 2, 3])
    with pytest.raises(InputError, match="predict"):
        fitted(clinic(30, target="number"), epochs=1).predict_proba(data)
