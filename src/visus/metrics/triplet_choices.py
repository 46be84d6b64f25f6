"""Which of three objects a similarity calls the odd one out, for millions of triplets at once.

Triplets are (n, 3) object numbers from 0, columns (a, b, odd): people judged a and b most alike. The pairs
(0, 1), (0, 2), (1, 2) of the columns leave the positions 2, 1, 0 over; similarities are ordered by pair,
probabilities by the position of the odd one.

Paper: 2211.01201 (odd-one-out accuracy of embeddings, choice probabilities and their temperature).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from visus.errors import InputError
from visus.metrics.similarity import normalized, similarity

Kind: TypeAlias = Literal["cosine", "dot", "euclidean"]
KINDS: tuple[Kind, ...] = ("cosine", "dot", "euclidean")

PUBLISHED_TEMPERATURES = tuple(
    1 / tau for tau in (*(step * 10.0**-power for power in range(5) for step in (1, 0.75, 0.5, 0.25)), 1e-5)
)
"""The grid of the official code, which writes tau = 1 / temperature: tau in 1, .75, .5, .25, .1, ..., 1e-5."""

_CHUNK = 1 << 18
_ROW_BYTES = 1 << 23
_PAIRS = ((0, 1), (0, 2), (1, 2))


# ---- similarities -----------------------------------------------------------------------------------------


def pair_similarities(
    x: Float[Tensor, "m e"],
    triplets: Any,
    *,
    kind: Kind = "cosine",
    chunk: int | None = None,
    limit_bytes: int = 1 << 30,
) -> Float[Tensor, "n 3"]:
    """Similarities of the pairs (0, 1), (0, 2), (1, 2) of every triplet; higher is more alike.

    All m x m similarities are computed once and looked up. Where they would need more than `limit_bytes`, or
    there are so few triplets that it would not pay, the rows of x are gathered and multiplied instead.

    Parameters
    ----------
    x : finite embeddings (m, e), a tensor on any device or an array; half precision is computed in float32.
    triplets : (n, 3) integers: tensor, array, list, or a memory-mapped array, of which one chunk at a time is
        read.
    kind : "cosine" (0 for a zero vector), "dot", or "euclidean" (minus the distance).
    chunk : triplets per step; by default as many as keep the intermediate results small.

    The result lies on the device of x and can be differentiated with respect to x.

    Raises
    ------
    InputError : a triplet names an object that x does not have (the row is told), or shapes do not fit.

    >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> pair_similarities(x, [[0, 1, 2]], kind="dot").tolist()
    [[2.0, 0.0, 0.0]]
    """
    if kind not in KINDS:
        raise InputError(f"is {kind!r}", field="kind", remedy=f"choose one of {', '.join(KINDS)}")
    if chunk is not None and chunk < 1:
        raise InputError("must be at least 1", field="chunk")
    points, given = _embeddings(x), triplet_rows(triplets)
    objects = len(points)
    entries = objects * objects
    dense = entries * points.element_size() <= limit_bytes and entries <= 16 * max(len(given), 1)
    if dense:
        size = _CHUNK
        look_up = _matrix_lookup(similarity(points, kind=kind))
    else:
        size = max(1, _ROW_BYTES // (3 * points.element_size() * max(points.shape[1], 1)))
        look_up = _row_lookup(normalized(points) if kind == "cosine" else points, kind)
    parts = (look_up(columns) for columns in _columns(given, objects, chunk or size, points.device))
    if points.requires_grad and torch.is_grad_enabled():
        return torch.cat([points.new_zeros(0, 3), *parts])
    # Small results kept between large temporaries would leave the memory in pieces.
    found, start = points.new_empty(len(given), 3), 0
    for part in parts:
        found[start : start + len(part)] = part
        start += len(part)
    return found


def triplet_rows(triplets: Any) -> Any:
    """The triplets as they are, tensor or array (memory maps stay on disk), checked to be integers (n, 3)."""
    rows = triplets if isinstance(triplets, Tensor | np.ndarray) else np.asarray(triplets)
    whole = not (rows.is_floating_point() if isinstance(rows, Tensor) else rows.dtype.kind not in "iu")
    if rows.ndim != 2 or rows.shape[1] != 3 or not whole:
        raise InputError(
            f"has shape {tuple(rows.shape)} and type {rows.dtype}",
            field="triplets",
            remedy="give integers (n, 3) with columns a, b, odd",
        )
    return rows


def _embeddings(x: Any) -> Float[Tensor, "m e"]:
    points = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
    if points.ndim != 2:
        raise InputError(
            f"has shape {tuple(points.shape)}", field="x", remedy="give embeddings (objects, width)"
        )
    if not points.is_floating_point() or points.element_size() == 2:
        points = points.float()
    if not torch.isfinite(points).all():
        row = int((~torch.isfinite(points)).any(dim=1).nonzero()[0])
        raise InputError(f"row {row} is not finite", field="x")
    return points


def _columns(triplets: Any, objects: int, size: int, device: torch.device) -> Iterator[Int64[Tensor, "3 c"]]:
    """Chunks of the triplets, column by column, every number checked."""
    for start in range(0, len(triplets), size):
        part = triplets[start : start + size]
        if isinstance(part, Tensor):
            columns = part.T.to(device, torch.int64).contiguous()
        else:
            columns = torch.from_numpy(np.array(part.T, dtype=np.int64, order="C")).to(device)
        outside = (columns.amin() < 0) | (columns.amax() >= objects)
        if outside:
            bad = ((columns < 0) | (columns >= objects)).any(dim=0).nonzero()[0, 0]
            raise InputError(
                f"row {start + int(bad)} is {columns[:, bad].tolist()} with {objects} objects",
                field="triplets",
                remedy=f"objects are numbered from 0 to {objects - 1}; files that count from 1 need base 1",
            )
        yield columns


def _matrix_lookup(matrix: Float[Tensor, "m m"]) -> Callable[[Tensor], Tensor]:
    flat, objects = matrix.reshape(-1), len(matrix)
    narrow = torch.int32 if flat.numel() < 2**31 else torch.int64

    def look_up(columns: Int64[Tensor, "3 c"]) -> Float[Tensor, "c 3"]:
        columns = columns.to(narrow)
        found = []
        for i, j in _PAIRS:
            one, other = columns[i], columns[j]
            # A product of matrices need not be symmetric to the last bit: both orders read the same entry.
            place = torch.minimum(one, other).mul_(objects).add_(torch.maximum(one, other))
            found.append(flat.index_select(0, place))
        return torch.stack(found, dim=1)

    return look_up


def _row_lookup(points: Float[Tensor, "m e"], kind: Kind) -> Callable[[Tensor], Tensor]:
    def look_up(columns: Int64[Tensor, "3 c"]) -> Float[Tensor, "c 3"]:
        rows = [points.index_select(0, column) for column in columns]
        if kind == "euclidean":
            found = [-torch.linalg.vector_norm(rows[i] - rows[j], dim=1) for i, j in _PAIRS]
        else:
            found = [(rows[i] * rows[j]).sum(dim=1) for i, j in _PAIRS]
        if kind == "cosine":
            found = [column.clamp(-1, 1) for column in found]
        return torch.stack(found, dim=1)

    return look_up


# ---- choices ----------------------------------------------------------------------------------------------


def choices(similarities: Float[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """Position 0, 1 or 2 of the odd one; -1 where no pair is more alike than both others.

    So three equal similarities are no choice, nor are two that share the first place: both count as wrong. A
    similarity that is nan also gives -1.

    Differs: the official code refuses a choice only where all three are equal; of two best pairs it takes the
    first, so its result depends on the order of the columns.

    >>> choices(torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 2.0]])).tolist()
    [2, -1]
    """
    first, second, third = (column for column in _rows(similarities).unbind(dim=1))
    odd = torch.full_like(first, -1, dtype=torch.int64)
    odd[(first > second) & (first > third)] = 2
    odd[(second > first) & (second > third)] = 1
    odd[(third > first) & (third > second)] = 0
    return odd


def hits(similarities: Float[Tensor, "n 3"]) -> Bool[Tensor, " n"]:
    """Whether the choice is column 2, the one people made: pair (0, 1) is more alike than both others."""
    first, second, third = _rows(similarities).unbind(dim=1)
    return (first > second) & (first > third)


def probability_choices(probabilities: Float[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """Position of the odd one by the stricter tie rule with which the official code judges its learned transforms.

    -1 where any two of the three probabilities are equal, or all three are equal when rounded to two
    decimals. A transform that starts near zero scores about 0 with this rule, not 1/3.

    Source: github.com/LukasMut/human_alignment, evaluation of the linear probe.

    >>> probability_choices(torch.tensor([[0.2, 0.3, 0.5], [0.25, 0.25, 0.5], [0.3341, 0.3329, 0.333]])).tolist()
    [2, -1, -1]
    """
    rows = _rows(probabilities)
    first, second, third = rows.unbind(dim=1)
    near = torch.round(rows, decimals=2)
    tied = (first == second) | (first == third) | (second == third)
    tied |= (near == near[:, :1]).all(dim=1)
    return rows.argmax(dim=1).masked_fill(tied, -1)


# ---- probabilities ----------------------------------------------------------------------------------------


def choice_probabilities(
    similarities: Float[Tensor, "n 3"], temperature: float = 1.0
) -> Float[Tensor, "n 3"]:
    """Probability that each position is the odd one: softmax of similarity / temperature over the pairs.

    The last column is the probability of the choice people made. A higher temperature is less certain.

    Source: 2211.01201, whose code multiplies raw dot products by tau = 1 / temperature.

    >>> choice_probabilities(torch.tensor([[0.0, 0.0, math.log(2)]])).tolist()
    [[0.5, 0.25, 0.25]]
    """
    _check_temperature(temperature)
    return _log_shares(_rows(similarities).T, temperature).exp().T.flip(1)


def choice_cross_entropy(similarities: Float[Tensor, "n 3"], temperature: float = 1.0) -> float:
    """Mean over triplets of -log probability of the choice people made (column 2), nats; log 3 at chance.

    >>> round(choice_cross_entropy(torch.zeros(4, 3)), 6) == round(math.log(3), 6)
    True
    """
    _check_temperature(temperature)
    return -float(_log_shares(_rows(similarities).T, temperature)[0].double().mean())


def jensen_shannon_distance(p: Float[Tensor, "n k"], q: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Square root of the Jensen-Shannon divergence of each pair of rows, natural logarithm: 0 to sqrt(log 2).

    Source: Endres and Schindelin, IEEE Trans. Inf. Theory 49, 2003.
    """
    middle = (p + q) / 2
    divergence = _negentropy(p) / 2 + _negentropy(q) / 2 - _negentropy(middle)
    return divergence.sum(dim=1).clamp_min(0).sqrt()


