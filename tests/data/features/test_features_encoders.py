"""Encoders of models in folders, against the models called by hand."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import noise, save_clip, save_siglip, save_tokenizer, save_vit

from visus.data.features import Preparation, TowerEncoder, TruncationWarning, extract, open_encoder
from visus.data.features.encoders.towers import _features
from visus.errors import InputError

pytest.importorskip("transformers")
PICTURES = noise((20, 30), (16, 16), (33, 17))
TEXTS = ["a photo of a dog", "the red bird", "cat"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "clip": save_clip(root / "clip"),
        "siglip": save_siglip(root / "siglip"),
        "vit": save_vit(root / "vit"),
        "headless": save_vit(root / "headless", pooling=False),
    }


def by_hand(folder: Path):
    """The model and its inputs by the library's own classes."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    model = AutoModel.from_pretrained(folder).eval()
    clip = model.config.model_type == "clip"
    processor = (CLIPImageProcessorPil if clip else SiglipImageProcessorPil).from_pretrained(folder)
    pixels = processor(PICTURES, return_tensors="pt")["pixel_values"].float()
    return model, AutoTokenizer.from_pretrained(folder), pixels


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_towers_give_what_the_model_gives(folders, name):
    model, tokenizer, pixels = by_hand(folders[name])
    encoder = open_encoder(folders[name])
    assert isinstance(encoder, TowerEncoder)
    rows = []
    for text in TEXTS:  # one by one, padded as the model was trained
        ids = tokenizer(text)["input_ids"]
        ids += [] if name == "clip" else [3] * (8 - len(ids))
        with torch.no_grad():
            rows.append(model.get_text_features(torch.tensor([ids])).pooler_output)
    with torch.no_grad():
        seen = model.get_image_features(pixels).pooler_output
    texts, images = encoder.texts(TEXTS), encoder.images(PICTURES)
    assert torch.allclose(texts, torch.cat(rows), atol=1e-6)
    assert torch.allclose(images, seen, atol=1e-5)
    assert encoder.width == texts.shape[1] == images.shape[1]
    assert texts.dtype == torch.float32
    assert encoder.max_tokens == 8
    assert encoder.logit_scale == pytest.approx(torch.tensor(1.5 if name == "clip" else 0.5).exp().item())
    assert encoder.logit_bias == (0.0 if name == "clip" else -2.0)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_the_whole_model_agrees_with_its_two_towers(folders, name):
    """Scaled cosines of the two embeddings are the logits of the model's own forward."""
    model, tokenizer, pixels = by_hand(folders[name])
    padding = "longest" if name == "clip" else "max_length"
    made = tokenizer(TEXTS, padding=padding, return_tensors="pt", max_length=8)
    if name == "siglip":
        made = {"input_ids": made["input_ids"]}
    else:
        made = {key: made[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        logits = model(pixel_values=pixels, **made).logits_per_image
    encoder = open_encoder(folders[name])
    left, right = (torch.nn.functional.normalize(x) for x in (encoder.images(PICTURES), encoder.texts(TEXTS)))
    ours = encoder.logit_scale * left @ right.T + encoder.logit_bias
    assert torch.allclose(ours, logits, atol=1e-5)


def test_older_versions_return_the_embeddings_themselves():
    class Found:
        pooler_output = torch.ones(2, 3)

    assert _features(Found()) is Found.pooler_output
    assert _features(Found.pooler_output) is Found.pooler_output


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_cut_texts_are_told_and_keep_their_end_token(folders, name):
    encoder = open_encoder(folders[name])
    long = "a photo of the big red dog on the mat"
    assert encoder.count_tokens(long) == (12 if name == "clip" else 11)
    with pytest.warns(TruncationWarning, match="1 of 2 texts are longer than 8 tokens"):
        rows = encoder.texts([long, "cat"])
    kept = " ".join(long.split()[: 6 if name == "clip" else 7])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.allclose(rows, encoder.texts([kept, "cat"]), atol=1e-6)


def test_extraction_tells_of_cut_texts_once(folders, tmp_path):
    from visus.data.features import FeatureCache

    encoder = open_encoder(folders["clip"])
    texts = [f"{word} photo of the big red dog on mat" for word in ("a", "the", "big", "cat", "bird")]
    cache = FeatureCache(tmp_path / "cache")
    for _ in range(2):  # the second time from the cache
        with pytest.warns(TruncationWarning) as caught:
            extract(encoder, [*texts, "cat", texts[0]], kind="texts", batch_size=2, cache=cache)
        assert [str(w.message).split(":")[0] for w in caught] == ["5 of 6 texts are longer than 8 tokens"]


def test_vision_models_and_their_layers(folders):
    from transformers import ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    model = ViTModel.from_pretrained(folders["vit"]).eval()
    processor = ViTImageProcessorPil.from_pretrained(folders["vit"])
    pixels = processor(PICTURES, return_tensors="pt")["pixel_values"].float()
    with torch.no_grad():
        found = model(pixels, output_hidden_states=True)
    expected = {
        None: found.last_hidden_state[:, 0],
        "class": found.last_hidden_state[:, 0],
        "mean": found.last_hidden_state.mean(1),
        "pooled": found.pooler_output,
        "embeddings": found.hidden_states[0][:, 0],
    }
    identities = set()
    for layer, rows in expected.items():
        encoder = open_encoder(folders["vit"], layer=layer)
        assert torch.allclose(encoder.images(PICTURES), rows, atol=1e-5), layer
        assert encoder.width == 16
        identities.add(encoder.identity)
    assert len(identities) == 4  # None and class are one setting


def test_a_pooling_head_that_was_not_saved_is_not_used(folders):
    first, second = (open_encoder(folders["headless"]) for _ in range(2))
    assert first.identity == second.identity
    assert torch.equal(first.images(PICTURES), second.images(PICTURES))
    with pytest.raises(InputError, match="saved without its pooling head"):
        open_encoder(folders["headless"], layer="pooled")


def test_the_vision_tower_alone(folders):
    model, _, pixels = by_hand(folders["clip"])
    with torch.no_grad():
        found = model.vision_model(pixels)
    encoder = open_encoder(folders["clip"], layer="pooled")
    assert torch.allclose(encoder.images(PICTURES), found.pooler_output, atol=1e-5)
    assert not hasattr(encoder, "texts")
    mean = open_encoder(folders["siglip"], layer="mean")
    assert mean.images(PICTURES).shape == (3, 16)
    with pytest.raises(InputError, match="no token for"):
        open_encoder(folders["siglip"], layer="class")


def test_a_picture_does_not_depend_on_its_batch(folders):
    encoder = open_encoder(folders["clip"])
    together = encoder.images(PICTURES)
    alone = torch.cat([encoder.images([picture]) for picture in PICTURES])
    assert torch.allclose(together, alone, atol=1e-6)
    texts = encoder.texts(TEXTS)
    assert torch.allclose(texts, torch.cat([encoder.texts([text]) for text in TEXTS]), atol=1e-6)


def test_embeddings_may_be_trained_on(folders):
    rows = open_encoder(folders["clip"]).texts(TEXTS)
    weight = torch.ones(6, requires_grad=True)
    (rows @ weight).sum().backward()
    assert torch.allclose(weight.grad, rows.sum(0))


def test_identity_follows_weights_and_settings(folders, tmp_path):
    def copied(name: str) -> Path:
        return Path(shutil.copytree(folders["clip"], tmp_path / name))

    same, weight, settings, words, scale = map(copied, ("same", "weight", "settings", "words", "scale"))
    tensors = load_file(weight / "model.safetensors")
    tensors["visual_projection.weight"][0, 0] += 1e-3
    save_file(tensors, weight / "model.safetensors", metadata={"format": "pt"})
    for folder, file, key, value in (
        (settings, "preprocessor_config.json", "resample", 2),
        (scale, "config.json", "logit_scale_init_value", 3.0),
    ):
        plain = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(plain | {key: value}))
    save_tokenizer(words, most=7)
    identities = [open_encoder(folder).identity for folder in (folders["clip"], same)]
    assert identities[0] == identities[1]
    others = {open_encoder(folder).identity for folder in (weight, settings, words, scale)}
    assert len(others | {identities[0]}) == 5
    assert str(tmp_path) not in identities[1]


def test_random_weights_are_their_seeds(folders):
    def rows(**options):
        return open_encoder(folders["vit"], weights="random", **options)

    one, again, other = rows(seed=1), rows(seed=1), rows(seed=2)
    assert one.identity == again.identity != other.identity
    assert torch.equal(one.images(PICTURES), again.images(PICTURES))
    assert not torch.allclose(one.images(PICTURES), other.images(PICTURES), atol=1e-2)
    assert one.images(PICTURES).std() > 0.1


def test_opening_leaves_the_global_generator_alone(folders):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for name in ("clip", "vit"):
        open_encoder(folders[name], weights="random")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"has no config\.json"),
        (lambda f: (f / "config.json").write_text('{"a": 1}'), "model_type: is missing"),
        (lambda f: (f / "config.json").write_text("{"), "is not valid JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "nobody"}'), "cannot be read"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 99), "cannot be read"),
        (lambda f: (f / "preprocessor_config.json").unlink(), r"has no preprocessor_config\.json"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer files"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "has a tokenizer that cannot be read"),
        (
            lambda f: save_file(
                {k: v for k, v in load_file(f / "model.safetensors").items() if "text_model" not in k},
                f / "model.safetensors",
                metadata={"format": "pt"},
            ),
            "lacks .* weights of a CLIPModel",
        ),
    ],
    ids=["config", "type", "json", "unknown", "weights", "zeros", "pictures", "tokens", "rules", "half"],
)
def test_damaged_folders_are_named(folders, tmp_path, spoil, message):
    folder = Path(shutil.copytree(folders["clip"], tmp_path / "copy"))
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        open_encoder(folder)
    assert "copy" in str(caught.value)


