"""The real classes that texts are compared on: ImageNet's, each with a photograph and a classifier row."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.data.features import FeatureCache, TextEncoder, open_encoder
from visus.data.formats.arrays import read_arrays
from visus.data.provided import provided
from visus.data.wordnet import WordNet
from visus.errors import MissingData
from visus.methods.vgloss.claims.arms import FOLDS
from visus.methods.vgloss.model.builder import ClassWeights, TextClassifierBuilder
from visus.methods.vgloss.model.concepts import Concept, ConceptMapper
from visus.methods.vgloss.model.labels import label_set, published_names

FEATURES = "imagenet_sample/efficientnet_lite0.npz"
_CHOSEN, _FOLDS = 61, 67


@dataclass(frozen=True, eq=False)
class Real:
    """Classes of ImageNet in the order of their ids.

    published : the names that come with CLIP, as CuPL and DCLIP use them; some stand there twice.
    concepts : their meanings; the labels are the published names, made unique.
    photos : EfficientNet-Lite0's features of one photograph each.
    prototypes : unit rows of its classifier.
    """

    published: tuple[str, ...]
    concepts: tuple[Concept, ...]
    photos: Float[Tensor, "c p"]
    prototypes: Float[Tensor, "c p"]

    def __len__(self) -> int:
        return len(self.concepts)

    @property
    def names(self) -> list[str]:
        """Labels."""
        return [concept.label for concept in self.concepts]


@functools.lru_cache(maxsize=2)
def real_classes(count: int) -> Real:
    """A fixed random choice of `count` classes; all 1,000 where there are no more.

    Raises
    ------
    MissingData : features, published names or WordNet 3.0, whose numbers ImageNet's ids are, are not there.
    """
    arrays: Any = read_arrays(provided(FEATURES))
    numbers = {str(wnid): i for i, wnid in enumerate(arrays["wnid"])}
    known = label_set("imagenet")
    published = published_names("imagenet")
    order = np.random.default_rng(_CHOSEN).permutation(len(known))[:count]
    kept = sorted(int(i) for i in order)
    rows = [numbers[str((known.wnids or ())[i])] for i in kept]
    labels = [published[i] if published.count(published[i]) == 1 else known.names[i] for i in kept]
    wnids = [(known.wnids or ())[i] for i in kept]
    photos, classifier = (
        torch.from_numpy(arrays[name][rows].astype(np.float32)) for name in ("features", "classifier")
    )
    return Real(
        tuple(published[i] for i in kept),
        tuple(ConceptMapper(wordnet_3_0()).map(labels, wnids)),
        photos,
        F.normalize(classifier, dim=-1),
    )


def wordnet_3_0() -> WordNet:
    """WordNet, if it is the version whose numbers ImageNet's ids are.

    Raises
    ------
    MissingData : it is not there, or of another version.
    """
    wordnet = WordNet.open()
    if wordnet.version != "3.0":
        raise MissingData(f"needs WordNet 3.0, whose numbers ImageNet's ids are; {wordnet.folder} is not")
    return wordnet


def folds(count: int, seed: int) -> list[Int64[Tensor, " u"]]:
    """The seed's partition of the classes into five parts, each unseen once."""
    order = np.random.default_rng((seed, _FOLDS)).permutation(count)
    return [torch.from_numpy(np.sort(part)) for part in np.array_split(order, FOLDS)]


def others(unseen: Sequence[int] | Int64[Tensor, " u"], count: int) -> Int64[Tensor, " s"]:
    """The classes that are not among the unseen ones."""
    kept = torch.ones(count, dtype=torch.bool)
    kept[torch.as_tensor(unseen)] = False
    return kept.nonzero()[:, 0]


@functools.lru_cache(maxsize=1)
def text_encoder() -> TextEncoder:
    """MiniLM."""
    found: Any = open_encoder("minilm")
    return found


def encoded(texts: Mapping[str, Sequence[str]], cache: Path) -> ClassWeights:
    """One row per class from its texts; every text is encoded once per study."""
    return TextClassifierBuilder(text_encoder(), cache=FeatureCache(cache)).build(texts)
