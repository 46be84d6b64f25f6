"""Transforms learned on THINGS, applied to pictures and words that other people judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from visus.data.corpora.word_pairs import WordPairs, simlex999, wordsim353
from visus.data.triplets import OddOneOutData
from visus.engine.seeds import derive_seed
from visus.methods.alignment.baselines import random_rotation, shuffled_reference
from visus.methods.alignment.claims import data
from visus.methods.alignment.claims.arms import CLOSED, LEARNED, Size, settings_of
from visus.methods.alignment.claims.contest import learned_from, learned_triplets
from visus.methods.alignment.claims.data import Objects
from visus.methods.alignment.config import GRADIENT
from visus.methods.alignment.estimator import Aligner, cross_validate
from visus.metrics.rsa import compare_rdms, human_ceiling
from visus.metrics.similarity import condensed, distances, normalized
from visus.protocols import Scores

NOUNS = slice(111, 111 + 666)
"""SimLex-999 lists 111 pairs of adjectives, 666 of nouns, 222 of verbs."""


def chosen_aligner(arm: str, objects: Objects, size: Size, run: Any) -> Aligner:
    """The aligner of an arm on all objects; cross-validation over objects chooses the number of steps.

    `ridge` chooses its penalties by held-out objects itself.
    """
    reference, config = objects.reference, settings_of(arm, size)
    if arm == "shuffled":
        reference = shuffled_reference(reference, seed=derive_seed(run.seed, "shuffled"))
    triplets = learned_triplets(objects, size, None, run.seed)
    known = OddOneOutData(learned_from(arm, objects), triplets, reference=reference)
    if config.aligner not in GRADIENT:
        return Aligner(config).fit(known, run)
    final = cross_validate(config, known, folds=size.folds, run=run).final
    assert final is not None
    return final


# ---- pictures ---------------------------------------------------------------------------------------------


def pictures_as_seen(arm: str, pictures: list[Any], size: Size, run: Any) -> Float[Tensor, "n e"]:
    """The judged pictures in an arm's own space."""
    if arm in ("pixels", "random"):
        return data.seen_by(arm, pictures, run.cache)
    features = data.seen_by("trained", pictures, run.cache)
    if arm == "orthogonal":
        return random_rotation(features.shape[1], seed=derive_seed(run.seed, "rotation")).apply(features)
    if arm not in LEARNED:
        return features
    photos = data.photos()
    turned, shown = data.turned(photos.features, features)
    objects = Objects(photos.features, turned, data.vice()[photos.concept])
    return chosen_aligner(arm, objects, size, run).transform(features if arm in CLOSED else shown)


def picture_scores(arm: str, size: Size, run: Any) -> tuple[Scores, dict[str, np.ndarray]]:
    """`spearman` with the mean over people and, for figures, the arm's and people's matrices."""
    pictures, judgments = data.judged_pictures(size.pictures)
    people = judgments.mean()
    if arm.startswith("ceiling"):
        lower, upper = human_ceiling(judgments.values)
        return {"spearman": lower if arm == "ceiling_lower" else upper}, {}
    apart = distances(pictures_as_seen(arm, pictures, size, run).double())
    upper_part = np.triu_indices(len(people), 1)
    agreement = compare_rdms(condensed(apart).numpy(), people[upper_part])
    return {"spearman": float(agreement)}, {"people": people, "arm": apart.numpy()}


# ---- words ------------------------------------------------------------------------------------------------


def word_scores(arm: str, size: Size, run: Any) -> Scores:
    """`spearman_simlex`, `spearman_wordsim`: of the cosine of two words with how alike people find them.

    Words are encoded one by one, and so are the names that the transform is learned on. A seed draws the pairs anew
    with replacement, the same for all arms.
    """
    sets = {"simlex": _part(simlex999(), NOUNS), "wordsim": wordsim353()}
    words = list(dict.fromkeys(word for pairs in sets.values() for word in pairs.words))
    features = words_as_seen(arm, words, size, run)
    unit, row = normalized(features.double()).numpy(), {word: i for i, word in enumerate(words)}
    rng = np.random.default_rng(derive_seed(run.seed, "pairs"))
    scores = {}
    for name, pairs in sets.items():
        drawn = rng.integers(len(pairs), size=len(pairs))
        one, other = ([row[word] for word in side] for side in (pairs.first, pairs.second))
        alike = (unit[one] * unit[other]).sum(1)
        scores[f"spearman_{name}"] = _spearman(alike[drawn], pairs.rating[drawn])
    return scores


def words_as_seen(arm: str, words: list[str], size: Size, run: Any) -> Float[Tensor, "n e"]:
    """Single words by MiniLM, transformed by what an arm learned on the names of all THINGS objects."""
    cache: Path = run.cache
    features = data.encoded(words, cache)
    if arm not in LEARNED:
        return features
    names = data.encoded(data.texts(definitions=False), cache)
    return chosen_aligner(arm, Objects(names, names, data.vice()), size, run).transform(features)


def _part(pairs: WordPairs, rows: slice) -> WordPairs:
    return WordPairs(first=pairs.first[rows], second=pairs.second[rows], rating=pairs.rating[rows])


def _spearman(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    from scipy.stats import spearmanr

    found: Any = spearmanr(one, other)
    return float(found.statistic)
