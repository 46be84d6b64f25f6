"""Saliency scores against plain loops, and against pysaliency where it is installed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch

from visus.errors import InputError
from visus.metrics import (
    auc_judd,
    bootstrap_interval,
    correlation,
    fixation_counts,
    information_gain,
    kl_divergence,
    mean_of_defined,
    nss,
    shuffled_auc,
    similarity,
)

H, W = 7, 9


def draw(seed: int, b: int = 3, *, zeros: float = 0.0) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Two sets of maps, with a share of zeros and with ties, and fixations, some twice on a pixel."""
    rng = np.random.default_rng(seed)
    predicted, target = rng.gamma(0.7, size=(2, b, H, W))
    predicted[rng.random(predicted.shape) < zeros] = 0
    target[rng.random(target.shape) < zeros] = 0
    predicted[:, :, : W // 2] = predicted[:, :, : W // 2].round(1)
    points = [rng.random((int(rng.integers(1, 12)), 3)) * [W, H, 1] for _ in range(b)]
    points[0] = np.concatenate([points[0], points[0][:1]])
    return predicted, target, points


# ---- slow transcriptions: one image, one pixel at a time --------------------------------------------------


def slow_density(values, extra=0.0):
    flat = [float(v) + extra for v in values.ravel()]
    total = math.fsum(flat)
    return [v / total if total else 1 / len(flat) for v in flat]


def slow_kl(predicted, target, floor):
    pairs = zip(slow_density(predicted, floor), slow_density(target, floor), strict=True)
    return math.fsum(p * math.log(p / q) for q, p in pairs if p > 0)


def slow_mit(predicted, target, e=2.2204e-16):
    pairs = zip(slow_density(predicted), slow_density(target), strict=True)
    return math.fsum(p * math.log(e + p / (q + e)) for q, p in pairs)


def slow_standard(values):
    flat = [float(v) for v in values.ravel()]
    mean = math.fsum(flat) / len(flat)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in flat) / len(flat))
    return np.array([(v - mean) / spread for v in flat]).reshape(values.shape)


def slow_area(positives, negatives):
    won = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    return sum(won) / len(won)


def values_at(values, points):
    return [values[int(y), int(x)] for x, y in points[:, :2]]


# ---- maps against maps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_map_scores_equal_the_loops(seed, zeros):
    predicted, target, _ = draw(seed, zeros=zeros)
    each = list(zip(predicted, target, strict=True))
    for floor in (1e-20, 1e-7):
        expected = [slow_kl(q, p, floor) for q, p in each]
        assert kl_divergence(predicted, target, floor=floor) == pytest.approx(expected, abs=1e-10)
    expected = [slow_mit(q, p) for q, p in each]
    assert kl_divergence(predicted, target, form="mit") == pytest.approx(expected, abs=1e-10)
    expected = [scipy.stats.pearsonr(q.ravel(), p.ravel()).statistic for q, p in each]
    assert correlation(predicted, target) == pytest.approx(expected, abs=1e-12)
    expected = [math.fsum(map(min, slow_density(q), slow_density(p))) for q, p in each]
    assert similarity(predicted, target) == pytest.approx(expected, abs=1e-12)


def test_divergence_without_zeros_is_the_textbook_sum():
    predicted, target, _ = draw(5)
    predicted, target = predicted + 0.1, target + 0.1
    q, p = (maps.reshape(len(maps), -1) for maps in (predicted, target))
    expected = scipy.stats.entropy(p, q, axis=1)
    for options in ({"floor": 0.0}, {}, {"form": "mit"}):
        assert kl_divergence(predicted, target, **options) == pytest.approx(expected, abs=1e-9)
    assert kl_divergence(target, predicted)[0] != pytest.approx(expected[0], abs=1e-3), "it is not symmetric"


def test_divergence_where_nothing_was_predicted():
    target = np.array([[[1.0, 1.0]]])
    missed = np.array([[[1.0, 0.0]]])
    assert kl_divergence(missed, target, floor=0.0)[0] == math.inf
    assert kl_divergence(missed, target)[0] == pytest.approx(0.5 * math.log(0.5 / 1) + 0.5 * math.log(0.5e20))
    assert kl_divergence(missed, target, form="mit")[0] == pytest.approx(slow_mit(missed[0], target[0]))
    assert kl_divergence(target, missed, floor=0.0)[0] == pytest.approx(math.log(2)), "0 log 0 is 0"


