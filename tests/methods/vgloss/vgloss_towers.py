"""Small encoders for the tests: a CLIP with random weights, and texts as counts of letters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from visus.engine.seeds import seeded
from visus.methods.vgloss.model.towers import Sizes, SmallTowers, build_clip, learn_merges, vocabulary

CAPTIONS = ["a photo of a large red cube", "a small blue ball that is shiny", "the crane of a harbor"] * 3


def towers(seed: int = 0) -> SmallTowers:
    """A CLIP with random weights: its texts and pictures differ, and that is all the tests need."""
    merges = learn_merges(CAPTIONS, most=60)
    sizes = Sizes(
        image_size=32,
        patch=8,
        width=16,
        layers=1,
        heads=4,
        text_layers=1,
        text_width=16,
        text_length=77,
        joint=12,
    )
    with seeded(seed, "towers"):
        model = build_clip(sizes, vocabulary_size=len(vocabulary(merges)))
    return SmallTowers(model, merges)


class Letters:
    """A text's row counts its letters a to z and its words; notes what it was asked."""

    identity, width, max_tokens = "letters", 27, 1000

    def __init__(self) -> None:
        self.asked: list[str] = []

    def texts(self, texts: Sequence[str]) -> Tensor:
        self.asked += texts
        rows = [
            [float(text.lower().count(chr(97 + i))) for i in range(26)] + [float(len(text.split()))]
            for text in texts
        ]
        return torch.tensor(rows)

    def count_tokens(self, text: str) -> int:
        return len(text)
