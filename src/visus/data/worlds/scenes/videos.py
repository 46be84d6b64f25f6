"""Videos of objects that fall, bounce, collide and pass behind panels before a panning camera."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import OrderedDict
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from visus.data.instances import boxes_and_visibility
from visus.data.worlds.scenes.images import PARTS, check_options
from visus.data.worlds.scenes.palette import Thing, draw_things
from visus.data.worlds.scenes.physics import Bodies, Track, simulate
from visus.data.worlds.scenes.sprites import OVERSAMPLING, Light, Sprite, noise, object_sprite, sprite
from visus.data.worlds.scenes.stage import Actor, Camera, Frame, backdrop, render
from visus.errors import InputError

ELEVATION = math.radians(24)
ROOM = (6.0, 3.4)
"""World units: width in view, and depth from the front to the back wall."""
FRONT = -0.15
"""y of the panels: before all objects."""
_VIDEOS, _TRIES, _CACHED = 12, 100, 8


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How things and the camera move."""

    gravity: float = 4.0
    """World units / s^2; the picture is six units wide."""
    speed: float = 2.5
    """Greatest horizontal speed at the start, units / s."""
    pan: float = 1.2
    """Greatest way of the camera over the clip, units."""
    rate_hz: float = 12.0


class SceneVideos:
    """Videos; number i is a pure function of (seed, part, i) and the options.

    `read` gives: video (t, 3, size, size) uint8; segmentation (t, size, size) uint8, 0 for background and
    panels, i + 1 for object i; backward_flow and forward_flow (t, 2, size, size) float32, the way in pixels
    (rows, columns) that the point has come since the frame before and goes until the next; depth
    (t, 1, size, size) float32; boxes (t, m, 4) [ymin, xmin, ymax, xmax] in 0..1 on frames where the object is
    visible, else zeros; visibility (t, m) pixels; positions and velocities (t, m, 3) in world units (and per
    second); image_positions (t, m, 2), x and y in 0..1; num_instances; collisions; objects; name.

    The flow is that of the visible surface: an object's own motion plus the camera's; background and panels
    move with the camera alone. Shadows are painted on the floor and move without a flow of their own. The
    clip is cut from a longer motion, so its first and last frames have both flows.

    Parameters
    ----------
    count : videos.
    frames : length of each.
    seed, part : as for `SceneImages`.
    size : pixels, from 16 on.
    objects : least and most objects, within 1..8.
    occlusion : a panel in every video, behind which at least one object vanishes completely and comes out
        again within the clip; without it, every other video has a panel somewhere.
    motion : speeds, gravity, pan, frame rate.

    Raises
    ------
    InputError : an option outside its range.
    """

    def __init__(
        self,
        count: int,
        *,
        frames: int = 24,
        seed: int = 0,
        part: Literal["train", "test"] = "train",
        size: int = 64,
        objects: tuple[int, int] = (2, 5),
        occlusion: bool = True,
        motion: Motion | None = None,
    ) -> None:
        check_options(count=count, size=size, seed=seed, part=part, objects=objects, most=8)
        least = 12 if occlusion else 1
        if frames < least:
            raise InputError(
                f"{frames} frames are too few",
                field="frames",
                remedy=f"use at least {least}" + (", or occlusion=False" if occlusion else ""),
            )
        self.count, self.frames, self.seed, self.part, self.size = count, frames, seed, part, size
        self.objects, self.occlusion, self.motion = (objects[0], objects[1]), occlusion, motion or Motion()
        self.most = self.objects[1]
        self.names = [f"{part}_{seed}_{i:06d}" for i in range(count)]
        self._cache: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def __len__(self) -> int:
        return self.count

    def num_frames(self, index: int) -> int:
        """Length of a video."""
        return self.frames

    def read(self, index: int, start: int = 0, stop: int | None = None) -> dict[str, Any]:
        """Frames start..stop of one video, without a batch axis.

        Raises
        ------
        IndexError : the video or the frames do not exist.
        """
        stop = self.frames if stop is None else stop
        if not 0 <= index < self.count:
            raise IndexError(f"video {index} is outside 0..{self.count - 1}")
        if not 0 <= start < stop <= self.frames:
            raise IndexError(f"frames {start}..{stop} are outside 0..{self.frames}")
        clip = self._clip(index)
        cut = {name: value[start:stop].clone() for name, value in clip.items() if hasattr(value, "clone")}
        events = [
            {**event, "frame": event["frame"] - start}
            for event in clip["collisions"]
            if start <= event["frame"] < stop
        ]
        fixed = {name: clip[name] for name in ("num_instances", "objects", "name")}
        return {**cut, **fixed, "collisions": events}

    def fingerprint(self) -> str:
        """Hash of all options."""
        options = (self.count, self.frames, self.seed, self.part, self.size, self.objects, self.occlusion)
        return hashlib.sha256(f"scene videos:{options}:{astuple(self.motion)}".encode()).hexdigest()

    def _clip(self, index: int) -> dict[str, Any]:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        place = (self.seed, PARTS[self.part], _VIDEOS, index)
        number = int(np.random.default_rng((*place, _TRIES)).integers(self.objects[0], self.objects[1] + 1))
        for attempt in range(_TRIES):
            clip = _draw(self, number, np.random.default_rng((*place, attempt)))
            if clip is not None:
                self._cache[index] = {**clip, "name": self.names[index]}
                if len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
                return self._cache[index]
        raise InputError(
            f"no object passes behind a panel in {_TRIES} attempts",
            field="occlusion",
            remedy="ask for more frames, more speed, fewer objects, or occlusion=False",
        )


