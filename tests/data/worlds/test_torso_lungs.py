"""Lung shapes: the committed statistics are those of the real masks, and drawn outlines are lungs."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from visus.data.worlds.torso import lungs
from visus.errors import InputError


def _png(mask: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return stream.getvalue()


def _pair(size: int = 200, shift: int = 0, tall: float = 70.0) -> np.ndarray:
    row, column = np.mgrid[:size, :size]
    mask = np.zeros((size, size), dtype=np.uint8)
    for center in (60 + shift, 140 + shift):
        mask[((row - 100) / tall) ** 2 + ((column - center) / 30.0) ** 2 < 1] = 255
    return mask


def _archive(path, masks: dict[str, np.ndarray]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, mask in masks.items():
            archive.writestr(name, _png(mask))
    return path


def test_a_walk_along_a_mask_has_its_area_and_its_perimeter():
    mask = np.zeros((9, 12), dtype=bool)
    mask[2:7, 3:9] = True
    mask[4, 9] = True
    outline = lungs._outline(mask)
    x, z = outline.T
    area = 0.5 * abs(np.dot(x, np.roll(z, 1)) - np.dot(z, np.roll(x, 1)))
    assert area == mask.sum()
    assert len(outline) == 2 * (5 + 6) + 2
    assert np.abs(np.diff(np.concatenate([outline, outline[:1]]), axis=0)).sum(1).max() == 1


def test_points_lie_on_the_outline_from_the_apex_down_the_lateral_edge():
    right, left = (lungs._outline(_pair()[:, part] == 255) for part in (slice(0, 100), slice(100, 200)))
    for outline, side in ((right, 1), (left, -1)):
        points = lungs._resampled(outline, side)
        assert points.shape == (sum(lungs.POINTS), 2)
        assert points[0, 1] == outline[:, 1].max()
        lateral = (points[1 : lungs.POINTS[0], 0] - points[0, 0]) * side
        assert (lateral > 0).all()
        distance = np.linalg.norm(points[:, None] - outline[None], axis=2).min(1)
        assert distance.max() < 0.8


def test_odd_masks_are_counted_not_used(tmp_path):
    good, one, gray = _pair(), _pair(), _pair()
    one[:, :100] = 0
    gray[10:14, 10:14] = 127
    cut = np.concatenate([np.tile(_pair()[100:101], (50, 1)), _pair()[100:]])
    uneven = _pair()
    uneven[120:, :100] = 0
    specks = _pair()
    specks[5:8, 5:8] = 255
    names = {"a": good, "b": one, "c": gray, "d": cut, "e": uneven, "f": specks, "g": np.zeros_like(good)}
    read = lungs.read_lung_masks(_archive(tmp_path / "m.zip", {f"x/{k}.png": v for k, v in names.items()}))
    assert len(read.outlines) == 2
    assert dict(read.rejected) == {
        "not two components": 1,
        "ignored areas": 1,
        "cut off": 1,
        "unequal lungs": 1,
        "no lungs": 1,
    }
    assert read.outlines[0, 0, :, 0].mean() > read.outlines[0, 1, :, 0].mean()


def test_broken_archives_are_named(tmp_path):
    (tmp_path / "m.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"m\.zip: is not a zip archive"):
        lungs.fit_lung_shapes(tmp_path / "m.zip")
    few = _archive(tmp_path / "few.zip", {"a.png": _pair(), "b.png": _pair(shift=5)})
    with pytest.raises(InputError, match="holds 2 usable lung masks"):
        lungs.fit_lung_shapes(few)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a.png", b"no image")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
        lungs.read_lung_masks(tmp_path / "bad.zip")


def test_place_size_and_rotation_do_not_matter():
    rng = np.random.default_rng(0)
    shapes = np.array(
        [
            np.asarray(lungs.lung_shapes().outline(tuple(rng.standard_normal(8)))).reshape(-1, 2)
            for _ in range(20)
        ]
    )
    angle = rng.uniform(-0.3, 0.3, 20)
    turn = np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1
    )
    moved = rng.uniform(50, 200, (20, 1, 1)) * shapes @ turn + rng.normal(0, 100, (20, 1, 2))
    np.testing.assert_allclose(lungs._aligned(moved), lungs._aligned(shapes), atol=2e-3)
    mean = lungs._aligned(moved).mean(0).reshape(2, -1, 2)
    assert np.ptp(mean[:, :, 1], axis=1).mean() == pytest.approx(1)


def test_committed_statistics_survive_writing(tmp_path):
    shapes = lungs.lung_shapes()
    assert shapes.masks == 372
    assert len(shapes.modes) == lungs.MODES
    assert 0.85 < shapes.explained < 0.95
    spread = [np.linalg.norm(mode) for mode in shapes.modes]
    assert spread == sorted(spread, reverse=True)
    gram = np.array(shapes.modes) @ np.array(shapes.modes).T
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=2e-3)
    lungs.write_lung_shapes(tmp_path / "s.yaml", shapes)
    committed = (lungs.Path(lungs.__file__).parent / "lung_shapes.yaml").read_text()
    assert (tmp_path / "s.yaml").read_text() == committed


def test_drawn_outlines_are_two_lungs_side_by_side():
    rng, shapes = np.random.default_rng(1), lungs.lung_shapes()
    for _ in range(200):
        right, left = shapes.outline(tuple(np.clip(rng.standard_normal(8), -2, 2)))
        assert right[:, 0].min() > left[:, 0].max()
        for lung, side in ((right, 1), (left, -1)):
            assert 0.7 < np.ptp(lung[:, 1]) < 1.35
            assert np.argmax(lung[:, 1]) in (*range(4), *range(36, 40))
            corner = np.argmax(0.6 * side * lung[:, 0] - lung[:, 1])
            assert abs(corner - lungs.POINTS[0]) <= 3
    with pytest.raises(InputError, match="give 8"):
        shapes.outline((0.0,))


def test_the_statistics_are_those_of_the_packaged_masks():
    archive = lungs.packaged_masks()
    if archive is None:
        pytest.skip("torchxrayvision, which holds the masks, is not installed")
    fitted, committed = lungs.fit_lung_shapes(archive), lungs.lung_shapes()
    assert fitted.masks == committed.masks
    assert fitted.explained == pytest.approx(committed.explained, abs=1e-4)
    np.testing.assert_allclose(fitted.mean, committed.mean, atol=6e-5)
    np.testing.assert_allclose(fitted.modes, committed.modes, atol=6e-5)
