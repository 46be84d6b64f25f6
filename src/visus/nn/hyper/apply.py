"""Apply a different weight to every sample of a batch, without a loop over the batch.

Ways that give the same numbers and differ in speed: `grouped` (the batch folded into the channels of
one grouped convolution), `einsum` (a batched matrix product, kernels of size one), `vmap`, `loop` (one sample
after the other). `rule` takes `einsum` where it applies and `grouped` elsewhere; `auto` takes what was
measured fastest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError
from visus.nn.hyper.choose import fastest

Way: TypeAlias = Literal["auto", "rule", "grouped", "einsum", "vmap", "loop"]
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def linear_each(
    x: Float[Tensor, "b *n i"],
    weight: Float[Tensor, "b o i"],
    bias: Float[Tensor, "b o"] | None = None,
    *,
    impl: Way = "auto",
) -> Float[Tensor, "b *n o"]:
    """y[s] = x[s] W[s]^T + bias[s] for every sample s.

    Every way is valid here. Raises `InputError` when the batch sizes differ or `impl` is unknown.
    """
    _check(impl, x, weight)
    ways = linear_ways()
    if len(x) == 0:
        return x.new_zeros(*x.shape[:-1], weight.shape[1])
    way: str = "einsum" if impl == "rule" else impl
    if way == "auto":
        way = fastest(("linear_each",), ways, (x, weight, bias), default="einsum")
    return ways[way](x, weight, bias)


def conv_each(
    x: Float[Tensor, "b c *space"],
    weight: Float[Tensor, "b o i *kernel"],
    bias: Float[Tensor, "b o"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    impl: Way = "auto",
) -> Float[Tensor, "b o *out"]:
    """y[s] = conv(x[s], W[s], bias[s]) for every sample s, in 1, 2 or 3 dimensions (i = c / groups).

    `impl="einsum"` needs a kernel of size one. Raises `InputError` when the batch sizes differ and when
    `impl` is unknown or not valid for the kernel.
    """
    _check(impl, x, weight)
    dims = x.ndim - 2
    settings: tuple[Any, ...] = (
        _tuple(stride, dims),
        padding if isinstance(padding, str) else _tuple(padding, dims),
        _tuple(dilation, dims),
        groups,
    )
    ways = conv_ways(settings, pointwise=math.prod(weight.shape[3:]) == 1)
    if len(x) == 0:
        return CONV[dims](x, weight.new_zeros(weight.shape[1:]), None, *settings)
    default = next(iter(ways))
    way: str = default if impl == "rule" else impl
    if way == "auto":
        way = fastest(("conv_each", *settings), ways, (x, weight, bias), default=default)
    if way not in ways:
        raise InputError(
            f"{impl!r} is not valid for a kernel of {tuple(weight.shape[3:])}",
            field="impl",
            remedy='use "grouped", "vmap", "loop", "rule" or "auto"',
        )
    return ways[way](x, weight, bias)


def linear_ways() -> dict[str, Callable[..., Tensor]]:
    """The valid ways for a linear layer, the fixed rule's choice first."""
    return {"einsum": _linear_einsum, "grouped": _linear_grouped, "vmap": _linear_vmap, "loop": _linear_loop}


def conv_ways(settings: tuple, *, pointwise: bool) -> dict[str, Callable[..., Tensor]]:
    """The valid ways for one convolution, the fixed rule's choice first."""
    ways = {"grouped": _conv_grouped, "vmap": _conv_vmap, "loop": _conv_loop}
    if pointwise:
        ways = {"einsum": _conv_einsum, **ways}
    return {name: partial(way, settings=settings) for name, way in ways.items()}


def _check(impl: str, x: Tensor, weight: Tensor) -> None:
    if impl not in get_args(Way):
        raise InputError(f"{impl!r} is unknown", field="impl", remedy=f"one of {get_args(Way)}")
    if len(x) != len(weight):
        raise InputError(
            f"{len(x)} samples but weights for {len(weight)}",
            field="cond",
            remedy="give one condition row per sample",
        )


def _tuple(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


def _linear_einsum(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    flat = x.reshape(len(x), -1, x.shape[-1])
    turned = weight.transpose(1, 2)
    y = torch.bmm(flat, turned) if bias is None else torch.baddbmm(bias[:, None], flat, turned)
    return y.reshape(*x.shape[:-1], weight.shape[1])


def _linear_grouped(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    flat = rearrange(x.reshape(len(x), -1, x.shape[-1]), "b n i -> 1 (b i) n")
    bias = None if bias is None else rearrange(bias, "b o -> (b o)")
    y = F.conv1d(flat, rearrange(weight, "b o i -> (b o) i 1"), bias, groups=len(x))
    return rearrange(y, "1 (b o) n -> b n o", b=len(x)).reshape(*x.shape[:-1], weight.shape[1])


def _linear_vmap(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return torch.vmap(F.linear)(x, weight)
    return torch.vmap(F.linear)(x, weight, bias)


def _linear_loop(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    biases = [None] * len(x) if bias is None else bias
    return torch.stack([F.linear(*sample) for sample in zip(x, weight, biases)])


def _conv_grouped(x: Tensor, weight: Tensor, bias: Tensor | None, *, settings: tuple) -> Tensor:
    stride, padding, dilation, groups = settings
    folded = rearrange(x, "b c ... -> 1 (b c) ...")
    bias = None if bias is None else rearrange(bias, "b o -> (b o)")
    kernel = rearrange(weight, "b o ... -> (b o) ...")
    y = CONV[x.ndim - 2](folded, kernel, bias, stride, padding, dilation, groups * len(x))
    return rearrange(y, "1 (b o) ... -> b o ...", b=len(x))


def _conv_einsum(x: Tensor, weight: Tensor, bias: Tensor | None, *, settings: tuple) -> Tensor:
    stride, padding, _, groups = settings
    if not isinstance(padding, str) and any(padding):
        x = F.pad(x, [pad for size in reversed(padding) for pad in (size, size)])
    x = x[(..., *(slice(None, None, step) for step in stride))]
    space, out = x.shape[2:], weight.shape[1]
    columns = rearrange(x, "b (g i) ... -> (b g) i (...)", g=groups)
    rows = weight.reshape(len(x) * groups, out // groups, -1)
    if bias is None:
        y = torch.bmm(rows, columns)
    else:
        y = torch.baddbmm(bias.reshape(len(rows), -1, 1), rows, columns)
    return y.reshape(len(x), out, *space)


def _conv_vmap(x: Tensor, weight: Tensor, bias: Tensor | None, *, settings: tuple) -> Tensor:
    conv = CONV[x.ndim - 2]

    def one(image: Tensor, kernel: Tensor, offset: Tensor | None = None) -> Tensor:
        return conv(image[None], kernel, offset, *settings)[0]

    return torch.vmap(one)(x, weight) if bias is None else torch.vmap(one)(x, weight, bias)


def _conv_loop(x: Tensor, weight: Tensor, bias: Tensor | None, *, settings: tuple) -> Tensor:
    conv = CONV[x.ndim - 2]
    biases = [None] * len(x) if bias is None else bias
    return torch.cat([conv(image[None], kernel, b, *settings) for image, kernel, b in zip(x, weight, biases)])
