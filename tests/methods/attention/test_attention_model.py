"""The classifier's pieces against transcriptions of their formulas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.attention.config import AttentionConfig
from visus.methods.attention.model import (
    Block,
    Classifier,
    Patches,
    Words,
    count_parameters,
    make_attention,
    masked_mean,
)

TINY = AttentionConfig(
    width=8, num_heads=2, layers=2, feed_forward=6, dropout=0.0, image_size=6, patch=2, length=5
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def normalized(x, norm):
    center = x - x.mean(-1, keepdim=True)
    return center / (center.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_block_is_its_formula(norm):
    block = Block(replace(TINY, norm=norm), length=5).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    first, last = block.feed_forward[0], block.feed_forward[2]

    def ffn(t):
        return F.linear(F.linear(t, first.weight, first.bias).clamp(min=0), last.weight, last.bias)

    if norm == "post":
        middle = normalized(x + block.attention(x), block.norms[0])
        want = normalized(middle + ffn(middle), block.norms[1])
    else:
        middle = x + block.attention(normalized(x, block.norms[0]))
        want = middle + ffn(normalized(middle, block.norms[1]))
    torch.testing.assert_close(block(x, None), want, atol=1e-10, rtol=0)


def test_patches_hold_their_pixels():
    embedding = Patches(TINY, channels=3)
    with torch.no_grad():
        embedding.position.zero_()
        embedding.project.weight.copy_(torch.eye(8, 12))
        embedding.project.bias.zero_()
    image = torch.randn(1, 3, 6, 6)
    tokens = embedding(image)
    assert tokens.shape == (1, 9, 8)
    for row in range(3):
        for column in range(3):
            patch = image[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(-1)
            torch.testing.assert_close(tokens[0, 3 * row + column], patch[:8])


def test_masked_mean_leaves_padding_out():
    x = torch.randn(2, 4, 3)
    padding = torch.tensor([[False, False, True, True], [True] * 4])
    torch.testing.assert_close(masked_mean(x, padding)[0], x[0, :2].mean(0))
    assert torch.equal(masked_mean(x, padding)[1], torch.zeros(3))
    torch.testing.assert_close(masked_mean(x, None), x.mean(1))


@pytest.mark.parametrize(
    "kind",
    ["standard", "optimized", "efficient", "super", "efficient_mixed", "mqa", "gqa", "linformer", "mixer"],
)
def test_every_kind_classifies_padded_texts_like_unpadded_ones(kind):
    config = replace(TINY, kind=kind, head=3)
    model = Classifier(config, Words(config, words=11), classes=4).eval()
    tokens, padding = torch.randint(2, 11, (3, 5)), torch.arange(5)[None] >= torch.tensor([[5], [3], [1]])
    together = model(tokens, padding)
    assert together.shape == (3, 4)
    for i, n in enumerate((5, 3, 1)):
        torch.testing.assert_close(model(tokens[i : i + 1, :n])[0], together[i], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "same"), [("standard", True), ("efficient", True), ("super", False), ("mixer", False)]
)
def test_shuffling_tokens_matters_only_where_places_do(kind, same):
    config = replace(TINY, kind=kind)
    model = Classifier(config, Patches(config, channels=1), classes=3).eval().double()
    image, order = torch.randn(2, 1, 6, 6, dtype=torch.float64), torch.tensor([4, 0, 8, 1, 3, 2, 7, 6, 5])
    assert torch.allclose(model(image), model(image, order=order), atol=1e-10) == same


def test_super_with_a_frozen_identity_is_efficient():
    models = []
    for settings in ({"kind": "efficient"}, {"kind": "super", "wa_init": "eye", "wa_frozen": True}):
        config = replace(TINY, **settings)
        models.append(Classifier(config, Patches(config, channels=1), classes=3).eval())
    missing = models[1].load_state_dict(models[0].state_dict(), strict=False)
    assert [name.rpartition(".")[2] for name in missing.missing_keys] == ["wa", "wa"]
    image = torch.randn(4, 1, 6, 6)
    torch.testing.assert_close(models[0](image), models[1](image), atol=1e-6, rtol=0)
    assert not models[1].blocks[0].attention.wa.requires_grad


def test_settings_reach_the_layer():
    layer = make_attention(replace(TINY, wa_bias=True, wa_init="orthogonal"), length=5)
    torch.testing.assert_close(layer.wa @ layer.wa.T, torch.eye(5), atol=1e-5, rtol=0)
    assert layer.wa_bias is not None
    assert make_attention(replace(TINY, kind="gqa", num_heads=4), length=5).groups == 2


def test_parameters_are_counted_without_building():
    config = replace(TINY, kind="super")
    model = Classifier(config, Patches(config, channels=1), classes=10)
    assert count_parameters(config) == sum(p.numel() for p in model.parameters())


def test_images_that_do_not_divide_into_patches_are_refused():
    with pytest.raises(InputError, match="patches of 4"):
        Patches(replace(TINY, patch=4), channels=1)