def test_perfect_constant_and_absent_maps():
    predicted, target, _ = draw(0)
    assert kl_divergence(target, target) == pytest.approx([0] * 3, abs=1e-12)
    assert correlation(target, target) == pytest.approx([1] * 3)
    assert similarity(target, target) == pytest.approx([1] * 3)
    flat = np.full_like(predicted, 1 / 3)
    assert correlation(flat, target).tolist() == [0, 0, 0]
    assert correlation(predicted, flat).tolist() == [0, 0, 0]
    nothing = np.zeros_like(target)
    assert kl_divergence(nothing, target) == pytest.approx(kl_divergence(flat, target)), "zeros are uniform"
    assert similarity(nothing, target) == pytest.approx(similarity(flat, target))
    target[1] = 0
    for score in (kl_divergence, correlation, similarity):
        assert np.isnan(score(predicted, target)).tolist() == [False, True, False]
    assert np.isnan(kl_divergence(predicted, target, form="mit")).tolist() == [False, True, False]


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_scores_do_not_depend_on_the_scale_of_the_maps(scale):
    predicted, target, points = draw(1)
    predicted, target = predicted + 0.01, target + 0.01
    for score in (kl_divergence, correlation, similarity):
        assert score(scale * predicted, target) == pytest.approx(score(predicted, target), rel=1e-5)
    for score in (nss, auc_judd, shuffled_auc, information_gain):
        assert score(scale * predicted, points) == pytest.approx(score(predicted, points), rel=1e-5)


def test_large_smooth_densities_in_single_precision():
    """Pixels of a 640 x 512 density are near 1e-6: squares of tails are below single precision."""
    y, x = np.mgrid[:640, :512]
    maps = np.stack([np.exp(-((x - c) ** 2 + (y - 320) ** 2) / (2 * 20.0**2)) for c in (200, 240)])
    maps = (maps / maps.sum((1, 2), keepdims=True)).astype(np.float32)
    ours, theirs = torch.from_numpy(maps[:1]), torch.from_numpy(maps[1:])
    # Gaussians of one width at distance d: KL = d^2 / 2 s^2, SIM = 2 Phi(-d / 2 s), and before the means
    # are subtracted, which are 4 pi s^2 / area of the square norm, CC = exp(-d^2 / 4 s^2).
    mean = 4 * math.pi * 20**2 / (640 * 512)
    assert kl_divergence(ours, theirs)[0] == pytest.approx(2.0, rel=1e-3)
    assert correlation(ours, theirs)[0] == pytest.approx((math.exp(-1) - mean) / (1 - mean), rel=1e-3)
    assert similarity(ours, theirs)[0] == pytest.approx(2 * scipy.stats.norm.cdf(-1), rel=1e-3)


# ---- maps against fixations -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_fixation_scores_equal_the_loops(seed):
    predicted, target, points = draw(seed)
    each = list(zip(predicted, points, strict=True))
    expected = [np.mean(values_at(slow_standard(q), xy)) for q, xy in each]
    assert nss(predicted, points) == pytest.approx(expected, abs=1e-12)
    expected = [slow_area(values_at(q, xy), q.ravel()) for q, xy in each]
    assert auc_judd(predicted, points) == pytest.approx(expected, abs=1e-12)
    expected, shuffled = [], []
    for i, (q, xy) in enumerate(each):
        fixated = {(int(x), int(y)) for x, y in xy[:, :2]}
        free = [q[r, c] for r in range(H) for c in range(W) if (c, r) not in fixated]
        expected.append(slow_area(values_at(q, xy), free))
        others = np.concatenate([points[j] for j in range(len(points)) if j != i])
        shuffled.append(slow_area(values_at(q, xy), values_at(q, others)))
    assert auc_judd(predicted, points, negatives="unfixated") == pytest.approx(expected, abs=1e-12)
    assert shuffled_auc(predicted, points) == pytest.approx(shuffled, abs=1e-12)
    baseline = target.mean(0) + 0.01
    prior = np.array(slow_density(baseline)).reshape(H, W)
    for reference, given in ((np.full((H, W), 1 / (H * W)), None), (prior, baseline)):
        expected = [
            np.mean(
                [math.log2(v / r) for v, r in zip(values_at(q, xy), values_at(reference, xy), strict=True)]
            )
            for q, xy in zip((np.array(slow_density(q + 0.1)).reshape(H, W) for q in predicted), points)
        ]
        assert information_gain(predicted + 0.1, points, given) == pytest.approx(expected, abs=1e-9)


