"""How `compare` judges a set of texts: directly in a common space, or over classes that a bridge has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from visus.errors import InputError
from visus.methods.vgloss.verbs.encoders import HELP, is_classifier, named, open_classifier
from visus.methods.vgloss.verbs.labeled import Labeled
from visus.methods.vgloss.verbs.shared import Ticker

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from visus.data.features import FeatureCache
    from visus.methods.vgloss.estimator import VGlossClassifier
    from visus.methods.vgloss.model.builder import TextClassifierBuilder

Texts = Mapping[str, Sequence[str]]


class Judge(Protocol):
    """Scores pictures by texts.

    chance : accuracy of guessing.
    how : in words.
    """

    chance: float
    how: str

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode what will be needed, with progress."""
        ...

    def logits(self, texts: Texts) -> Float[Tensor, "n c"]:
        """Scores of all pictures; minus infinity for classes that are not in play for a picture."""
        ...


@dataclass(frozen=True)
class Shown:
    """Pictures that are judged: class numbers within `keys`, and their features by the picture encoder."""

    keys: tuple[str, ...]
    labels: tuple[int, ...]
    rows: Float[Tensor, "n e"]
    prototypes: Float[Tensor, "c e"] | None = None


def open_judge(
    data: Labeled,
    keys: Sequence[str],
    *,
    model: str,
    text_model: str | None,
    folds: int,
    cache: FeatureCache,
    device: str,
    seed: int,
) -> tuple[Judge, Shown]:
    """The judge that a model calls for, and the pictures of these classes.

    Raises
    ------
    InputError : encoders that cannot be used for this, or pictures that cannot be read.
    """
    from visus.data.features import open_encoder
    from visus.methods.vgloss.model.builder import TextClassifierBuilder

    if text_model is None and is_classifier(model):
        made = open_classifier(model, device)
        shown = _shown(data, keys, made.features, cache)
        return _Refilled(made, shown, cache), shown
    first: Any = open_encoder(named(model), device=device)
    words: Any = first if text_model is None else open_encoder(named(text_model), device=device)
    if not hasattr(words, "texts"):
        option = "--model" if text_model is None else "--text-model"
        remedy = "add --text-model minilm" if text_model is None else HELP
        raise InputError("reads no texts", file=text_model or model, field=option, remedy=remedy)
    if data.features is None and not hasattr(first, "images"):
        remedy = "give an encoder of pictures as --model and this one as --text-model"
        raise InputError("encodes no pictures", file=model, field="--model", remedy=remedy)
    shown = _shown(data, keys, _extractor(first), cache)
    builder = TextClassifierBuilder(words, cache=cache)
    together = words is first and hasattr(first, "images")
    if together:
        return _Direct(builder, shown), shown
    return _Bridged(builder, shown, folds=folds, seed=seed), shown


class _Direct:
    """Texts and pictures by the two towers of one model."""

    def __init__(self, builder: TextClassifierBuilder, shown: Shown) -> None:
        self.builder, self.shown = builder, shown
        self.chance = 1 / len(shown.keys)
        self.how = f"texts and pictures meet in one model, {len(shown.keys)} classes to choose from"

    def prepare(self, texts: Sequence[str]) -> None:
        _encode(self.builder, texts)

    def logits(self, texts: Texts) -> Float[Tensor, "n c"]:
        made = self.builder.build(texts)
        if made.weights.shape[1] != self.shown.rows.shape[1]:
            problem = f"have {self.shown.rows.shape[1]} numbers, the model's texts {made.weights.shape[1]}"
            remedy = "give features of this model's own picture tower"
            raise InputError(problem, field="features", remedy=remedy)
        return made.similarities(self.shown.rows)


class _Refilled:
    """A saved classifier with other texts; its settings (pooling, templates, second look) stay."""

    def __init__(self, made: VGlossClassifier, shown: Shown, cache: FeatureCache) -> None:
        self.made, self.shown, self.cache = made, shown, cache
        self.chance = 1 / len(shown.keys)
        self.how = f"the saved classifier with each set of texts, {len(shown.keys)} classes to choose from"

    def prepare(self, texts: Sequence[str]) -> None:
        """Nothing: its encoder is small, or the cache has them."""

    def logits(self, texts: Texts) -> Float[Tensor, "n c"]:
        self.made.rebuild({key: list(told) for key, told in texts.items()}, cache=self.cache)
        return self.made.predict({"features": self.shown.rows})["logits"]


