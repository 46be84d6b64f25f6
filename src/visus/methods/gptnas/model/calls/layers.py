"""Calls that are layers: windows, linear maps, activations, normalizations."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.methods.gptnas.model.calls.draft import Draft, Reader, Table, Unreadable, other, reads
from visus.methods.gptnas.model.records import Setting

READERS: Table = {}


def _per_axis(number: Any, axes: int) -> tuple[int, ...]:
    numbers = tuple(number) if isinstance(number, Sequence) else (number,)
    return tuple(int(n) for n in numbers) * (axes if len(numbers) == 1 else 1)


def _both_sides(padding: Any, axes: int) -> tuple[int, ...]:
    return tuple(side for side in _per_axis(padding, axes) for _ in range(2))


def _batched(x: Tensor, axes: int) -> None:
    if x.ndim != axes + 2:
        raise Unreadable("the call is not batched")


# ---- windows ----------------------------------------------------------------------------------------------


def _convolution(
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Draft:
    axes = weight.ndim - 2
    _batched(input, axes)
    kernel, spread = tuple(weight.shape[2:]), _per_axis(dilation, axes)
    if padding == "same":  # torch puts the odd cell at the end
        total = [d * (k - 1) for d, k in zip(spread, kernel)]
        sides = tuple(side for t in total for side in (t // 2, t - t // 2))
    else:
        sides = _both_sides(0 if padding == "valid" else padding, axes)
    fields = {
        "kernel": kernel,
        "stride": _per_axis(stride, axes),
        "padding": sides,
        "dilation": spread,
        "groups": groups,
        "bias_used": bias is not None,
    }
    return Draft("conv", [input], out, fields, {}, (weight, bias))


reads(READERS, torch.conv1d, torch.conv2d, torch.conv3d)(_convolution)


@reads(READERS, torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)
def _conv_transpose(
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Draft:
    draft = _convolution(out, input, weight, bias, stride, padding, dilation, groups)
    draft.value["transposed"] = True
    extra = _per_axis(output_padding, weight.ndim - 2)
    if any(extra):
        draft.value["output_padding"] = extra
    return draft


def _pool(kind: str, axes: int) -> Reader:
    def read(
        out: Any,
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        *rest: Any,
        **more: Any,
    ) -> Draft:
        names = (
            ("dilation", "ceil_mode", "return_indices")
            if kind == "MAX"
            else ("ceil_mode", "count_include_pad", "divisor_override")
        )
        more = {**dict(zip(names, rest)), **more}
        _batched(input, axes)
        if more.get("return_indices") or more.get("divisor_override"):
            raise Unreadable("a pool of unusual output")
        kernel = _per_axis(kernel_size, axes)
        fields = {
            "type": kind,
            "kernel": kernel,
            "stride": kernel if stride in (None, []) else _per_axis(stride, axes),
            "padding": _both_sides(padding, axes),
            "dilation": _per_axis(more.get("dilation", 1), axes),
        }
        value: dict[str, Setting] = {"ceil_mode": True} if more.get("ceil_mode") else {}
        if kind == "AVG" and not more.get("count_include_pad", True):
            value["count_include_pad"] = False
        return Draft("pool", [input], out, fields, value)

    return read


def _adaptive(kind: str, axes: int) -> Reader:
    def read(out: Any, input: Tensor, output_size: Any, return_indices: bool = False) -> Draft:
        _batched(input, axes)
        if return_indices:
            raise Unreadable("a pool of unusual output")
        return Draft("pool", [input], out, {"type": kind}, {"output": tuple(out.shape[2:])})

    return read


for _axes in (1, 2, 3):
    for _kind, _word in (("MAX", "max"), ("AVG", "avg")):
        READERS[getattr(F, f"{_word}_pool{_axes}d")] = _pool(_kind, _axes)
        READERS[getattr(F, f"adaptive_{_word}_pool{_axes}d")] = _adaptive(_kind, _axes)
for _function in (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d):
    READERS[_function] = _pool("MAX", int(_function.__name__[-2]))


@reads(READERS, F.linear)
def _linear(out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Draft:
    return Draft("fc", [input], out, {"bias_used": bias is not None}, {}, (weight, bias))


# ---- one tensor in, one out ----------------------------------------------------------------------------------

_ACTIVATIONS = {
    "ReLU": "",
    "ReLU6": "",
    "SiLU": "",
    "Sigmoid": "",
    "Tanh": "",
    "SELU": "",
    "Mish": "",
    "Hardswish": "",
    "Hardsigmoid": "",
    "LogSigmoid": "",
    "Softsign": "",
    "Tanhshrink": "",
    "GELU": "approximate",
    "ELU": "alpha",
    "CELU": "alpha",
    "LeakyReLU": "negative_slope",
    "Hardtanh": "min_val max_val",
    "Softplus": "beta threshold",
    "Softmax": "dim",
    "LogSoftmax": "dim",
    "Dropout": "p",
    "Dropout2d": "p",
    "AlphaDropout": "p",
    "ChannelShuffle": "groups",
    "PixelShuffle": "upscale_factor",
    "PixelUnshuffle": "downscale_factor",
}
"""Class of torch.nn -> the arguments that its function takes after the input and that matter."""
_FUNCTION_NAMES = {
    "LogSigmoid": "logsigmoid",
    "LeakyReLU": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "AlphaDropout": "alpha_dropout",
    "ChannelShuffle": "channel_shuffle",
    "PixelShuffle": "pixel_shuffle",
    "PixelUnshuffle": "pixel_unshuffle",
}


def _settings(name: str, given: dict[str, Any]) -> dict[str, Setting]:
    """What differs from the defaults of the class in torch.nn."""
    usual = inspect.signature(getattr(nn, name)).parameters
    return {key: content for key, content in given.items() if content != usual[key].default}


def _activation(name: str, arguments: str) -> Reader:
    names = arguments.split()

    def read(out: Tensor, input: Tensor, *args: Any, **kwargs: Any) -> Draft:
        given = {**dict(zip(names, args)), **{key: kwargs[key] for key in names if key in kwargs}}
        if name == "Hardtanh" and (given.get("min_val"), given.get("max_val")) == (0.0, 6.0):
            return other("ReLU6", [input], out)  # the class calls hardtanh
        return other(name, [input], out, **_settings(name, given))

    return read


def _spellings(name: str) -> Iterator[Any]:
    base = _FUNCTION_NAMES.get(name, name.lower())
    for home in (F, torch, Tensor):
        for spelling in (base, f"{base}_"):
            if hasattr(home, spelling):
                yield getattr(home, spelling)


KEEP_SIZE: set[Any] = set()
"""Functions whose result has the size and type of their first argument."""
for _name, _arguments in _ACTIVATIONS.items():
    reads(READERS, *_spellings(_name))(_activation(_name, _arguments))
    if "huffle" not in _name and "oftmax" not in _name:
        KEEP_SIZE.update(f for f in _spellings(_name) if not f.__name__.endswith("_"))


def _normalization(
    name: str, x: Tensor, out: Tensor, weights: Sequence[Tensor | None], given: dict[str, Any]
) -> Draft:
    value = _settings(name, given)
    learned = sum(w.numel() for w in weights[:2] if w is not None)
    if learned:
        value["parameters"] = learned
    return Draft("other", [x], out, {"name": name}, value, weights)


@reads(READERS, F.batch_norm)
def _batch_norm(
    out: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Draft:
    if (weight is None) != (bias is None):
        raise Unreadable("a batch normalization with one of scale and shift")
    given: dict[str, Any] = {"eps": eps, "momentum": momentum}
    if running_mean is None:
        given["track_running_stats"] = False
    name = f"BatchNorm{max(input.ndim - 2, 1)}d"
    return _normalization(name, input, out, (weight, bias, running_mean, running_var), given)


@reads(READERS, F.instance_norm)
def _instance_norm(out: Tensor, input: Tensor, running_mean: Any = None, *args: Any, **kwargs: Any) -> Draft:
    names = ("running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    given = {**dict(zip(names, args)), **kwargs}
    if running_mean is not None or not given.get("use_input_stats", True):
        raise Unreadable("an instance normalization with running statistics")
    weights = (given.get("weight"), given.get("bias"))
    name = f"InstanceNorm{input.ndim - 2}d"
    return _normalization(name, input, out, weights, {"eps": given.get("eps", 1e-5)})


@reads(READERS, F.group_norm)
def _group_norm(
    out: Tensor, input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Draft:
    if (weight is None) != (bias is None):
        raise Unreadable("a group normalization with one of scale and shift")
    return _normalization(
        "GroupNorm", input, out, (weight, bias), {"num_groups": int(num_groups), "eps": eps}
    )


@reads(READERS, F.layer_norm)
def _layer_norm(
    out: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Draft:
    if weight is None and bias is not None:
        raise Unreadable("a layer normalization with a shift alone")
    given = {"normalized_shape": tuple(normalized_shape), "eps": eps}
    return _normalization("LayerNorm", input, out, (weight, bias), given)


@reads(READERS, torch.prelu, F.prelu, Tensor.prelu)
def _prelu(out: Tensor, input: Tensor, weight: Tensor) -> Draft:
    return Draft("other", [input], out, {"name": "PReLU"}, {"parameters": weight.numel()}, (weight,))


@reads(READERS, F.interpolate)
def _interpolate(
    out: Tensor,
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Draft:
    sizes = tuple(out.shape[2:])
    exact = (
        scale_factor is None
        or recompute_scale_factor
        or all(
            float(s) == o / i for s, o, i in zip(_floats(scale_factor, len(sizes)), sizes, input.shape[2:])
        )
    )
    if antialias or not exact:
        raise Unreadable("an interpolation that its output size does not determine")
    value: dict[str, Setting] = {"size": sizes, "mode": mode}
    if align_corners is not None:
        value["align_corners"] = align_corners
    return Draft("other", [input], out, {"name": "Upsample"}, value)


def _floats(number: Any, axes: int) -> list[float]:
    numbers = list(number) if isinstance(number, Sequence) else [number] * axes
    return [float(n) for n in numbers]


@reads(READERS, F.pad)
def _pad(
    out: Tensor, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Draft:
    if len(pad) // 2 >= input.ndim:
        raise Unreadable("padding of the batch axis")
    given: dict[str, Setting] = {"pad": tuple(int(n) for n in pad)}
    if mode != "constant":
        given["mode"] = mode
    if value:
        given["value"] = float(value)
    return Draft("other", [input], out, {"name": "pad"}, given)
