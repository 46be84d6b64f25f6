"""The baselines against slow transcriptions; padded tokens reach nobody in any of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.attention.baselines import (
    GroupedQueryAttention,
    LinformerAttention,
    MixedAfterAttention,
    TokenMixer,
)
from visus.nn.attention import EfficientAttention, StandardAttention

WIDTH, LENGTH = 8, 5


def randomized(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.double()


def inputs(n: int = LENGTH) -> torch.Tensor:
    return torch.randn(2, n, WIDTH, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def slow_softmax(scores: list[torch.Tensor]) -> list[torch.Tensor]:
    top = [torch.exp(score) for score in scores]
    return [value / sum(top) for value in top]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_queries_agree_with_loops(groups):
    module, x = randomized(GroupedQueryAttention(WIDTH, num_heads=4, groups=groups)), inputs()
    e, want = WIDTH // 4, torch.zeros_like(x)
    rows = F.linear(x, module.in_proj.weight, module.in_proj.bias)
    for b in range(2):
        for i in range(LENGTH):
            heads = []
            for h in range(4):
                g = h // (4 // groups)
                q = rows[b, i, h * e : (h + 1) * e]
                k = rows[b, :, WIDTH + g * e : WIDTH + (g + 1) * e]
                v = rows[b, :, WIDTH + (groups + g) * e : WIDTH + (groups + g + 1) * e]
                share = slow_softmax([q @ k[j] / math.sqrt(e) for j in range(LENGTH)])
                heads.append(sum(share[j] * v[j] for j in range(LENGTH)))
            want[b, i] = F.linear(torch.cat(heads), module.out_proj.weight, module.out_proj.bias)
    torch.testing.assert_close(module(x), want, atol=1e-10, rtol=0)


def test_as_many_groups_as_heads_is_standard_attention():
    module = randomized(GroupedQueryAttention(WIDTH, num_heads=4, groups=4))
    standard = StandardAttention(WIDTH, num_heads=4).double()
    standard.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(inputs()), standard(inputs()), atol=1e-12, rtol=0)


def test_linformer_agrees_with_loops():
    module, x = randomized(LinformerAttention(WIDTH, num_heads=2, length=7, rank=3)), inputs()
    q, k, v = F.linear(x, module.in_proj.weight, module.in_proj.bias).split(WIDTH, dim=-1)
    want = torch.zeros_like(x)
    for b in range(2):
        keys = [sum(module.shorten_keys[r, j] * k[b, j] for j in range(LENGTH)) for r in range(3)]
        values = [sum(module.shorten_values[r, j] * v[b, j] for j in range(LENGTH)) for r in range(3)]
        for i in range(LENGTH):
            heads = []
            for part in (slice(0, 4), slice(4, 8)):
                share = slow_softmax([q[b, i, part] @ keys[r][part] / 2.0 for r in range(3)])
                heads.append(sum(share[r] * values[r][part] for r in range(3)))
            want[b, i] = F.linear(torch.cat(heads), module.out_proj.weight, module.out_proj.bias)
    torch.testing.assert_close(module(x), want, atol=1e-10, rtol=0)


def test_token_mixer_agrees_with_loops():
    module, x = randomized(TokenMixer(length=LENGTH, hidden=6)), inputs()
    want = torch.zeros_like(x)
    for b in range(2):
        for c in range(WIDTH):
            hidden = [
                F.gelu(
                    sum(module.enter.weight[m, j] * x[b, j, c] for j in range(LENGTH)) + module.enter.bias[m]
                )
                for m in range(6)
            ]
            for i in range(LENGTH):
                want[b, i, c] = (
                    sum(module.leave.weight[i, m] * hidden[m] for m in range(6)) + module.leave.bias[i]
                )
    torch.testing.assert_close(module(x), want, atol=1e-10, rtol=0)


def test_mixing_after_attention_is_a_map_of_its_output():
    module, x = randomized(MixedAfterAttention(WIDTH, num_heads=2, length=LENGTH)), inputs()
    efficient = EfficientAttention(WIDTH, num_heads=2).double()
    efficient.load_state_dict(module.attention.state_dict())
    torch.testing.assert_close(module(x), torch.einsum("ij,bje->bie", module.mixing, efficient(x)))
    with torch.no_grad():
        module.mixing.copy_(torch.eye(LENGTH))
    torch.testing.assert_close(module(x), efficient(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: GroupedQueryAttention(WIDTH, num_heads=4),
        lambda: LinformerAttention(WIDTH, num_heads=2, length=LENGTH),
        lambda: TokenMixer(length=LENGTH, hidden=4),
        lambda: MixedAfterAttention(WIDTH, num_heads=2, length=LENGTH),
    ],
)
def test_padding_reaches_nobody(make):
    module, x = randomized(make()), inputs()
    padded = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    out = module(x, key_padding_mask=padded)
    torch.testing.assert_close(out[0], module(x[:1])[0])
    torch.testing.assert_close(out[1, :3], module(x[1:, :3])[0])


def test_wrong_sizes_are_refused():
    for call in (
        lambda: GroupedQueryAttention(8, num_heads=3),
        lambda: GroupedQueryAttention(8, num_heads=4, groups=3),
        lambda: LinformerAttention(8, num_heads=3, length=4),
        lambda: TokenMixer(length=4, hidden=4)(torch.zeros(1, 5, 8)),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.remedy
