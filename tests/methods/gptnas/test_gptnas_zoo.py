"""The 36 published networks: parameter counts, block spans, rebuilding."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch
from torch import nn

from visus.errors import InputError
from visus.methods.gptnas.model.blocks import BLOCKS, index_of
from visus.methods.gptnas.model.rebuild import build, copy_weights
from visus.methods.gptnas.model.tracing import trace
from visus.methods.gptnas.model.zoo import ZOO, make_network, zoo_architecture, zoo_architectures
from visus.methods.gptnas.model.zoo.entry import divisible
from visus.methods.gptnas.model.zoo.regnet import stages

# `num_params` of the torchvision weights of each network (its models' pages and sources)
PUBLISHED = {
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "googlenet": 6_624_904,
    "regnet_x_400mf": 5_495_976,
    "regnet_x_800mf": 7_259_656,
    "regnet_x_1_6gf": 9_190_136,
    "regnet_x_3_2gf": 15_296_552,
    "regnet_x_8gf": 39_572_648,
    "regnet_x_16gf": 54_278_536,
    "regnet_x_32gf": 107_811_560,
    "regnet_y_400mf": 4_344_144,
    "regnet_y_800mf": 6_432_512,
    "regnet_y_1_6gf": 11_202_430,
    "regnet_y_3_2gf": 19_436_338,
    "regnet_y_8gf": 39_381_472,
    "regnet_y_16gf": 83_590_140,
    "regnet_y_32gf": 145_046_770,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}
BLOCKS_OF = {
    "efficientnet_b0": {"ConvNormActivation": 49, "SqueezeExcitation": 16, "AvgPool": 1},
    "googlenet": {"Conv": 3, "BatchNorm": 3, "ReLU": 3, "MaxPool": 4, "Inception": 9, "AvgPool": 1},
    "regnet_x_400mf": {"SimpleStem": 1, "ResBottleneckBlock": 22, "AvgPool": 1},
    "regnet_y_400mf": {"SimpleStem": 1, "ResBottleneckBlock": 16, "AvgPool": 1},
    "resnet34": {"Conv": 1, "BatchNorm": 1, "ReLU": 1, "MaxPool": 1, "BasicBlock": 16, "AvgPool": 1},
    "resnet152": {"Conv": 1, "BatchNorm": 1, "ReLU": 1, "MaxPool": 1, "Bottleneck(ResNet)": 50, "AvgPool": 1},
    "resnext50_32x4d": {
        "Conv": 1,
        "BatchNorm": 1,
        "ReLU": 1,
        "MaxPool": 1,
        "Bottleneck(ResNeXt)": 16,
        "AvgPool": 1,
    },
    "shufflenet_v2_x1_0": {
        "Conv": 2,
        "BatchNorm": 2,
        "ReLU": 2,
        "MaxPool": 1,
        "InvertedResidual(ShuffleNet)": 16,
    },
    "wide_resnet50_2": {
        "Conv": 1,
        "BatchNorm": 1,
        "ReLU": 1,
        "MaxPool": 1,
        "Bottleneck(wide)": 16,
        "AvgPool": 1,
    },
}


def test_the_zoo_is_made_in_seconds_without_weights():
    start = time.process_time()
    records = zoo_architectures()
    assert time.process_time() - start < 20  # about 5 on an idle core, 2 of them torch's own imports
    assert len(records) == len(ZOO) == 36
    assert tuple(record.name for record in records) == ZOO
    assert zoo_architecture(ZOO[0]) is records[0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name):
    assert zoo_architecture(name).num_params == PUBLISHED[name]


def test_no_network_is_missing():
    assert set(PUBLISHED) == set(ZOO)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_comes_back_from_its_record(name):
    record = zoo_architecture(name)
    with torch.device("meta"):
        made = build(record)
    assert trace(made, record.input_size, name=name).with_blocks(record.blocks) == record
    assert sum(parameter.numel() for parameter in made.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize(
    "name",
    ["efficientnet_b0", "googlenet", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5"],
)
def test_the_rebuilt_network_computes_the_same(name):
    torch.manual_seed(0)
    model = make_network(name, num_classes=7).eval()
    x = torch.randn(2, 3, 64, 64)
    made = build(trace(model, (3, 64, 64))).eval()
    with torch.no_grad():
        for module in model.modules():  # statistics that differ from channel to channel
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        copy_weights(model, made, (3, 64, 64))
        want = model(x)
        assert torch.equal(made(x), want)
    assert want.shape == (2, 7)
    assert want.std() > 0


@pytest.mark.parametrize("name", BLOCKS_OF)
def test_blocks_are_marked(name):
    record = zoo_architecture(name)
    assert Counter(block for block, _, _ in record.blocks) == BLOCKS_OF[name]
    covered = [place for _, start, stop in record.blocks for place in range(start, stop)]
    rest = {layer.name or layer.family for layer in record.layers if layer.id not in set(covered)}
    assert rest <= {"add", "flatten", "fc", "Dropout", "mean"}, (
        "only what is between and behind blocks is outside"
    )
    assert len(covered) == len(set(covered))


def test_every_block_of_the_search_occurs():
    assert {block for record in zoo_architectures() for block, _, _ in record.blocks} == {
        b.name for b in BLOCKS
    }


SAME = ("BasicBlock", "Bottleneck(ResNet)", "Bottleneck(ResNeXt)", "Bottleneck(wide)", "SimpleStem")
SAME += ("InvertedResidual(ShuffleNet)", "ResBottleneckBlock", "MaxPool", "BatchNorm", "ReLU")


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "shufflenet_v2_x1_0", "regnet_x_400mf"],
)
def test_search_blocks_have_the_parameters_of_the_published_blocks(name):
    """Same channels in and out, same stride: the block of the search space is the published one."""
    record = zoo_architecture(name)
    compared = 0
    for block, start, stop in record.blocks:
        if block not in SAME:
            continue
        first, last = record.layers[start], record.layers[stop - 1]
        stride = round(first.in_size[1] / last.out_size[1])
        with torch.device("meta"):
            made = BLOCKS[index_of(block)].build(first.in_size[0], last.out_size[0], stride)
        want = sum(layer.num_params for layer in record.layers[start:stop])
        assert sum(parameter.numel() for parameter in made.parameters()) == want, (block, start)
        compared += 1
    assert compared > 10


@pytest.mark.parametrize(
    ("rule", "widths", "depths"),
    [
        ((22, 24, 24.48, 2.54, 16), (32, 64, 160, 400), (1, 2, 7, 12)),
        ((23, 320, 69.86, 2.0, 168), (336, 672, 1344, 2520), (2, 7, 13, 1)),
        ((27, 48, 20.71, 2.65, 24), (48, 120, 336, 888), (2, 6, 17, 2)),
        ((20, 232, 115.89, 2.53, 232), (232, 696, 1392, 3712), (2, 5, 12, 1)),
    ],
)
def test_regnet_rule_gives_the_published_tables(rule, widths, depths):
    found = stages(*rule)
    assert tuple(width for width, _, _ in found) == widths
    assert tuple(depth for _, depth, _ in found) == depths


@pytest.mark.parametrize("number", [1, 3.9, 4, 11, 12, 16, 17.6, 35.2, 44, 89.6, 352])
def test_divisible_against_its_definition(number):
    multiples = [8 * k for k in range(1, 100)]
    nearest = min(multiples, key=lambda m: (abs(m - number), -m))
    want = nearest if nearest >= 0.9 * number else min(m for m in multiples if m > nearest)
    assert divisible(number, 8) == want


def test_an_unknown_network_names_its_neighbors():
    with pytest.raises(InputError, match="resnet50"):
        zoo_architecture("resnet51")


def test_other_numbers_of_classes():
    assert trace(make_network("googlenet", num_classes=3), (3, 64, 64)).out_size == (3,)