def fit_temperature(
    similarities: Float[Tensor, "n 3"],
    reference: Float[Tensor, "n 3"] | None = None,
    *,
    grid: Sequence[float] | None = None,
) -> float:
    """The temperature with which `choice_probabilities` come closest to `reference`, or to people's choices.

    Parameters
    ----------
    similarities : (n, 3) by pair. Fit on triplets other than those to be judged.
    reference : (n, 3) probabilities per position of the odd one, such as a model of human choice gives; the
        mean Jensen-Shannon distance to them is minimized, as published (there over the triplets that the
        model of human choice gets right). None minimizes the cross-entropy to column 2 instead.
    grid : temperatures to choose from, such as `PUBLISHED_TEMPERATURES`; of equals the first. None searches
        all values from 1/1000 to 1000 times the mean spread of a triplet's similarities.

    Similarities that are always right have no finite best temperature and give the lower end. 1 where all
    are equal.

    Differs: the published code knows the grid and the reference only.
    """
    columns = _rows(similarities).T.contiguous()
    target = None if reference is None else _rows(reference).flip(1).T.to(columns).contiguous()
    if not columns.shape[1]:
        raise InputError("there are no triplets", field="similarities")
    if target is not None and target.shape != columns.shape:
        remedy = f"one row for each of {columns.shape[1]} triplets"
        raise InputError(f"has {target.shape[1]} rows", field="reference", remedy=remedy)
    loss = _temperature_loss(columns, target)
    if grid is not None:
        for temperature in grid:
            _check_temperature(temperature)
        return float(min(grid, key=loss))
    spread = float((columns.amax(dim=0) - columns.amin(dim=0)).double().mean())
    if spread == 0 or not math.isfinite(spread):
        return 1.0
    some = slice(None, None, -(-columns.shape[1] // _CHUNK))
    near = _temperature_loss(columns[:, some], None if target is None else target[:, some])
    return math.exp(
        _lowest(lambda step: near(math.exp(step)), lambda step: loss(math.exp(step)), math.log(spread))
    )


def _lowest(near: Callable[[float], float], loss: Callable[[float], float], middle: float) -> float:
    """Where `loss` is least around `middle`. It may have several minima: look around with `near` first."""
    from scipy.optimize import minimize_scalar

    steps = middle + np.linspace(math.log(1e-3), math.log(1e3), 25)
    best = int(np.argmin([near(float(step)) for step in steps]))
    around = (float(steps[max(best - 1, 0)]), float(steps[min(best + 1, len(steps) - 1)]))
    found: Any = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-6})
    return min((float(steps[best]), float(found.x)), key=loss)


