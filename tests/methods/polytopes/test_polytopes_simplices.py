"""Triangulations and volumes against slow recursions, scipy's hulls and Delaunay, and exact identities."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from polytopes_cells import SHAPES, complex_of, degenerate, network, side_lists, vertex_sets
from scipy.spatial import ConvexHull, Delaunay

from visus.errors import InputError
from visus.methods.polytopes.model.incidence import Ragged, rings
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.simplices import Pulling, delaunay, vertex_ranks, wedge

NETWORKS = [
    pytest.param(complex_of(network(widths, seed=3)), id="-".join(map(str, widths))) for widths in SHAPES
]
DEGENERATE = [pytest.param(found, id=name) for name, found in degenerate().items()]
ALL = NETWORKS + DEGENERATE


def pulled(lattice, rank, dim, face, sets, sides):
    """Simplices of one face as sets of vertices: the textbook recursion."""
    if dim == 1:
        return [frozenset(sets[0][face])]
    apex = min(sets[dim - 1][face], key=rank.__getitem__)
    return [
        simplex | {apex}
        for side in sides[dim - 2][face]
        if apex not in sets[dim - 2][side]
        for simplex in pulled(lattice, rank, dim - 1, side, sets, sides)
    ]


def volume(points, simplex):
    corners = points[list(simplex)]
    return abs(np.linalg.det(corners[1:] - corners[0])) / math.factorial(len(simplex) - 1)


@pytest.mark.parametrize("order", ["lexicographic", "index"])
@pytest.mark.parametrize("cells", ALL)
def test_pulling_is_the_recursion(cells, order):
    lattice = cells.lattice
    points = lattice.points.numpy().round(12)
    places = np.lexsort(points.T[::-1]) if order == "lexicographic" else np.arange(len(points))
    rank = np.argsort(places).tolist()
    sets, sides = vertex_sets(lattice), side_lists(lattice)
    simplices, owners = cells.simplices("pull", order)
    found = [[] for _ in range(cells.num_cells)]
    for simplex, owner in zip(simplices.tolist(), owners.tolist()):
        found[owner].append(frozenset(simplex))
    for cell in range(cells.num_cells):
        assert Counter(found[cell]) == Counter(pulled(lattice, rank, cells.dim, cell, sets, sides))
    assert cells.num_simplices("pull", order).tolist() == [len(part) for part in found]
    assert owners.tolist() == sorted(owners.tolist())


@pytest.mark.parametrize("order", ["lexicographic", "index"])
@pytest.mark.parametrize("cells", ALL)
def test_triangulation_conforms(cells, order):
    """Every (d-1)-simplex inside belongs to two d-simplices, every one on the box to one."""
    simplices, _ = cells.simplices("pull", order)
    shared = Counter(
        frozenset(side) for simplex in simplices.tolist() for side in combinations(simplex, cells.dim)
    )
    low, high = (end.numpy() for end in cells.box)
    points = cells.points.numpy()
    for side, times in shared.items():
        corners = points[list(side)]
        on_box = (np.abs(corners - low) < 1e-12).all(0).any() or (np.abs(corners - high) < 1e-12).all(0).any()
        assert times == (1 if on_box else 2)


@pytest.mark.parametrize("cells", ALL)
def test_volumes_are_those_of_the_simplices_and_fill_the_box(cells):
    points = cells.points.numpy()
    simplices, owners = cells.simplices()
    want = np.zeros(cells.num_cells)
    for simplex, owner in zip(simplices.tolist(), owners.tolist()):
        want[owner] += volume(points, simplex)
    np.testing.assert_allclose(cells.volumes.numpy(), want, rtol=1e-9)
    low, high = cells.box
    assert abs(float(cells.volumes.sum() / (high - low).prod()) - 1) < 1e-12
    assert float(cells.volumes.min()) > 0


@pytest.mark.parametrize("cells", ALL)
def test_cells_are_their_convex_hulls(cells):
    """Facets (coplanar hull triangles joined), vertices, volume and surface by Qhull."""
    for cell in range(cells.num_cells):
        corners = cells.points[cells.vertices_of(cell)].numpy()
        center, scale = corners.mean(0), np.ptp(corners, axis=0).max()
        thick = float(cells.volumes[cell]) / scale**cells.dim
        if thick < 1e-6:  # Qhull's own rounding decides about such slivers
            continue
        hull = ConvexHull((corners - center) / scale)
        assert len(hull.vertices) == len(corners) == int(cells.num_vertices[cell])
        planes = []
        for plane in hull.equations:
            if not any(np.abs(plane - other).max() < 1e-7 for other in planes):
                planes.append(plane)
        assert len(planes) == int(cells.num_facets[cell])
        assert float(cells.volumes[cell]) == pytest.approx(hull.volume * scale**cells.dim, rel=1e-8)
        surface = float(cells.facet_areas[cells.facets_of(cell)].sum())
        assert surface == pytest.approx(hull.area * scale ** (cells.dim - 1), rel=1e-8)


@pytest.mark.parametrize("dim", [2, 3, 4, 5])
def test_cube(dim):
    """A cube is pulled into d! simplices from any vertex, and Delaunay's ties leave no flat ones."""
    lattice = Lattice.box([-0.5] * dim, [2.0] * dim)
    pulling = Pulling(lattice)
    assert pulling.counts().tolist() == [math.factorial(dim)]
    areas, volumes = pulling.measures()
    assert volumes.tolist() == pytest.approx([2.5**dim])
    assert areas.tolist() == pytest.approx([2.5 ** (dim - 1)] * (2 * dim))
    simplices, owners = delaunay(pulling, pulling.members(dim))
    pieces = [volume(lattice.points.numpy(), simplex) for simplex in simplices.tolist()]
    assert sum(pieces) == pytest.approx(2.5**dim)
    assert min(pieces) > 1e-3
    assert not owners.any()


