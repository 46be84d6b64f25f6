"""Close pictures of single objects with captions in changing words, and kinds of objects kept out of training."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from visus.data.loader import Indices, as_indices, collate
from visus.data.worlds.scenes.images import ELEVATION, FLOOR, PARTS, WALL, check_options
from visus.data.worlds.scenes.palette import COLORS, MATERIALS, SIZES, Thing, draw_thing
from visus.data.worlds.scenes.shapes import SHAPES
from visus.data.worlds.scenes.sprites import Light, object_sprite
from visus.data.worlds.scenes.stage import VIEW, Actor, Camera, backdrop, render
from visus.errors import InputError
from visus.protocols import Batch

ACROSS = 2.4
"""World units across a close picture; the largest objects fill it."""
JITTER = 0.2
"""How far, in world units, an object may stand from the middle."""
WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "midsize"),
    "large": ("large", "big", "huge"),
    "rubber": ("rubber", "matte"),
    "metal": ("metal", "shiny"),
    "sphere": ("sphere", "ball"),
    "cube": ("cube", "block"),
    "ring": ("ring", "donut"),
    "gray": ("gray", "grey"),
}
"""What an attribute's value is called; values that are not listed have one name."""
_CLOSE, _KINDS, _NAMES = 23, 29, 31
_ONSETS, _ENDS = (
    ("b", "d", "f", "k", "l", "m", "n", "p", "t", "v", "z", "gr", "pl", "st"),
    ("x", "n", "p", "m"),
)


class Kind(NamedTuple):
    """A combination of attributes."""

    size: str
    color: str
    material: str
    shape: str


KINDS: tuple[Kind, ...] = tuple(
    Kind(*values) for values in itertools.product(SIZES, COLORS, MATERIALS, SHAPES)
)
"""All combinations: sizes x colors x materials x shapes."""


def unseen_kinds(count: int, *, seed: int = 0) -> tuple[Kind, ...]:
    """Kinds that a training leaves out, chosen by the seed; no value of an attribute is lost with them.

    Raises
    ------
    InputError : not between 1 and half of all kinds.

    >>> len(set(unseen_kinds(12, seed=3)))
    12
    """
    if not 1 <= count <= len(KINDS) // 2:
        problem, remedy = f"is {count}", f"choose 1 to {len(KINDS) // 2} kinds"
        raise InputError(problem, field="unseen", remedy=remedy)
    order = np.random.default_rng((seed, _KINDS)).permutation(len(KINDS))
    return tuple(KINDS[i] for i in order[:count])


def coined_names(count: int, *, seed: int = 0) -> tuple[str, ...]:
    """Different words that mean nothing, for classes whose name must not help.

    >>> len(set(coined_names(30)))
    30
    """
    rng = np.random.default_rng((seed, _NAMES))
    found: dict[str, None] = {}
    while len(found) < count:
        syllables = [_ONSETS[rng.integers(len(_ONSETS))] + "aeiou"[rng.integers(5)] for _ in range(2)]
        found["".join(syllables) + _ENDS[rng.integers(len(_ENDS))]] = None
    return tuple(found)


def phrase(kind: Kind, rng: np.random.Generator, *, drop: float = 0.0) -> str:
    """A kind in words: synonyms, order and form by chance, every attribute left out with the chance `drop`.

    >>> phrase(Kind("large", "red", "metal", "cone"), np.random.default_rng(0))
    'a big metal red cone'
    """
    told = [_word(getattr(kind, name), rng) for name in ("size", "color", "material") if rng.random() >= drop]
    shape = _word(kind.shape, rng) if rng.random() >= drop else "thing"
    form = rng.integers(3)
    if form:
        told = [told[i] for i in rng.permutation(len(told))]
    if form == 2 and told:
        return f"a {shape} that is {' and '.join(told)}"
    return " ".join(["a", *told, shape])


def difference(kind: Kind, other: Kind, rng: np.random.Generator) -> str:
    """What sets a kind apart from another, in words: the attributes that differ, and no others.

    >>> one, two = Kind("large", "red", "metal", "cone"), Kind("small", "red", "metal", "cone")
    >>> difference(one, two, np.random.default_rng(0))
    'a huge thing'
    """
    told = [
        _word(value, rng)
        for name, value in kind._asdict().items()
        if value != getattr(other, name) and name != "shape"
    ]
    return " ".join(["a", *told, _word(kind.shape, rng) if kind.shape != other.shape else "thing"])


