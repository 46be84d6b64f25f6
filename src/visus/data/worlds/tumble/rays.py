"""Where rays meet cubes, cylinders, spheres and the floor.

A body is convex, so a ray is inside it along one stretch: the stretch between its faces (cube), inside its
mantle and between its ends (cylinder), or around the nearest point to its center (sphere).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

Rays = Float[np.ndarray, "n 3"]
_FLAT = 1e-12
"""Stands for a direction of zero, so that nothing is divided by zero."""


def entry_distance(
    shape: str, half: float, origins: Rays, ways: Rays
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """How far along unit vectors `ways` rays enter a body at the origin, and which rays do so ahead of them.

    Coordinates are the body's own; `half` is half the edge, or the radius and half the length.
    """
    if shape == "cube":
        enter, leave = _between(origins, ways, half)
        enter, leave = enter.max(axis=-1), leave.min(axis=-1)
    elif shape == "cylinder":
        enter, leave = _inside_circle(origins[:, :2], ways[:, :2], half)
        first, last = _between(origins[:, 2], ways[:, 2], half)
        enter, leave = np.maximum(enter, first), np.minimum(leave, last)
    else:
        enter, leave = _inside_circle(origins, ways, half)
    return enter, (enter < leave) & (enter > 0)


def normals(shape: str, points: Rays) -> Rays:
    """Unit vectors that point outwards at points of the surface, in the body's own coordinates."""
    if shape == "sphere":
        return points / np.linalg.norm(points, axis=-1, keepdims=True)
    if shape == "cube":
        face = np.abs(points) == np.abs(points).max(axis=-1, keepdims=True)
        outward = np.sign(points) * face
    else:
        radius = np.linalg.norm(points[:, :2], axis=-1)
        end = np.abs(points[:, 2]) > radius  # as long as it is wide
        outward = np.where(end[:, None], points * [0.0, 0.0, 1.0], points * [1.0, 1.0, 0.0])
    return outward / np.linalg.norm(outward, axis=-1, keepdims=True)


def floor_distance(origins: Rays, ways: Rays) -> Float[np.ndarray, " n"]:
    """How far away the plane z = 0 is; infinitely far for rays that do not point down."""
    falling = ways[:, 2] < -_FLAT
    return np.where(falling, -origins[:, 2] / np.where(falling, ways[:, 2], -1.0), np.inf)


def _between(origin: np.ndarray, way: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    safe = np.where(np.abs(way) < _FLAT, _FLAT, way)
    one, other = (-half - origin) / safe, (half - origin) / safe
    return np.minimum(one, other), np.maximum(one, other)


def _inside_circle(origins: np.ndarray, ways: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    square = np.maximum((ways**2).sum(axis=-1), _FLAT)
    middle = -(origins * ways).sum(axis=-1) / square
    apart = ((origins + middle[:, None] * ways) ** 2).sum(axis=-1)
    reach = np.sqrt(np.maximum(radius**2 - apart, 0.0) / square)
    return middle - reach, np.where(apart < radius**2, middle + reach, -np.inf)
