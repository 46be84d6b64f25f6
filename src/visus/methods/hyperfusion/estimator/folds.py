"""Cross-validation in which no group is torn apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from visus.data.image_table import ImageTable
from visus.data.splits import folds
from visus.engine import Run
from visus.methods.hyperfusion.config import HyperFusionConfig, check
from visus.methods.hyperfusion.estimator.ensemble import Ensemble, Mode
from visus.methods.hyperfusion.estimator.fusion import HyperFusion
from visus.methods.hyperfusion.estimator.scores import evaluate_prediction
from visus.methods.hyperfusion.estimator.targets import as_prediction, from_prediction, name
from visus.protocols import Prediction, Scores


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """One model per fold, and what each said of the items it had not seen."""

    members: list[HyperFusion]
    fold_scores: list[Scores]
    """Scores of each fold's held-out items."""
    prediction: Prediction
    """Held-out predictions of all items, in the table's order."""
    scores: Scores
    """Scores of `prediction` as a whole, with intervals."""

    def ensemble(self, mode: Mode = "entropy") -> Ensemble:
        """The members as one model, for new items; its score on the same items would be too good."""
        return Ensemble(self.members, mode=mode)


def cross_validate(
    config: HyperFusionConfig, data: ImageTable, *, count: int = 5, run: Run | None = None
) -> CrossValidation:
    """Train on all folds but one, in turn; folds keep groups whole and class shares alike.

    Each fold's preprocessing and choice of epoch use its training rows only. Folds are runs inside `run`
    (`fold-1`, ...), so an interrupted cross-validation resumes.
    """
    check(config)
    run = run or Run(progress=False)
    targets: list[Any] = data.targets
    config = _with_all_classes(config, targets)
    members: list[HyperFusion] = []
    fold_scores: list[Scores] = []
    rows: list[torch.Tensor] = []
    places: list[torch.Tensor] = []
    for i, (train, test) in enumerate(folds(targets, data.groups, count, run.seed)):
        model = HyperFusion(config).fit(data.subset(train), run.child(f"fold-{i + 1}"))
        held = data.subset(test)
        prediction = model.predict(held)
        members.append(model)
        fold_scores.append(evaluate_prediction(model.targets_, prediction, held.targets, intervals=False))
        rows.append(from_prediction(model.targets_, prediction))
        places.append(test)
    order = torch.cat(places).argsort()
    whole = as_prediction(members[0].targets_, torch.cat(rows)[order])
    scores = evaluate_prediction(members[0].targets_, whole, targets, groups=data.groups)
    return CrossValidation(members=members, fold_scores=fold_scores, prediction=whole, scores=scores)


def _with_all_classes(config: HyperFusionConfig, targets: list[Any]) -> HyperFusionConfig:
    """Name the classes, so that a fold without a rare one still has its column."""
    import dataclasses

    from visus.methods.hyperfusion.estimator.targets import Targets, is_regression

    if config.classes or is_regression(targets, config.task):
        return dataclasses.replace(config, task="regression") if not config.classes else config
    classes = Targets.learn(
        [name(value) for value in targets], [], dataclasses.replace(config, task="classification")
    )
    return dataclasses.replace(config, task="classification", classes=classes.classes)
