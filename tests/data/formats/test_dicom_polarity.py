"""Whether a chest radiograph is the right way round: made-up chests, and the real one that pydicom-data has."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from visus.data.formats.dicom import looks_inverted, polarity, read_dicom
from visus.errors import InputError


def chest(rng: np.random.Generator, size: tuple[int, int] = (120, 100)) -> np.ndarray:
    """What is left of a beam behind a made-up chest, as bright = dense: body, lungs, heart, spine, ribs."""
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]

    def inside(cx, cy, rx, ry):
        return np.clip(1 - ((x - cx) / rx) ** 2 - ((y - cy) / ry) ** 2, 0, None) ** 0.5

    lean = rng.uniform(-0.05, 0.05)
    lungs = inside(-0.42 + lean, -0.1, rng.uniform(0.3, 0.38), 0.75)
    lungs = lungs + inside(0.42 + lean, -0.1, rng.uniform(0.3, 0.38), 0.7)
    thick = 2.2 * inside(lean, 0.2, rng.uniform(0.85, 1.1), 1.8) - 1.5 * lungs
    thick += rng.uniform(0.3, 0.9) * inside(0.1 + lean, 0.25, rng.uniform(0.25, 0.4), 0.35)
    thick += 0.6 * (np.abs(x - lean) < 0.09) + 0.12 * (np.sin(16 * (y - 0.3 * x**2)) > 0.5) * (lungs > 0)
    return 1 - np.exp(-np.clip(thick, 0, None))


def vary(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As other machines and hands might deliver it: turned, cut, brightened, with a marker, framed."""
    turned = scipy.ndimage.rotate(picture, rng.uniform(-10, 10), reshape=False, order=1, mode="nearest")
    h, w = turned.shape
    top, bottom, left, right = (rng.uniform(0, 0.15, 4) * [h, h, w, w]).astype(int)
    cut = turned[top : h - bottom, left : w - right]
    shown = ((cut - cut.min()) / np.ptp(cut)) ** np.exp(rng.uniform(-0.9, 0.9))
    if rng.random() < 0.4:
        shown[3:12, 3:15] = rng.choice([0.0, 1.0])
    if rng.random() < 0.4:
        shown = np.pad(shown, int(rng.uniform(0, 0.08) * h), constant_values=rng.choice([0.0, 1.0]))
    return shown + rng.normal(0, 0.02, shown.shape)


def test_made_up_chests_in_many_hands():
    rng = np.random.default_rng(0)
    values = np.array([polarity(vary(chest(rng), rng)) for _ in range(150)])
    turned = np.array([polarity(1 - vary(chest(rng), rng)) for _ in range(150)])
    assert (values < -0.1).mean() <= 0.01, "a false alarm"
    assert (turned < -0.1).mean() >= 0.95


def test_order_alone_decides():
    picture = chest(np.random.default_rng(1))
    plain = polarity(picture)
    assert plain > 0.3
    assert not looks_inverted(picture)
    assert looks_inverted(1 - picture)
    assert polarity(1 - picture) == pytest.approx(-plain)
    for other in (picture**3, 4000 * picture - 1000, torch.tensor(picture)[None]):
        assert polarity(other) == pytest.approx(plain, abs=1e-3)
    assert polarity(np.full((20, 20), 3.0)) == 0
    assert not looks_inverted(np.full((20, 20), 3.0))


def test_the_real_chest_radiograph():
    pytest.importorskip("pydicom", reason="pydicom is not installed")
    from pydicom.data import get_testdata_file

    path = get_testdata_file("RG1_UNCR.dcm", download=False)
    if path is None:
        pytest.skip("pydicom-data is not installed")
    picture = read_dicom(path).array[0, ::8, ::8].astype(float)
    assert polarity(picture) > 0.85
    rng = np.random.default_rng(0)
    right = np.array([looks_inverted(vary(picture, rng)) for _ in range(60)])
    wrong = np.array([looks_inverted(vary(1 - picture, rng)) for _ in range(60)])
    assert right.mean() == 0
    assert wrong.mean() >= 0.95


@pytest.mark.parametrize("bad", [np.zeros((3, 20, 20)), np.zeros((8, 20)), np.full((20, 20), np.nan)])
def test_other_shapes_are_refused(bad):
    with pytest.raises(InputError, match="gray picture"):
        polarity(bad)