@pytest.mark.parametrize("cells", NETWORKS[2:4])
def test_simple_cells_in_3d_have_the_count_of_their_facets(cells):
    """4 F - 12 - sum of (n_f - 2) over the facets at the apex, for cells with three facets at every vertex."""
    sets, sides = vertex_sets(cells.lattice), side_lists(cells.lattice)
    rank = vertex_ranks(cells.points)
    counts, simple = cells.num_simplices(), 0
    for cell in range(cells.num_cells):
        facets = sides[1][cell]
        degree = Counter(vertex for facet in facets for vertex in sets[1][facet])
        if set(degree.values()) != {3}:
            continue
        simple += 1
        apex = min(degree, key=lambda vertex: int(rank[vertex]))
        around = sum(len(sets[1][facet]) - 2 for facet in facets if apex in sets[1][facet])
        assert int(counts[cell]) == 4 * len(facets) - 12 - around
    assert simple == cells.num_cells


@pytest.mark.parametrize("cells", NETWORKS[:2])
def test_polygons_have_two_triangles_fewer_than_sides(cells):
    for rule in ("pull", "delaunay"):
        assert torch.equal(cells.num_simplices(rule), cells.num_facets - 2)


def shuffled_and_rescaled(model, seed):
    """The same function with neurons in another order and scaled by positive factors."""
    generator = torch.Generator().manual_seed(seed)
    same = network([model[0].in_features, *(layer.out_features for layer in model[::2])])
    for index in range(0, len(model), 2):
        for name in ("weight", "bias"):
            getattr(same[index], name).copy_(getattr(model[index], name))
    for first, second in zip(same[:-1:2], same[2::2]):
        order = torch.randperm(first.out_features, generator=generator)
        scale = torch.empty(first.out_features, dtype=torch.float64).uniform_(0.1, 9.0, generator=generator)
        first.weight.copy_((first.weight * scale[:, None])[order])
        first.bias.copy_((first.bias * scale)[order])
        second.weight.copy_((second.weight / scale)[:, order])
    return same


@pytest.mark.parametrize("widths", [(2, 12, 8, 1), (3, 9, 6, 1), (3, 5, 5, 5, 1), (4, 6, 3, 1)])
def test_lexicographic_counts_do_not_depend_on_how_a_function_is_written(widths):
    model = network(widths, seed=5)
    one, two = complex_of(model), complex_of(shuffled_and_rescaled(model, 6))
    assert one.f_vector == two.f_vector

    def sorted_cells(cells):
        table = torch.stack([cells.volumes, cells.num_simplices().double(), cells.num_facets.double()], 1)
        return table[torch.argsort(table[:, 0])]

    torch.testing.assert_close(sorted_cells(one), sorted_cells(two), rtol=1e-9, atol=1e-15)


def flat_by_facet(simplices, facets):
    return [any(set(simplex) <= facet for facet in facets) for simplex in simplices]


@pytest.mark.parametrize("cells", [NETWORKS[2], NETWORKS[4]])
def test_delaunay_is_qhull_without_the_simplices_inside_facets(cells):
    """Reference: Qhull on the raw cell; a simplex with all corners in one facet is flat by combinatorics."""
    sets, sides = vertex_sets(cells.lattice), side_lists(cells.lattice)
    simplices, owners = cells.simplices("delaunay")
    checked = flat = 0
    for cell in range(cells.num_cells):
        vertices = cells.vertices_of(cell).numpy()
        corners = cells.points.numpy()[vertices]
        scale = np.ptp(corners, axis=0).max()
        if float(cells.volumes[cell]) < 1e-6 * scale**cells.dim or len(vertices) == cells.dim + 1:
            continue
        raw = vertices[Delaunay((corners - corners.mean(0)) / scale).simplices].tolist()
        facets = [sets[cells.dim - 2][facet] for facet in sides[-1][cell]]
        dropped = flat_by_facet(raw, facets)
        want = {frozenset(simplex) for simplex, out in zip(raw, dropped) if not out}
        assert {frozenset(simplex) for simplex in simplices[owners == cell].tolist()} == want
        checked, flat = checked + 1, flat + sum(dropped)
    assert checked > 20
    assert flat > 0
    assert torch.equal(cells.num_simplices("delaunay"), torch.bincount(owners))


