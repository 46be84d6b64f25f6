"""Bounds of the settings, and what the package offers."""

import dataclasses

import pytest
import torch

import visus.methods.hyperfusion as package
import visus.nn.hyper
from visus.data.image_table import ImageTable
from visus.engine import Run
from visus.errors import InputError
from visus.methods.hyperfusion import HyperFusion, HyperFusionConfig, cross_validate
from visus.methods.hyperfusion.config import PRESETS, check

WRONG = [
    {"width": 0},
    {"blocks": 0},
    {"embedding": 0},
    {"epochs": 0},
    {"embedding_epochs": -1},
    {"batch_size": 0},
    {"check_every": 0},
    {"trees": 0},
    {"dropout": -0.1},
    {"dropout": 1 / 0.6},
    {"dropout": float("nan")},
    {"dropout": 5.0, "position": "paper_age"},
    {"learning_rate": 0.0},
    {"learning_rate": float("inf")},
    {"weight_decay": -1e-6},
    {"validation": 1.0},
    {"validation": -0.1},
    {"variance": 0.0},
    {"class_weights": {"a": -1, "b": 1}},
    {"class_weights": {"a": 0, "b": 0.0}},
    {"flips": (0, -1)},
    {"hemispheres": -1},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_out_of_bounds_are_refused_before_anything_is_written(wrong, tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], **wrong)
    data = HyperFusion.example("train")
    for train in (HyperFusion(config).fit, lambda data, run: cross_validate(config, data, run=run)):
        with pytest.raises(InputError) as caught:
            train(data, Run(tmp_path / "run", progress=False))
        assert caught.value.field.split(".")[0] == next(iter(wrong))
        assert caught.value.remedy
        assert list((tmp_path / "run").iterdir()) == []


def test_bounds_themselves_and_all_presets_are_allowed():
    for config in PRESETS.values():
        check(config)
    check(HyperFusionConfig(dropout=1.66, validation=0.0, weight_decay=0.0, class_weights={"a": 0, "b": 1}))
    check(HyperFusionConfig(dropout=4.9, position="paper_age", flips=(0, 1), hemispheres=0))


@pytest.mark.parametrize("axes", [{"flips": (2,)}, {"flips": (0, 5)}, {"hemispheres": 2}])
def test_axes_that_the_images_lack_are_refused(axes, tmp_path):
    config = dataclasses.replace(PRESETS["smoke"], **axes)
    with pytest.raises(InputError, match="not one of 2 spatial axes") as caught:
        HyperFusion(config).fit(HyperFusion.example("train"), Run(tmp_path / "run", progress=False))
    assert caught.value.field == next(iter(axes))
    assert list((tmp_path / "run").iterdir()) == []


def test_flips_along_every_spatial_axis_train():
    config = dataclasses.replace(PRESETS["smoke"], flips=(0, 1), epochs=1)
    data: ImageTable = HyperFusion.example("train").subset(range(40))
    assert HyperFusion(config).fit(data).predict(data)["probabilities"].shape == (40, 2)


def test_the_layers_are_offered_beside_the_estimator():
    for name in ("hyperize", "HyperLinear", "HyperConv1d", "HyperConv2d", "HyperConv3d"):
        assert getattr(package, name) is getattr(visus.nn.hyper, name)
    assert len(package.__all__) <= 8
    assert all(hasattr(package, name) for name in package.__all__)
    assert package.HyperLinear(3, 2, cond_dim=4)(torch.zeros(5, 3), torch.zeros(5, 4)).shape == (5, 2)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = package.HyperConv4d
