"""The four kinds of attention against explicit loops, against each other, and their exact conversions."""

from __future__ import annotations

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from visus.errors import InputError
from visus.nn.attention import (
    KINDS,
    AbsorbedAttention,
    EfficientAttention,
    OptimizedAttention,
    StandardAttention,
    SuperAttention,
    build_attention,
    cost,
)


def naive(module, query, key, value, *, causal=False, padded=None):
    """Attention written as loops over sequences, heads, queries and keys, straight from the definitions."""
    d, h = module.width, module.num_heads
    e = d // h
    weights = {"query": module.in_proj.weight[:d]}
    biases = {"query": None if module.in_proj.bias is None else module.in_proj.bias[:d]}
    if module.kind in ("standard", "optimized"):
        weights["key"] = module.in_proj.weight[d : 2 * d]
        biases["key"] = None if module.in_proj.bias is None else module.in_proj.bias[d : 2 * d]
    if module.kind == "standard":
        weights["value"] = module.in_proj.weight[2 * d :]
        biases["value"] = None if module.in_proj.bias is None else module.in_proj.bias[2 * d :]

    def mapped(x, name):
        if name not in weights:
            return x
        bias = biases[name]
        return torch.stack(
            [
                sum(x[j] * weights[name][i, j] for j in range(d)) + (0 if bias is None else bias[i])
                for i in range(d)
            ]
        )

    out = torch.zeros_like(query)
    for s in range(query.shape[0]):
        n = key.shape[1]
        hidden = [bool(padded is not None and padded[s, j]) for j in range(n)]
        rows = [torch.zeros(d, dtype=query.dtype) if hidden[j] else value[s, j] for j in range(n)]
        if module.kind == "super":
            rows = [
                sum(module.wa[i, j] * rows[j] for j in range(n) if not causal or j <= i)
                + (0 if module.wa_bias is None else module.wa_bias[i])
                for i in range(n)
            ]
        for i in range(query.shape[1]):
            q, heads = mapped(query[s, i], "query"), []
            seen = [j for j in range(n) if not hidden[j] and (not causal or j <= i)]
            for head in range(h):
                part = slice(head * e, (head + 1) * e)
                scores = [sum(q[part] * mapped(key[s, j], "key")[part]) / math.sqrt(e) for j in seen]
                top = [torch.exp(x) for x in scores]
                heads.append(
                    sum(top[a] / sum(top) * mapped(rows[j], "value")[part] for a, j in enumerate(seen))
                )
            joined = torch.cat(heads)
            for c in range(d):
                bias = 0 if module.out_proj.bias is None else module.out_proj.bias[c]
                out[s, i, c] = sum(module.out_proj.weight[c] * joined) + bias
    return out


def made(kind, width=6, heads=2, length=5, **options):
    """A module in float64 with every number drawn at random, biases and W_A included."""
    module = build_attention(kind, width, num_heads=heads, length=length, **options).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_explicit_loops(kind, bias):
    options = {"bias": bias, **({"wa_bias": bias} if kind == "super" else {})}
    module = made(kind, **options)
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    padded = torch.tensor([[False] * 4, [False, False, True, True]])
    for causal in (False, True):
        for mask in (None, padded):
            with torch.no_grad():
                got = module(x, causal=causal, key_padding_mask=mask)
                torch.testing.assert_close(
                    got, naive(module, x, x, x, causal=causal, padded=mask), atol=1e-10, rtol=0
                )


@pytest.mark.parametrize("kind", KINDS)
def test_cross_attention_agrees_with_explicit_loops(kind):
    module = made(kind)
    query, key, value = (torch.randn(2, n, 6, dtype=torch.float64) for n in (3, 5, 5))
    with torch.no_grad():
        torch.testing.assert_close(
            module(query, key, value), naive(module, query, key, value), atol=1e-10, rtol=0
        )
        torch.testing.assert_close(module(query, key), naive(module, query, key, key), atol=1e-10, rtol=0)


@pytest.mark.parametrize(("width", "heads", "length"), [(32, 4, 32), (48, 3, 7), (8, 1, 20), (64, 64, 64)])
def test_parameter_counts(width, heads, length):
    count = {
        kind: sum(
            p.numel() for p in build_attention(kind, width, num_heads=heads, length=length).parameters()
        )
        for kind in KINDS
    }
    square = width * width + width
    assert count == {
        "standard": 4 * square,
        "optimized": 3 * square,
        "efficient": 2 * square,
        "super": 2 * square + length * length,
    }
    with_bias = SuperAttention(width, num_heads=heads, length=length, wa_bias=True)
    assert sum(p.numel() for p in with_bias.parameters()) == count["super"] + length
    for kind in KINDS:
        assert cost(kind, width=width, length=length, num_heads=heads).parameters == count[kind]


