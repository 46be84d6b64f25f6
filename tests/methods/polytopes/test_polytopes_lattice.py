"""The face lattice: known counts, degenerate arrangements, laws, and an independent slow cutter."""

from __future__ import annotations

import itertools
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polytopes_nets import SlowComplex, arrangement, cells_as_points, euler, members_of, roots
from scipy.optimize import linprog

from visus.methods.polytopes.model import splitting
from visus.methods.polytopes.model.arrays import Device, Host
from visus.methods.polytopes.model.cutting import Functionals, Inconsistent
from visus.methods.polytopes.model.lattice import Lattice, from_cutter, to_cutter

SIZES = {2: 20, 3: 12, 4: 9}


def draw(dim: int, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return normals, torch.randn(count, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_box_has_3_to_the_d_faces(dim):
    box = Lattice.box([0.0] * dim, [1.0] * dim)
    assert box.f_vector == tuple(comb(dim, k) * 2 ** (dim - k) for k in range(dim + 1))
    assert sorted(box.wall.tolist()) == list(range(2 * dim))
    assert box.num_cells == 1
    assert box.bytes > 0


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("seed", range(20))
def test_zaslavsky_and_central_counts(dim, seed):
    count = SIZES[dim]
    normals, offsets = draw(dim, count, seed)
    generic = arrangement(normals, offsets, radius=1e5)
    assert generic.num_cells == sum(comb(count, k) for k in range(dim + 1))
    central = arrangement(normals)
    assert central.num_cells == 2 * sum(comb(count - 1, k) for k in range(dim))
    assert euler(generic.f_vector) == euler(central.f_vector) == 1


def flats_in_box(normals, offsets) -> int:
    """Subsets of 1..d hyperplanes whose intersection meets the open box [-1, 1]^d, by linear programming."""
    count, dim = normals.shape
    total = 0
    for size in range(1, dim + 1):
        for chosen in itertools.combinations(range(count), size):
            rows, right = normals[list(chosen)].numpy(), -offsets[list(chosen)].numpy()
            # Largest margin to the walls among the points of the flat.
            equal = [[*row, 0.0] for row in rows]
            below = [
                [*(sign * (axis == i) for i in range(dim)), 1.0] for axis in range(dim) for sign in (1, -1)
            ]
            found = linprog(
                [0.0] * dim + [-1.0], below, [1.0] * (2 * dim), equal, right, [(None, None)] * (dim + 1)
            )
            total += found.status == 0 and -found.fun > 0
    return total


@pytest.mark.parametrize(("dim", "count"), [(2, 8), (3, 6), (4, 5)])
@pytest.mark.parametrize("seed", range(2))
def test_cells_are_one_more_than_flats_in_the_box(dim, count, seed):
    normals, offsets = draw(dim, count, 100 + seed)
    assert arrangement(normals, offsets / 2).num_cells == 1 + flats_in_box(normals, offsets / 2)


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("seed", range(20))
def test_cells_are_one_more_than_flats_in_the_box_solved(dim, seed):
    """The same for all 20 seeds: a flat of d hyperplanes is a point, smaller ones meet the box in the cut faces."""
    count = SIZES[dim]
    normals, offsets = draw(dim, count, 200 + seed)
    lattice = arrangement(normals, offsets / 2)
    # Interior faces of dimension d - k lie on flats of k hyperplanes: chi of each flat in the box is 1 by convexity.
    on = (lattice.points @ normals.T + offsets / 2).abs() < 1e-9
    flats: dict[frozenset[int], int] = {}
    for k in range(dim):
        faces = members_of(lattice, k) if k else [{v} for v in range(len(lattice.points))]
        for members in faces:
            tight = frozenset(torch.nonzero(on[sorted(members)].all(0))[:, 0].tolist())
            for size in range(1, dim - k + 1):
                for chosen in itertools.combinations(sorted(tight), size):
                    flats[frozenset(chosen)] = flats.get(frozenset(chosen), 0) + (-1) ** k
    assert all(chi == 1 for chi in flats.values())
    assert lattice.num_cells == 1 + len(flats)


def test_degenerate_arrangements():
    assert arrangement(roots(3, "A")).num_cells == 6
    assert arrangement(roots(3, "B")).num_cells == 48
    assert arrangement(roots(4, "A")).num_cells == 24
    assert arrangement(roots(4, "B")).num_cells == 384
    eye = torch.eye(3, dtype=torch.float64)
    grid = arrangement(torch.cat([eye, eye]), torch.tensor([0.3] * 3 + [-0.3] * 3))
    assert grid.f_vector == (64, 144, 108, 27)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_repeated_vanishing_and_wall_hyperplanes_add_nothing(dim):
    normals, offsets = draw(dim, 5, 3)
    offsets = offsets / 4
    plain = arrangement(normals, offsets)
    eye = torch.eye(dim, dtype=torch.float64)
    more = torch.cat([normals, -3 * normals, 0 * normals, eye, eye])
    shifts = torch.cat([offsets, -3 * offsets, 0 * offsets, torch.ones(dim), -torch.ones(dim)])
    assert arrangement(more, shifts).f_vector == plain.f_vector
    order = torch.randperm(len(more), generator=torch.Generator().manual_seed(0))
    mixed = arrangement(more[order], shifts[order])
    assert cells_as_points(mixed) == cells_as_points(plain)


def test_octahedron_is_cut_through_its_equator():
    """No facet of an octahedron is split by the plane through four of its vertices, but its inside is."""
    faces = torch.tensor(list(itertools.product((1.0, -1.0), repeat=3)), dtype=torch.float64)
    before = arrangement(faces, -1.0, radius=1.5)
    after = arrangement(
        torch.cat([faces, torch.tensor([[0.0, 0, 1]])]), torch.tensor([-1.0] * 8 + [0.0]), radius=1.5
    )
    inside = [c for c in members_of(before, 3) if before.points[sorted(c)].abs().sum(1).max() < 1.001]
    halves = [c for c in members_of(after, 3) if after.points[sorted(c)].abs().sum(1).max() < 1.001]
    assert [len(c) for c in inside] == [6]
    assert [len(c) for c in halves] == [5, 5]
    assert euler(after.f_vector) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(0, 6), st.integers(0, 10**6))
def test_equals_cells_cut_one_by_one(dim, count, seed):
    normals, offsets = draw(dim, count, seed)
    slow = SlowComplex([-1.0] * dim, [1.0] * dim)
    for row, (normal, offset) in enumerate(zip(normals.tolist(), (offsets / 2).tolist(), strict=True)):
        slow.cut(row, lambda x, n=normal, b=offset: sum(a * c for a, c in zip(n, x, strict=True)) + b)
    lattice = arrangement(normals, offsets / 2)
    assert lattice.num_cells == len(slow.cells)
    assert cells_as_points(lattice, 7) == slow.as_points(7)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(1, 7), st.integers(0, 10**6))
