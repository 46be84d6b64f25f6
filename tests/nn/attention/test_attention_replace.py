"""Replacing the attention of torch and Hugging Face models, checked on whole forward passes."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from visus.errors import InputError
from visus.nn.attention import (
    KINDS,
    EfficientAttention,
    StandardAttention,
    build_attention,
    find_attention,
    replace_attention,
)
from visus.nn.attention.dropin import TorchDropIn, read_hugging_face_mask

ONE_HEAD = [(kind, 1) for kind in KINDS] + [("standard", 4)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def randomize(model):
    """Biases too: they start at zero and would hide mistakes."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("kind", "heads"), ONE_HEAD)
def test_multihead_attention_is_called_as_before(kind, heads, batch_first):
    old = randomize(nn.MultiheadAttention(16, heads, batch_first=batch_first))
    new = replace_attention(copy.deepcopy(old), kind, length=10)
    assert isinstance(new, TorchDropIn)
    x, y = torch.randn(3, 6, 16), torch.randn(3, 5, 16)
    padded = torch.arange(6)[None] >= torch.tensor([6, 4, 2])[:, None]
    later = nn.Transformer.generate_square_subsequent_mask(6)
    if not batch_first:
        x, y = x.transpose(0, 1), y.transpose(0, 1)
    with torch.no_grad():
        for call in (
            {},
            {"key_padding_mask": padded},
            {"attn_mask": later},
            {"attn_mask": later, "is_causal": True},
            {"attn_mask": torch.isneginf(later), "key_padding_mask": padded},
        ):
            out, weights = new(x, x, x, **call)
            torch.testing.assert_close(out, old(x, x, x, **call)[0], atol=2e-6, rtol=0)
            assert weights is None
        torch.testing.assert_close(new(x, y, y)[0], old(x, y, y)[0], atol=2e-6, rtol=0)
        torch.testing.assert_close(new(x[0], x[0], x[0])[0], old(x[0], x[0], x[0])[0], atol=2e-6, rtol=0)


# the reference model takes torch's nested-tensor path, which announces itself
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize(("kind", "heads"), [*ONE_HEAD, ("standard", 2)])
def test_torch_encoder(kind, heads, norm_first):
    layer = nn.TransformerEncoderLayer(16, heads, 24, batch_first=True, norm_first=norm_first)
    with warnings.catch_warnings():  # torch remarks that its own fast path is off for odd heads or norm_first
        warnings.simplefilter("ignore")
        old = randomize(nn.TransformerEncoder(layer, 2))
    new = replace_attention(copy.deepcopy(old), kind, length=8)
    x = torch.randn(3, 6, 16)
    padded = torch.arange(6)[None] >= torch.tensor([6, 4, 2])[:, None]
    later = nn.Transformer.generate_square_subsequent_mask(6)
    called = []
    for module in new.modules():
        if isinstance(module, TorchDropIn):
            module.attention.register_forward_hook(lambda *_: called.append(1))
    # hooks switch torch's fast path off by themselves: first without them
    plain = copy.deepcopy(new)
    for module in plain.modules():
        module._forward_hooks.clear()
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            want = old(x, src_key_padding_mask=padded)
            got = plain(x, src_key_padding_mask=padded)
            valid = ~padded
            torch.testing.assert_close(got[valid], want[valid], atol=5e-6, rtol=0)
            torch.testing.assert_close(plain(x, mask=later), old(x, mask=later), atol=5e-6, rtol=0)
    new(x)
    assert len(called) == 2


def test_the_fast_path_cannot_bypass_a_replaced_layer():
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    new = replace_attention(nn.TransformerEncoder(layer, 2), "efficient", weights="fresh").eval()
    with torch.no_grad():
        x = torch.randn(2, 5, 16)
        before = new(x)
        for module in new.modules():
            if isinstance(module, EfficientAttention):
                module.out_proj.weight.zero_()
        assert not torch.allclose(before, new(x))
        padded = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
        assert torch.isfinite(new(x, src_key_padding_mask=padded)).all()


