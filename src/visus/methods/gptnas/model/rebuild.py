"""A record -> a torch module that runs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer
from visus.methods.gptnas.model.tracing import watch


class Rebuilt(nn.Module):
    """The network a record describes; layer `i` with weights is `layers.i`.

    `forward` takes images (b, *input_size) and gives (b, *out_size). Reshapes carry sizes, so other image sizes
    work only where none occur.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.layers = nn.ModuleDict()
        self._steps: list[tuple[Callable[..., Tensor], tuple[int, ...]]] = []
        self._last_use = {
            source: index for index, layer in enumerate(architecture.layers) for source in layer.inputs
        }
        for layer in architecture.layers:
            step = self._step(layer)
            if isinstance(step, nn.Module) and "shared" not in layer.settings:
                self.layers[str(layer.id)] = step
            self._steps.append((step, layer.inputs))

    def _step(self, layer: Layer) -> Callable[..., Tensor]:
        shared = layer.settings.get("shared")
        return self.layers[str(shared)] if shared is not None else _make(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers in order; a result lives until its last reader has run."""
        found = {SOURCE: x}
        for index, (step, inputs) in enumerate(self._steps):
            found[index] = step(*(found[source] for source in inputs))
            for source in set(inputs):
                if self._last_use[source] == index:
                    del found[source]
        return found[len(self._steps) - 1]


def build(architecture: Architecture) -> nn.Module:
    """The network a record describes, freshly initialized, on the default device.

    `trace(build(a), a.input_size, ...)` gives `a` back, except for its name and blocks.

    Raises
    ------
    InputError : a layer cannot be rebuilt (see `obstacles`).

    >>> from visus.methods.gptnas.model.tracing import trace
    >>> record = trace(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8))
    >>> build(record)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 8, 6, 6])
    """
    stopped = obstacles(architecture)
    if stopped:
        raise InputError(
            stopped[0], field=architecture.name, remedy="use the record for tokens, or trace a plainer module"
        )
    return Rebuilt(architecture)


def obstacles(architecture: Architecture) -> list[str]:
    """Why the record cannot be rebuilt, one sentence per layer; empty if it can."""
    return [
        f"layer {layer.id} is {'an' if str(layer.name)[0] in 'AEIOUaeiou' else 'a'} {layer.name}, "
        "of which only the name is known"
        for layer in architecture.layers
        if layer.family == "other" and (layer.settings.get("opaque") or layer.name not in _MAKERS)
    ]


def copy_weights(model: nn.Module, rebuilt: nn.Module, input_size: Sequence[int]) -> None:
    """Give `rebuilt` (from `build(trace(model, input_size))`) the weights and statistics of `model`.

    Raises
    ------
    InputError : the two do not run the same layers.
    """
    record, sources = watch(model, input_size)
    other, targets = watch(rebuilt, input_size)
    if record.layers != other.layers:
        raise InputError(
            "does not run the layers of the model", field="rebuilt", remedy="build it from its record"
        )
    state, filled = model.state_dict(), rebuilt.state_dict()
    for layer, names in sources.items():
        filled.update({target: state[name] for target, name in zip(targets[layer], names)})
    # counters such as num_batches_tracked take no part in a forward pass and keep their fresh value
    rebuilt.load_state_dict(filled)


# ---- one maker per kind of layer ----------------------------------------------------------------------------


def _make(layer: Layer) -> Callable[..., Tensor]:
    if layer.family == "conv":
        return _conv(layer)
    if layer.family == "pool":
        return _pool(layer)
    if layer.family == "fc":
        return nn.Linear(layer.in_size[-1], layer.out_size[-1], bias=bool(layer.bias_used))
    settings = {name: setting for name, setting in layer.settings.items() if name != "parameters"}
    return _MAKERS[str(layer.name)](layer, settings)


def _symmetric(layer: Layer) -> tuple[int, ...] | str:
    """Padding as torch wants it: one number per axis, or `same` where begin and end differ by that rule."""
    padding, kernel, dilation = layer.padding or (), layer.kernel or (), layer.dilation or ()
    begins, ends = padding[::2], padding[1::2]
    if begins == ends:
        return begins
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    halves = begins == tuple(t // 2 for t in total) and ends == tuple(t - t // 2 for t in total)
    if layer.family == "conv" and halves and set(layer.stride or ()) == {1}:
        return "same"
    raise InputError(
        f"is {padding}, uneven in a way torch has no layer for", field=f"layer {layer.id}, padding"
    )


def _conv(layer: Layer) -> nn.Module:
    settings = layer.settings
    axes = len(layer.kernel or ())
    options: dict[str, Any] = {
        "kernel_size": layer.kernel,
        "stride": layer.stride,
        "padding": _symmetric(layer),
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": bool(layer.bias_used),
    }
    kind = f"Conv{axes}d"
    if settings.get("transposed"):
        kind = f"ConvTranspose{axes}d"
        options["output_padding"] = settings.get("output_padding", 0)
    return getattr(nn, kind)(layer.in_size[0], layer.out_size[0], **options)


def _pool(layer: Layer) -> nn.Module:
    settings = layer.settings
    word = "Max" if layer.type == "MAX" else "Avg"
    if layer.kernel is None:
        axes = len(layer.in_size) - 1
        return getattr(nn, f"Adaptive{word}Pool{axes}d")(settings.get("output", (1,) * axes))
    options: dict[str, Any] = {"ceil_mode": bool(settings.get("ceil_mode"))}
    if layer.type == "MAX":
        options["dilation"] = layer.dilation
    else:
        options["count_include_pad"] = settings.get("count_include_pad", True)
    kind = getattr(nn, f"{word}Pool{len(layer.kernel)}d")
    return kind(layer.kernel, layer.stride, _symmetric(layer), **options)


def _of_class(name: str) -> Callable[[Layer, dict[str, Any]], nn.Module]:
    return lambda layer, settings: getattr(nn, name)(**settings)


def _norm(name: str) -> Callable[[Layer, dict[str, Any]], nn.Module]:
    """A normalization; whether it learns is read off the number of its parameters."""

    def make(layer: Layer, settings: dict[str, Any]) -> nn.Module:
        learned = layer.num_params
        if name == "LayerNorm":
            shape = settings.pop("normalized_shape")
            width = math.prod(shape)
            return nn.LayerNorm(shape, elementwise_affine=learned > 0, bias=learned == 2 * width, **settings)
        channels = layer.in_size[0]
        if name == "GroupNorm":
            return nn.GroupNorm(num_channels=channels, affine=learned > 0, **settings)
        return getattr(nn, name)(channels, affine=learned > 0, **settings)

    return make


def _call(function: Callable[..., Tensor]) -> Callable[[Layer, dict[str, Any]], Callable[..., Tensor]]:
    """A function of the tensors, with the layer's settings as further arguments."""
    return lambda layer, settings: lambda *tensors: function(*tensors, **settings)


