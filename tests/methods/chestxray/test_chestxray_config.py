"""Settings of the reader: bounds, presets, classes and their weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.methods.chestxray.config import PRESETS, ChestXrayConfig, check
from visus.methods.chestxray.estimator import build, view_of
from visus.methods.chestxray.estimator.classes import class_weights, encode, learn
from visus.records import from_yaml, to_yaml


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_legal_and_survive_yaml(preset: str) -> None:
    check(PRESETS[preset])
    assert from_yaml(ChestXrayConfig, to_yaml(PRESETS[preset])) == PRESETS[preset]


def test_the_published_settings_are_those_of_the_released_code() -> None:
    paper = PRESETS["paper"]
    assert paper.image_size == (640, 512)
    assert (paper.network, paper.backbone, paper.base_channels) == ("dual", "densenet201", 64)
    assert (paper.contrastive_epochs, paper.classify_epochs) == (50, 10)
    assert (paper.saliency_epochs, paper.final_epochs) == (50, 40)
    assert (paper.contrastive_batch, paper.batch_size, paper.final_batch) == (32, 16, 6)
    assert (paper.learning_rate, paper.weighting, paper.margin) == (1e-4, "uncertainty", 1.0)
    assert (paper.hidden, paper.dropout) == (64, 0.25)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_channels", 0),
        ("hidden", 0),
        ("batch_size", 1),
        ("contrastive_batch", 1),
        ("final_batch", 1),
        ("contrastive_epochs", -1),
        ("plateau", -1),
        ("margin", float("nan")),
        ("saliency_weight", float("inf")),
        ("learning_rate", 0.0),
        ("dense_rate", -1.0),
        ("temperature", 0.0),
        ("dropout", 1.0),
        ("validation", 1.0),
        ("image_size", (0, 8)),
        ("contrastive_size", (8, 0)),
        ("sigma_px", -1.0),
        ("patience", 0),
        ("classes", ("a", "a")),
        ("class_weights", {"a": -1.0}),
        ("class_weights", {"a": 0, "b": 0}),
        ("backbone", "densenet"),
        ("backbone_weights", "imagenet"),
        ("backbone_weights", "absent.pth"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        check(dataclasses.replace(ChestXrayConfig(), **{field: value}))


def test_networks_without_a_dense_encoder_may_name_any() -> None:
    for network in ("mtunet", "unet", "res_se"):
        check(ChestXrayConfig(network=network, backbone="densenet"))
    check(ChestXrayConfig(backbone="efficientnet_lite0", backbone_weights="imagenet"))


def test_the_view_follows_the_settings() -> None:
    config = ChestXrayConfig(image_size=(20, 10), fit="stretch", sigma_px=3.0, gaze_weight="count")
    view = view_of(config)
    assert (view.image_size, view.fit, view.sigma_px, view.weight) == ((20, 10), "stretch", 3.0, "count")


@pytest.mark.parametrize("network", ["dual", "mtunet", "unet", "res_se", "dense", "gaze_mtl"])
def test_every_network_is_built_and_its_groups_hold_every_parameter_once(network: str) -> None:
    config = dataclasses.replace(PRESETS["smoke"], network=network)
    net: Any = build(config, 3)
    held = [id(w) for group in net.groups().values() for part in group for w in part.parameters()]
    assert sorted(held) == sorted(id(w) for w in net.parameters())
    reading = net.eval()(torch.rand(2, 1, 64, 64))
    assert (reading.logits is None) is (network == "unet")
    assert (reading.log_density is None) is (network in ("dense", "gaze_mtl"))


def test_the_ablation_leaves_the_decoder_out_of_the_diagnosis() -> None:
    config = dataclasses.replace(PRESETS["smoke"], fuse_decoder=False)
    whole: Any = build(PRESETS["smoke"], 3)
    alone: Any = build(config, 3)
    image = torch.rand(2, 1, 64, 64)
    for net, moves in ((whole, True), (alone, False)):
        net.eval()
        before = net(image).logits
        with torch.no_grad():
            for weight in net.decoder.parameters():
                weight.add_(torch.rand_like(weight))
        assert torch.equal(net(image).logits, before) is not moves


def test_classes_keep_the_order_asked_for() -> None:
    values = ["pneumonia", "Normal", "CHF", "CHF"]
    assert learn(values, ()) == ("CHF", "Normal", "pneumonia")
    assert learn(values, ("Normal", "CHF", "pneumonia")) == ("Normal", "CHF", "pneumonia")
    assert encode(values, ("Normal", "CHF", "pneumonia")).tolist() == [2, 0, 1, 1]
    assert encode([1.0, 0], ("0", "1")).tolist() == [1, 0]
    with pytest.raises(InputError, match="'CHF' is not among the classes"):
        learn(values, ("Normal", "pneumonia"))
    with pytest.raises(InputError, match="same class"):
        learn(["a", "a"], ())
    with pytest.raises(InputError, match="item 2"):
        encode(["CHF", "zebra"], ("CHF", "Normal"))


def test_class_weights_are_the_formula() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    assert class_weights("none", labels, "abc") is None
    found = class_weights("balanced", labels, "abc")
    assert found is not None
    torch.testing.assert_close(found, torch.tensor([6 / 9, 6 / 3, 6 / 6]))
    given = class_weights({"b": 2, "a": 1, "c": 0.5}, labels, "abc")
    assert given is not None
    assert given.tolist() == [1.0, 2.0, 0.5]
    with pytest.raises(InputError, match="no weight for class 'c'"):
        class_weights({"a": 1, "b": 1}, labels, "abc")
    with pytest.raises(InputError, match="'d' is no class"):
        class_weights({"a": 1, "b": 1, "c": 1, "d": 1}, labels, "abc")
