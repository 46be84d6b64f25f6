"""Claims are declared soundly, arms differ in what they compare, and every experiment runs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from visus.data.worlds.scenes.videos import reappearances
from visus.engine import Run
from visus.methods.statm import StatmTracker
from visus.methods.statm.claims import CLAIMS, EXPERIMENTS, costs, occlusion, statements, tokens
from visus.methods.statm.claims.balls import FASTEST, RADIUS, roll_balls
from visus.methods.statm.claims.laws import STATED
from visus.methods.statm.claims.statements import COUNTS, LAWS
from visus.methods.statm.config import check
from visus.metrics import foreground_ari, mean_iou, reappeared
from visus.protocols import Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
LARGE_ONLY = {"designs", "occlusion"}


def measured(experiment: str, arm: str, *, seed: int = 0, preset: str = "smoke") -> dict[str, float]:
    trial = Trial(slug="statm", experiment=experiment, arm=arm, seed=seed, preset=preset)
    return BY_NAME[experiment].measure(trial, Run(seed=seed, device="cpu", progress=False))


# ---- declarations -----------------------------------------------------------------------------------------


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.candidate != claim.reference
        assert claim.statement.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh), claim.id
        assert claim.statement_zh.endswith("。")
        assert bool(claim.caveat) == bool(claim.caveat_zh), claim.id
        assert claim.exact == (claim in (*LAWS, *COUNTS))
        assert claim.exact or claim.caveat, claim.id
    assert StatmTracker.claims() == CLAIMS
    assert StatmTracker.experiments() == EXPERIMENTS


def test_every_arm_is_compared_and_every_preset_told():
    used = {(claim.experiment, arm) for claim in CLAIMS for arm in (claim.candidate, claim.reference)}
    for experiment in EXPERIMENTS:
        assert {(experiment.name, arm) for arm in experiment.arms} <= used, experiment.name
        presets = set(experiment.seeds)
        assert presets == {"smoke", "demo", "gpu", "paper"}
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in presets), experiment.name
        assert (experiment.seeds["demo"] == 0) == (experiment.name in LARGE_ONLY)
        exact = all(claim.exact for claim in CLAIMS if claim.experiment == experiment.name)
        assert exact or experiment.seeds["gpu"] >= 3
    assert BY_NAME["time"].exclusive


def test_budgets_tell_the_sizes_that_are_measured():
    for preset in ("demo", "gpu"):
        budget = tokens.BUDGETS[preset]
        told = f"{preset}: {budget.steps:,} steps of {budget.batch} clips"
        assert told in BY_NAME["tokens"].budget
        if preset == "gpu":
            assert told in BY_NAME["designs"].budget
            assert f"{budget.test:,} new clips" in BY_NAME["designs"].budget
        assert f"batch {costs.BATCH[preset]}, {costs.REPEATS[preset]} repeats" in BY_NAME["time"].budget
    assert f"{tokens.CONTEXT} frames seen, {tokens.HORIZON} foretold" in BY_NAME["tokens"].budget
    size, config, told = occlusion.SIZES["gpu"], occlusion.CONFIGS["gpu"], BY_NAME["occlusion"].budget
    assert f"{size.train} videos of {size.frames} frames" in told
    assert f"{config.steps:,} steps of {config.batch_size} clips, {config.future_steps:,} steps" in told
    assert f"{size.test} new videos" in told
    assert "{}x{}".format(*config.image_size) in told
    assert tokens.BUDGETS["paper"] == tokens.BUDGETS["gpu"]
    assert occlusion.CONFIGS["paper"] == config


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        found = getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__)
        assert found is experiment.measure


def test_statements_need_no_torch():
    folder = Path(inspect.getfile(statements)).parent
    imported = {
        name
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    assert {name for name in imported if not name.startswith(statements.__name__)} == {
        *("__future__", "typing", "visus.protocols")
    }


def test_arms_of_the_video_experiment_change_the_predictor_alone():
    for arm, change in occlusion.ARMS.items():
        assert set(change) <= {"predictor", "time", "time_positions"}, arm
        for preset in ("smoke", "gpu"):
            check(dataclasses.replace(occlusion.CONFIGS[preset], **change))
    assert occlusion.ARMS["cs"] == {}
    assert set(BY_NAME["occlusion"].arms) == {*occlusion.ARMS, "unchanged"}
    assert set(BY_NAME["tokens"].arms) | set(BY_NAME["designs"].arms) == {*tokens.ARMS, *tokens.UNLEARNED}


# ---- balls ------------------------------------------------------------------------------------------------


def test_balls_stay_in_the_box_apart_and_keep_their_energy():
    places = roll_balls(200, 40, seed=3).double()
    steps = places[:, 1:] - places[:, :-1]
    slack = 0.5 * FASTEST
    assert places.min() > RADIUS - slack
    assert places.max() < 1 - RADIUS + slack
    gaps = torch.cdist(places.flatten(0, 1), places.flatten(0, 1)) + 9 * torch.eye(3).double()
    assert gaps.min() > 2 * RADIUS - 2 * slack
    energy = steps.square().sum((2, 3))
    free = energy >= energy.amax(1, keepdim=True) * (1 - 1e-4)  # frames without a bounce inside
    assert free.double().mean() > 0.4
    assert steps.abs().max() > FASTEST  # a collision can make one ball faster than any was at the start


def test_a_collision_exchanges_momentum():
    from visus.methods.statm.claims.balls import _strike

    place = np.array([[[0.3, 0.5], [0.5, 0.5], [0.8, 0.2]]])
    speed = np.array([[[0.05, 0.01], [-0.02, 0.0], [0.01, 0.03]]])
    after = _strike(place, speed)
    np.testing.assert_allclose(after[0], [[-0.02, 0.01], [0.05, 0.0], [0.01, 0.03]])
    np.testing.assert_allclose(_strike(place, after), after)  # they part: nothing more happens


def test_balls_follow_from_the_seed():
    assert torch.equal(roll_balls(5, 6, seed=1), roll_balls(5, 6, seed=1))
    assert not torch.equal(roll_balls(5, 6, seed=1), roll_balls(5, 6, seed=2))
    assert roll_balls(5, 6, seed=1).shape == (5, 6, 3, 2)


def test_scores_without_learning():
    clips = roll_balls(300, tokens.CONTEXT + tokens.HORIZON, seed=0)
    scores = {arm: tokens.judge(rule, clips) for arm, rule in tokens.UNLEARNED.items()}
    assert scores["copy"]["one_step"] == pytest.approx(0.041, abs=0.003)
    assert scores["same_speed"]["one_step"] == pytest.approx(0.026, abs=0.004)
    straight = clips[:, :1] + 0.01 * torch.arange(14.0).view(1, -1, 1, 1)
    assert tokens.judge(tokens.same_speed, straight)["roll_out"] < 1e-6
    assert tokens.judge(tokens.copy, straight)["one_step"] == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize("arm", ["savi", "lstm", "cs_2_time", "as_time", "slotformer"])
def test_a_roll_out_is_one_step_after_another(arm, monkeypatch):
    monkeypatch.setitem(tokens.ARMS, "cs_2_time", tokens.ARMS["buffer_2_time"])
    torch.manual_seed(0)
    model, places = tokens.TokenDynamics(tokens.predictor_of(arm)).eval(), roll_balls(4, 8, seed=0)
    with torch.no_grad():
        made = model.roll_out(places, 3)
        for step in range(3):
            following = model(places)[:, -1:]
            torch.testing.assert_close(made[:, step : step + 1], following, atol=1e-5, rtol=0)
            places = torch.cat([places, following], dim=1)


def test_training_learns_and_follows_from_its_seed():
    budget = tokens.Budget(steps=40, batch=16, pool=64, test=8)
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        model = tokens.TokenDynamics(tokens.predictor_of("cs"))
        losses.append(tokens.train_tokens(model, budget, seed=1, device="cpu"))
    assert losses[0] == losses[1]
    assert sum(losses[0][-5:]) < 0.8 * sum(losses[0][:5])


# ---- measures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [*LAWS, *COUNTS], ids=lambda claim: claim.id)
def test_laws_hold_on_instances_of_their_own(claim, of_seed_50):
    """Seed 50 is not that of any preset."""
    scores = of_seed_50[claim.experiment]
    effect = scores[claim.candidate][claim.metric] - scores["stated"][claim.metric]
    if claim.direction == "equal":
        assert abs(effect) <= claim.smallest_effect
    else:
        assert effect > claim.smallest_effect


@pytest.fixture(scope="module")
def of_seed_50():
    return {
        name: {arm: measured(name, arm, seed=50) for arm in BY_NAME[name].arms}
        for name in ("laws", "operations")
    }


def test_laws_are_not_satisfied_by_what_breaks_them():
    from visus.methods.statm.claims import laws

    torch.manual_seed(0)
    clip = torch.randn(2, laws.FRAMES, laws.SLOTS, laws.SIZE, dtype=torch.float64)
    with torch.no_grad():
        assert laws.leak(laws.statm(time="all"), clip) > 1e-3
        assert laws.order(laws.statm(positions="relative"), clip) > 1e-3
        assert laws.far(laws.statm().parallel(clip[:, :2])[:, 1:], clip[:, :1]) > 1e-3
        two = laws.statm(positions="sin")
        assert laws.far(two.parallel(clip[:, :1]), laws.one_frame_by_hand(two, clip[:, :1])) > 1e-3
    assert laws.gradient(laws.statm(buffer=5), clip) == 0
    assert set(STATED) == {claim.metric for claim in LAWS}


@pytest.mark.parametrize(("experiment", "arm"), [(e.name, arm) for e in EXPERIMENTS for arm in e.arms])
def test_every_arm_runs_at_test_size(experiment, arm):
    scores = measured(experiment, arm)
    wanted = {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }
    assert wanted <= set(scores)
    assert all(math.isfinite(scores[name]) for name in wanted - {"fg_ari_clear", "miou_after"})


def test_a_step_that_costs_more_takes_more_operations():
    savings = {arm: costs.executed(costs.predictor_of(arm), 12) for arm in costs.ARMS}
    assert savings["cs"] < savings["as"] < savings["cs_restacked"] < savings["joint"]


# ---- videos -----------------------------------------------------------------------------------------------


class Oracle:
    """Says what `answer` makes of the truth."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, batch):
        return {"segmentation": self.answer(batch)}


