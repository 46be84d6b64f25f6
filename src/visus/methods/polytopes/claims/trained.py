"""How one cell of an experiment is measured where a classifier is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from visus.methods.polytopes.claims.measures import shape_scores
from visus.methods.polytopes.config import PolytopesConfig
from visus.protocols import Run, Scores, Trial

if TYPE_CHECKING:
    from visus.methods.polytopes.model.tally import Tally

FIRST_SEED = 100
"""Settings were chosen by looking at points and starts of seeds from 1000: claims are measured on others."""
_DEMO = PolytopesConfig(hidden=(40, 20), box=0.0, epochs=60, batch_size=200, census_epochs=(0,))
_GPU = replace(_DEMO, hidden=(40, 40, 40), epochs=300, batch_size=500, max_cells=20_000_000)
CONFIGS: Mapping[str, PolytopesConfig] = {
    "smoke": replace(_DEMO, hidden=(8, 6), epochs=3, batch_size=64),
    "demo": _DEMO,
    "gpu": _GPU,
    "paper": _GPU,
}
WIDE = 0.3
"""Biases that leave part of the hyperplanes outside of the data at the start; with .01 all of them cross it."""
POINTS: Mapping[str, int] = {"smoke": 200, "demo": 2000, "gpu": 20_000, "paper": 20_000}
REGULARIZERS: Mapping[str, dict[str, Any]] = {
    "weight_decay": {"weight_decay": 0.1},
    "l1": {"l1": 1e-4},
    "dropout": {"dropout": 0.2},
    "shortcut": {"shortcuts": True},
}
"""What an arm changes; `plain` changes nothing."""


def measure_training(trial: Trial, run: Run) -> Scores:
    """Cells of a classifier before training, after it, and after training on coin flips."""
    config, before = CONFIGS[trial.preset], trial.arm.startswith("start")
    if before:
        config = replace(config, epochs=1)
    if trial.arm.endswith("_wide"):
        config = replace(config, bias=WIDE)
    shape = "random" if trial.arm == "random_labels" else "checker"
    rows, tallies = trained(config, shape, trial, run)
    epoch = 0 if before else config.epochs
    tally = tallies[epoch]
    return {
        **shape_scores(tally),
        "accuracy": rows[epoch]["accuracy"],
        "distance": tally.distance(tallies[0], "num_facets"),
        "distance_by_volume": tally.distance(tallies[0], "num_facets", "volume"),
    }


def measure_regularizers(trial: Trial, run: Run) -> Scores:
    """Cells after training with one thing changed."""
    config = replace(CONFIGS[trial.preset], **REGULARIZERS.get(trial.arm, {}))
    rows, tallies = trained(config, "checker", trial, run)
    return {**shape_scores(tallies[config.epochs]), "accuracy": rows[config.epochs]["accuracy"]}


def trained(
    config: PolytopesConfig, shape: Any, trial: Trial, run: Any
) -> tuple[dict[int, dict[str, Any]], dict[int, Tally]]:
    """Train on points of a world; the rows and histograms of its censuses by epoch. Accuracy is on those points."""
    from visus.data.worlds import points
    from visus.methods.polytopes.estimator import Polytopes

    world = points.make(shape, n=POINTS[trial.preset], n_test=1, seed=trial.seed + FIRST_SEED)
    made = Polytopes(config).fit(world.train, run)
    return {row["epoch"]: row for row in made.history_}, made.tallies_
