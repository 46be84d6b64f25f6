"""The twelve checks a census must pass, each against counting, algebra or another way to the same numbers."""

from __future__ import annotations

import importlib.util
import itertools
import math
import runpy
import sys

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from visus.methods.polytopes import census
from visus.methods.polytopes.baselines import (
    central_cells,
    fewest_facets,
    mean_facets_bound,
    most_cells,
    random_arrangement,
    walk_cells,
)
from visus.methods.polytopes.baselines.layers import hidden_layers, patterns_at
from visus.methods.polytopes.claims.data import network, scaled
from visus.methods.polytopes.claims.measures import farthest_crossing
from visus.methods.polytopes.model.tally import MEASURES


def planes(normals, offsets=None) -> nn.Sequential:
    """One hidden layer with these hyperplanes."""
    normals = torch.as_tensor(np.asarray(normals, dtype=float))
    layer, last = nn.Linear(*reversed(normals.shape)).double(), nn.Linear(len(normals), 1).double()
    with torch.no_grad():
        layer.weight.copy_(normals)
        layer.bias.copy_(torch.zeros(len(normals)) if offsets is None else torch.as_tensor(offsets).double())
    return nn.Sequential(layer, nn.ReLU(), last)


def numbers(tensor) -> np.ndarray:
    return np.asarray(tensor.cpu())


def euler(found) -> int:
    return sum((-1) ** k * count for k, count in enumerate(found.f_vector))


# ---- 1. counts of arrangements ----------------------------------------------------------------------------

SIZES = {2: 20, 3: 12, 4: 9}


@pytest.mark.parametrize("dimension", SIZES)
def test_1_counts_of_arrangements(dimension):
    neurons = SIZES[dimension]
    for seed in range(20):
        model = random_arrangement(neurons, dimension, seed=seed)
        far = 1.01 * farthest_crossing(model)
        assert census(model, (-far, far)).num_cells == most_cells(neurons, dimension)
        inside = census(model, (-1.0, 1.0))
        assert inside.num_cells == 1 + flats_in_box(model)
        with torch.no_grad():
            model[0].bias.zero_()
        assert census(model, (-1.0, 1.0)).num_cells == central_cells(neurons, dimension)


def flats_in_box(model: nn.Sequential) -> int:
    """Sets of 1 to d hyperplanes whose common points meet the open box [-1, 1]^d."""
    weight, bias = model[0].weight.detach().numpy(), model[0].bias.detach().numpy()
    neurons, d = weight.shape
    found = int((np.abs(bias) < np.abs(weight).sum(1)).sum())
    for k in range(2, d + 1):
        chosen = np.array(list(itertools.combinations(range(neurons), k)))
        if k == d:
            found += int(
                (np.abs(np.linalg.solve(weight[chosen], -bias[chosen][..., None])) < 1).all((1, 2)).sum()
            )
        elif k == d - 1:
            found += int(lines_meet(weight[chosen], -bias[chosen]).sum())
        else:
            found += sum(feasible(weight[list(one)], -bias[list(one)]) for one in chosen)
    return found


