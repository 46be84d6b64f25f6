"""Sizes of the comparisons, and their arms; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from visus.methods.vgloss.config import PRESETS, VGlossConfig

FOLDS = 5
COUNT = 4
"""Texts per class in arms with several texts that are compared with each other."""

PROXY = (
    "name",
    "template",
    "synonyms",
    "gloss",
    "hypernym",
    "semantic",
    "shuffled",
    "ensemble7",
    "waffle",
    "cupl4",
    "dclip4",
    "lexical",
    "chils",
    "semantic4",
    "both",
)
"""The last two are made of texts that arms before them have."""
WRITTEN = ("smollm2", "smollm2_plain")
"""Arms whose texts a language model writes."""
LANGUAGE = ("name", "semantic", *WRITTEN, "lexical")
CONTRAST = ("normal", "contrastive", "swapped", "follow_up")
CONFUSABLE = ("normal", "both", "contrastive", "follow_up", "swapped")
CLIP = ("name", "template", "attributes", "shuffled", "waffle", "contrastive", "ensemble")
CHANCE = "chance"
"""Arm of `clip` that is a number: one over the number of classes."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is encoded, written, trained and asked.

    classes : of ImageNet, at most 1,000; each with one photograph and one classifier row. Cut into five folds.
    ridge : of the bridge from texts to pictures; 0 chooses it by cross-validation in every fold.
    lexical : sentences that `LexicalLM` writes per class.
    confused : folds in which confusable classes are looked for.
    neighbors : most classes that a class is confused with there.
    written : classes per seed that the language model describes; tokens : of each description, at most.
    pairs, pictures : of the planted world.
    unseen : kinds that are the classes of `clip`; captioned, judged : pictures it is trained and judged on.
    towers : its settings.
    """

    classes: int = 320
    ridge: float = 0.3
    lexical: int = 2
    confused: int = 2
    neighbors: int = 1
    written: int = 8
    tokens: int = 32
    pairs: int = 20
    pictures: int = 2_000
    unseen: int = 24
    captioned: int = 750
    judged: int = 240
    towers: VGlossConfig = PRESETS["demo"]


DEMO = Size()
SMOKE = replace(
    DEMO,
    classes=30,
    confused=1,
    written=8,
    pairs=6,
    pictures=240,
    unseen=12,
    captioned=96,
    judged=24,
    towers=VGlossConfig(width=32, text_width=16, joint=32, epochs=2, batch_size=32),
)
GPU = replace(
    DEMO,
    classes=1_000,
    ridge=0.0,
    lexical=4,
    confused=FOLDS,
    neighbors=3,
    written=40,
    tokens=50,
    pictures=20_000,
    unseen=24,
    captioned=12_000,
    judged=2_400,
    towers=VGlossConfig(width=128, layers=4, text_layers=2, text_width=64, epochs=30, learning_rate=1e-3),
)
SIZES: Mapping[str, Size] = {"smoke": SMOKE, "demo": DEMO, "gpu": GPU, "paper": GPU}
