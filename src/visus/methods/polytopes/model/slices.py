"""Flat slices through high-dimensional input spaces, so that the networks on them can be enumerated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from visus.errors import InputError

FLAT = 1e-9
"""Points whose height above the span of the others is below this share of their distances are refused."""


class Slice(nn.Module):
    """The plane through three inputs, or the 3-dimensional flat through four, with orthonormal coordinates.

    x(t) = p_1 + sum_i t_i e_i,   e_1, e_2(, e_3) = Gram-Schmidt of p_2 - p_1, p_3 - p_1(, p_4 - p_1)

    Lengths, areas and volumes in t are those of the input space. The first point has coordinates 0, the
    second lies on the first axis, the third on the side of positive t_2. Calling it maps coordinates (v, d) to
    inputs (v, *shape), so that `nn.Sequential(slice, network)` is a network of d inputs.

    Differs: SplineCam (2302.12828) shows planes through three data points; flats through four are ours.

    Parameters
    ----------
    points : (k, *shape), k = 3 or 4 inputs of any shape (flat rows, images).
    margin : the default box reaches beyond the points by this share of their extent along each axis.

    Attributes
    ----------
    dimension : 2 or 3.
    shape : of one input.
    origin, basis : (n,) and (d, n) float64, n = prod(shape).
    points : (k, d) coordinates of the points.
    box : (low, high), d numbers each.

    Raises
    ------
    InputError : another number of points, values that are not finite, points on a line (four: in a plane).

    >>> plane = Slice(torch.tensor([[0.0, 0, 0], [0, 2, 0], [1, 1, 0]]), margin=0.5)
    >>> plane.points.tolist(), plane.box
    ([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], ((-1.0, -0.5), (3.0, 1.5)))
    >>> plane(torch.tensor([[1.0, 1.0]])).tolist()
    [[1.0, 1.0, 0.0]]
    """

    origin: Tensor
    basis: Tensor
    points: Tensor

    def __init__(self, points: Float[Tensor, k * shape], *, margin: float = 0.1) -> None:
        super().__init__()
        rows = _finite(points, "points")
        if len(rows) not in (3, 4):
            raise InputError(
                f"are {len(rows)} points",
                field="points",
                remedy="give 3 points for a plane or 4 for a 3-dimensional slice",
            )
        if not (margin >= 0 and math.isfinite(margin)):
            raise InputError(f"is {margin}", field="margin", remedy="give 0 or more")
        self.shape = tuple(points.shape[1:])
        basis = _orthonormal(rows[1:] - rows[0], field="points")
        self._store(rows[0], basis, (rows - rows[0]) @ basis.T)
        low, high = self.points.amin(0), self.points.amax(0)
        spread = margin * (high - low)
        self.box = (tuple((low - spread).tolist()), tuple((high + spread).tolist()))

    @classmethod
    def from_directions(
        cls,
        origin: Float[Tensor, " *shape"],
        directions: Float[Tensor, d * shape],
        *,
        box: tuple[Any, Any] = (-1.0, 1.0),
    ) -> Self:
        """The flat through `origin` along two or three directions, which are made orthonormal in their order.

        `box` is in its coordinates: scalars, or one number per axis.
        """
        rows = _finite(directions, "directions")
        start = _finite(origin[None], "origin")[0]
        if len(rows) not in (2, 3):
            raise InputError(f"are {len(rows)}", field="directions", remedy="give 2 or 3 directions")
        if tuple(directions.shape[1:]) != tuple(origin.shape):
            shapes = f"{tuple(directions.shape[1:])} and {tuple(origin.shape)}"
            raise InputError(f"have other shapes than the origin: {shapes}", field="directions")
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.shape = tuple(origin.shape)
        basis = _orthonormal(rows, field="directions")
        made._store(start, basis, start.new_zeros(1, len(rows)))
        made.box = _box(box, len(rows))
        return made

    def _store(self, origin: Tensor, basis: Tensor, points: Tensor) -> None:
        self.register_buffer("origin", origin)
        self.register_buffer("basis", basis)
        self.register_buffer("points", points)

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.basis)

    def forward(self, coordinates: Float[Tensor, "v d"]) -> Float[Tensor, v * shape]:
        flat = coordinates @ self.basis.to(coordinates) + self.origin.to(coordinates)
        return flat.reshape(len(coordinates), *self.shape)

    def coordinates(self, inputs: Float[Tensor, v * shape]) -> Float[Tensor, "v d"]:
        """Coordinates of the nearest points of the slice."""
        rows = inputs.reshape(len(inputs), -1).to(self.basis)
        return (rows - self.origin) @ self.basis.T

    def distances(self, inputs: Float[Tensor, v * shape]) -> Float[Tensor, " v"]:
        """Euclidean distance of inputs from the slice; 0 for those it goes through, up to rounding."""
        rows = inputs.reshape(len(inputs), -1).to(self.basis)
        nearest = self(self.coordinates(inputs)).reshape(len(inputs), -1)
        return (rows - nearest).norm(dim=1)

    def extra_repr(self) -> str:
        """Dimension and the inputs' shape."""
        return f"dimension={self.dimension}, shape={self.shape}"


def _finite(values: Tensor, field: str) -> Float[Tensor, "k n"]:
    if not isinstance(values, Tensor) or values.ndim < 2 or values.is_complex():
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"have shape {shape}", field=field, remedy="give a tensor of inputs, one per row")
    rows = values.detach().reshape(len(values), -1).to(torch.float64)
    if not torch.isfinite(rows).all():
        raise InputError("hold values that are not finite numbers", field=field, remedy="replace them")
    return rows


def _orthonormal(steps: Float[Tensor, "d n"], *, field: str) -> Float[Tensor, "d n"]:
    """Gram-Schmidt, twice over for accuracy."""
    axes: list[Tensor] = []
    for step in steps:
        rest, length = step, step.norm()
        for _ in range(2):
            for axis in axes:
                rest = rest - (rest @ axis) * axis
        if not rest.norm() > FLAT * length:
            what = ("are equal", "lie on a line", "lie in a plane")[len(axes)]
            what = what if field == "points" else "are not independent"
            raise InputError(what, field=field, remedy="choose others")
        axes.append(rest / rest.norm())
    return torch.stack(axes)


def _box(box: Sequence[Any], dimension: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low, high = (
        tuple(float(x) for x in torch.as_tensor(end, dtype=torch.float64).broadcast_to((dimension,)).tolist())
        for end in box
    )
    if not all(a < b and math.isfinite(a) and math.isfinite(b) for a, b in zip(low, high, strict=True)):
        raise InputError(f"is {low} to {high}", field="box", remedy="give low below high on every axis")
    return low, high
