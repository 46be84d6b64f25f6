"""Slot Attention against the algorithm written as loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from visus.errors import InputError
from visus.nn.slots import SlotAttention


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    mean = sum(x) / len(x)
    variance = sum((value - mean) ** 2 for value in x) / len(x)
    return (x - mean) / math.sqrt(variance + 1e-6) * layer.weight + layer.bias


def flax_gru(update: Tensor, state: Tensor, cell: nn.GRUCell) -> Tensor:
    """Flax's GRU cell: r and z have one bias each, the candidate one on the input and one inside the reset."""
    reset_i, keep_i, new_i = cell.weight_ih.chunk(3)
    reset_h, keep_h, new_h = cell.weight_hh.chunk(3)
    reset_b, keep_b, new_b = (cell.bias_ih + torch.cat([cell.bias_hh[: 2 * len(state)], 0 * state])).chunk(3)
    inner_b = cell.bias_hh[2 * len(state) :]
    reset = torch.sigmoid(reset_i @ update + reset_b + reset_h @ state)
    keep = torch.sigmoid(keep_i @ update + keep_b + keep_h @ state)
    new = torch.tanh(new_i @ update + new_b + reset * (new_h @ state + inner_b))
    return (1 - keep) * new + keep * state


def slow(module: SlotAttention, features: Tensor, slots: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """One item: (n, c) and (k, d)."""
    heads, eps = module.heads, module.epsilon
    tokens = [norm(token, module.norm_features) for token in features]
    keys = [(module.to_key.weight @ token).chunk(heads) for token in tokens]
    values = [(module.to_value.weight @ token).chunk(heads) for token in tokens]
    slots, won = slots.clone(), torch.zeros(len(slots), len(features), dtype=slots.dtype)
    for _ in range(rounds):
        queries = [(module.to_query.weight @ norm(slot, module.norm_slots)).chunk(heads) for slot in slots]
        weights = torch.zeros(heads, len(slots), len(features), dtype=slots.dtype)
        for n in range(len(features)):
            scores = {
                (h, k): math.exp(float(queries[k][h] @ keys[n][h]) / math.sqrt(len(keys[n][h])))
                for h in range(heads)
                for k in range(len(slots))
            }
            for (h, k), score in scores.items():
                weights[h, k, n] = score / sum(scores.values())
        won = weights.sum(0)
        after = []
        for k, slot in enumerate(slots):
            update = []
            for h in range(heads):
                row = weights[h, k] + (eps if module.epsilon_inside else 0)
                total = row.sum() + (0 if module.epsilon_inside else eps)
                update.append(sum(row[n] / total * values[n][h] for n in range(len(features))))
            new = flax_gru(torch.cat(update), slot, module.gru)
            if module.mlp is not None:
                inner = module.mlp[0].weight @ norm(new, module.norm_mlp) + module.mlp[0].bias
                new = new + module.mlp[2].weight @ inner.clamp(min=0) + module.mlp[2].bias
            after.append(new)
        slots = torch.stack(after)
    return slots, won


def scrambled(module: nn.Module, seed: int = 0) -> nn.Module:
    """No weight at its special start: norms and biases too."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return module


@pytest.mark.parametrize(
    "settings",
    [
        {"qkv": 10},
        {"qkv": 10, "iterations": 2},
        {"hidden": 5, "iterations": 3, "epsilon_inside": True, "epsilon": 0.05},
        {"hidden": 5, "qkv": 12, "heads": 3, "iterations": 2, "epsilon": 0.05},
    ],
)
@torch.no_grad()
def test_equals_the_algorithm_as_loops(settings):
    module = scrambled(SlotAttention(7, 6, **settings))
    features, slots = torch.randn(2, 9, 7).double(), torch.randn(2, 4, 6).double()
    got, attention = module(features, slots)
    for item in range(2):
        wanted, won = slow(module, features[item], slots[item], module.iterations)
        torch.testing.assert_close(got[item], wanted, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(attention[item], won, rtol=1e-10, atol=1e-10)


def test_attention_sums_to_one_over_slots_before_and_over_tokens_after():
    module = SlotAttention(7, 6, heads=2, iterations=2, epsilon=1e-12)
    features, slots = torch.randn(3, 11, 7), torch.randn(3, 4, 6)
    _, attention = module(features, slots)
    torch.testing.assert_close(attention.sum(1), torch.ones(3, 11))
    # values of ones: an update is then exactly the sum of its renormalized weights
    with torch.no_grad():
        module.norm_features.weight.zero_()
        module.norm_features.bias.fill_(1.0)
        module.to_value.weight.fill_(1 / 7)
    seen = []
    module.gru.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(features, slots)
    for updates in seen:
        torch.testing.assert_close(updates, torch.ones_like(updates))


def test_slots_are_a_set_and_items_are_apart():
    module = SlotAttention(7, 6, iterations=3, hidden=8)
    features, slots = torch.randn(3, 11, 7), torch.randn(3, 4, 6)
    order = torch.tensor([2, 0, 3, 1])
    out, attention = module(features, slots)
    permuted, permuted_attention = module(features, slots[:, order])
    torch.testing.assert_close(permuted, out[:, order])
    torch.testing.assert_close(permuted_attention, attention[:, order])
    alone, _ = module(features[1:2], slots[1:2])
    torch.testing.assert_close(alone, out[1:2])


def test_more_iterations_go_on_from_the_fewer():
    module = SlotAttention(7, 6, iterations=3)
    features, slots = torch.randn(2, 5, 7), torch.randn(2, 3, 6)
    once, _ = module(features, slots, iterations=1)
    rest, _ = module(features, once, iterations=2)
    torch.testing.assert_close(module(features, slots)[0], rest)
    assert not torch.allclose(once, rest)


def test_a_slot_that_wins_nothing_stays_finite_forwards_and_backwards():
    module = SlotAttention(4, 4)
    with torch.no_grad():
        module.to_query.weight.copy_(torch.eye(4) * 1e4)
        module.to_key.weight.copy_(torch.eye(4) * 1e4)
    features = torch.tensor([[[1.0, 0.0, 0.0, -1.0]]]).expand(1, 5, 4).clone().requires_grad_()
    slots = torch.tensor([[[1.0, 0.0, 0.0, -1.0], [-1.0, 0.0, 0.0, 1.0]]])
    out, attention = module(features, slots)
    assert attention[0, 1].sum() == 0
    out.sum().backward()
    assert out.isfinite().all()
    assert features.grad.isfinite().all()


def test_every_parameter_gets_a_gradient():
    module = SlotAttention(7, 6, hidden=8, iterations=2)
    out, _ = module(torch.randn(2, 5, 7), torch.randn(2, 3, 6))
    out.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"heads": 4}, "heads"), ({"heads": 0}, "heads"), ({"iterations": 0}, "iterations")],
)
def test_settings_that_cannot_be(settings, field):
    with pytest.raises(InputError, match=field):
        SlotAttention(7, 6, **settings)