@pytest.fixture(scope="module")
def hidden():
    trial = Trial(slug="statm", experiment="occlusion", arm="cs", seed=0, preset="smoke")
    return occlusion.world(trial, "test", 4)


def test_the_answer_is_perfect(hidden):
    scores = occlusion.judge(Oracle(lambda batch: batch["segmentation"]), hidden)
    assert {name for name, score in scores.items() if score == 0.0} == {"lost_after", "switches_after"}
    assert {score for score in scores.values() if score} == {1.0}


def test_who_changes_identities_behind_the_panel_is_caught(hidden):
    def other_slot_after(batch):
        ids, back = batch["segmentation"].clone(), reappeared(batch["visibility"])
        for t in range(ids.shape[1]):
            for i in back[0, t].nonzero()[:, 0].tolist():
                ids[0, t][batch["segmentation"][0, t] == i + 1] = 6
        return ids

    gaps = [reappearances(hidden.read(i)["visibility"].numpy()) for i in range(4)]
    switched = sum(
        len({i for i, _, _ in found}) for found in gaps
    )  # the second gap of an object changes nothing
    scores = occlusion.judge(Oracle(other_slot_after), hidden)
    assert scores["switches_after"] == switched / sum(map(len, gaps))
    assert scores["lost_after"] == 1.0
    assert scores["miou_after"] == 0.0
    assert 0 < scores["miou_conditioned"] < 1.0