def test_names_that_are_nothing(tmp_path, folders):
    with pytest.raises(InputError, match="is not a folder"):
        open_encoder(tmp_path / "gone")
    with pytest.raises(InputError, match="is not a folder"):
        open_encoder("resnet50")
    with pytest.raises(InputError, match="cannot be had from the hub"):
        open_encoder("nobody/no-such-model")
    with pytest.raises(InputError, match="weights: cannot be replaced"):
        open_encoder(folders["clip"], weights="other.pth")
    with pytest.raises(InputError, match="layer: is 'nowhere'"):
        open_encoder(folders["vit"], layer="nowhere")


def other_models() -> dict[str, Any]:
    """Tiny models of other families, with what their `pooled` embedding is."""
    import transformers as t

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16}
    pyramid = {"hidden_sizes": [4, 8], "depths": [1, 1]}
    return {
        "dinov2": t.Dinov2Model(t.Dinov2Config(**small, patch_size=8)),
        "clip vision": t.CLIPVisionModel(t.CLIPVisionConfig(**small, patch_size=8, intermediate_size=24)),
        "swin": t.SwinModel(
            t.SwinConfig(
                image_size=16, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=2
            )
        ),
        "convnext": t.ConvNextModel(t.ConvNextConfig(**pyramid, num_stages=2)),
        "resnet": t.ResNetModel(t.ResNetConfig(**pyramid, embedding_size=4)),
    }


