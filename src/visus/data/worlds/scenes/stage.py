"""The room in which objects stand or move, and the camera that looks into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from visus.data.worlds.scenes.sprites import Light, Sprite, cover, noise, place

VIEW = 6.0
"""World units across the picture."""
DISTANCE = 12.0
"""From the camera's plane to the world's origin."""
SENSOR_NOISE = 0.008


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Parallel projection from above, without perspective.

    A point (x, y, z) is seen at column `(x - left) scale` and row `(VIEW + low - y sin e - z cos e) scale`,
    less the pan, at depth `DISTANCE + y cos e - z sin e`.
    """

    size: int
    elevation: float
    left: float
    low: float

    @property
    def scale(self) -> float:
        """Pixels per world unit."""
        return self.size / VIEW

    def project(
        self, points: Float[np.ndarray, "... 3"], pan: Float[np.ndarray, "... 2"] | None = None
    ) -> Float[np.ndarray, "... 2"]:
        """Rows and columns in pixels (0 = upper left edge). `pan`: the camera's way up and to the right."""
        up = points[..., 1] * math.sin(self.elevation) + points[..., 2] * math.cos(self.elevation)
        seen = np.stack([VIEW + self.low - up, points[..., 0] - self.left], axis=-1)
        if pan is not None:
            seen = seen + pan * np.array([1.0, -1.0])
        return seen * self.scale

    def depth(self, points: Float[np.ndarray, "... 3"]) -> np.ndarray:
        """Distance to the camera's plane, world units."""
        return (
            DISTANCE + points[..., 1] * math.cos(self.elevation) - points[..., 2] * math.sin(self.elevation)
        )


class Backdrop(NamedTuple):
    """Floor and back wall, one pixel per cell, with a margin for the pan."""

    color: Float[np.ndarray, "3 h w"]
    depth: Float[np.ndarray, " h"]
    margin: tuple[int, int]
    """Rows above and columns before the picture when the pan is zero."""


class Actor(NamedTuple):
    """A sprite and the path of its center."""

    sprite: Sprite
    position: Float[np.ndarray, "t 3"]
    radius: float
    label: int
    """Identity in the segmentation; 0 for what is part of the background."""


class Frame(NamedTuple):
    """One rendered picture."""

    color: Float[np.ndarray, "3 h w"]
    segmentation: UInt8[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]


def backdrop(
    camera: Camera, wall: float, light: Light, rng: np.random.Generator, margin: tuple[int, int] = (1, 1)
) -> Backdrop:
    """Textured floor up to the back wall at y = `wall`, lit unevenly. `margin`: rows and columns around."""
    sine, cosine = math.sin(camera.elevation), math.cos(camera.elevation)
    height, width = camera.size + 2 * margin[0], camera.size + 2 * margin[1]
    up = VIEW + camera.low - (np.arange(height) + 0.5 - margin[0]) / camera.scale
    x = (np.arange(width) + 0.5 - margin[1]) / camera.scale
    y, z = up / sine, (up - wall * sine) / cosine
    on_wall = np.clip((up - wall * sine) * camera.scale + 0.5, 0, 1)[:, None]
    cell = camera.scale * 0.28
    floor = _surface(x, y, cell, rng) * (0.92 + 0.03 * y[:, None].clip(0, 4) / 4)
    back = _surface(x, z, cell, rng) * 0.86
    falloff = 1 + 0.10 * noise((height, width), camera.scale * 2.5, rng)
    color = (floor * (1 - on_wall) + back * on_wall) * falloff * (light.ambient + 0.75 * light.strength)
    color = color * np.array(light.tint)[:, None, None]
    on_floor = DISTANCE + y * cosine
    depth = np.where(up > wall * sine, DISTANCE + wall * cosine - z * sine, on_floor)
    return Backdrop(np.clip(color, 0, 1).astype(np.float32), depth.astype(np.float32), margin)


