"""The image side: its formula, its noise, its two kinds of masks, and frozen networks from folders."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.nsi.losses import reconstruction
from visus.methods.nsi.model import FrozenBackbone, feature_slots, picture_slots, segment


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def features_model(**options):
    settings = {"features": 6, "cells": (3, 4), "count": 3, "size": 8, "joint": 5, "hidden": (7,), **options}
    model = feature_slots(**settings).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def pictures_model(**options):
    settings = {
        "image": (16, 24),
        "count": 3,
        "size": 8,
        "joint": 5,
        "channels": 6,
        "cells": (4, 6),
        **options,
    }
    return picture_slots(**settings).eval()


def norm(layer, x):
    return F.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)


def test_features_to_joint_space_is_its_formula():
    model, features = features_model(), torch.randn(2, 12, 6, dtype=torch.float64)
    seeds = [4, 9]
    out = model(features, seeds=seeds, decode=True)
    for item in range(2):
        first, _, last = model.tokens.mlp
        tokens = F.linear(F.linear(norm(model.tokens.norm, features[item]), first.weight, first.bias).relu(),
                          last.weight, last.bias)  # fmt: skip
        noise = torch.randn(
            (1, 3, 8), generator=torch.Generator().manual_seed(seeds[item]), dtype=torch.float64
        )[0]
        slots = model.start.mean[0] + model.start.log_sigma[0].exp() * noise
        part = model.attention
        inputs = norm(part.norm_features, tokens)
        keys, values = inputs @ part.to_key.weight.T, inputs @ part.to_value.weight.T
        for _ in range(3):
            queries = norm(part.norm_slots, slots) @ part.to_query.weight.T
            attention = (queries @ keys.T / math.sqrt(8)).softmax(0)
            weights = attention + 1e-8
            slots = part.gru((weights / weights.sum(1, keepdim=True)) @ values, slots)
            inner, _, outer = part.mlp
            hidden = F.linear(norm(part.norm_mlp, slots), inner.weight, inner.bias).relu()
            slots = slots + F.linear(hidden, outer.weight, outer.bias)
        e = slots @ model.head.project.weight.T
        inner, _, outer = model.head.mlp
        e = e + F.linear(F.linear(norm(model.head.norm, e), inner.weight, inner.bias).relu(),
                         outer.weight, outer.bias)  # fmt: skip
        torch.testing.assert_close(out.slots[item], slots, atol=1e-9, rtol=0)
        torch.testing.assert_close(out.attention[item], attention, atol=1e-9, rtol=0)
        torch.testing.assert_close(out.embeddings[item], e, atol=1e-9, rtol=0)
        decoder = model.decoder
        logits, parts = [], []
        for slot in slots:
            hidden = decoder.first(slot + decoder.embedding()).relu()
            logits.append(decoder.alpha(hidden)[:, 0])
            parts.append(decoder.readout(hidden))
        alpha = torch.stack(logits).softmax(0)
        want = (alpha[..., None] * torch.stack(parts)).sum(0)
        torch.testing.assert_close(out.decoded.output[item], want, atol=1e-9, rtol=0)


def test_both_kinds_of_masks_sum_to_one_over_slots():
    images = torch.rand(2, 3, 16, 24)
    for decoder, grid in (("mlp", (4, 6)), ("broadcast", (16, 24))):
        model = pictures_model(decoder=decoder)
        out = model(images, decode=True)
        masks = {
            "decoder": model.decoder_masks(out.decoded),
            "attention": model.attention_masks(out.attention, images),
        }
        assert masks["decoder"].shape == (2, 3, *grid)
        assert masks["attention"].shape == (2, 3, 4, 6)
        for mask in masks.values():
            torch.testing.assert_close(mask.sum(1), torch.ones_like(mask[:, 0]))
            labels = segment(mask, size=(16, 24))
            assert labels.shape == (2, 16, 24)
            assert labels.max() < 3
        target = model.target(images)
        assert target.shape == out.decoded.output.shape
        reconstruction(out.decoded.output, target).backward()


def test_pixel_target_is_the_mean_over_cells():
    images = torch.rand(1, 3, 16, 24)
    target = pictures_model().target(images)
    torch.testing.assert_close(target[0, 7], images[0, :, 4:8, 4:8].mean((1, 2)))


def test_segment_takes_the_greatest_after_resizing():
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0, :, 0], masks[0, 1, :, 1] = 1.0, 1.0
    assert segment(masks, size=(4, 8))[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("make", [pictures_model, features_model])
def test_an_item_does_not_depend_on_its_batch_or_the_call(make):
    model = make()
    inputs = torch.rand(4, 3, 16, 24) if make is pictures_model else torch.rand(4, 12, 6, dtype=torch.float64)
    for seeds in (None, [3, 1, 4, 1]):
        together = model(inputs, seeds=seeds).slots
        assert torch.equal(together, model(inputs, seeds=seeds).slots)
        alone = torch.cat(
            [model(inputs[i : i + 1], seeds=seeds and seeds[i : i + 1]).slots for i in range(4)]
        )
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert not torch.equal(model(inputs).slots, model(inputs, seeds=[3, 1, 4, 1]).slots)
    torch.manual_seed(99)  # the global generator has no say
    assert torch.equal(model(inputs).slots, model(inputs).slots)


def test_training_noise_is_independent_and_from_the_generator():
    model, images = pictures_model(), torch.rand(1, 3, 16, 24).expand(2, -1, -1, -1)
    one, other = (model(images, generator=torch.Generator().manual_seed(5)).slots for _ in range(2))
    assert torch.equal(one, other)
    assert (one[0] - one[1]).abs().max() > 1e-3  # two items of one batch
    shared = model(images).slots
    torch.testing.assert_close(shared[0], shared[1])


def test_any_picture_size_and_a_single_slot():
    model = pictures_model(count=1)
    out = model(torch.rand(1, 3, 17, 30), decode=True)
    assert out.attention.shape[-1] == math.prod(model.tokens.grid(17, 30))
    assert model.decoder_masks(out.decoded).min() == 1


def test_every_parameter_gets_a_gradient():
    for make, inputs in (
        (pictures_model, torch.rand(2, 3, 16, 24)),
        (features_model, torch.rand(2, 12, 6).double()),
    ):
        model = make().train()
        out = model(inputs, generator=torch.Generator().manual_seed(0), decode=True)
        loss = reconstruction(out.decoded.output, model.target(inputs)) + out.embeddings.square().sum()
        loss.backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: features_model()(torch.zeros(1, 11, 6).double()), "features: are 11 tokens of width 6.*12"),
        (
            lambda: pictures_model(decoder="none")(torch.zeros(1, 3, 16, 24), decode=True),
            "there is no decoder",
        ),
        (lambda: pictures_model()(torch.zeros(2, 3, 16, 24), seeds=[1]), "seeds: has 1 numbers for 2 items"),
        (lambda: pictures_model(decoder="cnn"), "decoder: is 'cnn'"),
    ],
)
def test_refusals(run, message):
    with pytest.raises(InputError, match=message):
        run()


# ---- frozen networks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A tiny real ViT in an ordinary model folder: 12 px, patches of 4, width 8."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(1)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(image_size=12, patch_size=4, **sizes)
    transformers.ViTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def registers(tmp_path_factory):
    """A tiny DINOv2 with four registers beside its class token."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("dino")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Dinov2WithRegistersConfig(
        image_size=12, patch_size=4, num_register_tokens=4, **sizes
    )
    transformers.Dinov2WithRegistersModel(config).save_pretrained(folder)
    return folder


