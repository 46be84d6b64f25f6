"""The anatomy of drawn people: solids have their volumes, organs their places, sizes and CT numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from visus.data.worlds import torso
from visus.data.worlds.torso.anatomy import GAS_HU
from visus.data.worlds.torso.canvas import Canvas, Grid, bent, ellipsoid, smooth_field, tubes
from visus.data.worlds.torso.chest import Chest
from visus.data.worlds.torso.labels import BONES, LUNGS, TISSUES
from visus.errors import InputError

FINE = (96, 72, 96)


@pytest.fixture(scope="module")
def people() -> list[torso.Torso]:
    rng = np.random.default_rng(11)
    return [torso.build(torso.draw_person(rng, sex="FM"[i % 2])) for i in range(24)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain() -> list[torso.Torso]:
    rng = np.random.default_rng(12)
    drawn = [torso.draw_person(rng, sex=sex) for sex in ("F", "M")]
    return [torso.build(person, shape=FINE, texture=False) for person in drawn]


def _center(found: torso.Torso, name: str) -> np.ndarray:
    index = np.argwhere(found.labels == torso.LABELS[name]).mean(0)
    return found.affine[:3, :3] @ index + found.affine[:3, 3]


def test_labels_are_stable_and_at_least_fourteen():
    assert list(torso.LABELS.values()) == list(range(25))
    assert torso.LABELS["right lung"] == 4
    assert torso.LABELS["heart"] == 8
    assert torso.LABELS["viscera"] == 24
    kinds = ("none", "cardiomegaly", "haze", "effusion", "consolidation", "nodule", "granuloma")
    assert {name: i for i, name in enumerate((*kinds, "fracture", "device"))} == torso.FINDINGS


def test_everybody_has_every_organ(people):
    for found in people:
        assert set(np.unique(found.labels)) == set(torso.LABELS.values()), found.person


def test_organs_are_on_their_sides(people):
    for found in people:
        x = {name: _center(found, name)[0] for name in torso.LABELS}
        assert x["right lung"] > 40 > -40 > x["left lung"]
        assert x["liver"] > 15
        assert x["heart"] < -5
        assert max(x["spleen"], x["stomach"], x["aorta"]) < 0
        assert x["right kidney"] > 30
        assert x["left kidney"] < -30
        for name in ("spine", "sternum", "ribs", "muscle", "clavicles"):
            assert abs(x[name]) < 12, name


def test_organs_lie_before_and_above_each_other(people):
    for found in people:
        place = {name: _center(found, name) for name in torso.LABELS}
        front, up = ({name: p[axis] for name, p in place.items()} for axis in (1, 2))
        assert front["sternum"] > front["heart"] > front["aorta"] > front["spine"]
        assert front["breasts"] > front["right lung"] > front["scapulae"]
        assert up["clavicles"] > up["heart"] > up["liver"] > up["right kidney"]
        assert up["airways"] > up["heart"] > up["stomach"] > up["colon"]


def test_volumes_are_those_of_adults(people):
    # Broad ranges for adults, ml; lungs in deep breath (total capacity 3.5..8 l less blood and tissue).
    ranges = {
        "right lung": (800, 4800),
        "left lung": (700, 4500),
        "heart": (250, 1300),
        "liver": (800, 3100),
        "spleen": (60, 400),
        "right kidney": (65, 280),
        "left kidney": (65, 280),
        "aorta": (70, 350),
        "airways": (15, 110),
    }
    volumes = [torso.volumes_ml(found) for found in people]
    for name, (low, high) in ranges.items():
        values = [v[name] for v in volumes]
        assert low < min(values), name
        assert max(values) < high, name
    men = np.mean([v["right lung"] for v, t in zip(volumes, people) if t.person.sex == "M"])
    women = np.mean([v["right lung"] for v, t in zip(volumes, people) if t.person.sex == "F"])
    assert men > 1.15 * women
    fat = [v["fat"] for v in volumes]
    assert np.corrcoef(fat, [t.person.bmi for t in people])[0, 1] > 0.8


def test_the_frontal_shadow_of_the_lungs_is_the_drawn_outline(plain):
    for found in plain:
        chest = Chest(found.person, Grid(FINE, found.spacing_mm))
        inside = (found.labels == LUNGS[0]) | (found.labels == LUNGS[1])
        inside |= np.isin(found.labels, [torso.LABELS[n] for n in ("heart", "pulmonary vessels", "aorta")])
        inside |= np.isin(found.labels, [torso.LABELS[n] for n in ("mediastinum", "airways", "spine")])
        shadow, outline = inside.any(1), (chest.silhouettes >= 0.5).any(0)
        lungs = ((found.labels == LUNGS[0]) | (found.labels == LUNGS[1])).any(1)
        assert (lungs & ~outline).sum() == 0
        assert (outline & ~shadow).sum() < 0.02 * outline.sum()
        assert (outline & ~lungs).sum() < 0.05 * outline.sum()


def test_lungs_keep_to_the_cavity(people):
    for found in people:
        chest = Chest(found.person, Grid(found.labels.shape, found.spacing_mm))
        lungs = np.isin(found.labels, LUNGS)
        assert chest.inner[lungs].min() > -0.6 * found.spacing_mm[0]
        ribs = found.labels == torso.LABELS["ribs"]
        assert chest.inner[ribs].max() < 0.8 * found.spacing_mm[0]
        assert chest.outer[np.isin(found.labels, BONES)].min() > 0


def test_ct_numbers_are_those_of_the_tissues(plain):
    for found in plain:
        for name, tissue in TISSUES.items():
            # Inside, away from edges that mix tissues.
            inside = found.labels == tissue.number
            for axis in range(3):
                inside &= (np.roll(inside, 1, axis) & np.roll(inside, -1, axis)) | (name in _THIN)
            values = found.hu[inside]
            if name in LUNG_NAMES:
                assert found.person.lung_hu - 40 < np.median(values) < found.person.lung_hu + 40
            elif name == "spine":
                assert 150 < values.mean() < 340
            elif name == "skin":  # a voxel of skin is half air or half fat
                assert -400 < np.median(values) < 40
            elif name in _THIN:
                low, high = sorted((tissue.hu, -150.0 if tissue.hu > -500 else 0.0))
                assert low - 5 <= np.median(values) <= high + 5, name
            elif name == "stomach":
                assert {round(float(v)) for v in np.unique(values)} >= {round(GAS_HU), round(tissue.hu)}
            else:
                assert np.median(values) == pytest.approx(tissue.hu, abs=35), name


LUNG_NAMES = ("right lung", "left lung")
_THIN = (
    "skin",
    "pulmonary vessels",
    "airways",
    "costal cartilage",
    "ribs",
    "clavicles",
    "scapulae",
    "sternum",
)


def test_people_follow_the_stated_distributions():
    rng = np.random.default_rng(3)
    drawn = [torso.draw_person(rng) for _ in range(1500)]
    men = [p for p in drawn if p.sex == "M"]
    women = [p for p in drawn if p.sex == "F"]
    assert abs(len(men) / 1500 - 0.5) < 4 * 0.5 / math.sqrt(1500)
    assert np.mean([p.age for p in drawn]) == pytest.approx(58, abs=2)
    assert 10 < np.mean([p.height_cm for p in men]) - np.mean([p.height_cm for p in women]) < 15
    assert np.mean([p.bmi for p in drawn]) == pytest.approx(17 + 4 * 2.3, abs=0.5)
    assert max(p.cardiothoracic for p in drawn) < 0.5
    assert np.std([p.lung_scores for p in drawn]) == pytest.approx(
        0.6 * 0.96, abs=0.02
    )  # of a normal cut at two
    assert torso.draw_person(np.random.default_rng(1), sex="F", age=70).age == 70
    with pytest.raises(InputError, match="sex"):
        torso.draw_person(rng, sex="x")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="18 to 100"):
        torso.draw_person(rng, age=5)


@pytest.mark.parametrize("step", [2.0, 6.5])
def test_ellipsoids_have_their_volume_and_box(step):
    grid = Grid((48, 40, 44), (step,) * 3)
    center, half = (3.3, -5.1, 2.0), (5.1 * step, 3.7 * step, 6.2 * step)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    for axes in (None, turn):
        filled, box = ellipsoid(grid, center, half, axes=axes)
        whole = np.zeros(grid.shape)
        whole[box] = filled
        volume = 4 / 3 * math.pi * math.prod(half)
        assert whole.sum() * step**3 == pytest.approx(volume, rel=0.03)
        canvas = Canvas(grid)
        canvas.paint(whole, 40.0, 3)
        assert (canvas.labels == 3).sum() * step**3 == pytest.approx(volume, rel=0.05)
        x, y, z = grid.axes()
        offset = np.stack(np.broadcast_arrays(x - center[0], y - center[1], z - center[2]), -1)
        rows = np.eye(3) if axes is None else axes
        inside = (((offset @ rows.T) / half) ** 2).sum(-1) < 1
        assert (inside & (whole < 0.3)).sum() < 0.02 * inside.sum()


def test_rods_have_their_volume_wherever_they_lie():
    grid = Grid((40, 40, 40), (3.0, 3.0, 3.0))
    rng = np.random.default_rng(2)
    for radius in (1.0, 4.0, 9.0):
        ends = rng.uniform(-30, 30, (2, 3))
        filled, box = tubes(grid, bent(ends, radius))
        length = np.linalg.norm(ends[1] - ends[0])
        ideal = math.pi * radius**2 * length
        assert filled.sum() * 27 == pytest.approx(ideal, rel=0.15)
        x, y, z = grid.axes(box)
        spot = np.stack(np.broadcast_arrays(x, y, z), -1) - ends[0]
        along = np.clip(spot @ (ends[1] - ends[0]) / length**2, 0, 1)
        distance = np.linalg.norm(spot - along[..., None] * (ends[1] - ends[0]), axis=-1)
        assert (filled[distance > radius + 3 * math.sqrt(3) / 2 + 0.01] == 0).all()
    cut, box = tubes(grid, bent([(0, 0, 0), (0, 0, 500)], 4.0))
    assert cut.shape[2] == box[2].stop - box[2].start == 21


def test_the_first_half_axis_points_along_up():
    grid = Grid((40, 40, 40), (1.0, 1.0, 1.0))
    filled, box = tubes(grid, bent([(-10, 0, 0), (10, 0, 0)], np.full((2, 2), (8.0, 3.0))))
    x, y, z = grid.axes(box)
    tall = (filled > 0.5) & (np.abs(x) < 5)
    assert np.abs(np.broadcast_to(z, filled.shape)[tall]).max() == pytest.approx(8, abs=1)
    assert np.abs(np.broadcast_to(y, filled.shape)[tall]).max() == pytest.approx(3, abs=1)


def test_random_fields_are_smooth():
    grid = Grid((60, 50, 40), (2.0, 2.0, 2.0))
    field = smooth_field(grid, 20.0, np.random.default_rng(0))
    assert field.shape == grid.shape
    assert 0.3 < field.std() < 1
    assert np.abs(np.diff(field, axis=0)).max() < 6 * 2 / 20
    np.testing.assert_allclose(np.diff(field, n=2, axis=2)[..., 4:8].min(), 0, atol=1)
