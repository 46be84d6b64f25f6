"""Segmentation scores against scikit-learn, SciPy and sets of pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from visus.errors import InputError
from visus.metrics import (
    adjusted_rand_index,
    foreground_ari,
    matched_slots,
    mean_best_overlap,
    mean_iou,
    object_iou,
    overlaps,
)


def draw(seed: int, b: int = 3, t: int = 4, size: int = 9, objects: int = 4, slots: int = 6):
    """Random maps in which the slots know something of the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, objects + 1, size=(b, t, size, size))
    truth[rng.random(truth.shape) < 0.3] = 0
    predicted = (truth * 2 + 1) % slots
    noise = rng.random(truth.shape) < 0.4
    predicted[noise] = rng.integers(0, slots, size=int(noise.sum()))
    return torch.tensor(truth, dtype=torch.uint8), torch.tensor(predicted)


def slow_iou(truth, predicted, i: int, slot: int, frames=None) -> float:
    frames = range(truth.shape[0]) if frames is None else frames
    real = {tuple(p) for p in (truth == i + 1).nonzero().tolist() if p[0] in frames}
    found = {tuple(p) for p in (predicted == slot).nonzero().tolist() if p[0] in frames}
    return len(real & found) / len(real | found) if real else math.nan


@pytest.mark.parametrize("seed", range(6))
def test_ari_equals_scikit_learn(seed):
    truth, predicted = draw(seed, objects=1 + seed)
    whole, front = adjusted_rand_index(truth, predicted), foreground_ari(truth, predicted)
    later = foreground_ari(truth, predicted, skip_first=True)
    for i in range(len(truth)):
        a, b = truth[i].flatten().numpy(), predicted[i].flatten().numpy()
        assert whole[i].item() == pytest.approx(sk.adjusted_rand_score(a, b), abs=1e-12)
        assert front[i].item() == pytest.approx(sk.adjusted_rand_score(a[a > 0], b[a > 0]), abs=1e-12)
        a, b = truth[i, 1:].flatten().numpy(), predicted[i, 1:].flatten().numpy()
        assert later[i].item() == pytest.approx(sk.adjusted_rand_score(a[a > 0], b[a > 0]), abs=1e-12)
    pictures = adjusted_rand_index(truth[:, 0], predicted[:, 0])
    torch.testing.assert_close(pictures, adjusted_rand_index(truth[:, :1], predicted[:, :1]))


def test_ari_where_it_is_zero_by_zero():
    empty = torch.zeros(1, 2, 3, 3, dtype=torch.uint8)
    assert foreground_ari(empty, empty).item() == 1.0
    one = torch.ones_like(empty)
    assert foreground_ari(one, one).item() == 1.0
    assert foreground_ari(one, torch.arange(18).view(1, 2, 3, 3)).item() == 0.0
    singles = torch.arange(18).view(1, 2, 3, 3)
    assert adjusted_rand_index(singles, singles.flip(3)).item() == 1.0
    lone = empty.clone()
    lone[0, 0, 0, 0] = 1
    assert foreground_ari(lone, empty).item() == 1.0


def test_large_videos_lose_no_digits():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (1, 24, 160, 160), generator=generator)
    predicted = (truth + (torch.rand(truth.shape, generator=generator) < 0.5)) % 7
    expected = sk.adjusted_rand_score(truth.flatten().numpy(), predicted.flatten().numpy())
    assert adjusted_rand_index(truth, predicted).item() == pytest.approx(expected, abs=1e-9)


def test_swapped_identities_cost_though_every_frame_is_right():
    truth = torch.zeros(1, 6, 8, 8, dtype=torch.uint8)
    truth[:, :, :3, :3], truth[:, :, 5:, 5:] = 1, 2
    swapped = truth.clone()
    swapped[:, 3:] = torch.tensor([0, 2, 1], dtype=torch.uint8)[truth[:, 3:].long()]
    frames = [foreground_ari(truth[:, t : t + 1], swapped[:, t : t + 1]).item() for t in range(6)]
    assert frames == [1.0] * 6
    assert foreground_ari(truth, swapped).item() < 0.1
    assert mean_iou(truth, swapped, matching="conditioned").item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(4))