def reappearances(visibility: np.ndarray) -> list[tuple[int, int, int]]:
    """Hidden stretches with the object visible before and after: (object, first hidden frame, first visible).

    >>> reappearances(np.array([[5], [0], [0], [4]]))
    [(0, 1, 3)]
    """
    found = []
    for i in range(visibility.shape[1]):
        seen = np.flatnonzero(visibility[:, i] > 0)
        found += [(i, int(a) + 1, int(b)) for a, b in itertools.pairwise(seen) if b > a + 1]
    return found


def _draw(source: SceneVideos, number: int, rng: np.random.Generator) -> dict[str, Any] | None:
    """One attempt; None when an occlusion was asked for and none happened."""
    motion, frames = source.motion, source.frames
    things = draw_things(number, rng)
    way = np.array([0.15, 1.0]) * rng.uniform(-1, 1, 2) * motion.pan
    steps = np.arange(-1, frames + 1)[:, None] / max(frames - 1, 1) - 0.5
    pan = steps * way
    bodies = _start(things, motion, rng)
    track = simulate(bodies, room=ROOM, gravity=motion.gravity, rate_hz=motion.rate_hz, frames=frames + 2)
    camera = Camera(size=source.size, elevation=ELEVATION, left=0.0, low=-0.45)
    light = Light.draw(rng)
    actors = [
        Actor(
            object_sprite(thing, light, elevation=ELEVATION, scale=camera.scale),
            track.positions[:, i],
            thing.radius,
            i + 1,
        )
        for i, thing in enumerate(things)
    ]
    if source.occlusion or rng.random() < 0.5:
        actors.append(_panel(camera, bodies, track, light, rng))
    margin = tuple(2 + math.ceil(abs(a) * camera.scale) for a in way)
    scenery = backdrop(camera, ROOM[1], light, rng, (margin[0], margin[1]))
    shown = [
        render(camera, scenery, actors, f, pan=pan[f], light=light, rng=rng) for f in range(1, frames + 1)
    ]
    segmentation = np.stack([frame.segmentation for frame in shown])
    boxes, visible = boxes_and_visibility(segmentation, source.most)
    if source.occlusion and not any(b - a >= 2 for _, a, b in reappearances(visible)):
        return None
    things = [
        replace(thing, position=tuple(round(float(p), 4) for p in track.positions[1, i]))
        for i, thing in enumerate(things)
    ]
    return {
        **_pictures(shown, segmentation),
        **_flows(camera, track, pan, segmentation),
        **_states(source, camera, track, pan),
        "boxes": torch.from_numpy(boxes),
        "visibility": torch.from_numpy(visible),
        "num_instances": number,
        "objects": [thing.program() for thing in things],
        "collisions": _events(camera, track, pan, frames),
    }


def _start(things: list[Thing], motion: Motion, rng: np.random.Generator) -> Bodies:
    """Objects in the air, apart from each other, with masses by their size."""
    radius = np.array([thing.radius for thing in things])
    low = np.array([thing.bottom for thing in things])
    position = np.zeros((len(things), 3))
    for i in range(len(things)):
        for _ in range(200):
            corner = np.array([radius[i], radius[i], low[i]])
            far = np.array([ROOM[0] - radius[i], ROOM[1] - radius[i], low[i] + 2.2])
            position[i] = rng.uniform(corner, far)
            apart = np.linalg.norm(position[:i] - position[i], axis=1)
            if (apart > radius[:i] + radius[i]).all():
                break
    m = len(things)
    velocity = np.column_stack(
        [
            rng.uniform(0.4, 1.0, m) * motion.speed * np.sign(ROOM[0] / 2 - position[:, 0]),
            rng.uniform(-0.35, 0.35, m) * motion.speed,
            rng.uniform(-0.4, 0.4, m) * motion.speed,
        ]
    )
    return Bodies(radius=radius, bottom=low, mass=radius**3, position=position, velocity=velocity)


