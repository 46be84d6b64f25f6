"""Settings: bounds, presets, and what `auto` stands for."""

from __future__ import annotations

import dataclasses

import pytest

from visus.errors import InputError
from visus.methods.alignment import AlignmentConfig
from visus.methods.alignment.config import PRESETS, check, similarity_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("penalty_weight", -1.0),
        ("init_scale", float("inf")),
        ("learning_rate", 0.0),
        ("start_rate", 0.0),
        ("start_rate", 1.5),
        ("batch_size", 0),
        ("epochs", 0),
        ("steps", 0),
        ("check_every", -1),
        ("patience", 0),
        ("min_delta", float("nan")),
        ("clip", -0.1),
        ("validation", 1.0),
        ("contrastive_weight", 1.2),
        ("contrastive_temperature", 0.0),
        ("contrastive_batch", 1),
        ("ridge_alphas", ()),
        ("ridge_alphas", (1.0, 0.0)),
        ("ridge_folds", 1),
        ("temperature", 0.0),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(name, value):
    with pytest.raises(InputError) as refusal:
        check(dataclasses.replace(AlignmentConfig(), **{name: value}))
    assert refusal.value.field == name
    assert refusal.value.remedy


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_are_within_bounds(name):
    check(PRESETS[name])


def test_the_published_probe_and_its_successor():
    paper, glocal = PRESETS["paper"], PRESETS["glocal"]
    assert (paper.penalty, paper.init, paper.init_scale, paper.batch_size, paper.epochs, paper.patience) == (
        *("fro", "gaussian", 1e-3, 256, 100, 10),
    )
    assert (paper.optimizer, paper.learning_rate, paper.clip, paper.min_delta) == ("adam", 1e-3, 1.0, 1e-4)
    assert (glocal.aligner, glocal.penalty, glocal.init, glocal.optimizer) == (
        "glocal",
        "identity",
        "identity",
        "sgd",
    )
    assert (glocal.contrastive_weight, glocal.contrastive_temperature, glocal.penalty_weight) == (
        0.25,
        0.1,
        1.0,
    )
    assert glocal.start_rate == pytest.approx(1 / 3)


def test_a_learned_map_is_compared_by_dot_product_and_features_by_cosine():
    found = {
        name: similarity_of(AlignmentConfig(aligner=name))
        for name in ("probe", "glocal", "ridge", "center", "none")
    }
    assert found == {"probe": "dot", "glocal": "dot", "ridge": "dot", "center": "cosine", "none": "cosine"}
    assert similarity_of(AlignmentConfig(similarity="euclidean")) == "euclidean"
