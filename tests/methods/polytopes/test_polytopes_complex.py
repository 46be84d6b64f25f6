"""Cells of small networks against slow looks at their faces, patterns, maps and neighbors."""

from __future__ import annotations

import io
from collections import Counter

import networkx
import numpy as np
import pytest
import torch
from polytopes_cells import (
    SHAPES,
    arrangement,
    complex_of,
    degenerate,
    network,
    side_lists,
    stages,
    vertex_sets,
)
from torch import nn

from visus.errors import InputError
from visus.methods.polytopes.model.complex import Complex
from visus.methods.polytopes.model.lattice import Lattice
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.signs import find_rows, unpack
from visus.methods.polytopes.model.slices import Slice
from visus.methods.polytopes.model.tally import MEASURES

MODELS = {"-".join(map(str, widths)): network(widths, seed=4) for widths in SHAPES}
NETWORKS = [pytest.param(model, complex_of(model), id=name) for name, model in MODELS.items()]
DEGENERATE = [pytest.param(found, id=name) for name, found in degenerate().items()]
ALL = [pytest.param(param.values[1], id=param.id) for param in NETWORKS] + DEGENERATE


def random_points(cells, count, seed=0):
    low, high = cells.box
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, cells.dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cells", ALL)
def test_counts_are_those_of_the_faces(cells):
    sets, sides = vertex_sets(cells.lattice), side_lists(cells.lattice)
    wall = cells.lattice.wall.tolist()
    assert cells.f_vector == (len(cells.points), *map(len, sets))
    assert sum((-1) ** k * count for k, count in enumerate(cells.f_vector)) == 1
    for cell in range(cells.num_cells):
        facets = sides[-1][cell]
        assert sorted(cells.facets_of(cell).tolist()) == sorted(facets)
        assert cells.vertices_of(cell).tolist() == sorted(sets[-1][cell])
        assert int(cells.num_facets[cell]) == len(facets)
        assert int(cells.num_vertices[cell]) == len(sets[-1][cell])
        assert int(cells.interior_degree[cell]) == sum(wall[facet] < 0 for facet in facets)
        assert bool(cells.touches_box[cell]) == any(wall[facet] >= 0 for facet in facets)
        torch.testing.assert_close(cells.centroids[cell], cells.points[sorted(sets[-1][cell])].mean(0))


@pytest.mark.parametrize("cells", ALL)
def test_neighbors_share_facets(cells):
    around = {}
    for cell, facets in side_lists(cells.lattice)[-1].items():
        for facet in facets:
            around.setdefault(facet, []).append(cell)
    found = cells.cells_of(torch.arange(cells.f_vector[-2])).tolist()
    assert [[cell for cell in pair if cell >= 0] for pair in found] == [
        sorted(around[facet]) for facet in range(cells.f_vector[-2])
    ]
    assert [len(around[facet]) == 1 for facet in around] == [
        cells.lattice.wall[facet] >= 0 for facet in around
    ]


@pytest.mark.parametrize("cells", ALL)
def test_shapes_and_tally_collect_the_cells(cells):
    for rule in ("pull", "delaunay"):
        shapes, tally = cells.shapes(rule), cells.tally(rule)
        assert torch.equal(shapes.num_simplices, cells.num_simplices(rule))
        assert tally.rule == rule
        assert tally.num_touching == int(cells.touches_box.sum())
        for measure in MEASURES:
            assert tally.mean(measure) == pytest.approx(float(getattr(shapes, measure).double().mean()))
    with pytest.raises(InputError, match="rule"):
        cells.num_simplices("max")


@pytest.mark.parametrize("seed", range(3))
def test_mean_polygon_of_a_generic_network_has_four_sides(seed):
    """Every cut of a polygon adds one cell and four sides, and the box starts with four."""
    cells = complex_of(network((2, 10, 8, 1), seed=seed))
    assert int(cells.num_facets.sum()) == 4 * cells.num_cells


@pytest.mark.parametrize(
    ("name", "cells", "volumes"),
    [("braid", 6, 8 / 6), ("B3", 48, 8 / 48), ("grid", 27, None), ("no cut", 1, 4)],
)
def test_degenerate_arrangements_have_their_cells(name, cells, volumes):
    found = degenerate()[name]
    assert found.num_cells == cells
    if volumes is not None:
        assert found.volumes.tolist() == pytest.approx([volumes] * cells)


@pytest.mark.parametrize("cells", [param.values[1] for param in NETWORKS[:2]])
def test_polygons_are_walked_counterclockwise(cells):
    for cell in range(cells.num_cells):
        corners = cells.polygon(cell)
        steps = corners.roll(-1, 0) - corners
        turns = steps[:, 0] * steps.roll(-1, 0)[:, 1] - steps[:, 1] * steps.roll(-1, 0)[:, 0]
        assert bool((turns > 0).all())
        ahead = corners.roll(-1, 0)
        area = (corners[:, 0] * ahead[:, 1] - corners[:, 1] * ahead[:, 0]).sum() / 2
        assert float(area) == pytest.approx(float(cells.volumes[cell]), rel=1e-9)
        known = {tuple(corner) for corner in cells.points[cells.vertices_of(cell)].tolist()}
        assert {tuple(corner) for corner in corners.tolist()} == known
    with pytest.raises(InputError, match="dimension 3"):
        cells.facet_polygons(0)


