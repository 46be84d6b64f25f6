"""Claims are declared soundly, arms differ in what they compare, and every experiment runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from alignment_claim_data import planted_data

from visus.engine import Run
from visus.methods.alignment import Aligner
from visus.methods.alignment.claims import CLAIMS, EXPERIMENTS
from visus.methods.alignment.claims.arms import (
    CLOSED,
    DEMO,
    GPU,
    LEARNED,
    SIZES,
    SMOKE,
    planted_settings,
    settings_of,
)
from visus.methods.alignment.claims.laws import STATED
from visus.methods.alignment.claims.statements import LAWS
from visus.methods.alignment.config import check
from visus.protocols import Trial

PRESETS = ("smoke", "demo", "gpu", "paper")
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
RUN = {"device": "cpu", "progress": False}


def measured(experiment: str, arm: str, *, seed: int = 0, run: Run | None = None) -> dict[str, float]:
    trial = Trial(slug="alignment", experiment=experiment, arm=arm, seed=seed, preset="smoke")
    return BY_NAME[experiment].measure(trial, run or Run(seed=seed, **RUN))


def claimed(experiment: str, arm: str) -> set[str]:
    return {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }


# ---- declarations -----------------------------------------------------------------------------------------


def test_the_estimator_declares_them():
    assert Aligner.claims() is CLAIMS
    assert Aligner.experiments() is EXPERIMENTS


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
            told = f"{abs(claim.smallest_effect):.4f}".rstrip("0").rstrip(".")
            assert told in claim.statement, claim.id
            assert told in claim.statement_zh, claim.id


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
    told = BY_NAME["human"].budget
    for size in (SMOKE, DEMO, GPU):
        assert f"{2 * size.partitions} splits" in told
        assert f"{size.triplets:,} training triplets, batch {size.batch:,}" in told
        assert f"{2 * size.photo_partitions} splits" in BY_NAME["images"].budget
        assert f"{size.pictures} pictures, {size.folds} folds" in BY_NAME["transfer"].budget
        assert f"{size.steps:,} steps of {size.scene_batch}" in BY_NAME["objective"].budget
        assert f"{size.objects} objects, {size.planted:,} triplets" in BY_NAME["planted"].budget
    assert SIZES["paper"] is GPU


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


def test_declarations_need_no_torch():
    code = "import sys; import visus.methods.alignment.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_arms_change_what_they_are_called_by():
    for size in SIZES.values():
        base = dataclasses.asdict(settings_of("probe_identity", size))
        changed = {
            arm: {
                name
                for name, value in dataclasses.asdict(settings_of(arm, size)).items()
                if value != base[name]
            }
            for arm in LEARNED
        }
        assert changed["probe"] == {"penalty", "penalty_weight", "init", "init_scale"}
        assert changed["glocal"] == {"aligner", "contrastive_weight", "contrastive_batch"}
        assert changed["ridge"] == changed["shuffled"] == {"aligner", "ridge_folds"}
        for arm in LEARNED:
            check(settings_of(arm, size))
            check(planted_settings(arm, size))
    assert CLOSED == ("ridge", "shuffled")


# ---- laws -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 5])
def test_laws_hold(seed, tmp_path):
    built = measured("laws", "built", seed=seed, run=Run(tmp_path, seed=seed, **RUN))
    assert set(built) == {claim.metric for claim in LAWS}
    assert built == STATED == measured("laws", "stated")


def test_a_broken_rule_would_be_seen(monkeypatch, tmp_path):
    from visus.methods.alignment.claims import laws

    monkeypatch.setattr(laws, "hits", lambda found: found[:, 0] >= found[:, 1])
    x, triplets = torch.randn(laws.OBJECTS, laws.WIDTH).double(), torch.tensor([[0, 1, 2], [3, 4, 5]])
    found = laws.loss_laws(x, triplets, torch.Generator().manual_seed(0))
    assert found["zero_map_hits"] == 2
    assert abs(found["loss_error"]) < laws.ROUNDING


# ---- measures that need no data ---------------------------------------------------------------------------


@pytest.mark.parametrize("arm", BY_NAME["planted"].arms)
def test_the_planted_world_is_measured(arm):
    scores = measured("planted", arm)
    assert claimed("planted", arm) <= set(scores)
    assert 0 < scores["accuracy"] < 1


def test_ridge_recovers_the_planted_world():
    found = {arm: measured("planted", arm)["accuracy"] for arm in ("zero_shot", "ridge", "hidden")}
    assert found["ridge"] > 0.9 * found["hidden"] > found["zero_shot"]


# ---- measures on real data, with planted data in its place ------------------------------------------------


@pytest.fixture
def planted(monkeypatch, tmp_path):
    yield from planted_data(monkeypatch, tmp_path)


@pytest.mark.parametrize("experiment", ["human", "images", "transfer", "words", "concepts"])
def test_every_arm_gives_every_metric_that_is_claimed(experiment, planted, tmp_path):
    for arm in BY_NAME[experiment].arms:
        run = Run(tmp_path / arm, **RUN)
        run.cache = tmp_path / "cache"
        scores = measured(experiment, arm, run=run)
        assert claimed(experiment, arm) <= set(scores), arm
        assert np.isfinite(list(scores.values())).all(), arm


def test_a_rotation_transfers_nothing(planted):
    still, turned = (measured("transfer", arm)["spearman"] for arm in ("zero_shot", "orthogonal"))
    assert turned == pytest.approx(still, abs=1e-4)


def test_trials_leave_what_figures_show(planted, tmp_path):
    from visus.methods.alignment.claims.samples import read_concepts, read_matrices

    kept = {}
    for experiment, arm in (("concepts", "food_animal"), ("transfer", "zero_shot"), ("transfer", "ridge")):
        run = Run(tmp_path / f"{experiment}-{arm}", **RUN)
        measured(experiment, arm, run=run)
        kept[f"{experiment}/{arm}/0"] = run.folder
    rows = read_concepts(kept["concepts/food_animal/0"])
    assert sum(row["count"] for row in rows) == SMOKE.judged
    assert {row["food_animal"] for row in rows} == {True, False}
    found = read_matrices(kept["transfer/ridge/0"])
    assert found["people"].shape == found["arm"].shape == (SMOKE.pictures, SMOKE.pictures)
    assert read_concepts(None) == []
    assert read_matrices(tmp_path) == {}

    from visus.methods.alignment.figures import figures
    from visus.protocols import PaperEvidence

    drawn = figures(PaperEvidence(slug="alignment", arxiv="", folders=kept))
    assert [figure.name for figure in drawn] == [
        "alignment-concepts-dimensions",
        "alignment-transfer-matrices",
    ]
    assert all(figure.svg.lstrip().startswith(("<?xml", "<svg")) for figure in drawn)


def test_without_data_it_is_told_what_is_missing(monkeypatch):
    from visus.errors import MissingData
    from visus.methods.alignment.claims import data

    for name in ("concepts", "vice", "photos", "described", "photographed", "judged_pictures"):
        getattr(data, name).cache_clear()
    monkeypatch.delenv("VISUS_DATA", raising=False)
    for experiment in ("human", "images", "transfer", "concepts"):
        with pytest.raises(MissingData, match="VISUS_DATA"):
            measured(experiment, BY_NAME[experiment].arms[0])