def _temperature_loss(columns: Tensor, target: Tensor | None) -> Callable[[float], float]:
    """What `fit_temperature` minimizes, of similarities and probabilities column by column (3, n), by pair."""
    if target is None:
        return lambda temperature: -float(_log_shares(columns, temperature)[0].double().mean())
    known = _negentropy(target).sum(dim=0)

    def loss(temperature: float) -> float:
        shares = _log_shares(columns, temperature)
        p = shares.exp()
        own = (p * shares).sum(dim=0)
        divergence = (own + known) / 2 - _negentropy((p + target) / 2).sum(dim=0)
        return float(divergence.clamp_min(0).sqrt().double().mean())

    return loss


def _log_shares(columns: Float[Tensor, "3 n"], temperature: float) -> Float[Tensor, "3 n"]:
    """Log of the share of each pair. Column by column: a softmax along a last axis of three is slow."""
    return torch.log_softmax(columns / temperature, dim=0)


def _negentropy(p: Tensor) -> Tensor:
    return torch.xlogy(p, p)


def _rows(values: Any) -> Float[Tensor, "n 3"]:
    rows = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise InputError(f"has shape {tuple(rows.shape)}", field="similarities", remedy="give (n, 3)")
    return rows


def _check_temperature(temperature: float) -> None:
    if not (temperature > 0 and math.isfinite(temperature)):
        raise InputError(f"is {temperature}", field="temperature", remedy="give a number above 0")
