"""The simulated reader: plausible search, dwell on what is there, misses of what is faint."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from visus.data.worlds.torso import Finding, Person, build, draw_person
from visus.data.worlds.torso.radiograph import Radiograph, Shadow, Technique, radiograph
from visus.data.worlds.torso.reader import (
    CENTRAL,
    NOTICING,
    Habits,
    ReaderPolicy,
    Reading,
    habits,
    read,
    trace,
    zones,
)
from visus.errors import InputError

SIZE = (128, 128)
STILL = Technique(pose_deg=0, exposure=0, collimation_mm=0)


def person() -> Person:
    return draw_person(np.random.default_rng(11))


def picture(*findings: Finding) -> Radiograph:
    return radiograph(build(person(), findings=findings, shape=(48, 36, 48)), size=SIZE, technique=STILL)


@pytest.fixture(scope="module")
def normal() -> Radiograph:
    return picture()


@pytest.fixture(scope="module")
def patch() -> Radiograph:
    return picture(Finding(kind="consolidation", side="right", severity=0.8, place=(0.6, 0.5, 0.35)))


def readings(shown: Radiograph, count: int = 60, suspicion: float = 0.35) -> list[Reading]:
    policy = ReaderPolicy(suspicion=suspicion)
    return [read(shown, np.random.default_rng(i), policy) for i in range(count)]


def looked_at(reading: Reading, shadow: Shadow, margin: int = 4) -> float:
    """Seconds within the finding's box and a margin."""
    x1, y1, x2, y2 = shadow.box
    x, y, seconds = reading.fixations.T
    inside = (x > x1 - margin) & (x < x2 + margin) & (y > y1 - margin) & (y < y2 + margin)
    return float(seconds[inside].sum())


def test_readings_are_plausible_and_their_generator(normal):
    many = readings(normal)
    again = read(normal, np.random.default_rng(0))
    np.testing.assert_array_equal(again.fixations, many[0].fixations)
    counts = [len(reading.fixations) for reading in many]
    assert min(counts) >= 25
    assert max(counts) <= 60
    assert len(set(counts)) > 5
    h, w = SIZE
    for reading in many:
        x, y, seconds = reading.fixations.T
        assert reading.fixations.dtype == np.float32
        assert ((x >= 0) & (x < w) & (y >= 0) & (y < h)).all()
        assert (seconds > 0).all()
        gaps = reading.start[1:] - (reading.start + seconds)[:-1]
        assert (gaps > 0.02).all()
        assert (gaps < 0.2).all()
    logs = np.log(np.concatenate([reading.fixations[:, 2] for reading in many]))
    policy = ReaderPolicy()
    plain = np.log(np.concatenate([r.fixations[:, 2] for r in readings(normal, suspicion=0.0)]))
    assert np.median(plain) == pytest.approx(np.log(policy.duration), abs=0.05)
    assert plain.std() == pytest.approx(policy.duration_sd, abs=0.03)
    assert np.median(logs) >= np.median(plain) - 0.02


def test_search_covers_the_lungs_and_begins_in_the_middle(normal):
    many = readings(normal)
    fixations = np.concatenate([reading.fixations for reading in many])
    rows, columns = fixations[:, 1].astype(int), fixations[:, 0].astype(int)
    segments = normal.segmentation[rows, columns]
    assert 0.55 < np.isin(segments, (1, 2)).mean() < 0.9
    assert 0.05 < (segments == 3).mean() < 0.35
    first = np.stack([reading.fixations[0, :2] for reading in many])
    assert np.abs(first.mean(0) - 64).max() < 20
    seen = zones(normal)
    assert len(seen) == 15
    for name, zone in seen.items():
        near = np.hypot(fixations[:, 0] - zone.x, fixations[:, 1] - zone.y) < 12
        assert near.sum() > 0.4 * len(many), name
    assert seen["right apex"].x < 64 < seen["left apex"].x
    assert seen["right angle"].y > seen["right lower"].y > seen["right apex"].y
    assert seen["right heart border"].x < seen["mediastinum"].x < seen["left heart border"].x


def test_lesions_are_dwelt_upon(normal, patch):
    (shadow,) = patch.findings
    ill, well = readings(patch), readings(normal)
    dwell = np.array([looked_at(reading, shadow) for reading in ill])
    nothing = np.array([looked_at(reading, shadow) for reading in well])
    assert dwell.mean() > 2 * nothing.mean()
    assert 0.5 < np.median(dwell) < 5
    assert np.mean(dwell < np.quantile(nothing, 0.95)) > 0.08  # gaze alone does not give the answer away
    returns = [looked_at(dataclasses.replace(r, fixations=r.fixations[-3:]), shadow) for r in ill]
    ends = [looked_at(dataclasses.replace(r, fixations=r.fixations[-3:]), shadow) for r in well]
    assert np.mean(np.array(returns) > 0) > 2 * np.mean(np.array(ends) > 0)


