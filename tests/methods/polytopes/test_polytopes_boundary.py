"""Decision boundaries: tied logits on the faces, the two classes beside them, and nothing left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from polytopes_cells import arrangement, complex_of, network
from torch import nn

CASES = [(2, 9, 6, 1), (2, 9, 6, 2), (2, 9, 6, 5), (3, 7, 4, 1), (3, 7, 5, 4), (4, 6, 4, 3)]


def classifier(widths, seed=0):
    """A network whose logits are shifted to be balanced, so that all classes occur."""
    model = network(widths, seed=seed)
    points = (
        2 * torch.rand(500, widths[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    )
    model[-1].bias.sub_(model(points).mean(0))
    return model


MODELS = [pytest.param(classifier(widths), id="-".join(map(str, widths))) for widths in CASES]


def logits(model, x):
    y = model(x)
    return torch.cat([torch.zeros_like(y), y], 1) if y.shape[1] == 1 else y


def normal_of(corners):
    """Unit normal of the hyperplane through the corners of a face."""
    return torch.linalg.svd(corners - corners.mean(0)).Vh[-1]


@pytest.mark.parametrize("model", MODELS)
def test_faces_tie_and_classes_differ_on_both_sides(model):
    cells = complex_of(model)
    boundary = cells.decision_boundary()
    assert len(boundary) >= 5
    slack, checked = 1e-7, 0
    for corners, pair, cell in zip(boundary.polygons(), boundary.pairs.tolist(), boundary.cells, strict=True):
        values = logits(model, corners)
        top = values.max(1).values
        assert float((values[:, pair] - top[:, None]).abs().max()) < 1e-12
        assert pair[0] < pair[1]
        assert int(cells.locate(corners.mean(0)[None], model)) == int(cell)
        if float((corners - corners.mean(0)).norm(dim=1).min()) < 1e-4:
            continue
        middle, step = corners.mean(0), slack * normal_of(corners)
        beside = logits(model, torch.stack([middle - step, middle + step])).argmax(1).tolist()
        assert sorted(beside) == pair
        checked += 1
    assert checked >= 5
    assert len(boundary.flat) == 0


def crossings(polygons, start, stop):
    """How many of the faces a segment passes through."""
    count, way = 0, stop - start
    for corners in polygons:
        normal, middle = normal_of(corners), corners.mean(0)
        there = float(normal @ (middle - start)) / float(normal @ way)
        if not 0 <= there < 1:
            continue
        hit = start + there * way
        if len(corners) == 2:
            edge = corners[1] - corners[0]
            count += 0 <= float((hit - corners[0]) @ edge) <= float(edge @ edge)
            continue
        sides = corners.roll(-1, 0) - corners
        turns = torch.linalg.cross(sides, hit - corners) @ normal
        count += bool((turns >= 0).all() or (turns <= 0).all())
    return count


@pytest.mark.parametrize("model", MODELS[:5])
def test_every_change_of_class_along_a_line_is_a_face(model):
    boundary = complex_of(model).decision_boundary()
    polygons = boundary.polygons()
    rng = np.random.default_rng(3)
    dim, seen = model[0].in_features, 0
    for _ in range(25):
        start, stop = torch.from_numpy(rng.uniform(-1, 1, (2, dim)))
        ways = torch.linspace(0, 1, 8001, dtype=torch.float64)[:, None]
        classes = logits(model, start + ways * (stop - start)).argmax(1)
        changes = int((classes.diff() != 0).sum())
        assert crossings(polygons, start, stop) == changes
        seen += changes
    assert seen > 10


@pytest.mark.parametrize("model", [MODELS[3].values[0], MODELS[4].values[0]])
def test_polygons_in_space_are_walked_around(model):
    for corners in complex_of(model).decision_boundary().polygons():
        if len(corners) > 3 and float((corners - corners.mean(0)).norm(dim=1).min()) > 1e-3:
            sides = corners.roll(-1, 0) - corners
            turns = torch.linalg.cross(sides, sides.roll(-1, 0)) @ normal_of(corners)
            assert bool((turns > 0).all() or (turns < 0).all())


def test_faces_of_a_pair_inside_a_cell_are_whole():
    """Per cell and pair of classes one face, however many other logits cross below it."""
    model = classifier((2, 3, 8), seed=3)
    boundary = complex_of(model).decision_boundary()
    found = [
        (*pair, cell) for pair, cell in zip(boundary.pairs.tolist(), boundary.cells.tolist(), strict=True)
    ]
    assert len(found) == len(set(found)) > 8


def test_one_logit_is_two_with_a_zero():
    one = classifier((3, 7, 4, 1))
    two = nn.Sequential(*one[:-1], nn.Linear(4, 2, dtype=torch.float64).requires_grad_(False))
    two[-1].weight.copy_(torch.cat([torch.zeros(1, 4), one[-1].weight]))
    two[-1].bias.copy_(torch.cat([torch.zeros(1), one[-1].bias]))
    first, second = (complex_of(model).decision_boundary() for model in (one, two))
    torch.testing.assert_close(first.points, second.points, atol=1e-12, rtol=0)
    assert [sorted(face.tolist()) for face in first.faces] == [sorted(face.tolist()) for face in second.faces]
    assert torch.equal(first.pairs, second.pairs)


def found(head, normals=((1.0, 0.0),), offsets=None):
    """Boundary of a hidden layer with the given units and output weights; (pair, length) of each face."""
    cells = complex_of(arrangement(normals, offsets, head=head))
    boundary = cells.decision_boundary()
    lengths = [float((ends[1] - ends[0]).norm()) for ends in boundary.polygons()]
    return [(tuple(pair), round(size, 9)) for pair, size in zip(boundary.pairs.tolist(), lengths)], boundary


X = ((1.0, 0.0), (-1.0, 0.0))
"""relu(x), relu(-x): heads below are written in these."""


@pytest.mark.parametrize(
    ("head", "faces", "flat"),
    [
        pytest.param([[1, -1]], [((0, 1), 2.0)], 0, id="x: the tie is a facet"),
        pytest.param([[-1, 1]], [((0, 1), 2.0)], 0, id="-x"),
        pytest.param([[1, 1]], [], 0, id="|x| touches from above"),
        pytest.param([[-1, -1]], [], 0, id="-|x| touches from below"),
        pytest.param([[1, 0]], [((0, 1), 2.0)], 1, id="relu(x): zero in a cell, positive in the other"),
        pytest.param([[-1, 0]], [], 1, id="-relu(x): zero in a cell, negative in the other"),
        pytest.param([[0, 0]], [], 2, id="zero everywhere"),
        pytest.param([[0, 0], [1, -1], [2, -2]], [((0, 2), 2.0)], 0, id="three logits tie on one line"),
        pytest.param([[1, -1], [1, -1], [-1, 1]], [((0, 2), 2.0)], 1, id="a logit twice"),
        pytest.param([[-1, 1], [1, -1], [1, -1]], [((0, 1), 2.0)], 1, id="a logit twice, last"),
        pytest.param([[0, 0], [0, 0], [0, 0]], [], 2, id="three equal logits"),
        pytest.param([[1, 1], [0, 0]], [], 0, id="|x| over 0"),
        pytest.param([[0, 0], [1, 0], [0, 1]], [((1, 2), 2.0)], 0, id="the third only touches"),
    ],
)
def test_degenerate_ties(head, faces, flat):
    got, boundary = found(head, X)
    assert got == faces
    if flat is not None:
        assert len(boundary.flat) == flat


def test_a_tie_through_vertices_of_the_complex():
    """The diagonal passes the point where the axes cross: two segments that share it, no third sliver."""
    got, boundary = found([[1, -1, -1, 1]], ((1.0, 0), (-1, 0), (0, 1), (0, -1)))
    assert got == [((0, 1), round(2**0.5, 9))] * 2
    assert len(boundary.points.unique(dim=0)) == 3


def test_no_boundary_where_one_class_is_predicted():
    model = network((3, 6, 4, 2), seed=0)
    model[-1].bias.copy_(torch.tensor([50.0, 0.0]))
    boundary = complex_of(model).decision_boundary()
    assert len(boundary) == len(boundary.flat) == len(boundary.polygons()) == 0
    assert boundary.pairs.shape == (0, 2)
    assert boundary.points.shape == (0, 3)


def test_cube_corner_cut_by_three_classes_in_space():
    """Logits x, y, z: the classes meet in three half-planes around the diagonal of the box."""
    units = [*np.eye(3).tolist(), *(-np.eye(3)).tolist()]
    head = np.concatenate([np.eye(3), -np.eye(3)], 1).tolist()
    cells = complex_of(arrangement(units, head=head))
    boundary = cells.decision_boundary()
    area = 0.0
    for corners in boundary.polygons():
        arms = corners - corners[0]
        area += float(torch.linalg.cross(arms[:-1], arms[1:]).sum(0).norm()) / 2
    # Each half-plane {x = y >= z} in [-1, 1]^3: width sqrt(2) per unit of x, height x + 1, x from -1 to 1.
    assert area == pytest.approx(3 * 2 * 2**0.5)
    assert {tuple(pair) for pair in boundary.pairs.tolist()} == {(0, 1), (0, 2), (1, 2)}
