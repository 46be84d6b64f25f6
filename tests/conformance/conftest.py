"""Every check runs for every working paper of the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from specimen import Specimen, specimen  # noqa: E402
from watched import WatchedRun  # noqa: E402

from visus import catalogue  # noqa: E402
from visus.records import override  # noqa: E402

SLUGS = [card.slug for card in catalogue.works()]


@pytest.fixture(params=SLUGS, scope="module")
def slug(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def estimator(slug: str) -> Any:
    """The estimator class."""
    return catalogue.get(slug).load()


@pytest.fixture(scope="module")
def facts(slug: str) -> Specimen:
    return specimen(slug)


@pytest.fixture(scope="module")
def fit(estimator: Any, facts: Specimen) -> Callable[..., Any]:
    """Fit on the embedded data: `fit(folder, seed=0, settings=(...), source=None, run=None)`."""

    def make(
        folder: Path, *, seed: int = 0, settings: Any = (), source: Any = None, run: WatchedRun | None = None
    ) -> Any:
        torch.set_num_threads(1)
        config = override(estimator.preset("smoke"), [*facts.micro, *settings])
        run = run or WatchedRun(folder, seed=seed)
        return estimator(config).fit(source if source is not None else estimator.example("train"), run)

    return make


@pytest.fixture(scope="module")
def fitted(fit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One micro fit shared by the checks that only look."""
    return fit(tmp_path_factory.mktemp("fitted"))
