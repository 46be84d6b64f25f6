"""Identity, re-appearance, J and F against loops and SciPy's morphology."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from visus.errors import InputError
from visus.metrics import (
    boundary_similarity,
    foreground_ari,
    identity_switches,
    j_and_f,
    lost_after_gap,
    mean_iou,
    reappearance_ari,
    reappeared,
    region_similarity,
)


def video(rows: list[str]) -> torch.Tensor:
    """One video (1, t, 1, w) from one string of digits per frame."""
    return torch.tensor([[[[int(pixel) for pixel in row]] for row in rows]])


def slow_switches(truth, predicted, i: int, background: int | None) -> tuple[int, int, int, int]:
    """Switches and chances of object i, all and across gaps, frame by frame."""
    held, gap, counts = None, False, [0, 0, 0, 0]
    for real, found in zip(truth.tolist(), predicted.tolist(), strict=True):
        under = [f for rs, fs in zip(real, found, strict=True) for r, f in zip(rs, fs, strict=True) if r == i]
        if not under:
            gap = held is not None
            continue
        shares = {slot: under.count(slot) for slot in under}
        most = max(shares.values())
        best = held if shares.get(held) == most else min(s for s, n in shares.items() if n == most)
        if best == background:
            continue
        if held is not None:
            for place, event in enumerate((best != held, True, best != held and gap, gap)):
                counts[place] += event
        held, gap = best, False
    return counts[0], counts[1], counts[2], counts[3]


@pytest.mark.parametrize("background", [None, 0])
@pytest.mark.parametrize("seed", range(8))
def test_identity_switches_equal_a_loop(seed, background):
    rng = np.random.default_rng(seed)
    truth = torch.tensor(rng.integers(0, 4, size=(3, 9, 2, 3)))
    predicted = torch.tensor(rng.integers(0, 4, size=(3, 9, 2, 3)))
    ours = identity_switches(truth, predicted, background=background)
    for i in range(3):
        rows = [slow_switches(truth[i], predicted[i], o, background) for o in (1, 2, 3)]
        assert [column[i].item() for column in ours] == [sum(values) for values in zip(*rows, strict=True)]
    assert ours.chances_after_gap.sum() > 0


def test_a_switch_behind_an_occluder():
    truth = video(["1122", "1122", "0022", "1122", "1122"])
    kept = video(["1122", "1122", "0022", "1122", "1122"])
    lost = video(["1122", "1122", "0022", "3322", "3322"])
    assert identity_switches(truth, kept).count.item() == 0
    found = identity_switches(truth, lost)
    assert found.count.item() == found.count_after_gap.item() == found.rate_after_gap.item() == 1
    assert found.chances.item() == 3 + 4
    assert found.rate.item() == pytest.approx(1 / 7)
    missed = video(["1122", "1122", "0022", "0022", "1122"])
    assert identity_switches(truth, missed).count.item() == 2
    passed = identity_switches(truth, missed, background=0)
    assert passed.count.item() == 0
    assert passed.chances_after_gap.item() == 1  # the miss right after the gap does not close it
    assert identity_switches(truth[:, :1], kept[:, :1]).rate.isnan().all()


@pytest.mark.parametrize("seed", range(4))
def test_lost_frames_equal_a_loop(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, size=(3, 9, 2, 3))
    predicted = rng.integers(0, 5, size=(3, 9, 2, 3))
    ours = lost_after_gap(torch.tensor(truth), torch.tensor(predicted))
    for item in range(3):
        lost = chances = 0
        for number in (1, 2, 3):
            seen = hidden = False
            for real, made in zip(truth[item], predicted[item], strict=True):
                pixels = made[real == number]
                if not pixels.size:
                    hidden = seen
                    continue
                seen = True
                if hidden:
                    chances += 1
                    shares = [(pixels == slot).sum() for slot in range(5)]
                    lost += max(shares) > shares[number]
        assert (ours.count[item].item(), ours.chances[item].item()) == (lost, chances)
    assert ours.count.sum() > 0


def test_an_object_that_never_finds_back_is_lost_in_every_frame():
    truth = video(["1122", "1122", "0022", "1122", "1122"])
    assert lost_after_gap(truth, truth).share.item() == 0
    assert lost_after_gap(truth, video(["1122", "1122", "0022", "0022", "0022"])).share.item() == 1
    assert lost_after_gap(truth, video(["1122", "1122", "0022", "3322", "1122"])).share.item() == 0.5
    half = video(["1122", "1122", "0022", "1322", "1322"])
    assert lost_after_gap(truth, half).share.item() == 0, "as much as any other slot is enough"
    assert lost_after_gap(truth[:, :2], truth[:, :2]).share.isnan().all()


def test_reappearance():
    visible = torch.tensor([[5, 5, 5, 5], [5, 0, 0, 5], [0, 0, 5, 2], [5, 0, 0, 5], [5, 5, 0, 5]]).unsqueeze(
        0
    )
    back = reappeared(visible)[0].int().tolist()
    assert back == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    assert reappeared(visible, least=3)[0, :, 3].tolist() == [False, False, False, True, True]
    late = torch.tensor([[[0], [0], [4], [4]]])
    assert not reappeared(late).any()


def test_ari_after_reappearance():
    truth = video(["1122", "1122", "0022", "1122", "1122"])
    visibility = torch.stack([(truth == i).sum((2, 3)) for i in (1, 2)], dim=2)
    lost = video(["1122", "1122", "0022", "2211", "2211"])
    assert reappearance_ari(truth, truth, visibility).item() == 1.0
    # after the gap every frame is consistent in itself; only the tracks know that the slots were exchanged
    assert reappearance_ari(truth, lost, visibility).item() == 1.0
    assert foreground_ari(truth, lost).item() < 1.0
    assert reappearance_ari(truth, lost, visibility, scope="tracks").item() == 0.0
    merged = video(["1122", "1122", "0022", "2222", "2222"])
    assert reappearance_ari(truth, merged, visibility).item() == 0.0
    shown = torch.ones_like(visibility)
    assert reappearance_ari(truth, truth, shown).isnan().all()
    after = reappeared(visibility)
    assert mean_iou(truth, lost, matching="conditioned", counted=after).item() == 0.0
    with pytest.raises(InputError, match="scope"):
        reappearance_ari(truth, truth, visibility, scope="all")  # type: ignore[arg-type]


def slow_f(truth: np.ndarray, predicted: np.ndarray, tolerance: float) -> float:
    """Boundary measure pixel by pixel, with SciPy's dilation."""

    def boundary(mask):
        h, w = mask.shape
        edge = np.zeros_like(mask)
        for y in range(h):
            for x in range(w):
                steps = (
                    [(0, 1), (1, 0), (1, 1)]
                    if y < h - 1 and x < w - 1
                    else [(0, 1)]
                    if x < w - 1
                    else [(1, 0)]
                )
                inside = [(y + dy, x + dx) for dy, dx in steps if y + dy < h and x + dx < w]
                edge[y, x] = any(mask[place] != mask[y, x] for place in inside)
        return edge

    radius = math.ceil(tolerance * math.hypot(*truth.shape)) if tolerance < 1 else int(tolerance)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    real, found = boundary(truth), boundary(predicted)
    if not real.any() or not found.any():
        return float(real.any() == found.any())
    wide = [scipy.ndimage.binary_dilation(edge, y**2 + x**2 <= radius**2) for edge in (real, found)]
    recall, precision = (real & wide[1]).sum() / real.sum(), (found & wide[0]).sum() / found.sum()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("tolerance", [0.008, 0.1, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_j_and_f_of_masks_equal_a_transcription(seed, tolerance):
    rng = np.random.default_rng(seed)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=(6, 2, 21, 17)), (0, 0, 2.0, 2.0))
    masks = np.concatenate([smooth > 0.02, np.zeros((1, 2, 21, 17), bool)])
    masks[2, 1], masks[3] = False, True
    truth, predicted = torch.tensor(masks[:, 0]), torch.tensor(masks[:, 1])
    region = region_similarity(truth, predicted)
    boundary = boundary_similarity(truth, predicted, tolerance=tolerance)
    for i in range(7):
        either = (masks[i, 0] | masks[i, 1]).sum()
        j = (masks[i, 0] & masks[i, 1]).sum() / either if either else 1.0
        assert region[i].item() == pytest.approx(j)
        assert boundary[i].item() == pytest.approx(slow_f(masks[i, 0], masks[i, 1], tolerance))


