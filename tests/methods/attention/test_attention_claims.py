"""Claims are well formed, arms differ in nothing but what they declare, and every experiment runs."""

from __future__ import annotations

import re
from dataclasses import asdict, replace

import pytest
import torch

from visus.engine import Run
from visus.methods.attention import AttentionClassifier
from visus.methods.attention.claims import CLAIMS, EXPERIMENTS, digits, measures, reviews
from visus.methods.attention.claims.measures import (
    ARMS,
    IMAGE_CONFIGS,
    TEXT_CONFIGS,
    configured,
    equal_parameter_width,
    take_turns,
)
from visus.methods.attention.config import DEMO, PRESETS, SMOKE
from visus.methods.attention.figures import cost_figure, figures
from visus.methods.attention.model import count_parameters
from visus.protocols import Evidence, PaperEvidence, Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def measured(experiment: str, arm: str, *, preset: str = "smoke", seed: int = 0) -> dict[str, float]:
    run = Run(seed=seed, device="cpu", progress=False)
    trial = Trial(slug="attention", experiment=experiment, arm=arm, seed=seed, preset=preset)
    return BY_NAME[experiment].measure(trial, run)


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms)
        assert claim.statement
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh)
    assert AttentionClassifier.claims() == CLAIMS
    assert AttentionClassifier.experiments() == EXPERIMENTS


@pytest.mark.parametrize("configs", [IMAGE_CONFIGS, TEXT_CONFIGS])
def test_arms_share_everything_but_what_they_declare(configs):
    assert set(configs) == set(PRESETS)
    for base in configs.values():
        for arm, change in ARMS.items():
            before, after = asdict(base), asdict(configured(base, arm))
            changed = {key for key in before if before[key] != after[key]}
            allowed = set(change) | ({"width"} if arm == "standard_equal_parameters" else set())
            assert changed <= allowed


def test_equal_parameters_are_as_equal_as_heads_allow():
    wanted = count_parameters(replace(DEMO, kind="super"))
    width = equal_parameter_width(replace(DEMO, kind="super"))
    assert width % DEMO.num_heads == 0
    assert width < DEMO.width
    found = count_parameters(replace(DEMO, kind="standard", width=width))
    assert abs(found - wanted) / wanted < 0.05
    for other in (width - DEMO.num_heads, width + DEMO.num_heads):
        assert abs(count_parameters(replace(DEMO, kind="standard", width=other)) - wanted) >= abs(
            found - wanted
        )


def test_parts_of_the_data_do_not_overlap():
    train, test = digits("train", seed=3), digits("test", seed=3)
    assert (len(train), len(test)) == (900, 897)
    rows = torch.cat([train["image"], test["image"]]).flatten(1)
    assert len(torch.unique(rows, dim=0)) > 1790  # two pairs of the original pictures are nearly alike
    assert not set(reviews("train", n=300)["text"]) & set(reviews("test", n=300)["text"])


@pytest.mark.parametrize("experiment", ["digits", "baselines"])
def test_digits_are_measured_on_cuts_nobody_looked_at(experiment, monkeypatch):
    seeds = []

    def few(part, *, seed):
        seeds.append(seed)
        return digits(part, seed=seed).subset(range(40))

    shuffled = []
    monkeypatch.setattr(measures, "digits", few)
    monkeypatch.setattr(
        AttentionClassifier, "permuted_accuracy", lambda self, data, *, seed: shuffled.append(seed) or 0.0
    )
    measured(experiment, "efficient", seed=2)
    assert seeds == [102, 102]
    assert shuffled == [102]
    assert set(digits("test", seed=100)["target"]) == set(digits("test")["target"])
    assert not torch.equal(digits("test", seed=100)["image"], digits("test", seed=0)["image"])


def test_budgets_tell_every_preset():
    for experiment in EXPERIMENTS:
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in PRESETS), experiment.name
    told = BY_NAME["reviews"].budget
    for preset in PRESETS:
        assert f"{TEXT_CONFIGS[preset].length} words" in told
    assert "paper: as gpu" in BY_NAME["digits"].budget
    assert IMAGE_CONFIGS["paper"] == IMAGE_CONFIGS["gpu"]


def test_counts_are_exact():
    counts = {arm: measured("parameters", arm)["parameters"] for arm in BY_NAME["parameters"].arms}
    assert counts == {"standard": 4224, "optimized": 3168, "efficient": 2112, "super": 3168}
    standard, mixed = (measured("crossover", arm) for arm in ("standard", "super"))
    assert mixed["macs_below"] < standard["macs_below"]
    assert mixed["macs_at"] == standard["macs_at"]
    assert mixed["macs_beyond"] > standard["macs_beyond"]
    assert measured("conversion", "efficient")["distance"] < 1e-10
    assert measured("conversion", "standard")["distance"] == 0.0


@pytest.mark.claim
@pytest.mark.parametrize("name", ["digits", "reviews", "speed"])
def test_every_arm_is_measured(name):
    wanted = {claim.metric for claim in CLAIMS if claim.experiment == name}
    for arm in BY_NAME[name].arms:
        scores = measured(name, arm)
        assert wanted <= set(scores)
        assert all(torch.isfinite(torch.tensor(value)) for value in scores.values())


@pytest.mark.claim
def test_arms_of_the_gpu_comparison_are_measured():
    for arm in BY_NAME["baselines"].arms:
        assert "accuracy" in measured("baselines", arm)


def test_frozen_mixing_stays_as_it_started():
    source = digits("train").subset(range(120))
    run = Run(seed=0, device="cpu", progress=False)
    made = AttentionClassifier(configured(SMOKE, "super_frozen")).fit(source, run)
    with run.seeded("init"):
        fresh = AttentionClassifier(configured(SMOKE, "super_frozen"))
        fresh.classes_, fresh.pixels_ = made.classes_, made.pixels_
        fresh._build()
    assert torch.equal(made.model_.blocks[0].attention.wa, fresh.model_.blocks[0].attention.wa)
    assert not torch.equal(
        made.model_.blocks[0].attention.in_proj.weight, fresh.model_.blocks[0].attention.in_proj.weight
    )


def test_turns_time_what_they_call():
    calls = {"a": 0, "b": 0}

    def call(name):
        calls[name] += 1

    best = take_turns({"a": lambda: call("a"), "b": lambda: call("b")}, torch.device("cpu"), seconds=0.0)
    assert set(best) == {"a", "b"}
    assert calls["a"] == calls["b"] >= 7
    assert all(0 <= seconds < 1 for seconds in best.values())


def test_figures_are_drawings():
    claim = next(claim for claim in CLAIMS if claim.id == "super-better-digits")
    evidence = Evidence(
        claim=claim,
        arms={"super": [0.95, 0.96], "standard": [0.9, 0.91]},
        effect=0.05,
        interval=(0.04, 0.06),
        verdict="holds",
    )
    drawn = figures(PaperEvidence(slug="attention", arxiv="2403.01643", claims=[evidence]))
    assert [figure.name for figure in drawn] == ["attention-digits", "attention-cost"]
    for figure in drawn:
        assert figure.svg.startswith("<svg")
        assert figure.caption
        assert re.search(r"[\u4e00-\u9fff]", figure.caption_zh)
    assert cost_figure().svg == cost_figure().svg
    assert "127" in cost_figure(64).caption
