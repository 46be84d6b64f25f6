"""The paper's procedure: cells found by random points, each turned into vertices and simplices on its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import nn

from visus.methods.polytopes.baselines.layers import (
    bounds_of,
    distinct,
    halfspaces,
    hidden_layers,
    patterns_at,
)

Facets = list[frozenset[int]]

ROUND = 9
"""Decimals that order vertices: those on one side of the box share a coordinate up to rounding."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Cells that random points fell into, a biased choice: a cell is found in proportion to its volume.

    patterns : (N, n), one row per cell found. hits : (N,) points in each.
    num_facets, num_vertices, num_simplices, interior_degree, volumes : (N,), as in a census.
    """

    patterns: Bool[np.ndarray, "N n"]
    hits: Int[np.ndarray, " N"]
    num_facets: Int[np.ndarray, " N"]
    num_vertices: Int[np.ndarray, " N"]
    num_simplices: Int[np.ndarray, " N"]
    interior_degree: Int[np.ndarray, " N"]
    volumes: Float[np.ndarray, " N"]

    @property
    def num_cells(self) -> int:
        """Number of cells found."""
        return len(self.hits)

    def share(self, measure: str, *, at_most: int) -> float:
        """Share of the cells found whose `measure` (a field's name) is at most this."""
        return float((getattr(self, measure) <= at_most).mean())

    def shares(self, measure: str) -> Float[np.ndarray, " v"]:
        """Share of the cells found at every value 0, 1, 2, ... of `measure`."""
        return np.bincount(getattr(self, measure)) / self.num_cells


def sample_cells(
    model: nn.Module, box: tuple[Any, Any] = (-1.0, 1.0), *, points: int = 8000, seed: int = 0
) -> Sample:
    """The cells of a ReLU stack that uniform random points of a box hit, with their shapes. Not a census.

    Of 30,396 cells of a 3-40-20 network 8,000 points find some 2,100, and large cells first, which have more
    facets. Kept because published histograms were made this way.

    Paper: 2305.09145, experiments (points, patterns as half-spaces, vertices, a triangulation that pulls
    vertices in one global order). Differs: vertices come from qhull's half-space intersection instead of the
    Avis-Fukuda enumeration; the order is that of coordinates.

    Raises
    ------
    visus.errors.InputError : the model is no ReLU stack, or the box is empty.
    """
    layers = hidden_layers(model)
    bounds = bounds_of(box, layers[0][0].shape[1])
    drawn = np.random.default_rng(seed).uniform(*bounds, size=(points, len(bounds[0])))
    patterns = patterns_at(layers, drawn)
    first, member, hits = distinct(patterns)
    found: list[Shape] = []
    for cell, inside in enumerate(_grouped(drawn, member, len(first))):
        normals, offsets = halfspaces(layers, patterns[first[cell]], bounds)
        slack = (inside @ normals.T + offsets).min(axis=1, where=np.abs(normals).sum(1) > 0, initial=np.inf)
        found.append(cell_shape(normals, offsets, inside[slack.argmax()], num_neurons=patterns.shape[1]))
    columns = {name: np.array([getattr(shape, name) for shape in found]) for name in Shape.__annotations__}
    return Sample(patterns=patterns[first], hits=hits, **columns)


def _grouped(points: np.ndarray, member: np.ndarray, count: int) -> Iterator[np.ndarray]:
    order = np.argsort(member, kind="stable")
    ends = np.searchsorted(member[order], np.arange(count + 1))
    for begin, end in itertools.pairwise(ends):
        yield points[order[begin:end]]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One polytope in numbers."""

    num_facets: int
    num_vertices: int
    num_simplices: int
    interior_degree: int
    volumes: float


def cell_shape(
    normals: Float[np.ndarray, "m d"],
    offsets: Float[np.ndarray, " m"],
    inside: Float[np.ndarray, " d"],
    *,
    num_neurons: int,
) -> Shape:
    """Count the faces of {A x + c >= 0}, whose rows are of unit length, from a point strictly inside.

    Rows from `num_neurons` on are sides of the box.
    """
    from scipy.spatial import ConvexHull

    vertices, facets, rows = polytope(normals, offsets, inside)
    dimension = vertices.shape[1]
    return Shape(
        num_facets=len(facets),
        num_vertices=len(vertices),
        num_simplices=pull_count(facets, dimension),
        interior_degree=int(sum(row < num_neurons for row in rows)),
        volumes=float(ConvexHull((vertices - inside) / np.ptp(vertices, axis=0)).volume)
        * float(np.prod(np.ptp(vertices, axis=0))),
    )


def polytope(
    normals: Float[np.ndarray, "m d"], offsets: Float[np.ndarray, " m"], inside: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, "v d"], Facets, list[int]]:
    """Vertices in lexicographic order, the vertices of each facet, and the row that each facet comes from.

    A row touches the polytope in a face of any dimension; facets are the rows whose sets of vertices lie in no
    other's, equal sets counted once.
    """
    from scipy.spatial import HalfspaceIntersection

    used = np.flatnonzero(np.abs(normals).sum(axis=1) > 0)
    normals, offsets = normals[used], offsets[used]
    meets = HalfspaceIntersection(np.c_[-normals, -offsets], inside).intersections
    meets = meets[np.isfinite(meets).all(axis=1)]
    touching = np.abs(meets @ normals.T + offsets) < 1e-9 * max(1.0, float(np.abs(meets).max()))
    wide = np.flatnonzero(touching.sum(axis=0) >= meets.shape[1])
    kept, _, _ = distinct(touching[:, wide])
    kept = kept[np.lexsort(np.round(meets[kept], ROUND).T[::-1])]
    sets = [frozenset(np.flatnonzero(column).tolist()) for column in touching[np.ix_(kept, wide)].T]
    largest = {
        group: int(used[row])
        for row, group in zip(wide[::-1], sets[::-1], strict=True)
        if not any(group < other for other in sets)
    }
    return meets[kept], list(largest), list(largest.values())


def pull_count(facets: Sequence[frozenset[int]], dimension: int) -> int:
    """Simplices of the pulling triangulation of a polytope given by the vertex sets of its facets.

    T(edge) = 1; T(P) is the sum of T over the facets of P without its first vertex. The facets of a facet F are
    the largest of its intersections with the others.

    >>> square = [{0, 1}, {1, 2}, {2, 3}, {3, 0}]
    >>> pull_count([frozenset(side) for side in square], 2)
    2
    """
    if dimension == 1:
        return 1
    first = min(min(facet) for facet in facets)
    total = 0
    for facet in facets:
        if first not in facet:
            meets = {facet & other for other in facets if other != facet}
            ridges = [meet for meet in meets if meet and not any(meet < other for other in meets)]
            total += pull_count(ridges, dimension - 1)
    return total
