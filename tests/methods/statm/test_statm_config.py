"""Settings: bounds, presets, and agreement with the parts that they choose among."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest

from visus.errors import InputError
from visus.methods.statm.baselines import KINDS
from visus.methods.statm.config import PRESETS, WITHOUT_WEIGHTS, Kind, Size, StatmConfig, check
from visus.methods.statm.estimator.building import predictor_of
from visus.methods.statm.model.video import SIZES


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_in_bounds(name):
    check(PRESETS[name])


def test_the_paper_presets_hold_the_published_values():
    small, plus = PRESETS["paper"], PRESETS["paper_plus"]
    for config, batch in ((small, 64), (plus, 32)):
        assert config.steps == 100_000
        assert round(config.warmup * config.steps) == 2500
        assert (config.learning_rate, config.clip_norm, config.clip_length) == (2e-4, 0.05, 6)
        assert config.batch_size == batch
        assert (config.predictor, config.fusion, config.time) == ("statm", "space_time_sum", "corresponding")
        assert config.time_positions is None
        assert config.buffer is None
        assert not config.pre_norm
    assert (small.image_size, small.max_instances, small.targets) == ((64, 64), 10, "flow")
    assert (plus.image_size, plus.max_instances, plus.targets) == ((128, 128), 23, "flow+depth")
    assert (small.crop, plus.crop) == (1.0, 0.75)


def test_the_choices_are_those_of_the_parts():
    assert get_args(Kind) == KINDS
    assert set(get_args(Size)) == set(SIZES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_predictor_is_built_and_those_without_weights_are_named(kind):
    predictor = predictor_of(StatmConfig(size="tiny", predictor=kind))
    assert predictor.size == SIZES["tiny"].slot
    assert (kind in WITHOUT_WEIGHTS) is (not list(predictor.parameters()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clip_length", 1),
        ("max_instances", 0),
        ("max_instances", 255),
        ("slots", 1),
        ("steps", 0),
        ("batch_size", 0),
        ("future_steps", -1),
        ("burn_in", 0),
        ("horizon", 0),
        ("clip_norm", -0.1),
        ("clip_norm", float("nan")),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("warmup", 1.0),
        ("validation", -0.1),
        ("crop", 0.0),
        ("crop", 1.5),
        ("buffer", 0),
        ("image_size", (64, 7)),
        ("future_image_weight", -1.0),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field, value):
    with pytest.raises(InputError) as caught:
        check(replace(StatmConfig(), **{field: value}))
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_predictor_without_weights_cannot_be_trained_for_roll_outs():
    check(StatmConfig(predictor="copy"))
    with pytest.raises(InputError, match="copy has no weights"):
        check(StatmConfig(predictor="copy", future_steps=5))


def test_settings_and_commands_need_no_torch():
    code = "import sys, visus.methods.statm.verbs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
