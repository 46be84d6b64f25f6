"""The face lattice of a polyhedral subdivision of a box, and its cutting by functionals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from visus.methods.polytopes.model.arrays import Arrays, arrays_for
from visus.methods.polytopes.model.cutting import Cutter, Functionals


@dataclass
class Lattice:
    """All k-faces of a polyhedral complex that fills a box, k = 0..d, and which lies on the boundary of which.

    Parameters
    ----------
    points : (f0, d) float64, the vertices.
    edges : (f1, 2) integer, the two vertices of each edge.
    rows : rows[i] belongs to the faces of dimension k = i + 2: (m, 2) integer, pairs (k-face, (k-1)-face on its
        boundary) in no particular order.
    wall : (f_{d-1},) integer, 2 * axis + (0 low, 1 high) of the box facet on which a (d-1)-face lies, -1 inside.
    """

    points: Float[Tensor, "v d"]
    edges: Integer[Tensor, "e 2"]
    rows: list[Integer[Tensor, "_ 2"]]
    wall: Integer[Tensor, " f"]

    @property
    def dim(self) -> int:
        """Dimension d of the space and of the cells."""
        return self.points.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.points.device

    @property
    def f_vector(self) -> tuple[int, ...]:
        """Number of faces of dimension 0..d."""
        middle = [int(rows[:, 0].max()) + 1 for rows in self.rows]
        return (len(self.points), len(self.edges), *middle)

    @property
    def num_cells(self) -> int:
        """Number of d-faces."""
        return self.f_vector[-1]

    @property
    def bytes(self) -> int:
        """Memory of the tensors."""
        return sum(part.nbytes for part in (self.points, self.edges, *self.rows, self.wall))

    @classmethod
    def box(
        cls, low: Sequence[float], high: Sequence[float], *, device: torch.device | str = "cpu"
    ) -> Lattice:
        """The lattice of one box: 3^d faces, one cell.

        >>> Lattice.box([0, 0, 0], [1, 1, 1]).f_vector
        (8, 12, 6, 1)
        """
        dim = len(low)
        # A face fixes some coordinates at their low (0) or high (1) end and leaves the others free (2).
        faces: list[dict[tuple[int, ...], int]] = [{} for _ in range(dim + 1)]
        for code in product(range(3), repeat=dim):
            level = faces[code.count(2)]
            level[code] = len(level)
        pairs = [
            [
                (faces[k][code], faces[k - 1][(*code[:axis], end, *code[axis + 1 :])])
                for code in faces[k]
                for axis in range(dim)
                if code[axis] == 2
                for end in (0, 1)
            ]
            for k in range(1, dim + 1)
        ]
        ends = (low, high)
        points = [[float(ends[end][axis]) for axis, end in enumerate(code)] for code in faces[0]]
        fixed = [next((a, end) for a, end in enumerate(code) if end < 2) for code in faces[dim - 1]]
        integer = {"dtype": torch.int32, "device": device}
        return cls(
            torch.tensor(points, dtype=torch.float64, device=device),
            torch.tensor(pairs[0], **integer)[:, 1].reshape(-1, 2),
            [torch.tensor(level, **integer) for level in pairs[1:]],
            torch.tensor([2 * axis + end for axis, end in fixed], **integer),
        )

    def cut(self, values: Float[Tensor, "v m"], *, tolerance: float = 1e-12) -> Lattice:
        """The lattice after cutting every cell by the zero sets of m functionals, one after the other.

        `values` holds them at the points. Every functional must be affine on every cell.
        """
        cutter = to_cutter(self)
        arrays, columns = cutter.arrays, values.to(self.points).t().contiguous()
        cutter.cut(Functionals(arrays, arrays.array(columns), list(range(len(columns)))), tolerance=tolerance)
        return from_cutter(cutter)

    def sub(self, cells: Integer[Tensor, " n"]) -> Lattice:
        """The closure of some cells as a lattice of its own; faces keep their order, `wall` keeps its meaning."""
        counts = self.f_vector
        keep = torch.zeros(counts[-1], dtype=torch.bool, device=self.device)
        keep[cells.long()] = True
        kept_rows: list[Tensor] = []
        masks = [keep]
        for rows, count in zip(reversed(self.rows), reversed(counts[1:-1]), strict=True):
            rows = rows[keep[rows[:, 0].long()]]
            kept_rows.append(rows)
            keep = torch.zeros(count, dtype=torch.bool, device=self.device)
            keep[rows[:, 1].long()] = True
            masks.append(keep)
        edges = self.edges[keep]
        keep = torch.zeros(counts[0], dtype=torch.bool, device=self.device)
        keep[edges.long().flatten()] = True
        masks.append(keep)
        masks.reverse()
        kept_rows.reverse()
        numbers = [torch.cumsum(mask, 0, dtype=torch.int64) - 1 for mask in masks]
        rows = [
            torch.stack([numbers[k][rows[:, 0].long()], numbers[k - 1][rows[:, 1].long()]], 1).int()
            for k, rows in enumerate(kept_rows, start=2)
        ]
        return Lattice(
            self.points[masks[0]], numbers[0][edges.long()].int(), rows, self.wall[masks[self.dim - 1]]
        )


def to_cutter(lattice: Lattice, arrays: Arrays | None = None) -> Cutter:
    """The lattice in the form that is fast to cut, with memory of its own."""
    arrays = arrays or arrays_for(lattice.device)
    dim, counts = lattice.dim, lattice.f_vector
    ends = lattice.edges.int().t().clone(memory_format=torch.contiguous_format)
    above: dict[int, Tensor] = {}
    vertex: dict[int, Tensor] = {}
    some = ends[0]
    for k, rows in enumerate(lattice.rows, start=2):
        faces, sides = rows[:, 0].long(), rows[:, 1].long()
        order = torch.argsort(sides, stable=True)
        degree = torch.bincount(sides, minlength=counts[k - 1])
        start = degree.cumsum(0) - degree
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device) - start[sides[order]]
        shift = int(k > 2)
        width = max(2 * (dim - k + 1), int(degree.max()))
        above[k] = ends.new_zeros((width, counts[k - 1] + shift))
        above[k][rank, sides + shift] = (faces + 1).int()
        if k < dim:
            vertex[k] = ends.new_zeros(counts[k] + 1)
            vertex[k][faces + 1] = some[sides + shift]
            some = vertex[k]
    outside = lattice.wall.new_full((int(dim > 2),), -1)
    return Cutter(
        arrays,
        arrays.array(lattice.points.t().clone(memory_format=torch.contiguous_format)),
        arrays.array(ends),
        {k: arrays.array(table) for k, table in above.items()},
        {k: arrays.array(ids) for k, ids in vertex.items()},
        arrays.array(torch.cat([outside, lattice.wall]).int()),
        counts[-1],
    )


def from_cutter(cutter: Cutter) -> Lattice:
    """The plain lattice of a cutter, with memory of its own."""
    arrays = cutter.arrays
    rows = []
    for k, table in cutter.above.items():
        faces, sides = [], []
        for row in table.view:
            known = arrays.positions(row > 0)
            faces.append(row[known] - 1)
            sides.append(arrays.cast(known, "int32") - int(k > 2))
        rows.append(arrays.tensor(arrays.stack([arrays.concat(faces), arrays.concat(sides)]).T))
    points, ends, wall = (arrays.tensor(part.view) for part in (cutter.points, cutter.ends, cutter.wall))
    wall = wall[int(cutter.dim > 2) :].clone()
    return Lattice(points.t().contiguous(), ends.t().contiguous(), rows, wall)
