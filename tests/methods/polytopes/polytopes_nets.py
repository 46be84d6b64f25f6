"""Reference networks and arrangements, and a slow independent cutter, for the tests of the method."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visus.methods.polytopes.model.lattice import Lattice

INITS = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}


def mlp(
    widths: Sequence[int], *, init: str = "xavier_uniform", bias: float | None = None, seed: int = 0
) -> nn.Sequential:
    """Linear and ReLU layers, the last one linear, in float64.

    `bias` sets all biases to one value; None draws them from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layer = nn.Linear(fan_in, fan_out).double()
        with torch.no_grad():
            INITS[init](layer.weight, generator=generator)
            if bias is None:
                layer.bias.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
            else:
                layer.bias.fill_(bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def tent(depth: int) -> nn.Sequential:
    """The tent map in the first of two coordinates, composed `depth` times: 2^depth strips of [0, 1]^2.

    t(x) = 2 x on [0, 1/2], 2 - 2 x on [1/2, 1], written as 2 relu(x) - 4 relu(x - 1/2).
    """
    layers: list[nn.Module] = []
    for level in range(depth):
        inner = nn.Linear(2 if level == 0 else 1, 2).double()
        outer = nn.Linear(2, 1).double()
        with torch.no_grad():
            inner.weight.zero_()[:, 0] = 1
            inner.bias.copy_(torch.tensor([0.0, -0.5]))
            outer.weight.copy_(torch.tensor([[2.0, -4.0]]))
            outer.bias.zero_()
        layers += [inner, nn.ReLU(), outer]
    return nn.Sequential(*layers)


def arrangement(normals: Tensor, offsets: Tensor | float = 0.0, *, radius: float = 1.0) -> Lattice:
    """The box [-radius, radius]^d cut by hyperplanes normals @ x + offsets = 0."""
    dim = normals.shape[1]
    box = Lattice.box([-radius] * dim, [radius] * dim)
    return box.cut(box.points @ normals.double().T + offsets)


def roots(dim: int, kind: str) -> Tensor:
    """Normals of the braid arrangement (`A`: x_i = x_j) or of the type B arrangement (also x_i = -x_j, x_i = 0)."""
    eye = torch.eye(dim, dtype=torch.float64)
    rows = [eye[i] - eye[j] for i, j in itertools.combinations(range(dim), 2)]
    if kind == "B":
        rows += [eye[i] + eye[j] for i, j in itertools.combinations(range(dim), 2)] + list(eye)
    return torch.stack(rows)


def euler(counts: Sequence[int]) -> int:
    """Alternating sum of an f-vector."""
    return sum((-1) ** k * count for k, count in enumerate(counts))


def cells_as_points(lattice: Lattice, digits: int = 9) -> set[frozenset[tuple[float, ...]]]:
    """The cells, each as the set of its rounded vertices: what two equal complexes share whatever their numbers."""
    return {
        frozenset(tuple(round(x + 0.0, digits) + 0.0 for x in lattice.points[v].tolist()) for v in members)
        for members in members_of(lattice, lattice.dim)
    }


def members_of(lattice: Lattice, k: int) -> list[set[int]]:
    """The vertices of every k-face, by plain loops over the incidences."""
    level: list[set[int]] = [set(ends) for ends in lattice.edges.tolist()]
    for rows, count in zip(lattice.rows[: max(0, k - 1)], lattice.f_vector[2:], strict=False):
        upper: list[set[int]] = [set() for _ in range(count)]
        for face, side in rows.tolist():
            upper[face] |= level[side]
        level = upper
    return level


class SlowComplex:
    """Cells as lists of half-spaces and vertices, cut one by one: no lattice, no shared faces.

    A cell is a set of vertices, each with the set of constraints that are tight there (box facets and
    hyperplanes). Two vertices of a simple cell span an edge if they share d - 1 constraints. For arrangements in
    general position only.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        self.dim = len(low)
        corners = []
        for code in itertools.product((0, 1), repeat=self.dim):
            place = tuple(float((low, high)[end][axis]) for axis, end in enumerate(code))
            corners.append((place, frozenset((axis, end) for axis, end in enumerate(code))))
        self.cells = [corners]

    def cut(self, name: object, value) -> None:
        """Cut every cell by the zero set of `value` (affine on each)."""
        done = []
        for cell in self.cells:
            heights = [value(place) for place, _ in cell]
            if min(heights) >= 0 or max(heights) <= 0:
                done.append(cell)
                continue
            parts = {
                sign: [vertex for vertex, h in zip(cell, heights, strict=True) if sign * h > 0]
                for sign in (1, -1)
            }
            for (p, one), h in zip(cell, heights, strict=True):
                for (q, two), g in zip(cell, heights, strict=True):
                    if h > 0 > g and len(one & two) >= self.dim - 1:
                        t = h / (h - g)
                        place = tuple(a + t * (b - a) for a, b in zip(p, q, strict=True))
                        for part in parts.values():
                            part.append((place, (one & two) | {name}))
            done += parts.values()
        self.cells = done

    def as_points(self, digits: int = 9) -> set[frozenset[tuple[float, ...]]]:
        """As `cells_as_points`."""
        return {
            frozenset(tuple(round(x, digits) + 0.0 for x in place) for place, _ in cell)
            for cell in self.cells
        }
