"""The radiographs that the comparisons are made on."""

from __future__ import annotations

import functools
from typing import Any

from visus.data.gaze.table import GazeTable
from visus.methods.chestxray.claims.arms import Size

FIRST_SEED, POOL_SEED = 52_000, 71_000
"""Of the world. Sizes were chosen on images that no seed of a claim draws."""
OLD = 60
"""Years from which on a patient of the pool counts as old."""


@functools.lru_cache(maxsize=3)
def parts(size: Size, seed: int) -> tuple[GazeTable, GazeTable]:
    """Training and test images of a seed, made once a process; no patient is in both."""
    found = world(size.train, size.test, size, FIRST_SEED + seed)
    return found.train, found.test


@functools.lru_cache(maxsize=1)
def pool(size: Size) -> GazeTable:
    """Images labeled by sex and age, whatever their diagnosis; the same for all seeds."""
    found = world(size.pool, 1, size, POOL_SEED)
    table, truth = found.train, found.train_truth
    frame = table.frame.copy()
    frame["sex and age"] = [
        f"{sex} {'old' if age >= OLD else 'young'}" for sex, age in zip(truth["sex"], truth["age"])
    ]
    return GazeTable(
        frame, images=table.images, fixations=[None] * len(frame), target="sex and age", group=table.group
    )


def world(train: int, test: int, size: Size, seed: int) -> Any:
    """Radiographs of the torso world with diagnoses and a reader's gaze."""
    from visus.data.worlds.torso.world import make

    return make(n=train, n_test=test, size=size.native, seed=seed)
