"""Plain ReLU stacks as matrices, and the half-spaces of one activation cell.

The baselines work on these; the census itself takes any piecewise-affine module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from torch import nn

from visus.errors import InputError

Layers = list[tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"]]]
Bounds = tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]

_IDLE = (nn.Identity, nn.Dropout, nn.Flatten)


def hidden_layers(model: nn.Module) -> Layers:
    """Weights (n, m) and biases (n,) in float64 of the Linear layers that a ReLU follows.

    Raises
    ------
    visus.errors.InputError : `model` is anything but a stack of Linear and ReLU.
    """
    layers: Layers = []
    last: nn.Linear | None = None
    for module in model.children() if isinstance(model, nn.Sequential) else (model,):
        if isinstance(module, nn.ReLU) and last is not None:
            weight = last.weight.detach().double().cpu().numpy()
            bias = np.zeros(len(weight)) if last.bias is None else last.bias.detach().double().cpu().numpy()
            layers.append((weight, bias))
            last = None
        elif isinstance(module, nn.Linear) and last is None:
            last = module
        elif not isinstance(module, _IDLE):
            raise InputError(
                f"{type(module).__name__} is not part of a stack of Linear and ReLU",
                field="model",
                remedy="use the exact census, which takes any piecewise-affine module",
            )
    if not layers:
        raise InputError("has no ReLU", field="model", remedy="give nn.Sequential(Linear, ReLU, ..., Linear)")
    return layers


def bounds_of(box: tuple[object, object], dimension: int) -> Bounds:
    """Lower and upper corner (d,) of a box given by two numbers or two sequences."""
    low, high = (np.broadcast_to(np.asarray(side, dtype=float), (dimension,)) for side in box)
    if not (low < high).all():
        raise InputError(
            f"{box} encloses nothing", field="box", remedy="give lower bounds below the upper ones"
        )
    return low, high


def patterns_at(layers: Layers, points: Float[np.ndarray, "v d"]) -> Bool[np.ndarray, "v n"]:
    """Which neurons are active (pre-activation above 0) at each point."""
    active, h = [], points
    for weight, bias in layers:
        z = h @ weight.T + bias
        active.append(z > 0)
        h = np.maximum(z, 0)
    return np.concatenate(active, axis=1)


def halfspaces(
    layers: Layers, pattern: Bool[np.ndarray, " n"], bounds: Bounds | None
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"]]:
    """Normals A and offsets c with cell = {x : A x + c >= 0}; rows of unit length.

    One row per neuron in order, then d rows for the lower and d for the upper bounds of the box. A neuron
    that does not depend on x inside the cell has a row of zeros.

    Source: inside a cell z_l = (W_l D_{l-1} ... D_1 W_1) x + c_l with D the 0/1 diagonal of the pattern.
    """
    dimension = layers[0][0].shape[1]
    slope, offset = np.eye(dimension), np.zeros(dimension)
    rows, offsets, start = [], [], 0
    for weight, bias in layers:
        slope, offset = weight @ slope, weight @ offset + bias
        on = pattern[start : start + len(bias)]
        sign = np.where(on, 1.0, -1.0)
        rows.append(sign[:, None] * slope)
        offsets.append(sign * offset)
        slope, offset, start = slope * on[:, None], offset * on, start + len(bias)
    if bounds is not None:
        rows += [np.eye(dimension), -np.eye(dimension)]
        offsets += [-bounds[0], bounds[1]]
    normals, constants = np.concatenate(rows), np.concatenate(offsets)
    length = np.linalg.norm(normals, axis=1)
    length = np.where(length > 0, length, 1.0)
    return normals / length[:, None], constants / length


def distinct(patterns: Bool[np.ndarray, "v n"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First position, membership and number of every distinct pattern, in order of first appearance."""
    packed = np.ascontiguousarray(np.packbits(patterns, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, member, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[member.ravel()], count[order]


def widths_of(layers: Layers) -> Sequence[int]:
    """Neurons per hidden layer."""
    return [len(bias) for _, bias in layers]
