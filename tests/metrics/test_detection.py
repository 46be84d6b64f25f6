"""Detection scores against loops over detections, and properties that must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visus.errors import InputError
from visus.metrics import (
    Boxes,
    area_under_precision,
    box_average_precision,
    box_iou,
    property_average_precision,
)


def slow_area(hits: list[bool], total: int) -> float:
    """Area under the curve from its points, precision made monotone from the right."""
    recall, precision, right = [0.0], [0.0], 0
    for n, hit in enumerate(hits, 1):
        right += hit
        recall.append(right / total)
        precision.append(right / n)
    recall, precision = [*recall, 1.0], [*precision, 0.0]
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    return sum((b - a) * p for a, b, p in zip(recall[:-1], recall[1:], precision[1:], strict=True))


def boxes(rng: np.random.Generator, n: int) -> torch.Tensor:
    low = rng.random((n, 2)) * 0.7
    return torch.tensor(np.concatenate([low, low + 0.05 + 0.25 * rng.random((n, 2))], axis=1))


@pytest.mark.parametrize("seed", range(3))
def test_box_iou_equals_counted_cells(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 12, size=(9, 2))
    corners = torch.tensor(np.concatenate([low, low + rng.integers(0, 9, size=(9, 2))], axis=1)).double()
    cells = [
        {(y, x) for y in range(int(b[0]), int(b[2])) for x in range(int(b[1]), int(b[3]))} for b in corners
    ]
    expected = [[len(a & b) / max(1, len(a | b)) for b in cells[4:]] for a in cells[:4]]
    torch.testing.assert_close(box_iou(corners[:4], corners[4:]), torch.tensor(expected).double())
    assert box_iou(corners.view(3, 3, 4), corners.view(3, 3, 4)).shape == (3, 3, 3)
    assert box_iou(corners[:0], corners).shape == (0, 9)


@pytest.mark.parametrize("seed", range(6))
def test_area_under_precision(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random(20) < 0.4
    total = int(hits.sum()) + seed
    assert area_under_precision(torch.tensor(hits), total) == pytest.approx(slow_area(hits.tolist(), total))


def test_area_without_detections_or_objects():
    none = torch.zeros(0, dtype=torch.bool)
    assert area_under_precision(none, 3) == 0.0
    assert math.isnan(area_under_precision(none, 0))


@pytest.mark.parametrize("seed", range(5))
def test_box_precision_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(12):
        n = int(rng.integers(0, 5))
        real = boxes(rng, n)
        noisy = real[rng.integers(0, max(n, 1), size=2 * n)] if n else real
        noisy = torch.cat([noisy + torch.tensor(rng.normal(size=noisy.shape)) * 0.02, boxes(rng, 2)])
        truth.append(Boxes(real, torch.tensor(rng.integers(0, 3, size=n))))
        labels, scores = rng.integers(0, 3, size=len(noisy)), rng.random(len(noisy))
        found.append(Boxes(noisy, torch.tensor(labels), torch.tensor(scores)))
    ours = box_average_precision(truth, found)
    expected = {}
    for label in sorted(ours.per_class):
        rows = [(s, i, j) for i, f in enumerate(found) for j, s in enumerate(f.scores.tolist())]
        rows = [row for row in sorted(rows, reverse=True) if found[row[1]].labels[row[2]] == label]
        taken, hits = set(), []
        for _, i, j in rows:
            mine = [o for o, mark in enumerate(truth[i].labels.tolist()) if mark == label]
            shares = [box_iou(found[i].corners[j : j + 1], truth[i].corners[o : o + 1]).item() for o in mine]
            best = mine[int(np.argmax(shares))] if mine else None
            hits.append(bool(mine) and max(shares) >= 0.5 and (i, best) not in taken)
            taken |= {(i, best)} if hits[-1] else set()
        total = sum((picture.labels == label).sum().item() for picture in truth)
        expected[label] = slow_area(hits, total)
    assert ours.per_class == pytest.approx(expected)
    assert ours.mean == pytest.approx(np.mean(list(expected.values())))
    assert 0 < ours.mean < 1


def test_box_precision_of_perfect_double_and_missing_boxes():
    corners = torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]])
    labels = torch.tensor([0, 0])
    truth = [Boxes(corners, labels), Boxes(corners[:0], labels[:0])]
    perfect = Boxes(corners, labels, torch.tensor([0.5, 0.9]))
    nothing = Boxes(corners[:0], labels[:0], torch.zeros(0))
    assert box_average_precision(truth, [perfect, nothing]).mean == 1.0
    assert box_average_precision(truth, [nothing, nothing]).mean == 0.0
    double = Boxes(corners[[0, 0, 1]], labels[[0, 0, 0]], torch.tensor([0.9, 0.8, 0.7]))
    assert box_average_precision(truth, [double, nothing]).mean == pytest.approx((1 + 2 / 3) / 2)
    stray = Boxes(corners[:1], labels[:1], torch.tensor([1.0]))
    assert box_average_precision(truth, [perfect, stray]).mean == pytest.approx(2 / 3)
    assert math.isnan(box_average_precision(truth[1:], [nothing]).mean)
    with pytest.raises(InputError, match="confidence"):
        box_average_precision(truth, truth)
    with pytest.raises(InputError, match="pictures"):
        box_average_precision(truth, [perfect])


def scenes(seed: int, b: int = 30, k: int = 6, m: int = 5, noise: float = 0.3):
    """Objects, and predictions that are noisy copies of them in a random order."""
    rng = np.random.default_rng(seed)
    truth = {"shape": rng.integers(0, 2, (b, m)), "color": rng.integers(0, 2, (b, m))}
    places = rng.uniform(-3, 3, (b, m, 3))
    present = np.arange(m) < rng.integers(0, m + 1, (b, 1))
    copied = rng.integers(0, m, (b, k))
    predicted = {name: np.take_along_axis(values, copied, 1) for name, values in truth.items()}
    wrong = rng.random((b, k)) < noise / 2
    predicted["color"] = np.where(wrong, 1 - predicted["color"], predicted["color"])
    positions = np.take_along_axis(places, copied[..., None], 1) + noise * rng.normal(size=(b, k, 3))
    tensors = ({name: torch.tensor(v) for name, v in group.items()} for group in (predicted, truth))
    predicted, truth = tensors
    return (
        predicted,
        torch.tensor(positions),
        torch.tensor(rng.random((b, k))),
        truth,
        torch.tensor(places),
        torch.tensor(present),
    )


@pytest.mark.parametrize("seed", range(5))
def test_property_precision_equals_a_loop(seed):
    predicted, positions, scores, truth, places, present = scenes(seed)
    ours = property_average_precision(predicted, positions, scores, truth, places, present)
    for distance, value in ours.items():
        order = sorted(np.ndindex(*scores.shape), key=lambda p: -scores[p].item())
        taken, hits = set(), []
        for i, s in order:
            near, nearest = math.inf, None
            for o in range(places.shape[1]):
                alike = all(predicted[name][i, s] == truth[name][i, o] for name in truth)
                gap = math.dist(positions[i, s].tolist(), places[i, o].tolist())
                if present[i, o] and alike and gap < near:
                    near, nearest = gap, o
            hits.append(near < distance and (i, nearest) not in taken)
            taken |= {(i, nearest)} if hits[-1] else set()
        assert value == pytest.approx(slow_area(hits, int(present.sum())))


@pytest.mark.parametrize("seed", range(5))
def test_property_precision_falls_with_the_distance(seed):
    ours = property_average_precision(*scenes(seed))
    values = list(ours.values())
    assert list(ours) == [math.inf, 1.0, 0.5, 0.25, 0.125]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_property_precision_of_perfect_and_empty_predictions():
    _, _, scores, truth, places, present = scenes(0, k=5)
    perfect = property_average_precision(truth, places, present.double(), truth, places, present)
    assert set(perfect.values()) == {1.0}
    others = {name: 1 - values for name, values in truth.items()} | {"shape": truth["shape"] + 2}
    assert set(property_average_precision(others, places, scores, truth, places, present).values()) == {0.0}
    nobody = torch.zeros_like(present)
    assert math.isnan(property_average_precision(truth, places, scores, truth, places, nobody)[1.0])
    with pytest.raises(InputError, match="categories"):
        property_average_precision({"shape": truth["shape"]}, places, scores, truth, places, present)
