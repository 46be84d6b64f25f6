"""Vertices and edges only, by sign vectors: the fast published alternative to a face lattice, on torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor, nn

from visus.methods.polytopes.baselines.layers import bounds_of, hidden_layers


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Vertices and edges of the complex.

    points : (v, d) float64.
    edges : (e, 2) positions of the ends.
    point_signs, edge_signs : (v, s), (e, s): -1, 0 or 1 per neuron, then 0 (on) or 1 (off) for the d lower and
        the d upper sides of the box.
    """

    points: Float[Tensor, "v d"]
    edges: Int64[Tensor, "e 2"]
    point_signs: Int8[Tensor, "v s"]
    edge_signs: Int8[Tensor, "e s"]

    def num_cells(self) -> int:
        """Cells, as the distinct sign vectors around all vertices. Needs a generic network."""
        neurons = self.point_signs.shape[1] - 2 * self.points.shape[1]
        signs = self.point_signs[:, :neurons]
        for _ in range(self.points.shape[1]):
            zero = signs == 0
            first = zero & (zero.cumsum(1) == 1)
            signs = torch.unique(torch.cat([signs + first, signs - first.to(signs.dtype)]), dim=0)
        return len(signs)


def subdivide_edges(
    model: nn.Module, box: tuple[Any, Any] = (-1.0, 1.0), *, device: torch.device | str = "cpu", seed: int = 0
) -> Skeleton:
    """Cut the edges of the box by every neuron in turn.

    An edge whose ends have opposite signs gets a vertex on it. Two new vertices are joined if a polygon of the
    complex contains both; a polygon is known by its sign vector, which is that of an edge with one zero
    replaced, so new edges are found by sorting keys and never by storing polygons.

    Source: Berzins 2023, "Polyhedral complex extraction from ReLU networks using edge subdivision". Differs:
    float64; pre-activations of one layer are evaluated once and interpolated on new vertices; sign vectors are
    compared through a random 64-bit linear hash (two of m vectors collide with probability about m^2 / 2^65).
    As there, zeros count as positive, so degenerate networks are out of reach.

    Parameters
    ----------
    seed : draws the weights of the hash.

    Raises
    ------
    visus.errors.InputError : the model is no ReLU stack, or the box is empty.
    """
    layers = [
        (torch.from_numpy(weight).to(device), torch.from_numpy(bias).to(device))
        for weight, bias in hidden_layers(model)
    ]
    dimension, neurons = layers[0][0].shape[1], sum(len(bias) for _, bias in layers)
    low, high = (torch.from_numpy(side.copy()).to(device) for side in bounds_of(box, dimension))
    points, edges, signs = _cube(low, high, neurons)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(-(2**62), 2**62, (signs.shape[1],), generator=generator).to(device)
    column = 0
    for depth in range(len(layers)):
        values = _forward(layers[: depth + 1], points)
        for j in range(values.shape[1]):
            points, values, edges, signs = _cut(points, values, edges, signs, j, column, weights)
            column += 1
    at_points = _at_points(len(points), edges, signs)
    return Skeleton(points=points, edges=edges, point_signs=at_points, edge_signs=signs)


def _forward(layers: list[tuple[Tensor, Tensor]], points: Float[Tensor, "v d"]) -> Float[Tensor, "v m"]:
    """Pre-activations of the last of these layers."""
    h = points
    for weight, bias in layers[:-1]:
        h = torch.relu(torch.addmm(bias, h, weight.T))
    return torch.addmm(layers[-1][1], h, layers[-1][0].T)


