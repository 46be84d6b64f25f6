"""A planted world in the place of the real data behind the claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from visus.data.corpora.similarity_judgments import Judgments
from visus.data.corpora.word_pairs import WordPairs
from visus.data.worlds import concepts as world
from visus.methods.alignment.claims import data, transfer

OBJECTS, PHOTOS = 160, 150
CACHED = ("concepts", "vice", "photos", "described", "photographed", "judged_pictures")


def planted_data(monkeypatch: Any, folder: Any) -> Iterator[world.ConceptsWorld]:
    """Put it there, and take back what was remembered of it."""
    made = world.make(OBJECTS, triplets=1, trials=200, repeats=5, seed=3)
    view = torch.from_numpy(made.views["network"].features)
    people = made.judged
    features = {"pixels": 8, "random": 8, "trained": None}

    def pictures(count: int) -> tuple[list[Image.Image], Judgments]:
        rows = np.arange(count)
        return [Image.new("RGB", (8, 8), (row, 0, 0)) for row in rows.tolist()], people.judgments.subset(rows)

    def seen(encoder: str, shown: list[Any], cache: Any) -> torch.Tensor:
        own = torch.from_numpy(people.features["network"][: len(shown)])
        return own[:, : features[encoder]] if features[encoder] else own

    def encode(items: Any, cache: Any) -> torch.Tensor:
        return torch.stack([view[sum(str(item).encode()) % OBJECTS] + 0.01 * len(item) for item in items])

    photos = data.Photos(
        np.arange(PHOTOS), view[:PHOTOS], view[:PHOTOS] @ view[:5].T, *data.turned(view[:PHOTOS])
    )
    pairs = _pairs()
    replaced = {
        "concepts": lambda: made.concepts,
        "vice": lambda: torch.from_numpy(made.hidden),
        "photos": lambda: photos,
        "judged_pictures": pictures,
        "seen_by": seen,
        "encoded": encode,
        "read_triplets": lambda path, objects: made.trials,
        "provided": lambda name: folder / name,
    }
    _forget()
    for name, value in replaced.items():
        monkeypatch.setattr(data, name, value)
    monkeypatch.setattr(transfer, "simlex999", lambda: pairs)
    monkeypatch.setattr(transfer, "wordsim353", lambda: pairs)
    yield made
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for name in CACHED:
        getattr(data, name).cache_clear()


def _pairs(count: int = 999) -> WordPairs:
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(60)]
    one, other = (tuple(words[i] for i in rng.integers(60, size=count)) for _ in range(2))
    return WordPairs(first=one, second=other, rating=rng.uniform(0, 10, count))
