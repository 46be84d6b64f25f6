"""A planted world of two towers: attributes are directions, and texts and pictures are sums of them.

Everything is known: which classes are confusable, by which attribute they differ, and what a text says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from visus.data.loader import Tensors
from visus.methods.vgloss.model.classes import ClassTexts
from visus.methods.vgloss.model.confusion import Pairs

GAP = 1.0
"""Length of the direction that all texts share, and of another that all pictures share, as in trained towers."""
_WORLD, _PICTURES, _TEXTS = 41, 43, 47


class PlantedText:
    """A text encoder: the sum of the directions of the attribute words in a text, with noise of the text's own.

    Words that are no attribute say nothing. Satisfies `visus.data.features.TextEncoder`.
    """

    max_tokens = 77

    def __init__(
        self, directions: dict[str, np.ndarray], shared: np.ndarray, *, noise: float, seed: int
    ) -> None:
        self.directions, self.shared, self.noise, self.seed = directions, shared, noise, seed
        self.width = len(shared)
        self.identity = f"planted {seed} {len(directions)} {self.width} {noise}"

    def texts(self, texts: Sequence[str]) -> Float32[Tensor, "b e"]:
        """One row per text, the same for the same text."""
        return torch.from_numpy(np.stack([self._row(text) for text in texts]).astype(np.float32))

    def count_tokens(self, text: str) -> int:
        """Words and two."""
        return len(text.split()) + 2

    def _row(self, text: str) -> np.ndarray:
        own = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
        rng = np.random.default_rng((self.seed, _TEXTS, own))
        said = [self.directions[word] for word in text.split() if word in self.directions]
        noise = rng.standard_normal(self.width) * self.noise / self.width**0.5
        return np.sum([self.shared, noise, *said], axis=0)


@dataclass(frozen=True)
class PlantedWorld:
    """Classes in pairs that share all attributes but one.

    classes : coined names; normal descriptions that mention few attributes each, and for each pair one
        sentence a side with the attribute that differs.
    pictures : `features` (b, e) and `target`.
    pairs : the confusable ones.
    encoder : of texts.
    """

    classes: ClassTexts
    pictures: Tensors
    pairs: Pairs
    encoder: PlantedText

    def swapped(self) -> ClassTexts:
        """The classes with every contrastive sentence on the wrong side of its pair."""
        wrong = {(other, one): told for (one, other), told in self.classes.contrastive.items()}
        return replace(self.classes, contrastive=wrong)


def plant(
    *,
    pairs: int = 20,
    attributes: int = 6,
    values: int = 6,
    pictures: int = 2000,
    descriptions: int = 2,
    mentioned: int = 2,
    noise: float = 2.0,
    text_noise: float = 0.5,
    width: int = 128,
    seed: int = 0,
) -> PlantedWorld:
    """Draw a world.

    A picture of class c is sum_a u(a, v_a(c)) + g + noise, with unit directions u of values and one shared by all
    pictures g. A text is the sum of the u whose words it holds, a direction shared by all texts, and noise.

    Parameters
    ----------
    pairs : of classes; the two of a pair differ in one attribute, chosen at random.
    attributes, values : how many, and how many values each has.
    descriptions, mentioned : normal ones per class, and how many attributes each of them mentions, at random.
    noise, text_noise : length of the noise of pictures and of texts (an attribute has length 1).

    >>> world = plant(pairs=3, pictures=6)
    >>> len(world.classes), sorted(world.pairs), tuple(world.pictures["features"].shape)
    (6, [(0, 1), (2, 3), (4, 5)], (6, 128))
    """
    rng = np.random.default_rng((seed, _WORLD))
    words = [[f"quality{a}is{v}" for v in range(values)] for a in range(attributes)]
    rows = rng.standard_normal((attributes * values + 2, width))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    directions = {word: rows[i] for i, word in enumerate(word for line in words for word in line)}
    kinds, differing = [], []
    while len(kinds) < 2 * pairs:
        one = rng.integers(values, size=attributes)
        a = int(rng.integers(attributes))
        other = one.copy()
        other[a] = (one[a] + 1 + rng.integers(values - 1)) % values
        if not {tuple(one), tuple(other)} & {tuple(kind) for kind in kinds}:
            kinds, differing = [*kinds, one, other], [*differing, a]
    names = tuple(f"class{i}" for i in range(2 * pairs))
    told = [[words[a][kind[a]] for a in range(attributes)] for kind in kinds]
    normal = tuple(
        tuple(" ".join(own[a] for a in rng.permutation(attributes)[:mentioned]) for _ in range(descriptions))
        for own in told
    )
    contrastive = {(names[i], names[i ^ 1]): (told[i][differing[i // 2]],) for i in range(2 * pairs)}
    target = np.arange(pictures) % (2 * pairs)
    clean = np.stack([np.sum([directions[word] for word in own], axis=0) for own in told])
    drawn = np.random.default_rng((seed, _PICTURES)).standard_normal((pictures, width))
    features = clean[target] + GAP * rows[-1] + drawn * noise / width**0.5
    return PlantedWorld(
        ClassTexts(names, normal, contrastive),
        Tensors(
            {"features": torch.from_numpy(features.astype(np.float32)), "target": torch.from_numpy(target)}
        ),
        frozenset((2 * i, 2 * i + 1) for i in range(pairs)),
        PlantedText(directions, GAP * rows[-2], noise=text_noise, seed=seed),
    )
