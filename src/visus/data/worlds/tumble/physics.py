"""Bodies drawn at random and moved by PyBullet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.extras import need

RATE_HZ, STEPS = 12, 20
"""Frames per second, and steps of the simulation per frame."""
GRAVITY = 9.81
SPAWN = np.array([[-5.0, -5.0, 1.0], [5.0, 5.0, 5.0]])
SPEED = np.array([4.0, 4.0, 0.0])
SHAPES = ("cube", "cylinder", "sphere")
SIZES = {"small": 0.7, "large": 1.4}
"""Edge of a cube, diameter of a sphere, diameter and length of a cylinder."""
COLORS = {
    "blue": (42, 75, 215),
    "brown": (129, 74, 25),
    "cyan": (41, 208, 208),
    "gray": (87, 87, 87),
    "green": (29, 105, 20),
    "purple": (129, 38, 192),
    "red": (173, 35, 35),
    "yellow": (255, 238, 51),
}
FLOOR = -1
_FULLNESS = {"cube": 1.0, "cylinder": math.pi / 4, "sphere": math.pi / 6}
_TRIES = 200


@dataclass(frozen=True)
class Material:
    """How a surface slides and bounces, and what a unit of volume weighs."""

    friction: float
    restitution: float
    density: float


MATERIALS = {"metal": Material(0.4, 0.3, 2.7), "rubber": Material(0.8, 0.7, 1.1)}
_GROUND = Material(0.3, 0.5, 0.0)


@dataclass(frozen=True)
class Body:
    """One object and how it starts."""

    shape: str
    size: str
    color: str
    material: str

    @property
    def half(self) -> float:
        """Half the edge, or the radius."""
        return SIZES[self.size] / 2

    @property
    def mass(self) -> float:
        return MATERIALS[self.material].density * _FULLNESS[self.shape] * SIZES[self.size] ** 3


@dataclass(frozen=True)
class Course:
    """Where bodies are at every frame; rotations turn the body's axes into the world's."""

    positions: Float[np.ndarray, "t k 3"]
    rotations: Float[np.ndarray, "t k 3 3"]
    velocities: Float[np.ndarray, "t k 3"]
    contacts: list[dict[str, Any]]
    """One per pair of bodies and frame, the strongest: frame, instances (-1: the floor), force, position,
    contact_normal (towards the first of the pair)."""


def draw_bodies(count: int, rng: np.random.Generator) -> list[Body]:
    """Shape, size, color and material, each drawn evenly and on its own."""
    kinds = (SHAPES, tuple(SIZES), tuple(COLORS), tuple(MATERIALS))
    return [Body(*(kind[int(rng.integers(len(kind)))] for kind in kinds)) for _ in range(count)]


def simulate(bodies: list[Body], frames: int, rng: np.random.Generator) -> Course:
    """Drop bodies at places where they do not overlap, with velocities towards the middle, and let them move.

    Places are uniform in `SPAWN`, velocities uniform within `SPEED` less the place's x and y. The air
    does not slow bodies down.
    """
    bullet = need("pybullet", extra="physics", purpose="simulating tumbling bodies")
    world = bullet.connect(bullet.DIRECT)
    try:
        bullet.setGravity(0, 0, -GRAVITY, physicsClientId=world)
        bullet.setPhysicsEngineParameter(
            fixedTimeStep=1 / (RATE_HZ * STEPS),
            restitutionVelocityThreshold=0.0,
            contactSlop=0.0,
            deterministicOverlappingPairs=1,
            physicsClientId=world,
        )
        plane = bullet.createCollisionShape(bullet.GEOM_PLANE, physicsClientId=world)
        floor = bullet.createMultiBody(0, plane, useMaximalCoordinates=True, physicsClientId=world)
        _set_surface(bullet, world, floor, _GROUND)
        numbers = [_place(bullet, world, body, rng) for body in bodies]
        return _run(bullet, world, numbers, frames)
    finally:
        bullet.disconnect(world)


def _set_surface(bullet: Any, world: int, number: int, material: Material) -> None:
    bullet.changeDynamics(
        number,
        -1,
        lateralFriction=material.friction,
        restitution=material.restitution,
        contactProcessingThreshold=0,
        physicsClientId=world,
    )


def _place(bullet: Any, world: int, body: Body, rng: np.random.Generator) -> int:
    kind = {
        "cube": {"shapeType": bullet.GEOM_BOX, "halfExtents": [body.half] * 3},
        "cylinder": {"shapeType": bullet.GEOM_CYLINDER, "radius": body.half, "height": 2 * body.half},
        "sphere": {"shapeType": bullet.GEOM_SPHERE, "radius": body.half},
    }[body.shape]
    shape = bullet.createCollisionShape(**kind, physicsClientId=world)
    number = bullet.createMultiBody(body.mass, shape, useMaximalCoordinates=True, physicsClientId=world)
    _set_surface(bullet, world, number, MATERIALS[body.material])
    for _ in range(_TRIES):
        place, turn = rng.uniform(*SPAWN), rng.normal(size=4)
        turn /= np.linalg.norm(turn)
        bullet.resetBasePositionAndOrientation(number, place.tolist(), turn.tolist(), physicsClientId=world)
        if not any(
            bullet.getClosestPoints(number, other, 0.0, physicsClientId=world) for other in range(number)
        ):
            velocity = rng.uniform(-SPEED, SPEED) - [place[0], place[1], 0.0]
            bullet.resetBaseVelocity(number, velocity.tolist(), [0, 0, 0], physicsClientId=world)
            return number
    raise InputError("no free place was found for a body", field="objects", remedy="ask for fewer objects")


def _run(bullet: Any, world: int, numbers: list[int], frames: int) -> Course:
    positions, rotations, velocities = (np.zeros((frames, len(numbers), *s)) for s in ((3,), (3, 3), (3,)))
    strongest: dict[tuple[int, int, int], dict[str, Any]] = {}
    for frame in range(frames):
        for i, number in enumerate(numbers):
            place, turn = bullet.getBasePositionAndOrientation(number, physicsClientId=world)
            positions[frame, i] = place
            rotations[frame, i] = np.reshape(bullet.getMatrixFromQuaternion(turn), (3, 3))
            velocities[frame, i] = bullet.getBaseVelocity(number, physicsClientId=world)[0]
        for _ in range(STEPS if frame < frames - 1 else 0):
            bullet.stepSimulation(physicsClientId=world)
            for contact in bullet.getContactPoints(physicsClientId=world):
                _note(strongest, contact, numbers, frame)
    contacts = [strongest[key] for key in sorted(strongest)]
    return Course(positions, rotations, velocities, contacts)


def _note(strongest: dict[Any, dict[str, Any]], contact: Any, numbers: list[int], frame: int) -> None:
    """Keep a contact point if it presses harder than those of the same pair in the same frame."""
    first, second, position, normal, force = contact[1], contact[2], contact[6], contact[7], contact[9]
    if force <= 1e-6:
        return
    one, two = (numbers.index(body) if body in numbers else FLOOR for body in (first, second))
    if one == FLOOR:  # the floor comes second
        one, two, normal = two, one, tuple(-part for part in normal)
    key = (frame, one, two)
    if key not in strongest or force > strongest[key]["force"]:
        strongest[key] = {
            "frame": frame,
            "instances": (one, two),
            "force": float(force),
            "position": tuple(position),
            "contact_normal": tuple(normal),
        }