class _Bridged:
    """Texts by one encoder, pictures by another, and a map between them that is learned from other classes.

    Classes are dealt into folds. The classes of a fold are told apart, among themselves, by a map learned from the
    texts and prototypes of all other folds' classes, every set of texts by its own map.
    """

    def __init__(self, builder: TextClassifierBuilder, shown: Shown, *, folds: int, seed: int) -> None:
        from visus.data.loader import sample_order
        from visus.methods.vgloss.model.bridge import FEWEST, prototypes_of

        count = len(shown.keys)
        if count - -(-count // folds) < FEWEST or count // folds < 2:
            problem = f"are {count} for {folds} folds: a map needs {FEWEST} classes to learn from, a fold two"
            raise InputError(problem, field="classes", remedy="give more classes, or a CLIP as --model")
        self.builder, self.shown = builder, shown
        self.prototypes = shown.prototypes
        if self.prototypes is None:
            self.prototypes = prototypes_of(shown.rows, shown.labels, count)
        self.folds = [fold.sort().values for fold in sample_order(count, seed=seed, epoch=0).chunk(folds)]
        self.seed = seed
        held = [len(fold) for fold in self.folds]
        self.chance = sum(held) / count / (count / len(held))
        size = str(held[0]) if len(set(held)) == 1 else f"{min(held)} to {max(held)}"
        self.how = (
            f"texts go to the pictures' space by a map learned from the other classes: {len(held)} folds, {size} "
            "unseen classes to choose from"
        )

    def prepare(self, texts: Sequence[str]) -> None:
        _encode(self.builder, texts)

    def logits(self, texts: Texts) -> Float[Tensor, "n c"]:
        import torch
        from torch.nn import functional as F

        from visus.methods.vgloss.model.bridge import TextBridge

        assert self.prototypes is not None
        pooled = self.builder.build(texts).weights
        labels, pictures = torch.tensor(self.shown.labels), F.normalize(self.shown.rows, dim=-1)
        found = torch.full((len(labels), len(pooled)), -torch.inf)
        for fold in self.folds:
            seen = torch.ones(len(pooled), dtype=torch.bool)
            seen[fold] = False
            bridge = TextBridge().fit(pooled[seen], self.prototypes[seen], seed=self.seed)
            some = torch.isin(labels, fold).nonzero()[:, 0]
            found[some[:, None], fold] = pictures[some] @ bridge(pooled[fold]).T
        return found


def _shown(data: Labeled, keys: Sequence[str], encode: Callable[..., Any], cache: FeatureCache) -> Shown:
    """Pictures of the chosen classes, encoded."""
    import torch

    number = {key: i for i, key in enumerate(keys)}
    kept = [i for i, label in enumerate(data.labels) if data.keys[label] in number]
    if not kept:
        raise InputError("shows none of the classes described", field="--images", remedy="check the sets")
    labels = tuple(number[data.keys[data.labels[i]]] for i in kept)
    places = torch.tensor([data.keys.index(key) for key in keys])
    prototypes = None if data.prototypes is None else data.prototypes[places]
    if data.features is not None:
        return Shown(tuple(keys), labels, data.features[torch.tensor(kept)], prototypes)
    with Ticker("encoding pictures") as ticker:
        rows = encode([data.pictures[i] for i in kept], cache=cache, progress=ticker)
    return Shown(tuple(keys), labels, rows)


def _extractor(encoder: Any) -> Callable[..., Any]:
    from visus.data.features import extract

    def encode(items: Sequence[Any], **options: Any) -> Any:
        return extract(encoder, items, **options).values

    return encode


def _encode(builder: TextClassifierBuilder, texts: Sequence[str]) -> None:
    from visus.data.features import extract

    with Ticker("encoding texts") as ticker:
        extract(builder.encoder, list(texts), kind="texts", cache=builder.cache, progress=ticker)
