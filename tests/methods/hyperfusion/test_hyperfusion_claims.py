"""Claims are declared soundly, their experiments run, and the gate of the interaction task opens."""

import dataclasses
import inspect

import pytest

from visus.engine import Run
from visus.methods.hyperfusion import HyperFusion
from visus.methods.hyperfusion.claims.experiments import _config
from visus.protocols import Trial

CLAIMS, EXPERIMENTS = HyperFusion.claims(), HyperFusion.experiments()
BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def trial(experiment, arm, *, seed=0, preset="smoke"):
    return Trial(slug="hyperfusion", experiment=experiment, arm=arm, seed=seed, preset=preset)


def measure(experiment, arm, **more):
    seed = more.get("seed", 0)
    return BY_NAME[experiment].measure(trial(experiment, arm, **more), Run(progress=False, seed=seed))


def test_claims_name_arms_that_exist_and_both_languages():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.statement
        assert any("一" <= sign <= "鿿" for sign in claim.statement_zh), claim.id
        assert claim.metric in {
            "balanced_accuracy",
            "mae",
            "weights",
            "biases",
            "flat",
            "distance",
            "neighbor",
        }
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    assert {e.seeds["demo"] for e in EXPERIMENTS if e.name not in ("exact", "phantom_clinic")} == {5}


def test_budgets_speak_of_every_preset_and_claims_of_our_training():
    for experiment in EXPERIMENTS:
        words = "every preset" if experiment.name == "exact" else "gpu and paper"
        assert words in experiment.budget
        assert experiment.name == "exact" or ("demo" in experiment.budget and "smoke" in experiment.budget)
    for name, arm in (("xor", "hyper"), ("phantom_clinic", "paper_ad")):
        gpu, paper = (_config(trial(name, arm, preset=preset), epochs=1) for preset in ("gpu", "paper"))
        assert gpu == paper
        assert f"{gpu.epochs} epochs" in BY_NAME[name].budget
        assert f"width {gpu.width}" in BY_NAME[name].budget
    for claim in CLAIMS:
        assert ("our training budget" in claim.statement) == (claim.experiment == "phantom_clinic")


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


@pytest.mark.parametrize(
    ("experiment", "arm"),
    [(e.name, arm) for e in EXPERIMENTS for arm in e.arms],
)
def test_every_arm_runs_at_test_size(experiment, arm):
    scores = measure(experiment, arm)
    wanted = {claim.metric for claim in CLAIMS if claim.experiment == experiment}
    assert wanted <= set(scores)


def test_exact_claims_hold():
    built, stated = measure("exact", "built"), measure("exact", "stated")
    assert built == stated


def test_arms_differ_only_in_what_they_compare():
    plain = _config(trial("xor", "concat", preset="demo"), epochs=20, fusion="concat")
    hyper = _config(trial("xor", "hyper", preset="demo"), epochs=20, fusion="hyper")
    assert dataclasses.replace(plain, fusion="hyper") == hyper


@pytest.mark.slow
@pytest.mark.claim
@pytest.mark.parametrize("seed", [2000, 2001])
def test_interaction_gate(seed):
    """HyperFusion learns the interaction, concatenation and the image alone do not."""
    scores = {
        arm: measure("xor", arm, preset="demo", seed=seed)["balanced_accuracy"]
        for arm in ("hyper", "concat", "image")
    }
    assert scores["hyper"] >= 0.75
    assert scores["concat"] <= 0.60
    assert scores["image"] <= 0.55
