"""From a table of radiographs to a trained network: parts, stages, and what the data did not allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from visus.data.gaze.table import GazeTable
from visus.data.loader import sample_order
from visus.data.splits import grouped_stratified_split
from visus.data.tables.source import naming_file
from visus.engine import Run, derive_seed
from visus.errors import InputError
from visus.methods.chestxray.config import ChestXrayConfig
from visus.methods.chestxray.estimator.building import build
from visus.methods.chestxray.estimator.classes import class_weights, encode, learn
from visus.methods.chestxray.training import Examples, Stage, StagedTraining, phases, plan
from visus.metrics import fit_temperature
from visus.protocols import Scores
from visus.records import record

WARMTH = (0.25, 10.0)
"""Least and greatest temperature: a small validation part that is all right would ask for one near 0."""


@record
class Abilities:
    """What the stages taught a network: by which head it diagnoses, and whether it predicts gaze."""

    diagnosis: Literal["fusion", "dense_head"] | None
    gaze: bool

    @classmethod
    def after(cls, stages: Sequence[Stage]) -> Abilities:
        """What a training through these stages gives."""
        trained = frozenset[str]().union(*(stage.trains for stage in stages))
        head = "fusion" if "fusion" in trained else "dense_head" if "dense_head" in trained else None
        return cls(diagnosis=head, gaze="saliency" in trained)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a fit works on.

    validated : stage name -> whether the validation part can choose its epoch.
    weights : of the classes.
    notes : what the data did not allow, in words.
    """

    net: nn.Module
    classes: tuple[str, ...]
    train: Examples
    held: Examples | None
    stages: list[Stage]
    validated: dict[str, bool]
    weights: Float[Tensor, " k"] | None
    notes: list[str]


def prepare(table: GazeTable, config: ChestXrayConfig, run: Run) -> Job:
    """Classes, parts, network and stages: all that can go wrong before training.

    Raises
    ------
    InputError : no target, one class, an unknown class, an image that cannot be read, fewer than two training
        images, or nothing to train.
    """
    diagnoses = config.network != "unet"
    with naming_file(table):  # what follows it is a matter of the settings, not of this file
        if diagnoses and table.target is None:
            raise InputError("is not there", field="target", remedy="name the column with the diagnosis")
        classes = learn(table.targets, config.classes) if diagnoses else ()
        labels = encode(table.targets, classes) if diagnoses else np.zeros(len(table), dtype=np.int64)
        whole = Examples(table, labels)
        has_gaze = whole.read_through()
        train, held = split(labels, has_gaze, table.patients, share=config.validation, seed=run.seed)
    with run.seeded("init"):
        net: Any = build(config, len(classes))
    looked = bool(has_gaze[train].any())
    stages = plan(config, net.groups(), gaze=looked, auxiliary=hasattr(net, "auxiliary_loss"))
    able = {stage.name: can_validate(stage, whole.labels[held], has_gaze[held]) for stage in stages}
    return Job(
        net=net,
        classes=classes,
        train=whole.subset(train),
        held=whole.subset(held) if len(held) else None,
        stages=stages,
        validated=able,
        weights=class_weights(config.class_weights, labels[train.numpy()], classes),
        notes=remarks(has_gaze[train], has_gaze[held], maps=config.network != "dense"),
    )


def split(
    labels: Int64[np.ndarray, " n"],
    has_gaze: Bool[Tensor, " n"],
    patients: Sequence[Any],
    *,
    share: float,
    seed: int,
) -> tuple[Int64[Tensor, " t"], Int64[Tensor, " v"]]:
    """Training and validation images: no patient in both, classes and gaze in their shares.

    Differs: the published split deals images, not patients (1,083 images of 1,038 people).

    Raises
    ------
    InputError : fewer than two training images are left, which batch normalization needs.
    """
    train, held = torch.arange(len(labels)), torch.zeros(0, dtype=torch.long)
    if share > 0:
        kinds = [f"{label} {seen}" for label, seen in zip(labels.tolist(), has_gaze.tolist())]
        parts = grouped_stratified_split(kinds, patients, {"train": 1 - share, "validation": share}, seed)
        train, held = parts["train"], parts["validation"]
        # mixed, so that a validation batch of the contrastive stage holds several classes
        held = held[sample_order(len(held), seed=derive_seed(seed, "held"), epoch=0)]
    if len(train) < 2:
        problem = f"{len(train)} image is left for training"
        raise InputError(problem, field="validation", remedy="give at least two, or a smaller share")
    return train, held


def can_validate(stage: Stage, labels: Int64[Tensor, " v"], has_gaze: Bool[Tensor, " v"]) -> bool:
    """Whether validation items can tell a stage's loss: for triplets two of a class and one of another."""
    if stage.contrast:
        counts = torch.bincount(labels)
        return bool((counts > 0).sum() > 1 and (counts > 1).any())
    return len(labels) > 0 and (stage.diagnosis or bool(has_gaze.any()))


def remarks(seen: Bool[Tensor, " t"], held: Bool[Tensor, " v"], *, maps: bool) -> list[str]:
    """What the data did not allow.

    Parameters
    ----------
    seen, held : which training and validation images have gaze.
    maps : whether the network learns from gaze at all.
    """
    notes = []
    if maps and not seen.any():
        notes.append("no training image has gaze: the saliency stage was left out, no map is predicted")
    elif maps and not seen.all():
        count = int((~seen).sum())
        notes.append(f"{count} of {len(seen)} training images have no gaze: they teach the diagnosis alone")
    if not len(held):
        notes.append("no validation part: stages kept their last epoch, probabilities are not calibrated")
    elif maps and seen.any() and not held.any():
        notes.append("no validation image has gaze: the saliency stage kept its last epoch")
    return notes


def train(job: Job, config: ChestXrayConfig, run: Run) -> tuple[StagedTraining, list[dict[str, Any]]]:
    """Train through all stages, from the run's newest checkpoint; the training and its log's rows."""
    training = StagedTraining(job.net, job.stages, config, weights=job.weights)
    held = job.held

    def validate() -> Scores:
        return training.validate(held) if held and job.validated[training.stage.name] else {}

    lasting = phases(job.stages, config, items=len(job.train), validated=job.validated)
    return training, run.train(training, job.train, lasting, check=validate)


def calibrated(logits: Float[Tensor, "v k"], labels: Int64[Tensor, " v"]) -> float:
    """The temperature that fits validation images best, within `WARMTH`."""
    least, most = WARMTH
    return min(max(fit_temperature(logits.numpy(), labels.numpy()), least), most)


def check_table(data: Any) -> None:
    """Refuse anything but a `GazeTable`."""
    if not isinstance(data, GazeTable):
        remedy = "give a visus.data.gaze.table.GazeTable"
        raise InputError(f"is a {type(data).__name__}", field="data", remedy=remedy)
