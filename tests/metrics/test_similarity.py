"""Similarities against scipy's distances in float64, and where they could be NaN."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.spatial.distance as scipy_distance
import torch

from visus.errors import InputError
from visus.metrics.similarity import KINDS, centered, condensed, distances, normalized, similarity


def rows(n: int, e: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(n, e, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("kind", ["cosine", "euclidean", "correlation"])
@pytest.mark.parametrize(("n", "m", "e"), [(7, 4, 5), (1, 9, 3), (40, 40, 60)])
def test_distances_are_scipys(kind, n, m, e):
    x, y = rows(n, e) + 3, rows(m, e, 1) * 2
    expected = scipy_distance.cdist(x.numpy(), y.numpy(), kind)
    assert distances(x, y, kind=kind).numpy() == pytest.approx(expected, abs=1e-12)
    sign = -expected if kind == "euclidean" else 1 - expected
    assert similarity(x, y, kind=kind).numpy() == pytest.approx(sign, abs=1e-12)
    own = distances(x, kind=kind)
    assert own.numpy() == pytest.approx(scipy_distance.cdist(x.numpy(), x.numpy(), kind), abs=1e-7)
    assert own.diagonal().tolist() == [0.0] * n
    assert condensed(own).numpy() == pytest.approx(scipy_distance.pdist(x.numpy(), kind), abs=1e-12)


def test_dot_products_are_numpys():
    x, y = rows(6, 5), rows(3, 5, 1)
    assert similarity(x, y, kind="dot").numpy() == pytest.approx(x.numpy() @ y.numpy().T, abs=1e-12)
    assert torch.equal(distances(x, y, kind="dot"), -similarity(x, y, kind="dot"))
    assert torch.equal(distances(x, kind="dot").diagonal(), -similarity(x, kind="dot").diagonal())


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_nearly_float64_also_far_from_the_origin(kind):
    x = rows(50, 30) + (100 if kind == "euclidean" else 0)
    precise, short = similarity(x, kind=kind), similarity(x.float(), kind=kind)
    assert short.dtype == torch.float32
    assert (short - precise).abs().max() < 3e-5


def test_neighbors_that_nearly_coincide():
    x = rows(5, 40)
    x = torch.cat([x, x + 1e-6])
    expected = scipy_distance.cdist(x.numpy(), x.numpy())
    assert distances(x, kind="euclidean").numpy() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_items_without_a_direction_are_alike_to_nothing(kind, dtype):
    x = rows(4, 6, dtype=dtype)
    x[1], x[2] = 0, 0.1  # zeros; a constant that rounding does not average exactly
    found = similarity(x, kind=kind)
    assert torch.isfinite(found).all()
    if kind in ("cosine", "dot"):
        assert found[1].tolist() == [0.0] * 4
    if kind == "correlation":
        assert found[1].tolist() == found[2].tolist() == [0.0] * 4
        assert distances(x, kind=kind)[1].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_gradients_are_finite_and_right():
    x = rows(4, 3)
    x[2] = 0
    x[3] = x[0]
    for kind in KINDS:
        leaf = x.clone().requires_grad_()
        similarity(leaf, kind=kind).sum().backward()
        assert torch.isfinite(leaf.grad).all(), kind
    y, z = rows(3, 5).requires_grad_(), rows(2, 5, 1).requires_grad_()
    for kind in KINDS:
        assert torch.autograd.gradcheck(lambda a, b, kind=kind: similarity(a, b, kind=kind), (y, z))


def test_similarities_stay_within_one():
    x = rows(3, 50, dtype=torch.float32).repeat(4, 1) * torch.tensor(3.3)
    for kind in ("cosine", "correlation"):
        assert similarity(x, kind=kind).abs().max() <= 1


def test_scale_does_not_matter_to_directions():
    x = rows(5, 4, dtype=torch.float32)
    for factor in (1e-30, 1e30):
        assert torch.allclose(normalized(x * factor), normalized(x), atol=1e-6)
    assert normalized(x).norm(dim=1).numpy() == pytest.approx(np.ones(5), abs=1e-6)
    assert normalized(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2
    assert normalized(torch.tensor([[3, 4]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_centered():
    x = rows(6, 3) + 5
    assert centered(x).numpy() == pytest.approx(x.numpy() - x.numpy().mean(0), abs=1e-12)


def test_condensed_is_scipys_order():
    square = torch.arange(50.0).reshape(2, 5, 5)
    square = square + square.transpose(1, 2)
    for each, row in zip(square, condensed(square)):
        assert row.tolist() == scipy_distance.squareform(each.numpy(), checks=False).tolist()
    assert condensed(torch.zeros(1, 1)).shape == (0,)
    with pytest.raises(InputError, match=r"square: has shape \(2, 3\)"):
        condensed(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("x", "y", "kind", "message"),
    [
        (torch.zeros(3), None, "cosine", r"x: has shape \(3,\)"),
        (torch.zeros(2, 3), torch.zeros(0, 3), "cosine", r"y: has shape \(0, 3\)"),
        (torch.zeros(2, 3), torch.zeros(2, 4), "dot", "have widths 3 and 4"),
        (torch.zeros(2, 3), None, "hamming", "kind: is 'hamming'.*cosine, dot"),
        (torch.tensor([[0.0], [torch.nan]]), None, "dot", "x: row 1 has a value that is not a finite"),
    ],
)
def test_wrong_input(x, y, kind, message):
    with pytest.raises(InputError, match=message):
        similarity(x, y, kind=kind)


def test_half_precision_and_integers_are_computed_in_float32():
    assert similarity(torch.tensor([[3, 4]], dtype=torch.float16)).dtype == torch.float32
    assert similarity(torch.tensor([[1, 0], [0, 2]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_room_keeps_the_saliency_score_of_that_name():
    import visus.metrics

    assert visus.metrics.similarity([[[1.0, 0.0]]], [[[1.0, 0.0]]]).tolist() == [1.0]


def test_a_thousand_eight_hundred_objects_are_quick():
    x = rows(1854, 768, dtype=torch.float32)
    similarity(x)
    used = []
    for _ in range(3):
        start = time.process_time()
        similarity(x)
        used.append(time.process_time() - start)
    assert min(used) < 0.5  # measured: 0.06 s of one core
