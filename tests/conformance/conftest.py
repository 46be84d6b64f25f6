"""Every check runs for every working paper of the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from method import Fitted, Method, by_slug

from visus import catalogue

SLUGS = [card.slug for card in catalogue.works()]


@pytest.fixture(params=SLUGS, scope="package")
def slug(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="package")
def method(slug: str) -> Method:
    return by_slug(slug)


@pytest.fixture(scope="package")
def fitted(method: Method, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """One micro fit shared by the checks that only look."""
    return method.fit(tmp_path_factory.mktemp("fitted"))


@pytest.fixture(scope="package")
def odd(method: Method, tmp_path_factory: pytest.TempPathFactory) -> Sequence[tuple[Any, Fitted]]:
    """The sources of odd sizes, each with a micro fit."""
    folder = tmp_path_factory.mktemp("odd")
    return [
        (source, method.fit(folder / str(i), *settings, source=source))
        for i, (source, settings) in enumerate(method.facts.odd())
    ]
