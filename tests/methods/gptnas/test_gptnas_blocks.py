"""The fifteen blocks: published sizes, any shape, tokens that cannot disagree."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.gptnas.model import blocks as b
from visus.methods.gptnas.model.blocks import BLOCKS, index_of
from visus.methods.gptnas.model.tracing import trace

NAMES = (
    "ConvNormActivation",
    "SqueezeExcitation",
    "Inception",
    "AvgPool",
    "ResBottleneckBlock",
    "SimpleStem",
    "Bottleneck(ResNet)",
    "BasicBlock",
    "Bottleneck(ResNeXt)",
    "InvertedResidual(ShuffleNet)",
    "Bottleneck(wide)",
    "MaxPool",
    "BatchNorm",
    "ReLU",
    "Conv",
)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_blocks_are_those_of_the_paper_in_its_order():
    assert tuple(block.name for block in BLOCKS) == NAMES
    assert [index_of(name) for name in NAMES] == list(range(15))
    with pytest.raises(InputError, match="known blocks"):
        index_of("Attention")


def cbn(c_in, c_out, kernel, groups=1):
    """Parameters of a convolution without bias and its normalization, from the definition."""
    return c_in * c_out * kernel**2 // groups + 2 * c_out


@pytest.mark.parametrize(
    ("name", "sizes", "want"),
    [
        ("ConvNormActivation", (3, 32, 2), cbn(3, 32, 3)),
        ("SqueezeExcitation", (96, 96, 1), 96 * 24 + 24 + 24 * 96 + 96),
        (
            "Inception",
            (192, 256, 1),  # the first block of GoogLeNet
            cbn(192, 64, 1)
            + cbn(192, 96, 1)
            + cbn(96, 128, 3)
            + cbn(192, 16, 1)
            + cbn(16, 32, 3)
            + cbn(192, 32, 1),
        ),
        ("AvgPool", (8, 8, 2), 0),
        ("ResBottleneckBlock", (64, 64, 1), 2 * cbn(64, 64, 1) + cbn(64, 64, 3, 4)),
        (
            "ResBottleneckBlock",
            (32, 64, 2),
            cbn(32, 64, 1) + cbn(64, 64, 1) + cbn(64, 64, 3, 4) + cbn(32, 64, 1),
        ),
        ("SimpleStem", (3, 32, 2), 928),
        ("Bottleneck(ResNet)", (256, 256, 1), 70_400),
        ("Bottleneck(ResNet)", (256, 512, 2), 379_392),
        ("BasicBlock", (64, 64, 1), 73_984),
        ("BasicBlock", (64, 128, 2), 230_144),
        ("Bottleneck(ResNeXt)", (256, 256, 1), 71_168),
        ("InvertedResidual(ShuffleNet)", (116, 116, 1), 2 * cbn(58, 58, 1) + cbn(58, 58, 3, 58)),
        (
            "InvertedResidual(ShuffleNet)",
            (24, 116, 2),
            cbn(24, 24, 3, 24) + 2 * cbn(24, 58, 1) + cbn(58, 58, 3, 58) + cbn(58, 58, 1),
        ),
        ("Bottleneck(wide)", (256, 256, 1), 214_016),
        ("MaxPool", (8, 8, 2), 0),
        ("BatchNorm", (8, 8, 1), 16),
        ("ReLU", (8, 8, 1), 0),
        ("Conv", (3, 64, 1), 3 * 64 * 9),
        ("ReLU", (8, 16, 2), cbn(8, 16, 1)),
        ("MaxPool", (8, 16, 2), cbn(8, 16, 1)),
    ],
)
def test_parameters_from_the_definitions(name, sizes, want):
    block = BLOCKS[index_of(name)]
    assert count(block.build(*sizes)) == want
    assert block.record(*sizes).num_params == want


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    c_in=st.integers(1, 40),
    c_out=st.integers(1, 40),
    stride=st.integers(1, 3),
    side=st.sampled_from([1, 2, 3, 7, 8, 28, 32]),
    same=st.booleans(),
)
def test_any_shape_works(name, c_in, c_out, stride, side, same):
    c_out = c_in if same else c_out
    block = BLOCKS[index_of(name)]
    module = block.build(c_in, c_out, stride).eval()
    with torch.no_grad():
        y = module(torch.ones(2, c_in, side, side))
    assert y.shape == (2, c_out, -(-side // stride), -(-side // stride))
    assert torch.isfinite(y).all()
    record = block.record(c_in, c_out, stride, side)
    assert trace(module, (c_in, side, side)).layers == record.layers
    assert record.blocks == ((name, 0, len(record.layers)),)
    assert block.repaired(c_in, c_out, stride) is hasattr(module, "project")


@pytest.mark.parametrize("name", NAMES)
def test_large_images_and_gradients(name):
    block = BLOCKS[index_of(name)]
    assert block.record(3, 16, 2, 224).out_size == (16, 112, 112)
    module = block.build(3, 8, 2)
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (module(x) * torch.arange(4.0)).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("sizes", [(0, 8, 1), (8, 0, 1), (8, 8, 0)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(InputError, match="positive"):
        BLOCKS[0].build(*sizes)


# ---- what the composite blocks compute, written out ----------------------------------------------------------


@pytest.fixture
def x():
    return torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def norm(y, layer):
    mean, var = layer.running_mean, layer.running_var
    scale, shift = layer.weight, layer.bias
    shape = (1, -1, 1, 1)
    unit = (y - mean.view(shape)) / (var.view(shape) + layer.eps).sqrt()
    return unit * scale.view(shape) + shift.view(shape)


def shaken(module):
    generator = torch.Generator().manual_seed(4)
    module.double().eval()
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) - 0.3)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.abs_().add_(0.5)
    return module


def close(got, want):
    torch.testing.assert_close(got, want, atol=1e-10, rtol=0)


def test_squeeze_excitation(x):
    block = shaken(b.SqueezeExcitation(8, 3))
    mean = x.mean((2, 3))
    hidden = F.silu(mean @ block.squeeze.weight[:, :, 0, 0].T + block.squeeze.bias)
    gate = 1 / (1 + torch.exp(-(hidden @ block.excite.weight[:, :, 0, 0].T + block.excite.bias)))
    close(block(x), x * gate[:, :, None, None])


@pytest.mark.parametrize("stride", [1, 2])
def test_bottleneck(x, stride):
    block = shaken(b.Bottleneck(8, 8, width=4, stride=stride, groups=2))
    c1, n1, _, c2, n2, _, c3, n3 = block.branch
    y = norm(F.conv2d(x, c1.weight), n1).clamp(min=0)
    y = norm(F.conv2d(y, c2.weight, stride=stride, padding=1, groups=2), n2).clamp(min=0)
    y = norm(F.conv2d(y, c3.weight), n3)
    skip = x if stride == 1 else norm(F.conv2d(x, block.skip[0].weight, stride=2), block.skip[1])
    close(block(x), (y + skip).clamp(min=0))


def test_inverted_residual_splits_and_shuffles(x):
    block = shaken(b.InvertedResidual(8, 8))
    c1, n1, _, c2, n2, c3, n3, _ = block.branch
    y = norm(F.conv2d(x[:, 4:], c1.weight), n1).clamp(min=0)
    y = norm(F.conv2d(y, c2.weight, padding=1, groups=4), n2)
    y = norm(F.conv2d(y, c3.weight), n3).clamp(min=0)
    want = torch.stack([x[:, :4], y], 2).flatten(1, 2)  # channels alternate between the halves
    close(block(x), want)


def test_inception_joins_its_branches_in_order(x):
    block = shaken(b.Inception(8, (1, 2, 3, 1, 2, 4)))
    y = block(x)
    assert y.shape == (2, 10, 6, 6)
    conv, unit, _ = block.branches[0]
    close(y[:, :1], norm(F.conv2d(x, conv.weight), unit).clamp(min=0))
    _, conv, unit, _ = block.branches[3]
    pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 1)
    close(y[:, 6:], norm(F.conv2d(pooled, conv.weight), unit).clamp(min=0))
    assert unit.eps == 1e-3


def test_regnet_block_gates_between_its_convolutions(x):
    block = shaken(b.ResBottleneckBlock(8, 8, groups=2, squeezed=2))
    c1, n1, _, c2, n2, _, gate, c3, n3 = block.branch
    y = norm(F.conv2d(x, c1.weight), n1).clamp(min=0)
    y = gate(norm(F.conv2d(y, c2.weight, padding=1, groups=2), n2).clamp(min=0))
    close(block(x), (x + norm(F.conv2d(y, c3.weight), n3)).clamp(min=0))
    assert isinstance(gate.act, nn.ReLU)


def test_composites_are_found_by_type():
    model = nn.Sequential(b.SimpleStem(3, 8), b.Bottleneck(8, 8, width=4, kind="wide"), nn.ReLU())
    assert b.composite_blocks(model) == {"0": "SimpleStem", "1": "Bottleneck(wide)"}
    record = trace(model, (3, 8, 8), blocks=b.composite_blocks(model))
    assert [name for name, _, _ in b.with_single_blocks(record).blocks] == [
        "SimpleStem",
        "Bottleneck(wide)",
        "ReLU",
    ]