@pytest.mark.parametrize("cells", [NETWORKS[2].values[1], NETWORKS[3].values[1], degenerate()["B3"]])
def test_facet_polygons_close_the_cell(cells):
    """Outward area vectors sum to zero, and the divergence theorem gives the volume."""
    for cell in range(cells.num_cells):
        total, volume = torch.zeros(3, dtype=torch.float64), 0.0
        facets = cells.facets_of(cell).tolist()
        for facet, corners in zip(facets, cells.facet_polygons(cell), strict=True):
            arms = corners - corners[0]
            area = torch.linalg.cross(arms, arms.roll(-1, 0)).sum(0) / 2
            assert float(area.norm()) == pytest.approx(float(cells.facet_areas[facet]), rel=1e-7)
            total += area
            volume += float(area @ (corners[0] - cells.centroids[cell])) / 3
        assert float(total.norm()) < 1e-12
        assert volume == pytest.approx(float(cells.volumes[cell]), rel=1e-6)
    with pytest.raises(InputError, match="dimension 2"):
        cells.polygon(0)


@pytest.mark.parametrize(("model", "cells"), NETWORKS)
def test_patterns_are_distinct_and_those_of_the_network(model, cells):
    patterns = cells.patterns()
    assert patterns.shape == (cells.num_cells, cells.num_signs)
    assert len(patterns.unique(dim=0)) == cells.num_cells
    generator = torch.Generator().manual_seed(1)
    for cell in range(cells.num_cells):
        corners = cells.points[cells.vertices_of(cell)]
        weights = torch.rand(4, len(corners), generator=generator, dtype=torch.float64)
        inside = weights / weights.sum(1, keepdim=True) @ corners
        signs = torch.cat(stages(model, inside)[0], 1) > 0
        assert bool((signs == patterns[cell]).all())


@pytest.mark.parametrize(("model", "cells"), NETWORKS)
def test_network_is_its_affine_maps(model, cells):
    """At random convex combinations of the vertices of every cell, and its gradient inside."""
    slopes, offsets = cells.affine_maps()
    assert slopes.shape == (cells.num_cells, cells.outputs.shape[1], cells.dim)
    generator = torch.Generator().manual_seed(2)
    for cell in range(cells.num_cells):
        corners = cells.points[cells.vertices_of(cell)]
        weights = torch.rand(5, len(corners), generator=generator, dtype=torch.float64)
        inside = weights / weights.sum(1, keepdim=True) @ corners
        torch.testing.assert_close(inside @ slopes[cell].T + offsets[cell], model(inside), atol=1e-10, rtol=0)
        if float(cells.volumes[cell]) > 1e-6:
            gradient = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], inside[0])
            torch.testing.assert_close(slopes[cell], gradient, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("model", "cells"), NETWORKS)
def test_points_are_located_by_their_pattern(model, cells):
    points = random_points(cells, 4000)
    signs = torch.cat(stages(model, points)[0], 1) > 0
    known = {tuple(row): cell for cell, row in enumerate(cells.patterns().tolist())}
    want = [known[tuple(row)] for row in signs.tolist()]
    assert cells.locate(points, model).tolist() == want
    assert cells.locate(points.float(), Probe(model)).dtype == torch.int64
    share = (cells.volumes / cells.volumes.sum()).numpy()
    seen = np.bincount(want, minlength=cells.num_cells)
    sigma = np.sqrt(len(points) * share * (1 - share))
    assert (np.abs(seen - len(points) * share) <= 4.5 * sigma + 1).all()
    low, high = cells.box
    outside = torch.stack(
        [low - 1e-6, high + 1.0, torch.where(torch.arange(cells.dim) == 0, high + 1e-9, low)]
    )
    assert cells.locate(outside, model).tolist() == [-1, -1, -1]
    assert cells.locate(points[:0], model).shape == (0,)


@pytest.mark.parametrize(
    "normals", [[[1, -1, 0], [0, 1, -1], [1, 0, -1]], [[1.0, 2, 0], [2, 4, 0], [1, 0, 0]]]
)
def test_points_on_faces_get_a_cell_around_them(normals):
    model = arrangement(normals)
    cells = complex_of(model)
    for place, cell in enumerate(cells.locate(cells.points, model).tolist()):
        assert place in cells.vertices_of(cell).tolist()
    inside = torch.nonzero(cells.lattice.wall < 0)[:, 0]
    sets = vertex_sets(cells.lattice)[-2]
    middle = torch.stack([cells.points[sorted(sets[facet])].mean(0) for facet in inside.tolist()])
    found = cells.locate(middle, model)
    assert bool((cells.cells_of(inside) == found[:, None]).any(1).all())


