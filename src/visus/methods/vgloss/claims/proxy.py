"""Texts against pictures without a CLIP: MiniLM's texts are mapped to EfficientNet-Lite0's space, and name photographs.

Unseen are classes whose text and picture the map never had; the picture encoder itself was trained on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from visus.methods.vgloss.baselines import map_up, templates
from visus.methods.vgloss.claims.arms import Size
from visus.methods.vgloss.claims.data import Real, encoded, folds, others, real_classes
from visus.methods.vgloss.claims.texts import texts_of
from visus.methods.vgloss.estimator.encoders import USUAL_SCALE
from visus.methods.vgloss.model.bridge import TextBridge
from visus.methods.vgloss.model.builder import ClassWeights, average
from visus.protocols import Scores

Score = Callable[[Int64[Tensor, " u"], Float[Tensor, "n p"]], Float[Tensor, "n u"]]
"""Unseen classes and pictures -> a score for each class."""


def measured(arm: str, size: Size, run: Any) -> tuple[Scores, list[bool]]:
    """Scores of an arm, the mean over five folds of the classes; and whose photograph found its class."""
    real = real_classes(size.classes)
    score = scorer(arm, real, size, run.cache)
    hits, near, found = (torch.zeros(len(real), dtype=torch.bool) for _ in range(3))
    for unseen in folds(len(real), run.seed):
        place = places(score(unseen, real.photos[unseen]))
        hits[unseen], near[unseen] = place < 1, place < 5
        found[unseen] = places(score(unseen, real.prototypes[unseen])) < 1
    scores = {"top1": hits, "top5": near, "prototype_top1": found}
    return {name: float(each.double().mean()) for name, each in scores.items()}, hits.tolist()


def scorer(arm: str, real: Real, size: Size, cache: Path) -> Score:
    """How an arm scores pictures of unseen classes."""
    if arm == "chils":
        return _by_subclass(real, size, cache)
    rows = class_rows(arm, real, size, cache)

    def score(unseen: Int64[Tensor, " u"], pictures: Float[Tensor, "n p"]) -> Float[Tensor, "n u"]:
        bridge = learned(rows, real, unseen, size)
        return F.normalize(pictures, dim=-1) @ bridge(rows[unseen]).T

    return score


def class_rows(arm: str, real: Real, size: Size, cache: Path) -> Float[Tensor, "c t"]:
    """One unit row per class in the texts' space."""
    if arm == "both":
        return average(*(_made(each, real, size, cache) for each in ("semantic", "cupl4"))).weights
    return _made(arm, real, size, cache).weights


def learned(
    rows: Float[Tensor, "c t"], real: Real, unseen: Int64[Tensor, " u"], size: Size, *, seed: int = 0
) -> TextBridge:
    """The map from texts to pictures, from all classes but the unseen ones."""
    seen = others(unseen, len(real))
    return TextBridge(ridge=size.ridge).fit(rows[seen], real.prototypes[seen], seed=seed)


def places(scores: Float[Tensor, "u u"]) -> Int64[Tensor, " u"]:
    """How many classes score as high as each picture's own or higher, itself not counted."""
    return (scores >= scores.diagonal()[:, None]).sum(1) - 1


def _made(arm: str, real: Real, size: Size, cache: Path) -> ClassWeights:
    return encoded(texts_of(arm, real, size), cache)


def _by_subclass(real: Real, size: Size, cache: Path) -> Score:
    """Names of sub-classes; the best one decides, weighed by its class, see `baselines.map_up`.

    One map serves sub-classes and classes, whose texts have the same form; it is learned from those of classes.
    """
    rows = encoded(templates(real.names), cache).weights
    subs = _made("chils", real, size, cache)

    def score(unseen: Int64[Tensor, " u"], pictures: Float[Tensor, "n p"]) -> Float[Tensor, "n u"]:
        bridge, pictures = learned(rows, real, unseen, size), F.normalize(pictures, dim=-1)
        inside: Bool[Tensor, " s"] = torch.isin(subs.owner, unseen)
        owner = torch.searchsorted(unseen, subs.owner[inside])
        each = USUAL_SCALE * pictures @ bridge(subs.embeddings[inside]).T
        return map_up(each, owner, USUAL_SCALE * pictures @ bridge(rows[unseen]).T)

    return score
