"""Density maps: against a dense Gaussian blur at native resolution, and every promise of the docstrings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from visus.data.gaze.density import (
    PUBLISHED_SIGMA_PX,
    SIGMA_SHARE,
    countable,
    density_map,
    published_density,
)
from visus.data.gaze.placement import Placement
from visus.errors import InputError


def blurred(rows: np.ndarray, native: tuple[int, int], sigma: float, factor: int) -> np.ndarray:
    """Weights on native pixels, scipy's Gaussian, and the sum over blocks of native pixels."""
    counts = np.zeros(native)
    for x, y, weight in rows:
        counts[int(y), int(x)] += weight
    dense = ndimage.gaussian_filter(counts, sigma, mode="constant", truncate=8)
    h, w = native[0] // factor, native[1] // factor
    small = dense.reshape(h, factor, w, factor).sum((1, 3))
    return small / small.sum()


@pytest.mark.parametrize("factor", [1, 4, 8])
def test_equals_blur_at_native_resolution_then_area_downsampling(factor):
    rng, native, sigma = np.random.default_rng(factor), (160, 128), 6.0
    xy = rng.integers(0, (128, 160), size=(30, 2)) + 0.5  # pixel centers, some near the edge
    rows = np.concatenate([xy, rng.uniform(0.1, 1, (30, 1))], axis=1)
    ours = (
        density_map(rows, native=native, size=(160 // factor, 128 // factor), sigma_px=sigma).double().numpy()
    )
    theirs = blurred(rows, native, sigma, factor)
    # scipy samples the Gaussian at pixel centers; integrating it over a pixel adds 1/12 to the variance
    integrated = blurred(rows, native, math.sqrt(sigma**2 + 1 / 12), factor)
    assert abs(ours - theirs).sum() < 0.004
    assert abs(ours - integrated).sum() < 2e-4


def test_equals_an_independent_double_loop():
    rows = np.array([[3.2, 9.9, 0.5], [17.0, 0.1, 2.0], [8.8, 8.8, 1.0]])
    placed, sigma = Placement.of((20, 18), (14, 16), "pad"), 2.5
    assert placed.content == (14, 13)
    assert (placed.top, placed.left) == (0, 1)

    def share(low: float, high: float, center: float, deviation: float) -> float:
        return 0.5 * (
            math.erf((high - center) / deviation / math.sqrt(2))
            - math.erf((low - center) / deviation / math.sqrt(2))
        )

    slow = np.zeros((14, 16))
    sy, sx = 14 / 20, 13 / 18
    for x, y, seconds in rows:
        for i in range(14):
            for j in range(13):
                mass = share(i, i + 1, y * sy, sigma * sy) * share(j, j + 1, x * sx, sigma * sx)
                slow[i, j + 1] += seconds * mass
    ours = density_map(rows, native=(20, 18), size=(14, 16), sigma_px=sigma)
    np.testing.assert_allclose(ours.numpy(), slow / slow.sum(), atol=1e-7)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_one_fixation_at_paper_size(fit):
    native, size = (3056, 2544), (640, 512)
    x, y = 1401.7, 1702.2
    p = density_map(np.array([[x, y, 0.3]]), native=native, size=size, fit=fit).double()
    placed = Placement.of(native, size, fit)
    sy, sx = placed.scale
    i, j = divmod(int(p.argmax()), size[1])
    assert abs(i + 0.5 - (y * sy + placed.top)) <= 1
    assert abs(j + 0.5 - (x * sx + placed.left)) <= 1
    assert abs(float(p.sum()) - 1) <= 1e-6
    rows, columns = torch.arange(640) + 0.5, torch.arange(512) + 0.5
    spread = [
        math.sqrt(float((m * a**2).sum() - (m * a).sum() ** 2))
        for m, a in ((p.sum(1), rows), (p.sum(0), columns))
    ]
    expected = PUBLISHED_SIGMA_PX / 2544 * native[1]
    assert spread[0] == pytest.approx(expected * sy, rel=0.02)
    assert spread[1] == pytest.approx(expected * sx, rel=0.02)


def test_default_width_is_the_published_one_on_a_usual_radiograph():
    assert pytest.approx(0.3 * ((501 - 1) * 0.5 - 1) + 0.8) == SIGMA_SHARE * 2544
    rows = np.array([[900.0, 700.0, 1.0]])
    given = density_map(rows, native=(3056, 2544), size=(80, 64), sigma_px=75.5)
    assert density_map(rows, native=(3056, 2544), size=(80, 64)).equal(given)


@pytest.mark.parametrize(("weight", "ratio"), [("duration", 3.0), ("count", 1.0)])
def test_mass_follows_the_weighting(weight, ratio):
    rows = np.array([[100.0, 200.0, 0.2], [300.0, 200.0, 0.6]])
    p = density_map(rows, native=(400, 400), size=(40, 40), sigma_px=8, weight=weight).double()
    assert float(p[:, 20:].sum() / p[:, :20].sum()) == pytest.approx(ratio, rel=1e-6)


def test_hundreds_of_hits_do_not_wrap():
    rows = np.array([[100.0, 100.0, 1 / 60]] * 300 + [[300.0, 100.0, 1 / 60]] * 100)
    p = density_map(rows, native=(400, 400), size=(40, 40), sigma_px=8, weight="count").double()
    assert float(p[:, :20].sum()) == pytest.approx(0.75, abs=1e-6)


def test_what_does_not_count_leaves_no_trace():
    good = np.array([[10.0, 12.0, 0.4]])
    bad = np.array(
        [
            *([-0.1, 5, 1], [5, -3, 1], [40, 5, 1], [5, 50, 1]),
            *([np.nan, 5, 1], [5, np.inf, 1], [5, 5, 0], [5, 5, -1], [5, 5, np.nan]),
        ]
    )
    clean = density_map(good, native=(50, 40), size=(25, 20))
    assert density_map(np.concatenate([bad, good]), native=(50, 40), size=(25, 20)).equal(clean)
    assert len(countable(bad, (50, 40), "duration")) == 0
    assert len(countable(bad, (50, 40), "count")) == 3  # those whose place is good
    assert density_map(bad, native=(50, 40), size=(25, 20)).count_nonzero() == 0
    assert density_map(np.zeros((0, 3)), native=(50, 40)).shape == (50, 40)


def test_nothing_lies_on_the_padding():
    rows = np.array([[1.0, 1.0, 1.0], [99.0, 49.0, 1.0]])
    p = density_map(rows, native=(50, 100), size=(64, 64), sigma_px=20)
    assert p[:16].count_nonzero() == 0
    assert p[48:].count_nonzero() == 0
    assert p[16:48].min() > 0


def test_a_gaussian_much_narrower_than_a_pixel_keeps_its_mass():
    p = density_map(np.array([[1000.2, 2000.9, 1.0]]), native=(3000, 2500), size=(6, 5), sigma_px=1e-3)
    assert p.max() == 1
    assert p[4, 2] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 400), st.integers(2, 400)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["pad", "stretch"]),
    st.floats(0.01, 500),
    st.integers(0, 2**31),
)
def test_always_a_distribution(native, size, fit, sigma, seed):
    rng = np.random.default_rng(seed)
    rows = rng.uniform((0, 0, 0.01), (native[1], native[0], 2), size=(5, 3))
    p = density_map(rows, native=native, size=size, sigma_px=sigma, fit=fit).double()
    assert p.min() >= 0
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)