def test_frozen_features_are_the_networks_patch_tokens(vit):
    from transformers import ViTModel

    backbone, images = FrozenBackbone(vit), torch.rand(2, 3, 12, 12)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    reference = ViTModel.from_pretrained(vit).eval()
    with torch.no_grad():
        want = reference(pixel_values=(images - mean) / std).last_hidden_state[:, 1:]
    found = backbone(images)
    torch.testing.assert_close(found, want, atol=1e-5, rtol=0)
    assert (backbone.features, backbone.cells, backbone.size) == (8, (3, 3), 12)
    assert not found.requires_grad
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not backbone.train().training
    assert not backbone.network.training


def test_registers_are_left_out(registers):
    from transformers import Dinov2WithRegistersModel

    backbone, images = FrozenBackbone(registers), torch.rand(1, 3, 12, 12)
    pixels = (images - backbone.mean) / backbone.std
    with torch.no_grad():
        hidden = (
            Dinov2WithRegistersModel.from_pretrained(registers).eval()(pixel_values=pixels).last_hidden_state
        )
    assert hidden.shape[1] == 1 + 4 + 9
    torch.testing.assert_close(backbone(images), hidden[:, 5:], atol=1e-5, rtol=0)


def test_pictures_of_any_size_are_resized_and_cropped(vit):
    backbone = FrozenBackbone(vit)
    assert backbone(torch.rand(2, 3, 30, 47)).shape == (2, 9, 8)
    # a wide picture: the middle counts, the flanks do not
    images = torch.rand(1, 3, 12, 20)
    flanks = images.clone()
    flanks[..., :4], flanks[..., -4:] = 0.0, 1.0
    assert torch.equal(backbone(images), backbone(flanks))
    torch.testing.assert_close(backbone(images), backbone(images[..., 4:16]))
    large = FrozenBackbone(vit, size=20)
    assert (large.cells, large(images).shape) == ((5, 5), (1, 25, 8))


def test_the_folder_says_how_to_normalize(vit, tmp_path):
    plain = FrozenBackbone(vit)
    for file in vit.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    record = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"height": 16, "width": 16}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    other = FrozenBackbone(tmp_path)
    assert (other.mean.flatten().tolist(), other.std.flatten().tolist()) == ([0.5] * 3, [0.25] * 3)
    assert (other.size, other.cells) == (16, (4, 4))
    assert other.fingerprint() != plain.fingerprint()
    assert plain.fingerprint() == FrozenBackbone(vit).fingerprint()
    record["image_mean"] = [0.5]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"preprocessor_config.json: image_mean: is"):
        FrozenBackbone(tmp_path)


def test_frozen_features_feed_the_slots(vit):
    backbone = FrozenBackbone(vit)
    model = feature_slots(features=backbone.features, cells=backbone.cells, count=2, size=8, hidden=(7,))
    images = torch.rand(2, 3, 24, 24)
    features = backbone(images)
    out = model(features, decode=True)
    assert torch.equal(model.target(features), features)
    assert model.decoder_masks(out.decoded).shape == model.attention_masks(out.attention, features).shape
    model.tokens.mlp[0].weight.grad = None
    out.embeddings.sum().backward()
    assert model.tokens.mlp[0].weight.grad.any()


def test_folders_that_are_no_backbones(vit, tmp_path):
    with pytest.raises(InputError, match="is not a folder with a Hugging Face model"):
        FrozenBackbone(tmp_path)
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    with pytest.raises(InputError, match="cannot be read"):
        FrozenBackbone(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((vit / "model.safetensors").read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        FrozenBackbone(tmp_path)
    weights = load_file(vit / "model.safetensors")
    lost = sorted(name for name in weights if "layer" in name)[0]
    kept = {name: weight for name, weight in weights.items() if name != lost}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lacks 1 weights of the network"):
        FrozenBackbone(tmp_path)
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=11, **sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="bert: gives no feature tokens"):
        FrozenBackbone(tmp_path / "bert")
