"""What trials leave in their folders for the report's figures and for a person who looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visus.records import read_json, write_json

DECISIONS, HITS, TEXTS = "decisions.json", "hits.json", "texts.json"
DECIDING = "attributes"
"""Arm of `clip` whose decisions are kept."""


def keep_decisions(folder: Path, decisions: Sequence[Mapping[str, Any]]) -> None:
    """Pictures with what they were taken for, and what each text did for that."""
    write_json(folder / DECISIONS, list(decisions))


def keep_hits(folder: Path, names: Sequence[str], hits: Sequence[bool]) -> None:
    """Class -> whether its photograph found it."""
    write_json(folder / HITS, dict(zip(names, map(bool, hits), strict=True)))


def keep_texts(folder: Path, texts: Mapping[str, Sequence[str]], quality: Mapping[str, float]) -> None:
    """Class -> its texts, and what they are like."""
    write_json(
        folder / TEXTS,
        {"texts": {name: list(told) for name, told in texts.items()}, "quality": dict(quality)},
    )


def read_kept(folder: Path | None, name: str) -> Any:
    """What a trial left under one of the three names; None where it left nothing."""
    if folder is None or not (folder / name).exists():
        return None
    return read_json(folder / name)