def test_published_parameter_counts():
    counts = []
    for kind in KINDS:
        options = {"wa_bias": True} if kind == "super" else {}
        counts.append(
            sum(p.numel() for p in build_attention(kind, 32, num_heads=4, length=32, **options).parameters())
        )
    assert counts == [4224, 3168, 2112, 3168]


@pytest.mark.parametrize(("kind", "identities"), [("optimized", (2,)), ("efficient", (1, 2))])
def test_is_standard_attention_with_identity_maps(kind, identities):
    x = torch.randn(3, 7, 16)
    module = build_attention(kind, 16, num_heads=4)
    standard = StandardAttention(16, num_heads=4)
    keep = module.projections
    with torch.no_grad():
        standard.in_proj.weight[: 16 * keep] = module.in_proj.weight
        for place in identities:
            standard.in_proj.weight[16 * place : 16 * (place + 1)] = torch.eye(16)
        standard.out_proj.load_state_dict(module.out_proj.state_dict())
    _same_with_gradients(module, standard, x)


def test_super_with_identity_mixing_is_efficient():
    efficient = EfficientAttention(16, num_heads=4)
    module = SuperAttention(16, num_heads=4, length=9, wa_init="eye")
    module.load_state_dict({**efficient.state_dict(), "wa": torch.eye(9)})
    _same_with_gradients(module, efficient, torch.randn(3, 7, 16))


