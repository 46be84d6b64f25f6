"""Between the estimator's settings and the parts they set: networks, the prior, the search, its ledger."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.engine import Run
from visus.methods.gptnas.config import GPTNASConfig
from visus.methods.gptnas.model.network import BlockNetwork
from visus.methods.gptnas.search.asktell import Evaluation, SearchSettings
from visus.methods.gptnas.search.ledger import Ledger
from visus.methods.gptnas.search.space import Individual
from visus.methods.gptnas.training.candidate import Recipe
from visus.methods.gptnas.training.prior import PriorRecipe

NAMED_PRIORS = ("zoo", "uniform", "none")
"""Priors that are no folder."""


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """Individual -> `BlockNetwork`, and nothing else, so that it travels to other processes."""

    in_channels: int
    num_classes: int
    image_size: tuple[int, int]
    width: int
    stages: int

    def __call__(self, individual: Individual) -> BlockNetwork:
        return BlockNetwork(individual, **vars(self))


def prior_recipe(config: GPTNASConfig) -> PriorRecipe:
    """How the settings have a prior trained."""
    return PriorRecipe(
        networks=config.networks,
        width=config.gpt_width,
        depth=config.gpt_depth,
        heads=config.gpt_heads,
        window=config.gpt_window,
        attention=config.gpt_attention,
        epochs=config.gpt_epochs,
        batch_size=config.gpt_batch,
        learning_rate=config.gpt_rate,
        chooser_width=config.chooser_width,
        chooser_epochs=config.chooser_epochs,
        chooser_rate=config.chooser_rate,
    )


def network_recipe(config: GPTNASConfig, *, final: bool) -> Recipe:
    """How the settings have a candidate trained, or the best network."""
    return Recipe(
        epochs=config.epochs if final else config.candidate_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        warmup=0.0 if final else config.warmup,
        flip=config.flip,
        crop=config.crop,
    )


def search_settings(config: GPTNASConfig, *, guided: bool) -> SearchSettings:
    """How the settings have a search go; without a prior (`guided`) nothing is eliminated."""
    return SearchSettings(
        budget=config.evaluations,
        population=config.population,
        crossover=config.crossover,
        mutation=config.mutation,
        rate=config.elimination if guided else 0.0,
        unit=config.unit,
        temperature=config.temperature,
        top_k=config.top_k,
        init=config.start if guided else "random",
    )


def identity_of(config: GPTNASConfig) -> dict[str, str]:
    """A digest of the files of a saved prior, for a folder may hold another one tomorrow; else nothing."""
    if config.prior in NAMED_PRIORS:
        return {}
    files = [Path(config.prior) / name for name in ("prior.json", "model.safetensors")]
    content = b"".join(file.read_bytes() for file in files if file.is_file())
    return {"saved_prior": hashlib.sha256(content).hexdigest()}


def noted(entry: Evaluation) -> dict[str, Any]:
    """An evaluation as plain data."""
    candidate = entry.candidate
    return {
        "individual": list(candidate.individual),
        "regrown": list(candidate.regrown),
        "generation": candidate.generation,
        "fitness": entry.value,
    }


def ledger_in(run: Run) -> Ledger | None:
    """The Optuna study of a run's search, where Optuna is installed; kept by the main process.

    Without it a search resumes as well: what candidates are worth is in their folders.
    """
    if not run.is_main or importlib.util.find_spec("optuna") is None:
        return None
    return Ledger(run.folder / "search.journal")
