"""The baselines agree with each other, with counting formulas, and with the exact census."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from torch import nn

from visus.errors import InputError
from visus.methods.polytopes import census
from visus.methods.polytopes.baselines import (
    TRIANGLES,
    central_cells,
    fewest_facets,
    mean_facets_bound,
    most_cells,
    most_cells_deep,
    random_arrangement,
    sample_cells,
    subdivide_edges,
    tangent_network,
    typical_faces,
    walk_cells,
    weighted_facets,
    weighted_vertices,
)
from visus.methods.polytopes.baselines.layers import halfspaces, hidden_layers, patterns_at
from visus.methods.polytopes.baselines.sampling import cell_shape, polytope, pull_count


def stack(*widths: int, seed: int = 0) -> nn.Sequential:
    """A float64 ReLU stack with the weights torch starts with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            part for n, m in itertools.pairwise(widths) for part in (nn.Linear(n, m).double(), nn.ReLU())
        ]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 1).double())


NETS = [(2, 8, 8), (3, 7, 6), (4, 6)]


def keyed(patterns: np.ndarray, values: np.ndarray) -> dict[bytes, int]:
    return {
        row.astype(bool).tobytes(): int(value)
        for row, value in zip(np.asarray(patterns), np.asarray(values), strict=True)
    }


# ---- half-spaces of a cell --------------------------------------------------------------------------------


def test_half_spaces_are_the_pre_activations_inside_the_cell():
    model = stack(3, 5, 4)
    layers = hidden_layers(model)
    points = np.random.default_rng(0).uniform(-1, 1, (40, 3))
    patterns = patterns_at(layers, points)
    bounds = (-np.ones(3), np.ones(3))
    for point, pattern in zip(points, patterns, strict=True):
        normals, offsets = halfspaces(layers, pattern, bounds)
        first = model[0](torch.from_numpy(point))
        second = model[2](torch.relu(first))
        z = torch.cat([first, second]).detach().numpy()
        value = normals @ point + offsets
        assert (np.sign(value[:9]) * np.where(pattern, 1, -1) == np.sign(z)).all()
        assert np.allclose(value[9:], np.r_[point + 1, 1 - point])
        assert np.allclose(np.linalg.norm(normals, axis=1), 1)
        slope = torch.autograd.functional.jacobian(lambda x: z_of(model, x), torch.from_numpy(point)).numpy()
        assert np.allclose(np.abs(value[:9]) * np.linalg.norm(slope, axis=1), np.abs(z))


def z_of(model: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    first = model[0](x)
    return torch.cat([first, model[2](torch.relu(first))])


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), "model"),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 3)), "model"),
        (nn.Linear(2, 3), "model"),
    ],
)
def test_other_networks_are_refused(model, field):
    with pytest.raises(InputError) as caught:
        hidden_layers(model)
    assert caught.value.field == field
    assert caught.value.remedy


def test_empty_boxes_and_unknown_solvers_are_refused():
    for call in (walk_cells, sample_cells, subdivide_edges):
        with pytest.raises(InputError, match="box"):
            call(stack(2, 3), (1.0, 1.0))
    with pytest.raises(InputError, match="solver"):
        walk_cells(stack(2, 3), solver="simplex")
    with pytest.raises(InputError, match="radius"):
        tangent_network(4, 2, radius=0.0)


# ---- the walk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["scipy", "highspy"])
@pytest.mark.parametrize("widths", NETS)
def test_the_walk_finds_the_census(widths, solver):
    if solver == "highspy":
        pytest.importorskip("highspy")
    model = stack(*widths)
    walked, exact = walk_cells(model, solver=solver), census(model)
    assert walked.num_cells == exact.num_cells
    assert keyed(walked.patterns, walked.num_facets) == keyed(exact.patterns(), exact.num_facets)
    assert keyed(walked.patterns, walked.interior_degree) == keyed(exact.patterns(), exact.interior_degree)
    assert walked.num_programs == walked.num_cells * (sum(widths[1:]) + 2 * widths[0])


def test_the_walk_over_all_of_space_finds_what_counting_says():
    model = random_arrangement(7, 3, seed=1)
    assert walk_cells(model, None).num_cells == most_cells(7, 3)
    with torch.no_grad():
        model[0].bias.zero_()
    assert walk_cells(model, None).num_cells == central_cells(7, 3)
    assert walk_cells(model, None, most=5).num_cells == 5