def test_j_and_f_of_videos():
    rng = np.random.default_rng(0)
    truth = (
        torch.tensor(rng.integers(0, 3, size=(2, 4, 8, 8))).repeat_interleave(3, 2).repeat_interleave(3, 3)
    )
    assert [score.tolist() for score in j_and_f(truth, truth)] == [[1.0, 1.0]] * 2
    swapped = torch.tensor([0, 2, 1])[truth]
    assert j_and_f(truth, swapped).region.max() == 0.0
    assert j_and_f(truth, swapped, matching="hungarian").mean.tolist() == [1.0, 1.0]
    noisy = torch.where(torch.tensor(rng.random(truth.shape)) < 0.2, 0, truth)
    for skip in (False, True):
        ours = j_and_f(truth, noisy, skip_ends=skip)
        frames = range(1, 3) if skip else range(4)
        for i in range(2):
            pairs = [[(truth[i, t] == o, noisy[i, t] == o) for t in frames] for o in (1, 2)]
            j = np.mean([[region_similarity(a, b).item() for a, b in row] for row in pairs])
            f = np.mean([[slow_f(a.numpy(), b.numpy(), 0.008) for a, b in row] for row in pairs])
            assert ours.region[i].item() == pytest.approx(j)
            assert ours.boundary[i].item() == pytest.approx(f)
            assert ours.mean[i].item() == pytest.approx((j + f) / 2)
    nothing = torch.zeros(1, 3, 4, 4, dtype=torch.long)
    assert j_and_f(nothing, nothing).mean.isnan().all()
    with pytest.raises(InputError, match="three or more"):
        j_and_f(truth[:, :2], truth[:, :2], skip_ends=True)
    with pytest.raises(InputError, match="tolerance"):
        j_and_f(truth, truth, tolerance=0.0)
