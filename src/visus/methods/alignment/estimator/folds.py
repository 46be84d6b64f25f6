"""Cross-validation over objects: every judged object was unseen by the map that judges it."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from visus.data.loader import fingerprint
from visus.data.triplets import OddOneOutData, Triplets, object_folds, within
from visus.engine import Run, derive_seed
from visus.errors import InputError
from visus.methods.alignment.config import GRADIENT, AlignmentConfig, check, similarity_of
from visus.methods.alignment.estimator.aligner import Aligner
from visus.methods.alignment.estimator.scores import gain_scores
from visus.metrics.odd_one_out import choices, pair_similarities
from visus.protocols import Scores
from visus.records import to_plain


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """One aligner per fold, what each said of objects it had not seen, and one aligner of all data."""

    members: list[Aligner]
    held: Bool[Tensor, "k m"]
    """Which objects each fold held out."""
    triplets: Int64[Tensor, "n 3"]
    """What was to be judged."""
    scored: Bool[Tensor, " n"]
    """Triplets with all three objects in one fold; the others mix folds and are judged by nobody."""
    similarities: Float[Tensor, "n 3"]
    """Of the pairs of scored triplets, by the fold that had not seen them; zero for the others."""
    zero_shot: Float[Tensor, "n 3"]
    """Cosines of the features as they are."""
    fold_scores: list[Scores]
    scores: Scores
    """Of all scored triplets: see `Aligner.evaluate`."""
    embedding: Float[Tensor, "m d"] | None
    """Ridge: the predicted reference of every object, by the fold that had not seen it."""
    final: Aligner | None
    """Fitted on all data, by gradient with the median number of the folds' steps."""

    @property
    def choices(self) -> Int64[Tensor, " s"]:
        """Position judged odd of every scored triplet, -1 for a tie."""
        return choices(self.similarities[self.scored])


def cross_validate(
    config: AlignmentConfig,
    data: OddOneOutData,
    *,
    folds: int = 3,
    run: Run | None = None,
    judged: Triplets | Int64[Tensor, "n 3"] | None = None,
    refit: bool = True,
) -> CrossValidation:
    """Fit on the objects of all folds but one and judge triplets among the one left out, in turn.

    A fold's aligner sees nothing of the held-out objects, neither triplets nor features nor reference, and chooses
    its step and its penalties on a further part of its own objects. The folds share no state, and the final aligner
    is fitted anew on all data. Folds are runs inside `run` (`fold-1`, ..., `final`), so that an interrupted
    cross-validation goes on where it stopped.

    Paper: 2211.01201, sec. 4 (folds over objects; triplets that mix folds are dropped). Differs: the public code
    saves the map of the last fold, keeps the state of early stopping from one fold to the next and tests the last
    weights instead of the best.

    Parameters
    ----------
    folds : 3 or 4 in the paper; of k folds about 1/k^2 of all triplets are scored.
    judged : other triplets of the same objects to be scored, such as repeated trials; None: those of `data`.
    refit : whether the final aligner is wanted.

    Raises
    ------
    InputError : as `Aligner.fit`; too many folds; no triplet lies within a fold.
    """
    check(config)
    run = run or Run(progress=False)
    record = _record(data, judged)
    parts = object_folds(data.objects, folds, derive_seed(run.seed, "folds"))
    inside = [torch.from_numpy(within(record, held)) for _, held in parts]
    scored = torch.stack(inside).any(0)
    if not scored.any():
        raise InputError(
            f"none of {len(record)} triplets lies within one of {folds} folds of {data.objects} objects",
            file=record.file,
            field="folds",
            remedy="use fewer folds or give more triplets",
        )
    bound = {"method": "alignment", "cross_validation": folds, "config": to_plain(config)}
    run.bind({**bound, "data": fingerprint(data)})
    triplets = torch.as_tensor(record.rows)
    zero_shot = pair_similarities(data.features, triplets, kind="cosine")
    similarities = torch.zeros_like(zero_shot)
    members: list[Aligner] = []
    predicted: list[Tensor] = []
    for number, ((training, _), among) in enumerate(zip(parts, inside), 1):
        model = Aligner(config).fit(data.restricted_to(training), run.child(f"fold-{number}"))
        z = model.transform(data.features)
        similarities[among] = pair_similarities(z, triplets[among], kind=similarity_of(config))
        members.append(model)
        predicted.append(z)
    held = torch.stack([torch.from_numpy(mask) for _, mask in parts])
    return CrossValidation(
        members=members,
        held=held,
        triplets=triplets,
        scored=scored,
        similarities=similarities,
        zero_shot=zero_shot,
        fold_scores=_fold_scores(members, inside, similarities, zero_shot, triplets),
        scores=_scores(members, inside, scored, similarities, zero_shot, triplets),
        embedding=_put_together(predicted, held) if config.aligner == "ridge" else None,
        final=_final(config, data, members, run) if refit else None,
    )


def _record(data: OddOneOutData, judged: Triplets | Tensor | None) -> Triplets:
    if judged is None:
        return data.record
    record = judged if isinstance(judged, Triplets) else Triplets(rows=judged.numpy(), objects=data.objects)
    if record.objects != data.objects:
        raise InputError(
            f"are of {record.objects} objects, the features of {data.objects}",
            file=record.file,
            field="judged",
            remedy="give triplets of the same objects, in the same order",
        )
    return record


def _fold_scores(
    members: list[Aligner], inside: list[Tensor], similarities: Tensor, zero_shot: Tensor, triplets: Tensor
) -> list[Scores]:
    """Scores of every fold that judged something."""
    return [
        gain_scores(similarities[among], zero_shot[among], triplets[among], temperature=model.temperature_)
        for model, among in zip(members, inside)
        if among.any()
    ]


def _scores(
    members: list[Aligner],
    inside: list[Tensor],
    scored: Tensor,
    similarities: Tensor,
    zero_shot: Tensor,
    triplets: Tensor,
) -> Scores:
    """Scores of all folds together; every fold's similarities in units of its own temperature."""
    scaled = similarities.clone()
    for model, among in zip(members, inside):
        scaled[among] /= model.temperature_
    return gain_scores(scaled[scored], zero_shot[scored], triplets[scored])


def _put_together(predicted: list[Tensor], held: Bool[Tensor, "k m"]) -> Float[Tensor, "m d"]:
    found = torch.zeros_like(predicted[0])
    for z, mask in zip(predicted, held):
        found[mask] = z[mask]
    return found


def _final(config: AlignmentConfig, data: OddOneOutData, members: list[Aligner], run: Run) -> Aligner:
    """An aligner of all data: as many steps as the median fold, at the folds' median temperature."""
    changes: dict[str, Any] = {}
    if config.aligner in GRADIENT and config.steps is None:
        changes["steps"] = max(1, statistics.median_low([model.steps_ for model in members]))
    if config.temperature == "fit":
        changes["temperature"] = statistics.median([model.temperature_ for model in members])
    return Aligner(dataclasses.replace(config, **changes)).fit(data, run.child("final"))
