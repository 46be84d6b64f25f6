"""Per-sample weights without ever making them: a linear head and the layer it feeds are one bilinear map.

W(c) = a + sum_k c_k G_k, so f(x; W(c)) = f(x; a) + sum_k c_k f(x; G_k): one ordinary layer with (1 + k) times
the output channels, then a product with c per sample. It needs no memory for a batch of weights and wins
where the weights are many and the condition is narrow.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def linear_factored(
    x: Float[Tensor, "b *n i"],
    cond: Float[Tensor, "b m"],
    heads: tuple[Float[Tensor, "w m"], Float[Tensor, " w"] | None],
    *,
    shape: tuple[int, ...],
) -> Float[Tensor, "b *n o"]:
    """x W(c)^T for heads (G, a); `shape` is that of one weight (o, i). a = None stands for zero."""
    stacked, coefficients = _stack(cond, heads)
    kernels = rearrange(stacked, "(o i) k -> (k o) i", o=shape[0])
    parts = F.linear(x.reshape(len(x), -1, x.shape[-1]), kernels)
    parts = rearrange(parts, "b n (k o) -> b n k o", o=shape[0])
    y = torch.matmul(coefficients[:, None, None, :], parts)
    return y.reshape(*x.shape[:-1], shape[0])


def conv_factored(
    x: Float[Tensor, "b c *space"],
    cond: Float[Tensor, "b m"],
    heads: tuple[Float[Tensor, "w m"], Float[Tensor, " w"] | None],
    *,
    shape: tuple[int, ...],
    settings: tuple,
) -> Float[Tensor, "b o *out"]:
    """conv(x, W(c)) for heads (G, a); `shape` is that of one weight (o, i, *kernel).

    `settings`: stride, padding, dilation, groups, as for `torch.nn.functional.conv2d`.
    """
    stacked, coefficients = _stack(cond, heads)
    groups, out = settings[-1], shape[0]
    size = math.prod(shape[1:])
    kernels = rearrange(stacked, "(g o w) k -> (g k o) w", g=groups, w=size).reshape(-1, *shape[1:])
    conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x.ndim - 2]
    parts = conv(x, kernels, None, *settings)
    space = parts.shape[2:]
    parts = parts.reshape(len(x), groups, coefficients.shape[1], -1)
    return torch.matmul(coefficients[:, None, None, :], parts).reshape(len(x), out, *space)


def _stack(cond: Tensor, heads: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
    """(w, k) kernels side by side and the (b, k) numbers they are weighted with."""
    generator, start = heads
    if start is None:
        return generator, cond
    return torch.cat([start[:, None], generator], dim=1), torch.cat(
        [cond.new_ones(len(cond), 1), cond], dim=1
    )
