"""How well similarities predict people's choices, against those of the features as they are."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from visus.metrics.odd_one_out import hits, paired_difference, score_similarities, unordered_triplets
from visus.protocols import Scores


def gain_scores(
    similarities: Float[Tensor, "n 3"],
    zero_shot: Float[Tensor, "n 3"],
    triplets: Int64[Tensor, "n 3"],
    *,
    temperature: float = 1.0,
    resamples: int = 1000,
    seed: int = 0,
) -> Scores:
    """Accuracy, cross-entropy, entropy, calibration, and the gain over zero-shot, as a flat record.

    `similarities` and `zero_shot` are of the same triplets. Intervals draw all judgments of the same three objects
    together. `Aligner.evaluate` says what the names mean.
    """
    groups = unordered_triplets(triplets)
    drawn: dict[str, Any] = {"groups": groups, "resamples": resamples, "seed": seed}
    found = score_similarities(similarities, triplets, temperature=temperature, **drawn)
    gain = paired_difference(hits(similarities), hits(zero_shot), **drawn)
    return {
        "accuracy": found.accuracy,
        "accuracy_low": found.accuracy_interval[0],
        "accuracy_high": found.accuracy_interval[1],
        "cross_entropy": found.cross_entropy,
        "entropy": found.entropy,
        "ece": found.ece,
        "ece_equal_mass": found.ece_equal_mass,
        "ties": found.ties / found.trials,
        "zero_shot_accuracy": float(hits(zero_shot).double().mean()),
        "gain": gain.effect,
        "gain_low": gain.interval[0],
        "gain_high": gain.interval[1],
    }