def test_a_dead_neuron_bounds_nothing():
    model = stack(2, 4)
    with torch.no_grad():
        model[0].weight[1] = 0.0
    walked = walk_cells(model)
    assert walked.num_cells == census(model).num_cells
    assert (walked.patterns[:, 1] == walked.patterns[0, 1]).all()


# ---- edge subdivision -------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [*NETS, (3, 12, 12, 12), (4, 7, 5)])
def test_edge_subdivision_has_the_vertices_and_edges_of_the_census(widths):
    model = stack(*widths, seed=3)
    found, exact = subdivide_edges(model), census(model)
    assert (len(found.points), len(found.edges)) == tuple(exact.f_vector[:2])
    assert found.num_cells() == exact.num_cells
    ours, theirs = (
        np.sort(np.linalg.norm(points.numpy() + 3.0, axis=1))
        for points in (exact.lattice.points, found.points)
    )
    assert np.allclose(ours, theirs, atol=1e-9)


def test_sign_vectors_are_those_of_the_network():
    model = stack(3, 6, 5)
    found = subdivide_edges(model, (-2.0, 1.0))
    middles = found.points[found.edges].mean(1)
    z = torch.cat([z_of(model, point)[None] for point in middles]).detach()
    signs = found.edge_signs[:, :11]
    assert ((z * signs > 1e-12) | (signs == 0)).all()
    assert (z[signs == 0].abs() < 1e-12).all()
    assert ((signs == 0).sum(1) + (found.edge_signs[:, 11:] == 0).sum(1) == 2).all()
    sides = torch.cat([found.points + 2, 1 - found.points], dim=1) == 0
    assert torch.equal(found.point_signs[:, 11:] == 0, sides)
    assert ((found.point_signs == 0).sum(1) == 3).all()


# ---- sampling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(2, 9, 9), (3, 10, 8), (4, 7)])
def test_sampled_cells_have_their_exact_shapes(widths):
    model = stack(*widths, seed=2)
    sample, exact = sample_cells(model, points=600, seed=5), census(model)
    assert sample.hits.sum() == 600
    place = {row.astype(bool).tobytes(): i for i, row in enumerate(np.asarray(exact.patterns()))}
    found = [place[row.tobytes()] for row in sample.patterns]
    assert len(set(found)) == len(found) < exact.num_cells
    for name in ("num_facets", "num_vertices", "interior_degree"):
        assert (getattr(sample, name) == np.asarray(getattr(exact, name))[found]).all(), name
    assert (sample.num_simplices == np.asarray(exact.num_simplices("pull"))[found]).all()
    assert np.allclose(sample.volumes, np.asarray(exact.volumes)[found], rtol=1e-6)


def test_sampling_favors_large_cells():
    model = stack(3, 16, 12, seed=1)
    sample, exact = sample_cells(model, points=1500), census(model)
    assert sample.num_cells < exact.num_cells
    assert sample.volumes.mean() > 1.2 * np.asarray(exact.volumes).mean()
    assert sample.num_facets.mean() > np.asarray(exact.num_facets).mean()
    assert sample.share("num_simplices", at_most=7) < np.mean(np.asarray(exact.num_simplices()) <= 7)


def test_faces_of_known_polytopes():
    cube = np.r_[np.eye(3), -np.eye(3)], np.ones(6)
    vertices, facets, rows = polytope(*cube, np.zeros(3))
    assert (len(vertices), sorted(map(len, facets)), sorted(rows)) == (8, [4] * 6, list(range(6)))
    assert vertices.tolist() == sorted(vertices.tolist())
    shape = cell_shape(*cube, np.full(3, 0.1), num_neurons=2)
    assert (shape.num_facets, shape.num_vertices, shape.num_simplices) == (6, 8, 6)
    assert shape.interior_degree == 2
    assert shape.volumes == pytest.approx(8.0)
    corners = np.array(list(itertools.product((-1, 1), repeat=3))) / math.sqrt(3)
    octahedron = cell_shape(corners, np.full(8, 1 / math.sqrt(3)), np.zeros(3), num_neurons=8)
    assert (octahedron.num_facets, octahedron.num_vertices, octahedron.num_simplices) == (8, 6, 4)
    assert octahedron.volumes == pytest.approx(4 / 3)


