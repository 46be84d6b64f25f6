"""How one cell of an experiment (an arm with a seed) is measured."""

from __future__ import annotations

from typing import Any

from visus.methods.alignment.claims.arms import SIZES, planted_settings
from visus.methods.alignment.claims.samples import SHOWN, keep_concepts, keep_matrices
from visus.protocols import Run, Scores, Trial


def measure_laws(trial: Trial, run: Run) -> Scores:
    """`stated`: what the laws say; `built`: what this implementation does."""
    from visus.methods.alignment.claims.laws import STATED, measured

    return dict(STATED) if trial.arm == "stated" else measured(run)


def measure_human(trial: Trial, run: Any) -> Scores:
    """One arm on texts of the THINGS objects, judged by people's own choices and by VICE's."""
    from visus.methods.alignment.claims.contest import compete
    from visus.methods.alignment.claims.data import described

    size = SIZES[trial.preset]
    objects = described(run.cache, definitions=size.definitions, seed=run.seed)
    return compete(trial.arm, objects, size, size.partitions, run)


def measure_images(trial: Trial, run: Any) -> Scores:
    """One arm on photographs of the THINGS objects, judged by VICE's choices."""
    from visus.methods.alignment.claims.contest import compete
    from visus.methods.alignment.claims.data import photographed

    size = SIZES[trial.preset]
    return compete(trial.arm, photographed(seed=run.seed), size, size.photo_partitions, run)


def measure_transfer(trial: Trial, run: Any) -> Scores:
    """A transform learned on photographs, on pictures that others judged; the first seed leaves its matrices."""
    from visus.methods.alignment.claims.transfer import picture_scores

    scores, matrices = picture_scores(trial.arm, SIZES[trial.preset], run)
    if trial.seed == 0 and trial.arm in SHOWN:
        keep_matrices(run.folder, matrices)
    return scores


def measure_words(trial: Trial, run: Any) -> Scores:
    """A transform learned on the objects' names, on pairs of words that others judged."""
    from visus.methods.alignment.claims.transfer import word_scores

    return word_scores(trial.arm, SIZES[trial.preset], run)


def measure_objective(trial: Trial, run: Any) -> Scores:
    """A small network trained by us, judged by a made-up observer."""
    from visus.methods.alignment.claims.objective import measured

    return measured(trial.arm, SIZES[trial.preset], run)


def measure_planted(trial: Trial, run: Any) -> Scores:
    """One arm on a world whose truth is known, judged on unseen objects."""
    from visus.data.worlds.concepts import odd_one_out
    from visus.methods.alignment.claims.contest import accuracy
    from visus.methods.alignment.estimator import Aligner

    size = SIZES[trial.preset]
    train, test = (
        odd_one_out(part, seed=run.seed, objects=size.objects, triplets=size.planted)
        for part in ("train", "test")
    )
    rows = test.triplets.numpy()
    if trial.arm == "zero_shot":
        return {"accuracy": accuracy(test.features, "cosine", rows)}
    if trial.arm == "hidden":
        assert test.reference is not None
        return {"accuracy": accuracy(test.reference, "dot", rows)}
    model = Aligner(planted_settings(trial.arm, size)).fit(train, run)
    return {"accuracy": accuracy(model.transform(test.features), "dot", rows)}


def measure_concepts(trial: Trial, run: Any) -> Scores:
    """Error of the features as they are where food or animals decide, or elsewhere."""
    from visus.methods.alignment.claims.data import vice
    from visus.methods.alignment.claims.gaps import (
        concept_rows,
        dimension_errors,
        food_or_animal,
        group_error,
    )

    table, upper = dimension_errors(SIZES[trial.preset], run.seed)
    chosen = food_or_animal(vice())
    if trial.seed == 0 and trial.arm == "food_animal":
        keep_concepts(run.folder, concept_rows(table, upper, chosen))
    return {"error": group_error(table, chosen if trial.arm == "food_animal" else ~chosen)}
