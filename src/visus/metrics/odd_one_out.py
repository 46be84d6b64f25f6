"""How well a similarity predicts which of three objects people call the odd one out, and how well it could.

Triplets are (n, 3) object numbers, columns (a, b, odd). What a similarity chooses is in
`visus.metrics.triplet_choices`, what repeated trials say is in `visus.metrics.triplet_trials`; all of it can be
imported from here.

Paper: 2211.01201 (odd-one-out accuracy). The normalized score (accuracy - 1/3) / (ceiling - 1/3) sets chance to 0
and the ceiling to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from visus.errors import InputError
from visus.metrics.arrays import items, to_array
from visus.metrics.calibration import entropy, expected_calibration_error
from visus.metrics.triplet_choices import (
    KINDS,
    PUBLISHED_TEMPERATURES,
    Kind,
    choice_cross_entropy,
    choice_probabilities,
    choices,
    fit_temperature,
    hits,
    jensen_shannon_distance,
    pair_similarities,
    probability_choices,
    triplet_rows,
)
from visus.metrics.triplet_trials import (
    Difference,
    NoiseCeiling,
    Resamples,
    accuracy_interval,
    group_sums,
    grouped,
    majority_counts,
    noise_ceiling,
    paired_difference,
    percentile_interval,
    unordered_triplets,
)

__all__ = [
    "CHANCE",
    "KINDS",
    "PUBLISHED_TEMPERATURES",
    "Difference",
    "Kind",
    "NoiseCeiling",
    "OddOneOutScores",
    "accuracy_interval",
    "choice_cross_entropy",
    "choice_probabilities",
    "choices",
    "entropy",
    "equal_mass_calibration_error",
    "fit_temperature",
    "hits",
    "jensen_shannon_distance",
    "noise_ceiling",
    "pair_similarities",
    "paired_difference",
    "probability_choices",
    "score_odd_one_out",
    "score_similarities",
    "unordered_triplets",
]

CHANCE = 1 / 3


@dataclass(frozen=True)
class OddOneOutScores:
    """What `score_odd_one_out` found; intervals are percentile bootstrap intervals over unordered triplets."""

    accuracy: float
    """Share of trials; ties count as wrong. Chance is 1/3."""
    accuracy_interval: tuple[float, float]
    ceiling: float | None
    ceiling_normalized: float | None
    """(accuracy - 1/3) / (ceiling - 1/3): 0 at chance, 1 at the ceiling; None without a ceiling."""
    normalized_interval: tuple[float, float] | None
    """With the uncertainty of the ceiling; None where the ceiling was given as a plain number."""
    normalized_interval_ceiling_known: tuple[float, float] | None
    """As if the ceiling were known exactly."""
    cross_entropy: float
    """Mean of -log probability of the choice people made, nats."""
    entropy: float
    """Mean entropy of the choice probabilities, nats, at most log 3."""
    ece: float
    """Calibration error in bins of equal width."""
    ece_equal_mass: float
    """Calibration error in bins of equal numbers of trials."""
    ties: int
    """Trials in which no pair was more alike than both others."""
    trials: int
    triplets: int
    """Unordered triplets."""
    temperature: float


# ---- scores -----------------------------------------------------------------------------------------------


def score_odd_one_out(
    x: Float[Tensor, "m e"], triplets: Any, *, kind: Kind = "cosine", **options: Any
) -> OddOneOutScores:
    """Score embeddings (m, e) on triplets (n, 3): `pair_similarities`, then `score_similarities`.

    `kind` "cosine", "dot" or "euclidean"; `options` are those of `score_similarities`.
    """
    return score_similarities(pair_similarities(x, triplets, kind=kind), triplets, **options)


def score_similarities(
    similarities: Float[Tensor, "n 3"],
    triplets: Any,
    *,
    ceiling: float | NoiseCeiling | Literal["trials"] | None = None,
    groups: Any = None,
    temperature: float = 1.0,
    bins: int = 10,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> OddOneOutScores:
    """Accuracy, its share of the ceiling, calibration and entropy of similarities (n, 3) of pairs.

    Parameters
    ----------
    similarities : as from `pair_similarities`, one row per trial.
    triplets : (n, 3) the same trials.
    ceiling : a number taken as known; a `NoiseCeiling` of other trials, whose standard error widens the
        interval (normal, independent); "trials" finds it in these very trials, and every resample draws
        accuracy and ceiling together; None for none.
    groups : label of the unordered triplet of each trial; None finds them by `unordered_triplets`.
    temperature : of the choice probabilities that calibration, entropy and cross-entropy are of; see
        `fit_temperature`.
    bins : of both calibration errors.
    resamples, seed, level : of the bootstrap over unordered triplets.
    """
    rows = triplet_rows(triplets)
    if len(rows) != len(similarities):
        raise InputError(f"has {len(rows)} rows for {len(similarities)} similarities", field="triplets")
    labels = unordered_triplets(rows) if groups is None else grouped(groups, len(rows))
    labels = grouped(labels, len(rows))
    odd = choices(similarities)
    counts = [group_sums(labels, to_array(odd == 2)), np.bincount(labels)]
    if ceiling == "trials":
        counts.append(majority_counts(labels, to_array(rows[:, 2]))[1])
    drawn = Resamples(counts, resamples, seed)
    accuracy, accuracies = drawn.ratio(*drawn.counts[:2])
    normalized = _normalized(accuracy, accuracies, ceiling, drawn, level, seed)
    probabilities = to_array(choice_probabilities(similarities, temperature)).astype(np.float64)
    people = np.full(len(rows), 2)
    return OddOneOutScores(
        accuracy=accuracy,
        accuracy_interval=percentile_interval(accuracies, level),
        **normalized,
        cross_entropy=choice_cross_entropy(similarities, temperature),
        entropy=float(entropy(probabilities).mean()),
        ece=expected_calibration_error(people, probabilities, bins=bins),
        ece_equal_mass=equal_mass_calibration_error(people, probabilities, bins=bins),
        ties=int((odd == -1).sum()),
        trials=len(rows),
        triplets=len(counts[0]),
        temperature=float(temperature),
    )


def _normalized(
    accuracy: float,
    accuracies: Float[np.ndarray, " r"],
    ceiling: float | NoiseCeiling | str | None,
    drawn: Resamples,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """The fields of `OddOneOutScores` that need a ceiling."""
    names = ("ceiling", "ceiling_normalized", "normalized_interval", "normalized_interval_ceiling_known")
    if ceiling is None:
        return dict.fromkeys(names)
    ceilings = None
    if isinstance(ceiling, NoiseCeiling):
        noise = np.random.default_rng([seed, 1]).normal(size=len(accuracies))
        height, ceilings = ceiling.ceiling, ceiling.ceiling + ceiling.standard_error * noise
    elif isinstance(ceiling, str):
        trials, majority = drawn.counts[1:]
        repeated = trials > 1
        height, ceilings = drawn.ratio(np.where(repeated, majority / trials, 0.0), repeated.astype(float))
    else:
        height = float(ceiling)
    if not CHANCE < height <= 1:
        raise InputError(
            f"is {height}",
            field="ceiling",
            remedy="give a number above 1/3 and at most 1, or repeated trials",
        )
    known = percentile_interval((accuracies - CHANCE) / (height - CHANCE), level)
    together = None
    if ceilings is not None:
        above = np.where(ceilings > CHANCE, ceilings - CHANCE, np.nan)
        together = percentile_interval((accuracies - CHANCE) / above, level)
    return dict(zip(names, (height, (accuracy - CHANCE) / (height - CHANCE), together, known)))


def equal_mass_calibration_error(target: Any, probabilities: Any, *, bins: int = 10) -> float:
    """Mean over items of |accuracy - confidence| of their bin, the bins holding equally many items.

    Items are sorted by the probability of their most probable class, equal ones as given, and cut into `bins`
    runs whose lengths differ by at most one. `target` (n,) class numbers, `probabilities` (n, k).

    Source: Nguyen and O'Connor, EMNLP 2015 (bins of equal numbers of items).

    >>> equal_mass_calibration_error([0, 1], [[0.8, 0.2], [0.2, 0.8]], bins=1)
    0.19999999999999996
    """
    if bins < 1:
        raise InputError("must be at least 1", field="bins")
    target, rows = items(target, probabilities, name="probabilities")
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == target
    order = np.argsort(confidence, kind="stable")
    gaps = (right - confidence.astype(np.float64))[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(gaps))
