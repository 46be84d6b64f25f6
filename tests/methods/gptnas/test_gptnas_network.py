"""Lists of blocks as networks."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from visus.errors import InputError
from visus.methods.gptnas.model.blocks import BLOCKS, Projection, index_of
from visus.methods.gptnas.model.network import BlockNetwork, plan
from visus.methods.gptnas.model.rebuild import build, copy_weights
from visus.methods.gptnas.model.tracing import trace

lists = st.lists(st.integers(0, len(BLOCKS) - 1), min_size=1, max_size=20)


@settings(max_examples=25, deadline=None)
@given(
    blocks=lists,
    channels=st.sampled_from([1, 3, 5]),
    size=st.sampled_from([(8, 8), (28, 28), (32, 32), (5, 9), (1, 1)]),
    width=st.sampled_from([1, 4, 6, 8]),
    stages=st.integers(1, 6),
)
def test_any_list_builds_and_runs(blocks, channels, size, width, stages):
    network = BlockNetwork(
        blocks, in_channels=channels, num_classes=7, image_size=size, width=width, stages=stages
    ).eval()
    with torch.no_grad():
        logits = network(torch.rand(2, channels, *size))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()
    assert len(network.blocks) == len(blocks)
    record = network.architecture()
    assert record.num_params == sum(parameter.numel() for parameter in network.parameters())
    assert [name for name, _, _ in record.blocks] == [BLOCKS[block].name for block in blocks]
    rows = network.describe()
    assert sum(row.params for row in rows) == record.num_params
    for row, (_, start, stop), step in zip(rows, record.blocks, network.plan):
        assert row.in_size == record.layers[start].in_size == (step.in_channels, *step.in_side)
        assert row.out_size == record.layers[stop - 1].out_size == (step.out_channels, *step.out_side)


@settings(max_examples=60, deadline=None)
@given(blocks=lists, size=st.integers(1, 64), width=st.integers(1, 9), stages=st.integers(1, 6))
def test_the_plan_is_the_documented_schedule(blocks, size, width, stages):
    steps = plan(blocks, in_channels=3, image_size=size, width=width, stages=stages)
    used = min(stages, len(blocks))
    side, channels = size, 3
    for place, step in enumerate(steps):
        stage = place * used // len(blocks)
        new = place > 0 and stage != (place - 1) * used // len(blocks)
        assert step.in_channels == channels
        assert step.out_channels == width * 2**stage
        assert step.stride == (2 if new and side > 1 else 1)
        assert step.in_side == (side, side)
        side, channels = -(-side // step.stride), step.out_channels
        assert side >= 1
    assert stage == used - 1, "every stage is reached"


def test_repair_belongs_to_the_block_it_serves():
    relu, basic = index_of("ReLU"), index_of("BasicBlock")
    network = BlockNetwork([relu, relu, basic, relu], in_channels=3, num_classes=2, width=8, stages=2)
    names = [type(block).__name__ for block in network.blocks]
    assert names == ["Sequential", "ReLU", "BasicBlock", "ReLU"]
    assert isinstance(network.blocks[0].project, Projection)
    assert isinstance(network.blocks[0].block, nn.ReLU)
    owned = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert owned == {"blocks", "head"}


def test_operations_are_counted():
    """Multiply-adds from the definition, twice each: 3x3 convolution, then the classifier."""
    network = BlockNetwork([index_of("Conv")], in_channels=3, num_classes=5, image_size=8, width=4, stages=1)
    conv, head = network.describe()
    assert (conv.name, conv.params, conv.flops) == ("Conv", 3 * 4 * 9, 2 * 3 * 4 * 9 * 64)
    assert (head.name, head.params, head.flops) == ("head", 4 * 5 + 5, 2 * 4 * 5)
    assert (conv.in_size, conv.out_size, head.out_size) == ((3, 8, 8), (4, 8, 8), (5,))


def test_describing_and_tracing_leave_the_network_alone():
    network = BlockNetwork(list(range(15)), in_channels=1, num_classes=3, image_size=8, width=4).train()
    before = copy.deepcopy(network.state_dict())
    network.describe()
    network.architecture()
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_a_network_comes_back_from_its_record():
    torch.manual_seed(0)
    network = BlockNetwork(list(range(15)), in_channels=3, num_classes=4, image_size=16, width=8).eval()
    record = network.architecture("all blocks")
    made = build(record).eval()
    assert trace(made, (3, 16, 16)).layers == record.layers
    copy_weights(network, made, (3, 16, 16))
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(made(x), network(x))
    assert record.name == "all blocks"


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = BlockNetwork(list(range(15)), in_channels=3, num_classes=4, image_size=16, width=8)
    network(torch.randn(4, 3, 16, 16)).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_images_of_one_row_are_not_halved_away():
    steps = plan([0] * 4, in_channels=3, image_size=(1, 8), width=4, stages=4)
    assert [step.in_side for step in steps] == [(1, 8), (1, 8), (1, 4), (1, 2)]
    assert steps[-1].out_side == (1, 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"blocks": []}, "blocks"),
        ({"blocks": [15]}, "blocks"),
        ({"blocks": [-1]}, "blocks"),
        ({"in_channels": 0}, "in_channels"),
        ({"num_classes": 0}, "num_classes"),
        ({"image_size": 0}, "image_size"),
        ({"image_size": (8, 0)}, "image_size"),
        ({"width": 0}, "width"),
        ({"stages": 0}, "stages"),
    ],
)
def test_impossible_networks_are_refused(change, field):
    usual = {"blocks": [0], "in_channels": 3, "num_classes": 2}
    with pytest.raises(InputError) as error:
        BlockNetwork(**{**usual, **change})
    assert error.value.field == field
