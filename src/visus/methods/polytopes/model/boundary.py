"""Where the predicted class changes: the faces on which the two largest logits tie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from visus.methods.polytopes.model.incidence import Ragged, rings
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.sections import Patch

TIED = 1e-12
"""Logits this close, relative to the largest logit, count as equal."""


@dataclass(frozen=True)
class Boundary:
    """The decision boundary as (d-1)-dimensional polytopes, each in one cell.

    Parameters
    ----------
    points : (v, d) the vertices.
    faces : vertices of every face; for d = 2 the ends of a segment, for d = 3 in the order around the polygon.
    pairs : (f, 2) the classes on both sides, the smaller first.
    cells : (f,) the cell in which the face lies; of two neighbors, if it is their common facet, one.
    flat : cells in which two logits tie for the largest value everywhere. The tie fills such a cell, the first of
        the tied classes is predicted in it, and only where the prediction changes is there a face.
    """

    points: Float[Tensor, "v d"]
    faces: Ragged
    pairs: Integer[Tensor, "f 2"]
    cells: Integer[Tensor, " f"]
    flat: Integer[Tensor, " c"]

    def __len__(self) -> int:
        return len(self.faces)

    def polygons(self) -> list[Float[Tensor, "_ d"]]:
        """Coordinates of the vertices of every face."""
        return [self.points[vertices] for vertices in self.faces]


def decision_boundary(
    lattice: Lattice,
    outputs: Float[Tensor, "v k"],
    members: Ragged,
    neighbors: Integer[Tensor, "f 2"],
) -> Boundary:
    """All faces between regions of different predicted class, which is the first of the largest logits.

    The tie of every pair of classes is cut out of the cells and clipped to where no third logit is larger. A
    face counts if the prediction really changes across it, judged by the logits on both sides; a tie that is
    only touched, as at the kink of |x|, does not.

    Parameters
    ----------
    lattice : the complex, on whose cells the logits are affine.
    outputs : the logits at its points; a single logit y counts as the two logits (0, y).
    members : the vertices of every cell.
    neighbors : the two cells of every (d-1)-face, -1 outside.
    """
    logits = torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1] == 1 else outputs
    limit = TIED * float(logits.abs().max())
    contested = _contested(logits, members, limit)
    flat = contested[:0]
    points, pairs, cells = [lattice.points[:0]], [contested.new_zeros(0, 2)], [contested[:0]]
    owners, vertices, total, start = [contested[:0]], [contested[:0]], 0, 0
    if len(contested):
        ties = _Ties(lattice, logits, limit, contested, members, neighbors)
        flat = ties.flat()
        for pair in combinations(range(logits.shape[1]), 2):
            tie, corners = ties.between(*pair)
            used, items = torch.unique(corners.items, return_inverse=True)
            points.append(tie.points[used, : lattice.dim])
            pairs.append(contested.new_tensor(pair).expand(len(corners), 2))
            cells.append(tie.owners)
            owners.append(corners.owners + total)
            vertices.append(items + start)
            total, start = total + len(corners), start + len(used)
    corner = torch.cat(points)
    faces = Ragged.grouped(torch.cat(owners), torch.cat(vertices), total)
    if lattice.dim == 3 and total:
        faces = rings(corner, faces)
    return Boundary(corner, faces, torch.cat(pairs), torch.cat(cells), flat)


def _contested(logits: Tensor, members: Ragged, limit: float) -> Tensor:
    """Cells in which no logit's minimum exceeds the maxima of all others: the rest has one class throughout."""
    shape = (len(members), logits.shape[1])
    owners, values = members.owners[:, None].expand(-1, shape[1]), logits[members.items]
    least = logits.new_full(shape, torch.inf).scatter_reduce_(0, owners, values, "amin")
    most = logits.new_full(shape, -torch.inf).scatter_reduce_(0, owners, values, "amax")
    rivals = (most >= least.amax(1, keepdim=True) - 2 * limit).sum(1)
    return torch.nonzero(rivals > 1)[:, 0]