def _arithmetic(function: Callable[..., Tensor]) -> Callable[..., Callable[..., Tensor]]:
    def make(layer: Layer, settings: dict[str, Any]) -> Callable[..., Tensor]:
        number = settings.get("number")
        return function if number is None else lambda x: function(x, number)

    return make


def _flatten(x: Tensor) -> Tensor:
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


_NORMS = [f"{kind}{axes}d" for kind in ("BatchNorm", "InstanceNorm") for axes in (1, 2, 3)]
_CLASSES = (
    *("ReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh", "SELU", "Mish", "Hardswish", "Hardsigmoid", "LogSigmoid"),
    *("Softsign", "Tanhshrink", "GELU", "ELU", "CELU", "LeakyReLU", "Hardtanh", "Softplus", "Softmax"),
    *("LogSoftmax", "Dropout", "Dropout2d", "AlphaDropout", "ChannelShuffle", "PixelShuffle"),
    *("PixelUnshuffle", "Upsample"),
)
_PLAIN = ("abs", "neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "cos", "erf", "clamp")
_MAKERS: dict[str, Callable[[Layer, dict[str, Any]], Callable[..., Tensor]]] = {
    **{name: _of_class(name) for name in _CLASSES},
    **{name: _norm(name) for name in (*_NORMS, "GroupNorm", "LayerNorm")},
    **{name: _call(getattr(torch, name)) for name in _PLAIN},
    "PReLU": lambda layer, settings: nn.PReLU(layer.num_params),
    "pad": _call(F.pad),
    "flatten": _call(_flatten),
    "reshape": _call(lambda x, shape: x.reshape(x.shape[0], *shape)),
    "permute": _call(lambda x, dims: x.permute(dims)),
    "slice": _call(lambda x, dim, start, stop: x.narrow(dim, start, stop - start)),
    "select": _call(lambda x, dim, index: x.select(dim, index)),
    "cat": _call(lambda *tensors, dim: torch.cat(tensors, dim)),
    "stack": _call(lambda *tensors, dim: torch.stack(tensors, dim)),
    "add": _arithmetic(torch.add),
    "sub": _arithmetic(torch.sub),
    "rsub": _arithmetic(lambda x, number: number - x),
    "mul": _arithmetic(torch.mul),
    "div": _arithmetic(torch.div),
    "rdiv": _arithmetic(lambda x, number: number / x),
    "pow": _arithmetic(torch.pow),
    "maximum": _arithmetic(torch.maximum),
    "minimum": _arithmetic(torch.minimum),
    "matmul": _arithmetic(torch.matmul),
    "mean": _call(lambda x, dims, keepdim=False: x.mean(dims, keepdim)),
    "sum": _call(lambda x, dims, keepdim=False: x.sum(dims, keepdim)),
    "amax": _call(lambda x, dims, keepdim=False: x.amax(dims, keepdim)),
    "amin": _call(lambda x, dims, keepdim=False: x.amin(dims, keepdim)),
}
