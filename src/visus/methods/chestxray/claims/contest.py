"""One arm with one seed: the data it is told, its training, and everything it can be asked."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.gaze.table import GazeTable, View
from visus.data.loader import sample_order
from visus.engine.seeds import derive_seed
from visus.methods.chestxray.baselines import center_prior, mean_gaze_map
from visus.methods.chestxray.claims.arms import FIXED, UNTOLD, Size, settings_of
from visus.methods.chestxray.claims.samples import Samples, as_density, chosen, write_samples
from visus.methods.chestxray.claims.scoring import map_scores
from visus.methods.chestxray.config import ChestXrayConfig
from visus.methods.chestxray.estimator import ChestXrayReader, view_of
from visus.protocols import Batch, Prediction, Scores


def compete(
    arm: str, train: GazeTable, test: GazeTable, size: Size, run: Any, *, keep: bool, **more: Any
) -> Scores:
    """Scores of one arm on test images that chose nothing.

    Parameters
    ----------
    keep : leave a few test images with what the arm said of them in the run's folder.
    more : `small`, `weights` of `settings_of`.
    """
    config = settings_of(arm, size, **more)
    batch = test.viewed(view_of(config)).batch(range(len(test)))
    if arm in FIXED:
        maps = fixed_map(arm, train, config).expand(len(test), -1, -1)
        found: Prediction = {"density": maps}
        scores = map_scores(maps, batch)
    else:
        reader = trained(config, told(arm, train, run.seed), with_precision(run, size.precision))
        found, scores = reader.predict(test), reader.evaluate(test)
        if "density" not in found:
            found["density"] = reader.grad_cam(test)
            scores |= map_scores(found["density"], batch)
    if keep:
        leave(run.folder, found, batch, config.classes or classes_of(test))
    return scores


def trained(config: ChestXrayConfig, table: GazeTable, run: Any) -> ChestXrayReader:
    """The estimator, fitted."""
    return ChestXrayReader(config).fit(table, run)


def with_precision(run: Any, precision: str) -> Any:
    """The same run in another precision; half precision has its use on a GPU alone."""
    if precision == run.precision or run.device.type != "cuda":
        return run
    made = copy.copy(run)
    made.precision = precision
    return made


def fixed_map(arm: str, train: GazeTable, config: ChestXrayConfig) -> Float[Tensor, "h w"]:
    """A map from the training images' gaze that is the same for every image."""
    batch = train.viewed(view_of(config)).batch(range(len(train)))
    make = {"mean_map": mean_gaze_map, "center": center_prior}[arm]
    return make(batch["gaze"], batch["has_gaze"])


def told(arm: str, table: GazeTable, seed: int) -> GazeTable:
    """The training images with the gaze that the arm is told: their own, that of others, or none."""
    if arm not in UNTOLD:
        return table
    looked: list[Any] = table.viewed(View()).batch(range(len(table)))["fixations"]
    if arm == "no_gaze":
        given: list[Any] = [None] * len(table)
    else:
        order = sample_order(len(table), seed=derive_seed(seed, "shuffled"), epoch=0)
        given = [None] * len(table)
        for one, other in zip(order.tolist(), order.roll(1).tolist()):
            given[one] = looked[other]
    images = table.images if table.images is not None else table.paths
    assert images is not None
    return GazeTable(table.frame, images=images, fixations=given, target=table.target, group=table.group)


def classes_of(table: GazeTable) -> tuple[str, ...]:
    """Class names as the estimator orders them."""
    return tuple(sorted({str(value) for value in table.targets}))


def leave(folder: Path, found: Prediction, batch: Batch, classes: tuple[str, ...]) -> None:
    """Write what the arm said of the first test images of every class."""
    label = np.array([classes.index(name) for name in batch["target"]], dtype=np.int64)
    rows = chosen(label)
    unknown = torch.full((len(label), len(classes)), torch.nan)
    diagnosed = "probabilities" in found
    nothing = torch.zeros(0, len(classes))
    write_samples(
        folder,
        Samples(
            image=batch["image"][rows, 0].numpy(),
            truth=batch["gaze"][rows].numpy(),
            predicted=as_density(found["density"][rows].float().numpy()),
            probabilities=found.get("probabilities", unknown)[rows].float().numpy(),
            label=label[rows],
            test_logits=(found["logits"] if diagnosed else nothing).float().numpy(),
            test_probabilities=(found["probabilities"] if diagnosed else nothing).float().numpy(),
            test_label=label if diagnosed else label[:0],
            classes=classes,
            names=tuple(str(batch["name"][row]) for row in rows),
        ),
    )
