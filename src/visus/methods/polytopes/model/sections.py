"""Level sets of a functional in a complex, and their clipping by further functionals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from visus.methods.polytopes.model.incidence import Ragged
from visus.methods.polytopes.model.lattice import Lattice

Rows = tuple[Integer[Tensor, " m"], Integer[Tensor, " m"]]


@dataclass(frozen=True)
class Patch:
    """Convex polytopes of one dimension, each in a cell of a complex, with the incidences of their faces.

    Parameters
    ----------
    points : (v, c) coordinates and further columns that are affine on every polytope; some may be unused.
    edges : (e, 2) vertices of every edge.
    rows : rows[i] for faces of dimension k = i + 2: (k-face, (k-1)-face on its boundary).
    counts : number of faces of dimension 1, 2, ...; the last are the polytopes.
    owners : the cell of every polytope.
    """

    points: Float[Tensor, "v c"]
    edges: Integer[Tensor, "e 2"]
    rows: list[Rows]
    counts: list[int]
    owners: Integer[Tensor, " n"]

    @classmethod
    def of(cls, lattice: Lattice, columns: Float[Tensor, "v k"]) -> Patch:
        """All cells of a lattice, with further columns at its points."""
        rows = [(rows[:, 0].long(), rows[:, 1].long()) for rows in lattice.rows]
        counts = list(lattice.f_vector[1:])
        owners = torch.arange(counts[-1], device=lattice.device)
        return cls(torch.cat([lattice.points, columns], 1), lattice.edges.long(), rows, counts, owners)

    def any(self, flag: Bool[Tensor, " v"]) -> list[Bool[Tensor, " _"]]:
        """Per dimension 0, 1, ...: which faces have a vertex with the flag."""
        flags = [flag, flag[self.edges].any(1)]
        for (face, side), count in zip(self.rows, self.counts[1:], strict=True):
            found = torch.zeros(count, dtype=torch.bool, device=flag.device)
            found[face[flags[-1][side]]] = True
            flags.append(found)
        return flags

    def members(self) -> Ragged:
        """The vertices of every polytope, ascending, each once."""
        edge = torch.arange(len(self.edges), device=self.edges.device)
        vertices = Ragged.distinct(edge.repeat_interleave(2), self.edges.flatten(), len(edge))
        for (face, side), count in zip(self.rows, self.counts[1:], strict=True):
            which, items = vertices.take(side)
            vertices = Ragged.distinct(face[which], items, count)
        return vertices

    def section(self, value: Float[Tensor, " v"]) -> Patch:
        """The polytopes {value = 0} on the rim of {value > 0}, of one dimension less.

        A value of exactly 0 counts as below (the limit of {value = epsilon} for epsilon from above), so a polytope
        that only touches the level from above gives its zero face, one that touches from below gives nothing.
        """
        crossing = _cross(self, value, value > 0)
        split = crossing.split
        born = [int(mask.sum()) for mask in split[2:]]
        return Patch(crossing.points, crossing.edges, crossing.rows, born, self.owners[split[-1]])

    def clip(self, value: Float[Tensor, " v"]) -> Patch:
        """The part {value >= 0} of every polytope, left out where it is only a part of the polytope's rim."""
        top = len(self.counts)
        wanted = self.any(value > 0)[top] | ~self.any(value < 0)[top]
        crossing = _cross(self, value, value >= 0)
        edges, split = self.edges.clone(), crossing.split
        edges[split[1]] = torch.where(value[edges[split[1]]] >= 0, edges[split[1]], crossing.spot[:, None])
        if top == 1:
            return Patch(crossing.points, edges[wanted], [], [int(wanted.sum())], self.owners[wanted])
        left, rows = self.any(value >= 0), []
        for k, (face, side) in enumerate(self.rows, start=2):
            kept, parent = left[k - 1][side], torch.nonzero(split[k])[:, 0]
            faces, sides = [face[kept], parent], [side[kept], self.counts[k - 2] + crossing.number[k][parent]]
            if k < top:
                faces.append(self.counts[k - 1] + crossing.rows[k - 2][0])
                sides.append(self.counts[k - 2] + crossing.rows[k - 2][1])
            rows.append((torch.cat(faces), torch.cat(sides)))
        counts = [count + int(mask.sum()) for count, mask in zip(self.counts, split[2:], strict=False)]
        whole = Patch(
            crossing.points, torch.cat([edges, crossing.edges]), rows, [*counts, len(wanted)], self.owners
        )
        return whole.only(wanted)

    def only(self, wanted: Bool[Tensor, " n"]) -> Patch:
        """Some of the polytopes; the faces of the others stay behind, unused."""
        counts = [*self.counts[:-1], int(wanted.sum())]
        if not self.rows:
            return Patch(self.points, self.edges[wanted], [], counts, self.owners[wanted])
        face, side = self.rows[-1]
        kept, number = wanted[face], torch.cumsum(wanted, 0) - 1
        rows = [*self.rows[:-1], (number[face[kept]], side[kept])]
        return Patch(self.points, self.edges, rows, counts, self.owners[wanted])


@dataclass(frozen=True)
class _Crossing:
    """The level of a functional: every face that it splits gives one face of one dimension less.

    `split` per dimension, `number` of the new face of every split face; `spot`: the vertex on every split edge.
    """

    points: Tensor
    spot: Tensor
    split: list[Tensor]
    number: list[Tensor]
    edges: Tensor
    rows: list[Rows]


def _cross(patch: Patch, value: Tensor, above: Tensor) -> _Crossing:
    """Split faces have vertices in `above` and vertices not in it; which of both zeros are is the caller's choice.

    The level passes an edge with an end of value 0 in that end: no second vertex is made there.
    """
    split = [one & other for one, other in zip(patch.any(above), patch.any(~above), strict=True)]
    number = [torch.cumsum(mask, 0) - 1 for mask in split]
    ends = patch.edges[split[1]]
    top, bottom = torch.where(above[ends[:, :1]], ends, ends.flip(1)).unbind(1)
    fresh = (value[top] != 0) & (value[bottom] != 0)
    spot = torch.where(value[top] == 0, top, bottom)
    spot[fresh] = len(patch.points) + torch.arange(int(fresh.sum()), device=spot.device)
    top, bottom = top[fresh], bottom[fresh]
    weight = value[top] / (value[top] - value[bottom])
    points = torch.lerp(patch.points[top], patch.points[bottom], weight[:, None])
    rows = [
        (number[k][face[inner]], number[k - 1][side[inner]])
        for k, (face, side) in enumerate(patch.rows, start=2)
        for inner in [split[k][face] & split[k - 1][side]]
    ]
    edges = spot.new_zeros(0, 2)
    if rows:
        pairs = Ragged.grouped(rows[0][0], spot[rows[0][1]], int(split[2].sum()))
        edges = torch.stack([pairs.items[pairs.offsets[:-1]], pairs.items[pairs.offsets[1:] - 1]], 1)
    return _Crossing(torch.cat([patch.points, points]), spot, split, number, edges, rows[1:])