def test_points_and_counts_say_the_same():
    predicted, _, points = draw(2)
    counts = fixation_counts(points, predicted.shape)
    assert counts.sum((1, 2)).tolist() == [len(xy) for xy in points]
    assert counts[0].max() >= 2
    for score in (nss, auc_judd, shuffled_auc, information_gain):
        assert score(predicted, points).tolist() == score(predicted, counts).tolist()
    others = counts.sum(0, keepdims=True) - counts
    assert shuffled_auc(predicted, counts[:1].repeat(3, axis=0), elsewhere=others[0])[0] == pytest.approx(
        shuffled_auc(predicted, points)[0]
    )


def test_pixels_are_floors_and_points_outside_are_left_out():
    edge = np.array([[0.0, 0.0], [W - 1e-6, H - 1e-6], [W, 0.0], [-1e-6, 0.0], [0.0, H]])
    counts = fixation_counts([edge], (1, H, W))
    assert counts.sum() == 2
    assert counts[0, 0, 0] == counts[0, -1, -1] == 1
    one = np.zeros((1, H, W))
    one[0, 2, 5] = 1
    assert fixation_counts([np.array([[5.5, 2.5]])], (1, H, W)).tolist() == one.tolist()


def test_images_without_fixations_are_undefined():
    predicted, _, points = draw(3)
    points[1] = np.zeros((0, 3))
    points[2] = np.array([[-4.0, 2.0, 0.1]])
    for score in (nss, auc_judd, shuffled_auc, information_gain):
        values = score(predicted, points)
        if score is shuffled_auc:
            assert np.isnan(values).all(), "nobody looked at other images"
        else:
            assert np.isnan(values).tolist() == [False, True, True]
    assert mean_of_defined(nss(predicted, points)) == nss(predicted, points)[0]
    everywhere = np.ones_like(predicted)
    assert np.isnan(auc_judd(predicted, everywhere, negatives="unfixated")).all()


def test_constant_maps_score_as_chance():
    flat = np.full((3, H, W), 0.1)
    _, _, points = draw(4)
    assert nss(flat, points).tolist() == [0, 0, 0]
    assert auc_judd(flat, points).tolist() == [0.5] * 3
    assert information_gain(flat, points) == pytest.approx([0] * 3, abs=1e-12)


def test_jitter_breaks_ties_by_its_seed_and_leaves_order_alone():
    predicted, _, points = draw(6)
    plain = auc_judd(predicted, points)
    jittered = auc_judd(predicted, points, jitter=1e-7, seed=1)
    assert jittered.tolist() == auc_judd(predicted, points, jitter=1e-7, seed=1).tolist()
    assert jittered.tolist() != auc_judd(predicted, points, jitter=1e-7, seed=2).tolist()
    draws = np.stack([auc_judd(predicted, points, jitter=1e-7, seed=s) for s in range(300)])
    # A tie is won in half of the draws; a fixated pixel keeps its tie with itself.
    assert draws.mean(0) == pytest.approx(plain, abs=0.01)
    distinct = np.random.default_rng(0).permutation(H * W).reshape(1, H, W).astype(float)
    assert auc_judd(distinct, points[:1], jitter=1e-7) == pytest.approx(auc_judd(distinct, points[:1]))


def test_tensors_and_half_precision_are_taken():
    predicted, target, points = draw(7)
    tensors = [torch.tensor(xy, dtype=torch.float32) for xy in points]
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        maps = torch.tensor(predicted).to(kind)
        back = maps.double().numpy()
        assert kl_divergence(maps, torch.tensor(target)).tolist() == kl_divergence(back, target).tolist()
        assert nss(maps, tensors).tolist() == nss(back, points).tolist()
    assert kl_divergence(torch.tensor(predicted, requires_grad=True), target).shape == (3,)


