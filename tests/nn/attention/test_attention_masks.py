"""What a query may not see has no influence on its output."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from visus.errors import InputError
from visus.nn.attention import KINDS, EfficientAttention, StandardAttention, SuperAttention, build_attention


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind, length=8, heads=2):
    """Double precision; W_A random and dense."""
    module = build_attention(kind, 8, num_heads=heads, length=length).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


@pytest.mark.parametrize("way", ["causal", "attn_mask", "additive", "per_head"])
@pytest.mark.parametrize("kind", KINDS)
def test_causality(kind, way):
    module = build(kind)
    x = torch.randn(2, 7, 8, dtype=torch.float64)
    later = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
    call = {
        "causal": {"causal": True},
        "attn_mask": {"attn_mask": later},
        "additive": {"attn_mask": torch.zeros(7, 7, dtype=torch.float64).masked_fill(later, float("-inf"))},
        "per_head": {"attn_mask": later.expand(2, 2, 7, 7)},
    }[way]
    with torch.no_grad():
        before = module(x, **call)
        for t in range(7):
            changed = x.clone()
            changed[:, t] += torch.randn(8, dtype=torch.float64)
            after = module(changed, **call)
            assert torch.equal(before[:, :t], after[:, :t])
            assert not torch.allclose(before[:, t], after[:, t])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("way", ["boolean", "additive"])
@pytest.mark.parametrize("kind", KINDS)
def test_right_padding_changes_nothing(kind, way, causal):
    module = build(kind)
    lengths = [7, 4, 1]
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    padded = torch.arange(7)[None] >= torch.tensor(lengths)[:, None]
    mask = (
        padded
        if way == "boolean"
        else torch.zeros(3, 7, dtype=torch.float64).masked_fill(padded, float("-inf"))
    )
    with torch.no_grad():
        out = module(x, causal=causal, key_padding_mask=mask)
        for i, n in enumerate(lengths):
            alone = module(x[i : i + 1, :n], causal=causal)
            torch.testing.assert_close(out[i, :n], alone[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_visible_keys_are_zero_and_have_gradients(kind):
    module = build(kind)
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad=True)
    padded = torch.zeros(2, 5, dtype=torch.bool)
    padded[1] = True
    floats = torch.zeros(2, 5, dtype=torch.float64).masked_fill(padded, float("-inf"))
    for mask in (padded, floats):
        for causal in (False, True):
            out = module(x, key_padding_mask=mask, causal=causal)
            assert (out[1] == 0).all()
            assert (out[0] != 0).all()
            out.sum().backward()
            assert torch.isfinite(x.grad).all()
            assert all(torch.isfinite(p.grad).all() for p in module.parameters())
    # a single head that sees nothing contributes nothing, the others go on
    one_head = torch.zeros(1, 2, 1, 5, dtype=torch.bool)
    one_head[:, 0] = True
    out = module(x, attn_mask=one_head)
    assert torch.isfinite(out).all()
    assert (out != 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_the_tokens_permutes_the_output_except_for_super(kind):
    module = build(kind, length=6)
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        same = torch.allclose(module(x[:, order]), module(x)[:, order], atol=1e-10)
        assert same == (kind != "super")
        if kind == "super":  # a W_A that commutes with every permutation
            module.wa.copy_(0.3 * torch.eye(6) + 0.1)
            torch.testing.assert_close(module(x[:, order]), module(x)[:, order], atol=1e-10, rtol=0)


def test_super_keeps_packed_sequences_apart():
    module = build("super")
    x = torch.randn(1, 8, 8, dtype=torch.float64)
    part = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    apart = part[:, None] != part[None, :]
    with torch.no_grad():
        before = module(x, attn_mask=apart)
        x[:, 4] += 1.0
        after = module(x, attn_mask=apart)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_super_refuses_a_mask_it_cannot_keep():
    module = build("super")
    query, key = torch.randn(1, 3, 8, dtype=torch.float64), torch.randn(1, 5, 8, dtype=torch.float64)
    with pytest.raises(InputError, match="W_A mixes keys with keys"):
        module(query, key, attn_mask=torch.zeros(3, 5, dtype=torch.bool))
    whole_keys = torch.tensor([[False, False, True, False, True]])
    with torch.no_grad():
        torch.testing.assert_close(
            module(query, key, attn_mask=whole_keys[:, None]), module(query, key, key_padding_mask=whole_keys)
        )


def test_mask_conventions_are_those_of_torch():
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double()
    ours = StandardAttention.from_standard(theirs)
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    hidden = torch.rand(5, 5) < 0.4
    hidden.fill_diagonal_(False)
    padded = torch.zeros(3, 5, dtype=torch.bool)
    padded[2, 4] = True
    additive = torch.randn(6, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        want, _ = theirs(x, x, x, attn_mask=hidden, key_padding_mask=padded)
        torch.testing.assert_close(ours(x, attn_mask=hidden, key_padding_mask=padded), want)
        want, _ = theirs(x, x, x, attn_mask=additive)
        torch.testing.assert_close(ours(x, attn_mask=additive), want)


@pytest.mark.parametrize(
    "call",
    [
        {"key_padding_mask": torch.zeros(1, 5, dtype=torch.bool)},
        {"key_padding_mask": torch.zeros(2, 4, dtype=torch.bool)},
        {"key_padding_mask": torch.zeros(2, 5, dtype=torch.long)},
        {"attn_mask": torch.zeros(4, 5, dtype=torch.bool)},
        {"attn_mask": torch.zeros(3, 5, 5, dtype=torch.bool)},
        {"attn_mask": torch.zeros(5, dtype=torch.bool)},
    ],
)
def test_masks_that_do_not_fit_are_refused(call):
    # the shape-checking hook, where it is on, speaks first
    with pytest.raises((InputError, TypeCheckError), match="mask") as caught:
        EfficientAttention(8, num_heads=2)(torch.zeros(2, 5, 8), **call)
    assert isinstance(caught.value, TypeCheckError) or caught.value.remedy


def test_short_inputs_use_the_corner_of_wa():
    module = SuperAttention(8, num_heads=2, length=8).double()
    small = SuperAttention(8, num_heads=2, length=5).double()
    small.load_state_dict({**module.state_dict(), "wa": module.wa.detach()[:5, :5]})
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    assert torch.equal(module(x), small(x))
