"""Still pictures of objects that stand in a room, with programs and captions."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from visus.data.instances import boxes_and_visibility
from visus.data.loader import Indices, as_indices, collate
from visus.data.worlds.scenes.palette import (
    CLASSES,
    Thing,
    caption,
    draw_class,
    draw_things,
)
from visus.data.worlds.scenes.sprites import Light, object_sprite
from visus.data.worlds.scenes.stage import VIEW, Actor, Camera, backdrop, render
from visus.errors import InputError
from visus.protocols import Batch

ELEVATION = math.radians(40)
FLOOR = (-2.7, 2.7, 0.4, 5.4)
"""Where objects stand: least and most x, least and most y."""
WALL = 6.2
LEAST_VISIBLE = 0.2
"""Smallest visible share of an object; scenes that hide more are drawn again."""
PARTS = {"train": 1, "test": 2}
_STILLS, _TRIES, _SPOTS = 11, 200, 40


class SceneImages:
    """A source of pictures; item i is a pure function of (seed, part, i) and the options.

    Fields of a batch: image (b, 3, size, size) float32 0..1, segmentation (b, size, size) uint8 (0 is
    background, i + 1 is object i), boxes (b, m, 4) [ymin, xmin, ymax, xmax] in 0..1, visibility (b, m)
    pixels, depth (b, 1, size, size), num_instances (b,), objects (list of lists of dicts: shape, size, color,
    material, position), caption, name, and with `classes` also target (name of the class). m is the greatest
    number of objects; absent ones are zeros.

    Parameters
    ----------
    count : pictures.
    seed : chooses everything; the parts `train` and `test` of one seed share no picture.
    size : 32, 64, 128 or any other number of pixels from 16 on.
    objects : least and most objects per picture, within 1..16.
    copies : objects come in groups of this many that agree in every attribute but position.
    touching : the objects of a group stand side by side and touch each other.
    classes : None, or whether the scenes of the three classes are `confounded` or `clean`, as in CLEVR-Hans:
        train on confounded ones, test on clean ones.

    Raises
    ------
    InputError : an option outside its range.

    >>> source = SceneImages(4, seed=0, size=32)
    >>> tuple(source.batch([3])["image"].shape)
    (1, 3, 32, 32)
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        part: Literal["train", "test"] = "train",
        size: int = 64,
        objects: tuple[int, int] = (2, 8),
        copies: int = 1,
        touching: bool = False,
        classes: Literal["confounded", "clean"] | None = None,
    ) -> None:
        self.count, self.seed, self.part, self.size = count, seed, part, size
        self.objects, self.copies = (objects[0], objects[1]), copies
        self.touching, self.classes = touching, classes
        _check(self)
        self.most = self.objects[1]

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Indices) -> Batch:
        return collate([self.item(int(i)) for i in as_indices(indices, len(self))])

    def item(self, index: int) -> dict[str, Any]:
        """One picture without the batch axis."""
        place = (self.seed, PARTS[self.part], _STILLS, index)
        # Number and class do not depend on the attempt, or crowded scenes would become rare.
        first = np.random.default_rng((*place, _TRIES))
        number = int(first.integers(self.objects[0], self.objects[1] + 1))
        target = CLASSES[first.integers(len(CLASSES))] if self.classes else None
        for attempt in range(_TRIES):
            item = _draw(self, number, target, np.random.default_rng((*place, attempt)))
            if item is not None:
                return {**item, "name": f"{self.part}_{self.seed}_{index:06d}"}
        raise InputError(
            "objects do not fit into the room", field="objects", remedy="ask for fewer objects or copies"
        )

    def fingerprint(self) -> str:
        """Hash of all options."""
        options = (self.count, self.seed, self.part, self.size, self.objects)
        return hashlib.sha256(
            f"scenes:{(*options, self.copies, self.touching, self.classes)}".encode()
        ).hexdigest()


