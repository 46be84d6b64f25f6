"""SAME padding against a slow transcription of how lax defines its convolutions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.nn.slots import SameConv2d, SameConvTranspose2d, same_padding, transposed_padding


def correlate(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Valid correlation: x (c, h, w), kernel (o, c, s, s) -> (o, y, x)."""
    side = kernel.shape[-1]
    rows = (x.shape[1] - side) // stride + 1
    columns = (x.shape[2] - side) // stride + 1
    out = np.zeros((len(kernel), rows, columns))
    for o in range(len(kernel)):
        for y in range(rows):
            for z in range(columns):
                window = x[:, y * stride : y * stride + side, z * stride : z * stride + side]
                out[o, y, z] = (window * kernel[o]).sum()
    return out


def lax_conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """`lax.conv_general_dilated(..., padding="SAME")`."""
    side, pads = kernel.shape[-1], []
    for size in x.shape[1:]:
        outputs = math.ceil(size / stride)
        total = max((outputs - 1) * stride + side - size, 0)
        pads.append((total // 2, total - total // 2))
    return correlate(np.pad(x, [(0, 0), *pads]), kernel, stride)


def lax_conv_transpose(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """`lax.conv_transpose(..., padding="SAME")`: zeros between the pixels, padding, a plain correlation."""
    channels, height, width = x.shape
    spread = np.zeros((channels, (height - 1) * stride + 1, (width - 1) * stride + 1))
    spread[:, ::stride, ::stride] = x
    side = kernel.shape[-1]
    total = side + stride - 2
    low = side - 1 if stride > side - 1 else int(np.ceil(total / 2))
    pads = (low, total - low)
    return correlate(np.pad(spread, [(0, 0), pads, pads]), kernel, 1)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 7), (8, 5), (3, 9)])
@torch.no_grad()
def test_strided_convolution_is_lax(kernel, stride, size):
    layer = SameConv2d(2, 3, kernel, stride=stride).double()
    x = torch.randn(1, 2, *size).double()
    wanted = lax_conv(x[0].numpy(), layer.weight.numpy(), stride) + layer.bias.numpy()[:, None, None]
    got = layer(x)[0]
    assert got.shape == wanted.shape == (3, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (4, 3), (2, 5)])
@torch.no_grad()
def test_transposed_convolution_is_lax_with_the_kernel_turned(kernel, stride, size):
    layer = SameConvTranspose2d(2, 3, kernel, stride=stride).double()
    x = torch.randn(1, 2, *size).double()
    flipped = layer.weight.numpy().transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    wanted = lax_conv_transpose(x[0].numpy(), flipped, stride) + layer.bias.numpy()[:, None, None]
    got = layer(x)[0]
    assert got.shape == wanted.shape == (3, size[0] * stride, size[1] * stride)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-10, atol=1e-12)


def test_differs_from_torchs_padding_where_jax_pads_one_side_more():
    x = torch.randn(1, 1, 8, 8)
    layer = SameConv2d(1, 1, 5, stride=2)
    torchs = torch.nn.functional.conv2d(x, layer.weight, layer.bias, 2, 2)
    assert torchs.shape == layer(x).shape
    assert not torch.allclose(torchs, layer(x))


def test_paddings_are_as_long_as_they_must_be():
    assert same_padding(10, kernel=3, stride=5) == (0, 0)
    assert same_padding(9, kernel=3, dilation=2) == (2, 2)
    for kernel in range(1, 7):
        for stride in range(1, 7):
            assert sum(transposed_padding(kernel=kernel, stride=stride)) == kernel + stride - 2


def test_gradients_pass_the_cut_edge():
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    layer = SameConvTranspose2d(1, 2, 5, stride=2).double()
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradcheck(SameConv2d(1, 2, 4, stride=2).double(), (x,))


def test_kernels_of_nothing():
    with pytest.raises(InputError, match="kernel"):
        SameConvTranspose2d(1, 1, 0)