@pytest.mark.parametrize("name", ["dinov2", "clip vision", "swin", "convnext", "resnet"])
def test_other_families(name, tmp_path):
    torch.manual_seed(0)
    model = other_models()[name].eval()
    model.save_pretrained(tmp_path)
    prepare = Preparation(resize=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(prepare.to_config()))
    encoder = open_encoder(tmp_path)
    assert encoder.layer == "pooled"
    with torch.no_grad():
        found = model(pixel_values=prepare.batch(PICTURES))
    assert torch.allclose(encoder.images(PICTURES), found.pooler_output.flatten(1), atol=1e-5)
    last = found.last_hidden_state
    expected = last.mean((2, 3)) if last.ndim == 4 else last.mean(1)
    mean = open_encoder(tmp_path, layer="mean")
    assert torch.allclose(mean.images(PICTURES), expected, atol=1e-5)
    assert mean.width == expected.shape[1]


def save_bert(folder: Path) -> Path:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=40, max_position_embeddings=9, **sizes)).save_pretrained(folder)
    save_tokenizer(folder, most=100)
    return folder


def test_text_transformers_and_their_pooling(tmp_path):
    from transformers import BertModel

    folder = save_bert(tmp_path)
    model = BertModel.from_pretrained(folder).eval()
    plain = open_encoder(folder)
    assert plain.max_tokens == 9
    with torch.no_grad():
        last = model(torch.tensor([[0, 4, 11, 1]])).last_hidden_state[0]  # <s> a cat </s>
    assert torch.allclose(plain.texts(["a cat", "the small red dog sits"])[0], last.mean(0), atol=1e-6)
    (folder / "modules.json").write_text("[]")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    (folder / "1_Pooling").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    first = open_encoder(folder)
    assert torch.allclose(first.texts(["a cat"])[0], last[0], atol=1e-6)
    assert first.max_tokens == 6
    assert first.identity != plain.identity
    pooling.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(InputError, match="asks for pooling_mode_max_tokens"):
        open_encoder(folder)
