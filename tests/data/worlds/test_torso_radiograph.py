"""Radiographs of torsos: geometry, physics and truth, and their likeness to a real one."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from visus.data.worlds.torso import Finding, Torso, build, draw_person
from visus.data.worlds.torso.radiograph import SEGMENTS, Radiograph, Technique, radiograph
from visus.data.worlds.torso.realism import realism, spectrum_slope
from visus.errors import InputError

SIZE = (96, 80)
STILL = Technique(pose_deg=0, exposure=0, collimation_mm=0, marker=False, dose=1e9)


@pytest.fixture(scope="module")
def torsos() -> list[Torso]:
    return [build(draw_person(np.random.default_rng(seed)), shape=(64, 48, 64)) for seed in range(3)]


@pytest.fixture(scope="module")
def pictures(torsos) -> list[Radiograph]:
    return [radiograph(torso, size=SIZE, seed=i) for i, torso in enumerate(torsos)]


def test_a_picture_is_gray_complete_and_its_seed(torsos, pictures):
    for picture in pictures:
        assert picture.image.shape == picture.segmentation.shape == SIZE
        assert picture.image.dtype == np.float32
        assert picture.image.min() >= 0
        assert picture.image.max() <= 1
        assert picture.image.std() > 0.1
        assert set(np.unique(picture.segmentation)) == {0, 1, 2, 3}
    again = radiograph(torsos[0], size=SIZE, seed=0)
    np.testing.assert_array_equal(again.image, pictures[0].image)
    other = radiograph(torsos[0], size=SIZE, seed=7)
    assert np.abs(other.image - again.image).mean() > 0.005
    assert other.beam != again.beam


def test_right_is_left_and_dense_is_bright(pictures):
    for picture in pictures:
        columns = {
            name: np.nonzero(picture.segmentation == number)[1].mean() for name, number in SEGMENTS.items()
        }
        assert columns["right lung"] < columns["heart"] < columns["left lung"]
        both = (columns["right lung"] + columns["left lung"]) / 2
        assert columns["heart"] > both  # the heart lies on the left: on the picture's right
        gray = [picture.image[picture.segmentation == number].mean() for number in (1, 2, 3)]
        assert gray[2] > max(gray[:2]) + 0.1
        abdomen = picture.image[-6:, 20:-20].mean()
        assert abdomen > max(gray[:2]) + 0.1


def test_boxes_bound_what_they_name(pictures):
    for picture in pictures:
        boxes = {box["name"]: box["box"] for box in picture.boxes}
        assert set(SEGMENTS) <= set(boxes)
        rows, columns = np.nonzero(picture.segmentation == 3)
        x1, y1, x2, y2 = boxes["heart"]
        assert (x1, y1, x2, y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        for number, name in ((1, "right lung"), (2, "left lung")):
            x1, y1, x2, y2 = boxes[name]
            rows, columns = np.nonzero(picture.segmentation == number)
            assert columns.min() >= x1
            assert columns.max() < x2
            assert rows.min() == y1  # no heart at the apex


def test_the_heart_is_as_wide_as_the_person_says_and_wider_from_the_front(torsos):
    ratios = []
    for torso in torsos:
        parallel = radiograph(
            torso, size=(256, 256), technique=dataclasses.replace(STILL, source_mm=math.inf)
        )
        front, back = (
            radiograph(torso, size=(256, 256), view=view, technique=STILL).ctr for view in ("AP", "PA")
        )
        assert parallel.ctr == pytest.approx(torso.person.cardiothoracic, abs=0.04)  # 6.9 mm voxels
        ratios.append(front / back)
    assert min(ratios) > 1.0
    assert np.mean(ratios) > 1.03


@pytest.mark.parametrize("lobe", [None, "upper"])
def test_findings_are_where_the_picture_says(lobe):
    person = draw_person(np.random.default_rng(4))
    asked = Finding(kind="consolidation", side="right", severity=0.9, place=(0.5, 0.5, 0.6), lobe=lobe)
    shape = (64, 48, 64)
    ill, well = build(person, findings=[asked], shape=shape), build(person, shape=shape)
    with_it, without = (radiograph(torso, size=SIZE, seed=1, technique=STILL) for torso in (ill, well))
    (shadow,) = with_it.findings
    assert not without.findings
    assert shadow.name == "consolidation"
    x, y = shadow.center
    assert shadow.mask[int(y), int(x)]
    x1, y1, x2, y2 = shadow.box
    assert x1 < x < x2
    assert y1 < y < y2
    assert {"name": "consolidation", "box": list(shadow.box)} in with_it.boxes
    lungs = with_it.segmentation == 1
    assert (shadow.mask & lungs).sum() > 0.6 * shadow.mask.sum()
    gain = with_it.image - without.image
    inside, outside = gain[shadow.mask].mean(), np.abs(gain[with_it.segmentation == 2]).mean()
    assert inside > 0.05
    assert inside > 4 * outside
    rng = np.random.default_rng(0)
    for _ in range(20):
        px, py = shadow.somewhere(rng)
        assert shadow.mask[int(py), int(px)]


def test_the_marker_names_its_side(torsos):
    seen = set()
    for seed in range(8):
        marked, plain = (
            radiograph(torsos[0], size=(192, 160), seed=seed, technique=technique).image
            for technique in (dataclasses.replace(STILL, marker=True), STILL)
        )
        ink = marked - plain
        assert (ink >= 0).all()
        rows, columns = np.nonzero(ink > 0.05)
        assert rows.max() < 0.2 * 192
        letter = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        h, w = letter.shape
        bowl = letter[: h // 2, w // 2 :].sum() / letter.sum()  # R has ink there, L has none
        side = "R" if columns.mean() < 80 else "L"
        assert (bowl > 0.15) == (side == "R")
        seen.add(side)
    assert seen == {"L", "R"}


def test_noise_follows_the_dose(torsos):
    def grain(dose: float) -> float:
        technique = dataclasses.replace(STILL, dose=dose, sharpening=0.0)
        pair = [radiograph(torsos[0], size=SIZE, seed=seed, technique=technique) for seed in (1, 1)]
        quiet = radiograph(torsos[0], size=SIZE, seed=1, technique=dataclasses.replace(technique, dose=1e12))
        assert np.array_equal(pair[0].image, pair[1].image)
        return float((pair[0].image - quiet.image)[-15:, 20:-20].std())

    low, high = grain(2e3), grain(2e5)
    assert low / high == pytest.approx(10, rel=0.35)  # the square root of the ratio of doses
    assert high > 0


def test_collimation_grid_and_pose_can_be_seen(torsos):
    torso = torsos[1]
    closed = [
        radiograph(torso, size=SIZE, seed=s, technique=dataclasses.replace(STILL, collimation_mm=60)).image
        for s in range(3)
    ]
    open_ = radiograph(torso, size=SIZE, seed=0, technique=STILL).image
    assert (
        max(np.concatenate([image[:, 0], image[:, -1]]).mean() for image in closed) > open_[:, [0, -1]].mean()
    )
    lined = dataclasses.replace(STILL, grid_lines=0.3, grid_pitch_mm=16.0)
    shadow = radiograph(torso, size=SIZE, seed=0, technique=lined)
    change = (shadow.image - open_)[50:].mean(axis=0)
    power = np.abs(np.fft.rfft(change - change.mean()))
    periods = SIZE[1] * shadow.beam.pixel_mm / 16.0
    assert power[1:].argmax() + 1 == pytest.approx(periods, abs=1)
    turned = radiograph(torso, size=SIZE, seed=0, technique=dataclasses.replace(STILL, pose_deg=4.0))
    assert turned.beam.turn != 0
    assert np.abs(turned.image - open_).mean() > 0.005


def test_bad_input_is_named(torsos):
    with pytest.raises(InputError, match="size"):
        radiograph(torsos[0], size=(8, 64))
    with pytest.raises(InputError, match="view"):
        radiograph(torsos[0], size=(64, 64), view="side")  # pyright: ignore[reportArgumentType]
    empty = dataclasses.replace(torsos[0], labels=np.zeros_like(torsos[0].labels))
    with pytest.raises(InputError, match="labels"):
        radiograph(empty, size=(64, 64))


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    """A posteroanterior chest radiograph of pydicom's test data, bright = dense, without its black rim."""
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("data_store", reason="pydicom-data is not installed")
    import data_store

    path = Path(next(iter(data_store.__path__))) / "data" / "RG1_UNCR.dcm"
    if not path.exists():
        pytest.skip("pydicom-data holds no RG1_UNCR.dcm")
    stored = pydicom.dcmread(path).pixel_array.astype(np.float64)
    return (stored.max() - stored)[60:-10, 10:-25]


