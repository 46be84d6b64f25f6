"""The census: exact counts, laws, invariances, linear programs as a check, parts against the whole, bad input."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from polytopes_nets import INITS, cells_as_points, euler, members_of, mlp, tent
from scipy.optimize import linprog
from torch import nn

from visus.errors import InputError
from visus.methods.polytopes.model import walk
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.slices import Slice
from visus.methods.polytopes.model.walk import census, census_stream, check_box


@pytest.fixture
def small_blocks(monkeypatch):
    """Sub-complexes of some hundred cells, so that little nets are taken apart too."""
    monkeypatch.setattr(walk, "BLOCK", 2**16)


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 7])
def test_tent_map_has_2_to_the_depth_cells(depth):
    complex_ = census(tent(depth), (0.0, 1.0))
    assert complex_.num_cells == 2**depth
    torch.testing.assert_close(complex_.volumes, torch.full((2**depth,), 0.5**depth, dtype=torch.float64))


NETS = [
    ((2, 12, 12, 1), "xavier_uniform", None, 1.0),
    ((2, 8, 8, 8, 8, 1), "kaiming", 0.1, 3.0),
    ((3, 12, 8, 1), "xavier_normal", None, 1.0),
    ((3, 6, 6, 6, 2), "orthogonal", 0.05, 1.0),
    ((4, 8, 5, 1), "kaiming", None, 1.0),
    ((3, 8, 6, 1), "xavier_uniform", 0.0, 1.0),
    ((2, 10, 1, 10, 1), "kaiming", 0.3, 1.0),
]


@pytest.mark.parametrize("setting", NETS, ids=str)
def test_the_cells_fill_the_box(setting):
    widths, init, bias, radius = setting
    model = mlp(widths, init=init, bias=bias, seed=4)
    complex_ = census(model, (-radius, radius))
    dim = widths[0]
    assert euler(complex_.f_vector) == 1
    assert float(complex_.volumes.sum()) == pytest.approx((2 * radius) ** dim, rel=1e-12)
    assert float(complex_.volumes.min()) > 0
    patterns = complex_.patterns()
    assert patterns.shape == (complex_.num_cells, sum(widths[1:-1]))
    assert len(patterns.unique(dim=0)) == complex_.num_cells
    points = (torch.rand(20_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1) * radius
    found = {row.tobytes() for row in np.unique(Probe(model).packed_patterns(points).numpy(), axis=0)}
    assert found <= {row.tobytes() for row in complex_.packed.numpy()}


@pytest.mark.parametrize("seed", range(5))
def test_sides_in_the_plane_and_incidence_law_in_space(seed):
    plane = census(mlp((2, 10, 10, 1), seed=seed))
    assert int(plane.num_facets.sum()) == 4 * plane.num_cells
    space = census(mlp((3, 8, 6, 1), seed=seed))
    walls = (space.points.abs() == 1).sum(1)
    assert torch.equal(torch.bincount(space.lattice.edges.flatten()), 6 - walls)
    cells = torch.bincount(torch.tensor([v for members in members_of(space.lattice, 3) for v in members]))
    assert torch.equal(cells, 2 ** (3 - walls))


def facts(complex_) -> tuple:
    sizes = (complex_.num_facets, complex_.num_vertices, complex_.interior_degree)
    return complex_.f_vector, [torch.bincount(size).tolist() for size in sizes]


def test_scaling_biases_and_box_changes_nothing():
    one = mlp((3, 12, 8, 1), bias=0.05, seed=1)
    two = copy.deepcopy(one)
    with torch.no_grad():
        for layer in two:
            if isinstance(layer, nn.Linear):
                layer.bias *= 3
    small, large = census(one, (-1, 1)), census(two, (-3, 3))
    assert facts(small) == facts(large)
    torch.testing.assert_close(small.volumes.sort()[0] * 27, large.volumes.sort()[0])


def test_permuting_and_rescaling_neurons_changes_nothing():
    one = mlp((3, 12, 8, 1), seed=1)
    two = copy.deepcopy(one)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer, after in ((two[0], two[2]), (two[2], two[4])):
            order = torch.randperm(layer.out_features, generator=generator)
            scale = torch.rand(layer.out_features, generator=generator, dtype=torch.float64) + 0.5
            layer.weight.copy_(layer.weight[order] * scale[:, None])
            layer.bias.copy_(layer.bias[order] * scale)
            after.weight.copy_(after.weight[:, order] / scale)
    first, second = census(one), census(two)
    assert facts(first) == facts(second)
    assert cells_as_points(first.lattice, 8) == cells_as_points(second.lattice, 8)
    counts = [torch.bincount(found.num_simplices()).tolist() for found in (first, second)]
    assert counts[0] == counts[1]


def neighbors_by_programs(model: nn.Sequential, radius: float) -> set[tuple[int, ...]]:
    """All patterns of a net in a box, by walking from cell to cell with one linear program per possible facet."""
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in model if isinstance(m, nn.Linear)]
    dim = layers[0][0].shape[1]
    box = [(-radius, radius)] * dim

    def rows(pattern):
        slope, offset, at, found = np.eye(dim), np.zeros(dim), 0, []
        for weight, bias in layers[:-1]:
            slope, offset = weight @ slope, weight @ offset + bias
            sign = np.array(pattern[at : at + len(bias)])
            at += len(bias)
            found.append((slope * (1 - 2 * sign)[:, None], offset * (1 - 2 * sign)))
            slope, offset = slope * sign[:, None], offset * sign
        return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])

    def inside(pattern) -> bool:
        a, b = rows(pattern)
        norm = np.linalg.norm(a, axis=1)
        if (b[norm == 0] > 0).any():
            return False
        a, b, norm = a[norm > 0], b[norm > 0], norm[norm > 0]
        walls = np.concatenate([np.eye(dim), -np.eye(dim)])
        left = np.block([[a, norm[:, None]], [walls, np.ones((2 * dim, 1))]])
        right = np.concatenate([-b, np.full(2 * dim, radius)])
        found = linprog([0.0] * dim + [-1.0], left, right, bounds=[(None, None)] * (dim + 1))
        return found.status == 0 and -found.fun > 1e-9

    center = np.full(dim, 0.0123)
    start, value = [], center
    for weight, bias in layers[:-1]:
        z = weight @ value + bias
        start += (z > 0).astype(int).tolist()
        value = np.maximum(z, 0)
    seen, todo = {tuple(start)}, [tuple(start)]
    tried = set(seen)
    while todo:
        pattern = todo.pop()
        a, b = rows(pattern)
        for flip in range(len(pattern)):
            norm = np.linalg.norm(a[flip])
            if norm == 0:
                continue
            # A facet: the largest ball in the hyperplane within the other constraints.
            others = [i for i in range(len(a)) if i != flip and np.linalg.norm(a[i]) > 0]
            left = np.column_stack([a[others], np.linalg.norm(a[others], axis=1)])
            right = -b[others]
            walls = np.concatenate([np.eye(dim), -np.eye(dim)])
            left = np.concatenate([left, np.column_stack([walls, np.ones(2 * dim)])])
            right = np.concatenate([right, np.full(2 * dim, radius)])
            equal = np.append(a[flip], 0.0)[None]
            found = linprog(
                [0.0] * dim + [-1.0], left, right, equal, [-b[flip]], [(None, None)] * (dim + 1)
            )
            if found.status != 0 or -found.fun <= 1e-9:
                continue
            # Beyond the facet, signs of later layers that follow the flip are read off at a point there.
            place = found.x[:dim] - a[flip] / norm * -1e-9 * 1.0
            after = []
            value = place
            for weight, bias in layers[:-1]:
                z = weight @ value + bias
                after += (z > 0).astype(int).tolist()
                value = np.maximum(z, 0)
            after = tuple(after)
            if after not in tried:
                tried.add(after)
                if inside(after):
                    seen.add(after)
                    todo.append(after)
    del box
    return seen


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_linear_programs(seed):
    widths = [(2, 4, 4, 1), (3, 4, 3, 1)][seed % 2]
    model = mlp(widths, seed=seed)
    radius = 1e3
    complex_ = census(model, (-radius, radius))
    want = neighbors_by_programs(model, radius)
    assert {tuple(row) for row in complex_.patterns().int().tolist()} == want
    dim, first = widths[0], widths[1]
    assert float(complex_.interior_degree.double().mean()) <= 2 * dim
    assert int(complex_.interior_degree.min()) >= min(first, dim)


@pytest.mark.parametrize(
    "model", [mlp((2, 24, 24, 1), seed=1), mlp((3, 14, 10, 1), seed=1), mlp((3, 10, 8, 1), bias=0.0, seed=2)]
)
def test_taken_apart_it_is_the_same_complex(model, monkeypatch):
    whole = census(model)
    monkeypatch.setattr(walk, "BLOCK", 2**15)
    calls = []
    parts = census(model, progress=lambda found, total: calls.append((found, total)))
    assert len(calls) > 3
    assert calls[-1] == (whole.num_cells, whole.num_cells)
    assert all(found <= total for found, total in calls)
    assert facts(parts) == facts(whole)
    assert cells_as_points(parts.lattice, 8) == cells_as_points(whole.lattice, 8)
    assert {row.tobytes() for row in parts.packed.numpy()} == {row.tobytes() for row in whole.packed.numpy()}
    torch.testing.assert_close(parts.outputs, Probe(model).outputs(parts.points))
    assert float(parts.volumes.sum()) == pytest.approx(2.0**whole.dim, rel=1e-12)


def test_many_functionals_come_in_batches(monkeypatch):
    """As for convolutional nets, whose stages do not fit into memory at once."""
    model = mlp((2, 24, 24, 1), seed=3)
    whole = census(model)
    monkeypatch.setattr(walk, "VALUES", 2**10)
    monkeypatch.setattr(walk, "BLOCK", 2**15)
    assert cells_as_points(census(model).lattice, 8) == cells_as_points(whole.lattice, 8)


def test_stream_counts_what_the_complex_holds(small_blocks):
    model = mlp((3, 14, 10, 1), seed=1)
    complex_ = census(model)
    calls = []
    tally = census_stream(model, progress=lambda found, total: calls.append((found, total)), memory_gb=1)
    want = complex_.tally()
    assert len(calls) > 3
    assert tally.num_cells == complex_.num_cells
    assert tally.volume == pytest.approx(8.0, rel=1e-12)
    for measure in ("num_facets", "num_vertices", "num_simplices", "interior_degree"):
        assert tally.histogram(measure, "cells").tolist() == want.histogram(measure, "cells").tolist()


def test_processes_find_the_same_complex():
    model = mlp((3, 40, 20, 1), seed=1)
    one, two = census(model), census(model, workers=2)
    assert facts(one) == facts(two)
    assert {row.tobytes() for row in one.packed.numpy()} == {row.tobytes() for row in two.packed.numpy()}
    tally = census_stream(model, workers=2)
    assert tally.histogram("num_facets", "cells").tolist() == one.tally().histogram("num_facets", "cells").tolist()


def test_a_slice_is_the_net_behind_it():
    model = mlp((6, 10, 8, 2), seed=1)
    points = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plane = Slice(points)
    complex_ = census(model, slice=plane)
    direct = census(nn.Sequential(plane, model), plane.box, dimension=2)
    assert cells_as_points(complex_.lattice) == cells_as_points(direct.lattice)
    torch.testing.assert_close(complex_.outputs, model(plane(complex_.points)).detach())
    with pytest.raises(InputError, match="dimension: is 3"):
        census(model, slice=plane, dimension=3)


@pytest.mark.parametrize("init", INITS)
def test_initializations_give_mean_faces_of_2d(init):
    complex_ = census(mlp((3, 16, 10, 1), init=init, bias=0.01, seed=0))
    assert float(complex_.num_facets.double().mean()) == pytest.approx(6.0, abs=0.5)


def test_dead_neurons_and_layers_are_legal():
    model = mlp((2, 6, 6, 1), seed=0)
    with torch.no_grad():
        model[2].bias.fill_(-100)
    alone = census(nn.Sequential(model[0], nn.ReLU(), nn.Linear(6, 1).double()))
    assert census(model).f_vector == alone.f_vector
    with torch.no_grad():
        model[0].weight.zero_()
    assert census(model).f_vector == (4, 4, 1)


def test_memory_bound_refuses_with_an_estimate(small_blocks):
    with pytest.raises(InputError, match=r"would need about .* GB.*census_stream"):
        census(mlp((3, 16, 12, 1), seed=1), memory_gb=1e-6)


def test_interrupting_leaves_cleanly(small_blocks):
    class Stop(KeyboardInterrupt):
        pass

    def stop(found, total):
        raise Stop

    with pytest.raises(Stop):
        census(mlp((3, 14, 10, 1), seed=1), progress=stop)
    assert census(mlp((2, 4, 1), seed=1)).num_cells > 1


@pytest.mark.parametrize(
    ("box", "dimension", "words"),
    [
        ((1.0, -1.0), 2, "axis 0: is empty: 1 to -1"),
        ((0.0, 0.0), 2, "is empty"),
        ((-1.0, float("inf")), 2, "is not finite"),
        ((-1.0, float("nan")), 2, "is not finite"),
        (([-1.0, -1.0], [1.0, -2.0]), 2, "axis 1: is empty"),
        (([-1.0] * 3, [1.0] * 3), 2, "has 3 values per corner"),
        ((-1.0, 1.0), 1, "dimension: is 1"),
        ((-1.0, 1.0), None, "dimension: is not known"),
        ((-1.0, 0.0, 1.0), 2, "has 3 parts"),
        (("a", "b"), 2, "does not hold numbers"),
    ],
)
def test_boxes_that_cannot_be_used_are_told(box, dimension, words):
    with pytest.raises(InputError, match=words) as caught:
        check_box(box, dimension)
    assert caught.value.remedy


def test_dimension_comes_from_the_first_layer_or_the_box():
    with pytest.raises(InputError, match="dimension: is 1"):
        census(mlp((1, 4, 1)))
    assert census(mlp((3, 4, 1))).dim == 3
    widthless = nn.Sequential(nn.ReLU())
    assert census(widthless, ([-1, -1], [1, 1])).num_cells == 4
    assert census(widthless, dimension=3).num_cells == 8
    with pytest.raises(InputError, match="dimension: is not known"):
        census(widthless)
    with pytest.raises(InputError, match="shape"):
        census(mlp((4, 3, 1)), dimension=4, shape=(3, 2))


def test_box_differs_by_axis():
    complex_ = census(mlp((2, 8, 1), seed=1), ([-1, 0], [2, 0.5]))
    assert complex_.points.amin(0).tolist() == [-1, 0]
    assert complex_.points.amax(0).tolist() == [2, 0.5]
    assert float(complex_.volumes.sum()) == pytest.approx(1.5, rel=1e-12)