def test_the_published_map_is_cut_off_and_counts():
    rows = np.array([[1200.0, 1500.0, 0.01]] * 3 + [[400.0, 500.0, 5.0]])
    cut = published_density(rows, native=(3056, 2544), size=(640, 512)).double()
    whole = density_map(rows, native=(3056, 2544), size=(640, 512), sigma_px=75.5, weight="count").double()
    assert cut.count_nonzero() < 0.1 * cut.numel() < whole.count_nonzero()
    assert 0 < float(abs(cut - whole).sum()) < 0.01  # what lies beyond 3.3 standard deviations
    assert float(cut[:200, :160].sum()) == pytest.approx(0.25, abs=1e-6)


def test_the_published_kernel_against_scipy_on_native_pixels():
    """A truncated Gaussian of the same radius, sampled at pixel centers as OpenCV does."""
    native, sigma, radius = (240, 200), 10.0, 33
    rows = np.array([[100.5, 120.5, 1.0], [60.5, 90.5, 1.0]])
    counts = np.zeros(native)
    counts[120, 100] = counts[90, 60] = 1
    theirs = ndimage.gaussian_filter(counts, sigma, mode="constant", radius=radius)
    ours = density_map(rows, native=native, sigma_px=sigma, weight="count", reach_px=radius + 0.5).double()
    np.testing.assert_array_equal(ours.numpy() > 0, theirs > 0)
    assert abs(ours.numpy() - theirs / theirs.sum()).sum() < 0.002


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sigma_px": 0}, "sigma_px"),
        ({"sigma_px": float("nan")}, "sigma_px"),
        ({"weight": "time"}, "weight"),
        ({"fit": "crop"}, "fit"),
        ({"size": (0, 4)}, "image_size"),
        ({"native": (4,)}, "native"),
        ({"fixations": np.zeros((2, 2))}, "fixations"),
    ],
)
def test_refusals(change, field):
    arguments = {"fixations": np.ones((1, 3)), "native": (8, 8), "size": (4, 4)} | change
    with pytest.raises(InputError) as caught:
        density_map(arguments.pop("fixations"), **arguments)
    assert caught.value.field == field


def test_images_and_points_go_the_same_way():
    """A bright native pixel and the point at its center arrive at the same place."""
    rng = np.random.default_rng(3)
    for native, size, fit in (
        ((90, 61), (40, 40), "pad"),
        ((61, 90), (30, 48), "stretch"),
        ((33, 47), None, "pad"),
    ):
        placed = Placement.of(native, size, fit)
        row, column = int(rng.integers(10, native[0] - 10)), int(rng.integers(10, native[1] - 10))
        image = torch.zeros(1, 1, *native)
        image[0, 0, row, column] = 1
        shown = placed.picture(image)[0, 0].double()
        assert tuple(shown.shape) == placed.size
        centers = torch.meshgrid(
            torch.arange(placed.size[0]) + 0.5, torch.arange(placed.size[1]) + 0.5, indexing="ij"
        )
        place = [float((shown * axis).sum() / shown.sum()) for axis in centers]
        x, y = placed.points(np.array([[column + 0.5, row + 0.5]]))[0]
        assert place == pytest.approx([y, x], abs=0.25)
        assert placed.box([0, 0, native[1], native[0]]) == pytest.approx(
            [placed.left, placed.top, placed.left + placed.content[1], placed.top + placed.content[0]]
        )