def _word(value: str, rng: np.random.Generator) -> str:
    words = WORDS.get(value, (value,))
    return words[rng.integers(len(words))]


class CaptionedThings:
    """A source of close pictures of one object each; item i is a pure function of (seed, part, i) and the options.

    Fields of a batch: image (b, 3, size, size) float32 0..1, caption (list of `wordings` sentences per picture),
    kind (list of `Kind`), name, and target (b,) the kind's number in `kinds`.

    Parameters
    ----------
    count : pictures.
    kinds : what is shown, every kind equally often; default all.
    seed : chooses everything; the parts `train` and `test` of one seed share no picture.
    size : pixels a side.
    wordings : captions per picture.
    drop : chance of an attribute to be left out of a caption.

    Raises
    ------
    InputError : an option outside its range, or no kinds.

    >>> CaptionedThings(4).batch([3])["image"].shape
    torch.Size([1, 3, 32, 32])
    """

    def __init__(
        self,
        count: int,
        *,
        kinds: Sequence[Kind] = KINDS,
        seed: int = 0,
        part: Literal["train", "test"] = "train",
        size: int = 32,
        wordings: int = 1,
        drop: float = 0.1,
    ) -> None:
        check_options(count=count, size=size, seed=seed, part=part, objects=(1, 1), most=1)
        if not kinds:
            raise InputError("is empty", field="kinds", remedy="give at least one kind")
        if wordings < 1:
            raise InputError(f"must be at least 1, got {wordings}", field="wordings")
        if not 0 <= drop < 1:
            raise InputError(f"must be a share below 1, got {drop}", field="drop")
        self.count, self.kinds, self.seed, self.size = count, tuple(kinds), seed, size
        self.part: Literal["train", "test"] = part
        self.wordings, self.drop = wordings, drop

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Indices) -> Batch:
        return collate([self.item(int(i)) for i in as_indices(indices, len(self))])

    def item(self, index: int) -> dict[str, Any]:
        """One picture without the batch axis."""
        rng = np.random.default_rng((self.seed, PARTS[self.part], _CLOSE, index))
        target = index % len(self.kinds)
        kind = self.kinds[target]
        return {
            "image": torch.from_numpy(_close_up(kind, self.size, rng)),
            "caption": [phrase(kind, rng, drop=self.drop) for _ in range(self.wordings)],
            "kind": kind,
            "target": target,
            "name": f"{self.part}_{self.seed}_{index:06d}",
        }

    def fingerprint(self) -> str:
        """Hash of all options."""
        options = (self.count, self.kinds, self.seed, self.part, self.size, self.wordings, self.drop)
        return hashlib.sha256(f"captioned things:{options}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Near(Camera):
    """The camera of the room, nearer."""

    @property
    def scale(self) -> float:
        return self.size / ACROSS


def _close_up(kind: Kind, size: int, rng: np.random.Generator) -> np.ndarray:
    """One object on the room's floor, in the middle of the picture but for some jitter, (3, size, size)."""
    thing: Thing = replace(draw_thing(rng), **kind._asdict())
    x, y = rng.uniform(FLOOR[0], FLOOR[1]), rng.uniform(FLOOR[2], FLOOR[3])
    thing = replace(thing, position=(float(x), float(y), thing.bottom))
    across, up = rng.uniform(-JITTER, JITTER, 2)
    middle = y * math.sin(ELEVATION) + thing.bottom * math.cos(ELEVATION)
    camera = _Near(
        size=size,
        elevation=ELEVATION,
        left=float(x + across - ACROSS / 2),
        low=float(middle + up + ACROSS / 2 - VIEW),
    )
    light = Light.draw(rng)
    sprite = object_sprite(thing, light, elevation=ELEVATION, scale=camera.scale)
    actor = Actor(sprite, np.array([thing.position]), thing.radius, 1)
    scenery = backdrop(camera, WALL, light, rng)
    return render(camera, scenery, [actor], 0, pan=np.zeros(2), light=light, rng=rng).color
