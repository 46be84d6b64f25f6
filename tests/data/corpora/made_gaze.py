"""A small table of images with gaze, and edits of written tables, for the tests of gaze corpora."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visus.data.gaze.table import GazeTable

CLASSES = ("Normal", "CHF", "pneumonia")


def made_table(n: int = 9, space: tuple[int, int] = (50, 41), looks: int = 7) -> GazeTable:
    """n images of two per patient, the second without gaze, with masks and boxes."""
    rng = np.random.default_rng(5)
    edge = np.array([space[1], space[0], 0.6])
    looked = [rng.uniform((0, 0, 0.1), edge, size=(looks, 3)) for _ in range(n)]
    looked[1] = None
    frame = pd.DataFrame(
        {
            "name": [f"scan{i}" for i in range(n)],
            "patient": [f"p{i // 2}" for i in range(n)],
            "diagnosis": [CLASSES[i % 3] for i in range(n)],
        }
    )
    images = torch.from_numpy(rng.random((n, 1, *space), dtype=np.float32))
    masks = rng.integers(0, 4, size=(n, *space), dtype=np.uint8)
    boxes = [[{"name": "heart", "box": [1.0, 2.0, 20.0 + i, 30.0]}] for i in range(n)]
    table = GazeTable(frame, images=images, fixations=looked, target="diagnosis", group="patient")
    return table.with_regions(segmentation=masks, boxes=boxes)


def edited(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Read a table as text, change it, and write it back."""
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def cell(column: str, row: int, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The change of one cell."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, column] = value
        return frame

    return change
