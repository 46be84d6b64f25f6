"""ONNX operators, each built as the torch module that says the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visus.data.formats.onnx_graph.node import Call, Node
from visus.data.formats.onnx_graph.windows import average_pool, conv, max_pool

Built = tuple[nn.Module, Sequence[int]]
"""The module, and which of the node's inputs it is called with (the others are inside it)."""


def call(node: Node, function: Callable[..., Tensor], count: int | None = None) -> Built:
    """`function` of the first `count` inputs (None: of all), constants kept inside."""
    places = [i for i in range(len(node.inputs) if count is None else count) if node.has(i)]
    constants = {i: value for i in places if (value := node.constant(i)) is not None}
    return Call(function, constants), [i for i in places if i not in constants]


def module(made: nn.Module) -> Built:
    """A module of the first input alone."""
    return made, [0]


# ---- layers with weights ----------------------------------------------------------------------------------


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with a weight (out, in); no random numbers are drawn."""
    made: Any = nn.utils.skip_init(
        nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype
    )
    with torch.no_grad():
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def gemm(node: Node) -> Built:
    """alpha A' B' + beta C; a linear layer where B and C are constants and nothing else is asked for."""
    alpha, beta = float(node.take("alpha", 1.0)), float(node.take("beta", 1.0))
    a, b = bool(node.take("transA", 0)), bool(node.take("transB", 0))
    weight, bias = node.constant(1), node.constant(2)
    plain = weight is not None and weight.is_floating_point() and not a and (bias is not None) == node.has(2)
    if plain and weight is not None:
        weight = alpha * (weight if b else weight.T)
        if bias is None or (
            bias.numel() in (1, len(weight)) and bias.shape[-1:] in ((), (1,), (len(weight),))
        ):
            return module(
                linear(weight, None if bias is None else (beta * bias).reshape(-1).expand(len(weight)))
            )
    return call(node, partial(_gemm, alpha=alpha, beta=beta, a=a, b=b))


def _gemm(
    x: Tensor, y: Tensor, c: Tensor | None = None, *, alpha: float, beta: float, a: bool, b: bool
) -> Tensor:
    product = alpha * ((x.T if a else x) @ (y.T if b else y))
    return product if c is None else product + beta * c


def matmul(node: Node) -> Built:
    """A matrix product; a linear layer where the right factor is a constant matrix."""
    weight = node.constant(1)
    if weight is not None and weight.ndim == 2 and weight.is_floating_point() and node.constant(0) is None:
        return module(linear(weight.T, None))
    return call(node, torch.matmul)


class _AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization of inputs with any number of axes."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def batch_norm(node: Node) -> Built:
    """Normalization by the stored mean and variance."""
    node.expect(training_mode=0, spatial=1, is_test=1)
    if len([name for name in node.outputs if name]) > 1:
        node.refuse("it is in training mode", "export the model in evaluation mode")
    scale, bias, mean, variance = (
        node.fixed(i, what) for i, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    made = BATCH_NORMS.get(node.rank() or 0, _AnyBatchNorm)(
        len(scale),
        eps=float(node.take("epsilon", 1e-5)),
        momentum=1.0 - float(node.take("momentum", 0.9)),
        dtype=scale.dtype,
    )
    state = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": variance}
    made.load_state_dict(state, strict=False)
    return module(made)


# ---- activations ------------------------------------------------------------------------------------------


def prelu(node: Node) -> Built:
    """x where it is positive, slope * x elsewhere; one slope, or one per channel."""
    slope = node.fixed(1, "slope")
    rank = node.rank() or slope.ndim + 1
    shape = [1] * (rank - slope.ndim) + list(slope.shape)
    if slope.numel() > 1 and (len(shape) < 2 or shape[1] != slope.numel()):
        node.refuse(
            f"a slope of shape {tuple(slope.shape)} is not one per channel", "share slopes along other axes"
        )
    made = nn.PReLU(slope.numel(), dtype=slope.dtype)
    with torch.no_grad():
        made.weight.copy_(slope.flatten())
    return module(made)


def clip(node: Node) -> Built:
    """min(max(x, low), high) with constant bounds."""
    low, high = (
        float(node.take(name, default)) if not node.has(i) else float(node.fixed(i, name))
        for i, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), 1)
    )
    if low > high:
        node.refuse(f"its bounds are {low} and {high}", "give min below max")
    unbounded = abs(low) > 1e38 or low == -math.inf, high > 1e38
    if unbounded == (False, False):
        return module(nn.ReLU6() if (low, high) == (0.0, 6.0) else nn.Hardtanh(low, high))
    if unbounded == (False, True) and low == 0.0:
        return module(nn.ReLU())
    bounds = {name: value for name, value, none in zip(("min", "max"), (low, high), unbounded) if not none}
    return call(node, partial(torch.clamp, **bounds), 1) if bounds else module(nn.Identity())


def gelu(node: Node) -> Built:
    """x Phi(x), exactly or by the hyperbolic tangent."""
    kind = node.take("approximate", "none")
    return module(nn.GELU(approximate=kind.decode() if isinstance(kind, bytes) else kind))


def softmax(node: Node) -> Built:
    """Softmax along an axis; up to opset 12 along all axes from it on."""
    axis = int(node.take("axis", -1 if node.opset >= 13 else 1))
    return (
        module(nn.Softmax(dim=axis)) if node.opset >= 13 else call(node, partial(_flat_softmax, axis=axis), 1)
    )


def _flat_softmax(x: Tensor, *, axis: int) -> Tensor:
    return x.flatten(axis).softmax(-1).reshape(x.shape)


# ---- shapes -----------------------------------------------------------------------------------------------


def flatten(node: Node) -> Built:
    """Two axes: all before `axis`, all from it on."""
    axis = int(node.take("axis", 1))
    return module(nn.Flatten(1)) if axis == 1 else call(node, partial(_flatten, axis=axis), 1)


def _flatten(x: Tensor, *, axis: int) -> Tensor:
    return x.reshape(math.prod(x.shape[: axis if axis >= 0 else axis + x.ndim]), -1)


def reshape(node: Node) -> Built:
    """A new shape: 0 keeps an axis, -1 takes what is left; a fixed batch size stands for any."""
    node.expect(allowzero=0)
    return call(node, partial(_reshape, batch=node.batch))


def _reshape(x: Tensor, shape: Tensor, *, batch: int | None) -> Tensor:
    wanted = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape.tolist())]
    if wanted and wanted[0] == batch and x.ndim and x.shape[0] != batch:
        wanted[0] = x.shape[0]
    return x.reshape(wanted)


def transpose(node: Node) -> Built:
    """Axes in another order, reversed where none is given."""
    order = node.take("perm")
    return call(node, partial(_transpose, order=None if order is None else tuple(order)), 1)


def _transpose(x: Tensor, *, order: tuple[int, ...] | None) -> Tensor:
    return x.permute(order if order is not None else tuple(reversed(range(x.ndim))))


def concat(node: Node) -> Built:
    """Inputs side by side along an axis."""
    return call(node, partial(_concat, axis=int(node.take("axis", 1))))


def _concat(*tensors: Tensor, axis: int) -> Tensor:
    return torch.cat(tensors, dim=axis)


def pad(node: Node) -> Built:
    """Constant, reflected or repeated values around the input."""
    mode = node.take("mode", "constant")
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(mode)
    if mode is None:
        node.refuse("its mode is none of constant, reflect, edge", "export another mode")
    pads = node.numbers("pads", 1) or node.numbers("paddings", 1) or []
    value = float(node.fixed(2, "value")) if node.has(2) else float(node.take("value", 0.0))
    axes = node.numbers("axes", 3) if node.has(3) else None
    count = len(pads) // 2
    rank = node.rank() or (count if axes is None else None)
    if rank is None:
        node.refuse("the number of its input's axes is not known", "export with shapes")
    around = [(0, 0)] * rank
    for i, axis in enumerate(axes if axes is not None else range(count)):
        around[axis] = pads[i], pads[i + count]
    while mode != "constant" and around and around[0] == (0, 0) and len(around) > max(1, rank - 2):
        around = around[1:]
    flat = tuple(size for pair in reversed(around) for size in pair)
    return call(node, partial(F.pad, pad=flat, mode=mode, value=value if mode == "constant" else None), 1)


def squeeze(node: Node) -> Built:
    """Drop axes of length 1."""
    axes = node.numbers("axes", 1)
    return call(node, partial(_squeeze, axes=None if axes is None else tuple(axes)), 1)


def _squeeze(x: Tensor, *, axes: tuple[int, ...] | None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


def unsqueeze(node: Node) -> Built:
    """Add axes of length 1."""
    return call(node, partial(_unsqueeze, axes=tuple(node.numbers("axes", 1) or ())), 1)


def _unsqueeze(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def reduce_mean(node: Node) -> Built:
    """Mean over axes (all where none is given)."""
    keep = bool(node.take("keepdims", 1))
    nothing = bool(node.take("noop_with_empty_axes", 0))
    axes = node.numbers("axes", 1)
    if not axes and nothing:
        return module(nn.Identity())
    return call(node, partial(_mean, axes=tuple(axes) if axes else None, keep=keep), 1)


def _mean(x: Tensor, *, axes: tuple[int, ...] | None, keep: bool) -> Tensor:
    return x.mean(dim=tuple(range(x.ndim)) if axes is None else axes, keepdim=keep)


def shape(node: Node) -> Built:
    """The input's sizes."""
    node.expect(start=0, end=None)
    return call(node, _shape)


