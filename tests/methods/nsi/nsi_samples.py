"""Schemas and random scenes that the tests of the room share."""

from __future__ import annotations

import numpy as np

from visus.methods.nsi.model import Categorical, Continuous, Schema

SCHEMA = Schema(
    (
        Categorical("size", ("small", "large")),
        Categorical("color", ("red", "green", "blue"), optional=True),
        Continuous("position", 3, (-3.0, 0.0, 1.0), (3.0, 6.0, 1.0)),
        Continuous("weight", 1, (0.0,), (2.0,), optional=True),
    ),
    most=5,
)


def random_scene(rng: np.random.Generator, count: int, schema: Schema = SCHEMA) -> tuple[dict, ...]:
    """A scene of `count` objects; each optional attribute is missing half of the time."""
    scene = []
    for _ in range(count):
        made = {}
        for each in schema.attributes:
            if each.optional and rng.random() < 0.5:
                continue
            if isinstance(each, Categorical):
                made[each.name] = each.values[rng.integers(len(each.values))]
            else:
                numbers = tuple(float(n) for n in rng.uniform(each.low, each.high))
                made[each.name] = numbers[0] if each.size == 1 else numbers
        scene.append(made)
    return tuple(scene)


def random_scenes(number: int, *, seed: int = 0, least: int = 0, schema: Schema = SCHEMA) -> list:
    """Scenes of `least` to the schema's most objects."""
    rng = np.random.default_rng(seed)
    return [random_scene(rng, int(rng.integers(least, schema.most + 1)), schema) for _ in range(number)]
