"""Slices: isometric, through their points, exact for affine maps; degenerate ones refused."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from visus.errors import InputError
from visus.methods.polytopes.model.slices import Slice


def points(k, *shape, seed=0):
    return torch.randn(k, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(k=st.integers(3, 4), shape=st.sampled_from([(3,), (7,), (2, 3, 4)]), seed=st.integers(0, 10**6))
def test_a_slice_is_an_isometry_through_its_points(k, shape, seed):
    given_points = points(k, *shape, seed=seed)
    made = Slice(given_points)
    assert made.dimension == k - 1
    assert torch.allclose(made.basis @ made.basis.T, torch.eye(k - 1, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(made(made.points), given_points, atol=1e-9)
    assert torch.allclose(made.coordinates(given_points), made.points, atol=1e-9)
    assert (made.distances(given_points) < 1e-9).all()
    t = torch.randn(5, k - 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inputs = made(t).reshape(5, -1)
    assert torch.allclose(torch.cdist(inputs, inputs), torch.cdist(t, t), atol=1e-9)
    assert torch.allclose(made.coordinates(made(t)), t, atol=1e-9)
    low, high = (torch.tensor(end, dtype=torch.float64) for end in made.box)
    assert ((made.points >= low) & (made.points <= high)).all()


def test_orientation_margin_and_default_box():
    made = Slice(points(4, 9), margin=0.25)
    assert made.points[0].tolist() == [0, 0, 0]
    assert made.points[1, 0] > 0
    assert made.points[1, 1:].abs().max() < 1e-12
    assert made.points[2, 1] > 0
    assert made.points[3, 2] > 0
    extent = made.points.amax(0) - made.points.amin(0)
    assert np.allclose(np.subtract(made.box[1], made.box[0]), 1.5 * extent.numpy())
    assert Slice(points(3, 9), margin=0).box[0][1] == 0.0


def test_a_projection_is_the_nearest_point():
    made = Slice(points(3, 6))
    other = points(4, 6, seed=5)
    best = made.coordinates(other)
    for i in range(4):
        for step in (0.01, -0.01):
            for axis in range(2):
                moved = best[i : i + 1].clone()
                moved[0, axis] += step
                assert (made(moved)[0] - other[i]).norm() > made.distances(other)[i]


def test_it_goes_before_any_network_in_any_precision():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    made = Slice(points(3, 1, 4, 4).float())
    whole = nn.Sequential(made, network)
    found = whole(made.points.float())
    assert found.shape == (3, 2)
    assert torch.allclose(found, network(points(3, 1, 4, 4).float()), atol=1e-5)
    assert copy.deepcopy(whole).double()(made.points).dtype == torch.float64
    assert made.origin.dtype == torch.float64
    assert not list(made.parameters())


def test_from_directions():
    origin, along = points(1, 2, 3)[0], points(2, 2, 3, seed=2)
    made = Slice.from_directions(origin, along, box=(-2, [1.0, 3.0]))
    assert made.box == ((-2.0, -2.0), (1.0, 3.0))
    assert torch.allclose(made(torch.zeros(1, 2))[0].double(), origin, atol=1e-6)
    step = made(torch.tensor([[1.0, 0.0]], dtype=torch.float64))[0] - origin
    assert torch.allclose(step, along[0] / along[0].norm(), atol=1e-12)
    assert made.shape == (2, 3)
    three = Slice.from_directions(points(1, 5)[0], points(3, 5, seed=3))
    assert three.dimension == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Slice(points(2, 4)), "2 points.*3 points for a plane or 4"),
        (lambda: Slice(points(5, 4)), "5 points"),
        (lambda: Slice(torch.stack([torch.zeros(4), torch.ones(4), 3 * torch.ones(4)])), "lie on a line"),
        (lambda: Slice(torch.zeros(3, 4)), "are equal"),
        (lambda: Slice(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])), "lie in a plane"),
        (lambda: Slice(points(3, 4) * math.nan), "not finite"),
        (lambda: Slice(torch.zeros(3)), "shape"),
        (lambda: Slice(points(3, 4), margin=-1.0), "margin"),
        (lambda: Slice.from_directions(points(1, 4)[0], points(1, 4)), "2 or 3 directions"),
        (lambda: Slice.from_directions(points(1, 4)[0], points(2, 5)), "other shapes"),
        (lambda: Slice.from_directions(points(1, 4)[0], torch.ones(2, 4)), "not independent"),
        (lambda: Slice.from_directions(points(1, 4)[0], points(2, 4), box=(1, -1)), "low below high"),
    ],
)
def test_what_spans_no_slice_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
