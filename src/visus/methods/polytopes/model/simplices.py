"""Triangulations of all cells at once, and the measures of all faces."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from visus.errors import InputError
from visus.methods.polytopes.model.incidence import Ragged
from visus.methods.polytopes.model.lattice import Lattice

Rule = Literal["pull", "delaunay"]
Order = Literal["lexicographic", "index"]

PORTION = 2**18
"""Rows of incidences worked on at a time: bounds the memory beside the results, and suits the cache."""
COINCIDENT = 1e-12
"""Coordinates that differ by less than this share of the extent count as equal in the lexicographic order."""
FLAT = 1e-13
"""A Delaunay simplex with a smaller determinant, in a cell scaled to radius 1, lies in a facet or between
vertices on one sphere: rounding made it, it fills nothing."""


def vertex_ranks(points: Float[Tensor, "v d"], order: Order = "lexicographic") -> Integer[Tensor, " v"]:
    """Place of every vertex in a total order: by coordinates, first coordinate first, or by number.

    Coordinates that agree up to rounding are ties and leave the decision to the next one, so that networks
    which compute one function in two ways order their vertices alike.

    >>> vertex_ranks(torch.tensor([[1.0, 0.0], [0.0, 5.0], [1.0 - 1e-15, 2.0]], dtype=torch.float64))
    tensor([1, 0, 2])
    """
    if order == "index":
        return torch.arange(len(points), device=points.device)
    if order != "lexicographic":
        raise InputError(f"{order!r} is no order", field="order", remedy="choose lexicographic or index")
    margin = COINCIDENT * (points.amax(0) - points.amin(0))
    places = torch.argsort(points[:, 0], stable=True)
    starts = torch.ones(len(points), dtype=torch.bool, device=points.device)
    starts[1:] = points[places, 0].diff() > margin[0]
    for axis in range(1, points.shape[1]):
        group = torch.cumsum(starts, 0) - 1
        tied = torch.nonzero(torch.bincount(group)[group] > 1)[:, 0]
        if not len(tied):
            break
        by = torch.argsort(points[places[tied], axis], stable=True)
        by = by[torch.argsort(group[tied][by], stable=True)]
        places[tied] = places[tied][by]
        starts[tied[1:]] |= points[places[tied], axis].diff() > margin[axis]
    ranks = torch.empty_like(places)
    ranks[places] = torch.arange(len(places), device=places.device)
    return ranks


class Pulling:
    """Every face cut into simplices by pulling its least vertex, the apex, in one order of all vertices.

    A k-face is the union of the pyramids from its apex over those of its (k-1)-faces that do not contain the
    apex; these are cut in the same way. As cells that share a face agree on the face's apex, they cut it alike:
    all simplices together form a simplicial complex (conforming triangulation).

    Paper: 2305.09145 counts simplices of such a vertex-ordered subdivision (its "consistent" subdivision).
    Differs: for d >= 3 the count depends on the order; the lexicographic one is a function of the cells alone,
    whatever the numbering of neurons and vertices.

    Parameters
    ----------
    lattice : the complex.
    order : `lexicographic` (by coordinates) or `index` (by vertex number, saves the sort).
    """

    def __init__(self, lattice: Lattice, order: Order = "lexicographic") -> None:
        self.lattice, self.counts_by_dim = lattice, lattice.f_vector
        self._grouped: dict[int, Ragged] = {}
        rank = vertex_ranks(lattice.points, order)
        by_rank = torch.argsort(rank)
        least = [rank, rank[lattice.edges.long()].amin(1)]
        self.bases: list[tuple[Tensor, Tensor]] = []
        """Per k = 2..d: (face, side) for every (k-1)-face `side` of a k-face that does not contain its apex."""
        for rows, count in zip(lattice.rows, self.counts_by_dim[2:], strict=True):
            lowest = torch.full((count,), len(rank), device=rank.device)
            for face, side in map(_columns, rows.split(PORTION)):
                lowest.scatter_reduce_(0, face, least[-1][side], "amin")
            bases = []
            for face, side in map(_columns, rows.split(PORTION)):
                base = least[-1][side] != lowest[face]
                bases.append((face[base], side[base]))
            faces, sides = zip(*bases, strict=True)
            self.bases.append((torch.cat(faces), torch.cat(sides)))
            least.append(lowest)
        self.apex = [by_rank[ranks] for ranks in least]
        """Per k = 0..d: the vertex from which each k-face is cut."""

    def counts(self) -> Integer[Tensor, " n"]:
        """Simplices per cell: T(edge) = 1, T(face) = sum of T over its sides that do not contain its apex."""
        number = torch.ones(self.counts_by_dim[1], dtype=torch.int64, device=self.lattice.device)
        for (face, side), count in zip(self.bases, self.counts_by_dim[2:], strict=True):
            number = number.new_zeros(count).index_add_(0, face, number[side])
        return number

    def members(self, dim: int) -> Ragged:
        """Vertices of every face of a dimension >= 1, ascending.

        Every vertex but the apex lies on a side that does not contain the apex, so half of the sides suffice.
        """
        ends = self.lattice.edges.long().sort(1).values.flatten()
        vertices = Ragged(torch.arange(0, len(ends) + 1, 2, device=ends.device), ends)
        for k in range(2, dim + 1):
            vertices = self._gathered(k, vertices)
        return vertices

    def _gathered(self, k: int, sides: Ragged) -> Ragged:
        """Vertices of every k-face from those of the (k-1)-faces."""
        (face, side), apex = self.bases[k - 2], self.apex[k]
        bits = len(self.lattice.points).bit_length()
        keys = face.new_empty(len(apex) + int(sides.lengths[side].sum()))
        keys[: len(apex)] = (torch.arange(len(apex), device=face.device) << bits) | apex
        start = len(apex)
        for some_faces, some_sides in zip(face.split(PORTION), side.split(PORTION), strict=True):
            which, items = sides.take(some_sides)
            keys[start : start + len(items)] = (some_faces[which] << bits) | items
            start += len(items)
        return Ragged.from_keys(keys, bits, len(apex))

    def measures(self) -> tuple[Float[Tensor, " f"], Float[Tensor, " n"]]:
        """(d-1)-volume of every (d-1)-face and volume of every cell.

        The measure of a k-face is a k-vector M, found from those of its sides S:
        M(face) = sum over S without the apex v of (p_S - v) ^ M(S) / k, every summand with the sign that makes
        all point the same way. All summands of a face are parallel, so nothing cancels, and the cost grows
        with the number of sides, not with the number of simplices.
        """
        coordinates, ends = self.lattice.points.T.contiguous(), self.lattice.edges.long()
        blades = coordinates[:, ends[:, 1]] - coordinates[:, ends[:, 0]]
        sides = blades
        for k, ((face, side), count) in enumerate(zip(self.bases, self.counts_by_dim[2:], strict=True), 2):
            parts = coordinates.new_empty(comb(len(coordinates), k), len(face))
            for start in range(0, len(face), PORTION):
                some = slice(start, start + PORTION)
                arms = coordinates[:, self.apex[k - 1][side[some]]] - coordinates[:, self.apex[k][face[some]]]
                parts[:, some] = wedge(arms, blades[:, side[some]], k) / k
            sides, blades = blades, _aligned_sum(parts, face, count)
        return sides.square().sum(0).sqrt(), blades[0]

    def simplices(
        self, cells: Integer[Tensor, " n"] | None = None
    ) -> tuple[Integer[Tensor, "s d_plus_1"], Integer[Tensor, " s"]]:
        """Vertex numbers of the simplices of the cells (all without `cells`), and the cell of each.

        Give `cells` in portions where the simplices of all do not fit in memory: 8 (d + 2) bytes each.
        """
        everyone = torch.arange(self.counts_by_dim[-1], device=self.lattice.device)
        owners = everyone if cells is None else cells.long()
        face, corners = owners, [self.apex[-1][owners]]
        for k in range(self.lattice.dim, 1, -1):
            if k not in self._grouped:
                self._grouped[k] = Ragged.grouped(*self.bases[k - 2], self.counts_by_dim[k])
            which, face = self._grouped[k].take(face)
            owners, corners = owners[which], [corner[which] for corner in corners]
            corners.append(self.apex[k - 1][face])
        ends = self.lattice.edges[face].long()
        corners.append(ends.sum(1) - corners[-1])
        return torch.stack(corners, 1), owners


def _columns(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows[:, 0].long(), rows[:, 1].long()


def wedge(vectors: Float[Tensor, "d m"], blades: Float[Tensor, "c m"], k: int) -> Float[Tensor, "e m"]:
    """Exterior products u ^ M of vectors u with (k-1)-vectors M.

    Coordinates of a k-vector belong to the k-subsets of the d axes in lexicographic order:
    (u ^ M)_I = sum over the p-th member i of I of (-1)^p u_i M_{I without i}.

    >>> u, v = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[4.0], [5.0], [6.0]])
    >>> wedge(u, v, 2).T  # the cross product's coordinates (z, -y, x)
    tensor([[-3., -6., -3.]])
    """
    axes = range(len(vectors))
    place = {subset: i for i, subset in enumerate(combinations(axes, k - 1))}
    products = []
    for subset in combinations(axes, k):
        terms = [vectors[i] * blades[place[subset[:p] + subset[p + 1 :]]] for p, i in enumerate(subset)]
        products.append(sum(terms[2::2], terms[0]) - sum(terms[3::2], terms[1]))
    return torch.stack(products)


def _aligned_sum(parts: Tensor, face: Tensor, count: int) -> Tensor:
    """Per face the sum of parallel k-vectors, all turned to one side; only the largest coordinate decides."""
    most = parts[0].new_zeros(count).index_add_(0, face, parts[0].abs())
    if len(parts) == 1:
        return most[None]
    lead = torch.zeros(count, dtype=torch.int64, device=face.device)
    for axis, part in enumerate(parts[1:], start=1):
        size = part.new_zeros(count).index_add_(0, face, part.abs())
        lead[size > most] = axis
        torch.maximum(most, size, out=most)
    sign = torch.sign(torch.gather(parts, 0, lead[face][None])[0])
    return torch.stack([part.new_zeros(count).index_add_(0, face, part * sign) for part in parts])


def delaunay(
    pulling: Pulling, members: Ragged
) -> tuple[Integer[Tensor, "s d_plus_1"], Integer[Tensor, " s"]]:
    """Delaunay simplices of every cell on its own: vertex numbers, and the cell of each.

    Qhull works on the CPU, one cell after the other, on the cell moved to its mean and scaled to radius 1 (a
    similarity: the triangulation is the same). Qhull breaks ties between vertices on one sphere without moving
    points, and also returns simplices of no volume: the four and more vertices of a facet are coplanar only up
    to rounding. Those are dropped (they are a fifth of all in 3-D). Neighbors may cut a shared face differently.

    Differs from plain Delaunay: a cell so thin that Qhull cannot tell flat from full is cut by pulling.
    """
    lattice = pulling.lattice
    dim, lengths = lattice.dim, members.lengths
    ready = torch.nonzero(lengths == dim + 1)[:, 0]
    found = [members.items[members.offsets[ready][:, None] + torch.arange(dim + 1, device=lattice.device)]]
    owners, thin = [ready], []
    points, vertices = lattice.points.cpu().numpy(), members.items.cpu().numpy()
    offsets = members.offsets.cpu().numpy()
    for cell in torch.nonzero(lengths > dim + 1)[:, 0].tolist():
        corners = vertices[offsets[cell] : offsets[cell + 1]]
        pieces = _delaunay_of_one(points[corners])
        if pieces is None:
            thin.append(cell)
            continue
        found.append(torch.from_numpy(corners[pieces]))
        owners.append(torch.full((len(pieces),), cell))
    pulled = pulling.simplices(torch.tensor(thin, dtype=torch.int64, device=lattice.device))
    simplices = torch.cat([part.to(lattice.device) for part in (*found, pulled[0])])
    owner = torch.cat([part.to(lattice.device) for part in (*owners, pulled[1])])
    owner, order = torch.sort(owner, stable=True)
    return simplices[order], owner


def _delaunay_of_one(corners: np.ndarray) -> np.ndarray | None:
    """Simplices (s, d + 1) of one convex cell, positions in `corners`; None where rounding blurs them."""
    from scipy.spatial import Delaunay, QhullError

    corners = corners - corners.mean(0)
    corners = corners / np.linalg.norm(corners, axis=1).max()
    try:
        pieces = Delaunay(corners).simplices
    except QhullError:
        return None
    edges = corners[pieces[:, 1:]] - corners[pieces[:, :1]]
    volumes = np.abs(np.linalg.det(edges))
    full = volumes > FLAT
    return pieces[full] if volumes[~full].sum() < 1e-6 * volumes.sum() else None
