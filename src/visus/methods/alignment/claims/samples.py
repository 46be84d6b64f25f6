"""What trials leave in their folders for the report's figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.formats.arrays import read_arrays, write_arrays
from visus.records import read_json, write_json

CONCEPTS, MATRICES = "concepts.json", "matrices.npz"
SHOWN = ("zero_shot", "ridge")
"""Arms of experiment `transfer` whose matrices are drawn."""


def keep_concepts(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the errors per dimension."""
    write_json(folder / CONCEPTS, {"concepts": rows})


def read_concepts(folder: Path | None) -> list[dict[str, Any]]:
    """The errors per dimension; nothing where a trial left none."""
    if folder is None or not (folder / CONCEPTS).exists():
        return []
    return read_json(folder / CONCEPTS)["concepts"]


def keep_matrices(folder: Path, matrices: Mapping[str, np.ndarray]) -> None:
    """Write dissimilarities of pictures: `people` and `arm`."""
    write_arrays(folder / MATRICES, dict(matrices))


def read_matrices(folder: Path | None) -> dict[str, np.ndarray]:
    """`people` and `arm`, (n, n) each; nothing where a trial left none."""
    if folder is None or not (folder / MATRICES).exists():
        return {}
    return dict(read_arrays(folder / MATRICES))
