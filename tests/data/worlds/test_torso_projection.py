"""Line integrals: against closed forms, and against a slow walk along every ray in float64."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from visus.data.worlds.torso.projection import Beam, attenuation, blurred, coefficients, project
from visus.errors import InputError


def grid(shape: tuple[int, int, int], mm: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Affine of a volume around 0, and its voxel centers (x, y, z)."""
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * mm for n in shape]
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n in shape]
    return affine, list(np.meshgrid(*axes, indexing="ij"))


def ball(shape, mm, center, radius):
    affine, (x, y, z) = grid(shape, mm)
    r = np.sqrt((x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2)
    return np.clip((radius - r) / mm + 0.5, 0, 1).astype(np.float32), affine


def wide(picture: np.ndarray) -> float:
    """Standard deviation around the center of mass."""
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    x, y = np.average(columns, weights=picture), np.average(rows, weights=picture)
    return math.sqrt(np.average((columns - x) ** 2 + (rows - y) ** 2, weights=picture))


def walked(volume: np.ndarray, affine: np.ndarray, beam: Beam, step: float) -> np.ndarray:
    """Every ray on its own, by its two ends in space: from the source to a pixel of the detector."""
    out = np.zeros(beam.size)
    toward = -1.0 if beam.view == "PA" else 1.0
    source = np.array([beam.center[0], beam.detector_y + toward * beam.source_mm, beam.center[1]])
    reach = (volume.shape[1] + 2) * abs(affine[1, 1]) / 2
    for row in range(beam.size[0]):
        for column in range(beam.size[1]):
            right = (column + 0.5 - beam.size[1] / 2) * beam.pixel_mm
            down = (row + 0.5 - beam.size[0] / 2) * beam.pixel_mm
            turned = math.radians(beam.roll)
            right, down = (
                math.cos(turned) * right + math.sin(turned) * down,
                math.cos(turned) * down - math.sin(turned) * right,
            )
            pixel = np.array([beam.center[0] - right, beam.detector_y, beam.center[1] - down])
            way = pixel - source
            ts = np.sort((np.array([-reach, reach]) - source[1]) / way[1])
            n = math.ceil((ts[1] - ts[0]) * np.linalg.norm(way) / step)
            t = ts[0] + (np.arange(n) + 0.5) / n * (ts[1] - ts[0])
            points = source + t[:, None] * way
            depth = points[:, 1] - beam.pivot_y  # the lean shears the patient, not the ray
            points[:, 0] -= math.tan(math.radians(beam.turn)) * depth
            points[:, 2] -= math.tan(math.radians(beam.tilt)) * depth
            index = (points - affine[:3, 3]) / np.diag(affine)[:3]
            values = map_coordinates(volume.astype(np.float64), index.T, order=1, mode="grid-constant")
            length = np.linalg.norm(np.diff(points[:2], axis=0))
            out[row, column] = values.sum() * length
    return out


@pytest.mark.parametrize("view", ["PA", "AP"])
@pytest.mark.parametrize("lean", [(0.0, 0.0, 0.0), (5.0, -3.0, 8.0)])
def test_a_cone_equals_the_walk_along_every_ray(view, lean):
    rng = np.random.default_rng(0)
    coarse = rng.random((6, 5, 7))
    volume = np.kron(coarse, np.ones((4, 4, 4))).astype(np.float32)
    affine = grid(volume.shape, 5.0)[0]
    front = {"PA": 80.0, "AP": -80.0}[view]
    beam = Beam(
        view=view,
        size=(11, 9),
        pixel_mm=10.0,
        source_mm=600.0,
        detector_y=front,
        pivot_y=12.0,
        center=(4.0, -6.0),
        turn=lean[0],
        tilt=lean[1],
        roll=lean[2],
    )
    # Pixels as large as two voxels are averaged over 2 x 2 rays; the walk takes the same rays.
    fine = dataclasses.replace(beam, size=(22, 18), pixel_mm=5.0)
    slow = walked(volume, affine, fine, step=0.5).reshape(11, 2, 9, 2).mean((1, 3))
    fast = project(volume[None], affine, beam, tolerance=0)[0]
    np.testing.assert_allclose(fast, slow, rtol=0.01)
    thick = project(volume[None], affine, beam)[0]
    assert np.abs(thick - slow).mean() < 0.012 * slow.max()  # blocks of noise: a hard case


def test_a_parallel_beam_adds_up_voxels():
    rng = np.random.default_rng(1)
    volume = rng.random((12, 9, 10)).astype(np.float32)
    affine = grid(volume.shape, 3.0)[0]
    beam = Beam(size=(10, 12), pixel_mm=3.0)
    expected = volume.astype(np.float64).sum(1)[::-1, ::-1].T * 3.0  # the patient's right is left, up is up
    np.testing.assert_allclose(project(volume[None], affine, beam)[0], expected, rtol=1e-5)
    flipped = np.diag([-3.0, 3.0, 3.0, 1.0])
    flipped[:3, 3] = affine[:3, 3] * (-1, 1, 1)
    np.testing.assert_allclose(project(volume[None, ::-1], flipped, beam)[0], expected, rtol=1e-5)
    other = dataclasses.replace(beam, view="AP")
    np.testing.assert_allclose(project(volume[None], affine, other)[0], expected, rtol=1e-5)


def test_a_slab_is_its_thickness_over_the_cosine():
    affine, (_, y, _) = grid((80, 30, 80), 4.0)
    slab = (np.abs(y) < 30).astype(np.float32)
    beam = Beam(size=(32, 32), pixel_mm=8.0, source_mm=700.0, detector_y=100.0)
    out = project(slab[None], affine, beam)[0]
    at = (np.arange(32) + 0.5 - 16) * 8.0
    exact = 56.0 * np.sqrt(1 + (at[:, None] ** 2 + at[None] ** 2) / 700.0**2)  # 14 slices of 4 mm
    np.testing.assert_allclose(out, exact, rtol=2e-3)


def test_a_ball_is_its_chord():
    volume, affine = ball((60, 60, 60), 2.0, (0, 0, 0), 40.0)
    beam = Beam(size=(60, 60), pixel_mm=2.0)
    out = project(volume[None], affine, beam)[0]
    at = (np.arange(60) + 0.5 - 30) * 2.0
    r2 = at[:, None] ** 2 + at[None] ** 2
    chord = 2 * np.sqrt(np.maximum(40.0**2 - r2, 0))
    well_inside = r2 < 36**2
    np.testing.assert_allclose(out[well_inside], chord[well_inside], rtol=0.02)
    assert (out[r2 > 44**2] == 0).all()
    np.testing.assert_allclose(out.sum() * 4, 4 / 3 * math.pi * 40**3, rtol=0.005)


@pytest.mark.parametrize(
    ("view", "source", "y"), [("PA", 1800.0, -80.0), ("AP", 1000.0, 80.0), ("AP", 1000.0, -40.0)]
)
def test_a_small_ball_is_magnified_and_where_the_beam_says(view, source, y):
    center = np.array([60.0, y, -40.0])
    volume, affine = ball((110, 100, 100), 2.0, center, 12.0)
    detector = 130.0 if view == "PA" else -130.0
    beam = Beam(
        view=view, size=(200, 200), pixel_mm=1.25, source_mm=source, detector_y=detector, turn=2, roll=3
    )
    out = project(volume[None], affine, beam)[0].astype(np.float64)
    rows, columns = np.mgrid[0:200, 0:200] + 0.5
    mass = out.sum()
    x, y_ = (out * columns).sum() / mass, (out * rows).sum() / mass
    expected = beam.pixels(center[None])[0]
    assert (x, y_) == pytest.approx(tuple(expected), abs=0.3)
    distance = abs(detector - y)
    m = source / (source - distance)
    assert beam.magnification(np.array([y]))[0] == pytest.approx(m)
    straight = dataclasses.replace(beam, source_mm=math.inf)
    assert wide(out) / wide(project(volume[None], affine, straight)[0]) == pytest.approx(m, rel=0.01)
    straight = Beam(view=view, size=(200, 200), pixel_mm=1.25, source_mm=source, detector_y=detector)
    offset = (straight.pixels(center[None])[0] - 100) * 1.25
    np.testing.assert_allclose(offset, [-60 * m, 40 * m])


def test_thin_averages_do_not_change_sums():
    rng = np.random.default_rng(2)
    volume, affine = ball((40, 40, 40), 2.5, (5, 5, 5), 30.0)
    volume *= rng.random(volume.shape).astype(np.float32)
    beam = Beam(size=(20, 20), pixel_mm=7.0, source_mm=1000.0, detector_y=90.0)
    exact = project(volume[None], affine, beam, tolerance=0)[0]
    quick = project(volume[None], affine, beam)[0]
    assert np.abs(exact - quick).max() < 0.05 * exact.max()
    assert quick.sum() == pytest.approx(exact.sum(), rel=5e-3)


def test_attenuation():
    water, bone = coefficients(60.0)
    assert (10 * water, 10 * bone) == pytest.approx((0.2059, 0.3148 * 1.92))  # NIST at a tabulated energy
    mu = attenuation(np.array([-1100.0, -1000.0, -500.0, 0.0]))
    np.testing.assert_allclose(mu, [0, 0, water / 2, water], atol=1e-9)
    ct_water, ct_bone = coefficients(70.0)
    hu_bone = 1000 * (ct_bone / ct_water - 1)
    assert attenuation(np.array([hu_bone]))[0] == pytest.approx(bone, rel=1e-5)
    np.testing.assert_allclose(  # at the scanner's own energy CT numbers are what they say
        attenuation(np.array([300.0, 1000.0]), 70.0), [1.3 * ct_water, 2 * ct_water], rtol=1e-5
    )
    soft, hard = (attenuation(np.array([0.0, 800.0]), kev) for kev in (50.0, 100.0))
    assert soft[1] / soft[0] > hard[1] / hard[0]
    with pytest.raises(InputError, match="energy_kev"):
        attenuation(np.zeros(1), 10.0)


def test_blur_keeps_constants_and_has_its_width():
    assert blurred(np.full((9, 14), 3.0), 4.0) == pytest.approx(3.0)
    point = np.zeros((61, 61), np.float32)
    point[30, 30] = 1
    out = blurred(point, 5.0)
    at = np.arange(61) - 30
    assert math.sqrt((out.sum(0) * at**2).sum()) == pytest.approx(5.0, rel=0.01)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="view"):
        Beam(view="lateral", size=(8, 8), pixel_mm=1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="size"):
        Beam(size=(0, 8), pixel_mm=1.0)
    volume = np.zeros((1, 4, 4, 4), np.float32)
    with pytest.raises(InputError, match="source_mm"):
        project(
            volume, np.diag([50.0, 50, 50, 1]), Beam(size=(4, 4), pixel_mm=1.0, source_mm=60.0, detector_y=90)
        )
    skew = np.eye(4)
    skew[0, 1] = 0.5
    with pytest.raises(InputError, match="affine"):
        project(volume, skew, Beam(size=(4, 4), pixel_mm=1.0))
