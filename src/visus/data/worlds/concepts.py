"""Things that people know and networks see: a planted embedding, judgments made from it, and features that hide it.

Every object has a few of sixteen properties, each with a strength from 0: eight say what it is (an animal, a tool),
eight what it is like (soft, round). What it is makes some properties likely - tools are of metal and small - so
dimensions are correlated; what an object is not leaves a faint trace below 0.3, so that no two pairs are equally
alike. That is the hidden embedding, with which simulated people judge:
p(pair is most alike) = softmax over the three pairs of dot product / temperature.

A network's view is a linear mix of the hidden values with as many or more nuisance values of larger variance, plus
noise: its similarities are mostly about the nuisance, but a linear map recovers what people judge by.

Triplets, concepts and judgments are the records that the readers of the real sets give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from visus.data.corpora.similarity_judgments import Judgments
from visus.data.corpora.things import Concepts
from visus.data.triplets.partition import split_objects
from visus.data.triplets.record import Objects, Triplets, as_rows
from visus.data.triplets.sampling import sample_triplets
from visus.data.triplets.source import OddOneOutData
from visus.errors import InputError
from visus.metrics.triplet_choices import choice_probabilities, pair_similarities

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animal": ("soft", "outdoors"),
    "food": ("round", "colorful", "small"),
    "vehicle": ("metal", "outdoors", "electric"),
    "tool": ("metal", "wooden", "small"),
    "clothing": ("soft", "colorful"),
    "furniture": ("wooden", "soft"),
    "plant": ("outdoors", "colorful"),
    "instrument": ("wooden", "metal", "electric"),
}
"""What an object can be -> what such objects tend to be like."""
TRAITS = ("soft", "outdoors", "round", "colorful", "small", "metal", "electric", "wooden")
DIMENSIONS = (*CATEGORIES, *TRAITS)

LEAST, FAINT = 0.3, 0.03
"""Smallest strength of what is true of an object; mean of the values of what is not."""
TYPICAL, UNTYPICAL, SECOND = 0.8, 0.12, 0.1
"""Chances that an object has a typical trait, another trait, and a second category (a toy car)."""
WIDTHS = {"network": 32, "second": 48}
"""Views and the number of their features."""
SHARES = {"train": 0.75, "test": 0.25}


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One network's features of the objects, and the exact rule behind them:
    features = [hidden, nuisance] mix + offset + noise."""

    features: Float32[np.ndarray, "m p"]
    mix: Float64[np.ndarray, "p p"]
    offset: Float64[np.ndarray, " p"]

    def recovered(self, features: Float32[np.ndarray, "n p"]) -> Float64[np.ndarray, "n d"]:
        """Hidden values from features by the inverse of the mix: exact but for the noise."""
        return ((features - self.offset) @ np.linalg.inv(self.mix))[:, : len(DIMENSIONS)]


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedObjects:
    """Other objects of the same world, seen by the same networks, whose distances people judged."""

    hidden: Float32[np.ndarray, "n d"]
    concepts: Concepts
    features: Mapping[str, Float32[np.ndarray, "n p"]]
    judgments: Judgments