def test_faint_lesions_are_missed(patch):
    (shadow,) = patch.findings

    def missed(severity: float) -> float:
        shown = dataclasses.replace(patch, findings=(dataclasses.replace(shadow, severity=severity),))
        return float(np.mean([not reading.noticed[0] for reading in readings(shown, 200)]))

    half = ReaderPolicy().half_noticed * NOTICING["consolidation"]
    shares = [missed(severity) for severity in (0.3, half, 0.75, 1.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.7
    assert shares[1] == pytest.approx(0.5, abs=0.12)
    assert shares[3] < 0.05
    shown = dataclasses.replace(patch, findings=(dataclasses.replace(shadow, severity=half),))
    both = readings(shown, 200)
    dwell = {
        seen: np.mean([looked_at(r, shadow) for r in both if r.noticed[0] is seen]) for seen in (True, False)
    }
    assert dwell[True] > 1.5 * dwell[False]


def test_failure_draws_the_gaze_to_heart_and_hila(normal):
    failing = picture(Finding(kind="cardiomegaly", severity=0.6), Finding(kind="haze", severity=0.6))
    assert {shadow.name for shadow in failing.findings} == {"cardiomegaly", "haze"}

    def share(shown: Radiograph) -> float:
        places = zones(shown)
        seconds = near = 0.0
        for reading in readings(shown):
            x, y, duration = reading.fixations.T
            close = np.min([np.hypot(x - places[n].x, y - places[n].y) for n in CENTRAL], axis=0) < 12
            near += float(duration[close].sum())
            seconds += float(duration.sum())
        return near / seconds

    assert share(failing) > 1.15 * share(normal)


def test_readers_have_habits(normal):
    first, second = (habits(np.random.default_rng(seed)) for seed in (0, 1))
    assert first != second
    assert first == habits(np.random.default_rng(0))
    assert {habits(np.random.default_rng(seed)).order for seed in range(12)} == {"columns", "zigzag", "loop"}
    slow = [read(normal, np.random.default_rng(i), reader=Habits(pace=1.5)) for i in range(20)]
    fast = [read(normal, np.random.default_rng(i), reader=Habits(pace=1.0)) for i in range(20)]
    for a, b in zip(slow, fast):
        np.testing.assert_allclose(a.fixations[:, 2], 1.5 * b.fixations[:, 2], rtol=1e-5)
    keen = Habits(preference={"left apex": 12.0})
    zone = zones(normal)["left apex"]

    def visits(reader: Habits) -> float:
        found = [read(normal, np.random.default_rng(i), reader=reader).fixations for i in range(30)]
        return float(np.mean([(np.hypot(f[:, 0] - zone.x, f[:, 1] - zone.y) < 10).sum() for f in found]))

    assert visits(keen) > 2 * visits(Habits())


def test_a_trace_follows_its_reading(normal):
    reading = read(normal, np.random.default_rng(3))
    rows = trace(reading, np.random.default_rng(0), rate=60.0, jitter=0.5)
    time, number = rows[:, 0], rows[:, 3].astype(int)
    np.testing.assert_allclose(np.diff(time), 1 / 60)
    seconds = reading.fixations[:, 2]
    assert time[-1] == pytest.approx(reading.start[-1] + seconds[-1], abs=1 / 60)
    for i, (x, y, duration) in enumerate(reading.fixations.tolist()):
        own = rows[number == i]
        assert len(own) == pytest.approx(60 * duration, abs=1)
        if len(own) > 5:
            np.testing.assert_allclose(own[:, 1:3].mean(0), (x, y), atol=1.5)
    assert 0.02 < (number == -1).mean() < 0.3
    held = rows[number >= 0]
    offset = held[:, 1:3] - reading.fixations[held[:, 3].astype(int), :2]
    assert offset.std() == pytest.approx(0.5, rel=0.15)
    assert np.array_equal(trace(reading, np.random.default_rng(0), rate=60.0, jitter=0.5), rows)
    with pytest.raises(InputError, match="rate"):
        trace(reading, np.random.default_rng(0), rate=0)


def test_a_picture_without_a_heart_is_refused(normal):
    with pytest.raises(InputError, match="heart"):
        read(dataclasses.replace(normal, boxes=normal.boxes[:2]), np.random.default_rng(0))