def test_iou_of_every_matching(seed):
    truth, predicted = draw(seed, size=5)
    m, slots = int(truth.max()), int(predicted.max()) + 1
    for i, (real, found) in enumerate(zip(truth, predicted, strict=True)):
        table = np.array([[slow_iou(real, found, o, s) for s in range(max(slots, m + 1))] for o in range(m)])
        expected = {
            "conditioned": [table[o, o + 1] for o in range(m)],
            "overlap": table.max(1).tolist(),
        }
        for name, values in expected.items():
            assert object_iou(truth, predicted, matching=name)[i].tolist() == pytest.approx(values)
        best = max(
            sum(table[o, s] for o, s in enumerate(choice))
            for choice in itertools.permutations(range(table.shape[1]), m)
        )
        assert mean_iou(truth, predicted)[i].item() == pytest.approx(best / m)
        torch.testing.assert_close(
            mean_best_overlap(truth, predicted), mean_iou(truth, predicted, matching="overlap")
        )


def test_objects_that_are_absent_or_without_a_slot():
    truth = torch.tensor([[[[1, 1, 2, 3]]], [[[0, 0, 0, 0]]]])
    predicted = torch.tensor([[[[0, 0, 1, 1]]], [[[0, 0, 0, 0]]]])
    scores = object_iou(truth, predicted, objects=5)
    assert scores.shape == (2, 5)
    assert scores[0, :3].tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert scores[0, 3:].isnan().all()
    assert scores[1].isnan().all()
    assert mean_iou(truth, predicted).isnan().tolist() == [False, True]
    few = torch.zeros(1, 1, 1, 4, dtype=torch.long)
    assert matched_slots(truth[:1], few, matching="overlap").tolist() == [[0, 0, 0]]
    assert object_iou(truth[:1], few, matching="conditioned").tolist() == [[0.0, 0.0, 0.0]]
    assert matched_slots(truth, predicted, objects=4)[:, 3].tolist() == [-1, -1]


@pytest.mark.parametrize("seed", range(3))
def test_counted_frames(seed):
    truth, predicted = draw(seed, size=5)
    m = int(truth.max())
    counted = torch.rand(*truth.shape[:2], m, generator=torch.Generator().manual_seed(seed)) < 0.5
    scores = object_iou(truth, predicted, matching="conditioned", counted=counted)
    front = foreground_ari(truth, predicted, counted=counted)
    for i in range(len(truth)):
        for o in range(m):
            frames = counted[i, :, o].nonzero().flatten().tolist()
            slow = slow_iou(truth[i], predicted[i], o, o + 1, frames)
            assert scores[i, o].item() == pytest.approx(slow, nan_ok=True)
        inside = torch.zeros_like(truth[i], dtype=torch.bool)
        for t, o in counted[i].nonzero().tolist():
            inside[t] |= truth[i, t] == o + 1
        expected = sk.adjusted_rand_score(truth[i][inside].numpy(), predicted[i][inside].numpy())
        assert front[i].item() == pytest.approx(expected)
    nothing = torch.zeros_like(counted)
    assert foreground_ari(truth, predicted, counted=nothing).isnan().all()
    assert mean_iou(truth, predicted, counted=nothing).isnan().all()


def test_best_overlap_of_classes():
    truth = torch.tensor([[[1, 1, 2, 2, 3, 3, 0, 0]]])
    predicted = torch.tensor([[[4, 4, 4, 4, 5, 0, 0, 0]]])
    assert mean_best_overlap(truth, predicted).item() == pytest.approx((0.5 + 0.5 + 0.5) / 3)
    classes = torch.tensor([[7, 7, 0, -1]])
    assert mean_best_overlap(truth, predicted, classes=classes).item() == pytest.approx((1.0 + 0.5) / 2)
    with pytest.raises(InputError, match="classes"):
        mean_best_overlap(truth, predicted, classes=classes[:, :2])


def test_table_counts_every_pixel_once():
    truth, predicted = draw(0)
    table = overlaps(truth, predicted, objects=6)
    assert table.shape == (3, 4, 7, 7)
    assert table.sum((2, 3)).unique().tolist() == [81]
    assert table[1, 2, 3, 1] == ((truth[1, 2] == 3) & (predicted[1, 2] == 1)).sum()


def test_bad_input():
    truth = torch.zeros(1, 2, 3, 3, dtype=torch.long)
    with pytest.raises(InputError, match="equal shape"):
        overlaps(truth, truth[:, :1])
    with pytest.raises(InputError, match="no pixels"):
        overlaps(truth[:0], truth[:0])
    with pytest.raises(InputError, match="negative"):
        overlaps(truth, truth - 1)
    with pytest.raises(InputError, match="holds id 4 of 3"):
        overlaps(truth + 4, truth, objects=3)
    with pytest.raises(InputError, match="two frames"):
        foreground_ari(truth[:, :1], truth[:, :1], skip_first=True)
    with pytest.raises(InputError, match="matching"):
        mean_iou(truth + 1, truth, matching="best")  # type: ignore[arg-type]
