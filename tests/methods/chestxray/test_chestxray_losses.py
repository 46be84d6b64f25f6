"""The losses against loops over pixels and triples, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from visus.errors import InputError
from visus.methods.chestxray.losses import (
    UncertaintyWeighting,
    mean_over,
    saliency_kl,
    supcon,
    triplet,
)
from visus.methods.chestxray.model import log_density

LABELS = {
    "three classes": [0, 1, 2, 0, 1, 2, 0, 0],
    "a single one": [0, 0, 1, 0, 2, 2],
    "pairs": [1, 1, 0, 0],
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def distance(a, b) -> float:
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def slow_triplets(points: list[list[float]], labels: list[int], margin: float, mining: str) -> list[float]:
    """The loss of every triplet that counts."""
    everyone, losses = range(len(labels)), []
    d = [[distance(a, b) for b in points] for a in points]
    for i in everyone:
        positives = [j for j in everyone if j != i and labels[j] == labels[i]]
        negatives = [k for k in everyone if labels[k] != labels[i]]
        if not positives or not negatives:
            continue
        if mining == "hard":
            gaps = [max(d[i][j] for j in positives) - min(d[i][k] for k in negatives)]
        elif mining == "all":
            gaps = [d[i][j] - d[i][k] for j in positives for k in negatives]
        else:
            gaps = []
            for j in positives:
                beyond = [d[i][k] for k in negatives if d[i][k] > d[i][j]]
                gaps.append(d[i][j] - (min(beyond) if beyond else max(d[i][k] for k in negatives)))
        losses += [max(0.0, gap + margin) for gap in gaps]
    return losses


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
@pytest.mark.parametrize("normalize", [False, True])
def test_triplet_loss_is_the_loop_over_triples(labels, mining, normalize):
    embedding = torch.randn(len(labels), 3, dtype=torch.float64)
    points = F.normalize(embedding, dim=1) if normalize else embedding
    for margin in (0.2, 1.0):
        slow = slow_triplets(points.tolist(), labels, margin, mining)
        options = {"margin": margin, "mining": mining, "normalize": normalize}
        total = triplet(embedding, torch.tensor(labels), reduce="sum", **options)
        assert total.item() == pytest.approx(sum(slow), abs=1e-10)
        average = triplet(embedding, torch.tensor(labels), **options)
        assert average.item() == pytest.approx(sum(slow) / len(slow), abs=1e-10)


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
def test_gradient_of_the_triplet_loss_is_its_slope(mining):
    embedding = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    assert torch.autograd.gradcheck(lambda points: triplet(points, labels, mining=mining), (embedding,))


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 1, 2], [0], []], ids=["one class", "no pair", "1", "0"])
def test_batches_without_a_triplet_cost_nothing(mining, labels):
    embedding = torch.randn(len(labels), 4, requires_grad=True)
    for reduce in ("mean", "sum"):
        loss = triplet(embedding, torch.tensor(labels, dtype=torch.long), mining=mining, reduce=reduce)
        assert loss.item() == 0
        (gradient,) = torch.autograd.grad(loss, embedding)
        assert torch.equal(gradient, torch.zeros_like(embedding))


@pytest.mark.parametrize("mining", ["all", "hard", "semi_hard"])
@pytest.mark.parametrize("normalize", [False, True])
def test_equal_embeddings_have_a_finite_gradient(mining, normalize):
    embedding = torch.zeros(6, 4, requires_grad=True)
    loss = triplet(embedding, torch.arange(6) % 2, mining=mining, normalize=normalize)
    loss.backward()
    assert loss.item() == 1
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["all", "hard", "semi_hard", "supcon"])
def test_fifty_steps_pull_classes_together(kind):
    embedding = torch.randn(12, 5, requires_grad=True)
    labels = torch.arange(12) % 3
    optimizer = torch.optim.Adam([embedding], lr=0.05)

    def ratio() -> float:
        d, same = torch.cdist(embedding, embedding), labels[:, None] == labels
        return ((d[same].sum() / (same.sum() - 12)) / d[~same].mean()).item()

    before = ratio()
    for _ in range(50):
        optimizer.zero_grad()
        loss = supcon(embedding, labels) if kind == "supcon" else triplet(embedding, labels, mining=kind)
        loss.backward()
        optimizer.step()
    assert ratio() < before / 2


@pytest.mark.parametrize(
    "options", [{"mining": "soft"}, {"reduce": "none"}], ids=lambda options: next(iter(options))
)
def test_unknown_choices_are_named(options):
    with pytest.raises(InputError, match=f"{next(iter(options))}: is '(soft|none)'.*give one of"):
        triplet(torch.zeros(3, 2), torch.tensor([0, 0, 1]), **options)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_supcon_is_its_formula(labels):
    embedding = torch.randn(len(labels), 3, dtype=torch.float64)
    z = [[x / distance(row, [0] * 3) for x in row] for row in embedding.tolist()]
    losses = []
    for i in range(len(labels)):
        score = [math.exp(sum(a * b for a, b in zip(z[i], other)) / 0.3) for other in z]
        below = sum(value for a, value in enumerate(score) if a != i)
        own = [math.log(score[p] / below) for p in range(len(labels)) if p != i and labels[p] == labels[i]]
        if own:
            losses.append(-sum(own) / len(own))
    loss = supcon(embedding, torch.tensor(labels), temperature=0.3)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), abs=1e-10)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0], []], ids=["no pair", "1", "0"])
def test_supcon_without_positives_costs_nothing(labels):
    embedding = torch.randn(len(labels), 4, requires_grad=True)
    loss = supcon(embedding, torch.tensor(labels, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros_like(embedding))


def test_supcon_needs_a_temperature():
    with pytest.raises(InputError, match="temperature: is 0"):
        supcon(torch.zeros(2, 2), torch.tensor([0, 0]), temperature=0)


def maps(count: int = 3, height: int = 4, width: int = 5):
    log_q = log_density(torch.randn(count, height, width, dtype=torch.float64))
    gaze = torch.rand(count, height, width, dtype=torch.float64)
    gaze[:, 0] = 0  # no gaze at all on the first row
    return log_q, gaze


def test_saliency_loss_is_its_formula():
    log_q, gaze = maps()
    loss = saliency_kl(log_q, gaze, torch.tensor([True, True, True]))
    for item in range(3):
        total, slow = gaze[item].sum().item(), 0.0
        for g, q in zip(gaze[item].flatten().tolist(), log_q[item].flatten().tolist()):
            if g > 0:
                slow += g / total * (math.log(g / total) - q)
        assert loss[item].item() == pytest.approx(slow, abs=1e-12)
    p = gaze / gaze.sum((1, 2), keepdim=True)
    assert loss.mean().item() == pytest.approx(F.kl_div(log_q, p, reduction="batchmean").item())


def test_the_scale_of_gaze_maps_does_not_matter():
    log_q, gaze = maps()
    here = torch.ones(3, dtype=torch.bool)
    assert torch.allclose(saliency_kl(log_q, gaze, here), saliency_kl(log_q, 7 * gaze, here), atol=1e-14)


def test_a_density_from_itself_is_at_zero_and_from_others_above():
    _, gaze = maps()
    p = gaze + 1e-3
    p = p / p.sum((1, 2), keepdim=True)
    here = torch.ones(3, dtype=torch.bool)
    assert saliency_kl(p.log(), p, here).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert (saliency_kl(p.log(), p.roll(1, 0), here) > 0).all()


@pytest.mark.parametrize("missing", [0.0, 1.0, math.nan, math.inf])
def test_missing_gaze_counts_exactly_nothing(missing):
    log_q, gaze = maps()
    log_q.requires_grad_()
    gaze[1] = missing
    loss = saliency_kl(log_q, gaze, torch.tensor([True, False, True]))
    loss.sum().backward()
    assert loss[1].item() == 0
    assert torch.equal(log_q.grad[1], torch.zeros(4, 5, dtype=torch.float64))
    assert (log_q.grad[[0, 2]].abs().sum((1, 2)) > 0).all()
    known = saliency_kl(log_q[[0, 2]], gaze[[0, 2]], torch.tensor([True, True]))
    assert torch.equal(loss[[0, 2]], known)
    average = mean_over(loss, torch.tensor([True, False, True]))
    assert average.item() == pytest.approx(known.mean().item(), abs=1e-14)


def test_a_broken_prediction_without_gaze_stays_out_of_the_gradient():
    log_q, gaze = maps()
    log_q[1] = math.nan
    log_q.requires_grad_()
    loss = saliency_kl(log_q, gaze, torch.tensor([True, False, True]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert log_q.grad.isfinite().all()


def test_empty_gaze_maps_count_as_missing():
    log_q, gaze = maps()
    gaze[2] = 0
    assert saliency_kl(log_q, gaze, torch.ones(3, dtype=torch.bool))[2].item() == 0


def test_batches_without_any_gaze_cost_nothing():
    log_q, gaze = maps()
    log_q.requires_grad_()
    none = torch.zeros(3, dtype=torch.bool)
    loss = mean_over(saliency_kl(log_q, gaze, none), none)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(log_q.grad, torch.zeros_like(log_q))


def test_half_precision_is_computed_in_float32():
    log_q, gaze = maps()
    here = torch.ones(3, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert saliency_kl(log_q.bfloat16(), gaze.bfloat16(), here).dtype == torch.float32
        points = torch.randn(4, 6)
        labels = torch.tensor([0, 0, 1, 1])
        for loss in (triplet, supcon):
            inside = loss(points, labels)
            assert inside.dtype == torch.float32
            with torch.autocast("cpu", enabled=False):
                assert torch.equal(inside, loss(points, labels))
            assert loss(points.bfloat16(), labels).dtype == torch.float32


def test_uncertainty_weighting_is_its_formula():
    weighting = UncertaintyWeighting(learn_saliency=True).double()
    ce, kl = torch.tensor(1.3, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    start = 1.3 + math.log(2) + 0.7 / 2 + math.log(2)
    assert weighting(ce, kl).item() == pytest.approx(start, abs=1e-12)
    with torch.no_grad():
        weighting.log_sigma_class.fill_(0.4)
        weighting.log_sigma_saliency.fill_(-0.3)
    s_c, s_i = math.exp(0.4), math.exp(-0.3)
    slow = 1.3 / s_c**2 + math.log(s_c + 1) + 0.7 / (2 * s_i**2) + math.log(s_i + 1)
    assert weighting(ce, kl).item() == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("learn_saliency", [False, True])
def test_what_is_learned_of_the_weights(learn_saliency):
    weighting = UncertaintyWeighting(learn_saliency=learn_saliency)
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        weighting(torch.tensor(3.0), torch.tensor(2.0)).backward()
        optimizer.step()
    # a loss this large is worth trusting less
    assert weighting.log_sigma_class.item() > 0.03
    moved = weighting.log_sigma_saliency.item()
    assert moved > 0.03 if learn_saliency else moved == 0
    assert set(weighting.state_dict()) == {"log_sigma_class", "log_sigma_saliency"}
