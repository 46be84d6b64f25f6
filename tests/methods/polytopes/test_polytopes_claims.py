"""Claims are declared soundly, arms differ in what they compare, and every experiment runs."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from visus.engine import Run
from visus.methods.polytopes import Polytopes, census
from visus.methods.polytopes.claims import CLAIMS, EXPERIMENTS, measures
from visus.methods.polytopes.claims.data import BIAS, INITS, WIDTHS, network, scaled
from visus.methods.polytopes.claims.laws import LAWS
from visus.methods.polytopes.claims.measures import (
    SPACE,
    covered,
    farthest_crossing,
    line_scores,
    shape_scores,
)
from visus.methods.polytopes.claims.trained import CONFIGS, REGULARIZERS, WIDE
from visus.methods.polytopes.config import PRESETS
from visus.protocols import Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
NOT_IN_SMOKE = {"regularizers", "large"}


def measured(experiment: str, arm: str, *, seed: int = 0, preset: str = "smoke") -> dict[str, float]:
    trial = Trial(slug="polytopes", experiment=experiment, arm=arm, seed=seed, preset=preset)
    return BY_NAME[experiment].measure(trial, Run(seed=seed, device="cpu", progress=False))


# ---- declarations -----------------------------------------------------------------------------------------


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.statement.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh), claim.id
        assert bool(claim.caveat) == bool(claim.caveat_zh), claim.id
        assert claim.exact == (claim in LAWS)
    assert Polytopes.claims() == CLAIMS
    assert Polytopes.experiments() == EXPERIMENTS


def test_statements_say_that_the_mean_carries_no_information():
    means = [claim for claim in CLAIMS if claim.metric in ("mean_facets", "mean_sides")]
    assert {claim.experiment for claim in means} >= {"plane", "initialization", "depth", "whole_space"}
    assert sum("carries no information" in claim.statement for claim in means) >= 5


def test_every_arm_is_compared_and_every_preset_told():
    used = {(claim.experiment, arm) for claim in CLAIMS for arm in (claim.candidate, claim.reference)}
    for experiment in EXPERIMENTS:
        assert {(experiment.name, arm) for arm in experiment.arms} <= used, experiment.name
        assert set(experiment.seeds) == set(PRESETS)
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in PRESETS), experiment.name
        assert (experiment.seeds["demo"] == 0) == (experiment.name in NOT_IN_SMOKE)
        assert experiment.seeds["demo"] in (0, 5)


def test_budgets_tell_the_sizes_that_are_measured():
    for preset, widths in WIDTHS.items():
        told = "-".join(map(str, widths))
        assert told in BY_NAME["bias"].budget
        assert told in BY_NAME["initialization"].budget
        trained = "-".join(map(str, (3, *CONFIGS[preset].hidden)))
        assert trained in BY_NAME["training"].budget
        assert f"{CONFIGS[preset].epochs} epochs" in BY_NAME["training"].budget
        assert f"width {measures.DEPTH_WIDTH[preset]}" in BY_NAME["depth"].budget
    assert "-".join(map(str, measures.LARGE)) in BY_NAME["large"].budget


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


def test_arms_of_a_training_change_one_thing():
    plain = dataclasses.asdict(CONFIGS["gpu"])
    for change in REGULARIZERS.values():
        changed = dataclasses.asdict(dataclasses.replace(CONFIGS["gpu"], **change))
        assert sum(plain[key] != changed[key] for key in plain) == 1
    assert CONFIGS["paper"] == CONFIGS["gpu"]
    assert all(config.bias == BIAS for config in CONFIGS.values())
    assert WIDE > 10 * BIAS
    assert len(set(CONFIGS["gpu"].hidden)) == 1  # a shortcut needs equal widths


# ---- networks ---------------------------------------------------------------------------------------------


def test_networks_start_as_they_say():
    limits = {"xavier_uniform": math.sqrt(6 / 43), "kaiming": math.sqrt(6 / 3)}
    for init in INITS:
        model = network((3, 40, 20), init=init, bias=0.1, seed=3)
        layers = [part for part in model if isinstance(part, nn.Linear)]
        assert [layer.weight.shape for layer in layers] == [(40, 3), (20, 40), (1, 20)]
        assert all((layer.bias == layer.bias[0]).all() for layer in layers)
        assert layers[0].bias[0].item() == pytest.approx(0.1)
        weight = layers[0].weight.detach()
        if init in limits:
            assert 0.9 * limits[init] < weight.abs().max() <= limits[init]
        elif init == "orthogonal":
            assert torch.allclose(weight.T @ weight, torch.eye(3).double(), atol=1e-5)
        else:
            assert weight.std().item() == pytest.approx(math.sqrt(2 / 43), rel=0.2)
        assert torch.equal(weight, network((3, 40, 20), init=init, seed=3)[0].weight)
        assert not torch.equal(weight, network((3, 40, 20), init=init, seed=4)[0].weight)


def test_scaling_is_exact():
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).double()
    one, three = network((3, 9, 5), bias=0.2), scaled(network((3, 9, 5), bias=0.2), 3.0)
    assert torch.allclose(3 * one(points / 3), three(points))


def test_the_box_of_all_of_space_is_beyond_every_vertex():
    model = network(SPACE["one_layer"], init="kaiming", bias=0.1, seed=2)
    found = covered(model, Run(device="cpu", progress=False))
    corners = found.lattice.points.abs()
    inner = corners[corners.max(1).values < corners.max()]
    assert inner.max() == pytest.approx(farthest_crossing(model), rel=1e-9)
    weight, bias = model[0].weight.detach().numpy(), model[0].bias.detach().numpy()
    slow = max(
        np.abs(np.linalg.solve(weight[list(rows)], -bias[list(rows)])).max()
        for rows in itertools.combinations(range(14), 3)
    )
    assert farthest_crossing(model) == pytest.approx(slow)


# ---- measures ---------------------------------------------------------------------------------------------


def test_scores_of_shapes_are_what_their_names_say():
    found = census(network((3, 8, 5), bias=0.1), (-1.0, 1.0))
    scores = shape_scores(found.tally("pull"))
    assert scores["num_cells"] == found.num_cells
    assert scores["share_simple"] == pytest.approx((found.num_simplices("pull") <= 7).double().mean().item())
    assert scores["mean_facets"] == pytest.approx(found.num_facets.double().mean().item())
    lines = line_scores(torch.tensor([3, 4, 3, 6]), torch.tensor([1.0, 1.0, 1.0, 5.0]).double())
    assert lines == {"sides_by_volume": pytest.approx(5.0), "triangles": 0.5}


@pytest.mark.parametrize("claim", LAWS, ids=lambda claim: claim.id)
@pytest.mark.parametrize("seed", [50, 51])
def test_laws_hold_on_instances_of_their_own(claim, seed):
    """Seeds are not those of any preset."""
    effect = (
        measured(claim.experiment, claim.candidate, seed=seed)[claim.metric]
        - measured(claim.experiment, claim.reference, seed=seed)[claim.metric]
    )
    if claim.direction == "equal":
        assert abs(effect) < 1e-12
    else:
        assert effect < 0


@pytest.mark.parametrize(
    ("experiment", "arm"),
    [(e.name, arm) for e in EXPERIMENTS if e.name not in NOT_IN_SMOKE for arm in e.arms],
)
def test_every_arm_runs_at_test_size(experiment, arm):
    scores = measured(experiment, arm)
    wanted = {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }
    assert wanted <= set(scores)
    assert all(math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("arm", BY_NAME["regularizers"].arms)
def test_regularizers_are_measured(arm, monkeypatch):
    monkeypatch.setitem(CONFIGS, "gpu", dataclasses.replace(CONFIGS["smoke"], hidden=(6, 6)))
    monkeypatch.setitem(measures.POINTS, "gpu", 100)
    monkeypatch.setattr("visus.methods.polytopes.claims.trained.POINTS", {"gpu": 100})
    scores = measured("regularizers", arm, preset="gpu")
    assert scores["num_cells"] > 1
    assert 0 < scores["share_simple"] <= 1


def test_large_networks_are_streamed(monkeypatch):
    monkeypatch.setattr(measures, "LARGE", (3, 9, 6))
    found = measured("large", "deep", preset="gpu")
    kept = census(network((3, 9, 6)), (-1.0, 1.0))
    assert found == pytest.approx(shape_scores(kept.tally("pull")))
    assert measured("large", "stated", preset="gpu") == {"share_simple": 0.5}


def test_training_is_compared_with_its_own_start():
    start, after = (measured("training", arm, seed=3) for arm in ("start", "trained"))
    assert start["distance"] == start["distance_by_volume"] == 0
    assert after["distance"] > 0
    assert start["num_cells"] != after["num_cells"]
    wide = measured("training", "start_wide", seed=3)
    assert wide["num_cells"] < start["num_cells"]
