"""The small parts: attention with an inner width of its own, transformer block, Flax's starting weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.nn.slots import CrossAttention, TransformerBlock, layer_norm, mlp, start_like_flax


@torch.no_grad()
def test_cross_attention_as_loops():
    module = CrossAttention(6, heads=2, qkv=8, context=5).double()
    for parameter in module.parameters():
        parameter.add_(torch.randn(parameter.shape).double() * 0.2)
    query, context = torch.randn(1, 3, 6).double(), torch.randn(1, 4, 5).double()
    wanted = []
    for token in query[0]:
        q = (module.to_query(token)).chunk(2)
        keys = [module.to_key_value(other)[:8].chunk(2) for other in context[0]]
        values = [module.to_key_value(other)[8:].chunk(2) for other in context[0]]
        heads = []
        for h in range(2):
            scores = [math.exp(float(q[h] @ key[h]) / 2.0) for key in keys]
            heads.append(sum(s / sum(scores) * value[h] for s, value in zip(scores, values)))
        wanted.append(module.to_out(torch.cat(heads)))
    torch.testing.assert_close(module(query, context)[0], torch.stack(wanted), rtol=1e-10, atol=1e-10)
    kept = module.attend(query, *module.project(context))
    assert torch.equal(kept, module(query, context))


def test_hidden_tokens_do_not_matter():
    module = CrossAttention(6, heads=3)
    query, context = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    visible = torch.tensor([[True, True, False, False], [True, True, True, False]])
    out = module(query, context, visible=visible)
    context = context.masked_fill(~visible[..., None], 99.0)
    torch.testing.assert_close(module(query, context, visible=visible), out)
    torch.testing.assert_close(module(query[:1], context[:1, :2]), out[:1])
    assert not torch.allclose(module(query, context), out)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_transformer_block_is_torchs_layer_with_the_same_weights(pre_norm):
    ours = TransformerBlock(8, heads=2, hidden=16, pre_norm=pre_norm)
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, batch_first=True, norm_first=pre_norm, layer_norm_eps=1e-6
    )
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        attention = theirs.self_attn
        attention.in_proj_weight.copy_(
            torch.cat([ours.attention.to_query.weight, ours.attention.to_key_value.weight])
        )
        attention.in_proj_bias.copy_(
            torch.cat([ours.attention.to_query.bias, ours.attention.to_key_value.bias])
        )
        attention.out_proj.load_state_dict(ours.attention.to_out.state_dict())
        theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
        theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
        theirs.norm1.load_state_dict(ours.norm_attention.state_dict())
        theirs.norm2.load_state_dict(ours.norm_mlp.state_dict())
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_starting_weights_are_flaxs():
    torch.manual_seed(0)
    layers = nn.ModuleList(
        [nn.Linear(400, 300), nn.Conv2d(16, 64, 5), nn.ConvTranspose2d(16, 64, 5), nn.GRUCell(300, 200)]
    )
    start_like_flax(layers)
    for layer, fan_in in zip(layers, (400, 400, 400)):
        std = fan_in**-0.5
        assert abs(layer.weight.std().item() / std - 1) < 0.02
        assert layer.weight.abs().max() <= 2 * std / 0.8796 + 1e-6
        assert layer.bias.abs().max() == 0
    gru = layers[3]
    for gate in gru.weight_hh.chunk(3):
        torch.testing.assert_close(gate @ gate.T, torch.eye(200), rtol=0, atol=1e-5)
    assert abs(gru.weight_ih.std().item() * 300**0.5 - 1) < 0.02
    assert gru.bias_ih.abs().max() == gru.bias_hh.abs().max() == 0


def test_norms_have_flaxs_epsilon_and_mlps_end_without_relu():
    assert layer_norm(4).eps == 1e-6
    assert (mlp(3, 50, 20)(torch.randn(8, 3)) < 0).any()
    assert [type(layer) for layer in mlp(3, 4)] == [nn.Linear]


def test_heads_must_divide():
    with pytest.raises(InputError, match="heads"):
        CrossAttention(6, heads=4)
