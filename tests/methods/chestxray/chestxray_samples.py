"""Small phantoms with gaze, and settings that train in a second: shared by the tests of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from visus.data.gaze.table import GazeTable
from visus.methods.chestxray import ChestXrayConfig
from visus.records import override

CLASSES = ("Normal", "CHF", "pneumonia")


def phantoms(
    n: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (64, 64),
    with_gaze: float = 1.0,
    per_patient: int = 2,
    classes: Sequence[str] = CLASSES,
) -> GazeTable:
    """Two dark lungs and a heart: wide for CHF, a patch in one lung for pneumonia; gaze goes to what is ill.

    The share `with_gaze` of the images was read; fixations are 12 each, drawn from a mixture.
    """
    rng = np.random.default_rng(seed)
    images, fixations, rows = [], [], []
    for i in range(n):
        label = classes[i % len(classes)]
        image, looked = _phantom(rng, label, size)
        images.append(image)
        fixations.append(looked if rng.random() < with_gaze else None)
        rows.append({"name": f"image{i}", "patient": f"p{i // per_patient}", "diagnosis": label})
    return GazeTable(
        pd.DataFrame(rows),
        images=torch.from_numpy(np.stack(images)[:, None].astype(np.float32)),
        fixations=fixations,
        target="diagnosis",
        group="patient",
    )


def _phantom(rng: np.random.Generator, label: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    high, wide = size
    y, x = np.meshgrid((np.arange(high) + 0.5) / high, (np.arange(wide) + 0.5) / wide, indexing="ij")
    image = np.full(size, 0.7)
    lungs = [(0.3 + rng.normal(0, 0.02), 0.5), (0.7 + rng.normal(0, 0.02), 0.5)]
    for cx, cy in lungs:
        image[((x - cx) / 0.15) ** 2 + ((y - cy) / 0.32) ** 2 < 1] = 0.25
    width = 0.24 if label == "CHF" else 0.13
    heart = ((x - 0.52) / width) ** 2 + ((y - 0.65) / 0.15) ** 2 < 1
    image[heart] = 0.85
    places = [(*lungs[0], 0.05), (*lungs[1], 0.05), (0.52, 0.65, 0.04)]
    if label == "CHF":
        places += [(0.52, 0.65, 0.05)] * 3
    if label == "pneumonia":
        cx, cy = lungs[int(rng.integers(2))]
        spot = cx + rng.uniform(-0.05, 0.05), cy + rng.uniform(-0.2, 0.2)
        image += 0.45 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 0.06**2))
        places += [(*spot, 0.03)] * 5
    image = np.clip(image + rng.normal(0, 0.03, size), 0, 1)
    chosen = [places[int(k)] for k in rng.integers(len(places), size=12)]
    at = np.array([[cx + rng.normal(0, s), cy + rng.normal(0, s)] for cx, cy, s in chosen])
    return image, np.column_stack([at * [wide, high], rng.gamma(3, 0.1, len(at))])


def small(*settings: str, **more: Any) -> ChestXrayConfig:
    """Settings for a fit of a second: 32 px, one epoch a stage."""
    base = {
        "image_size": [32, 32],
        "backbone": "compact",
        "base_channels": 2,
        "hidden": 8,
        "contrastive_epochs": 1,
        "classify_epochs": 1,
        "saliency_epochs": 1,
        "final_epochs": 1,
        "batch_size": 8,
        "contrastive_batch": 8,
        "final_batch": 8,
        "learning_rate": 3e-3,
        "validation": 0.25,
    }
    return override(override(ChestXrayConfig(), base | more), list(settings))