def _cube(low: Tensor, high: Tensor, neurons: int) -> tuple[Tensor, Tensor, Tensor]:
    """Corners and edges of the box; sign vectors of the edges, as yet without neurons."""
    dimension, device = len(low), low.device
    corners = torch.arange(2**dimension, device=device)
    bits = (corners[:, None] >> torch.arange(dimension, device=device)) & 1
    points = torch.where(bits.bool(), high, low)
    ends, rows = [], []
    for axis in range(dimension):
        lower = corners[bits[:, axis] == 0]
        ends.append(torch.stack([lower, lower + 2**axis], dim=1))
        on_low, on_high = bits[lower] == 0, bits[lower] == 1
        on_low[:, axis] = False
        rows.append(~torch.cat([on_low, on_high], dim=1))
    signs = torch.ones(sum(map(len, ends)), neurons + 2 * dimension, dtype=torch.int8, device=device)
    signs[:, neurons:] = torch.cat(rows).to(torch.int8)
    return points, torch.cat(ends), signs


def _cut(
    points: Tensor, values: Tensor, edges: Tensor, signs: Tensor, j: int, column: int, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut by functional `j` of `values`, whose signs go into `column`."""
    above = values[:, j] >= 0
    first, second = above[edges].unbind(1)
    signs[:, column] = torch.where(first, 1, -1).to(torch.int8)
    split = torch.nonzero(first != second).squeeze(1)
    if not len(split):
        return points, values, edges, signs
    ends = edges[split]
    one, two = values[ends[:, 0], j], values[ends[:, 1], j]
    share = (one / (one - two))[:, None]
    fresh = torch.arange(len(split), device=edges.device) + len(points)
    points = torch.cat([points, torch.lerp(points[ends[:, 0]], points[ends[:, 1]], share)])
    values = torch.cat([values, torch.lerp(values[ends[:, 0]], values[ends[:, 1]], share)])
    values[fresh, j] = 0.0
    parents = signs[split]
    edges = edges.clone()
    edges[split, 1] = fresh
    other = parents.clone()
    other[:, column] = -parents[:, column]
    neurons = signs.shape[1] - 2 * points.shape[1]
    pairs, across = _join(parents, column, neurons, weights)
    edges = torch.cat([edges, torch.stack([fresh, ends[:, 1]], dim=1), fresh[pairs]])
    return points, values, edges, torch.cat([signs, other, across])


def _join(
    parents: Int8[Tensor, "c s"], column: int, neurons: int, weights: Int64[Tensor, " s"]
) -> tuple[Int64[Tensor, "p 2"], Int8[Tensor, "p s"]]:
    """Which split edges bound a common polygon, and the sign vectors of the edges between their new vertices.

    A polygon around an edge has one of the edge's zeros replaced by 1 or -1; at a side of the box only the
    inner choice exists.
    """
    base = parents.clone()
    base[:, column] = 0
    names = (base * weights).sum(1)  # wraps around, which a hash may
    edge, place = torch.nonzero(base == 0, as_tuple=True)
    edge, place = edge[place != column], place[place != column]
    inner = place < neurons
    edge, place = torch.cat([edge, edge[inner]]), torch.cat([place, place[inner]])
    step = torch.ones_like(edge)
    step[len(edge) - int(inner.sum()) :] = -1
    order = torch.argsort(names[edge] + step * weights[place])
    polygon = (names[edge] + step * weights[place])[order]
    same = torch.nonzero(polygon[1:] == polygon[:-1]).squeeze(1)
    left, right = order[same], order[same + 1]
    across = base[edge[left]]
    across[torch.arange(len(left), device=left.device), place[left]] = step[left].to(torch.int8)
    return torch.stack([edge[left], edge[right]], dim=1), across


def _at_points(count: int, edges: Int64[Tensor, "e 2"], signs: Int8[Tensor, "e s"]) -> Int8[Tensor, "v s"]:
    """Sign vectors of the vertices: 0 where the edges around one disagree."""
    ends = edges.flatten()[:, None].expand(-1, signs.shape[1])
    around = signs.repeat_interleave(2, dim=0)
    low = torch.full((count, signs.shape[1]), 2, dtype=torch.int8, device=signs.device)
    high = torch.full_like(low, -2)
    low, high = low.scatter_reduce(0, ends, around, "amin"), high.scatter_reduce(0, ends, around, "amax")
    return torch.where(low == high, low, 0)
