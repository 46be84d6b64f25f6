"""Free fall and elastic collisions of balls in a room, without loss of energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

SUBSTEPS = 12
"""Integration steps between two frames."""


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """Balls: what they are and how they start."""

    radius: Float[np.ndarray, " m"]
    bottom: Float[np.ndarray, " m"]
    """Height of the center when the body touches the floor."""
    mass: Float[np.ndarray, " m"]
    position: Float[np.ndarray, "m 3"]
    velocity: Float[np.ndarray, "m 3"]


@dataclass(frozen=True, kw_only=True)
class Track:
    """The motion, one entry per frame."""

    positions: Float[np.ndarray, "t m 3"]
    velocities: Float[np.ndarray, "t m 3"]
    collisions: list[dict[str, Any]]
    """frame (the first one after it), instances (i, j; -1 is floor or wall), force (the impulse: mass times
    change of velocity), position (of the contact), contact_normal (unit vector from j to i)."""


def simulate(
    bodies: Bodies, *, room: tuple[float, float], gravity: float, rate_hz: float, frames: int
) -> Track:
    """Let bodies move in a room (x in 0..room[0], y in 0..room[1], z above the floor) for `frames` frames.

    Between contacts the motion is the exact parabola. A contact is found at the end of one of `SUBSTEPS`
    steps per frame and turns velocities only, so kinetic plus potential energy stays the same to rounding,
    and so does the momentum of a pair.

    Differs: bodies neither rotate nor rub; every collision is perfectly elastic.
    """
    x, v = bodies.position.astype(np.float64).copy(), bodies.velocity.astype(np.float64).copy()
    m, dt = len(x), 1.0 / rate_hz / SUBSTEPS
    fall = np.array([0.0, 0.0, -gravity])
    low = np.column_stack([bodies.radius, bodies.radius, bodies.bottom])
    high = np.column_stack([room[0] - bodies.radius, room[1] - bodies.radius, np.full(m, np.inf)])
    first, second = np.triu_indices(m, 1)
    reach = (bodies.radius[first] + bodies.radius[second]) ** 2
    positions, velocities, collisions = [x.copy()], [v.copy()], []
    for frame in range(1, frames):
        for _ in range(SUBSTEPS):
            x += v * dt + 0.5 * fall * dt**2
            v += fall * dt
            outside = ((x < low) & (v < 0)) | ((x > high) & (v > 0))
            if outside.any():
                collisions += _bounce(frame, outside, bodies, x, v)
            apart = x[first] - x[second]
            close = np.flatnonzero((apart * apart).sum(1) < reach)
            for pair in close:
                event = _strike(frame, first[pair], second[pair], bodies, x, v)
                collisions += event
        positions.append(x.copy())
        velocities.append(v.copy())
    return Track(positions=np.stack(positions), velocities=np.stack(velocities), collisions=collisions)


def energy(bodies: Bodies, track: Track, gravity: float) -> Float[np.ndarray, " t"]:
    """Kinetic plus potential energy of all bodies on every frame."""
    kinetic = 0.5 * (bodies.mass[:, None] * track.velocities**2).sum((1, 2))
    return kinetic + gravity * (bodies.mass * track.positions[..., 2]).sum(1)


def _bounce(frame: int, outside: np.ndarray, bodies: Bodies, x: np.ndarray, v: np.ndarray) -> list[dict]:
    """Mirror the velocity of bodies that have reached floor or walls."""
    events = []
    for i, axis in zip(*np.nonzero(outside)):
        normal = np.zeros(3)
        normal[axis] = -np.sign(v[i, axis])
        reach = bodies.bottom[i] if axis == 2 else bodies.radius[i]
        impulse = 2 * bodies.mass[i] * abs(v[i, axis])
        v[i, axis] *= -1
        events.append(_event(frame, int(i), -1, float(impulse), x[i] - reach * normal, normal))
    return events


def _strike(
    frame: int, i: np.integer, j: np.integer, bodies: Bodies, x: np.ndarray, v: np.ndarray
) -> list[dict]:
    """Exchange of momentum along the line of centers, if the two approach each other."""
    apart = x[i] - x[j]
    normal = apart / max(float(np.linalg.norm(apart)), 1e-9)
    closing = float((v[i] - v[j]) @ normal)
    if closing >= 0:
        return []
    impulse = -2 * closing / (1 / bodies.mass[i] + 1 / bodies.mass[j])
    v[i] += impulse / bodies.mass[i] * normal
    v[j] -= impulse / bodies.mass[j] * normal
    return [_event(frame, int(i), int(j), float(impulse), x[i] - bodies.radius[i] * normal, normal)]


def _event(
    frame: int, i: int, j: int, impulse: float, position: np.ndarray, normal: np.ndarray
) -> dict[str, Any]:
    return {
        "frame": frame,
        "instances": (i, j),
        "force": impulse,
        "position": tuple(float(p) for p in position),
        "contact_normal": tuple(float(n) for n in normal),
    }