def _shape(x: Tensor) -> Tensor:
    return torch.tensor(x.shape, dtype=torch.int64)


def gather(node: Node) -> Built:
    """Slices along an axis, chosen by indices."""
    return call(node, partial(_gather, axis=int(node.take("axis", 0))))


def _gather(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    axis %= x.ndim
    chosen = torch.where(indices < 0, indices + x.shape[axis], indices).to(x.device)
    picked = x.index_select(axis, chosen.flatten())
    return picked.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def slices(node: Node) -> Built:
    """A range along some axes."""
    starts, ends, axes, steps = (
        node.numbers(name, i) for i, name in enumerate(("starts", "ends", "axes", "steps"), 1)
    )
    starts, ends = starts or [], ends or []
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    if any(step < 1 for step in steps):
        node.refuse("it reads backwards", "export without negative steps")
    ranges = tuple(zip(axes, starts, ends, steps))
    return call(node, partial(_slices, ranges=ranges), 1)


def _slices(x: Tensor, *, ranges: tuple[tuple[int, int, int, int], ...]) -> Tensor:
    places = [slice(None)] * x.ndim
    for axis, start, end, step in ranges:
        places[axis] = slice(start, end, step)
    return x[tuple(places)]


# ---- all of them ------------------------------------------------------------------------------------------


def global_average(node: Node) -> Built:
    """Mean over all axes of space, which stay with length 1."""
    kinds = {3: nn.AdaptiveAvgPool1d, 4: nn.AdaptiveAvgPool2d, 5: nn.AdaptiveAvgPool3d}
    kind = kinds.get(node.rank() or 0)
    return module(kind(1)) if kind else call(node, _space_mean)


def _space_mean(x: Tensor) -> Tensor:
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


def dropout(node: Node) -> Built:
    """Nothing while predicting; active again if the module is put into training mode."""
    node.take("seed")
    given = node.constant(1)
    ratio = float(given) if given is not None else float(node.take("ratio", 0.5))
    return module(nn.Dropout(ratio))


def cast(node: Node) -> Built:
    """Another type of number: indices become int64, all else keeps the precision it is computed in."""
    node.take("saturate")
    whole = int(node.take("to", 1)) in (2, 3, 4, 5, 6, 7, 9, 12, 13)
    return call(node, torch.Tensor.long) if whole else module(nn.Identity())


def total(*tensors: Tensor) -> Tensor:
    """Sum of all inputs."""
    return sum(tensors[1:], tensors[0])


OPERATORS: dict[str, Callable[[Node], Built]] = {
    "Abs": lambda node: call(node, torch.abs),
    "Add": lambda node: call(node, torch.add),
    "AveragePool": lambda node: module(average_pool(node)),
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": concat,
    "Conv": lambda node: module(conv(node)),
    "Div": lambda node: call(node, torch.div),
    "Dropout": dropout,
    "Flatten": flatten,
    "Gather": gather,
    "Gelu": gelu,
    "Gemm": gemm,
    "GlobalAveragePool": global_average,
    "Identity": lambda node: module(nn.Identity()),
    "LeakyRelu": lambda node: module(nn.LeakyReLU(float(node.take("alpha", 0.01)))),
    "MatMul": matmul,
    "MaxPool": lambda node: module(max_pool(node)),
    "Mul": lambda node: call(node, torch.mul),
    "Neg": lambda node: call(node, torch.neg),
    "PRelu": prelu,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": lambda node: module(nn.ReLU()),
    "Reshape": reshape,
    "Shape": shape,
    "Sigmoid": lambda node: module(nn.Sigmoid()),
    "Slice": slices,
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Sub": lambda node: call(node, torch.sub),
    "Sum": lambda node: call(node, total),
    "Tanh": lambda node: module(nn.Tanh()),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""ONNX operator -> how it is built. `Constant` is read where the graph is."""