def lines_meet(weight: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether the lines {W x = r} meet the open box, by slabs."""
    base = (np.linalg.pinv(weight) @ right[..., None])[..., 0]
    along = np.linalg.svd(weight)[2][:, -1]
    one, two = (-1 - base) / along, (1 - base) / along
    return np.minimum(one, two).max(1) < np.maximum(one, two).min(1)


def feasible(weight: np.ndarray, right: np.ndarray) -> bool:
    return linprog(np.zeros(weight.shape[1]), A_eq=weight, b_eq=right, bounds=(-1, 1)).status == 0


# ---- 2. degenerate arrangements ---------------------------------------------------------------------------


def reflections(dimension: int) -> np.ndarray:
    """x_i = 0 and x_i = +-x_j."""
    unit = np.eye(dimension)
    pairs = itertools.combinations(range(dimension), 2)
    return np.array([*unit, *(unit[i] + s * unit[j] for i, j in pairs for s in (1, -1))])


def braid(dimension: int) -> np.ndarray:
    unit = np.eye(dimension)
    return np.array([unit[i] - unit[j] for i, j in itertools.combinations(range(dimension), 2)])


@pytest.mark.parametrize(
    ("normals", "offsets", "cells"),
    [
        (braid(3), None, 6),
        (braid(4), None, 24),
        (reflections(3), None, 48),
        (reflections(4), None, 384),
        (np.repeat(np.eye(3), 2, axis=0), [0.3, -0.3] * 3, 27),
    ],
    ids=["braid 3", "braid 4", "B3", "B4", "grid"],
)
def test_2_degenerate_arrangements(normals, offsets, cells):
    found = census(planes(normals, offsets), (-1.0, 1.0))
    assert found.num_cells == cells
    assert euler(found) == 1
    volumes = numbers(found.volumes)
    assert volumes.sum() == pytest.approx(2.0 ** normals.shape[1], rel=1e-12)
    if offsets is None and len(normals) == normals.shape[1] ** 2:
        assert np.allclose(volumes, volumes.mean(), rtol=1e-12)  # reflections make all cells alike
    extra = [
        2 * normals[0],
        -normals[0],
        0 * normals[0],
        np.eye(normals.shape[1])[0],
        -np.eye(normals.shape[1])[1],
    ]
    shift = [0.0] * len(normals) if offsets is None else offsets
    more = planes([*normals, *extra], [*shift, 2 * shift[0], -shift[0], 0.0, 1.0, 1.0])
    again = census(more, (-1.0, 1.0))
    assert tuple(again.f_vector) == tuple(found.f_vector)
    assert np.allclose(np.sort(numbers(again.volumes)), np.sort(volumes), rtol=1e-12)


# ---- 3. a network of many foldings ------------------------------------------------------------------------


def tent(folds: int) -> nn.Sequential:
    """x -> min(2 x, 2 - 2 x), composed with itself, of the first of two coordinates."""
    parts: list[nn.Module] = []
    for fold in range(folds):
        layer = nn.Linear(2, 2).double()
        mix = torch.tensor([[2.0, -4.0]]).double()
        with torch.no_grad():
            first = torch.tensor([[1.0, 0.0]]).double() if fold == 0 else mix
            layer.weight.copy_(torch.cat([first, first]))
            layer.bias.copy_(torch.tensor([0.0, -0.5]))
        parts += [layer, nn.ReLU()]
    last = nn.Linear(2, 1).double()
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[2.0, -4.0]]))
        last.bias.zero_()
    return nn.Sequential(*parts, last)


@pytest.mark.parametrize("folds", [1, 2, 5, 9])
def test_3_tent_maps(folds):
    found = census(tent(folds), (0.0, 1.0))
    assert found.num_cells == 2**folds
    assert np.allclose(numbers(found.volumes), 2.0**-folds, rtol=1e-12)
    slopes = numbers(found.affine_maps()[0])[:, 0]
    assert np.allclose(np.abs(slopes), [2.0**folds, 0.0])


# ---- 4. Euler's relation and volumes ----------------------------------------------------------------------

NETS = {
    "2-16-16-16": ((2, 16, 16, 16), "xavier_uniform", 0.1, 1.0),
    "2-30-30 wide box": ((2, 30, 30), "kaiming", 0.3, 10.0),
    "3-12-8-6": ((3, 12, 8, 6), "orthogonal", 0.05, 1.0),
    "3-20-10": ((3, 20, 10), "xavier_normal", 0.01, 1.0),
    "4-9-7": ((4, 9, 7), "kaiming", 0.1, 1.0),
    "5-7-4": ((5, 7, 4), "xavier_uniform", 0.1, 2.0),
}


@pytest.mark.parametrize("name", NETS)
def test_4_euler_and_volumes(name):
    widths, init, bias, half = NETS[name]
    found = census(network(widths, init=init, bias=bias, seed=1), (-half, half))
    assert found.num_cells > 50
    assert euler(found) == 1
    volumes = numbers(found.volumes)
    assert volumes.min() > 0
    assert abs(volumes.sum() / (2 * half) ** widths[0] - 1) < 1e-12


# ---- 5. laws of generic complexes -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_5_sides_in_the_plane(seed):
    found = census(network((2, 24, 16, 8), bias=0.1, seed=seed), (-1.0, 1.0))
    assert int(found.num_facets.sum()) == 4 * found.num_cells
    assert int(found.num_simplices().sum()) == 2 * found.num_cells


@pytest.mark.parametrize("widths", [(3, 14, 9), (3, 8, 8, 8), (4, 8, 5)])
def test_5_edges_and_cells_around_a_vertex(widths):
    d = widths[0]
    found = census(network(widths, bias=0.1, seed=2), (-1.0, 1.0))
    points = numbers(found.lattice.points)
    on_box = (np.abs(points) == 1).sum(1)
    edges = np.bincount(numbers(found.lattice.edges).ravel(), minlength=len(points))
    assert (edges == 2 * d - on_box).all()
    around = np.bincount(
        np.concatenate([numbers(found.vertices_of(cell)) for cell in range(found.num_cells)]),
        minlength=len(points),
    )
    assert (around == 2 ** (d - on_box)).all()


# ---- 6. patterns and random points ------------------------------------------------------------------------


def test_6_patterns_and_random_points():
    model = network((3, 14, 10), bias=0.05, seed=3)
    layers, found = hidden_layers(model), census(model, (-1.0, 1.0))
    code = 1 << np.arange(24)
    stored = numbers(found.patterns()) @ code
    assert len(np.unique(stored)) == found.num_cells
    assert (patterns_at(layers, numbers(found.centroids)) @ code == stored).all()
    count, rng, hits = 2_000_000, np.random.default_rng(0), np.zeros(found.num_cells, dtype=int)
    order = np.argsort(stored)
    for _ in range(10):
        drawn = patterns_at(layers, rng.uniform(-1, 1, (count // 10, 3))) @ code
        place = np.searchsorted(stored[order], drawn).clip(max=found.num_cells - 1)
        assert (stored[order][place] == drawn).all()
        hits += np.bincount(order[place], minlength=found.num_cells)
    share = numbers(found.volumes) / 8
    off = np.abs(hits / count - share) / np.sqrt(share * (1 - share) / count)
    expected = share * count >= 10  # below, a binomial is no normal distribution
    assert expected.sum() > 300
    assert off[expected].max() < 4
    assert hits[~expected].max(initial=0) < 40


# ---- 7. scaling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_7_scaling_biases_and_box(factor):
    widths = (3, 24, 12)
    one = census(network(widths, bias=0.05, seed=4), (-1.0, 1.0)).tally()
    two = census(scaled(network(widths, bias=0.05, seed=4), factor), (-factor, factor)).tally()
    assert one.num_cells == two.num_cells > 1000
    for measure in MEASURES:
        assert (one.histogram(measure) == two.histogram(measure)).all()
        assert np.allclose(
            one.histogram(measure, "volume") * factor**3,
            two.histogram(measure, "volume"),
            rtol=1e-9,
            atol=1e-12,
        )


# ---- 8. symmetries of the network -------------------------------------------------------------------------


def rearranged(model: nn.Sequential, *, permute: bool, rescale: bool, seed: int) -> nn.Sequential:
    """The same function with neurons in another order or with other units."""
    generator = torch.Generator().manual_seed(seed)
    layers = [part for part in model if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for layer, following in itertools.pairwise(layers):
            order = torch.randperm(len(layer.bias), generator=generator) if permute else slice(None)
            units = torch.rand(len(layer.bias), generator=generator).double() * 3 + 0.1 if rescale else 1.0
            layer.weight.copy_((layer.weight.T * units).T[order])
            layer.bias.copy_((layer.bias * units)[order])
            following.weight.copy_((following.weight / units)[:, order])
    return model


@pytest.mark.parametrize(("permute", "rescale"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("widths", [(2, 14, 10, 6), (3, 16, 9), (4, 7, 5)])
def test_8_permuted_and_rescaled_neurons(widths, permute, rescale):
    def build() -> nn.Sequential:
        return network(widths, bias=0.05, seed=5)

    points = torch.rand(20, widths[0], generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    other = rearranged(build(), permute=permute, rescale=rescale, seed=6)
    assert torch.allclose(build()(points), other(points), atol=1e-12)
    one, two = census(build(), (-1.0, 1.0)), census(other, (-1.0, 1.0))
    assert tuple(one.f_vector) == tuple(two.f_vector)
    pairs = []
    for found in (one, two):
        centers = numbers(found.centroids)
        order = np.lexsort(np.round(centers, 9).T)
        pairs.append((centers[order], numbers(found.volumes)[order], numbers(found.num_simplices())[order]))
    for left, right in zip(*pairs, strict=True):
        assert np.allclose(left, right, rtol=1e-7, atol=1e-9)


# ---- 9. conforming triangulation --------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(2, 12, 8), (3, 10, 7), (4, 6, 4)])
def test_9_simplices_meet_face_to_face(widths):
    d = widths[0]
    found = census(network(widths, bias=0.1, seed=7), (-1.0, 1.0))
    corners, cell = (numbers(part) for part in found.simplices("pull"))
    assert (np.bincount(cell) == numbers(found.num_simplices())).all()
    points = numbers(found.lattice.points)
    edges = points[corners[:, 1:]] - points[corners[:, :1]]
    sizes = np.abs(np.linalg.det(edges)) / math.factorial(d)
    assert sizes.min() > 0
    assert np.allclose(np.bincount(cell, sizes), numbers(found.volumes), rtol=1e-9)
    sides = np.concatenate([np.delete(corners, i, axis=1) for i in range(d + 1)])
    distinct, count = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    at = points[distinct]
    on_box = ((at == 1).all(1) | (at == -1).all(1)).any(1)
    assert (count == np.where(on_box, 1, 2)).all()


# ---- 10. facets on all of space ---------------------------------------------------------------------------

SMALL = [
    (2, 7),
    (2, 6, 5),
    (2, 5, 4, 3),
    (2, 3, 6),
    (3, 6),
    (3, 5, 4),
    (3, 4, 3, 3),
    (3, 2, 5),
    (4, 5),
    (4, 4, 3),
]


@pytest.mark.parametrize("widths", SMALL, ids=lambda widths: "-".join(map(str, widths)))
def test_10_facets_on_all_of_space(widths):
    """The walk has no box at all; the census has one beyond all vertices, whose sides do not count."""
    solver = "highspy" if importlib.util.find_spec("highspy") else "scipy"
    model = network(widths, init="kaiming", bias=0.2, seed=8)
    walked = walk_cells(model, None, solver=solver)
    found = census(model, (-1e4, 1e4), tolerance=1e-15)
    assert found.num_cells == walked.num_cells
    mine = {
        row.tobytes(): int(k) for row, k in zip(numbers(found.patterns()), found.interior_degree, strict=True)
    }
    theirs = {row.tobytes(): int(k) for row, k in zip(walked.patterns, walked.interior_degree, strict=True)}
    assert mine == theirs
    degree = walked.interior_degree
    assert degree.mean() <= mean_facets_bound(widths[0])
    assert degree.min() >= fewest_facets(widths[1], widths[0])


# ---- 11. speed --------------------------------------------------------------------------------------------


def test_11_speed_is_gated_in_the_benchmark(root, monkeypatch):
    """Time is no matter for a test; here only that the benchmark declares both gates on the right networks."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    gates = runpy.run_path(str(root / "benchmarks" / "polytopes.py"), run_name="imported")["GATES"]
    assert {name: gate.seconds for name, gate in gates.items()} == {"3-32-32-32": 1.0, "3-80-40": 10.0}
    assert gates["3-80-40"].bias == 0.01


# ---- 12. affine on every cell -----------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(2, 20, 12, 8), (3, 14, 10), (4, 8, 6)])
def test_12_the_network_is_affine_on_every_cell(widths):
    d, rng = widths[0], np.random.default_rng(0)
    model = network(widths, init="kaiming", bias=0.1, seed=9)
    found = census(model, (-1.0, 1.0))
    slopes, offsets = (numbers(part) for part in found.affine_maps())
    corners, cell = (numbers(part) for part in found.simplices("pull"))
    points = numbers(found.lattice.points)
    _, first = np.unique(cell, return_index=True)  # d + 1 vertices of every cell
    inside, owner, fitted = [], [], []
    for k in range(found.num_cells):
        own = points[numbers(found.vertices_of(k))]
        drawn = rng.dirichlet(np.ones(len(own)), size=3) @ own
        inside.append(drawn)
        owner += [k] * 3
        base = points[corners[first[k]]]
        with torch.no_grad():
            value = model(torch.from_numpy(base)).numpy()[:, 0]
        weights = np.linalg.solve(np.c_[base, np.ones(d + 1)].T, np.c_[drawn, np.ones(3)].T)
        fitted += list(value @ weights)
    with torch.no_grad():
        value = model(torch.from_numpy(np.concatenate(inside))).numpy()[:, 0]
    owner = np.array(owner)
    mapped = (slopes[owner, 0] * np.concatenate(inside)).sum(1) + offsets[owner, 0]
    assert np.abs(mapped - value).max() < 1e-10
    assert np.quantile(np.abs(np.array(fitted) - value), 0.99) < 1e-10
