"""The classifier on slots as a set."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.methods.nsi.model.fewshot import SlotClassifier


def made(**settings) -> SlotClassifier:
    torch.manual_seed(0)
    model = SlotClassifier(6, 3, width=8, blocks=2, heads=2, **settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model


def attend(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Two heads of width four over the tokens of one item (n, 8), written out."""
    attention = block.attention
    normed = F.layer_norm(x, (8,), block.norm_attention.weight, block.norm_attention.bias, 1e-6)
    query, both = attention.to_query(normed), attention.to_key_value(normed)
    key, value = both[:, :8], both[:, 8:]
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        weights = (query[:, h] @ key[:, h].T / 2).exp()
        heads.append(weights / weights.sum(1, keepdim=True) @ value[:, h])
    x = x + attention.to_out(torch.cat(heads, 1))
    return x + block.mlp(F.layer_norm(x, (8,), block.norm_mlp.weight, block.norm_mlp.bias, 1e-6))


@torch.no_grad()
def test_scores_are_read_off_the_class_token():
    model, slots = made().double(), torch.randn(2, 5, 6).double()
    for item in range(2):
        x = torch.cat([model.token[0], model.enter(slots[item])])
        for block in model.blocks:
            x = attend(block, x)
        wanted = model.head(model.norm(x[0]))
        torch.testing.assert_close(model(slots)[item], wanted, rtol=1e-10, atol=1e-10)


def test_permuting_slots_changes_nothing_and_items_are_apart():
    model, slots = made(), torch.randn(4, 5, 6)
    scores = model(slots)
    torch.testing.assert_close(model(slots[:, torch.tensor([3, 1, 4, 0, 2])]), scores)
    torch.testing.assert_close(model(slots[2:3]), scores[2:3])
    changed = slots.clone()
    changed[:, 1] += 1
    assert not torch.allclose(model(changed), scores)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_any_number_of_tokens(count):
    assert made()(torch.randn(2, count, 6)).shape == (2, 3)


def test_every_parameter_gets_a_gradient():
    model = made()
    model(torch.randn(4, 5, 6)).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_dropout_acts_in_training_alone():
    model, slots = made(dropout=0.5), torch.randn(2, 5, 6)
    assert not torch.equal(model(slots), model(slots))
    model.eval()
    assert torch.equal(model(slots), model(slots))