def check_options(
    *, count: int, size: int, seed: int, part: str, objects: tuple[int, int], most: int
) -> None:
    """Raise an `InputError` that names the first option outside its range."""
    problems = (
        (count < 1, "count", f"must be at least 1, got {count}"),
        (seed < 0, "seed", f"must not be negative, got {seed}"),
        (part not in PARTS, "part", f"unknown part {part!r}, use train or test"),
        (size < 16, "size", f"must be at least 16 pixels, got {size}"),
        (
            not 1 <= objects[0] <= objects[1] <= most,
            "objects",
            f"must be a least and a greatest number within 1..{most}, got {objects}",
        ),
    )
    for wrong, field, problem in problems:
        if wrong:
            raise InputError(problem, field=field)


def _check(source: SceneImages) -> None:
    check_options(
        count=source.count,
        size=source.size,
        seed=source.seed,
        part=source.part,
        objects=source.objects,
        most=12,
    )
    if source.copies < 1:
        raise InputError(f"must be at least 1, got {source.copies}", field="copies")
    if source.classes not in (None, "confounded", "clean"):
        raise InputError(
            f"unknown choice {source.classes!r}", field="classes", remedy="use confounded, clean or None"
        )
    if source.classes and (source.copies > 1 or source.objects[0] < 2):
        raise InputError(
            "scenes with classes have at least two objects and no copies",
            field="objects, copies",
            remedy="use objects=(2, n) and copies=1",
        )


def _draw(
    source: SceneImages, number: int, target: str | None, rng: np.random.Generator
) -> dict[str, Any] | None:
    """One attempt; None when the objects do not fit or hide each other too much."""
    if target is None:
        things = draw_things(number, rng, copies=source.copies)
    else:
        things = draw_class(target, number, rng, confounded=source.classes == "confounded")
    placed = _stand(things, source.copies if source.touching else 1, rng)
    if placed is None:
        return None
    camera = Camera(size=source.size, elevation=ELEVATION, left=-VIEW / 2, low=-0.25)
    light = Light.draw(rng)
    actors = [
        Actor(
            object_sprite(thing, light, elevation=ELEVATION, scale=camera.scale),
            np.array([thing.position]),
            thing.radius,
            i + 1,
        )
        for i, thing in enumerate(placed)
    ]
    scenery = backdrop(camera, WALL, light, rng)
    shown = render(camera, scenery, actors, 0, pan=np.zeros(2), light=light, rng=rng)
    boxes, visible = boxes_and_visibility(shown.segmentation[None], source.most)
    areas = np.array([actor.sprite.area for actor in actors])
    if (visible[0, : len(placed)] < LEAST_VISIBLE * areas).any():
        return None
    objects = [thing.program() for thing in placed]
    item: dict[str, Any] = {
        "image": torch.from_numpy(shown.color),
        "segmentation": torch.from_numpy(shown.segmentation),
        "boxes": torch.from_numpy(boxes[0]),
        "visibility": torch.from_numpy(visible[0]),
        "depth": torch.from_numpy(shown.depth[None]),
        "num_instances": len(objects),
        "objects": objects,
        "caption": caption(objects),
    }
    return item if target is None else {**item, "target": target}


def _stand(things: list[Thing], group: int, rng: np.random.Generator) -> list[Thing] | None:
    """Give every object a place on the floor; members of a group touch the one before them."""
    placed: list[Thing] = []
    for i, thing in enumerate(things):
        spot = None
        for _ in range(_SPOTS):
            if i % group:
                before = placed[-1]
                angle, reach = rng.uniform(0, 2 * math.pi), 0.93 * (before.radius + thing.radius)
                x = before.position[0] + reach * math.cos(angle)
                y = before.position[1] + reach * math.sin(angle)
            else:
                x, y = rng.uniform(FLOOR[0], FLOOR[1]), rng.uniform(FLOOR[2], FLOOR[3])
            within = FLOOR[0] <= x <= FLOOR[1] and FLOOR[2] <= y <= FLOOR[3]
            others = placed[:-1] if i % group else placed
            if within and all(_apart(x, y, thing, other) for other in others):
                spot = (round(float(x), 4), round(float(y), 4), round(thing.bottom, 4))
                break
        if spot is None:
            return None
        placed.append(replace(thing, position=spot))
    return placed


def _apart(x: float, y: float, thing: Thing, other: Thing) -> bool:
    distance = math.hypot(x - other.position[0], y - other.position[1])
    return distance >= 1.02 * (thing.radius + other.radius)