@pytest.mark.parametrize(("kind", "heads"), ONE_HEAD)
def test_torch_decoder(kind, heads):
    old = randomize(nn.TransformerDecoder(nn.TransformerDecoderLayer(16, heads, 24, batch_first=True), 2))
    new = replace_attention(copy.deepcopy(old), kind, length=8)
    assert len(find_attention(old)) == 4
    x, memory = torch.randn(2, 6, 16), torch.randn(2, 8, 16)
    later = nn.Transformer.generate_square_subsequent_mask(6)
    padded = torch.arange(8)[None] >= torch.tensor([[8], [5]])
    with torch.no_grad():
        call = {"tgt_mask": later, "memory_key_padding_mask": padded}
        torch.testing.assert_close(new(x, memory, **call), old(x, memory, **call), atol=5e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_and_restricted_models_train(kind):
    for weights in ("fresh", "restrict"):
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, dropout=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = replace_attention(nn.TransformerEncoder(layer, 1), kind, weights=weights, length=6)
        model(torch.randn(2, 6, 16)).square().mean().backward()
        assert all(p.grad is not None for p in model.parameters())
        attention = model.layers[0].self_attn.attention
        assert attention.kind == kind
        assert (attention.width, attention.num_heads) == (16, 4)


def test_refusals_leave_the_model_alone():
    model = nn.Sequential(
        nn.TransformerEncoderLayer(8, 1, 8, batch_first=True),
        nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
    )
    with pytest.raises(InputError, match="not exact"):
        replace_attention(model, "efficient")
    with pytest.raises(InputError, match="length"):
        replace_attention(model, "super", weights="fresh")
    with pytest.raises(InputError, match="would change"):
        replace_attention(model[0], "super", length=4, options={"wa_init": "xavier"})
    with pytest.raises(InputError, match="no counterpart"):
        replace_attention(nn.MultiheadAttention(8, 2, kdim=4), "efficient", weights="fresh")
    assert all(isinstance(layer.self_attn, nn.MultiheadAttention) for layer in model)
    with pytest.raises(InputError, match="no attention"):
        replace_attention(nn.Linear(2, 2), "efficient")
    with pytest.raises((InputError, TypeCheckError)):
        replace_attention(model, "efficient", weights="new")


def test_precision_dropout_and_mode_are_kept():
    old = nn.MultiheadAttention(8, 2, dropout=0.25, bias=False, batch_first=True).double().eval()
    attention = replace_attention(
        old, "super", weights="fresh", length=4, options={"wa_bias": True}
    ).attention
    assert attention.wa.dtype == torch.float64
    assert attention.dropout == 0.25
    assert not attention.has_bias
    assert not attention.training
    assert attention.wa_bias is not None


transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize(("kind", "heads"), ONE_HEAD)
def test_hugging_face_vit(kind, heads, implementation):
    config = transformers.ViTConfig(
        hidden_size=16,
        num_attention_heads=heads,
        num_hidden_layers=2,
        intermediate_size=24,
        image_size=(12, 8),
        patch_size=4,
        num_labels=3,
        attn_implementation=implementation,
    )
    model = randomize(transformers.ViTForImageClassification(config))
    pixels = torch.randn(2, 3, 12, 8)
    with torch.no_grad():
        want = model(pixels).logits
        assert [site.length for site in find_attention(model)] == [7, 7]
        before = sum(p.numel() for p in model.parameters())
        replace_attention(model, kind)
        torch.testing.assert_close(model(pixels).logits, want, atol=1e-5, rtol=0)
    saved = {"standard": 0, "optimized": 1, "efficient": 2, "super": 2}[kind] * (16 * 16 + 16)
    saved -= 7 * 7 if kind == "super" else 0
    assert before - sum(p.numel() for p in model.parameters()) == 2 * saved
    model.train()
    model(pixels, labels=torch.tensor([0, 2])).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize(("kind", "heads"), ONE_HEAD)
def test_hugging_face_bert(kind, heads, implementation):
    config = transformers.BertConfig(
        hidden_size=16,
        num_attention_heads=heads,
        num_hidden_layers=2,
        intermediate_size=24,
        vocab_size=30,
        max_position_embeddings=12,
        attn_implementation=implementation,
    )
    model = randomize(transformers.BertForSequenceClassification(config))
    tokens, mask = (
        torch.randint(0, 30, (3, 9)),
        (torch.arange(9)[None] < torch.tensor([[9], [5], [2]])).long(),
    )
    visible = torch.ones(3, 1, 9, 9, dtype=torch.bool).tril()
    lowest = torch.finfo(torch.float32).min
    later = visible if implementation == "sdpa" else torch.zeros(visible.shape).masked_fill(~visible, lowest)
    with torch.no_grad():
        wants = [model(tokens, attention_mask=m).logits for m in (None, mask)]
        hidden = model.bert(tokens, attention_mask=later).last_hidden_state
        replace_attention(model, kind)
        for m, want in zip((None, mask), wants, strict=True):
            torch.testing.assert_close(model(tokens, attention_mask=m).logits, want, atol=1e-5, rtol=0)
        # a mask per pair of tokens
        torch.testing.assert_close(
            model.bert(tokens, attention_mask=later).last_hidden_state, hidden, atol=1e-5, rtol=0
        )
        # the tuple form and padding invariance of the converted model
        alone = model(tokens[2:, :2], return_dict=False)[0]
        torch.testing.assert_close(alone[0], wants[1][2], atol=1e-5, rtol=0)


def test_hugging_face_super_is_invariant_to_padding():
    config = transformers.BertConfig(
        hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=24, vocab_size=30
    )
    model = transformers.BertModel(config).eval()
    replace_attention(model, "super", weights="fresh", length=9)
    tokens, mask = torch.randint(0, 30, (2, 9)), (torch.arange(9)[None] < torch.tensor([[9], [5]])).long()
    with torch.no_grad():
        padded = model(tokens, attention_mask=mask).last_hidden_state[1, :5]
        torch.testing.assert_close(padded, model(tokens[1:, :5]).last_hidden_state[0], atol=1e-5, rtol=0)


def test_hugging_face_decoders_are_refused():
    config = transformers.BertConfig(
        hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        intermediate_size=8,
        vocab_size=9,
        is_decoder=True,
    )
    with pytest.raises(InputError, match="only encoders"):
        replace_attention(transformers.BertModel(config), "efficient", weights="fresh")
    encoder = transformers.BertModel(
        transformers.BertConfig.from_dict({**config.to_dict(), "is_decoder": False})
    )
    replace_attention(encoder, "efficient", weights="fresh")
    with pytest.raises(InputError, match="serves encoders"):
        encoder.encoder.layer[0].attention.self(torch.zeros(1, 2, 16), past_key_values=object())
    with pytest.raises(InputError, match="the whole model"):
        replace_attention(
            transformers.BertModel(config.__class__(**{**config.to_dict(), "is_decoder": False}))
            .encoder.layer[0]
            .attention.self,
            "efficient",
            weights="fresh",
        )


def test_hugging_face_masks():
    two = torch.tensor([[1, 1, 0]])
    assert torch.equal(read_hugging_face_mask(two)[0], torch.tensor([[False, False, True]]))
    visible = torch.tensor([[[[True, True, False]]]]).expand(1, 1, 3, 3)
    padding, pairs = read_hugging_face_mask(visible)
    assert torch.equal(padding, torch.tensor([[False, False, True]]))
    assert pairs is None
    additive = torch.zeros(1, 1, 3, 3)
    additive[..., 2] = torch.finfo(torch.float32).min
    padding, pairs = read_hugging_face_mask(additive)
    assert padding is None
    assert torch.isneginf(pairs[..., 2]).all()
    assert (pairs[..., :2] == 0).all()
    with pytest.raises(InputError, match="cannot read"):
        read_hugging_face_mask("flex")


def test_building_by_name_gives_the_kind():
    for kind in KINDS:
        assert build_attention(kind, 8, num_heads=2, length=4).kind == kind
    assert isinstance(build_attention("standard", 8, num_heads=2), StandardAttention)


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    from visus.nn.attention import pretrained

    config = transformers.BertConfig(
        hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=9
    )

    def full(path, record):
        raise OSError("no space left")

    before = pretrained.save_replaced(
        transformers.BertModel(config), tmp_path / "new", "efficient", weights="exact"
    )
    assert before[0]["exact"]
    held = {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()}
    assert {"config.json", "model.safetensors", "replacement.json"} <= set(held)
    monkeypatch.setattr(pretrained, "write_json", full)
    for name in ("other", "new"):
        with pytest.raises(OSError, match="no space"):
            pretrained.save_replaced(
                transformers.BertModel(config), tmp_path / name, "optimized", weights="exact"
            )
    assert [item.name for item in tmp_path.iterdir()] == ["new"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()} == held
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        pretrained.save_replaced(
            transformers.BertModel(config), tmp_path / "file", "efficient", weights="exact"
        )
