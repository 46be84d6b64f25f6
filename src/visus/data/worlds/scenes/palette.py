"""Attributes of the objects, programs and captions made of them, and the rules of confounded classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visus.data.worlds.scenes.shapes import SHAPES, TURNS, bottom

SIZES = {"small": 0.45, "medium": 0.65, "large": 0.9}
"""Name -> radius in world units."""
COLORS = {
    "gray": (0.42, 0.42, 0.42),
    "red": (0.80, 0.13, 0.13),
    "blue": (0.14, 0.28, 0.86),
    "green": (0.11, 0.50, 0.10),
    "brown": (0.46, 0.27, 0.11),
    "purple": (0.52, 0.15, 0.72),
    "cyan": (0.14, 0.72, 0.74),
    "yellow": (0.95, 0.86, 0.14),
}
MATERIALS = ("rubber", "metal")
CLASSES = ("cube and cylinder", "metal cube and sphere", "blue and yellow spheres")
Position = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object: what a program says of it, and nuisance that no program mentions."""

    shape: str
    size: str
    color: str
    material: str
    position: Position = (0.0, 0.0, 0.0)
    """Center (x, y, z) in world units; in a video, on its first frame."""
    turn: int = 0
    stretch: float = 1.0
    """Factor on the radius."""
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grain: int = 0
    """Seed of the surface's texture."""

    @property
    def radius(self) -> float:
        """World units."""
        return SIZES[self.size] * self.stretch

    @property
    def bottom(self) -> float:
        """Height of the center above the floor when the object stands on it."""
        return bottom(self.shape) * self.radius

    def program(self) -> dict[str, Any]:
        """The object as a plain dict: shape, size, color, material, position."""
        names = ("shape", "size", "color", "material", "position")
        return {name: getattr(self, name) for name in names}


def draw_thing(rng: np.random.Generator) -> Thing:
    """An object with every attribute drawn evenly and with its own nuisance."""
    return _nuisance(
        Thing(
            shape=SHAPES[rng.integers(len(SHAPES))],
            size=list(SIZES)[rng.integers(len(SIZES))],
            color=list(COLORS)[rng.integers(len(COLORS))],
            material=MATERIALS[rng.integers(len(MATERIALS))],
        ),
        rng,
    )


def draw_things(count: int, rng: np.random.Generator, *, copies: int = 1) -> list[Thing]:
    """`count` objects in groups of up to `copies` that agree in everything but position."""
    things: list[Thing] = []
    while len(things) < count:
        thing = draw_thing(rng)
        things += [thing] * min(copies, count - len(things))
    return things


def draw_class(target: str, count: int, rng: np.random.Generator, *, confounded: bool) -> list[Thing]:
    """At least two objects that make a scene of class `target` and of no other class.

    The rules are those of CLEVR-Hans3 (Stammer et al. 2021): a large cube and a large cylinder (confounded:
    the cube is gray); a small metal cube and a small sphere (confounded: the sphere is metal too); a large
    blue sphere and a small yellow sphere (never confounded).
    """
    parts: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        CLASSES[0]: ({"shape": "cube", "size": "large"}, {"shape": "cylinder", "size": "large"}),
        CLASSES[1]: (
            {"shape": "cube", "size": "small", "material": "metal"},
            {"shape": "sphere", "size": "small"},
        ),
        CLASSES[2]: (
            {"shape": "sphere", "size": "large", "color": "blue"},
            {"shape": "sphere", "size": "small", "color": "yellow"},
        ),
    }
    confounders: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        CLASSES[0]: ({"color": "gray"}, {}),
        CLASSES[1]: ({}, {"material": "metal"}),
        CLASSES[2]: ({}, {}),
    }
    while True:
        things = []
        for rule, confounder in zip(parts[target], confounders[target]):
            fixed = {**rule, **(confounder if confounded else {})}
            things.append(replace(draw_thing(rng), **fixed))
        things += draw_things(max(0, count - 2), rng)
        if classes_of([thing.program() for thing in things]) == [target]:
            order = rng.permutation(len(things))
            return [things[i] for i in order]


def classes_of(objects: Sequence[dict[str, Any]]) -> list[str]:
    """The classes whose rule (without the confounder) a scene satisfies."""

    def has(**wanted: str) -> bool:
        return any(all(item[name] == value for name, value in wanted.items()) for item in objects)

    rules = (
        has(shape="cube", size="large") and has(shape="cylinder", size="large"),
        has(shape="cube", size="small", material="metal") and has(shape="sphere", size="small"),
        has(shape="sphere", size="large", color="blue") and has(shape="sphere", size="small", color="yellow"),
    )
    return [name for name, holds in zip(CLASSES, rules) if holds]


def is_confounded(objects: Sequence[dict[str, Any]], target: str) -> bool:
    """Whether the shortcut of class `target` works in this scene (never for the third class)."""
    if target == CLASSES[0]:
        return any((o["shape"], o["size"], o["color"]) == ("cube", "large", "gray") for o in objects)
    if target == CLASSES[1]:
        return any((o["shape"], o["size"], o["material"]) == ("sphere", "small", "metal") for o in objects)
    return False


def caption(objects: Sequence[dict[str, Any]]) -> str:
    """The scene in words, from left to right.

    >>> caption([{"shape": "cube", "size": "large", "color": "red", "material": "metal", "position": (0, 0, 0)}])
    'a large red metal cube'
    """
    ordered = sorted(objects, key=lambda item: item["position"][0])
    told = [f"a {o['size']} {o['color']} {o['material']} {o['shape']}" for o in ordered]
    return told[0] if len(told) == 1 else ", ".join(told[:-1]) + " and " + told[-1]


def _nuisance(thing: Thing, rng: np.random.Generator) -> Thing:
    tint = rng.uniform(-0.05, 0.05, 3)
    return replace(
        thing,
        turn=int(rng.integers(TURNS)),
        stretch=float(rng.uniform(0.92, 1.08)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        grain=int(rng.integers(2**31)),
    )