class _Ties:
    """The ties between pairs of logits in some cells, restricted to where the predicted class changes."""

    def __init__(
        self,
        lattice: Lattice,
        logits: Tensor,
        limit: float,
        cells: Tensor,
        members: Ragged,
        neighbors: Tensor,
    ) -> None:
        self.dim, self.logits, self.limit, self.cells = lattice.dim, logits, limit, cells
        self.members, self.neighbors = members, neighbors
        which, corners = members.take(cells)
        self.corners = Ragged.grouped(which, corners, len(cells))
        # `sub` keeps the order of points and facets, which therefore are the ascending ones of these cells.
        chosen = torch.zeros(len(members), dtype=torch.bool, device=cells.device)
        chosen[cells] = True
        rows = lattice.rows[-1]
        self.point = torch.unique(corners)
        self.facet = torch.unique(rows[chosen[rows[:, 0].long()], 1].long())
        self.patch = Patch.of(lattice.sub(cells), logits[self.point])

    def between(self, one: int, two: int) -> tuple[Patch, Ragged]:
        """The faces with class `one` on one side and `two` on the other, and the vertices of each."""
        value = self._clean(self.logits[:, two] - self.logits[:, one])
        tie = self.patch.section(value[self.point])
        for third in sorted(set(range(self.logits.shape[1])) - {one, two}):
            if len(tie.owners):
                tie = tie.clip(self._clean(tie.points[:, self.dim + one] - tie.points[:, self.dim + third]))
        corners = tie.members()
        if not len(corners):
            return tie, corners
        low, high, real = self._sides(value, tie.owners)
        tied = self._tied(tie, corners, one)
        real &= (self._winner(low, tied) == one) & (self._winner(high, tied) == two)
        # Fewer than d corners: the level only meets a ridge or a vertex of the cell.
        real &= corners.lengths >= self.dim
        which, items = corners.take(torch.nonzero(real)[:, 0])
        tie = tie.only(real)
        return replace(tie, owners=self.cells[tie.owners]), Ragged.grouped(which, items, len(tie.owners))

    def flat(self) -> Tensor:
        """Cells where one class is on top at every vertex, and another too."""
        on_top = self.logits >= self.logits.amax(1, keepdim=True) - self.limit
        misses = self.corners.mean((~on_top).to(self.logits.dtype))
        return self.cells[(misses == 0).sum(1) > 1]

    def _clean(self, value: Tensor) -> Tensor:
        return torch.where(value.abs() <= self.limit, 0.0, value)

    def _sides(self, value: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (f, k) below and above the ties in the cells at `places`, and which have a side below at all.

        A cell whose values are never negative has its tie on its rim: below lies the neighbor behind that facet.
        """
        items = self.corners.items
        above = self.logits[items[self.corners.first_largest(value[items])]][places]
        lowest = items[self.corners.first_largest(-value[items])][places]
        below, real = self.logits[lowest], value[lowest] < 0
        if bool(real.all()):
            return below, above, real
        local = value[self.point]
        zero = ~(self.patch.any(local > 0)[-2] | self.patch.any(local < 0)[-2])
        place, facet = self.patch.rows[-1]
        place, facet = place[zero[facet]], self.facet[facet[zero[facet]]]
        behind = torch.full((len(self.cells),), -1, device=places.device)
        behind[place] = self.neighbors[facet].sum(1) - self.cells[place]
        behind = torch.where(real, -1, behind[places])
        found = torch.nonzero(behind >= 0)[:, 0]
        which, items = self.members.take(behind[found])
        below[found] = Ragged.grouped(which, items, len(found)).mean(self.logits)
        return below, above, real | (behind >= 0)

    def _tied(self, tie: Patch, corners: Ragged, one: int) -> Bool[Tensor, "f k"]:
        """Which logits equal that of class `one` on a whole face."""
        logits = tie.points[:, self.dim :]
        apart = (logits - logits[:, one : one + 1]).abs() > self.limit
        return corners.mean(apart.to(logits.dtype)) == 0

    def _winner(self, logits: Float[Tensor, "f k"], among: Bool[Tensor, "f k"]) -> Integer[Tensor, " f"]:
        """First of the largest logits among the tied ones."""
        logits = logits.masked_fill(~among, -torch.inf)
        return (logits >= logits.amax(1, keepdim=True) - self.limit).to(torch.uint8).argmax(1)
