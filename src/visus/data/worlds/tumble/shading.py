"""What the camera sees: which body in which pixel, how far away, in what color."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from visus.data.worlds.tumble.camera import Camera
from visus.data.worlds.tumble.physics import COLORS, Body
from visus.data.worlds.tumble.rays import entry_distance, floor_distance, normals

SUN, FILL = (11.66, -6.63, 25.82), (-4.67, -4.01, 3.01)
"""Places of the light that casts shadows and of the one that does not."""
OVERSAMPLING = 2
_AMBIENT, _SUN_SHARE, _FILL_SHARE = 0.34, 0.62, 0.22
_GROUND = 0.52
_SKY, _BELOW = 1.15, 0.25
"""Brightness that a metal mirrors from above and from below."""
_LIFT = 1e-6


@dataclass(frozen=True)
class Surface:
    """What rays met first: `body` -1 is the floor."""

    distance: Float[np.ndarray, " n"]
    body: Int[np.ndarray, " n"]


def cast(
    origin: Float[np.ndarray, " 3"],
    ways: Float[np.ndarray, "n 3"],
    bodies: list[Body],
    positions: Float[np.ndarray, "k 3"],
    rotations: Float[np.ndarray, "k 3 3"],
) -> Surface:
    """The first surface along every ray."""
    nearest = floor_distance(np.broadcast_to(origin, ways.shape), ways)
    owner = np.full(len(ways), -1)
    for i, body in enumerate(bodies):
        to_center = positions[i] - origin
        along = ways @ to_center
        near = _close(along, to_center @ to_center - along**2, body)
        local_ways = ways[near] @ rotations[i]
        local = np.broadcast_to(-to_center @ rotations[i], local_ways.shape)
        distance, met = entry_distance(body.shape, body.half, local, local_ways)
        met &= distance < nearest[near]
        nearest[near[met]] = distance[met]
        owner[near[met]] = i
    return Surface(nearest, owner)


def color(
    camera: Camera,
    bodies: list[Body],
    positions: Float[np.ndarray, "k 3"],
    rotations: Float[np.ndarray, "k 3 3"],
    sun: Float[np.ndarray, " 3"],
) -> Float[np.ndarray, "h w 3"]:
    """A picture in 0..1 with shadows; metal mirrors light and surroundings, rubber is dull."""
    ways = camera.rays(OVERSAMPLING).reshape(-1, 3)
    seen = cast(camera.position, ways, bodies, positions, rotations)
    points = camera.position + seen.distance[:, None] * ways
    outward = np.broadcast_to([0.0, 0.0, 1.0], points.shape).copy()
    for i, body in enumerate(bodies):
        mine = seen.body == i
        local = (points[mine] - positions[i]) @ rotations[i]
        outward[mine] = normals(body.shape, local) @ rotations[i].T
    to_sun = sun / np.linalg.norm(sun)
    lit = ~_shadowed(points + _LIFT * outward, to_sun, bodies, positions, rotations)
    shaded = _shade(points, ways, outward, lit, to_sun, seen.body, bodies)
    grid = shaded.reshape(camera.size, OVERSAMPLING, camera.size, OVERSAMPLING, 3)
    return grid.mean(axis=(1, 3))


def _shade(
    points: np.ndarray,
    ways: np.ndarray,
    outward: np.ndarray,
    lit: np.ndarray,
    to_sun: np.ndarray,
    body: np.ndarray,
    bodies: list[Body],
) -> Float[np.ndarray, "n 3"]:
    """Lambert's and Phong's laws for two lights; a metal also mirrors a bright sky and the gray floor."""
    paint = np.array([*(COLORS[item.color] for item in bodies), [255 * _GROUND] * 3]) / 255
    metal = np.array([*(item.material == "metal" for item in bodies), False])[body]
    to_fill = np.asarray(FILL) / np.linalg.norm(FILL)
    sunny = np.maximum(outward @ to_sun, 0) * lit
    filled = np.maximum(outward @ to_fill, 0)
    light = _AMBIENT + _SUN_SHARE * sunny + _FILL_SHARE * filled
    mirrored = ways - 2 * (ways * outward).sum(axis=-1, keepdims=True) * outward
    toward = np.maximum(mirrored @ to_sun, 0) * lit
    gloss = np.where(metal, 0.9 * toward**60, np.where(body >= 0, 0.12 * toward**6, 0.0))
    around = _BELOW + (_SKY - _BELOW) / (1 + np.exp(-8 * mirrored[:, 2]))
    base = paint[body]
    dull = base * light[:, None]
    shiny = base * (0.3 * light + around)[:, None]
    made = np.where(metal[:, None], shiny, dull) + gloss[:, None]
    fog = np.where(body < 0, 1 - np.exp(-np.linalg.norm(points[:, :2], axis=-1) / 40), 0.0)[:, None]
    return np.clip(made * (1 - fog) + _GROUND * fog, 0, 1)


def _shadowed(
    points: np.ndarray, to_sun: np.ndarray, bodies: list[Body], positions: np.ndarray, rotations: np.ndarray
) -> np.ndarray:
    dark = np.zeros(len(points), dtype=bool)
    height, square = points @ to_sun, (points**2).sum(axis=-1)
    for i, body in enumerate(bodies):
        center = positions[i]
        along = center @ to_sun - height
        near = _close(along, center @ center - 2 * points @ center + square - along**2, body)
        local = (points[near] - center) @ rotations[i]
        local_ways = np.broadcast_to(to_sun @ rotations[i], local.shape)
        dark[near[entry_distance(body.shape, body.half, local, local_ways)[1]]] = True
    return dark


def _close(along: np.ndarray, apart: np.ndarray, body: Body) -> Int[np.ndarray, " m"]:
    """The rays that pass the ball around a body; only they need to be tried.

    `along` is how far along the ray its nearest point to the body's center lies, `apart` the square of their
    distance. Half the diagonal of a cube is the root of three times half its edge.
    """
    return np.flatnonzero((apart < 3.01 * body.half**2) & (along > -2 * body.half))