@pytest.mark.parametrize("cells", ALL)
def test_delaunay_fills_every_cell(cells):
    simplices, owners = cells.simplices("delaunay")
    pieces = [volume(cells.points.numpy(), simplex) for simplex in simplices.tolist()]
    total = torch.bincount(owners, torch.tensor(pieces), minlength=cells.num_cells)
    torch.testing.assert_close(total, cells.volumes, rtol=1e-6, atol=0)


def test_a_cell_too_thin_for_qhull_is_pulled():
    lattice = Lattice.box([0.0, 0.0, 0.0], [1.0, 1.0, 1e-15])
    pulling = Pulling(lattice)
    simplices, _ = delaunay(pulling, pulling.members(3))
    assert torch.equal(simplices, pulling.simplices()[0])
    assert len(simplices) == 6


def test_simplices_of_some_cells():
    cells = complex_of(network((3, 6, 4, 1), seed=3))
    pulling = Pulling(cells.lattice)
    simplices, owners = pulling.simplices()
    some = torch.tensor([4, 0, 9])
    part, of = pulling.simplices(some)
    assert torch.equal(of.unique_consecutive(), some)
    for cell in some:
        assert torch.equal(part[of == cell], simplices[owners == cell])


def test_ranks_look_at_the_next_coordinate_where_one_ties_up_to_rounding():
    generator = torch.Generator().manual_seed(0)
    exact = torch.randint(0, 4, (60, 3), generator=generator).double().unique(dim=0)
    exact = exact[torch.randperm(len(exact), generator=generator)]
    noisy = exact + 1e-14 * torch.rand(exact.shape, generator=generator, dtype=torch.float64)
    want = np.argsort(np.lexsort(exact.numpy().T[::-1]))
    assert vertex_ranks(noisy).tolist() == want.tolist()
    assert vertex_ranks(exact, "index").tolist() == list(range(len(exact)))
    with pytest.raises(InputError, match="order"):
        vertex_ranks(exact, "random")  # type: ignore[arg-type]


@pytest.mark.parametrize(("dim", "k"), [(2, 2), (3, 2), (3, 3), (4, 2), (4, 3), (5, 4)])
def test_wedge_gives_minors(dim, k):
    """u1 ^ ... ^ uk has the k x k minors of the matrix of columns u as its coordinates."""
    columns = np.random.default_rng(dim + k).normal(size=(k, dim))
    blade = torch.from_numpy(columns[-1])[:, None]
    for size in range(2, k + 1):
        blade = wedge(torch.from_numpy(columns[-size])[:, None], blade, size)
    minors = [np.linalg.det(columns[:, subset]) for subset in combinations(range(dim), k)]
    np.testing.assert_allclose(blade[:, 0].numpy(), minors, atol=1e-12)


def test_ragged_lists():
    rng = np.random.default_rng(0)
    owners, items = rng.integers(0, 7, 50), rng.integers(0, 9, 50)
    want = [[int(i) for o, i in zip(owners, items) if o == owner] for owner in range(9)]
    lists = Ragged.grouped(torch.from_numpy(owners), torch.from_numpy(items), 9)
    assert [part.tolist() for part in lists] == want == [lists[i].tolist() for i in range(9)]
    distinct = Ragged.distinct(torch.from_numpy(owners), torch.from_numpy(items), 9)
    assert [part.tolist() for part in distinct] == [sorted(set(part)) for part in want]
    assert [part.tolist() for part in lists.part(2, 5)] == want[2:5]
    which, taken = lists.take(torch.tensor([5, 8, 0, 5]))
    assert taken.tolist() == want[5] + want[8] + want[0] + want[5]
    assert which.tolist() == [0] * len(want[5]) + [2] * len(want[0]) + [3] * len(want[5])
    scores = torch.from_numpy(rng.integers(0, 3, len(lists.items)).astype(float))
    best = lists.part(0, 7).first_largest(scores)
    starts = lists.offsets.tolist()
    for i in range(7):
        part = scores[starts[i] : starts[i + 1]]
        assert int(best[i]) == starts[i] + int(np.argmax(part.numpy()))
    with pytest.raises(IndexError):
        lists[9]
    empty = Ragged.distinct(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 2)
    assert [len(part) for part in empty] == [0, 0]


def test_rings_walk_around_flat_polygons_in_space():
    rng = np.random.default_rng(1)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    frame = np.linalg.qr(rng.normal(size=(4, 4)))[0][:2]
    corners = np.stack([3 * np.cos(angles), 0.01 * np.sin(angles)], 1) @ frame + rng.normal(size=4)
    mixed = rng.permutation(7)
    ring = rings(torch.from_numpy(corners[mixed]), Ragged(torch.tensor([0, 7]), torch.arange(7)))
    walked = mixed[ring.items.numpy()].tolist()
    turn = walked.index(0)
    walked = walked[turn:] + walked[:turn]
    assert walked in (list(range(7)), [0, *range(6, 0, -1)])
