"""The loss terms against slow transcriptions, and what they do not change under."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from visus.methods.alignment.losses import contrastive_losses, pair_dots, penalty, triplet_losses
from visus.methods.alignment.model import LinearAligner
from visus.methods.alignment.training import similarities_of
from visus.metrics.odd_one_out import choices, hits, pair_similarities


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def rows(seed: int, count: int, objects: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.choice(objects, 3, replace=False) for _ in range(count)]))


def slow_triplet(z: torch.Tensor, triplet: list[int]) -> float:
    a, b, odd = (z[i].tolist() for i in triplet)
    dots = [sum(x * y for x, y in zip(*pair)) for pair in ((a, b), (a, odd), (b, odd))]
    return -math.log(math.exp(dots[0]) / sum(math.exp(dot) for dot in dots))


def slow_contrast(x: torch.Tensor, z: torch.Tensor, tau: float) -> list[float]:
    def cosine(one: list[float], other: list[float]) -> float:
        norms = [math.sqrt(sum(v * v for v in row)) for row in (one, other)]
        return sum(p * q for p, q in zip(one, other)) / (norms[0] * norms[1])

    def share(points: list[list[float]], i: int) -> dict[int, float]:
        weights = {j: math.exp(cosine(points[i], points[j]) / tau) for j in range(len(points)) if j != i}
        return {j: weight / sum(weights.values()) for j, weight in weights.items()}

    found = []
    for i in range(len(x)):
        teacher, student = share(x.tolist(), i), share(z.tolist(), i)
        found.append(-sum(teacher[j] * math.log(student[j]) for j in teacher))
    return found


def test_triplet_losses_equal_a_slow_transcription_and_cross_entropy():
    z, triplets = drawn(0, 7, 4), rows(1, 20, 7)
    fast = triplet_losses(pair_dots(z, triplets))
    slow = torch.tensor([slow_triplet(z, row) for row in triplets.tolist()], dtype=torch.float64)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    s1, s2, s3 = ((z[triplets[:, i]] * z[triplets[:, j]]).sum(1) for i, j in ((0, 1), (0, 2), (1, 2)))
    for item, value in enumerate(fast):
        one = torch.stack([s1[item], s2[item], s3[item]])
        assert abs(F.cross_entropy(one, torch.tensor(0)) - value) < 1e-6


@pytest.mark.parametrize("kind", ["fro", "fro2", "identity", "none"])
def test_penalties_equal_slow_transcriptions(kind):
    w = drawn(2, 5, 5)
    diagonal = sum(float(w[i, i]) for i in range(5)) / 5
    squares = sum(value**2 for row in w.tolist() for value in row)
    away = sum((float(w[i, j]) - (diagonal if i == j else 0.0)) ** 2 for i in range(5) for j in range(5))
    slow = {"fro": math.sqrt(squares), "fro2": squares, "identity": away, "none": 0.0}[kind]
    assert float(penalty(w, kind)) == pytest.approx(slow, rel=1e-12)


def test_identity_penalty_is_exact_near_a_multiple_of_the_identity_in_float32():
    w = 10 * torch.eye(50)
    w[0, 1] = 1e-3
    assert float(penalty(w, "identity")) == pytest.approx(1e-6, rel=1e-4)


def test_the_frobenius_norm_has_no_gradient_that_is_not_a_number_at_zero():
    w = torch.zeros(3, 3, requires_grad=True)
    penalty(w, "fro").backward()
    assert w.grad is not None
    assert torch.equal(w.grad, torch.zeros(3, 3))


@pytest.mark.parametrize("tau", [1.0, 0.1])
def test_contrastive_losses_equal_a_slow_transcription(tau):
    x, z = drawn(3, 6, 4), drawn(4, 6, 3)
    fast = contrastive_losses(x, z, temperature=tau)
    slow = torch.tensor(slow_contrast(x, z, tau), dtype=torch.float64)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)


def test_the_contrastive_loss_is_least_where_no_similarity_changed():
    x = drawn(5, 8, 4).requires_grad_()
    same = contrastive_losses(x.detach(), 3 * x, temperature=0.1)
    teacher = _teacher(x.detach(), 0.1)
    entropy = torch.tensor([-sum(p * math.log(p) for p in row) for row in teacher], dtype=torch.float64)
    torch.testing.assert_close(same.detach(), entropy)
    assert (contrastive_losses(x.detach(), drawn(6, 8, 4), temperature=0.1) > same).all()
    same.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-12


def _teacher(x: torch.Tensor, tau: float) -> list[list[float]]:
    cosines = F.normalize(x) @ F.normalize(x).T / tau
    return [
        [float(p) for p in torch.cat([row[:i], row[i + 1 :]]).softmax(0)] for i, row in enumerate(cosines)
    ]


def test_a_zero_map_costs_log_three_and_is_never_right():
    net, x, triplets = LinearAligner(6, 6), drawn(7, 9, 6).float(), rows(8, 30, 9)
    found = similarities_of(net, x, triplets)
    assert torch.equal(triplet_losses(found), torch.full((30,), math.log(3)))
    assert (triplet_losses(found.double()) == math.log(3)).all()
    assert not hits(found).any()
    assert (choices(found) == -1).all()


@pytest.mark.parametrize("count", [4, 200])
def test_rows_by_index_equal_products_with_one_hot_vectors(count):
    """Few triplets transform the rows they need, many the whole matrix; both are x W picked by one-hot vectors."""
    x, triplets = drawn(9, 40, 6), rows(10, count, 40)
    net = LinearAligner(6, 6, bias=True).double().start("gaussian", 0.7, torch.Generator().manual_seed(0))
    slow, z = [], (x @ net.weight + net.bias).detach()
    for row in triplets.tolist():
        one_hot = torch.zeros(3, 40, dtype=torch.float64)
        one_hot[range(3), row] = 1
        a, b, odd = one_hot @ z
        slow.append([float(a @ b), float(a @ odd), float(b @ odd)])
    fast = similarities_of(net, x, triplets)
    torch.testing.assert_close(fast.detach(), torch.tensor(slow, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_swapping_a_and_b_leaves_the_loss_as_it_is():
    z, triplets = drawn(11, 9, 5), rows(12, 25, 9)
    swapped = triplets[:, [1, 0, 2]]
    torch.testing.assert_close(triplet_losses(pair_dots(z, triplets)), triplet_losses(pair_dots(z, swapped)))


def test_rotating_the_output_changes_neither_loss_nor_choices_nor_similarity_structure():
    z, triplets = drawn(13, 12, 5), rows(14, 60, 12)
    turned = z @ torch.linalg.qr(drawn(15, 5, 5))[0]
    torch.testing.assert_close(
        triplet_losses(pair_dots(z, triplets)), triplet_losses(pair_dots(turned, triplets))
    )
    before, after = (pair_similarities(points, triplets, kind="cosine") for points in (z, turned))
    assert torch.equal(choices(before), choices(after))
    torch.testing.assert_close(F.normalize(z) @ F.normalize(z).T, F.normalize(turned) @ F.normalize(turned).T)
