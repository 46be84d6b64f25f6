"""The four ways against a transcription with explicit sums, in float64, values and gradients."""

import itertools

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.nn.hyper import conv_each, linear_each

CASES = [  # dims, kernel, stride, padding, dilation, groups, batch
    (1, 3, 1, 1, 1, 1, 2),
    (1, 1, 2, 0, 1, 1, 7),
    (1, 3, 2, 2, 2, 2, 1),
    (2, 3, 1, 1, 1, 1, 1),
    (2, 3, 2, 0, 1, 2, 7),
    (2, 1, 1, 0, 1, 2, 2),
    (2, 1, 2, 1, 1, 1, 2),
    (2, (3, 1), (1, 2), (1, 0), (1, 2), 1, 2),
    (3, 3, 2, 1, 1, 1, 2),
    (3, 1, 2, 0, 1, 1, 7),
    (3, 3, 1, 1, 1, 2, 1),
]


def several(value, dims):
    return (value,) * dims if isinstance(value, int) else value


def slow_conv(x, weight, bias, stride, padding, dilation, groups):
    """Every output number as an explicit sum over one sample's padded image."""
    dims = x.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    batch, out, inner, *kernel = weight.shape
    size = [(x.shape[2 + d] - dilation[d] * (kernel[d] - 1) - 1) // stride[d] + 1 for d in range(dims)]
    y = np.zeros((batch, out, *size))
    for s, o, place in itertools.product(range(batch), range(out), np.ndindex(*size)):
        total = 0.0 if bias is None else bias[s, o]
        first = (o // (out // groups)) * inner
        for i, tap in itertools.product(range(inner), np.ndindex(*kernel)):
            where = tuple(place[d] * stride[d] + tap[d] * dilation[d] for d in range(dims))
            total += weight[(s, o, i, *tap)] * x[(s, first + i, *where)]
        y[(s, o, *place)] = total
    return y


def draw(*shape, generator):
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


def values_and_gradients(way, inputs):
    y = way(*inputs)
    return y, torch.autograd.grad(
        (y * torch.arange(y.numel()).view_as(y)).sum(), [t for t in inputs if t is not None]
    )


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("dims", "kernel", "stride", "padding", "dilation", "groups", "batch"), CASES)
def test_every_way_equals_the_explicit_sum(dims, kernel, stride, padding, dilation, groups, batch, with_bias):
    generator = torch.Generator().manual_seed(3)
    kernel = several(kernel, dims)
    x = draw(batch, 4, *(5, 6, 4)[:dims], generator=generator)
    weight = draw(batch, 6, 4 // groups, *kernel, generator=generator)
    bias = draw(batch, 6, generator=generator) if with_bias else None
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    plain = [None if t is None else t.detach().numpy() for t in (x, weight, bias)]
    wanted = slow_conv(
        *plain, *(several(settings[k], dims) for k in ("stride", "padding", "dilation")), groups
    )
    ways = ["grouped", "vmap", "loop", "auto", "rule"] + (["einsum"] if set(kernel) == {1} else [])
    results = {
        impl: values_and_gradients(
            lambda *t, impl=impl: conv_each(*t, impl=impl, **settings), (x, weight, bias)
        )
        for impl in ways
    }
    for impl, (y, gradients) in results.items():
        np.testing.assert_allclose(y.detach().numpy(), wanted, atol=1e-9, rtol=1e-9, err_msg=impl)
        for got, reference in zip(gradients, results["loop"][1]):
            torch.testing.assert_close(got, reference, atol=1e-9, rtol=1e-9, msg=impl)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 5), (7, 5), (3, 2, 5), (2, 3, 2, 5)])
def test_linear_ways_equal_the_explicit_product(shape, with_bias):
    generator = torch.Generator().manual_seed(4)
    x, weight = draw(*shape, generator=generator), draw(shape[0], 3, 5, generator=generator)
    bias = draw(shape[0], 3, generator=generator) if with_bias else None
    wanted = np.stack([x[s].detach().numpy() @ weight[s].detach().numpy().T for s in range(shape[0])])
    if bias is not None:
        wanted = wanted + bias.detach().numpy().reshape(shape[0], *[1] * (len(shape) - 2), 3)
    results = {
        impl: values_and_gradients(lambda *t, impl=impl: linear_each(*t, impl=impl), (x, weight, bias))
        for impl in ("einsum", "grouped", "vmap", "loop", "auto", "rule")
    }
    for impl, (y, gradients) in results.items():
        np.testing.assert_allclose(y.detach().numpy(), wanted, atol=1e-9, rtol=1e-9, err_msg=impl)
        for got, reference in zip(gradients, results["loop"][1]):
            torch.testing.assert_close(got, reference, atol=1e-9, rtol=1e-9)


def test_padding_by_name_and_an_empty_batch():
    x, weight = torch.ones(2, 1, 5, 5), torch.ones(2, 1, 1, 3, 3)
    assert conv_each(x, weight, padding="same").shape == (2, 1, 5, 5)
    assert conv_each(x[:0], weight[:0], padding=1, stride=2).shape == (0, 1, 3, 3)
    assert linear_each(torch.ones(0, 4, 3), torch.ones(0, 2, 3)).shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("impl", "samples", "words"),
    [("einsum", 2, "not valid for a kernel"), ("fast", 2, "unknown"), ("auto", 3, "weights for 2")],
)
def test_misuse_is_refused_in_words(impl, samples, words):
    with pytest.raises(InputError, match=words):
        conv_each(torch.ones(samples, 1, 5, 5), torch.ones(2, 1, 1, 3, 3), impl=impl)
