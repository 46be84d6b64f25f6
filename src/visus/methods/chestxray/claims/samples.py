"""What an arm made of some test images, kept in its trial's folder for the report's figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from visus.data.formats.arrays import read_arrays, write_arrays
from visus.records import read_json, write_json

PER_CLASS = 2
"""Test images of every class that are kept: the first of each."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Some test images with what an arm said of them.

    image : 0..1.
    truth : the readers' density, sums to 1 (zeros without gaze).
    predicted : the arm's density, Grad-CAM of an arm without one, sums to 1.
    probabilities : of the classes, in the order of `classes`; nan where the arm does not diagnose.
    label : true class numbers.
    test_logits, test_probabilities, test_label : of all test images, before and after the temperature; empty where
        the arm does not diagnose.
    """

    image: Float32[np.ndarray, "n h w"]
    truth: Float32[np.ndarray, "n h w"]
    predicted: Float32[np.ndarray, "n h w"]
    probabilities: Float32[np.ndarray, "n k"]
    label: Int64[np.ndarray, " n"]
    test_logits: Float32[np.ndarray, "m k"]
    test_probabilities: Float32[np.ndarray, "m k"]
    test_label: Int64[np.ndarray, " m"]
    classes: tuple[str, ...]
    names: tuple[str, ...]


def chosen(labels: Int64[np.ndarray, " n"], per_class: int = PER_CLASS) -> Int64[np.ndarray, " m"]:
    """The first items of every class, class by class.

    >>> chosen(np.array([1, 0, 1, 1, 0]), 2).tolist()
    [1, 4, 0, 2]
    """
    found = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
    return np.concatenate(found).astype(np.int64)


def as_density(maps: Float[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n h w"]:
    """Maps divided by their sums; zeros stay zeros."""
    total = maps.sum((1, 2), keepdims=True)
    return (maps / np.where(total > 0, total, 1.0)).astype(np.float32)


def write_samples(folder: Path, samples: Samples) -> None:
    """Write `samples.npz` and `samples.json`."""
    names = ("image", "truth", "predicted", "probabilities", "label")
    names += ("test_logits", "test_probabilities", "test_label")
    write_arrays(folder / "samples.npz", {name: getattr(samples, name) for name in names})
    write_json(folder / "samples.json", {"classes": samples.classes, "names": samples.names})


def read_samples(folder: Path | None) -> Samples | None:
    """What a trial's folder holds; None where it holds nothing."""
    if folder is None or not (folder / "samples.json").exists():
        return None
    told: Any = {name: tuple(values) for name, values in read_json(folder / "samples.json").items()}
    arrays: Any = read_arrays(folder / "samples.npz")
    return Samples(**told, **arrays)
