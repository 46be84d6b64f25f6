"""Hyperfan-in initialization: variances of generators, emitted weights and outputs."""

import math

import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.nn.hyper import HyperConv2d, Hyperfan, HyperLinear, condition_variance


def test_the_two_formulas_with_every_switch():
    for relu in (False, True):
        for bias in (False, True):
            got = Hyperfan(variance=0.4, relu=relu, bias=bias).variances(
                fan_in=27, width=8, has_bias=not bias
            )
            numerator = 2.0**relu
            assert got == pytest.approx((numerator / (2.0**bias * 27 * 8 * 0.4), numerator / (2 * 8 * 0.4)))
    assert Hyperfan().variances(fan_in=2, width=3, has_bias=False)[0] == pytest.approx(2 / 6)
    assert Hyperfan(variance=0.0).variances(fan_in=2, width=3, has_bias=True) == Hyperfan().variances(
        fan_in=2, width=3, has_bias=True
    )


def test_variance_of_emitted_weights_over_draws():
    """Var(W_ij) = 2 / (2 d_j d_k v) * sum of squares of the condition, within 5 % over 200 draws."""
    layer, v = HyperConv2d(3, 8, 3, cond_dim=6), 0.7
    cond = torch.linspace(-1, 2, 6)[None]
    generator = torch.Generator().manual_seed(0)
    weights, biases = [], []
    for _ in range(200):
        layer.reset_parameters(Hyperfan(variance=v), generator)
        with torch.no_grad():
            weight, bias = layer.emit(cond)
        weights.append(weight)
        biases.append(bias)
    energy = float(cond.square().sum())
    assert float(torch.cat(weights).var()) == pytest.approx(energy / (27 * 6 * v), rel=0.05)
    assert float(torch.cat(biases).var()) == pytest.approx(energy / (6 * v), rel=0.10)


def output_variance(layer: HyperLinear, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    # a rectified normal has second moment 1/2, the case He initialization is made for
    x = torch.randn(4000, layer.in_features, generator=generator).relu()
    cond = 0.5 * torch.randn(4000, layer.cond_dim, generator=generator)
    with torch.no_grad():
        return float(layer(x, cond).var())


def test_output_variance_is_that_of_he_initialization():
    he = 1.0  # fan_in * (2 / fan_in) * 1/2
    torch.manual_seed(0)
    layer = HyperLinear(128, 32, cond_dim=8, init=Hyperfan(variance=0.25), impl="rule")
    proper = output_variance(layer, 1)
    assert he / 2 <= proper <= he * 2
    naive = HyperLinear(128, 32, cond_dim=8, impl="rule")
    for head in (naive.weight_generator, naive.bias_generator):
        nn.Linear.reset_parameters(head)
    ratio = output_variance(naive, 1) / he
    assert ratio > 5 or ratio < 1 / 5


def test_generator_biases_start_at_zero():
    layer = HyperLinear(4, 2, cond_dim=3)
    assert not layer.weight.any()
    assert not layer.bias.any()
    bound = math.sqrt(3 / (4 * 3))
    assert float(layer.weight_generator.weight.detach().abs().max()) <= bound


def test_condition_variance_of_each_kind():
    table = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert condition_variance(table, "input_variance") == pytest.approx((1.0 + 0.0) / 2)
    embed = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2))
    embed[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    embed[1].eval()
    rows = torch.tensor([[1.0, 6.0], [2.0, 4.0]]) / math.sqrt(1 + 1e-5)
    assert condition_variance(table, "embedding_variance", embed) == pytest.approx((6.25 + 1) / 2, rel=1e-4)
    second = float(rows.square().mean())
    assert condition_variance(table, "embedding_second_moment", embed) == pytest.approx(second)
    assert (embed.training, embed[1].training) == (True, False), "modes are put back one by one"
    assert condition_variance(table, "input_variance", embed) == pytest.approx(0.5)
    assert condition_variance(torch.ones(3, 2), "input_variance") == 1.0
    two_sexes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert condition_variance(two_sexes, "input_variance") == pytest.approx(0.25)


def test_misuse_is_refused_in_words():
    with pytest.raises(InputError, match="unknown"):
        condition_variance(torch.ones(2, 2), "output_variance")
    with pytest.raises(InputError, match="no rows"):
        condition_variance(torch.ones(0, 2))
    with pytest.raises(InputError, match="not a variance"):
        HyperLinear(2, 2, cond_dim=1, init=Hyperfan(variance=-1.0))
    with pytest.raises(InputError, match="cond_dim"):
        HyperLinear(2, 2, cond_dim=0)
