"""Triplets drawn from a model of human choice, and from class labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64

from visus.data.triplets.partition import object_mask
from visus.data.triplets.reading import BY_CHOICE
from visus.data.triplets.record import Objects, Triplets, plain_array
from visus.errors import InputError
from visus.metrics.triplet_choices import Kind, choice_probabilities, pair_similarities

JUDGED = 64
"""Triplets per simulated person where their number is not given; about what a THINGS participant saw."""


def sample_triplets(
    embedding: Any,
    count: int,
    seed: int,
    *,
    temperature: float = 1.0,
    kind: Kind = "dot",
    among: Objects | None = None,
    unique: bool = False,
    repeats: int = 1,
    people: int | None = None,
) -> Triplets:
    """Triplets of random objects, judged by people who choose by the similarities of `embedding`.

    p(pair is judged most alike) = softmax over the three pairs of similarity / temperature.

    Paper: 2211.01201, section 2 (the model of choice behind the linear probe); the repeats are the design of the
    trials behind the THINGS noise ceiling.

    Parameters
    ----------
    embedding : (m, d), finite.
    count : how many times three objects are drawn.
    temperature : 0 always takes the most similar pair.
    among : draw from these objects only (mask or numbers); the numbers stay those of all objects.
    unique : draw no three objects twice.
    repeats : how often each three are judged, every time by somebody else; the rows stand together.
    people : how many simulated people judge; by default enough for 64 rows each where there are repeats.
        Without repeats and without `people` the triplets name no participants.

    Raises
    ------
    InputError : fewer than 3 objects, more unique triplets than there are, or fewer people than repeats.

    >>> sample_triplets(np.eye(4), 5, seed=0, repeats=2).repeated(2).rows.shape
    (10, 3)
    """
    points = np.array(plain_array(embedding), dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        problem = f"shape {points.shape}, expected a finite (objects, width)"
        raise InputError(problem, field="embedding", remedy="give one row per object")
    if count < 1 or repeats < 1 or not (temperature >= 0 and math.isfinite(temperature)):
        problem = f"count {count}, repeats {repeats}, temperature {temperature}"
        raise InputError(problem, field="count, repeats, temperature", remedy="give 1 or more, 0 or more")
    pool = np.arange(len(points)) if among is None else np.flatnonzero(object_mask(among, len(points)))
    rng = np.random.default_rng([seed, 0])
    shown = pool[random_triples(len(pool), count, rng, unique=unique)].repeat(repeats, axis=0)
    similar = pair_similarities(torch.from_numpy(points), shown, kind=kind)
    odd = _drawn(similar, temperature, np.random.default_rng([seed, 1]))
    return Triplets(
        rows=np.take_along_axis(shown, BY_CHOICE[odd], axis=1),
        objects=len(points),
        participants=_people(count, repeats, people, np.random.default_rng([seed, 2])),
    )


def random_triples(
    objects: int, count: int, rng: np.random.Generator, *, unique: bool = False
) -> Int64[np.ndarray, "n 3"]:
    """Uniformly drawn sets of three different objects, ascending in each row."""
    if objects < 3:
        raise InputError(f"are {objects}", field="objects", remedy="give 3 or more")
    total = math.comb(objects, 3)
    if unique and count > total:
        problem = f"{count} different triplets of {objects} objects, there are {total}"
        raise InputError(problem, field="count", remedy="ask for fewer, or allow triplets to come again")
    ranks = rng.choice(total, count, replace=False) if unique else rng.integers(total, size=count)
    return _combination(ranks, objects)


def _combination(ranks: Int64[np.ndarray, " n"], objects: int) -> Int64[np.ndarray, "n 3"]:
    """The set {a < b < c} of rank C(c, 3) + C(b, 2) + a."""
    number = np.arange(objects, dtype=np.int64)
    pairs, triples = number * (number - 1) // 2, number * (number - 1) * (number - 2) // 6
    c = np.searchsorted(triples, ranks, side="right") - 1
    rest = ranks - triples[c]
    b = np.searchsorted(pairs, rest, side="right") - 1
    return np.column_stack([rest - pairs[b], b, c])


def _drawn(similar: torch.Tensor, temperature: float, rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """Position of the odd one per row; equal similarities are decided by lot at temperature 0 too."""
    if temperature == 0:
        best = (similar == similar.amax(dim=1, keepdim=True)).double()
        shares = (best / best.sum(dim=1, keepdim=True)).flip(1).numpy()
    else:
        shares = choice_probabilities(similar, temperature).numpy()
    return choose(shares, rng)


def choose(probabilities: Float64[np.ndarray, "n 3"], rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """A position 0, 1 or 2 per row by its probabilities."""
    lot = rng.random(len(probabilities))
    first = probabilities[:, 0]
    return (lot >= first).astype(np.int64) + (lot >= first + probabilities[:, 1])


def _people(
    count: int, repeats: int, people: int | None, rng: np.random.Generator
) -> Int64[np.ndarray, " n"] | None:
    if people is None and repeats == 1:
        return None
    people = max(repeats, count * repeats // JUDGED, 1) if people is None else people
    if people < repeats:
        problem = f"{people} people cannot judge each triplet {repeats} times"
        raise InputError(problem, field="people", remedy=f"give {repeats} or more")
    return rng.permutation(people)[np.arange(count * repeats) % people]


def cifar_coarse(labels: Sequence[Any] | np.ndarray, count: int = 50_000, seed: int = 0) -> Triplets:
    """Two different pictures of one class, and as the odd one a picture of another class.

    Classes are drawn uniformly, then pictures within them; `labels` are those of
    `visus.data.corpora.cifar.load_cifar(..., level="coarse").targets`.

    Source: CIFAR-100-coarse triplets of github.com/LukasMut/gLocal.
    Differs: there the two pictures of a class are drawn independently, so that one picture may be its own partner.

    Raises
    ------
    InputError : fewer than two classes, or none with two pictures.

    >>> cifar_coarse(["fish", "fish", "tree"], count=1).rows[0, 2]
    np.int64(2)
    """
    _, number = np.unique(np.asarray(labels), return_inverse=True)
    number = number.reshape(-1)
    sizes = np.bincount(number) if len(number) else np.zeros(0, dtype=np.int64)
    paired = np.flatnonzero(sizes >= 2)
    if len(sizes) < 2 or not len(paired) or count < 1:
        problem = f"{count} triplets of {len(sizes)} classes, {len(paired)} of them with two pictures"
        raise InputError(problem, field="labels", remedy="give two or more classes, one with two pictures")
    rng = np.random.default_rng(seed)
    order, start = np.argsort(number, kind="stable"), np.cumsum(sizes) - sizes
    same = paired[rng.integers(len(paired), size=count)]
    other = rng.integers(len(sizes) - 1, size=count)
    other += other >= same
    a, b, odd = (rng.integers(sizes[c] - less) for c, less in ((same, 0), (same, 1), (other, 0)))
    b += b >= a
    rows = np.column_stack([order[start[same] + a], order[start[same] + b], order[start[other] + odd]])
    return Triplets(rows=rows, objects=len(number))