def test_pictures_resemble_a_real_radiograph(real):
    found = []
    for seed in range(4):
        torso = build(draw_person(np.random.default_rng(seed)), shape=(96, 72, 96))
        found.append(realism(radiograph(torso, size=(192, 176), seed=seed).image, real))
    mean = {key: float(np.mean([numbers[key] for numbers in found])) for key in found[0]}
    assert mean["histogram"] < 0.15
    assert mean["edges"] < 0.3
    assert 0.5 < mean["strong_edges"] / mean["reference_strong_edges"] < 2
    assert abs(mean["slope"] - mean["reference_slope"]) < 1.0
    assert mean["layout"] > 0.35
    image = radiograph(torso, size=(192, 176), seed=0).image
    negative, noise = realism(1 - image, real), realism(np.random.default_rng(0).random((192, 176)), real)
    assert negative["layout"] < 0
    assert negative["histogram"] > 0.2
    assert abs(noise["slope"] - noise["reference_slope"]) > 2
    assert noise["edges"] > 0.5
    coarse = np.kron(image[::16, ::16], np.ones((16, 16)))
    assert realism(coarse, real)["edges"] > 0.5


def test_realism_of_a_picture_with_itself_and_slopes():
    rng = np.random.default_rng(0)
    white = rng.random((128, 128))
    same = realism(white, white)
    assert (same["histogram"], same["edges"]) == (0, 0)
    assert same["layout"] == pytest.approx(1)
    assert spectrum_slope(white) == pytest.approx(0, abs=0.3)
    radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    radius[0, 0] = 1
    colored = np.fft.ifft2(np.fft.fft2(rng.normal(size=(128, 128))) * radius**-1.5).real
    assert spectrum_slope(colored) == pytest.approx(-3, abs=0.4)
    with pytest.raises(InputError, match="reference"):
        realism(white, np.zeros((8, 8)))