def render(
    camera: Camera,
    scenery: Backdrop,
    actors: Sequence[Actor],
    frame: int,
    *,
    pan: Float[np.ndarray, " 2"],
    light: Light,
    rng: np.random.Generator,
) -> Frame:
    """Paint from the farthest to the nearest; the segmentation belongs to the nearest outline."""
    color, depth = _scenery(camera, scenery, pan)
    segmentation = np.zeros((camera.size, camera.size), np.uint8)
    spots = [camera.project(actor.position[frame], pan) for actor in actors]
    away = [float(camera.depth(actor.position[frame])) for actor in actors]
    for actor in actors:
        if actor.label:
            _shadow(color, camera, actor, frame, pan, light)
    for i in sorted(range(len(actors)), key=lambda i: -away[i]):
        patch = place(actors[i].sprite, row=spots[i][0], column=spots[i][1], size=camera.size)
        if patch is None:
            continue
        cover(patch, color)
        window = (patch.rows, patch.columns)
        segmentation[window][patch.inside] = actors[i].label
        depth[window][patch.inside] = (away[i] - patch.near)[patch.inside]
    color += SENSOR_NOISE * rng.standard_normal(color.shape, dtype=np.float32)
    return Frame(np.clip(color, 0, 1, out=color), segmentation, depth)


def _surface(
    across: np.ndarray, along: np.ndarray, cell: float, rng: np.random.Generator
) -> Float[np.ndarray, "3 h w"]:
    """A plain, clouded, striped or tiled surface in a muted color, with grain."""
    base = rng.uniform(0.35, 0.80) + rng.uniform(-0.10, 0.10, 3)
    other = base + rng.uniform(-0.16, 0.16, 3)
    shape = (len(along), len(across))
    period, phase = rng.uniform(0.9, 2.2), rng.uniform(0, 2 * math.pi, 2)
    waves = (
        np.sin(2 * math.pi / period * along + phase[0])[:, None],
        np.sin(2 * math.pi / period * across + phase[1]),
    )
    kind = rng.integers(4)
    if kind == 0:
        pattern = np.zeros(shape)
    elif kind == 1:
        pattern = noise(shape, 4 * cell, rng)
    elif kind == 2:
        pattern = np.tanh(2.5 * (waves[1] if rng.random() < 0.5 else waves[0])) * np.ones(shape)
    else:
        pattern = np.tanh(4 * waves[0] * waves[1])
    mix = 0.5 + 0.5 * np.clip(pattern, -1, 1)
    color = base[:, None, None] * (1 - mix) + other[:, None, None] * mix
    return color * (1 + 0.05 * noise(shape, cell, rng))


def _scenery(camera: Camera, scenery: Backdrop, pan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the backdrop that the camera sees, interpolated between its cells."""
    top = scenery.margin[0] - pan[0] * camera.scale
    left = scenery.margin[1] + pan[1] * camera.scale
    r, c = math.floor(top), math.floor(left)
    f, g = np.float32(top - r), np.float32(left - c)
    size = camera.size
    tall = scenery.color[:, r : r + size, c : c + size + 1]
    if f:
        tall = tall * (1 - f) + scenery.color[:, r + 1 : r + 1 + size, c : c + size + 1] * f
    color = tall[..., :-1] * (1 - g) + tall[..., 1:] * g
    depth = scenery.depth[r : r + size] * (1 - f) + scenery.depth[r + 1 : r + 1 + size] * f
    return color, np.repeat(depth[:, None], size, axis=1)


def _shadow(
    color: np.ndarray, camera: Camera, actor: Actor, frame: int, pan: np.ndarray, light: Light
) -> None:
    """Darken the floor below an object, softer and fainter the higher it is."""
    x, y, z = actor.position[frame]
    lift = max(z - actor.radius, 0.0)
    toward = z * 0.35
    foot = np.array([x - toward * light.direction[0], y - toward * light.direction[1], 0.0])
    row, column = camera.project(foot, pan)
    wide = (actor.radius * 0.85 + 0.25 * lift) * camera.scale
    deep = wide * math.sin(camera.elevation)
    top, bottom_ = max(0, int(row - 2.5 * deep)), min(camera.size, int(row + 2.5 * deep) + 2)
    left, right = max(0, int(column - 2.5 * wide)), min(camera.size, int(column + 2.5 * wide) + 2)
    if top >= bottom_ or left >= right:
        return
    down = np.exp(-0.5 * ((np.arange(top, bottom_) + 0.5 - row) / (deep * 0.75)) ** 2)
    across = np.exp(-0.5 * ((np.arange(left, right) + 0.5 - column) / (wide * 0.75)) ** 2)
    strength = 0.6 * math.exp(-0.7 * lift)
    color[:, top:bottom_, left:right] *= 1 - (strength * down[:, None] * across).astype(np.float32)
