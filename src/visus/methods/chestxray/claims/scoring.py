"""Scores of maps that come without an estimator: fixed maps, and Grad-CAM of a classifier."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float

from visus.methods.chestxray.estimator.scores import map_values
from visus.metrics import mean_of_defined
from visus.protocols import Batch, Scores


def map_scores(predicted: Float[Any, "n h w"], batch: Batch) -> Scores:
    """kl, cc, sim, nss, auc_judd: means over the images with gaze.

    Parameters
    ----------
    predicted : maps, not negative; any sum.
    batch : `gaze` (n, h, w) and `fixations`, as a `GazeTable` gives them.
    """
    return {name: mean_of_defined(values) for name, values in map_values(predicted, batch).items()}
