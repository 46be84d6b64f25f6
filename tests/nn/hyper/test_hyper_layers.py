"""Conditioned layers: every sample by its own weights, and by nothing of its neighbors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visus.errors import InputError
from visus.nn.hyper import HyperConv1d, HyperConv2d, HyperConv3d, HyperLinear

CONVS = {1: HyperConv1d, 2: HyperConv2d, 3: HyperConv3d}
PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LAYERS = ["linear", *[(dims, kernel, stride) for dims in (1, 2, 3) for kernel in (1, 3) for stride in (1, 2)]]


def make(case, impl="auto", **options):
    torch.manual_seed(0)
    if case == "linear":
        return HyperLinear(4, 6, cond_dim=5, impl=impl, **options), (4,)
    dims, kernel, stride = case
    layer = CONVS[dims](4, 6, kernel, cond_dim=5, stride=stride, padding=kernel // 2, impl=impl, **options)
    return layer, (4, 6, 5, 4)[: dims + 1]


def draw(batch, shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *shape, generator=generator), torch.randn(batch, 5, generator=generator)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_a_sample_does_not_depend_on_its_batch_mates(case, batch):
    layer, shape = make(case)
    x, cond = draw(batch, shape)
    together = layer(x, cond)
    for i in range(batch):
        torch.testing.assert_close(layer(x[i : i + 1], cond[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(layer(x[order], cond[order]), together[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", [case for case in LAYERS if case != "linear"], ids=str)
def test_the_neighbor_s_image_is_not_convolved(case):
    """Sample s with its own kernel; the public code takes the image of sample s - 1 for every s > 0."""
    layer, shape = make(case, impl="rule")
    x, cond = draw(4, shape)
    weight, bias = layer.emit(cond)
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[case[0]]

    def one(image, kernel):
        return conv(x[image : image + 1], weight[kernel], bias[kernel], layer.stride, layer.padding)[0]

    y = layer(x, cond)
    for s in range(4):
        torch.testing.assert_close(y[s], one(s, s), atol=1e-5, rtol=1e-5)
    for s in range(1, 4):
        assert (y[s] - one(s - 1, s)).abs().max() > 0.1


@pytest.mark.parametrize("case", LAYERS, ids=str)
def test_ways_agree_through_the_generator(case):
    """Gradients with respect to the image, the condition and the generators, in float64."""
    impls = ["grouped", "vmap", "loop", "factored", "auto", "rule"] + (
        ["einsum"] if case == "linear" or case[1] == 1 else []
    )
    reference = None
    for impl in impls:
        layer, shape = make(case, impl=impl)
        layer = layer.double()
        x, cond = (t.double().requires_grad_() for t in draw(3, shape))
        y = layer(x, cond)
        found = [y, *torch.autograd.grad(y.square().sum(), [x, cond, *layer.parameters()])]
        reference = reference or found
        for got, wanted in zip(found, reference):
            torch.testing.assert_close(got, wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("case", [*LAYERS, (2, 3, 1)], ids=str)
def test_a_zero_generator_is_the_plain_layer_bit_for_bit(case):
    layer, shape = make(case)
    if case == "linear":
        plain = nn.Linear(4, 6)
    else:
        plain = PLAIN[case[0]](4, 6, case[1], stride=case[2], padding=case[1] // 2)
    layer.start_from(plain.weight, plain.bias)
    x, cond = draw(5, shape)
    assert torch.equal(layer(x, cond), plain(x))
    layer.split = False
    torch.testing.assert_close(layer(x, cond), plain(x), atol=1e-6, rtol=1e-5)
    torch.nn.init.normal_(layer.weight_generator.weight)
    joined = layer(x, cond)
    layer.split = True
    torch.testing.assert_close(layer(x, cond), joined, atol=1e-4, rtol=1e-4)
    assert (joined - plain(x)).abs().max() > 0.1


def test_only_the_condition_changes_only_its_sample():
    layer, shape = make((2, 3, 1))
    x, cond = draw(4, shape)
    before, swapped = layer(x, cond), cond[[0, 2, 1, 3]]
    after = layer(x, swapped)
    changed = (before - after).flatten(1).abs().amax(1) > 1e-3
    assert changed.tolist() == [False, True, True, False]


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_follow_the_plain_layer(mode):
    plain = nn.Conv2d(4, 6, 3, padding=1, padding_mode=mode)
    layer = HyperConv2d(4, 6, 3, cond_dim=5, padding=1, padding_mode=mode)
    layer.start_from(plain.weight, plain.bias)
    layer.split = False
    x, cond = draw(2, (4, 6, 5))
    torch.testing.assert_close(layer(x, cond), plain(x), atol=1e-6, rtol=1e-5)


def test_counts_groups_and_no_bias():
    layer = HyperConv3d(128, 256, 1, cond_dim=8)
    assert layer.emits == (32_768, 256)
    assert sum(p.numel() for p in layer.parameters()) == (8 + 1) * (32_768 + 256)
    bare = HyperConv2d(4, 6, 3, cond_dim=2, groups=2, bias=False)
    assert bare.emits == (6 * 2 * 9, 0)
    assert bare.bias is None
    assert bare(torch.ones(2, 4, 5, 5), torch.ones(2, 2)).shape == (2, 6, 3, 3)
    sequence = HyperLinear(3, 2, cond_dim=2)(torch.ones(4, 7, 3), torch.ones(4, 2))
    assert sequence.shape == (4, 7, 2)


@pytest.mark.parametrize(
    ("x", "cond", "words"),
    [
        ((2, 4, 6), (2, 5), "4 spatial|2 spatial"),
        ((2, 4, 6, 5), (2, 3), "cond"),
        ((2, 4, 6, 5), (3, 5), "cond"),
    ],
)
def test_wrong_shapes_are_refused_in_words(x, cond, words):
    layer, _ = make((2, 3, 1))
    with pytest.raises(InputError, match=words):
        layer(torch.ones(x), torch.ones(cond))


def test_weights_of_another_shape_are_refused():
    layer, _ = make("linear")
    with pytest.raises(InputError, match="another layer"):
        layer.start_from(torch.ones(4, 6), torch.ones(6))
    with pytest.raises(InputError, match="another layer"):
        layer.start_from(torch.ones(6, 4), None)
