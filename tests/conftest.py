"""Fixtures every room's tests use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the checkout (real digest pages, real data); skips where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared (real digest pages and data) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def extra_data() -> Callable[[str], Path]:
    """Real public files that cannot be installed, by name, from the folder VISUS_DATA; skips without them."""

    def find(name: str) -> Path:
        file = Path(os.environ.get("VISUS_DATA", "")) / name
        if "VISUS_DATA" not in os.environ or not file.is_file():
            pytest.skip(f"no {name}: put it into a folder and name the folder in VISUS_DATA")
        return file

    return find


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
