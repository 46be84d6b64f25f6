"""How good a prediction is: classification and regression scores, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from visus.methods.hyperfusion.config import at_least
from visus.methods.hyperfusion.estimator.targets import Targets, from_prediction
from visus.metrics import accuracy, auc, balanced_accuracy, bootstrap_interval, macro_f1, mae, mse
from visus.protocols import Prediction, Scores


def evaluate_prediction(
    targets: Targets,
    prediction: Prediction,
    values: Sequence[Any],
    *,
    groups: Sequence[Any] | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> Scores:
    """Scores of a prediction record against the true `values`.

    Classes: `balanced_accuracy` (mean recall of the classes that occur), `macro_f1`, `auc` (one against the
    rest; absent when one class alone occurs), `accuracy`. Numbers: `mae`, `mse` in the target's unit. With
    `intervals` each also as `_low` and `_high`, the 2.5 and 97.5 % points over 1,000 resamples of the groups
    (of the items without groups).
    """
    at_least("seed", seed, 0)
    truth = targets.encode(values)
    if targets.regression:
        truth = np.array([float(value) for value in values])
    guess = from_prediction(targets, prediction).numpy()
    found: Scores = {}
    for name, (metric, column) in _metrics(targets, guess).items():
        score = float(metric(truth, column))
        if math.isnan(score):
            continue
        found[name] = score
        if intervals:
            low, high = bootstrap_interval(metric, truth, column, groups=groups, seed=seed)
            found[f"{name}_low"], found[f"{name}_high"] = low, high
    return found


def validation_scores(targets: Targets, outputs: Tensor, truth: Tensor) -> Scores:
    """The score that chooses the epoch, in the target's own unit."""
    decoded = targets.decode(outputs)
    if targets.regression:
        return {"mae": float(mae(truth.double() * targets.scale + targets.mean, decoded))}
    return {"balanced_accuracy": float(balanced_accuracy(truth, decoded.argmax(1)))}


def _metrics(targets: Targets, guess: np.ndarray) -> dict[str, tuple[Callable[..., Any], np.ndarray]]:
    if targets.regression:
        return {"mae": (mae, guess), "mse": (mse, guess)}
    label = guess.argmax(1)
    return {
        "balanced_accuracy": (balanced_accuracy, label),
        "macro_f1": (macro_f1, label),
        "auc": (auc, guess),
        "accuracy": (accuracy, label),
    }
