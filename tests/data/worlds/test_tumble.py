"""Tumbling bodies: rays against slow marches, flow against PyBullet's own transforms, physics, determinism."""

import pickle
import sys

import numpy as np
import pytest
import torch

from visus.data.videos import Clips, Videos
from visus.data.worlds.tumble import TumbleVideos
from visus.data.worlds.tumble.camera import POSITION, Camera, moved
from visus.data.worlds.tumble.physics import GRAVITY, MATERIALS, SIZES, Body, draw_bodies, simulate
from visus.data.worlds.tumble.rays import entry_distance, floor_distance, normals
from visus.data.worlds.tumble.shading import SUN, cast, color
from visus.errors import InputError, MissingExtra

bullet = pytest.importorskip("pybullet")

FRAMES, SIZE = 10, 40


@pytest.fixture(scope="module")
def clips():
    videos = TumbleVideos(3, seed=5, frames=FRAMES, size=SIZE, objects=(4, 6))
    return [videos.read(index) for index in range(3)]


def outside(shape, half, points):
    """Below zero inside a body, zero on its surface."""
    if shape == "sphere":
        return np.linalg.norm(points, axis=-1) - half
    if shape == "cube":
        return np.abs(points).max(axis=-1) - half
    return np.maximum(np.hypot(points[..., 0], points[..., 1]), np.abs(points[..., 2])) - half


@pytest.mark.parametrize("shape", ["cube", "cylinder", "sphere"])
def test_rays_enter_where_a_slow_march_does(shape):
    rng = np.random.default_rng(0)
    origins = rng.normal(size=(200, 3))
    origins *= (rng.uniform(2, 4, 200) / np.linalg.norm(origins, axis=1))[:, None]
    ways = rng.normal(size=(200, 3)) * 0.4 - origins * rng.choice([1, -0.2], size=(200, 1))
    ways[:3] = [[0, 0, -1.0], [1, 0, 0], [0, 1, 0]]  # along the axes: nothing is divided by zero
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    origins[:3] = -2 * ways[:3] + 0.1
    distance, met = entry_distance(shape, 0.7, origins, ways)
    steps = np.linspace(0, 6, 6001)
    for i in range(200):
        within = outside(shape, 0.7, origins[i] + steps[:, None] * ways[i]) < 0
        if within.sum() > 2:
            assert met[i]
            assert abs(distance[i] - steps[within.argmax()]) < 2e-3
        elif not within.any():
            touching = outside(shape, 0.7, origins[i] + distance[i] * ways[i])
            assert not met[i] or abs(touching) < 1e-6  # a march may step over a corner
    assert 20 < met.sum() < 180


