"""Embedded data: captioned close pictures, and kinds that no caption spoke of, under coined names."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from visus.data.loader import Tensors
from visus.data.worlds.captions import (
    KINDS,
    CaptionedThings,
    Kind,
    coined_names,
    difference,
    phrase,
    unseen_kinds,
)
from visus.methods.vgloss.model.classes import ClassTexts

COUNTS = {"train": 192, "test": 48}
UNSEEN = 8
WORDINGS = 4
_TOLD = 37


class Pictures(Tensors):
    """Pictures in memory with the classes they may be of."""

    def __init__(self, fields: Mapping[str, Any], classes: ClassTexts) -> None:
        super().__init__(fields)
        self.classes = classes


def texts_of_kinds(kinds: Sequence[Kind], *, seed: int = 0, wordings: int = WORDINGS) -> ClassTexts:
    """Kinds as classes with coined names, which say nothing, and descriptions in changing words.

    Kinds that share two attributes or more also have a contrastive text each, of what differs.
    """
    rng = np.random.default_rng((seed, _TOLD))
    names = coined_names(len(kinds), seed=seed)
    normal = tuple(tuple(phrase(kind, rng) for _ in range(wordings)) for kind in kinds)
    contrastive = {
        (names[i], names[j]): (difference(one, other, rng),)
        for i, one in enumerate(kinds)
        for j, other in enumerate(kinds)
        if i != j and sum(a == b for a, b in zip(one, other)) >= 2
    }
    return ClassTexts(names, normal, contrastive)


def captioned(
    part: Literal["train", "test"],
    count: int,
    *,
    unseen: int,
    seed: int = 0,
    size: int = 32,
    wordings: int = 2,
) -> Pictures:
    """Pictures of all kinds but the unseen ones (`train`), or of these (`test`, with `target`); `classes` are the
    unseen kinds."""
    kept_out = unseen_kinds(unseen, seed=seed)
    shown = kept_out if part == "test" else [kind for kind in KINDS if kind not in set(kept_out)]
    rng = np.random.default_rng((seed, _TOLD + 1))
    shown = [shown[i] for i in rng.permutation(len(shown))] if part == "train" else shown
    source = CaptionedThings(count, kinds=shown, seed=seed, part=part, size=size, wordings=wordings)
    batch = source.batch(range(count))
    fields = ("image", "caption", "name") if part == "train" else ("image", "target", "name")
    return Pictures({name: batch[name] for name in fields}, texts_of_kinds(kept_out, seed=seed))


@functools.lru_cache(maxsize=4)
def example(part: Literal["train", "test"], seed: int) -> Pictures:
    """The estimator's example."""
    return captioned(part, COUNTS[part], unseen=UNSEEN, seed=seed)