def test_locate_refuses_what_does_not_fit():
    model, cells = NETWORKS[0].values
    with pytest.raises(InputError, match="points"):
        cells.locate(torch.zeros(3, 5), model)
    with pytest.raises(InputError, match="model"):
        cells.locate(torch.zeros(3, 2), network((2, 40, 1)))


def test_a_slice_is_located_in_its_coordinates():
    generator = torch.Generator().manual_seed(3)
    plane = Slice(torch.randn(3, 6, generator=generator, dtype=torch.float64))
    model = network((6, 8, 4, 2), seed=2)
    embed = nn.Linear(2, 6, dtype=torch.float64).requires_grad_(False)
    embed.weight.copy_(plane.basis.T)
    embed.bias.copy_(plane.origin)
    first = nn.Linear(2, 8, dtype=torch.float64).requires_grad_(False)
    first.weight.copy_(model[0].weight @ embed.weight)
    first.bias.copy_(model[0](embed.bias))
    flat = complex_of(nn.Sequential(first, *model[1:]), -2.0, 2.0)
    cells = Complex(flat.lattice, flat.outputs, flat.packed, num_signs=flat.num_signs, slice=plane)
    points = random_points(cells, 500)
    located = cells.locate(points, model)
    signs = torch.cat(stages(model, plane(points))[0], 1) > 0
    assert torch.equal(cells.patterns()[located], signs)


@pytest.mark.parametrize("cells", ALL)
def test_dual_graph_is_the_neighborhood(cells):
    graph = cells.dual_graph()
    assert graph.number_of_nodes() == cells.num_cells
    assert networkx.is_connected(graph)
    assert [graph.degree(cell) for cell in range(cells.num_cells)] == cells.interior_degree.tolist()
    patterns = cells.patterns()
    for one, two, data in graph.edges(data=True):
        common = set(cells.facets_of(one).tolist()) & set(cells.facets_of(two).tolist())
        assert len(common) == 1
        assert data["area"] == float(cells.facet_areas[common.pop()])
        differing = torch.nonzero(patterns[one] != patterns[two])[:, 0]
        assert data["sign"] == int(differing[0])
    for cell, data in graph.nodes(data=True):
        assert data["facets"] == int(cells.num_facets[cell])
        assert data["simplices"] == int(cells.num_simplices()[cell])
        assert data["volume"] == float(cells.volumes[cell])
        assert [sign == "+" for sign in data["pattern"]] == patterns[cell].tolist()


def test_dual_graph_survives_graphml():
    graph = NETWORKS[2].values[1].dual_graph()
    stream = io.BytesIO()
    networkx.write_graphml(graph, stream)
    stream.seek(0)
    again = networkx.read_graphml(stream, node_type=int)
    assert dict(again.nodes(data=True)) == dict(graph.nodes(data=True))
    assert Counter(again.degree()) == Counter(graph.degree())


def test_a_part_of_a_complex_is_a_complex():
    """Cells keep their shapes; facets towards cells that are left out have one side."""
    _, cells = NETWORKS[2].values
    some = torch.arange(3, 20)
    part = Complex(cells.lattice.sub(some), cells.outputs[:0], cells.packed[some], num_signs=cells.num_signs)
    for name in ("num_facets", "num_vertices", "interior_degree", "touches_box"):
        assert torch.equal(getattr(part, name), getattr(cells, name)[some])
    torch.testing.assert_close(part.volumes, cells.volumes[some], rtol=1e-9, atol=0)
    assert torch.equal(part.num_simplices(), cells.num_simplices()[some])


def test_a_network_without_units_is_one_cell():
    cells = Complex(
        Lattice.box([0.0, 0.0], [2.0, 1.0]),
        torch.ones(4, 1),
        torch.zeros(1, 0, dtype=torch.uint8),
        num_signs=0,
    )
    assert (cells.num_cells, cells.volumes.tolist(), cells.patterns().shape) == (1, [2.0], (1, 0))
    assert cells.locate(torch.tensor([[0.5, 0.5], [3.0, 0.0]]), nn.Linear(2, 1)).tolist() == [0, -1]
    assert cells.dual_graph().number_of_edges() == 0
    assert "num_cells=1" in repr(cells)


def test_signs_unpack_and_are_found():
    rng = np.random.default_rng(0)
    signs = rng.random((300, 21)) < 0.5
    packed = torch.from_numpy(np.packbits(signs, axis=1))
    assert np.array_equal(unpack(packed, 21).numpy(), signs)
    order = torch.from_numpy(rng.permutation(300))
    assert torch.equal(find_rows(packed, packed[order]), order)
    strange = packed[:5] ^ torch.tensor([0, 0, 8], dtype=torch.uint8)
    want = [
        next((i for i, row in enumerate(packed.tolist()) if row == other), -1) for other in strange.tolist()
    ]
    assert find_rows(packed, strange).tolist() == want
