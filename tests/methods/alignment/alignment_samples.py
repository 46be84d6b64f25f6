"""Small data for the tests of the aligners."""

from __future__ import annotations

import numpy as np

from visus.data.triplets import OddOneOutData
from visus.methods.alignment import AlignmentConfig


def planted(
    objects: int = 90,
    *,
    count: int = 6000,
    width: int = 16,
    hidden: int = 5,
    noise: float = 0.02,
    seed: int = 0,
) -> OddOneOutData:
    """Triplets sampled from a hidden non-negative embedding; features are a noisy mix of it, badly scaled."""
    rng = np.random.default_rng(seed)
    concepts = rng.gamma(0.6, 1.2, (objects, hidden)) * (rng.random((objects, hidden)) < 0.6)
    nuisance = rng.normal(size=(objects, width - hidden)) * 3
    mix = np.linalg.qr(rng.normal(size=(width, width)))[0]
    features = np.concatenate([concepts, nuisance], 1) @ mix + noise * rng.normal(size=(objects, width)) + 0.7
    rows = np.stack([rng.choice(objects, 3, replace=False) for _ in range(count)])
    dots = np.stack(
        [(concepts[rows[:, i]] * concepts[rows[:, j]]).sum(1) for i, j in ((1, 2), (0, 2), (0, 1))], 1
    )
    odd = (dots + rng.gumbel(size=dots.shape) * 0.5).argmax(1)
    others = np.array([[1, 2], [0, 2], [0, 1]])[odd]
    triplets = np.stack([*np.take_along_axis(rows, others, 1).T, rows[np.arange(count), odd]], 1)
    return OddOneOutData(features.astype(np.float32), triplets, reference=concepts.astype(np.float32))


def quick(**changes: object) -> AlignmentConfig:
    """Settings of a fit in a fraction of a second."""
    settings: dict = {"epochs": 6, "batch_size": 64, "learning_rate": 0.02, "penalty_weight": 0.01, **changes}
    return AlignmentConfig(**settings)