def _panel(camera: Camera, bodies: Bodies, track: Track, light: Light, rng: np.random.Generator) -> Actor:
    """A board before the room, where one of the objects passes behind it about the middle of the clip."""
    frames = len(track.positions)
    i, f = int(rng.integers(len(bodies.radius))), int(rng.integers(frames // 3, 2 * frames // 3 + 1))
    x = track.positions[f, i, 0]
    radius = bodies.radius[i]
    sine, cosine = math.sin(camera.elevation), math.cos(camera.elevation)
    width = 2 * radius + rng.uniform(0.5, 0.9)
    near = track.positions[max(0, f - 2) : f + 3, i]
    top = (near[:, 1] * sine + near[:, 2] * cosine).max() + 1.25 * radius
    height = (top - FRONT * sine) / cosine + rng.uniform(0.1, 0.5)
    x = float(np.clip(x + rng.uniform(-0.1, 0.1), width / 2 + 0.4, ROOM[0] - width / 2 - 0.4))
    board = _board(camera, width, height, light, rng)
    center = np.array([x, FRONT, height / 2])
    return Actor(board, np.repeat(center[None], frames, axis=0), width / 2, 0)


def _board(camera: Camera, width: float, height: float, light: Light, rng: np.random.Generator) -> Sprite:
    """An upright board with a frame and a weathered face."""
    fine = camera.scale * OVERSAMPLING
    rows = max(4, round(height * math.cos(camera.elevation) * fine))
    columns = max(4, round(width * fine))
    base = rng.uniform(0.25, 0.6) + rng.uniform(-0.08, 0.08, 3)
    planks = np.sin(np.arange(columns) / fine * 4 * math.pi + rng.uniform(0, 6))
    face = 1 + 0.06 * np.tanh(3 * planks) + 0.06 * noise((rows, columns), 0.3 * fine, rng)
    down, across = np.arange(rows), np.arange(columns)
    inset = np.minimum(np.minimum(down, down[::-1])[:, None], np.minimum(across, across[::-1]))
    face = face * np.where(inset < 0.09 * fine, 0.72, 1.0)
    color = base[:, None, None] * face * (light.ambient + 0.75 * light.strength)
    color = np.clip(color * np.array(light.tint)[:, None, None], 0, 1).astype(np.float32)
    above = ((rows - 1) / 2 - down) / fine / math.cos(camera.elevation)
    near = np.repeat(above[:, None] * math.sin(camera.elevation), columns, axis=1)
    return sprite(color, np.ones((rows, columns), np.float32), near.astype(np.float32))


def _pictures(shown: list[Frame], segmentation: np.ndarray) -> dict[str, torch.Tensor]:
    color = np.stack([frame.color for frame in shown])
    depth = np.stack([frame.depth for frame in shown])[:, None]
    return {
        "video": torch.from_numpy((color * 255 + 0.5).astype(np.uint8)),
        "segmentation": torch.from_numpy(segmentation),
        "depth": torch.from_numpy(depth),
    }


def _flows(
    camera: Camera, track: Track, pan: np.ndarray, segmentation: np.ndarray
) -> dict[str, torch.Tensor]:
    """Ways of the visible surfaces: a table per frame (background, objects), looked up by identity."""
    still = camera.project(np.zeros((len(pan), 3)), pan)[:, None]
    spots = np.concatenate([still, camera.project(track.positions, pan[:, None])], axis=1)
    flows = {}
    steps = np.diff(spots, axis=0)
    for name, step in (("backward_flow", steps[:-1]), ("forward_flow", steps[1:])):
        way = step.astype(np.float32)
        field = way[np.arange(len(way))[:, None, None], segmentation]
        flows[name] = torch.from_numpy(np.ascontiguousarray(np.moveaxis(field, -1, 1)))
    return flows


def _states(source: SceneVideos, camera: Camera, track: Track, pan: np.ndarray) -> dict[str, torch.Tensor]:
    spots = camera.project(track.positions, pan[:, None])[..., ::-1] / camera.size
    fields = {"positions": track.positions, "velocities": track.velocities, "image_positions": spots}
    states = {}
    for name, values in fields.items():
        padded = np.zeros((source.frames, source.most, values.shape[-1]), np.float32)
        padded[:, : values.shape[1]] = values[1:-1]
        states[name] = torch.from_numpy(padded)
    return states


def _events(camera: Camera, track: Track, pan: np.ndarray, frames: int) -> list[dict[str, Any]]:
    """Collisions of the clip with their place in the picture (x, y in 0..1)."""
    events = []
    for event in track.collisions:
        frame = event["frame"] - 1
        if 0 <= frame < frames:
            row, column = camera.project(np.array(event["position"]), pan[frame + 1]) / camera.size
            events.append({**event, "frame": frame, "image_position": (float(column), float(row))})
    return events
