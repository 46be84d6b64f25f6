"""Small parts shared by slot encoders, correctors and predictors, with the defaults of Flax.

Layer norms have epsilon 1e-6 and dense layers start as Flax starts them (truncated LeCun normal, zero biases),
so that a network described by a Flax configuration is the same network here.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError

FLAX_EPSILON = 1e-6
TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut at two standard deviations."""


def layer_norm(size: int) -> nn.LayerNorm:
    """LayerNorm with Flax's epsilon."""
    return nn.LayerNorm(size, eps=FLAX_EPSILON)


def mlp(*sizes: int) -> nn.Sequential:
    """Dense layers of these widths with ReLU between them (none after the last).

    >>> [type(layer).__name__ for layer in mlp(4, 256, 128)]
    ['Linear', 'ReLU', 'Linear']
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def start_like_flax(module: nn.Module) -> None:
    """Draw every dense, convolution and GRU layer inside `module` as Flax does by default.

    Kernels: normal of variance 1 / fan-in cut at two standard deviations; recurrent kernels orthogonal; biases
    zero. Draws from torch's global CPU generator, as every torch layer does when it is made.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # a transposed convolution keeps its inputs on axis 0, the others on axis 1
            inputs = layer.weight.shape[0 if isinstance(layer, nn.ConvTranspose2d) else 1]
            _lecun_normal_(layer.weight, inputs * math.prod(layer.weight.shape[2:]))
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.GRUCell):
            for gate in layer.weight_ih.chunk(3):
                _lecun_normal_(gate, layer.input_size)
            for gate in layer.weight_hh.chunk(3):
                nn.init.orthogonal_(gate)
            if layer.bias:
                layer.bias_ih.zero_()
                layer.bias_hh.zero_()


def _lecun_normal_(weight: Tensor, fan_in: int) -> None:
    std = fan_in**-0.5 / TRUNCATED_STD
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class CrossAttention(nn.Module):
    """Multi-head dot-product attention whose inner width may differ from the width of its tokens.

    out = W_o concat_h softmax(q_h k_h^T / sqrt(e)) v_h + b_o,   e = qkv / heads

    `project` and `attend` are the two halves of `forward`, so that projected keys and values can be kept and
    reused. The fused kernel holds no (l, n) matrix where the device has one.

    Parameters
    ----------
    size : width d of the queries and of the output.
    heads : number of heads; divides `qkv`.
    qkv : inner width, `size` unless given.
    context : width c of the attended tokens, `size` unless given.
    bias : whether the four maps have biases.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        qkv: int | None = None,
        context: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        qkv = size if qkv is None else qkv
        if heads < 1 or qkv % heads:
            raise InputError(
                f"inner width {qkv} cannot be divided among {heads} heads",
                field="heads",
                remedy="choose a number of heads that divides it",
            )
        self.heads = heads
        self.to_query = nn.Linear(size, qkv, bias=bias)
        self.to_key_value = nn.Linear(size if context is None else context, 2 * qkv, bias=bias)
        self.to_out = nn.Linear(qkv, size, bias=bias)
        start_like_flax(self)

    def project(
        self, context: Float[Tensor, "b n c"]
    ) -> tuple[Float[Tensor, "b h n e"], Float[Tensor, "b h n e"]]:
        """Keys and values of the attended tokens."""
        keys, values = rearrange(self.to_key_value(context), "b n (z h e) -> z b h n e", z=2, h=self.heads)
        return keys, values

    def attend(
        self,
        query: Float[Tensor, "b l d"],
        keys: Float[Tensor, "b h n e"],
        values: Float[Tensor, "b h n e"],
        *,
        visible: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b l d"]:
        """Attend to projected tokens; `visible` is False for tokens that must not be seen."""
        queries = rearrange(self.to_query(query), "b l (h e) -> b h l e", h=self.heads)
        mask = None if visible is None else visible[:, None, None]
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.to_out(rearrange(mixed, "b h l e -> b l (h e)"))

    def forward(
        self,
        query: Float[Tensor, "b l d"],
        context: Float[Tensor, "b n c"],
        *,
        visible: Bool[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b l d"]:
        return self.attend(query, *self.project(context), visible=visible)


class TransformerBlock(nn.Module):
    """Self-attention and an MLP, each with a residual; the one-frame predictor of SAVi.

    after:   x = LN(x + MHA(x));   out = LN(x + MLP(x))          (`pre_norm=False`)
    before:  x = x + MHA(LN x);    out = x + MLP(LN x)           (`pre_norm=True`)

    Parameters
    ----------
    size : width of the tokens.
    heads, qkv : see `CrossAttention`.
    hidden : width inside the MLP, one ReLU.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int = 4,
        qkv: int | None = None,
        hidden: int = 256,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = CrossAttention(size, heads=heads, qkv=qkv)
        self.mlp = mlp(size, hidden, size)
        self.norm_attention, self.norm_mlp = layer_norm(size), layer_norm(size)
        start_like_flax(self)

    def forward(
        self, tokens: Float[Tensor, "b n d"], *, visible: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        if self.pre_norm:
            normed = self.norm_attention(tokens)
            tokens = tokens + self.attention(normed, normed, visible=visible)
            return tokens + self.mlp(self.norm_mlp(tokens))
        tokens = self.norm_attention(tokens + self.attention(tokens, tokens, visible=visible))
        return self.norm_mlp(tokens + self.mlp(tokens))
