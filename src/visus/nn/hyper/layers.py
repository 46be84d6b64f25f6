"""Linear and convolution layers with weights emitted per sample by linear heads."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias, TypedDict, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError
from visus.nn.hyper.apply import CONV, Way, conv_ways, linear_ways
from visus.nn.hyper.choose import fastest
from visus.nn.hyper.factored import conv_factored, linear_factored
from visus.nn.hyper.initialize import Hyperfan, uniform_

Implementation: TypeAlias = Way | Literal["factored"]


class Geometry(TypedDict, total=False):
    """How a convolution moves over its input: the arguments of `torch.nn.Conv*d`."""

    stride: int | Sequence[int]
    padding: int | Sequence[int] | str
    dilation: int | Sequence[int]
    groups: int
    padding_mode: str


class _Hyper(nn.Module, ABC):
    """The generators, shared by linear and convolution layers.

    W = G_w c + a_w,   b = G_b c + a_b

    `split` computes f(x; a) + f(x; G c) instead of f(x; a + G c): equal in exact arithmetic, one more plain
    layer of work, and with G = 0 bit for bit the plain layer with weights a. It may be switched at any time.
    """

    def __init__(self, shape: tuple[int, ...], *, cond_dim: int, bias: bool, impl: Implementation) -> None:
        super().__init__()
        if cond_dim < 1:
            raise InputError(
                f"{cond_dim} is not a width", field="cond_dim", remedy="give the condition's columns"
            )
        self.weight_shape, self.cond_dim = shape, cond_dim
        self.impl: Implementation = impl
        self.split = False
        self.weight_generator = nn.Linear(cond_dim, math.prod(shape))
        self.bias_generator = nn.Linear(cond_dim, shape[0]) if bias else None

    @property
    def emits(self) -> tuple[int, int]:
        """Numbers emitted per sample: (weights, biases)."""
        return math.prod(self.weight_shape), self.weight_shape[0] if self.bias_generator is not None else 0

    @property
    def weight(self) -> Tensor:
        """The weight at condition zero, in the shape of the plain layer."""
        return self.weight_generator.bias.view(self.weight_shape)

    @property
    def bias(self) -> Tensor | None:
        """The bias at condition zero."""
        return None if self.bias_generator is None else self.bias_generator.bias

    def emit(self, cond: Float[Tensor, "b m"]) -> tuple[Tensor, Tensor | None]:
        """Weights (b, o, i, *kernel) and biases (b, o) of every sample."""
        self._check(cond)
        bias = None if self.bias_generator is None else self.bias_generator(cond)
        return self.weight_generator(cond).view(len(cond), *self.weight_shape), bias

    def reset_parameters(self, init: Hyperfan, generator: torch.Generator | None = None) -> None:
        """Draw the generators by hyperfan-in; their own biases become zero."""
        has_bias = self.bias_generator is not None
        fan_in = math.prod(self.weight_shape[1:])
        weight, bias = init.variances(fan_in=fan_in, width=self.cond_dim, has_bias=has_bias)
        uniform_(self.weight_generator.weight, weight, generator)
        nn.init.zeros_(self.weight_generator.bias)
        if self.bias_generator is not None:
            uniform_(self.bias_generator.weight, bias, generator)
            nn.init.zeros_(self.bias_generator.bias)

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor | None) -> None:
        """Become the plain layer with these weights: generators zero, their biases these; `split` on."""
        if (bias is None) != (self.bias_generator is None) or tuple(weight.shape) != self.weight_shape:
            raise InputError(
                "is another layer's weight", field="weight", remedy=f"give shape {self.weight_shape}"
            )
        for head, start in ((self.weight_generator, weight), (self.bias_generator, bias)):
            if head is not None and start is not None:
                head.weight.zero_()
                head.bias.copy_(start.reshape(-1))
                head.bias.requires_grad_(start.requires_grad)
        self.split = True

    @abstractmethod
    def _ways(self, x: Tensor) -> dict[str, Callable[..., Tensor]]:
        """Equal ways f(x, cond, G_w, a_w, G_b, a_b) for inputs like x, the fixed rule's choice first."""

    @abstractmethod
    def _plain(self, x: Tensor) -> Tensor:
        """The layer with the weights at condition zero, for all samples."""

    def _run(self, x: Tensor, cond: Tensor, *, settings: tuple = ()) -> Tensor:
        self._check(cond)
        if len(x) != len(cond):
            raise InputError(
                f"{len(cond)} rows for {len(x)} samples", field="cond", remedy="give as many rows"
            )
        inputs: list[Tensor | None] = [x, cond]
        for head in (self.weight_generator, self.bias_generator):
            bias = None if head is None or self.split else head.bias
            inputs += [None if head is None else head.weight, bias]
        ways = self._ways(x)
        way = self._choose(ways, inputs, settings) if len(x) else "factored"
        y = ways[way](*inputs)
        return self._plain(x) + y if self.split else y

    def _choose(self, ways: dict[str, Callable[..., Tensor]], inputs: list, settings: tuple) -> str:
        default = next(iter(ways))
        if self.impl == "auto":
            what = (type(self).__name__, self.weight_shape, *settings)
            return fastest(what, ways, inputs, default=default, shared=4)
        way = default if self.impl == "rule" else self.impl
        if way not in ways:
            raise InputError(
                f"{way!r} is not valid here", field="impl", remedy="auto, rule, " + ", ".join(ways)
            )
        return way

    def _check(self, cond: Tensor) -> None:
        if cond.ndim != 2 or cond.shape[1] != self.cond_dim:
            wanted = f"give (batch, {self.cond_dim}) numbers"
            raise InputError(f"has shape {tuple(cond.shape)}", field="cond", remedy=wanted)


