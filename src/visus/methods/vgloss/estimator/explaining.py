"""Why a picture got its class: similarities to single texts, and what each did for the decision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from visus.methods.vgloss.model.builder import ClassWeights


@dataclass(frozen=True)
class Evidence:
    """One text in one decision.

    similarity : cosine of picture and text.
    effect : by how much the margin (winner's cosine less the runner-up's) falls when this text is left out.
        Positive: it speaks for the winner.
    """

    name: str
    text: str
    similarity: float
    effect: float


@dataclass(frozen=True)
class Explanation:
    """One picture's decision.

    label, runner_up : names of the two classes with the highest scores.
    probability : of the label.
    margin : difference of their cosines; below 0 where `follow_up` turned the order round.
    evidence : every text of the two, that with the largest effect first.
    """

    label: str
    runner_up: str
    probability: float
    margin: float
    evidence: tuple[Evidence, ...]

    @property
    def decided(self) -> Evidence:
        """The winner's text that did most for it."""
        return next(each for each in self.evidence if each.name == self.label)


def explain(
    made: ClassWeights, row: Float[Tensor, " e"], label: int, other: int, probability: float
) -> Explanation:
    """Leave out every text of the two classes in turn.

    A class's only text cannot be left out: its effect is then that of the class's whole score, as if the class
    had none. With a `TextBridge`, rows without a text are pooled from bridged texts.
    """
    picture = F.normalize(row, dim=-1)
    margin = float(picture @ made.weights[label] - picture @ made.weights[other])
    if made.pooling == "max":
        scores = made.similarities(picture[None])[0]
        margin = float(scores[label] - scores[other])
    found: list[Evidence] = []
    for number, sign in ((label, 1.0), (other, -1.0)):
        places = (made.owner == number).nonzero()[:, 0]
        rows, share = made.embeddings[places], made.share[places]
        cosines = rows @ picture
        effects = sign * _lost(rows, share, picture, cosines, made.pooling)
        found += [
            Evidence(made.names[number], made.texts[place], float(cosine), float(effect))
            for place, cosine, effect in zip(places.tolist(), cosines, effects)
        ]
    ordered = tuple(sorted(found, key=lambda each: -each.effect))
    return Explanation(made.names[label], made.names[other], probability, margin, ordered)


def _lost(
    rows: Float[Tensor, "n e"],
    share: Float[Tensor, " n"],
    picture: Float[Tensor, " e"],
    cosines: Float[Tensor, " n"],
    pooling: str,
) -> Float[Tensor, " n"]:
    """How much a class's score loses without each of its texts."""
    if len(rows) == 1:
        return cosines
    if pooling == "max":
        best = cosines.topk(2).values
        return torch.where(cosines == best[0], best[0] - best[1], torch.zeros_like(cosines))
    whole = (rows * share[:, None]).sum(0)
    without = (whole - rows * share[:, None]) / (1 - share).clamp(min=1e-6)[:, None]
    if pooling != "similarity_mean":
        whole, without = F.normalize(whole, dim=-1), F.normalize(without, dim=-1)
    return whole @ picture - without @ picture
