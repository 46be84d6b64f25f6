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
    points = (
        torch.rand(20_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    ) * radius
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


class Programs:
    """All patterns of a net in a box, walking from cell to cell with one linear program per possible facet."""

    def __init__(self, model: nn.Sequential, radius: float) -> None:
        layers = [layer for layer in model if isinstance(layer, nn.Linear)][:-1]
        self.layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers]
        self.dim, self.radius = self.layers[0][0].shape[1], radius

    def pattern(self, value: np.ndarray) -> tuple[int, ...]:
        found: list[int] = []
        for weight, bias in self.layers:
            z = weight @ value + bias
            found += (z > 0).astype(int).tolist()
            value = np.maximum(z, 0)
        return tuple(found)

    def constraints(self, pattern: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Rows (a, b) with a x + b <= 0 inside the cell."""
        slope, offset, rest, rows = np.eye(self.dim), np.zeros(self.dim), np.array(pattern), []
        for weight, bias in self.layers:
            slope, offset = weight @ slope, weight @ offset + bias
            sign, rest = rest[: len(bias)], rest[len(bias) :]
            rows.append(np.column_stack([slope, offset]) * (1 - 2 * sign)[:, None])
            slope, offset = slope * sign[:, None], offset * sign
        rows = np.concatenate(rows)
        return rows[:, :-1], rows[:, -1]

    def facet(self, a: np.ndarray, b: np.ndarray, flip: int) -> np.ndarray | None:
        """The center of the largest ball, in the hyperplane of one constraint, that keeps the others and the box."""
        norm = np.linalg.norm(a, axis=1)
        others = (norm > 0) & (np.arange(len(a)) != flip)
        walls = np.concatenate([np.eye(self.dim), -np.eye(self.dim)])
        left = np.column_stack(
            [np.concatenate([a[others], walls]), np.append(norm[others], np.ones(2 * self.dim))]
        )
        right = np.append(-b[others], np.full(2 * self.dim, self.radius))
        found = linprog(
            [0.0] * self.dim + [-1.0],
            left,
            right,
            [[*a[flip], 0.0]],
            [-b[flip]],
            [(None, None)] * (self.dim + 1),
        )
        return found.x[: self.dim] if found.status == 0 and -found.fun > 1e-9 else None

    def walk(self) -> set[tuple[int, ...]]:
        start = self.pattern(np.full(self.dim, 0.0123))
        seen, todo = {start}, [start]
        while todo:
            a, b = self.constraints(todo.pop())
            for flip in np.flatnonzero(np.linalg.norm(a, axis=1)):
                center = self.facet(a, b, flip)
                if center is None:
                    continue
                beyond = self.pattern(center + 1e-8 * a[flip] / np.linalg.norm(a[flip]))
                if beyond not in seen:
                    seen.add(beyond)
                    todo.append(beyond)
        return seen


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_linear_programs(seed):
    widths = [(2, 4, 4, 1), (3, 4, 3, 1)][seed % 2]
    model = mlp(widths, seed=seed)
    radius = 1e3
    complex_ = census(model, (-radius, radius))
    want = Programs(model, radius).walk()
    assert {tuple(row) for row in complex_.patterns().int().tolist()} == want
    dim, first = widths[0], widths[1]
    assert float(complex_.interior_degree.double().mean()) <= 2 * dim
    assert int(complex_.interior_degree.min()) >= min(first, dim)


@pytest.mark.parametrize(
    "model",
    [
        mlp((2, 60, 40, 1), init="kaiming", seed=1),
        mlp((3, 14, 10, 1), seed=1),
        mlp((3, 10, 8, 1), bias=0.0, seed=2),
    ],
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
    assert (
        tally.histogram("num_facets", "cells").tolist()
        == one.tally().histogram("num_facets", "cells").tolist()
    )


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
