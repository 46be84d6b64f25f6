"""Sizes of the comparisons, and the aligner behind every arm that learns; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from visus.methods.alignment.config import AlignmentConfig


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is made, learned and asked.

    definitions : texts of THINGS objects are "name: definition", else the name.
    partitions, photo_partitions : how often a seed cuts the objects in two halves; each half learns for the other.
    triplets, judged : sampled from VICE among the training objects of a split, and among its unseen objects.
    folds : of the cross-validation that chooses the number of steps of transferred probes.
    pictures : of the 92 object pictures, evenly chosen.
    batch, check_every, patience, epochs : of every probe (triplets, steps, validations, passes).
    objects : in the planted world; planted : its triplets, a quarter of them unseen.
    scenes, unseen, steps, scene_batch : pictures that networks are trained on, that they are judged on, and the
        training; width : channels of the narrow networks' first layer.
    """

    definitions: bool = True
    partitions: int = 2
    photo_partitions: int = 1
    triplets: int = 30_000
    judged: int = 10_000
    folds: int = 3
    pictures: int = 92
    batch: int = 512
    check_every: int = 10
    patience: int = 2
    epochs: int = 1
    objects: int = 240
    planted: int = 16_000
    scenes: int = 720
    unseen: int = 300
    steps: int = 90
    scene_batch: int = 64
    width: int = 8


DEMO = Size()
SMOKE = replace(
    DEMO,
    definitions=False,
    partitions=1,
    triplets=6_000,
    judged=2_000,
    folds=2,
    pictures=8,
    check_every=4,
    patience=1,
    epochs=1,
    objects=120,
    planted=4_000,
    scenes=100,
    unseen=60,
    steps=4,
    scene_batch=32,
    width=4,
)
GPU = replace(
    DEMO,
    partitions=5,
    photo_partitions=5,
    triplets=1_000_000,
    judged=200_000,
    batch=4096,
    check_every=25,
    patience=5,
    epochs=10,
    planted=200_000,
    scenes=20_000,
    unseen=2_000,
    steps=6_000,
    scene_batch=256,
    width=32,
)
SIZES: Mapping[str, Size] = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": GPU}

CLOSED = ("ridge", "shuffled")
"""Ridge regression, to the reference or to one whose rows are mixed up."""
LEARNED = ("probe", "probe_identity", "glocal", *CLOSED)
"""Arms that fit an aligner."""


def settings_of(arm: str, size: Size) -> AlignmentConfig:
    """The aligner of an arm: all learn with the same batches, at the same rate, with the same early stopping."""
    base = AlignmentConfig(
        learning_rate=5e-4,
        batch_size=size.batch,
        check_every=size.check_every,
        patience=size.patience,
        epochs=size.epochs,
        validation=0.2,
        init_scale=0.03,
    )
    arms = {
        "probe": replace(base, penalty="fro", penalty_weight=1e-3, init="gaussian", init_scale=1e-3),
        "probe_identity": base,
        "glocal": replace(base, aligner="glocal", contrastive_weight=0.1, contrastive_batch=128),
    }
    return arms.get(arm, replace(base, aligner="ridge", ridge_folds=0))


def planted_settings(arm: str, size: Size) -> AlignmentConfig:
    """The same on the planted world, whose few features allow more and faster steps."""
    return replace(settings_of(arm, size), learning_rate=5e-3, epochs=15 * size.epochs, patience=4)
