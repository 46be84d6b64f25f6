"""One arm on objects cut in halves: learn on one half, predict judgments of the other, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visus.data.triplets import OddOneOutData, Triplets, sample_triplets, split_objects, within
from visus.engine.seeds import derive_seed
from visus.methods.alignment.baselines import centered, shuffled_reference
from visus.methods.alignment.claims.arms import CLOSED, LEARNED, Size, settings_of
from visus.methods.alignment.claims.data import Objects
from visus.methods.alignment.estimator import Aligner
from visus.metrics.odd_one_out import (
    Kind,
    choice_probabilities,
    hits,
    pair_similarities,
    unordered_triplets,
)
from visus.metrics.triplet_trials import majority_counts
from visus.protocols import Scores

Mask = Bool[np.ndarray, " m"]
HALVES = {"one": 0.5, "other": 0.5}


def compete(arm: str, objects: Objects, size: Size, partitions: int, run: Any) -> Scores:
    """Means over all splits of `accuracy_vice` and, where there are real trials, `accuracy_human`.

    All arms of a seed see the same splits, training triplets and judged triplets.
    """
    found = [
        _score(arm, objects, size, training, unseen, run.child(f"split-{number}"))
        for number, (training, unseen) in enumerate(splits(len(objects.reference), partitions, run.seed))
    ]
    return {name: float(np.mean([scores[name] for scores in found])) for name in found[0]}


def splits(count: int, partitions: int, seed: int) -> Iterator[tuple[Mask, Mask]]:
    """Training and unseen objects: every partition into halves, both ways round."""
    for number in range(partitions):
        halves = split_objects(count, HALVES, derive_seed(seed, "partition", number))
        yield halves["one"], halves["other"]
        yield halves["other"], halves["one"]


def learned_triplets(objects: Objects, size: Size, training: Mask | None, seed: int) -> Triplets:
    """What aligners learn from: choices of the reference among the training objects."""
    return sample_triplets(objects.reference, size.triplets, derive_seed(seed, "learned"), among=training)


def fitted(arm: str, objects: Objects, size: Size, training: Mask, run: Any) -> Aligner:
    """The aligner of an arm, which sees nothing of other objects than the training ones."""
    reference = objects.reference
    if arm == "shuffled":
        rows = torch.from_numpy(np.flatnonzero(training))
        mixed = shuffled_reference(reference[rows], seed=derive_seed(run.seed, "shuffled"))
        reference = reference.index_copy(0, rows, mixed)
    triplets = learned_triplets(objects, size, training, run.seed)
    data = OddOneOutData(learned_from(arm, objects), triplets, reference=reference).restricted_to(training)
    return Aligner(settings_of(arm, size)).fit(data, run)


def learned_from(arm: str, objects: Objects) -> Float[Tensor, "m _"]:
    """The features that an arm learns on: closed forms on those that are given, probes on the turned ones."""
    return objects.features if arm in CLOSED else objects.turned


def embedding(
    arm: str, objects: Objects, size: Size, training: Mask, run: Any
) -> tuple[Float[Tensor, "m e"], Kind]:
    """All objects as the arm sees them, and how it compares them."""
    if arm in LEARNED:
        return fitted(arm, objects, size, training, run).transform(learned_from(arm, objects)), "dot"
    if arm == "vice":
        return objects.reference, "dot"
    if arm == "zero_dot":
        return objects.features, "dot"
    if arm == "centered":
        return centered(objects.features, objects.features[torch.from_numpy(training)]), "cosine"
    return objects.others.get(arm, objects.features), "cosine"


def _score(arm: str, objects: Objects, size: Size, training: Mask, unseen: Mask, run: Any) -> Scores:
    seed = derive_seed(run.seed, "judged")
    triplets = sample_triplets(objects.reference, size.judged, seed, among=unseen).rows
    trials = None
    if objects.trials is not None:
        trials = objects.trials.rows[within(objects.trials, unseen)]
    if arm == "ceiling":
        return ceiling_scores(objects, triplets, trials)
    z, kind = embedding(arm, objects, size, training, run)
    scores = {"accuracy_vice": accuracy(z, kind, triplets)}
    return scores if trials is None else {**scores, "accuracy_human": accuracy(z, kind, trials)}


def accuracy(z: Float[Tensor, "m e"], kind: Kind, rows: np.ndarray) -> float:
    """Share of triplets whose odd one is found."""
    return float(hits(pair_similarities(z, rows, kind=kind)).double().mean())


def ceiling_scores(objects: Objects, triplets: np.ndarray, trials: np.ndarray | None) -> Scores:
    """What always naming the most frequent answer reaches: of the trials' own, and of the model's choices."""
    similar = pair_similarities(objects.reference.double(), triplets, kind="dot")
    scores = {"accuracy_vice": float(choice_probabilities(similar).amax(1).mean())}
    if trials is None:
        return scores
    count, most = majority_counts(unordered_triplets(trials), trials[:, 2])
    return {**scores, "accuracy_human": float(most.sum() / count.sum())}
