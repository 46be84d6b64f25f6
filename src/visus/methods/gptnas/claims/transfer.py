"""Searches on tables of real trained accuracies, with priors from another set of images or from the budget."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from visus.data.corpora.nasbench201 import Dataset, load_nasbench201
from visus.methods.gptnas.baselines import RandomSearch, make_search
from visus.methods.gptnas.model import gpt as gpt_code
from visus.methods.gptnas.search import sweep as sweep_code
from visus.methods.gptnas.search.asktell import AskTell
from visus.methods.gptnas.search.space import Space
from visus.methods.gptnas.search.sweep import (
    KEPT,
    SWEEP_SETTINGS,
    prior_names,
    sweep,
    train_priors,
    train_small_prior,
)
from visus.methods.gptnas.training.cells import load_cells, save_cells
from visus.nn.attention import base as attention_base
from visus.nn.attention import variants as attention_code
from visus.protocols import Run, Scores, Trial

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable
    from visus.methods.gptnas.search.priors import TabulatedPrior

SOURCE: Dataset = "cifar10"
TARGETS: tuple[Dataset, ...] = tuple(name for name in get_args(Dataset) if name != SOURCE)
BUDGETS = (20, 50, 100)
SEARCHES: Mapping[str, int] = {"smoke": 3, "demo": 100, "gpu": 200, "paper": 200}
"""Per seed of the study; each seed also trains its own prior, so intervals include how priors differ."""
STEPS: Mapping[str, int] = {"smoke": 15, "demo": 200, "gpu": 400, "paper": 400}
BOUGHT_SEARCHES: Mapping[str, int] = {"smoke": 1, "demo": 8, "gpu": 100, "paper": 100}
BOUGHT_STEPS: Mapping[str, int] = {"smoke": 5, "demo": 60, "gpu": 100, "paper": 100}
DRAWN, KEPT_CELLS, SPENT = 60, 20, 160
"""Random cells bought, the best of them that are learned from, evaluations in all."""
FIRST_SEED = 5000
"""Settings were chosen on other seeds: the claims are measured on seeds from here on."""


def measure_transfer(trial: Trial, run: Run) -> Scores:
    """One arm on every target set: mean score [%] of what a batch of searches chose after 20, 50, 100
    evaluations, and the information of its trained prior."""
    count = SEARCHES[trial.preset]
    steps, shelf = STEPS[trial.preset], shelf_of(trial, run)
    priors = {name: trained(name, trial.seed, steps, shelf) for name in prior_names([trial.arm])}
    first = FIRST_SEED + trial.seed * count
    scores: Scores = {}
    for prior in priors.values():
        scores["information"] = prior.information
    for name in TARGETS:
        curves = sweep(load_nasbench201(name), [trial.arm], seeds=range(first, first + count), priors=priors)
        scores |= {f"{name}_{n}": curves.mean(trial.arm, n)[0] for n in BUDGETS}
    return scores


def measure_bought(trial: Trial, run: Run) -> Scores:
    """CIFAR-100 after 160 evaluations, mean score [%]: all of them in the genetic search, or 60 of them spent on
    random cells that a layer model is then made of."""
    table, count = load_nasbench201("cifar100"), BOUGHT_SEARCHES[trial.preset]
    chosen = []
    for seed in range(FIRST_SEED + trial.seed * count, FIRST_SEED + (trial.seed + 1) * count):
        if trial.arm == "bought":
            found = bought(table, seed, steps=BOUGHT_STEPS[trial.preset])
        else:
            settings = replace(SWEEP_SETTINGS, budget=SPENT)
            found = finish(make_search(trial.arm, Space.of_table(table), settings, seed, {}), table)
        chosen.append(max(found, key=lambda row: table.fitness[row]))
    return {"cifar100_160": float(table.score[chosen].mean())}


@functools.lru_cache(maxsize=8)
def trained(name: str, seed: int, steps: int, shelf: Path | None = None) -> TabulatedPrior:
    """The prior of that name from CIFAR-10, trained once for the arms that need it.

    Kept in this process, and on a `shelf` for the others: training follows from the corpus, the settings and
    the code, which name the folder there, so what is read is what training would give. Two processes that
    train the same write the same; a folder without its last file is none.
    """
    table = load_nasbench201(SOURCE)
    if shelf is None:
        return train_priors(table, [name], seed=FIRST_SEED + seed, steps=steps)[name]
    kept = shelf / key_of(table, name, seed, steps)
    if (kept / "prior.json").is_file():
        return load_cells(kept, Space.of_table(table))
    made = train_priors(table, [name], seed=FIRST_SEED + seed, steps=steps)[name]
    save_cells(made, kept, {"corpus": f"{SOURCE}, {name}", "seed": seed, "steps": steps})
    return made


def shelf_of(trial: Trial, run: Run) -> Path | None:
    """A folder beside the trials of a study; None where the run is not one of its trials."""
    place = (trial.experiment, trial.arm, f"seed-{trial.seed}")
    folder = Path(run.folder).absolute()
    return folder.parents[1] / ".priors" if folder.parts[-3:] == place else None


def key_of(table: ArchitectureTable, name: str, seed: int, steps: int) -> str:
    """Name and seed, and a digest of all that training depends on."""
    found = hashlib.sha256(table.fitness.tobytes())
    found.update(f"{KEPT[name]} {FIRST_SEED + seed} {steps} {torch.__version__}".encode())
    for module in (sweep_code, gpt_code, attention_code, attention_base):
        found.update(Path(str(module.__file__)).read_bytes())
    return f"{name}-{seed}-{found.hexdigest()[:16]}"


def bought(table: ArchitectureTable, seed: int, *, steps: int) -> dict[int, None]:
    """Rows paid for: random ones, then a search with a layer model of the best of them.

    The two stages do not share a memory: a cell that the second asks for again is paid twice, which is rare.
    """
    space = Space.of_table(table)
    paid = finish(RandomSearch(space, replace(SWEEP_SETTINGS, budget=DRAWN), seed), table)
    best = sorted(paid, key=lambda row: -table.fitness[row])[:KEPT_CELLS]
    cells = np.array([table.architecture(row) for row in best])
    prior = train_small_prior(cells, space, seed=seed, steps=steps, batch=32)
    settings = replace(SWEEP_SETTINGS, budget=SPENT - DRAWN)
    return paid | finish(make_search("gpt", space, settings, seed, {"gpt": prior}), table)


def finish(search: AskTell, table: ArchitectureTable) -> dict[int, None]:
    """Run a search on a table to its end; the rows it paid for, in order."""
    paid: dict[int, None] = {}
    while asked := search.ask():
        for individual in asked:
            row = table.index(individual)
            paid[row] = None
            search.tell(individual, float(table.fitness[row]))
    return paid
