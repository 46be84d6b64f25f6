"""From descriptions to a classifier: texts through an encoder, and one score per class from a class's texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.data.features import FeatureCache, TextEncoder, extract
from visus.errors import InputError

Pooling = Literal["mean", "similarity_mean", "max", "weighted"]
Project = Callable[[Float[Tensor, "n e"]], Float[Tensor, "n p"]]
POOLINGS = ("mean", "similarity_mean", "max", "weighted")
_TENSORS = ("owner", "embeddings", "weights", "share")
SHARPNESS = 0.1
"""Temperature of the weights of pooling `weighted`."""


class EmptyClassWarning(UserWarning):
    """A class has no description; its name alone stands for it."""


@dataclass(frozen=True)
class ClassWeights:
    """A zero-shot classifier: rows to compare pictures with.

    names : one per class.
    texts, owner : every text, and the class (its number) it belongs to.
    embeddings : of the texts, unit rows, in the space of the pictures.
    weights : (c, e): one row per class; unit rows but for `similarity_mean`. For `max`, where a class has no one
        row, those of `mean`: what neighbors are found by.
    share : of each text in its class's row; the shares of a class sum to 1.
    pooling : what made them.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    owner: Int64[Tensor, " n"]
    embeddings: Float[Tensor, "n e"]
    weights: Float[Tensor, "c e"]
    share: Float[Tensor, " n"]
    pooling: Pooling = "mean"

    def similarities(self, images: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Scores of pictures: cosines with the rows, or with the nearest text of each class for `max`."""
        rows = F.normalize(images, dim=-1)
        if self.pooling != "max":
            return rows @ self.weights.T
        each = rows @ self.embeddings.T
        found = each.new_full((len(each), len(self.names)), -torch.inf)
        return found.scatter_reduce(1, self.owner.expand_as(each), each, "amax")

    def for_open_clip(self) -> Float[Tensor, "e c"]:
        """The matrix in the shape that open_clip's zero-shot classifiers have: logits = 100 features @ this.

        Raises
        ------
        InputError : pooling `max` has no such matrix.
        """
        if self.pooling == "max":
            remedy = "build with pooling mean"
            raise InputError("max has no matrix with one row per class", field="pooling", remedy=remedy)
        return self.weights.T.contiguous()

    def to(self, device: torch.device | str) -> ClassWeights:
        """On another device."""
        moved = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved)


class TextClassifierBuilder:
    """Classifier rows from lists of descriptions, of any length per class.

    Every text's embedding is normalized first. With the unit rows E of a class's texts:
    `mean`: w = normalize(mean E). `similarity_mean`: w = mean E, whose product with a picture is the mean of its
    similarities to the texts. `max`: the similarity to the nearest text. `weighted`: w = normalize(sum a E) with
    a from `weights`, or else a = softmax over a class's texts of (s_own - s_other) / 0.1, the cosines with the
    own and with the nearest other class's mean: sentences that could describe a neighbor count less.

    Repeating or reordering a class's whole list changes nothing. A text is encoded once, however often it occurs
    in the lists and calls of one builder.

    Parameters
    ----------
    encoder : of texts.
    pooling : one of the four.
    project : maps pooled unit rows to the space of the pictures (a `TextBridge`); for `max`, and where texts are
        asked for one by one, the rows of single texts. None: the encoder's space is that of the pictures.
    cache : embeddings on disk, shared between runs.

    Source: 2306.06077 and CuPL (`mean`); DCLIP, Menon & Vondrick 2023 (`similarity_mean`).

    Raises
    ------
    InputError : an unknown pooling.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        *,
        pooling: Pooling = "mean",
        project: Project | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise InputError(
                f"{pooling!r} is unknown", field="pooling", remedy=f"one of {', '.join(POOLINGS)}"
            )
        self.encoder, self.project, self.cache = encoder, project, cache
        self.pooling: Pooling = pooling
        self._known: dict[str, Tensor] = {}

    def embed(self, texts: Sequence[str]) -> Float32[Tensor, "n e"]:
        """Unit rows of texts in the encoder's space, on the CPU; known ones are not encoded again.

        Raises
        ------
        InputError : no texts, or one whose embedding is zero.
        """
        if not texts:
            raise InputError("there are none", field="texts", remedy="give at least one")
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            found = extract(self.encoder, new, kind="texts", cache=self.cache).values
            dead = (found.norm(dim=1) == 0).nonzero()
            if len(dead):
                problem = "has the embedding zero"
                raise InputError(problem, field=f"text {new[int(dead[0])]!r}", remedy="write it differently")
            self._known |= dict(zip(new, F.normalize(found, dim=-1)))
        return torch.stack([self._known[text] for text in texts])

    def build(
        self,
        descriptions: Mapping[str, Sequence[str]],
        *,
        spoken: Mapping[str, str] | None = None,
        weights: Mapping[str, Sequence[float]] | None = None,
    ) -> ClassWeights:
        """The classifier of classes with their descriptions.

        Parameters
        ----------
        spoken : class -> its name in words, which stands in for a class without descriptions.
        weights : class -> a weight per description, for pooling `weighted`; not negative, not all 0.

        Raises
        ------
        InputError : no classes, or weights that do not fit.

        Warns
        -----
        EmptyClassWarning : a class has no description.
        """
        if not descriptions:
            raise InputError("is empty", field="classes", remedy="give at least one class")
        told = {name: [text for text in texts if text.strip()] for name, texts in descriptions.items()}
        empty = [name for name, texts in told.items() if not texts]
        for name in empty:
            told[name] = [(spoken or {}).get(name, name)]
        if empty:
            shown = ", ".join(empty[:5]) + (", ..." if empty[5:] else "")
            problem = f"{len(empty)} of {len(told)} classes have no description and go by their name: {shown}"
            warnings.warn(problem, EmptyClassWarning, stacklevel=2)
        texts = [text for own in told.values() for text in own]
        owner = torch.tensor([i for i, own in enumerate(told.values()) for _ in own])
        rows = self.embed(texts)
        share = shares(rows, owner, len(told), self.pooling, weights=_flat(weights, told))
        pooled, embeddings = pool(rows, owner, len(told), share, self.pooling), rows
        if self.project is not None:
            embeddings = F.normalize(self.project(rows), dim=-1)
            if self.pooling in ("mean", "weighted"):
                pooled = F.normalize(self.project(pooled), dim=-1)
            else:
                pooled = pool(embeddings, owner, len(told), share, self.pooling)
        return ClassWeights(tuple(told), tuple(texts), owner, embeddings, pooled, share, self.pooling)


def shares(
    rows: Float[Tensor, "n e"],
    owner: Int64[Tensor, " n"],
    classes: int,
    pooling: Pooling = "mean",
    *,
    weights: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """How much each text counts in its class, summing to 1 per class; see `TextClassifierBuilder`."""
    if weights is None:
        weights = torch.ones_like(rows[:, 0])
        if pooling == "weighted" and classes > 1:
            even = shares(rows, owner, classes)
            cosines = rows @ pool(rows, owner, classes, even).T
            own = cosines.gather(1, owner[:, None])[:, 0]
            other = cosines.scatter(1, owner[:, None], -torch.inf).amax(1)
            weights = ((own - other) / SHARPNESS).exp()
    total = rows.new_zeros(classes).index_add(0, owner, weights)
    return weights / total[owner]


def pool(
    rows: Float[Tensor, "n e"],
    owner: Int64[Tensor, " n"],
    classes: int,
    share: Float[Tensor, " n"],
    pooling: Pooling = "mean",
) -> Float[Tensor, "c e"]:
    """One row per class from the unit rows of its texts; unit rows but for `similarity_mean`.

    A mean that vanishes (opposite texts) gives the row of the class's first text, never zeros.
    """
    mean = rows.new_zeros(classes, rows.shape[1]).index_add(0, owner, rows * share[:, None])
    lost = mean.norm(dim=1) < 1e-6
    if bool(lost.any()):
        places = torch.arange(len(rows), device=owner.device)
        first = places.new_full((classes,), len(rows) - 1).scatter_reduce(0, owner, places, "amin")
        mean = torch.where(lost[:, None], rows[first], mean)
    return mean if pooling == "similarity_mean" else F.normalize(mean, dim=-1)


def average(one: ClassWeights, other: ClassWeights) -> ClassWeights:
    """The ensemble of two classifiers of the same classes: the mean of their unit rows, normalized.

    Differs from pooling all texts in one list, where the classifier with more texts counts more.

    Raises
    ------
    InputError : other classes, or pooling `max`.
    """
    if one.names != other.names or "max" in (one.pooling, other.pooling):
        remedy = "build both from the same classes, with a pooling other than max"
        raise InputError("cannot be averaged", field="classifiers", remedy=remedy)
    rows = F.normalize(one.weights, dim=-1) + F.normalize(other.weights, dim=-1)
    order = torch.cat([one.owner, other.owner]).argsort(stable=True)
    texts = one.texts + other.texts
    # a row is the sum of its texts, each by its share, over the length of that sum
    parts = [each.share / _length(each)[each.owner] for each in (one, other)]
    whole = _length(one).reciprocal() + _length(other).reciprocal()
    parts = [part / whole[each.owner] for part, each in zip(parts, (one, other))]
    return ClassWeights(
        one.names,
        tuple(texts[i] for i in order.tolist()),
        torch.cat([one.owner, other.owner])[order],
        torch.cat([one.embeddings, other.embeddings])[order],
        F.normalize(rows, dim=-1),
        torch.cat(parts)[order],
        one.pooling,
    )


def _length(made: ClassWeights) -> Float[Tensor, " c"]:
    """Length of the sum of every class's texts, each by its share."""
    rows = made.embeddings * made.share[:, None]
    mean = rows.new_zeros(len(made.names), rows.shape[1]).index_add(0, made.owner, rows)
    return mean.norm(dim=1).clamp(min=1e-6)


def _flat(
    weights: Mapping[str, Sequence[float]] | None, told: Mapping[str, Sequence[str]]
) -> Float[Tensor, " n"] | None:
    if weights is None:
        return None
    found: list[float] = []
    for name, texts in told.items():
        own = [float(value) for value in weights.get(name, [1.0] * len(texts))]
        if len(own) != len(texts) or min(own) < 0 or not 0 < sum(own) < float("inf"):
            remedy = "give one weight of 0 or more per description, not all 0"
            raise InputError(
                f"do not fit {len(texts)} descriptions", field=f"weights of {name}", remedy=remedy
            )
        found += own
    return torch.tensor(found)