def test_integer_arrangements_are_complexes(dim, count, seed):
    """Small integers make every degeneracy: the faces still close up, and cells have distinct sign vectors."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randint(-1, 2, (count, dim), generator=generator).double()
    offsets = torch.randint(-1, 2, (count,), generator=generator).double() / 2
    lattice = arrangement(normals, offsets)
    assert euler(lattice.f_vector) == 1
    centers = torch.stack([lattice.points[sorted(c)].mean(0) for c in members_of(lattice, dim)])
    signs = torch.sign((centers @ normals.T + offsets).round(decimals=9))
    real = (normals != 0).any(1)
    assert (signs[:, real] != 0).all()
    assert len(signs.unique(dim=0)) == lattice.num_cells
    axes = [torch.linspace(-0.97, 0.97, 12, dtype=torch.float64)] * dim
    sample = torch.cartesian_prod(*axes)
    seen = torch.sign((sample @ normals.T + offsets).round(decimals=9))
    seen = seen[(seen[:, real] != 0).all(1)].unique(dim=0)
    assert {tuple(row) for row in seen.tolist()} <= {tuple(row) for row in signs.tolist()}


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_incidences_are_geometry(dim):
    """A face's sides are subsets of it; facets on a wall lie there; every inner facet has two cells."""
    normals, offsets = draw(dim, 6, 11)
    lattice = arrangement(
        torch.cat([normals, roots(dim, "A")]), torch.cat([offsets / 3, torch.zeros(comb(dim, 2))])
    )
    for k, rows in enumerate(lattice.rows, start=2):
        upper, lower = members_of(lattice, k), members_of(lattice, k - 1)
        assert all(lower[side] < upper[face] for face, side in rows.tolist())
        assert len(set(map(tuple, rows.tolist()))) == len(rows)
        assert len({frozenset(members) for members in upper}) == len(upper)
    cells = torch.bincount(lattice.rows[-1][:, 1], minlength=lattice.f_vector[-2])
    assert torch.equal(cells, torch.where(lattice.wall < 0, 2, 1))
    for members, wall in zip(members_of(lattice, dim - 1), lattice.wall.tolist(), strict=True):
        spots = lattice.points[sorted(members)]
        on_box = [2 * a + e for a in range(dim) for e in (0, 1) if bool((spots[:, a] == 2 * e - 1).all())]
        assert on_box == ([] if wall < 0 else [wall])


