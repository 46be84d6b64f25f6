"""A method with its specimen: what every check is called with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from specimen import Specimen, specimen
from watched import WatchedRun

from visus import catalogue
from visus.protocols import Source
from visus.records import override


@dataclass(frozen=True)
class Fitted:
    """A model and the run it came from."""

    model: Any
    run: WatchedRun


@dataclass(frozen=True)
class Method:
    """An estimator class and what its specimen says."""

    estimator: Any
    facts: Specimen

    def config(self, *settings: str) -> Any:
        """The settings of a micro fit, with changes."""
        return override(self.estimator.preset("smoke"), [*self.facts.micro, *settings])

    def fit(
        self, folder: Path, *settings: str, seed: int = 0, source: Source | None = None, run: Any = None
    ) -> Fitted:
        """A micro fit on the embedded data, on one thread."""
        return self.fit_config(self.config(*settings), folder, seed=seed, source=source, run=run)

    def fit_config(
        self, config: Any, folder: Path, *, seed: int = 0, source: Source | None = None, run: Any = None
    ) -> Fitted:
        """A fit with a whole configuration."""
        torch.set_num_threads(1)
        run = run or WatchedRun(folder, seed=seed)
        source = source if source is not None else self.estimator.example("train")
        return Fitted(self.estimator(config).fit(source, run), run)


def by_slug(slug: str) -> Method:
    """A method of the catalogue."""
    return Method(catalogue.get(slug).load(), specimen(slug))
