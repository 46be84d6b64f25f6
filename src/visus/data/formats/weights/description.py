"""A chain of torch layers as plain data, so that a file of weights can say what its tensors belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from visus.errors import InputError

KEY = "visus.network"
"""Entry of a safetensors header that holds the description, as JSON."""

_CONV = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
)
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_MEAN = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
LAYERS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features"),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _CONV),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), _NORM),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), _MAX),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), _MEAN),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"), ("output_size",)),
    **dict.fromkeys(("ReLU", "ReLU6", "Identity", "Sigmoid", "Tanh"), ()),
    "LeakyReLU": ("negative_slope",),
    "PReLU": ("num_parameters",),
    "Hardtanh": ("min_val", "max_val"),
    "GELU": ("approximate",),
    "Softmax": ("dim",),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
}
"""Layers a description may hold, with the arguments that make them."""
_BIASED = ("Linear", "Conv1d", "Conv2d", "Conv3d")


def describe(network: nn.Module) -> list[dict[str, Any]]:
    """The layers of a chain in order, as plain data; nested chains are written out.

    Raises
    ------
    InputError : the network is not a chain of the layers in `LAYERS`.
    """
    return [_entry(layer) for layer in chain(network)]


def chain(network: nn.Module) -> Iterator[nn.Module]:
    """The layers of an `nn.Sequential`, nested ones included, in order."""
    if type(network) is nn.Sequential:
        for layer in network:
            yield from chain(layer)
    else:
        yield network


def build(entries: Sequence[Mapping[str, Any]], *, file: str | Path | None = None) -> nn.Sequential:
    """The chain that `describe` described, with weights that are not yet set; draws no random numbers."""
    layers = []
    for number, entry in enumerate(entries):
        where = f"{KEY}, layer {number}"
        known = isinstance(entry, Mapping) and entry.get("kind") in LAYERS
        if not known:
            kind = entry.get("kind") if isinstance(entry, Mapping) else entry
            raise InputError(
                f"{kind!r} is no known layer", file=file, field=where, remedy="known: " + ", ".join(LAYERS)
            )
        kind, options = (
            entry["kind"],
            {name: _tupled(value) for name, value in entry.items() if name != "kind"},
        )
        allowed = {*LAYERS[kind], *(("bias",) if kind in _BIASED else ())}
        unknown = sorted(options.keys() - allowed)
        try:
            if unknown:
                raise TypeError(f"unknown option {unknown[0]}")
            layer: Any = nn.utils.skip_init(getattr(nn, kind), **options) if _has_weights(kind) else None
            layers.append(layer if layer is not None else getattr(nn, kind)(**options))
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{kind} cannot be built ({str(error).splitlines()[0]})",
                file=file,
                field=where,
                remedy="write the network again",
            ) from None
    return nn.Sequential(*layers)


def _has_weights(kind: str) -> bool:
    return kind in _BIASED or kind == "PReLU" or kind.startswith("BatchNorm")


def _entry(layer: nn.Module) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind not in LAYERS or type(layer) is not getattr(nn, kind):
        raise InputError(
            f"{kind} is not a layer that a weights file can describe",
            field="network",
            remedy="export the network to ONNX (torch.onnx.export)",
        )
    made = {"kind": kind} | {name: _plain(getattr(layer, name)) for name in LAYERS[kind]}
    if kind in _BIASED:
        made["bias"] = layer.bias is not None
    return made


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