def test_bootstrap_of_values_with_gaps():
    values = np.array([0.1, np.nan, 0.3, 0.2, 0.5])
    low, high = bootstrap_interval(mean_of_defined, values, n=300)
    assert 0.1 <= low < 0.275 < high <= 0.5
    assert math.isnan(mean_of_defined([math.nan]))
    weight = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 0, 0]])
    assert mean_of_defined(values, weight=weight) == pytest.approx([0.2, math.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kl_divergence(np.ones((2, 3)), np.ones((2, 3))), r"\(b, h, w\)"),
        (lambda: kl_divergence(np.ones((1, 2, 3)), np.ones((1, 3, 2))), "the target"),
        (lambda: similarity(-np.ones((1, 2, 3)), np.ones((1, 2, 3))), "not negative"),
        (lambda: correlation(np.full((1, 2, 3), np.nan), np.ones((1, 2, 3))), "finite"),
        (lambda: kl_divergence(np.ones((1, 2, 3)), np.ones((1, 2, 3)), form="kl"), "density mit"),
        (lambda: kl_divergence(np.ones((1, 2, 3)), np.ones((1, 2, 3)), floor=-1), "negative"),
        (lambda: nss(np.ones((2, 2, 3)), [np.zeros((0, 2))]), "1 images"),
        (lambda: nss(np.ones((1, 2, 3)), [np.zeros((4,))]), "image 0"),
        (lambda: nss(np.ones((1, 2, 3)), [np.full((1, 2), np.nan)]), "image 0"),
        (lambda: nss(np.ones((1, 2, 3)), np.ones((1, 3, 2))), "shape"),
        (lambda: auc_judd(np.ones((1, 2, 3)), [np.ones((1, 2))], negatives="some"), "unfixated"),
        (lambda: auc_judd(np.ones((1, 2, 3)), [np.ones((1, 2))], jitter=-1), "negative"),
        (lambda: information_gain(np.ones((1, 2, 3)), [np.ones((1, 2))], np.ones((3, 2))), "baseline"),
        (lambda: mean_of_defined([]), "values"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


# ---- pysaliency -------------------------------------------------------------------------------------------


def theirs():
    """pysaliency's functions; its metrics need nothing but numpy."""
    reason = "pysaliency is not installed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pysaliency.metrics", reason=reason, exc_type=ImportError)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_map_scores_equal_pysaliency(seed, zeros):
    ps = theirs()
    predicted, target, points = draw(seed, zeros=zeros)
    flat = np.full_like(predicted[:1], 0.25)
    predicted, target = np.concatenate([predicted, flat]), np.concatenate([target, target[:1]])
    for ours, one in (
        (kl_divergence(predicted, target), ps.image_based_kl_divergence),
        (kl_divergence(predicted, target, form="mit"), ps.MIT_KLDiv),
        (correlation(predicted, target), ps.CC),
        (similarity(predicted, target), ps.SIM),
    ):
        with np.errstate(divide="ignore"):  # it takes the logarithm of zeros before it takes care of them
            expected = [one(q.copy(), p.copy()) for q, p in zip(predicted, target, strict=True)]
        assert ours == pytest.approx(expected, abs=1e-6), one.__name__
    expected = [ps.NSS(q, xy[:, 0], xy[:, 1]).mean() for q, xy in zip(predicted, points)]
    assert nss(predicted[:3], points) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_areas_equal_pysaliency(seed):
    theirs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reason = "pysaliency's areas need numba"
        numba = pytest.importorskip("pysaliency.numba_utils", reason=reason, exc_type=ImportError)
    predicted, _, points = draw(seed)
    for i, (q, xy) in enumerate(zip(predicted, points)):
        expected = np.mean([numba.auc_for_one_positive(v, q.ravel()) for v in values_at(q, xy)])
        assert auc_judd(predicted, points)[i] == pytest.approx(expected, abs=1e-6)
        others = np.concatenate([points[j] for j in range(len(points)) if j != i])
        per_point = numba.general_rocs_per_positive_numba(
            np.array(values_at(q, xy)), np.array(values_at(q, others))
        )
        assert shuffled_auc(predicted, points)[i] == pytest.approx(per_point.mean(), abs=1e-6)
