"""The real objects that arms are compared on: THINGS concepts as texts and as photographs, the 92 pictures, words."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from visus.data.corpora.objects_92 import read_objects_92
from visus.data.corpora.similarity_judgments import Judgments, read_rdms_92
from visus.data.corpora.things import Concepts, read_vice, things_concepts
from visus.data.features import (
    FeatureCache,
    Preparation,
    extract,
    open_encoder,
    raw_pixels,
    wrap_module,
)
from visus.data.features.pictures import IMAGENET_MEAN, IMAGENET_STD
from visus.data.formats.arrays import read_arrays
from visus.data.provided import provided
from visus.data.triplets import Triplets, read_triplets
from visus.data.wordnet import WordNet
from visus.errors import MissingData

LETTERS = 128
AS_STORED = Preparation(resize=256, crop=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""How the photographs were prepared whose features are stored; the encoder's own way differs in mean and deviation."""
HALF = replace(AS_STORED, resize=128, crop=(112, 112))
STIMULI, JUDGMENTS = "92images/Kriegeskorte_Neuron2008_supplementalData.mat", "92images/92_behavRDMs.mat"


@dataclass(frozen=True, eq=False)
class Objects:
    """What a comparison is made on.

    features : (m, p) as they are; turned : (m, q) what probes learn on, whose steps cost less; reference : (m, d)
        VICE.
    others : features of arms that have their own; trials : real judgments of these objects.
    """

    features: Float[Tensor, "m p"]
    turned: Float[Tensor, "m q"]
    reference: Float[Tensor, "m d"]
    others: Mapping[str, Float[Tensor, "m _"]] = field(default_factory=dict)
    trials: Triplets | None = None


@dataclass(frozen=True, eq=False)
class Photos:
    """THINGS concepts that ImageNet has photographs of; `concept` are their numbers among all, `turned` the features
    as `turned` gives them."""

    concept: Int64[np.ndarray, " m"]
    features: Float[Tensor, "m p"]
    logits: Float[Tensor, "m c"]
    turned: Float[Tensor, "m q"]


# ---- THINGS -----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def concepts() -> Concepts:
    """The table of the 1,854 THINGS concepts."""
    return things_concepts(provided("things/things_concepts.tsv"))


@functools.lru_cache(maxsize=1)
def vice() -> Float[Tensor, "m d"]:
    """The embedding learned from people's choices, one row per concept."""
    return torch.from_numpy(read_vice(provided("things/final_embedding.npy"), objects=len(concepts())))


def texts(definitions: bool) -> list[str]:
    """Every concept in words: its name, or "name: definition"."""
    table = concepts()
    if not definitions:
        return list(table.words)
    return [f"{word}: {told}" for word, told in zip(table.words, table.definitions or (), strict=True)]


@functools.lru_cache(maxsize=1)
def described(cache: Path, *, definitions: bool, seed: int) -> Objects:
    """All concepts by their texts, with the 20,000 real trials."""
    told = texts(definitions)
    trials = read_triplets(provided("things/odd_one_out_trials.tsv"), objects=len(told))
    features = encoded(told, cache)
    others = {"random": bag_of_characters(told, features.shape[1], seed=seed)}
    return Objects(features, features, vice(), others=others, trials=trials)


@functools.lru_cache(maxsize=1)
def photographed(*, seed: int) -> Objects:
    """The concepts that are ImageNet classes, by EfficientNet-Lite0."""
    found = photos()
    draw = torch.Generator().manual_seed(seed)
    others = {"logits": found.logits, "noise": torch.randn(found.features.shape, generator=draw)}
    return Objects(found.features, found.turned, vice()[found.concept], others=others)


@functools.lru_cache(maxsize=1)
def photos() -> Photos:
    """A concept's features are the mean over ImageNet's classes that are the concept or kinds of it.

    Raises
    ------
    MissingData : features or WordNet 3.0, whose numbers ImageNet's ids are, are not there.
    """
    arrays: Any = read_arrays(provided("imagenet_sample/efficientnet_lite0.npz"))
    features, classifier, bias = (
        torch.from_numpy(arrays[name].astype(np.float32)) for name in ("features", "classifier", "bias")
    )
    below = classes_below([str(wnid) for wnid in arrays["wnid"]])
    found = [(i, below[wnid]) for i, wnid in enumerate(concepts().wnids) if wnid in below]
    means = torch.stack([features[rows].mean(0) for _, rows in found])
    return Photos(np.array([i for i, _ in found]), means, means @ classifier.T + bias, *turned(means))


def classes_below(wnids: Sequence[str]) -> dict[str, list[int]]:
    """WordNet id -> the given classes (by number) that are this synset or kinds of it."""
    wordnet = WordNet.open()
    if wordnet.version != "3.0":
        raise MissingData(f"needs WordNet 3.0, whose numbers ImageNet's ids are; {wordnet.folder} is not")
    found: dict[str, list[int]] = {}
    for number, wnid in enumerate(wnids):
        for offset in wordnet.taxonomy.ancestors("n", int(wnid[1:])):
            found.setdefault(f"n{offset:08d}", []).append(number)
    return found


# ---- features ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _sentences() -> Any:
    return open_encoder("minilm")


def encoded(items: Sequence[str], cache: Path) -> Float[Tensor, "n e"]:
    """Texts by MiniLM, each once per study."""
    return extract(_sentences(), list(items), kind="texts", cache=FeatureCache(cache)).values


def bag_of_characters(items: Sequence[str], width: int, *, seed: int) -> Float[Tensor, "n e"]:
    """How often each letter occurs, through a random projection: an encoder of texts that was never trained."""
    counts = torch.zeros(len(items), LETTERS)
    for row, item in zip(counts, items):
        places = torch.tensor(list(item.encode()), dtype=torch.long) % LETTERS
        row += torch.bincount(places, minlength=LETTERS)
    draw = torch.Generator().manual_seed(seed)
    return counts @ torch.randn(LETTERS, width, generator=draw)


def turned(*features: Float[Tensor, "n p"]) -> list[Float[Tensor, "n q"]]:
    """The same features in the basis of the space that they span together, less the mean of all numbers of the
    first: inner products stay, and there are no more columns than rows."""
    mean = features[0].mean()
    stacked = torch.cat([part - mean for part in features]).double()
    basis = torch.linalg.svd(stacked, full_matrices=False)[2]
    return [((part - mean).double() @ basis.T).float() for part in features]


# ---- pictures and words that others judged ----------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def judged_pictures(count: int) -> tuple[list[Any], Judgments]:
    """`count` of the 92 object pictures, evenly chosen, with 16 people's judgments of them."""
    pictures = read_objects_92(provided(STIMULI))
    judgments = read_rdms_92(provided(JUDGMENTS), names=pictures.names)
    rows = np.unique(np.linspace(0, len(pictures.pictures) - 1, count).round().astype(int))
    return [pictures.images()[row] for row in rows], judgments.subset(rows)


def seen_by(encoder: str, pictures: list[Any], cache: Path) -> Float[Tensor, "n e"]:
    """Pictures by `trained` or `random` EfficientNet-Lite0, each once per study, or as `pixels`."""
    if encoder == "pixels":
        return extract(raw_pixels(32), pictures).values
    untrained = encoder == "random"
    opened: Any = open_encoder("efficientnet_lite0", weights="random" if untrained else None)
    prepared = HALF if untrained else AS_STORED
    network: Any = wrap_module(opened.module, layer=opened.layer, preprocess=prepared)
    # small batches: the maps of a few pictures stay in the processor's cache
    return extract(network, pictures, cache=FeatureCache(cache), batch_size=4).values
