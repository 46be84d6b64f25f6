"""Several models as one: their predictions weighted by how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.image_table import ImageTable
from visus.errors import InputError
from visus.methods.hyperfusion.estimator.fusion import HyperFusion
from visus.methods.hyperfusion.estimator.scores import evaluate_prediction
from visus.methods.hyperfusion.estimator.targets import as_prediction, from_prediction
from visus.protocols import Batch, Prediction, Scores, Source
from visus.records import read_json, write_json

Mode = Literal["entropy", "mean", "entropy_vote", "confident"]
LEAST_ENTROPY = 1e-6


def combine(probabilities: Float[Tensor, "m n k"], mode: Mode = "entropy") -> Float[Tensor, "n k"]:
    """Probabilities of `m` members as one.

    `entropy`: sum over members of w p with w = (1 / H(p)) / sum (1 / H), H the entropy in nats, per item.
    `mean`: all weights equal. `entropy_vote`: the same weights on each member's top class. `confident`: the
    member with the highest top probability decides.

    Paper: 2403.13319 (`entropy` for its test results).
    """
    if mode not in get_args(Mode):
        raise InputError(f"{mode!r} is unknown", field="mode", remedy=f"one of {get_args(Mode)}")
    if mode == "mean":
        return probabilities.mean(0)
    if mode == "confident":
        surest = probabilities.amax(2).argmax(0)
        return probabilities[surest, torch.arange(probabilities.shape[1])]
    entropy = -torch.special.xlogy(probabilities, probabilities).sum(2).clamp(max=-LEAST_ENTROPY)
    weight = 1 / entropy
    weight = weight / weight.sum(0)
    votes = probabilities
    if mode == "entropy_vote":
        votes = torch.nn.functional.one_hot(probabilities.argmax(2), probabilities.shape[2]).to(probabilities)
    return (weight[:, :, None] * votes).sum(0)


class Ensemble:
    """Fitted models of one target, together; numbers are averaged, probabilities combined by `mode`.

    Compare an ensemble with ensembles: one member alone is another kind of model.
    """

    def __init__(self, members: Sequence[HyperFusion], *, mode: Mode = "entropy") -> None:
        if not members:
            raise InputError("an ensemble needs members", field="members")
        if len({member.classes_ for member in members}) > 1:
            raise InputError(
                "members have different classes", field="members", remedy="set classes in the config"
            )
        if mode not in get_args(Mode):
            raise InputError(f"{mode!r} is unknown", field="mode", remedy=f"one of {get_args(Mode)}")
        self.members = list(members)
        self.mode: Mode = mode

    @property
    def targets_(self) -> Any:
        """What is predicted."""
        return self.members[0].targets_

    @property
    def classes_(self) -> tuple[str, ...] | None:
        """Class names in order; None for a number."""
        return self.members[0].classes_

    def predict(self, inputs: Batch | Source) -> Prediction:
        """As `HyperFusion.predict`."""
        found = torch.stack([from_prediction(m.targets_, m.predict(inputs)) for m in self.members])
        together = found.mean(0) if self.classes_ is None else combine(found, self.mode)
        return as_prediction(self.targets_, together)

    def evaluate(self, data: ImageTable, *, intervals: bool = True, seed: int = 0) -> Scores:
        """As `HyperFusion.evaluate`."""
        prediction = self.predict(data)
        return evaluate_prediction(
            self.targets_, prediction, data.targets, groups=data.groups, intervals=intervals, seed=seed
        )

    def save(self, folder: str | Path) -> None:
        """Write every member into a folder of its own, and the list last."""
        folder = Path(folder)
        names = [f"member-{i + 1}" for i in range(len(self.members))]
        for name, member in zip(names, self.members):
            member.save(folder / name)
        write_json(folder / "ensemble.json", {"mode": self.mode, "members": names})

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote."""
        record = read_json(Path(folder) / "ensemble.json")
        return cls([HyperFusion.load(Path(folder) / name) for name in record["members"]], mode=record["mode"])


def load(folder: str | Path) -> HyperFusion | Ensemble:
    """A saved model or a saved ensemble, whichever the folder holds."""
    return Ensemble.load(folder) if (Path(folder) / "ensemble.json").exists() else HyperFusion.load(folder)
