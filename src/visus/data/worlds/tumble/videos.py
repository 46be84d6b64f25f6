"""Tumbling bodies as videos with exact ground truth."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from visus.data.instances import boxes_and_visibility
from visus.data.videos import Clip, cut
from visus.data.worlds.tumble.camera import POSITION, Camera, moved
from visus.data.worlds.tumble.physics import FLOOR, Body, Course, draw_bodies, simulate
from visus.data.worlds.tumble.shading import SUN, cast, color
from visus.errors import InputError

_SALT = 0x74756D626C65
_MOST = 10


class TumbleVideos:
    """Videos; number i is a pure function of (seed, i) and the options.

    `read` gives the fields of `visus.data.videos` with m = 10 (or the greatest number of `objects`, if larger).
    As in MOVi, objects come by falling number of visible pixels over the clip and those never seen are left
    out; and both flows are the way a surface point makes in the direction of time, in pixels (rows, columns):
    `backward_flow` since the frame before, `forward_flow` until the frame after. The clip is cut from a longer
    motion, so its first and last frames have both. `depth` is the distance to the camera. Objects have
    `shape`, `size`, `color`, `material` and `position` (center on the first frame). Of the contacts of a pair
    within a frame's time the strongest is told; `instances` has -1 for the floor and for bodies left out.

    Parameters
    ----------
    count : videos.
    seed : chooses everything.
    frames : length of each, at 12 frames per second.
    size : pixels.
    objects : least and most objects.
    cached : clips kept in memory (2.4 MB each at 64 pixels and 24 frames).

    Raises
    ------
    InputError : an option outside its range.
    MissingExtra : PyBullet is not installed (when read).
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int,
        frames: int = 24,
        size: int = 64,
        objects: tuple[int, int] = (3, 10),
        cached: int = 64,
    ) -> None:
        for name, value, least in (("count", count, 1), ("frames", frames, 1), ("size", size, 8)):
            if value < least:
                raise InputError(f"must be at least {least}, got {value}", field=name)
        if not 1 <= objects[0] <= objects[1] <= 23:
            raise InputError(f"must be least and most within 1..23, got {objects}", field="objects")
        if seed < 0 or cached < 0:
            raise InputError("must not be negative", field="seed" if seed < 0 else "cached")
        self.count, self.seed, self.frames, self.size = count, seed, frames, size
        self.objects, self.cached, self.most = objects, cached, max(_MOST, objects[1])
        self._kept: OrderedDict[int, Clip] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}

    @property
    def names(self) -> Sequence[str]:
        """`tumble_000000`, ..."""
        return [f"tumble_{index:06d}" for index in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def num_frames(self, index: int) -> int:
        """The same for all."""
        return self.frames

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        """Frames `start` to `stop` (not included; None: the end) of video `index`. Do not write into them."""
        if not 0 <= index < self.count:
            raise IndexError(f"video {index} is outside 0..{self.count - 1}")
        clip = self._kept.pop(index, None)
        if clip is None:
            clip = self._made(index)
        self._kept[index] = clip
        while len(self._kept) > self.cached:
            self._kept.popitem(last=False)
        return cut(clip, start, stop)

    def fingerprint(self) -> str:
        """Hash of the options."""
        told = f"tumble:{self.count}:{self.seed}:{self.frames}:{self.size}:{self.objects}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _made(self, index: int) -> Clip:
        rng = np.random.default_rng([_SALT, self.seed, index])
        camera = Camera(np.asarray(POSITION) + rng.random(3), self.size)
        sun = np.asarray(SUN) + rng.uniform(-3, 3, size=3)
        bodies = draw_bodies(int(rng.integers(self.objects[0], self.objects[1] + 1)), rng)
        course = simulate(bodies, self.frames + 2, rng)
        seen = _Seen(camera, bodies, course)
        pictures = [
            color(camera, bodies, course.positions[frame], course.rotations[frame], sun)
            for frame in range(1, self.frames + 1)
        ]
        video = (np.moveaxis(np.stack(pictures), -1, 1) * 255 + 0.5).astype(np.uint8)
        return {"video": torch.from_numpy(video), **self._truth(seen), "name": self.names[index]}

    def _truth(self, seen: _Seen) -> Clip:
        course, order = seen.course, seen.order
        segmentation = seen.renumbered()
        boxes, visible = boxes_and_visibility(segmentation, self.most)
        arrays = {
            "segmentation": segmentation,
            "depth": seen.distance[:, None].astype(np.float32),
            "backward_flow": -seen.way(-1),
            "forward_flow": seen.way(1),
            "boxes": boxes,
            "visibility": visible,
            "positions": self._padded(course.positions[1:-1, order]),
            "velocities": self._padded(course.velocities[1:-1, order]),
            "image_positions": self._padded(
                seen.camera.project(course.positions[1:-1, order])[..., ::-1] / self.size
            ),
        }
        return {
            **{name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()},
            "num_instances": len(order),
            "objects": [seen.described(i) for i in order],
            "collisions": seen.collisions(),
        }

    def _padded(self, values: np.ndarray) -> np.ndarray:
        made = np.zeros((len(values), self.most, values.shape[-1]), dtype=np.float32)
        made[:, : values.shape[1]] = values
        return made


class _Seen:
    """What the camera sees of a course, less its first and last frame."""

    def __init__(self, camera: Camera, bodies: list[Body], course: Course) -> None:
        self.camera, self.bodies, self.course = camera, bodies, course
        ways = camera.rays().reshape(-1, 3)
        frames = range(1, len(course.positions) - 1)
        surfaces = [
            cast(camera.position, ways, bodies, course.positions[frame], course.rotations[frame])
            for frame in frames
        ]
        shape = (len(frames), camera.size, camera.size)
        self.ways = ways.reshape(*shape[1:], 3)
        self.owner = np.stack([surface.body for surface in surfaces]).reshape(shape)
        self.distance = np.stack([surface.distance for surface in surfaces]).reshape(shape)
        pixels = np.bincount(self.owner[self.owner >= 0], minlength=len(bodies))
        self.order = [int(i) for i in np.argsort(-pixels, kind="stable") if pixels[i]]

    def renumbered(self) -> np.ndarray:
        """The owners as 0 for the floor and i + 1 for object i of `order`."""
        table = np.zeros(len(self.bodies) + 1, dtype=np.uint8)
        table[self.order] = np.arange(1, len(self.order) + 1)
        return table[self.owner]  # the floor's -1 is the table's last place

    def way(self, ahead: int) -> np.ndarray:
        """Pixels (t, 2, h, w) from where a surface point is seen to where it is one frame later or before."""
        course, made = self.course, np.zeros((len(self.owner), *self.ways.shape[:2], 2), dtype=np.float32)
        for frame, (owner, distance) in enumerate(zip(self.owner, self.distance)):
            rows, columns = np.nonzero(owner >= 0)
            points = self.camera.position + distance[rows, columns, None] * self.ways[rows, columns]
            here, there = (
                (course.positions[place], course.rotations[place]) for place in (frame + 1, frame + 1 + ahead)
            )
            spots = self.camera.project(moved(points, owner[rows, columns], here, there))
            made[frame, rows, columns] = spots - np.stack([rows + 0.5, columns + 0.5], axis=-1)
        return np.moveaxis(made, -1, 1)

    def described(self, index: int) -> dict[str, Any]:
        body = self.bodies[index]
        words = {name: getattr(body, name) for name in ("shape", "size", "color", "material")}
        return {**words, "position": tuple(self.course.positions[1, index].tolist())}

    def collisions(self) -> list[dict[str, Any]]:
        """The contacts within the clip, by the objects' places in `order`; -1 comes second."""
        place = {body: number for number, body in enumerate(self.order)}
        made = []
        for contact in self.course.contacts:
            frame, normal = contact["frame"] - 1, contact["contact_normal"]
            one, two = (place.get(body, FLOOR) for body in contact["instances"])
            if not 0 <= frame < len(self.owner) or one == two == FLOOR:
                continue
            if one == FLOOR:
                one, two, normal = two, one, tuple(-part for part in normal)
            row, column = self.camera.project(np.array(contact["position"])) / self.camera.size
            told = {"frame": frame, "instances": (one, two), "contact_normal": normal}
            made.append({**contact, **told, "image_position": (float(column), float(row))})
        return made
