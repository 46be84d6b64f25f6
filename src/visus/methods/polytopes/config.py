"""Settings of the classifier whose cells are counted, and its presets."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from visus.errors import InputError
from visus.records import record

Init: TypeAlias = Literal["xavier_uniform", "xavier_normal", "kaiming", "orthogonal"]
Rule: TypeAlias = Literal["pull", "delaunay"]
CENSUS_EPOCHS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 300)
SIMPLE = 7
"""Most simplices of a cell that counts as simple: our reading of the paper's word."""
FEWEST, MOST = 2, 4
"""Input dimensions in which a whole census is practical."""


@record
class PolytopesConfig:
    """A small ReLU classifier on two to four numeric columns, with a census of its cells while it learns."""

    columns: tuple[str, ...] = ()
    """The input columns; empty takes every numeric one, of which there must be two to four."""
    hidden: tuple[int, ...] = (40, 20)
    """Width of every hidden layer."""
    init: Init = "xavier_uniform"
    bias: float = 0.01
    """Where all biases start."""
    shortcuts: bool = False
    """Add a layer's input to its output where both have one width."""
    dropout: float = 0.0
    l1: float = 0.0
    """Weight of the sum of absolute weights (biases are free) in the loss."""
    weight_decay: float = 0.0
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-2
    validation: float = 0.0
    """Share of the training rows that choose the epoch; 0 keeps the last."""
    box: float = 3.0
    """The census looks at [-box, box] in standard deviations around the means; 0: the training rows' range."""
    census_epochs: tuple[int, ...] = CENSUS_EPOCHS
    """After which epochs the cells are counted, besides the last; 0 is before training."""
    rule: Rule = "pull"
    """How cells are cut into simplices for counting."""
    max_cells: int = 2_000_000
    """A census that finds more is given up; the row in the history says so."""


def check(config: PolytopesConfig) -> None:
    """Refuse numbers that nothing can be built or trained with.

    Raises
    ------
    InputError : names the first setting that is out of its bounds.
    """
    bounds = {
        "hidden": (bool(config.hidden) and min(config.hidden) >= 1, "give one width from 1 per hidden layer"),
        "columns": (
            not config.columns or FEWEST <= len(set(config.columns)) == len(config.columns) <= MOST,
            f"name {FEWEST} to {MOST} different columns",
        ),
        "bias": (math.isfinite(config.bias), "give a finite number"),
        "dropout": (0.0 <= config.dropout < 1.0, "choose a share from 0 to below 1"),
        "l1": (0.0 <= config.l1 < math.inf, "choose 0 (none) or more"),
        "weight_decay": (0.0 <= config.weight_decay < math.inf, "choose 0 (none) or more"),
        "epochs": (config.epochs >= 1, "choose a number from 1"),
        "batch_size": (config.batch_size >= 1, "choose a number from 1"),
        "learning_rate": (0.0 < config.learning_rate < math.inf, "choose a number above 0"),
        "validation": (0.0 <= config.validation < 1.0, "choose a share from 0 to below 1"),
        "box": (0.0 <= config.box < math.inf, "choose 0 (the range of the data) or more"),
        "census_epochs": (all(epoch >= 0 for epoch in config.census_epochs), "choose numbers from 0"),
        "max_cells": (config.max_cells >= 1, "choose a number from 1"),
    }
    for name, (within, remedy) in bounds.items():
        if not within:
            raise InputError(f"is {getattr(config, name)}", field=name, remedy=remedy)


SMOKE = PolytopesConfig(hidden=(8, 6), epochs=8, batch_size=64, census_epochs=(0, 2))
"""For tests: seconds.

`visus polytopes fit TABLE --target NAME --preset smoke --out RUN`: under 2 seconds for 400 rows on one core.
"""

DEMO = PolytopesConfig(epochs=60)
"""A table of some thousand rows on a laptop: a 3-40-20 network has 10,000 to 30,000 cells.

`visus polytopes fit TABLE --target NAME --preset demo --out RUN`: about 4 seconds of processor time for 400 rows of
two columns. On two half moons all training points are recognized; the network has some 1,700 cells.
"""

GPU = PolytopesConfig(hidden=(80, 40), epochs=300, batch_size=256, max_cells=20_000_000)
"""The paper's larger network, a few hundred thousand cells at every census.

`visus polytopes fit TABLE --target NAME --preset gpu --device cuda --out RUN`: meant for one GPU, under 25
minutes; time and score have not been measured.
"""

PAPER = PolytopesConfig(epochs=300, learning_rate=1e-3)
"""The paper's smaller network (40 and 20 hidden units, biases .01), its census epochs ours.

`visus polytopes fit compas.csv --target two_year_recid --columns age priors_count juv_misd_count --preset paper
--out RUN`: about 40 seconds on one core for the 6,172 rows of the recidivism table, ten censuses of some 31,000 cells
included; 69 % of the training rows are recognized. Optimizer and length of the paper's runs are not known.
"""

PRESETS = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": PAPER}