def test_rows_that_only_touch_are_no_facets():
    normals = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1], [1 / math.sqrt(2)] * 2, [1, 0]])
    offsets = np.array([1.0, 1, 1, 1, math.sqrt(2), 1])
    vertices, facets, _ = polytope(normals, offsets, np.zeros(2))
    assert (len(vertices), len(facets)) == (4, 4)


def test_pulling_a_simple_polytope_in_space_counts_as_derived():
    """4 F - 12 minus (sides - 2) of the three facets at the first vertex."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        normals = rng.normal(size=(12, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        vertices, facets, _ = polytope(
            np.r_[normals, cube_rows()], np.r_[np.full(12, 0.5), np.ones(6)], np.zeros(3)
        )
        apex = [len(facet) - 2 for facet in facets if 0 in facet]
        assert len(apex) == 3
        assert pull_count(facets, 3) == 4 * len(facets) - 12 - sum(apex)
        assert len(vertices) == len(ConvexHull(vertices).vertices)


def cube_rows() -> np.ndarray:
    return np.r_[np.eye(3), -np.eye(3)]


# ---- networks made on purpose -----------------------------------------------------------------------------


@pytest.mark.parametrize(("neurons", "dimension"), [(5, 2), (24, 2), (17, 3), (40, 3), (9, 4)])
def test_the_tangent_network_has_a_cell_with_all_facets(neurons, dimension):
    found = census(tangent_network(neurons, dimension, seed=4))
    assert int(np.asarray(found.interior_degree).max()) == neurons
    middle = patterns_at(hidden_layers(tangent_network(neurons, dimension, seed=4)), np.zeros((1, dimension)))
    assert not middle.any()


def test_random_lines_are_spread_evenly():
    model = random_arrangement(4000, 2, seed=0)
    assert torch.allclose(model[0].weight.norm(dim=1), torch.ones(4000).double())
    assert model[0].weight.mean(0).abs().max() < 0.05
    distance = -model[0].bias.detach()
    assert 0 <= distance.min() < distance.max() <= math.sqrt(2)
    assert distance.mean().item() == pytest.approx(math.sqrt(2) / 2, rel=0.03)
    assert not torch.equal(model[0].weight, random_arrangement(4000, 2, seed=1)[0].weight)


# ---- what theory says -------------------------------------------------------------------------------------


def test_counts_of_arrangements_agree_with_the_recursion():
    """Adding a hyperplane adds as many cells as its section by the others has."""
    for d, n in itertools.product(range(1, 5), range(1, 9)):
        line = most_cells(n, d - 1) if d > 1 else 1
        assert most_cells(n + 1, d) == most_cells(n, d) + line
        assert central_cells(n, d) == (2 if d == 1 else most_cells(n - 1, d - 1) * 2)
    assert central_cells(0, 3) == 1


def slow_bound(widths: tuple[int, ...], dimension: int) -> int:
    total = 0
    for chosen in itertools.product(*(range(n + 1) for n in widths)):
        room = [
            min([dimension, n, *(m - i for m, i in zip(widths[:layer], chosen[:layer], strict=True))])
            for layer, n in enumerate(widths)
        ]
        if all(j <= most for j, most in zip(chosen, room, strict=True)):
            total += math.prod(math.comb(n, j) for n, j in zip(widths, chosen, strict=True))
    return total


@pytest.mark.parametrize("widths", [(2, 4, 4), (2, 2, 6), (3, 5, 4), (3, 2, 2, 5)])
def test_the_bound_of_deep_networks_is_its_sum_and_is_kept(widths):
    dimension, *hidden = widths
    assert most_cells_deep(hidden, dimension) == slow_bound(tuple(hidden), dimension)
    for seed in range(3):
        found = subdivide_edges(stack(*widths, seed=seed), (-1e3, 1e3)).num_cells()
        assert 1 < found <= most_cells_deep(hidden, dimension)


def test_references_of_shapes():
    assert [mean_facets_bound(d) for d in (2, 3, 4)] == [4, 6, 8]
    assert (fewest_facets(2, 5), fewest_facets(40, 3)) == (2, 3)
    assert [typical_faces(2, 0), typical_faces(3, 0), typical_faces(3, 2)] == [4, 8, 6]
    assert weighted_vertices(2) == pytest.approx(math.pi**2 / 2)
    assert weighted_facets(2) == weighted_vertices(2)
    assert weighted_facets(3) == pytest.approx(8.58, abs=0.01)
    assert pytest.approx(0.3551, abs=1e-4) == TRIANGLES
    with pytest.raises(InputError):
        weighted_facets(4)