@dataclass(frozen=True, kw_only=True, eq=False)
class ConceptsWorld:
    """Objects with all that is true of them.

    `hidden` (m, 16) is what people judge by, its columns named `DIMENSIONS`; `triplets` are judged once each,
    `trials` several times by different people (for a noise ceiling); `views` are by name what networks see.
    """

    hidden: Float32[np.ndarray, "m d"]
    concepts: Concepts
    views: Mapping[str, View]
    triplets: Triplets
    trials: Triplets
    judged: JudgedObjects
    temperature: float
    seed: int

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the hidden columns."""
        return DIMENSIONS

    def probabilities(self, rows: Int64[np.ndarray, "n 3"] | Triplets) -> Float64[np.ndarray, "n 3"]:
        """Exact probability that people call each position the odd one."""
        given = rows.rows if isinstance(rows, Triplets) else as_rows(rows)
        similar = pair_similarities(torch.from_numpy(self.hidden).double(), given, kind="dot")
        return choice_probabilities(similar, self.temperature).numpy()

    def ceiling(self, rows: Int64[np.ndarray, "n 3"] | Triplets | None = None) -> float:
        """Expected accuracy of whoever always makes the likeliest choice: nobody can do better.

        Parameters
        ----------
        rows : by default the trials. The share of the majority among few repeats lies a little above it.
        """
        return float(self.probabilities(self.trials if rows is None else rows).max(axis=1).mean())

    def sample(self, count: int, seed: int, *, among: Objects | None = None, repeats: int = 1) -> Triplets:
        """More triplets, judged by the same rule."""
        found = sample_triplets(
            self.hidden, count, seed, temperature=self.temperature, among=among, repeats=repeats
        )
        return Triplets(
            rows=found.rows,
            objects=found.objects,
            names=self.concepts.unique_ids,
            participants=found.participants,
        )

    def data(self, view: str = "network", triplets: Triplets | None = None) -> OddOneOutData:
        """One view with triplets (by default those judged once); the reference is the hidden embedding."""
        if view not in self.views:
            raise InputError(f"no view {view!r}", field="view", remedy=f"use {' or '.join(self.views)}")
        chosen = self.triplets if triplets is None else triplets
        return OddOneOutData(self.views[view].features, chosen, reference=self.hidden)


def make(
    objects: int = 240,
    *,
    triplets: int = 20_000,
    trials: int = 400,
    repeats: int = 20,
    seed: int = 0,
    temperature: float = 0.6,
    noise: float = 0.05,
    nuisance: float = 0.9,
) -> ConceptsWorld:
    """Draw a world.

    Parameters
    ----------
    objects : in the triplets; a quarter as many others are in `judged`.
    triplets : judged once each.
    trials, repeats : different triplets that are judged `repeats` times each.
    temperature : of people's choices; 0.6 gives a ceiling near that of the real trials, two in three.
    noise : standard deviation of what a view adds to every feature.
    nuisance : standard deviation of the nuisance values; that of hidden values is about a half.

    Raises
    ------
    InputError : a number out of its bounds.

    >>> world = make(24, triplets=50, trials=5, seed=1)
    >>> world.hidden.shape, world.views["network"].features.shape, len(world.trials)
    ((24, 16), (24, 32), 100)
    """
    least = {
        "objects": (objects, 12),
        "triplets": (triplets, 1),
        "trials": (trials, 1),
        "repeats": (repeats, 1),
    }
    for name, (value, bound) in least.items():
        if value < bound:
            raise InputError(f"is {value}", field=name, remedy=f"give {bound} or more")
    for name, value in {"temperature": temperature, "noise": noise, "nuisance": nuisance}.items():
        if not (value >= 0 and math.isfinite(value)) or (name == "temperature" and value == 0):
            raise InputError(f"is {value}", field=name, remedy="give a positive number")
    others = max(objects // 4, 3)
    hidden, kinds, has = _hidden(objects + others, np.random.default_rng([seed, 0]))
    views = {
        name: _view(hidden, width, noise=noise, nuisance=nuisance, rng=np.random.default_rng([seed, 1, i]))
        for i, (name, width) in enumerate(WIDTHS.items())
    }
    concepts = _concepts(has, kinds)
    first, rest = slice(None, objects), slice(objects, None)
    names = concepts.unique_ids[first]
    drawn = {
        key: sample_triplets(
            hidden[first], count, _seed(seed, key), temperature=temperature, repeats=times, unique=times > 1
        )
        for key, count, times in (("triplets", triplets, 1), ("trials", trials, repeats))
    }
    return ConceptsWorld(
        hidden=hidden[first],
        concepts=_some(concepts, first),
        views={
            key: View(features=view.features[first], mix=view.mix, offset=view.offset)
            for key, view in views.items()
        },
        triplets=_named(drawn["triplets"], names),
        trials=_named(drawn["trials"], names),
        judged=JudgedObjects(
            hidden=hidden[rest],
            concepts=_some(concepts, rest),
            features={key: view.features[rest] for key, view in views.items()},
            judgments=_judged(hidden[rest], concepts.unique_ids[rest], np.random.default_rng([seed, 4])),
        ),
        temperature=temperature,
        seed=seed,
    )


def odd_one_out(
    part: Literal["train", "test"] = "train",
    *,
    seed: int = 0,
    objects: int = 240,
    triplets: int = 12_000,
    view: str = "network",
) -> OddOneOutData:
    """One part of a world whose objects are cut in two: no object of one part is in the other.

    Three quarters of the objects and of the triplets are for training. Each part's triplets are drawn among its own
    objects, which are numbered anew (see `OddOneOutData.restricted_to`).

    >>> odd_one_out("test", objects=40, triplets=200).objects
    10
    """
    if part not in SHARES:
        raise InputError(f"unknown part {part!r}", field="part", remedy="choose train or test")
    world = make(objects, triplets=1, trials=1, repeats=1, seed=seed)
    among = split_objects(objects, SHARES, seed)[part]
    count = max(round(triplets * SHARES[part]), 1)
    drawn = world.sample(count, _seed(seed, part), among=among)
    return world.data(view, drawn).restricted_to(among)


def _seed(seed: int, name: str) -> int:
    return int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1, np.uint64)[0] >> 1)


def _hidden(
    count: int, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "m d"], Int64[np.ndarray, " m"], Bool[np.ndarray, "m d"]]:
    """Strengths, the first category of every object, and what is true of it."""
    kinds = rng.permutation(np.arange(count) % len(CATEGORIES))
    chance = np.full((len(CATEGORIES), len(TRAITS)), UNTYPICAL)
    for row, typical in enumerate(CATEGORIES.values()):
        chance[row, [TRAITS.index(name) for name in typical]] = TYPICAL
    second = rng.integers(len(CATEGORIES), size=count)
    has = np.zeros((count, len(DIMENSIONS)), dtype=bool)
    has[:, len(CATEGORIES) :] = rng.random((count, len(TRAITS))) < chance[kinds]
    has[np.arange(count), second] = rng.random(count) < SECOND
    has[np.arange(count), kinds] = True
    typical = np.repeat([1.2, 0.8], [len(CATEGORIES), len(TRAITS)])
    strength = np.maximum(rng.gamma(6.0, 1 / 6, has.shape) * typical, LEAST)
    faint = np.minimum(rng.exponential(FAINT, has.shape), LEAST)
    return np.where(has, strength, faint).astype(np.float32), kinds, has


def _view(
    hidden: Float32[np.ndarray, "m d"], width: int, *, noise: float, nuisance: float, rng: np.random.Generator
) -> View:
    first, _ = np.linalg.qr(rng.normal(size=(width, width)))
    last, _ = np.linalg.qr(rng.normal(size=(width, width)))
    mix = first * np.exp(rng.uniform(-0.4, 0.4, width)) @ last
    offset = rng.normal(0, 0.3, width)
    besides = rng.normal(0, nuisance, (len(hidden), width - hidden.shape[1]))
    clean = np.hstack([hidden, besides]) @ mix + offset
    return View(
        features=(clean + rng.normal(0, noise, clean.shape)).astype(np.float32), mix=mix, offset=offset
    )


def _concepts(has: Bool[np.ndarray, "m d"], kinds: Int64[np.ndarray, " m"]) -> Concepts:
    seen = dict.fromkeys(CATEGORIES, 0)
    names, words, told = [], [], []
    for row, kind in zip(has, kinds.tolist()):
        own = [name for name, true in zip(DIMENSIONS, row.tolist()) if true]
        word = DIMENSIONS[kind]
        seen[word] += 1
        names.append(f"{word}{seen[word]}")
        words.append(word)
        traits = ", ".join(name for name in own if name in TRAITS) or "plain"
        others = [name for name in own if name in CATEGORIES and name != word]
        told.append(
            (f"{traits} {word}" + "".join(f", also of kind {name}" for name in others), (word, *others))
        )
    return Concepts(
        words=tuple(words),
        unique_ids=tuple(names),
        wnids=(None,) * len(names),
        definitions=tuple(text for text, _ in told),
        categories=tuple(kinds for _, kinds in told),
        synonyms=((),) * len(names),
    )


def _some(concepts: Concepts, part: slice) -> Concepts:
    return Concepts(
        words=concepts.words[part],
        unique_ids=concepts.unique_ids[part],
        wnids=concepts.wnids[part],
        definitions=None if concepts.definitions is None else concepts.definitions[part],
        categories=concepts.categories[part],
        synonyms=concepts.synonyms[part],
    )


def _named(triplets: Triplets, names: tuple[str, ...]) -> Triplets:
    return Triplets(
        rows=triplets.rows, objects=triplets.objects, names=names, participants=triplets.participants
    )


def _judged(
    hidden: Float32[np.ndarray, "n d"], names: tuple[str, ...], rng: np.random.Generator, people: int = 12
) -> Judgments:
    """Distances by people who weigh the dimensions a little differently, and are not exact."""
    weight = rng.lognormal(0, 0.4, (people, 1, hidden.shape[1]))
    seen = hidden[None] * weight
    seen = seen / np.linalg.norm(seen, axis=2, keepdims=True)
    apart = 1 - seen @ seen.transpose(0, 2, 1)
    jitter = np.triu(rng.normal(0, 0.15, apart.shape), 1)
    apart = np.clip(apart + jitter + jitter.transpose(0, 2, 1), 0, None)
    apart[:, np.arange(len(hidden)), np.arange(len(hidden))] = 0
    told = tuple(f"person {i + 1}" for i in range(people))
    return Judgments(values=apart, kind="distance", names=names, participants=told)