class HyperLinear(_Hyper):
    """`nn.Linear` with a weight and bias per sample, emitted from a condition c.

    y[s] = (G_w c[s] + a_w) x[s] + (G_b c[s] + a_b)

    Paper: 2403.13319 (hyper-linear layer).

    Parameters
    ----------
    cond_dim : width of the condition.
    init : hyperfan-in settings; the default assumes a condition of unit second moment.
    impl : how weights are applied per sample, see `visus.nn.hyper.apply`; also `"factored"`, see
        `visus.nn.hyper.factored`.

    >>> import torch
    >>> HyperLinear(6, 2, cond_dim=3)(torch.zeros(4, 6), torch.zeros(4, 3)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        cond_dim: int,
        bias: bool = True,
        init: Hyperfan | None = None,
        impl: Implementation = "auto",
    ) -> None:
        super().__init__((out_features, in_features), cond_dim=cond_dim, bias=bias, impl=impl)
        self.in_features, self.out_features = in_features, out_features
        self.reset_parameters(init or Hyperfan())

    def forward(self, x: Float[Tensor, "b *n i"], cond: Float[Tensor, "b m"]) -> Float[Tensor, "b *n o"]:
        if x.ndim < 2 or x.shape[-1] != self.in_features:
            wanted = f"give (batch, ..., {self.in_features})"
            raise InputError(f"has shape {tuple(x.shape)}", field="x", remedy=wanted)
        return self._run(x, cond)

    def _ways(self, x: Tensor) -> dict[str, Callable[..., Tensor]]:
        shape = self.weight_shape
        ways = {name: partial(_emitted, way=way, shape=shape) for name, way in linear_ways().items()}
        axes = (*[1] * (x.ndim - 2), -1)
        factored = partial(_factored, way=partial(linear_factored, shape=shape), bias_axes=axes)
        # one vector per sample: factoring costs the same arithmetic and saves the memory for weights
        return {"factored": factored, **ways} if x.ndim == 2 else {**ways, "factored": factored}

    def _plain(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, cond_dim={self.cond_dim}"


class _HyperConv(_Hyper):
    """`nn.Conv*d` with a kernel and bias per sample, emitted from a condition c.

    y[s] = conv(x[s], G_w c[s] + a_w) + G_b c[s] + a_b

    Paper: 2403.13319 (hyper-convolution layer).
    Differs: sample s is convolved with its own kernel; public code convolves sample s - 1's image with it.

    Parameters
    ----------
    cond_dim : width of the condition.
    init : hyperfan-in settings; the default assumes a condition of unit second moment.
    impl : how kernels are applied per sample, see `visus.nn.hyper.apply`; also `"factored"`, see
        `visus.nn.hyper.factored`.
    geometry : `stride`, `padding`, `dilation`, `groups`, `padding_mode` as in `torch.nn.Conv*d`.
    """

    dims = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        cond_dim: int,
        bias: bool = True,
        init: Hyperfan | None = None,
        impl: Implementation = "auto",
        **geometry: Unpack[Geometry],
    ) -> None:
        # a plain layer checks the arguments and works out the padding; on the meta device it costs nothing
        plain = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[self.dims](
            in_channels, out_channels, kernel_size, bias=bias, device="meta", **geometry
        )
        super().__init__(tuple(plain.weight.shape), cond_dim=cond_dim, bias=bias, impl=impl)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, plain.kernel_size
        self.stride, self.padding, self.dilation = plain.stride, plain.padding, plain.dilation
        self.groups, self.padding_mode = plain.groups, plain.padding_mode
        self._around = plain._reversed_padding_repeated_twice
        self.reset_parameters(init or Hyperfan())

    def forward(
        self, x: Float[Tensor, "b c *space"], cond: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b o *out"]:
        if x.ndim != self.dims + 2 or x.shape[1] != self.in_channels:
            wanted = f"give (batch, {self.in_channels}, {self.dims} spatial axes)"
            raise InputError(f"has shape {tuple(x.shape)}", field="x", remedy=wanted)
        if self.padding_mode != "zeros":
            x = F.pad(x, self._around, mode=self.padding_mode)
        return self._run(x, cond, settings=self._geometry)

    @property
    def _geometry(self) -> tuple:
        padding = self.padding if self.padding_mode == "zeros" else (0,) * self.dims
        return self.stride, padding, self.dilation, self.groups

    def _ways(self, x: Tensor) -> dict[str, Callable[..., Tensor]]:
        shape, geometry = self.weight_shape, self._geometry
        emitted = conv_ways(geometry, pointwise=math.prod(shape[2:]) == 1)
        ways = {name: partial(_emitted, way=way, shape=shape) for name, way in emitted.items()}
        factored = partial(conv_factored, shape=shape, settings=geometry)
        return {**ways, "factored": partial(_factored, way=factored, bias_axes=(-1, *[1] * self.dims))}

    def _plain(self, x: Tensor) -> Tensor:
        return CONV[self.dims](x, self.weight, self.bias, *self._geometry)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, groups={self.groups}, cond_dim={self.cond_dim}"
        )


class HyperConv1d(_HyperConv):
    __doc__ = _HyperConv.__doc__
    dims = 1


class HyperConv2d(_HyperConv):
    __doc__ = _HyperConv.__doc__
    dims = 2


class HyperConv3d(_HyperConv):
    __doc__ = _HyperConv.__doc__
    dims = 3


def _emitted(x: Tensor, cond: Tensor, *heads: Tensor | None, way: Callable, shape: tuple[int, ...]) -> Tensor:
    """Make every sample's weights, then apply them."""
    weights, start, biases, offset = heads
    assert weights is not None
    bias = None if biases is None else F.linear(cond, biases, offset)
    return way(x, F.linear(cond, weights, start).view(len(cond), *shape), bias)


def _factored(
    x: Tensor, cond: Tensor, *heads: Tensor | None, way: Callable, bias_axes: tuple[int, ...]
) -> Tensor:
    """Apply every column of the head, then mix the results by the condition."""
    weights, start, biases, offset = heads
    y = way(x, cond, (weights, start))
    return y if biases is None else y + F.linear(cond, biases, offset).view(len(cond), *bias_axes)
