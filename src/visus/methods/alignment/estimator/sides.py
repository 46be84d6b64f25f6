"""What an aligner learns from and what it is checked on: objects, triplets, statistics, batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from visus.data.loader import iterate
from visus.data.triplets import OddOneOutData, split_objects, within
from visus.errors import InputError
from visus.methods.alignment.config import GRADIENT, AlignmentConfig
from visus.protocols import Batch, Source

TRIPLETS_AT_ONCE = 4096


@dataclass(frozen=True)
class Sides:
    """The objects learned from, the triplets among them, and those among the others."""

    training: Bool[Tensor, " m"]
    learned: Int64[Tensor, "n 3"]
    chosen: Int64[Tensor, "v 3"]
    """Validation triplets: all three objects held out. Empty where nothing is."""


def sides_of(config: AlignmentConfig, data: OddOneOutData, *, seed: int) -> Sides:
    """Hold out a share of the objects where a training step is to be chosen.

    Paper: 2211.01201 (folds over objects, mixed triplets dropped).

    Raises
    ------
    InputError : no triplet lies within one of the sides.
    """
    everything = torch.ones(data.objects, dtype=torch.bool)
    if config.aligner not in GRADIENT or config.steps is not None or not config.validation:
        return Sides(everything, data.triplets, data.triplets[:0])
    shares = {"training": 1 - config.validation, "validation": config.validation}
    masks = split_objects(data.objects, shares, seed)
    rows = {name: torch.from_numpy(within(data.record, mask)) for name, mask in masks.items()}
    for name, among in rows.items():
        if not among.any():
            raise InputError(
                f"none of {len(data)} triplets lies among the {int(masks[name].sum())} {name} objects",
                field="validation",
                remedy="give more triplets, another share, or validation=0 with a fixed number of steps",
            )
    training = torch.from_numpy(masks["training"])
    return Sides(training, data.triplets[rows["training"]], data.triplets[rows["validation"]])


def statistics(features: Float[Tensor, "m p"], training: Bool[Tensor, " m"]) -> tuple[float, float]:
    """One mean and one deviation over all features of the training objects, as float32 numbers.

    Features that never vary do no harm: nothing is divided by a deviation of their own.

    Paper: the public code of 2211.01201 (scalar standardization). Differs: training objects only.

    Raises
    ------
    InputError : all numbers are equal.
    """
    values = features[training].double()
    deviation, mean = torch.std_mean(values, correction=0)
    # what rounding leaves of a constant is no deviation
    if float(deviation) <= 1e-12 * max(1.0, float(values.abs().max())):
        raise InputError(
            "are all equal", field="features", remedy="give features that tell the objects apart"
        )
    return float(mean.float()), float(deviation.float())


def views(inputs: Batch | Source, width: int) -> Iterator[tuple[Float[Tensor, "k p"], Int64[Tensor, "b 3"]]]:
    """Features of objects, and triplets of their rows; a whole `OddOneOutData` at once, else batch by batch.

    Raises
    ------
    InputError : features of another shape or width, or not finite.
    """
    if isinstance(inputs, OddOneOutData):
        yield _fitting(inputs.features, width), inputs.triplets
        return
    for batch in [inputs] if isinstance(inputs, dict) else iterate(inputs, TRIPLETS_AT_ONCE):
        yield _flat(batch, width)


def triplets_of(inputs: Source) -> Int64[Tensor, "b 3"]:
    """The object numbers of every item, in order."""
    if isinstance(inputs, OddOneOutData):
        return inputs.triplets
    return torch.cat([batch["triplet"] for batch in iterate(inputs, TRIPLETS_AT_ONCE)])


def _flat(batch: Batch, width: int) -> tuple[Tensor, Tensor]:
    features: Any = batch.get("features")
    if not isinstance(features, Tensor) or features.ndim != 3 or features.shape[1] != 3:
        found = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else "no tensor"
        raise InputError(
            f"{found}, expected (triplets, 3, {width})",
            field="features",
            remedy="give the features of three objects per triplet",
        )
    flat = _fitting(features.flatten(0, 1).float(), width)
    return flat, torch.arange(len(flat)).view(-1, 3)


def _fitting(features: Float[Tensor, "k p"], width: int) -> Float[Tensor, "k p"]:
    if features.shape[1] != width:
        raise InputError(
            f"are {features.shape[1]} numbers per object; the aligner was fitted on {width}",
            field="features",
            remedy="give features of the network and layer that it was fitted on",
        )
    finite = torch.isfinite(features).all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError("is not finite", field=f"features, row {row}", remedy="compute this row again")
    return features
