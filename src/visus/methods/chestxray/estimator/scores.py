"""How good predictions are, per image and over a set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from visus.metrics import (
    accuracy,
    auc,
    auc_judd,
    auc_micro,
    auc_per_class,
    bootstrap_interval,
    correlation,
    expected_calibration_error,
    kl_divergence,
    macro_f1,
    mean_of_defined,
    nss,
    similarity,
)
from visus.protocols import Batch, Scores

MAPS = ("kl", "cc", "sim", "nss", "auc_judd")


@dataclass(frozen=True, kw_only=True)
class ItemScores:
    """What was said of every image, and how right it is.

    target, probabilities : class numbers and calibrated probabilities; None without a diagnosis or a truth.
    maps : kl, cc, sim, nss, auc_judd per image, nan without gaze; empty where no map is predicted.
    """

    name: list[str]
    patient: list[Any]
    classes: tuple[str, ...]
    target: Int64[np.ndarray, " n"] | None = None
    probabilities: Float[np.ndarray, "n k"] | None = None
    maps: dict[str, Float[np.ndarray, " n"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.name)

    @property
    def label(self) -> Int64[np.ndarray, " n"] | None:
        """The most probable class."""
        return None if self.probabilities is None else self.probabilities.argmax(1)

    @property
    def right(self) -> Float[np.ndarray, " n"] | None:
        """1 where the most probable class is the true one, else 0."""
        if self.target is None or self.label is None:
            return None
        return (self.label == self.target).astype(np.float64)


def map_values(density: Float[Any, "b h w"], batch: Batch) -> dict[str, Float[np.ndarray, " b"]]:
    """The scores of predicted maps against the gaze of a batch of a `GazeTable`, nan without gaze.

    All pixels of the network's view count, those of the padding too.
    """
    gaze, fixations = batch["gaze"], batch["fixations"]
    return {
        "kl": kl_divergence(density, gaze),
        "cc": correlation(density, gaze),
        "sim": similarity(density, gaze),
        "nss": nss(density, fixations),
        "auc_judd": auc_judd(density, fixations),
    }


def mean_scores(items: ItemScores) -> Scores:
    """`auc_<class>`, `auc_macro`, `auc_micro`, `accuracy`, `macro_f1`, `ece`; `kl`, `cc`, `sim`, `nss`, `auc_judd`.

    A score that is not defined (the AUC of a class that all or no images have, maps without any gaze) is left
    out.
    """
    found = {name: float(metric(*columns)) for name, metric, columns in _metrics(items)}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def interval_scores(items: ItemScores, *, seed: int = 0) -> Scores:
    """`mean_scores`, each also as `_low` and `_high`: 95 % bootstrap intervals over patients."""
    found: Scores = {}
    for name, metric, columns in _metrics(items):
        value = float(metric(*columns))
        if math.isnan(value):
            continue
        low, high = bootstrap_interval(metric, *columns, groups=items.patient, seed=seed)
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return found


Row = tuple[str, Callable[..., Any], Sequence[np.ndarray]]


def _metrics(items: ItemScores) -> Iterator[Row]:
    """Every score's name, function and columns."""
    if items.target is not None and items.probabilities is not None:
        truth, chances = items.target, items.probabilities
        for i, label in enumerate(items.classes):
            yield f"auc_{label}", partial(_auc_of, number=i), (truth, chances)
        yield "auc_macro", auc, (truth, chances)
        yield "auc_micro", auc_micro, (truth, chances)
        yield "accuracy", accuracy, (truth, chances.argmax(1))
        yield "macro_f1", macro_f1, (truth, chances.argmax(1))
        yield "ece", expected_calibration_error, (truth, chances)
    for name in MAPS:
        if name in items.maps:
            yield name, mean_of_defined, (items.maps[name],)


def _auc_of(target: Any, probabilities: Any, *, number: int, weight: Any = None) -> Any:
    return auc_per_class(target, probabilities, weight=weight)[number]