def _same_with_gradients(one, other, x):
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = one(a), other(b)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)
    target = torch.randn_like(out)
    (out * target).sum().backward()
    (expected * target).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, atol=2e-6, rtol=0)
    torch.testing.assert_close(
        one.in_proj.weight.grad[:16], other.in_proj.weight.grad[:16], atol=5e-6, rtol=1e-5
    )
    torch.testing.assert_close(one.out_proj.weight.grad, other.out_proj.weight.grad, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("cls", [StandardAttention, OptimizedAttention, EfficientAttention, SuperAttention])
def test_conversion_of_one_head_is_exact(cls, dtype, tolerance, bias):
    torch_module = nn.MultiheadAttention(12, 1, bias=bias, batch_first=True).to(dtype).eval()
    if bias:
        nn.init.normal_(torch_module.in_proj_bias, std=0.3)
        nn.init.normal_(torch_module.out_proj.bias, std=0.3)
    options = {"length": 8} if cls is SuperAttention else {}
    x = torch.randn(2, 6, 12, dtype=dtype)
    padded = torch.zeros(2, 6, dtype=torch.bool)
    padded[1, 4:] = True
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), 1)
    with torch.no_grad():
        # standard attention of ours as source, too
        for source in (torch_module, StandardAttention.from_standard(torch_module)):
            module = cls.from_standard(source, **options)
            plain, _ = torch_module(x, x, x, need_weights=False)
            torch.testing.assert_close(module(x), plain, atol=tolerance, rtol=0)
            masked, _ = torch_module(x, x, x, key_padding_mask=padded, need_weights=False)
            torch.testing.assert_close(module(x, key_padding_mask=padded), masked, atol=tolerance, rtol=0)
            causal, _ = torch_module(x, x, x, attn_mask=later, need_weights=False)
            torch.testing.assert_close(module(x, causal=True), causal, atol=tolerance, rtol=0)
            torch.testing.assert_close(module(x, attn_mask=later), causal, atol=tolerance, rtol=0)
            crossed, _ = torch_module(x, x.flip(1)[:, :4], x.flip(1)[:, :4], need_weights=False)
            torch.testing.assert_close(module(x, x.flip(1)[:, :4]), crossed, atol=tolerance, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_absorbed_heads_are_exact(dtype, tolerance, bias):
    standard = StandardAttention(24, num_heads=4, bias=bias).to(dtype)
    for parameter in standard.parameters():
        nn.init.normal_(parameter, std=0.2)
    absorbed = standard.absorb_heads()
    assert isinstance(absorbed, AbsorbedAttention)
    x, y = torch.randn(2, 6, 24, dtype=dtype), torch.randn(2, 5, 24, dtype=dtype)
    padded = torch.zeros(2, 6, dtype=torch.bool)
    padded[0, 3:] = True
    with torch.no_grad():
        for call in (
            {},
            {"causal": True},
            {"key_padding_mask": padded},
            {"causal": True, "key_padding_mask": padded},
        ):
            torch.testing.assert_close(absorbed(x, **call), standard(x, **call), atol=tolerance, rtol=0)
        torch.testing.assert_close(
            absorbed(x, y, y.flip(1)), standard(x, y, y.flip(1)), atol=tolerance, rtol=0
        )
    assert absorbed.make_cache(1, 8).nbytes * 2 == standard.make_cache(1, 8).nbytes


def test_several_heads_are_folded_only_on_request():
    source = StandardAttention(12, num_heads=3)
    with pytest.raises(InputError, match="not exact"):
        EfficientAttention.from_standard(source)
    restricted = EfficientAttention.from_standard(source, lossy=True)
    x = torch.randn(1, 4, 12)
    assert not torch.allclose(restricted(x), source(x), atol=1e-3)
    # a source whose key and value maps stay inside the heads' slices loses nothing
    inside = torch.block_diag(*[torch.ones(4, 4)] * 3)
    with torch.no_grad():
        source.in_proj.weight[12:24] *= inside
        source.in_proj.weight[24:] *= inside
    for cls in (OptimizedAttention, EfficientAttention):
        torch.testing.assert_close(cls.from_standard(source, lossy=True)(x), source(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("extra", [{"kdim": 6}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_conversion_refuses_what_it_cannot_express(extra):
    with pytest.raises(InputError, match="no counterpart"):
        EfficientAttention.from_standard(nn.MultiheadAttention(8, 1, **extra))
    with pytest.raises(InputError, match="cannot read"):
        EfficientAttention.from_standard(nn.Linear(8, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind):
    module = made(kind, width=4, heads=2, length=3)
    x = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]

    def run(x, *parameters):
        return torch.func.functional_call(
            module, dict(zip(names, parameters, strict=True)), (x,), {"causal": True}
        )

    assert torch.autograd.gradcheck(run, (x, *module.parameters()))


def test_wa_starts_as_asked():
    assert torch.equal(SuperAttention(8, num_heads=1, length=5, wa_init="eye").wa, torch.eye(5))
    orthogonal = SuperAttention(8, num_heads=1, length=5, wa_init="orthogonal").wa
    torch.testing.assert_close(orthogonal @ orthogonal.T, torch.eye(5), atol=1e-6, rtol=0)
    xavier = SuperAttention(8, num_heads=1, length=50).wa
    assert 0.9 < xavier.abs().max() / math.sqrt(6 / 100) <= 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: build_attention("linear", 8, num_heads=2),
        lambda: build_attention("super", 8, num_heads=2),
        lambda: StandardAttention(8, num_heads=3),
        lambda: StandardAttention(8, num_heads=2, dropout=1.0),
        lambda: SuperAttention(8, num_heads=2, length=4, wa_init="zeros"),
        lambda: SuperAttention(8, num_heads=2, length=4)(torch.zeros(1, 5, 8)),
        lambda: EfficientAttention(8, num_heads=2)(torch.zeros(1, 5, 7)),
        lambda: EfficientAttention(8, num_heads=2)(torch.zeros(5, 8)),
        lambda: EfficientAttention(8, num_heads=2)(torch.zeros(1, 5, 8), torch.zeros(2, 5, 8)),
        lambda: EfficientAttention(8, num_heads=2)(
            torch.zeros(1, 5, 8), torch.zeros(1, 4, 8), torch.zeros(1, 5, 8)
        ),
        lambda: EfficientAttention(8, num_heads=2)(torch.zeros(1, 5, 8), value=torch.zeros(1, 5, 8)),
    ],
)
def test_bad_calls_say_what_to_do(call):
    # the shape-checking hook, where it is on, speaks first
    with pytest.raises((InputError, TypeCheckError)) as caught:
        call()
    assert isinstance(caught.value, TypeCheckError) or caught.value.remedy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8), (1, 1, 8)])
def test_empty_and_single_inputs(kind, shape):
    out = build_attention(kind, 8, num_heads=2, length=4)(torch.randn(shape))
    assert out.shape == shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_only_in_training(kind):
    module = build_attention(kind, 8, num_heads=2, length=6, dropout=0.5)
    x = torch.randn(2, 6, 8)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))
