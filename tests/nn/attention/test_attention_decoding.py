"""Decoding token by token with a cache gives what one full causal pass gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.nn.attention import KINDS, StandardAttention, build_attention


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind):
    if kind == "absorbed":
        return StandardAttention(16, num_heads=4).absorb_heads()
    module = build_attention(
        kind, 16, num_heads=4, length=12, **({"wa_bias": True} if kind == "super" else {})
    )
    if kind == "super":
        nn.init.normal_(module.wa_bias)
    return module


@pytest.mark.parametrize("chunks", [[1] * 9, [4, 1, 3, 1], [9]])
@pytest.mark.parametrize("kind", [*KINDS, "absorbed"])
@torch.no_grad()
def test_cache_equals_the_full_pass(kind, chunks):
    module, x = build(kind), torch.randn(3, 9, 16)
    full = module(x, causal=True)
    cache, start = module.make_cache(3, 10), 0
    for size in chunks:
        out = module(x[:, start : start + size], cache=cache)
        torch.testing.assert_close(out, full[:, start : start + size], atol=1e-5, rtol=0)
        start += size
        assert cache.length == start


@pytest.mark.parametrize("kind", ["standard", "optimized", "efficient", "absorbed"])
@torch.no_grad()
def test_padded_prompts_decode_like_unpadded_ones(kind):
    module, x = build(kind), torch.randn(2, 7, 16)
    padded = torch.zeros(2, 7, dtype=torch.bool)
    padded[1, 2:5] = True
    cache = module.make_cache(2, 7)
    module(x[:, :5], cache=cache, key_padding_mask=padded[:, :5])
    out = module(x[:, 5:], cache=cache, key_padding_mask=padded)
    short = torch.cat([x[1:, :2], x[1:, 5:]], dim=1)
    torch.testing.assert_close(out[1:], module(short, causal=True)[:, 2:], atol=1e-5, rtol=0)


# pads inside the sequence take up positions of W_A, so Super is compared with its own full pass
@torch.no_grad()
def test_super_decodes_padded_prompts_like_its_full_pass():
    module, x = build("super"), torch.randn(2, 7, 16)
    padded = torch.zeros(2, 7, dtype=torch.bool)
    padded[1, 2:5] = True
    full = module(x, causal=True, key_padding_mask=padded)
    cache = module.make_cache(2, 7)
    module(x[:, :5], cache=cache, key_padding_mask=padded[:, :5])
    for t in (5, 6):
        out = module(x[:, t : t + 1], cache=cache, key_padding_mask=padded[:, : t + 1])
        torch.testing.assert_close(out, full[:, t : t + 1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_cache_sizes_and_contents():
    size = {kind: build(kind).make_cache(2, 12).nbytes for kind in [*KINDS, "absorbed"]}
    assert size["standard"] == 2 * 12 * 16 * 2 * 4
    assert size["efficient"] * 2 == size["standard"]
    assert size["absorbed"] * 2 == size["standard"]
    assert size["optimized"] == size["super"] == size["standard"]
    module, x = build("super"), torch.randn(2, 9, 16)
    cache = module.make_cache(2, 12)
    for t in range(9):
        module(x[:, t : t + 1], cache=cache)
    again = module.wa[:9, :9].tril() @ x + module.wa_bias[:9, None]
    torch.testing.assert_close(cache.values[:, :9], again, atol=1e-5, rtol=0)
    assert torch.equal(cache.keys[:, :9], x)
    cache.reset()
    torch.testing.assert_close(module(x, cache=cache), module(x, causal=True), atol=1e-5, rtol=0)


def test_a_cache_refuses_wrong_use():
    module, x = build("efficient"), torch.randn(2, 3, 16)
    with torch.no_grad():
        cache = module.make_cache(2, 4)
        module(x, cache=cache)
        with pytest.raises(InputError, match="holds 4 tokens"):
            module(x, cache=cache)
        with pytest.raises(InputError, match="self-attention only"):
            module(x, torch.randn(2, 3, 16), cache=cache)
        with pytest.raises(InputError, match="another kind"):
            module(x[:, :1], cache=build("standard").make_cache(2, 4))
        with pytest.raises(InputError, match="do not fit"):
            module(x[:1, :1], cache=cache)
    with pytest.raises(InputError, match="no_grad"):
        module(x[:, :1].requires_grad_(), cache=module.make_cache(2, 4))
    with pytest.raises(InputError, match="holds nothing"):
        module.make_cache(2, 0)