def test_scores_are_means_over_videos(hidden):
    scores = occlusion.judge(Oracle(lambda batch: (batch["segmentation"] > 1).to(torch.uint8) * 2), hidden)
    truth = [occlusion.one(hidden, i)["segmentation"] for i in range(4)]
    said = [(ids > 1).to(torch.uint8) * 2 for ids in truth]
    expected = [foreground_ari(a, b).item() for a, b in zip(truth, said, strict=True)]
    assert scores["fg_ari"] == pytest.approx(np.mean(expected))
    expected = [mean_iou(a, b, matching="conditioned").item() for a, b in zip(truth, said, strict=True)]
    assert scores["miou_conditioned"] == pytest.approx(np.mean(expected))


def test_who_never_finds_an_object_has_lost_it(hidden):
    scores = occlusion.judge(Oracle(lambda batch: torch.zeros_like(batch["segmentation"])), hidden)
    assert scores["lost_after"] == 1.0
    assert math.isnan(scores["switches_after"])
    assert scores["miou_conditioned"] == 0.0


def test_clear_views_are_those_in_which_nothing_hides():
    trial = Trial(slug="statm", experiment="occlusion", arm="cs", seed=3, preset="smoke")
    videos = occlusion.world(trial, "test", 8, occlusion=False)
    clear = [
        bool((clip["visibility"][:, : clip["num_instances"]] > 0).all())
        for clip in (videos.read(i) for i in range(8))
    ]
    assert 0 < sum(clear) < 8
    assert occlusion.clear_view(Oracle(lambda batch: batch["segmentation"]), videos) == 1.0
    seen = []
    occlusion.clear_view(Oracle(lambda batch: seen.append(batch["name"]) or batch["segmentation"]), videos)
    assert len(seen) == sum(clear)


def test_shuffled_boxes_are_the_same_boxes_at_other_places(hidden):
    batch = occlusion.one(hidden, 0)
    boxes, other = batch["boxes"][0], occlusion.shuffled(batch)["boxes"][0]
    seen = (boxes[0] != 0).any(-1)
    assert seen.sum() > 1
    assert (boxes[0, seen] != other[0, seen]).any(-1).all()
    assert sorted(boxes[0].tolist()) == sorted(other[0].tolist())
    assert (other[0, ~seen] == 0).all()
    assert torch.equal(boxes, occlusion.one(hidden, 0)["boxes"][0])


def test_all_arms_see_the_same_videos():
    made = [
        occlusion.world(
            Trial(slug="statm", experiment="occlusion", arm=arm, seed=seed, preset="smoke"), part, 2
        )
        for arm, seed, part in (
            ("cs", 0, "train"),
            ("savi", 0, "train"),
            ("cs", 1, "train"),
            ("cs", 0, "test"),
        )
    ]
    prints = [videos.fingerprint() for videos in made]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
