"""Solids seen from an elevated camera: outline, surface direction and height, traced once per view.

World axes: x to the right, y away from the camera, z up. The camera looks along (0, cos e, -sin e) without
perspective, so an object that moves keeps its picture: its image is a rigid sprite.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float

SHAPES = ("sphere", "cube", "cylinder", "cone", "ring", "gem")
REACH = 1.3
"""Half the edge of a relief's square, in radii: no solid reaches farther from its center."""
TURNS = 6
"""Different headings per shape (solids of revolution look the same in all of them)."""
_GRID = 96
_STEPS = 64
_BOTTOM = {"sphere": 0.95, "cube": 0.72, "cylinder": 0.75, "cone": 0.8, "ring": 0.95, "gem": 1.1}


def bottom(shape: str) -> float:
    """Distance from the center of a solid of radius one down to the floor it stands on.

    >>> bottom("cube")
    0.72
    """
    return _BOTTOM[shape]


def camera_axes(elevation: float) -> Float[np.ndarray, "3 3"]:
    """Rows: the picture's right, the picture's up, and the direction to the camera, in world axes."""
    sine, cosine = math.sin(elevation), math.cos(elevation)
    return np.array([[1.0, 0.0, 0.0], [0.0, sine, cosine], [0.0, -cosine, sine]])


@functools.lru_cache(maxsize=256)
def relief(shape: str, turn: int, elevation: float) -> Float[np.ndarray, "5 n n"]:
    """What the camera sees of a solid of radius one, rows from top to bottom.

    Layers: filled share of each cell (the outline is where its interpolation passes one half); outward
    direction of the surface in world axes (three layers); how much nearer to the camera than the center the
    surface is. By sphere tracing (The Visual Computer 12, 1996): march along the ray by the distance that is free.

    Parameters
    ----------
    shape : one of `SHAPES`.
    turn : heading, 0..TURNS-1.
    elevation : of the camera, radians.
    """
    n, fine = _GRID, 2 * _GRID
    axes = camera_axes(elevation)
    line = ((np.arange(fine) + 0.5) / fine * 2 - 1) * REACH
    u, v = np.meshgrid(line, -line)
    start = u.ravel()[:, None] * axes[0] + v.ravel()[:, None] * axes[1]
    near, alive = np.full(fine * fine, 1.5 * REACH), np.arange(fine * fine)
    for _ in range(_STEPS):
        free = _distance(shape, turn, start[alive] + near[alive, None] * axes[2])
        near[alive] -= free
        alive = alive[(free > 1e-3) & (near[alive] > -1.5 * REACH)]
    inside = near > -1.5 * REACH
    inside[alive] &= _distance(shape, turn, start[alive] + near[alive, None] * axes[2]) < 2e-3
    normal = np.zeros((fine * fine, 3))
    normal[inside] = _normals(shape, turn, start[inside] + near[inside, None] * axes[2])
    cells = np.column_stack([inside, normal, np.where(inside, near, 0.0)]).reshape(n, 2, n, 2, 5).mean((1, 3))
    share = np.maximum(cells[..., 0], 0.25)
    length = np.linalg.norm(cells[..., 1:4], axis=-1, keepdims=True)
    directions = cells[..., 1:4] / np.maximum(length, 1e-9)
    layers = np.concatenate([cells[..., :1], directions, cells[..., 4:] / share[..., None]], axis=-1)
    return np.ascontiguousarray(np.moveaxis(layers, -1, 0), dtype=np.float32)


def _normals(shape: str, turn: int, points: np.ndarray) -> np.ndarray:
    step = 2e-3
    slopes = [
        _distance(shape, turn, points + step * axis) - _distance(shape, turn, points - step * axis)
        for axis in np.eye(3)
    ]
    slope = np.stack(slopes, axis=1)
    return slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)


def _distance(shape: str, turn: int, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Signed distance to the surface (a lower bound of it for the gem), negative inside."""
    x, y, z = points.T
    radial = np.hypot(x, y)
    if shape == "sphere":
        return np.sqrt(radial**2 + z**2) - 0.95
    if shape == "cylinder":
        return _box(radial - 0.72, np.abs(z) - 0.70, None) - 0.05
    if shape == "cone":
        return _cone(radial, z)
    heading = turn / TURNS
    if shape == "ring":
        angle = (heading - 0.5) * math.radians(100)
        along, across = _turned(x, y, angle)
        return np.hypot(np.hypot(along, z) - 0.66, across) - 0.29
    along, across = _turned(x, y, heading * math.pi / 2)
    if shape == "cube":
        return _box(np.abs(along) - 0.67, np.abs(across) - 0.67, np.abs(z) - 0.67) - 0.05
    return (np.abs(along) + np.abs(across) + np.abs(z) * 0.85 - 0.935) / math.sqrt(2 + 0.85**2)


def _turned(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    return math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x


def _box(a: np.ndarray, b: np.ndarray, c: np.ndarray | None) -> np.ndarray:
    """Distance to a box, from how far a point lies beyond each pair of its sides."""
    sides = [a, b] if c is None else [a, b, c]
    outside = np.sqrt(sum(np.maximum(side, 0) ** 2 for side in sides))
    return outside + np.minimum(functools.reduce(np.maximum, sides), 0)


def _cone(radial: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A cone with its tip at z = 0.8 and a base of radius 0.9 at z = -0.8."""
    slant = math.hypot(1.6, 0.9)
    flank = (radial * 1.6 + (z - 0.8) * 0.9) / slant
    return np.maximum(flank, -0.8 - z)
