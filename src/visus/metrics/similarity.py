"""How alike items are by their embeddings: the one place where similarities and distances are computed.

Rows are items. The four kinds are what scipy.spatial.distance calls cosine, euclidean and correlation, and the
dot product. An item without a direction - a row of zeros, or for correlation a constant row - has similarity 0
to everything, itself included: never NaN.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError

Kind = Literal["cosine", "dot", "euclidean", "correlation"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def similarity(
    x: Float[Tensor, "n e"], y: Float[Tensor, "m e"] | None = None, *, kind: Kind = "cosine"
) -> Float[Tensor, "n m"]:
    """Every row of `x` against every row of `y` (of `x` itself where None); higher means more alike.

    cosine  x.y / (|x| |y|), in -1..1.  dot  x.y.  euclidean  -|x - y|.
    correlation  the cosine of the rows after each has lost its own mean, in -1..1.

    In the inputs' precision (half precision and integers: float32); the squared distances behind `euclidean`
    are differences of large numbers and are formed in float64. Differentiable.

    Raises
    ------
    InputError : not two matrices of one width, values that are not finite, or an unknown kind.

    >>> similarity(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 3.0]])).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    x = _checked(x, "x")
    y = x if y is None else _checked(y, "y")
    if x.shape[1] != y.shape[1]:
        remedy = "give embeddings of one network"
        raise InputError(f"have widths {x.shape[1]} and {y.shape[1]}", field="x and y", remedy=remedy)
    if kind == "dot":
        return x @ y.T
    if kind == "euclidean":
        return -_euclidean(x, y)
    if kind not in KINDS:
        raise InputError(f"is {kind!r}", field="kind", remedy=f"choose {', '.join(KINDS)}")
    prepare = normalized if kind == "cosine" else _standardized
    left = prepare(x)
    return (left @ (left if y is x else prepare(y)).T).clamp(-1, 1)


def distances(
    x: Float[Tensor, "n e"], y: Float[Tensor, "m e"] | None = None, *, kind: Kind = "cosine"
) -> Float[Tensor, "n m"]:
    """How unlike rows are: 1 - similarity for cosine and correlation, else minus the similarity.

    An item's distance to itself is exactly 0 where `y` is None, save for `dot`; two items without a direction
    are at distance 1.

    >>> distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), kind="euclidean").tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    alike = similarity(x, y, kind=kind)
    apart = 1 - alike if kind in ("cosine", "correlation") else -alike
    if y is None and kind != "dot":
        apart = apart - torch.diag_embed(apart.diagonal())
    return apart


def normalized(x: Float[Tensor, "n e"]) -> Float[Tensor, "n e"]:
    """Rows of length 1; rows of zeros stay zeros. Neither huge nor tiny values overflow.

    >>> normalized(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    x = _real(x)
    largest = x.detach().abs().amax(-1, keepdim=True)
    scaled = x / torch.where(largest > 0, largest, 1)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True).clamp_min(1)


def centered(x: Float[Tensor, "n e"]) -> Float[Tensor, "n e"]:
    """Rows minus the mean row: what all items share is taken away.

    >>> centered(torch.tensor([[1.0, 2.0], [3.0, 2.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = _real(x)
    return x - x.mean(0, keepdim=True)


def condensed(square: Float[Tensor, "... n n"]) -> Float[Tensor, "... p"]:
    """The part above the diagonal, row by row: p = n (n - 1) / 2 in the order of scipy's `squareform`.

    >>> condensed(torch.arange(9.0).reshape(3, 3)).tolist()
    [1.0, 2.0, 5.0]
    """
    if square.ndim < 2 or square.shape[-1] != square.shape[-2]:
        raise InputError(f"has shape {tuple(square.shape)}", field="square", remedy="give (n, n)")
    n = square.shape[-1]
    row, column = torch.triu_indices(n, n, offset=1, device=square.device)
    return square[..., row, column]


def _standardized(x: Tensor) -> Tensor:
    """Rows of mean 0 and length 1. What rounding leaves of a constant row is not taken for a direction."""
    own = x - x.mean(-1, keepdim=True)
    noise = 8 * torch.finfo(x.dtype).eps * x.detach().abs().amax(-1, keepdim=True)
    return normalized(torch.where(own.detach().abs().amax(-1, keepdim=True) > noise, own, 0))


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    same, kind = y is x, x.dtype
    # distances do not change with the origin, the rounding of |x|^2 + |y|^2 - 2 x.y does
    origin = x.detach().double().mean(0)
    left = x.double() - origin
    right = left if same else y.double() - origin
    squares = left.square().sum(1)[:, None] + right.square().sum(1)[None] - 2 * left @ right.T
    if same:
        squares = squares - torch.diag_embed(squares.diagonal())
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0).to(kind)


def _real(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _checked(x: Tensor, field: str) -> Tensor:
    if x.ndim != 2 or not x.numel():
        raise InputError(f"has shape {tuple(x.shape)}", field=field, remedy="give (items, width), not empty")
    x = _real(x)
    finite = torch.isfinite(x)
    if not finite.all():
        row = int((~finite).any(1).nonzero()[0])
        raise InputError(f"row {row} has a value that is not a finite number", field=field)
    return x