@pytest.mark.parametrize("shape", ["cube", "cylinder", "sphere"])
def test_normals_are_the_slope_of_the_surface(shape):
    rng = np.random.default_rng(1)
    ways = rng.normal(size=(300, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    distance, met = entry_distance(shape, 0.7, -3 * ways + 0.05, ways)
    points = (-3 * ways + 0.05 + distance[:, None] * ways)[met]
    step = 1e-6 * np.eye(3)
    slope = np.stack(
        [outside(shape, 0.7, points + e) - outside(shape, 0.7, points - e) for e in step], axis=-1
    )
    smooth = np.abs(np.linalg.norm(slope, axis=-1) / 2e-6 - 1) < 1e-3  # away from edges
    assert smooth.mean() > 0.95
    assert np.allclose(normals(shape, points)[smooth], slope[smooth] / 2e-6, atol=1e-3)


def test_the_floor_is_met_from_above_only():
    origins = np.array([[0.0, 0, 2], [0, 0, 2], [0, 0, 2]])
    ways = np.array([[0.0, 0, -1], [0.6, 0, -0.8], [0, 0, 1]])
    assert floor_distance(origins, ways).tolist() == [2.0, 2.5, np.inf]


def test_the_camera_projects_its_rays_to_pixel_centers():
    camera = Camera(np.asarray(POSITION) + 0.3, 16)
    points = camera.position + 7.5 * camera.rays()
    rows, columns = np.meshgrid(np.arange(16) + 0.5, np.arange(16) + 0.5, indexing="ij")
    assert np.allclose(camera.project(points), np.stack([rows, columns], axis=-1))
    assert np.allclose(camera.project(np.zeros(3)), [8, 8])
    assert camera.project(np.array([0.0, 0, 1]))[0] < 8  # up is up
    fine = camera.rays(2).reshape(16, 2, 16, 2, 3).mean(axis=(1, 3))
    assert np.allclose(fine / np.linalg.norm(fine, axis=-1, keepdims=True), camera.rays(), atol=1e-4)
    edge = np.degrees(
        2 * np.arctan(np.tan(np.arccos((camera.rays()[7, 0] * camera.axes[2]).sum())) * 16 / 15)
    )
    assert edge == pytest.approx(np.degrees(2 * np.arctan(16 / 35)), abs=0.1)  # focal 35, sensor 32


def test_points_move_with_their_bodies_as_pybullet_moves_them():
    rng = np.random.default_rng(2)
    turns = rng.normal(size=(2, 3, 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    places = rng.normal(size=(2, 3, 3))
    rotations = np.array([[bullet.getMatrixFromQuaternion(q) for q in row] for row in turns])
    rotations = rotations.reshape(2, 3, 3, 3)
    points, body = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    made = moved(points, body, (places[0], rotations[0]), (places[1], rotations[1]))
    for point, number, after in zip(points, body, made):
        back = bullet.invertTransform(places[0][number], turns[0][number])
        local, _ = bullet.multiplyTransforms(*back, point, [0, 0, 0, 1])
        wanted, _ = bullet.multiplyTransforms(places[1][number], turns[1][number], local, [0, 0, 0, 1])
        assert np.allclose(after, wanted, atol=1e-6)


def test_fields_are_those_of_videos(clips):
    videos = TumbleVideos(3, seed=5, frames=FRAMES, size=SIZE, objects=(4, 6))
    assert isinstance(videos, Videos)
    shapes = {
        "video": (FRAMES, 3, SIZE, SIZE),
        "segmentation": (FRAMES, SIZE, SIZE),
        "backward_flow": (FRAMES, 2, SIZE, SIZE),
        "forward_flow": (FRAMES, 2, SIZE, SIZE),
        "depth": (FRAMES, 1, SIZE, SIZE),
        "boxes": (FRAMES, 10, 4),
        "visibility": (FRAMES, 10),
        "positions": (FRAMES, 10, 3),
        "velocities": (FRAMES, 10, 3),
        "image_positions": (FRAMES, 10, 2),
    }
    for clip in clips:
        assert {name: tuple(clip[name].shape) for name in shapes} == shapes
        types = {name: clip[name].dtype for name in shapes}
        assert types.pop("video") == types.pop("segmentation") == torch.uint8
        assert types.pop("visibility") == torch.int64
        assert set(types.values()) == {torch.float32}
        count = clip["num_instances"]
        assert len(clip["objects"]) == count
        assert not clip["positions"][:, count:].any()
        total = clip["visibility"].sum(dim=0)
        assert total[:count].tolist() == sorted(total[:count].tolist(), reverse=True)
        assert total[:count].min() > 0
        assert clip["objects"][0]["position"] == pytest.approx(clip["positions"][0, 0].tolist(), abs=1e-6)
    batch = Clips(videos, length=4, stride=3, fields=("video", "boxes")).batch([0, 2])
    assert batch["video"].shape == (2, 4, 3, SIZE, SIZE)
    assert torch.equal(batch["video"][1], clips[0]["video"][6:])


def test_boxes_and_visibility_are_those_of_the_segmentation(clips):
    for clip in clips:
        for frame in range(FRAMES):
            for i in range(10):
                rows, columns = np.nonzero(clip["segmentation"][frame].numpy() == i + 1)
                assert clip["visibility"][frame, i] == len(rows)
                wanted = [0.0] * 4
                if len(rows):
                    corners = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
                    wanted = [part / SIZE for part in corners]
                assert clip["boxes"][frame, i].tolist() == pytest.approx(wanted)


def rebuilt(seed, index, objects):
    """Camera, bodies and course of a video, drawn once more in the documented order."""
    rng = np.random.default_rng([0x74756D626C65, seed, index])
    camera = Camera(np.asarray(POSITION) + rng.random(3), SIZE)
    rng.uniform(-3, 3, size=3)
    bodies = draw_bodies(int(rng.integers(objects[0], objects[1] + 1)), rng)
    return camera, bodies, simulate(bodies, FRAMES + 2, rng)


def test_depth_and_positions_lie_on_the_bodies(clips):
    for index, clip in enumerate(clips):
        camera, bodies, course = rebuilt(5, index, (4, 6))
        starts = [course.positions[1, i].tolist() for i in range(len(bodies))]
        for frame in range(FRAMES):
            depth = clip["depth"][frame, 0].double().numpy()
            points = camera.position + depth[..., None] * camera.rays()
            segmentation = clip["segmentation"][frame].numpy()
            near = depth < 40
            assert np.abs(points[(segmentation == 0) & near][:, 2]).max() < 1e-4
            for number, item in enumerate(clip["objects"]):
                i = starts.index(list(item["position"]))
                assert item["shape"] == bodies[i].shape
                local = (points[segmentation == number + 1] - course.positions[frame + 1, i]) @ (
                    course.rotations[frame + 1, i]
                )
                assert np.abs(outside(item["shape"], bodies[i].half, local)).max(initial=0) < 1e-4
                spot = camera.project(course.positions[frame + 1, i])[::-1] / SIZE
                assert np.allclose(clip["image_positions"][frame, number].numpy(), spot, atol=1e-5)


def test_flow_brings_visible_points_to_themselves(clips):
    """What a pixel shows must, where it is not hidden, be found at the end of its way: same body, same depth."""
    checked = 0
    for index, clip in enumerate(clips):
        camera, bodies, course = rebuilt(5, index, (4, 6))
        for frame in range(FRAMES - 1):
            place = {tuple(course.positions[1, i]): i for i in range(len(bodies))}
            order = [place[tuple(item["position"])] for item in clip["objects"]]
            segmentation = clip["segmentation"][frame].numpy()
            flow = clip["forward_flow"][frame].double().numpy()
            assert not flow[:, segmentation == 0].any()
            rows, columns = np.nonzero(segmentation)
            ends = np.stack([rows + 0.5, columns + 0.5], 1) + flow[:, rows, columns].T
            ways = (ends[:, ::-1] - SIZE / 2) / camera.focal
            ways = np.column_stack([ways, np.ones(len(ways))]) @ camera.axes
            ways /= np.linalg.norm(ways, axis=1, keepdims=True)
            there = course.positions[frame + 2], course.rotations[frame + 2]
            seen = cast(camera.position, ways, bodies, *there)
            mine = np.array(order)[segmentation[rows, columns] - 1]
            distance = clip["depth"][frame, 0].double().numpy()[rows, columns]
            points = camera.position + distance[:, None] * camera.rays()[rows, columns]
            local = np.einsum(
                "nij,ni->nj", course.rotations[frame + 1][mine], points - course.positions[frame + 1][mine]
            )
            same = seen.body == mine
            met = camera.position + seen.distance[:, None] * ways
            local_there = np.einsum("nij,ni->nj", there[1][mine], met - there[0][mine])
            error = np.linalg.norm(local_there - local, axis=1)
            shown = same & (error < 0.1)  # the others have turned away or are hidden
            assert shown.mean() > 0.5
            assert np.median(error[shown]) < 2e-4
            assert np.quantile(error[shown], 0.95) < 5e-3  # grazing rays magnify rounding
            checked += int(shown.sum())
    assert checked > 1000


def test_backward_flow_is_the_forward_flow_of_the_frame_before(clips):
    """Both point in the direction of time: on a body, way since = way until, carried along."""
    errors = []
    for clip in clips:
        for frame in range(FRAMES - 1):
            segmentation = clip["segmentation"].numpy()
            forward, backward = (clip[f"{name}_flow"].double().numpy() for name in ("forward", "backward"))
            for row, column in np.argwhere(segmentation[frame]):
                to = np.floor(np.array([row, column]) + 0.5 + forward[frame, :, row, column]).astype(int)
                if (to < 0).any() or (to >= SIZE).any():
                    continue
                if segmentation[frame + 1, to[0], to[1]] == segmentation[frame, row, column]:
                    errors.append(forward[frame, :, row, column] - backward[frame + 1, :, to[0], to[1]])
    errors = np.abs(errors)
    assert len(errors) > 1000
    assert np.median(errors) < 0.15  # to is rounded to the pixel


def test_bodies_fall_freely_until_they_touch():
    bodies = [Body("cube", "large", "red", "rubber"), Body("sphere", "small", "blue", "metal")]
    course = simulate(bodies, 12, np.random.default_rng(3))
    touched = {i for contact in course.contacts if contact["frame"] < 2 for i in contact["instances"]}
    for i in {0, 1} - touched:
        fall = np.diff(course.velocities[:3, i], axis=0)
        assert np.allclose(fall, [[0, 0, -GRAVITY / 12]] * 2, atol=1e-6)
        way = course.positions[2, i] - course.positions[0, i] - course.velocities[0, i] * 2 / 12
        assert np.allclose(way, [0, 0, -GRAVITY * 2 / 12**2 * (1 + 1 / 40)], atol=1e-6)  # 40 Euler steps
    assert {0, 1} - touched
    floor = [contact for contact in course.contacts if contact["instances"][1] == -1]
    assert floor
    for contact in floor:
        assert abs(contact["position"][2]) < 0.05
        assert contact["contact_normal"] == pytest.approx((0, 0, 1), abs=1e-6)
        assert contact["force"] > 0
    assert np.allclose(course.rotations @ np.swapaxes(course.rotations, -1, -2), np.eye(3), atol=1e-6)


def test_masses_and_draws():
    cube, ball = (Body(shape, "large", "red", "metal") for shape in ("cube", "sphere"))
    assert cube.mass == pytest.approx(2.7 * 1.4**3)
    assert ball.mass == pytest.approx(2.7 * 4 / 3 * np.pi * 0.7**3)
    assert Body("cylinder", "small", "red", "rubber").mass == pytest.approx(1.1 * np.pi * 0.35**2 * 0.7)
    drawn = draw_bodies(2000, np.random.default_rng(0))
    assert {body.size for body in drawn} == set(SIZES)
    assert {body.material for body in drawn} == set(MATERIALS)
    assert len({body.color for body in drawn}) == 8
    assert abs(np.mean([body.shape == "cube" for body in drawn]) - 1 / 3) < 0.04


def test_shadows_and_materials_show():
    camera = Camera(np.asarray(POSITION), 48)
    still = np.eye(3)[None]
    sun = np.asarray(SUN)
    above = np.array([[0.0, 0.0, 2.0]])
    none = color(camera, [], np.zeros((0, 3)), np.zeros((0, 3, 3)), sun)
    rubber, metal = (
        color(camera, [Body("sphere", "large", "red", material)], above, still, sun)
        for material in ("rubber", "metal")
    )
    foot = above[0] - sun / sun[2] * above[0, 2]  # where the sun's ray through the center meets the floor
    row, column = camera.project(foot).astype(int)
    assert (rubber[row, column] < 0.75 * none[row, column]).all()
    body = cast(
        camera.position, camera.rays().reshape(-1, 3), [Body("sphere", "large", "red", "metal")], above, still
    )
    mask = (body.body == 0).reshape(48, 48)
    assert np.abs(metal - rubber)[mask].mean() > 0.05
    changed = np.abs(metal - rubber).max(axis=-1) > 1e-9
    assert not changed[row, column]


def test_a_video_is_a_function_of_seed_and_number(clips):
    videos = TumbleVideos(3, seed=5, frames=FRAMES, size=SIZE, objects=(4, 6), cached=1)
    again = [videos.read(index) for index in (2, 0)]
    for clip, wanted in zip(again, (clips[2], clips[0])):
        assert clip.keys() == wanted.keys()
        for name, value in wanted.items():
            same = torch.equal(clip[name], value) if isinstance(value, torch.Tensor) else clip[name] == value
            assert same, name
    part = pickle.loads(pickle.dumps(videos)).read(0, 3, 7)
    assert torch.equal(part["depth"], clips[0]["depth"][3:7])
    assert all(0 <= event["frame"] < 4 for event in part["collisions"])
    assert not torch.equal(clips[0]["video"], clips[1]["video"])
    other = TumbleVideos(1, seed=6, frames=FRAMES, size=SIZE, objects=(4, 6))
    assert not torch.equal(other.read(0)["video"], clips[0]["video"])
    assert other.fingerprint() != videos.fingerprint()
    assert len(set(videos.names)) == 3
    with pytest.raises(IndexError):
        videos.read(3)


def test_collisions_name_objects_of_the_clip(clips):
    events = [(clip, event) for clip in clips for event in clip["collisions"]]
    assert len(events) > 20
    for clip, event in events:
        one, two = event["instances"]
        assert 0 <= one < clip["num_instances"]
        assert -1 <= two < clip["num_instances"]
        assert one != two
        assert set(event) == {"frame", "instances", "force", "position", "image_position", "contact_normal"}
    pairs = [(id(clip), event["frame"], event["instances"]) for clip, event in events]
    assert len(set(pairs)) == len(pairs)
    assert any(event["instances"][1] >= 0 for _, event in events)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"count": 0}, "count"),
        ({"frames": 0}, "frames"),
        ({"size": 4}, "size"),
        ({"objects": (4, 3)}, "objects"),
        ({"objects": (0, 3)}, "objects"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_options_are_refused(options, field):
    with pytest.raises(InputError) as caught:
        TumbleVideos(**{"count": 1, "seed": 0, **options})
    assert caught.value.field == field


def test_without_pybullet_the_message_names_the_extra(monkeypatch):
    videos = TumbleVideos(1, seed=0, frames=2, size=16)
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(MissingExtra, match=r"visus\[physics\]"):
        videos.read(0)