@pytest.mark.parametrize("seed", range(5))
def test_sides_in_the_plane_and_incidence_law_in_space(seed):
    normals, offsets = draw(2, 12, seed)
    plane = arrangement(normals, offsets / 2)
    assert len(plane.rows[0]) == 4 * plane.num_cells
    normals, offsets = draw(3, 8, seed)
    space = arrangement(normals, offsets / 2)
    walls = (space.points.abs() == 1).sum(1)
    assert torch.equal(torch.bincount(space.edges.flatten()), 6 - walls)
    around = torch.zeros(len(space.points), dtype=torch.long)
    for members in members_of(space, 3):
        around[sorted(members)] += 1
    assert torch.equal(around, 2 ** (3 - walls))


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_sub_is_the_closure_of_its_cells(dim):
    normals, offsets = draw(dim, 6, 5)
    lattice = arrangement(normals, offsets / 2)
    chosen = torch.arange(0, lattice.num_cells, 2)
    part = lattice.sub(chosen)
    members = members_of(lattice, dim)
    want = {frozenset(map(tuple, lattice.points[sorted(members[c])].tolist())) for c in chosen.tolist()}
    have = {frozenset(map(tuple, part.points[sorted(c)].tolist())) for c in members_of(part, dim)}
    assert have == want
    assert part.num_cells == len(chosen)
    whole = lattice.sub(torch.arange(lattice.num_cells))
    assert whole.f_vector == lattice.f_vector
    assert torch.equal(whole.points, lattice.points)


def cutter_for(lattice: Lattice, values: torch.Tensor, arrays=None):
    """A lattice ready to be cut by some functionals."""
    cutter = to_cutter(lattice, arrays)
    array = cutter.arrays.array(values.T.contiguous())
    return cutter, Functionals(cutter.arrays, array, list(range(1, len(array) + 1)))


def halved_and_joined(lattice: Lattice, values: torch.Tensor, depth: int, arrays=None) -> Lattice:
    """Cut by some functionals, halve a few times, cut the parts by the others, and join."""
    leaves = []

    def go(cutter, waiting, path):
        if len(path) == depth or cutter.num_cells < 2:
            cutter.cut(waiting, tolerance=1e-12)
            none = torch.zeros((cutter.num_cells, 0), dtype=torch.uint8)
            leaves.append(splitting.Leaf.of(cutter, cutter.arrays.tensor(cutter.points.view.T), none))
            return
        for side, half in enumerate(splitting.halve(cutter, path)):
            go(half.cutter, waiting.at(half.points), f"{path}{side}")

    go(*cutter_for(lattice, values, arrays), "")
    whole = splitting.join(leaves)
    assert torch.allclose(whole.outputs, whole.lattice.points, atol=1e-12)
    return whole.lattice


@pytest.mark.parametrize("dim", [2, 3, 4])
@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize("arrays", [Host(), Device(torch.device("cpu"))], ids=["numpy", "torch"])
def test_parts_cut_apart_join_to_the_whole(dim, degenerate, arrays):
    normals, offsets = draw(dim, 9, 8)
    offsets = offsets / 2
    if degenerate:
        normals = torch.cat([normals[:3], roots(dim, "B"), normals[:3]])
        offsets = torch.cat([offsets[:3], torch.zeros(len(normals) - 6), offsets[:3]])
    first = arrangement(normals[:4], offsets[:4])
    values = first.points @ normals[4:].T + offsets[4:]
    want = first.cut(values)
    for depth in (1, 3):
        have = halved_and_joined(first, values, depth, arrays)
        assert have.f_vector == want.f_vector
        assert cells_as_points(have) == cells_as_points(want)
        assert sorted(have.wall.tolist()) == sorted(want.wall.tolist())


def test_conversion_keeps_the_lattice():
    normals, offsets = draw(3, 7, 2)
    lattice = arrangement(normals, offsets / 2)
    again = from_cutter(to_cutter(lattice))
    assert torch.equal(again.points, lattice.points)
    assert torch.equal(again.edges, lattice.edges)
    for one, two in zip(again.rows, lattice.rows, strict=True):
        assert set(map(tuple, one.tolist())) == set(map(tuple, two.tolist()))


def test_points_within_tolerance_are_on_the_hyperplane():
    """A line that misses a corner by rounding splits no sliver off; one that misses it clearly does."""
    box = Lattice.box([0.0, 0.0], [1.0, 1.0])
    diagonal = box.points[:, :1] - box.points[:, 1:]
    assert box.cut(diagonal + 1e-14).f_vector == (4, 5, 2)
    assert box.cut(diagonal + 1e-9).f_vector == (6, 7, 2)


def test_values_of_no_hyperplane_are_named():
    """Alternating signs around a square cannot be affine."""
    box = Lattice.box([0.0, 0.0], [1.0, 1.0])
    values = ((box.points.sum(1) % 2) - 0.5)[:, None]
    with pytest.raises(Inconsistent, match="smaller box"):
        box.cut(values)
