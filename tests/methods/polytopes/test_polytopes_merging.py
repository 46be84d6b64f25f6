"""Linear regions against gradients compared pair by pair."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
import torch
from polytopes_cells import arrangement, complex_of, network
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from visus.methods.polytopes.model import merging
from visus.methods.polytopes.model.incidence import Ragged
from visus.methods.polytopes.model.merging import Maps, components, fit_maps, merge_cells


def mostly_dead(widths, seed):
    """A network whose second hidden layer is off in much of the box."""
    model = network(widths, seed=seed)
    model[2].bias.sub_(0.6)
    return model


def brute_force(cells, model):
    """Regions by the network's gradient inside each cell."""
    gradients = [
        torch.autograd.functional.jacobian(lambda x: model(x[None])[0], center) for center in cells.centroids
    ]
    graph = networkx.Graph()
    graph.add_nodes_from(range(cells.num_cells))
    for one, two in cells.facet_cells.tolist():
        if two >= 0 and torch.allclose(gradients[one], gradients[two], rtol=0, atol=1e-9):
            graph.add_edge(one, two)
    return sorted(map(sorted, networkx.connected_components(graph)))


@pytest.mark.parametrize("widths", [(2, 8, 3, 1), (2, 6, 4, 3), (3, 6, 2, 1), (4, 5, 2, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_regions_are_those_of_the_gradient(widths, seed):
    model = mostly_dead(widths, seed)
    cells = complex_of(model)
    merged = cells.merged()
    want = brute_force(cells, model)
    found = [torch.nonzero(merged.labels == label)[:, 0].tolist() for label in range(merged.num_regions)]
    assert found == want, "regions are numbered by their first cell"


def test_some_of_these_networks_do_merge():
    merged = [complex_of(mostly_dead((2, 8, 3, 1), seed)) for seed in (0, 1)]
    assert any(cells.merged().num_regions < cells.num_cells for cells in merged)


def test_a_dead_layer_leaves_one_region():
    model = network((3, 8, 4, 2), seed=0)
    model[2].bias.fill_(-100.0)
    cells = complex_of(model)
    assert cells.num_cells > 20
    assert cells.merged().num_regions == 1


def test_units_that_cancel_leave_one_region():
    """relu(x) - relu(-x) is x: the cells differ, the map does not, and no output is constant."""
    model = arrangement([[1, 0.3], [-1, -0.3], [0, 1]], [0.2, -0.2, 0.1], head=[[1, -1, 0], [2, -2, 0]])
    cells = complex_of(model)
    assert (cells.num_cells, cells.merged().num_regions) == (4, 1)
    model[2].weight[0, 2] = 1e-3
    assert complex_of(model).merged().num_regions == 2
    assert complex_of(model).merged(tolerance=0.1).num_regions == 1


def chain(slopes, width):
    """Cells in a row with given slopes."""
    count = len(slopes)
    slopes = torch.tensor(slopes, dtype=torch.float64)[:, None, None]
    maps = Maps(slopes, torch.zeros(count, 1), torch.tensor(width), torch.zeros(count))
    pairs = torch.tensor([[i, i + 1] for i in range(count - 1)])
    return merge_cells(maps, pairs, 1.0).labels.tolist()


def test_a_thin_cell_is_forgiven_rounding_but_joins_nothing_that_differs():
    assert chain([1.0, 1.0 + 1e-7, 1.0], [1.0, 1e-7, 1.0]) == [0, 0, 0]
    assert chain([1.0, 1.0 + 1e-7, 1.0], [1.0, 1.0, 1.0]) == [0, 1, 2]
    assert chain([0.0, 0.5, 1.0], [1.0, 1e-15, 1.0]) == [0, 1, 2]
    assert chain([0.0, 0.0, 0.0], [1.0, 1e-15, 1.0]) == [0, 0, 0]


def test_maps_are_exact_for_affine_functions_and_portions_change_nothing(monkeypatch):
    cells = complex_of(network((3, 7, 4, 1), seed=1))
    rng = np.random.default_rng(0)
    slope, offset = torch.from_numpy(rng.normal(size=(2, 3))), torch.from_numpy(rng.normal(size=2))
    maps = fit_maps(cells.points, cells.points @ slope.T + offset, cells.members)
    thick = maps.width > 1e-4
    assert int(thick.sum()) > 20
    torch.testing.assert_close(maps.slopes[thick], slope.expand(int(thick.sum()), 2, 3), atol=1e-10, rtol=0)
    assert float(maps.misfit.max()) < 1e-14
    bent = fit_maps(cells.points, cells.points.square().sum(1, keepdim=True), cells.members)
    assert float(bent.misfit.max()) > 1e-3
    monkeypatch.setattr(merging, "PORTION", 40)
    again = fit_maps(cells.points, cells.points @ slope.T + offset, cells.members)
    assert torch.equal(again.slopes, maps.slopes)


def test_width_is_the_extent_in_the_thinnest_direction():
    model = arrangement([[1.0, 1.0], [1.0, 1.0]], [0.0, 1e-6])
    cells = complex_of(model)
    strip = int(cells.volumes.argmin())
    assert float(cells._maps.width[strip]) == pytest.approx(1e-6 / 2**0.5, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_components_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, 200, (60 * (seed + 1), 2))
    labels = components(torch.from_numpy(pairs), 200).numpy()
    matrix = coo_array((np.ones(len(pairs)), pairs.T), shape=(200, 200))
    count, want = connected_components(matrix, directed=False)
    assert labels.max() + 1 == count
    assert len({*zip(labels.tolist(), want.tolist())}) == count
    firsts = [int(np.argmax(labels == label)) for label in range(count)]
    assert firsts == sorted(firsts)


def test_components_without_edges_and_along_a_path():
    assert components(torch.zeros(0, 2, dtype=torch.int64), 3).tolist() == [0, 1, 2]
    path = torch.tensor([[i + 1, i] for i in range(999)])[torch.randperm(999, generator=torch.Generator())]
    assert not components(path, 1000).any()


@pytest.mark.parametrize("width", [1e-3, 3e-7, 1e-11])
def test_maps_hold_inside_thin_cells(width):
    """A sliver of length 1: slopes across it are uncertain, values inside it are not."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 1, 1.0]]) * [1, width, width]
    points = torch.from_numpy(corners @ turn + rng.normal(size=3))
    slope, offset = torch.from_numpy(rng.normal(size=(2, 3))), torch.from_numpy(rng.normal(size=2))
    maps = fit_maps(points, points @ slope.T + offset, Ragged(torch.tensor([0, 4]), torch.arange(4)))
    inside = torch.from_numpy(rng.dirichlet(np.ones(4), 50)) @ points
    got = inside @ maps.slopes[0].T + maps.offsets[0]
    torch.testing.assert_close(got, inside @ slope.T + offset, atol=1e-14, rtol=0)


def test_a_cell_without_any_extent_has_no_slope_across():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 1e-17]], dtype=torch.float64)
    maps = fit_maps(points, points[:, :1], Ragged(torch.tensor([0, 3]), torch.arange(3)))
    assert maps.slopes[0].tolist() == [[1.0, 0.0]]
