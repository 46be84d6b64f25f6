"""Moving scenes: laws of motion, flow that maps frames onto each other, and exact bookkeeping."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates, maximum_filter, minimum_filter

from visus.data.worlds.scenes import Motion, SceneVideos, reappearances
from visus.data.worlds.scenes.physics import SUBSTEPS, Bodies, energy, simulate
from visus.errors import InputError


@pytest.fixture(scope="module")
def clips():
    source = SceneVideos(12, seed=4, size=64)
    return [source.read(i) for i in range(len(source))]


def bodies(position, velocity, radius=0.5, mass=None) -> Bodies:
    n = len(position)
    radius = np.full(n, radius) if np.isscalar(radius) else np.array(radius)
    return Bodies(
        radius=radius,
        bottom=radius,
        mass=radius**3 if mass is None else np.array(mass, float),
        position=np.array(position, float),
        velocity=np.array(velocity, float),
    )


def crowd(seed: int) -> Bodies:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid([1.0, 3.0, 5.0], [1.0, 3.0], [0.8, 2.6]), -1).reshape(-1, 3)
    return bodies(grid, rng.uniform(-3, 3, (12, 3)), rng.uniform(0.3, 0.8, 12))


@pytest.mark.parametrize("seed", [0, 1])
def test_energy_is_conserved(seed):
    start = crowd(seed)
    track = simulate(start, room=(6, 4), gravity=4.0, rate_hz=12, frames=100)
    total = energy(start, track, 4.0)
    assert len([event for event in track.collisions if -1 not in event["instances"]]) > 20
    np.testing.assert_allclose(total, total[0], rtol=1e-10)


def test_momentum_is_conserved_between_bodies():
    start = crowd(2)
    start.position[:] = 100 + 0.7 * start.position  # far from the floor and all walls
    track = simulate(start, room=(np.inf, np.inf), gravity=0.0, rate_hz=12, frames=60)
    momentum = (start.mass[:, None] * track.velocities).sum(1)
    assert len(track.collisions) >= 3
    assert all(-1 not in event["instances"] for event in track.collisions)
    np.testing.assert_allclose(momentum, np.broadcast_to(momentum[0], momentum.shape), atol=1e-12)


def test_a_central_collision_follows_the_textbook():
    # v1' = ((m1 - m2) v1 + 2 m2 v2) / (m1 + m2), and likewise for the other.
    start = bodies([[1, 2, 5], [4, 2, 5]], [[2, 0, 0], [-1, 0, 0]], mass=[3.0, 1.0])
    track = simulate(start, room=(9, 4), gravity=0.0, rate_hz=12, frames=12)
    np.testing.assert_allclose(track.velocities[-1, :, 0], [(2 * 2 - 2) / 4, (2 * -1 * -1 + 12) / 4])
    (event,) = track.collisions
    assert event["instances"] == (0, 1)
    np.testing.assert_allclose(event["contact_normal"], (-1, 0, 0))
    assert event["force"] == pytest.approx(3 * (2 - 0.5))
    assert event["position"][0] == pytest.approx(track.positions[event["frame"], 0, 0] + 0.5, abs=0.2)


def test_a_glancing_collision_changes_only_what_lies_along_the_line_of_centers():
    start = bodies([[1, 2, 5], [4, 2.6, 5]], [[2, 0, 0], [0, 0, 0]])
    track = simulate(start, room=(9, 9), gravity=0.0, rate_hz=12, frames=24)
    (event,) = track.collisions
    normal = np.array(event["contact_normal"])
    change = track.velocities[-1] - track.velocities[0]
    np.testing.assert_allclose(np.cross(change[0], normal), 0, atol=1e-12)
    np.testing.assert_allclose(change[0], -change[1], atol=1e-12)
    assert abs(track.velocities[-1, 1, 1]) > 0.1


def test_free_fall_and_bounce_follow_the_parabola():
    gravity, rate, drop = 4.0, 12.0, 2.0
    start = bodies([[3, 2, 0.5 + drop]], [[0.3, 0, 0]])
    track = simulate(start, room=(6, 4), gravity=gravity, rate_hz=rate, frames=60)
    height, fall = track.positions[:, 0, 2] - 0.5, np.sqrt(2 * drop / gravity)
    for frame in range(60):  # time since the nearest top of the periodic motion
        time_ = frame / rate
        since = abs((time_ + fall) % (2 * fall) - fall)
        slack = 4.0 * (2 * gravity * drop) ** 0.5 / rate / SUBSTEPS
        assert abs(height[frame] - (drop - gravity * since**2 / 2)) < slack
    np.testing.assert_allclose(np.diff(track.velocities[:10, 0, 2]), -gravity / rate, atol=1e-12)


def test_clips_fall_with_the_declared_gravity(clips):
    checked = 0
    for clip in clips:
        for i in range(clip["num_instances"]):
            quiet = np.ones(24, bool)
            for event in clip["collisions"]:
                if i in event["instances"]:
                    quiet[event["frame"]] = False
            change = np.diff(clip["velocities"][:, i].numpy(), axis=0) * 12
            free = quiet[1:]
            np.testing.assert_allclose(
                change[free], np.broadcast_to([0, 0, -4.0], change[free].shape), atol=1e-3
            )
            checked += free.sum()
    assert checked > 300


def test_collisions_explain_every_change_of_velocity(clips):
    for clip in clips:
        radius3 = {}
        for event in clip["collisions"]:
            i, j = event["instances"]
            assert 0 <= event["frame"] < 24
            assert event["force"] > 0
            np.testing.assert_allclose(np.linalg.norm(event["contact_normal"]), 1)
            assert i >= 0
            assert j >= -1
            others = [
                e
                for e in clip["collisions"]
                if e is not event and e["frame"] == event["frame"] and i in e["instances"]
            ]
            if j == -1 and not others and event["frame"] > 0:
                f = event["frame"]
                change = clip["velocities"][f, i] - clip["velocities"][f - 1, i]
                change[2] += 4.0 / 12
                along = float(change @ torch.tensor(event["contact_normal"], dtype=torch.float32))
                mass = event["force"] / along
                assert radius3.setdefault(i, mass) == pytest.approx(mass, rel=1e-3)
    assert sum(len(clip["collisions"]) for clip in clips) > 50


@pytest.mark.parametrize(("name", "step"), [("backward_flow", -1), ("forward_flow", 1)])
def test_flow_maps_frames_onto_their_neighbors(clips, name, step):
    warped, unwarped, checked = [], [], 0
    for clip in clips:
        video, ids = clip["video"].numpy() / 255.0, clip["segmentation"].numpy()
        for t in range(1, 23):
            flow = clip[name][t].numpy()
            there = np.mgrid[:64, :64] + 0.5 + step * flow
            seen = _interior(ids[t]) & ((there > 2) & (there < 62)).all(0)
            at = np.floor(there).astype(int).clip(0, 63)
            seen &= (
                np.where(_interior(ids[t + step])[at[0], at[1]], ids[t + step][at[0], at[1]], 99) == ids[t]
            )
            for channel in range(3):
                other = video[t + step, channel]
                moved = map_coordinates(other, there - 0.5, order=1, mode="nearest")
                fast = seen & (np.abs(flow).max(0) > 1) & (ids[t] > 0)
                warped.append(np.abs(moved - video[t, channel])[fast])
                unwarped.append(np.abs(other - video[t, channel])[fast])
                checked += fast.sum()
    assert checked > 5000
    assert np.median(np.concatenate(warped)) < 0.015
    assert np.mean(np.concatenate(warped)) < 0.4 * np.mean(np.concatenate(unwarped))


def _interior(ids: np.ndarray) -> np.ndarray:
    return minimum_filter(ids, 3) == maximum_filter(ids, 3)


def test_background_and_panels_move_with_the_camera():
    source = SceneVideos(6, seed=1, size=64, motion=Motion(pan=2.5))
    errors = []
    for clip in map(source.read, range(6)):
        video, ids = clip["video"].numpy() / 255.0, clip["segmentation"].numpy()
        for t in range(1, 24):
            way = clip["backward_flow"][t].numpy()[:, ids[t] == 0]
            assert (way == way[:, :1]).all()
            back = clip["forward_flow"][t - 1].numpy()[:, ids[t - 1] == 0][:, :1]
            np.testing.assert_allclose(way[:, :1], back, atol=1e-5)
            there = np.mgrid[:64, :64] - clip["backward_flow"][t].numpy()
            moved = map_coordinates(video[t - 1].mean(0), there, order=1, mode="nearest")
            errors.append(np.median(np.abs(moved - video[t].mean(0))[2:-2, 5:-5][ids[t][2:-2, 5:-5] == 0]))
    assert np.median(errors) < 0.012


def test_flow_positions_and_pictures_tell_one_story(clips):
    for clip in clips:
        spots = clip["image_positions"].numpy()[..., ::-1] * 64
        for t in range(1, 24):
            for i in range(clip["num_instances"]):
                mask = clip["segmentation"][t].numpy() == i + 1
                if mask.any():
                    way = clip["backward_flow"][t].numpy()[:, mask]
                    expected = (spots[t, i] - spots[t - 1, i])[:, None]
                    np.testing.assert_allclose(way, np.broadcast_to(expected, way.shape), atol=1e-3)
                    rows, columns = np.nonzero(mask)
                    reach = 64 / 6 * 1.3
                    assert np.abs(rows + 0.5 - spots[t, i, 0]).max() < reach
                    assert np.abs(columns + 0.5 - spots[t, i, 1]).max() < reach


def test_boxes_are_tight_and_visibility_counts_pixels(clips):
    for clip in clips[:4]:
        for t in range(24):
            for i in range(5):
                mask = clip["segmentation"][t].numpy() == i + 1
                assert clip["visibility"][t, i] == mask.sum()
                rows, columns = np.nonzero(mask)
                expected = [0.0] * 4
                if len(rows):
                    expected = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
                np.testing.assert_allclose(clip["boxes"][t, i].numpy() * 64, expected, atol=1e-4)


def test_fields_have_the_promised_shapes(clips):
    shapes = {
        "video": (24, 3, 64, 64),
        "segmentation": (24, 64, 64),
        "backward_flow": (24, 2, 64, 64),
        "forward_flow": (24, 2, 64, 64),
        "depth": (24, 1, 64, 64),
        "boxes": (24, 5, 4),
        "visibility": (24, 5),
        "positions": (24, 5, 3),
        "velocities": (24, 5, 3),
        "image_positions": (24, 5, 2),
    }
    for name, shape in shapes.items():
        assert tuple(clips[0][name].shape) == shape
    assert clips[0]["video"].dtype == clips[0]["segmentation"].dtype == torch.uint8
    assert clips[0]["depth"].dtype == clips[0]["backward_flow"].dtype == torch.float32
    assert len(clips[0]["objects"]) == clips[0]["num_instances"]
    np.testing.assert_allclose(clips[0]["objects"][0]["position"], clips[0]["positions"][0, 0], atol=1e-4)


def test_nearer_things_hide_farther_ones(clips):
    hidden = 0
    for clip in clips:
        depth, ids = clip["depth"][:, 0].numpy(), clip["segmentation"].numpy()
        for i in range(clip["num_instances"]):
            for t in range(24):
                row, column = (clip["image_positions"][t, i].numpy()[::-1] * 64).astype(int)
                if 0 <= row < 64 and 0 <= column < 64 and ids[t, row, column] != i + 1:
                    shape = clip["objects"][i]["shape"]
                    y, z = clip["positions"][t, i, 1:].numpy()
                    center = 12 + y * np.cos(np.radians(24)) - z * np.sin(np.radians(24))
                    hidden += 1
                    assert shape == "ring" or depth[t, row, column] < center + 0.1
    assert hidden > 30


def test_every_clip_hides_an_object_and_shows_it_again():
    for size in (32, 64):
        source = SceneVideos(10, seed=7, size=size)
        for i in range(10):
            clip = source.read(i)
            events = reappearances(clip["visibility"].numpy())
            assert any(shown - gone >= 2 for _, gone, shown in events)
            index, gone, shown = events[0]
            assert not (clip["segmentation"][gone:shown] == index + 1).any()
            assert not clip["boxes"][gone:shown, index].any()
            assert (clip["segmentation"][shown] == index + 1).any()


def test_a_clip_depends_on_seed_part_and_index_alone():
    one, other = SceneVideos(3, seed=2, size=32), SceneVideos(500, seed=2, size=32)
    other.read(400)
    for name, value in one.read(2).items():
        again = other.read(2)[name]
        assert torch.equal(value, again) if isinstance(value, torch.Tensor) else value == again
    test = SceneVideos(3, seed=2, size=32, part="test")
    assert not torch.equal(one.read(2)["video"], test.read(2)["video"])
    assert one.fingerprint() != test.fingerprint()
    assert one.names[2] != test.names[2]


def test_parts_of_a_clip_equal_the_whole():
    source = SceneVideos(2, seed=0, size=32)
    whole, part = source.read(1), source.read(1, 5, 11)
    for name in ("video", "boxes", "backward_flow", "velocities"):
        assert torch.equal(part[name], whole[name][5:11])
    expected = [dict(e, frame=e["frame"] - 5) for e in whole["collisions"] if 5 <= e["frame"] < 11]
    assert part["collisions"] == expected
    part["video"].zero_()
    assert source.read(1, 5, 11)["video"].any()
    for video, start, stop in ((2, 0, 4), (0, 4, 4), (0, 0, 25)):
        with pytest.raises(IndexError):
            source.read(video, start, stop)


def test_options_out_of_range_are_named():
    for options, field in (
        ({"frames": 6}, "frames"),
        ({"objects": (0, 3)}, "objects"),
        ({"size": 4}, "size"),
    ):
        with pytest.raises(InputError, match=field):
            SceneVideos(2, **options)
    assert SceneVideos(1, frames=1, occlusion=False, size=16).read(0)["video"].shape == (1, 3, 16, 16)
    still = SceneVideos(1, seed=0, size=16, objects=(1, 1), motion=Motion(speed=0.0, gravity=0.0, pan=0.0))
    with pytest.raises(InputError, match="occlusion"):
        still.read(0)


def test_speed():
    best = np.inf
    for seed in range(3):
        source = SceneVideos(4, seed=seed, size=64)
        before = time.process_time()
        for i in range(4):
            source.read(i)
        best = min(best, time.process_time() - before)
    assert 4 * 24 / best > 200  # measured 500 per core
