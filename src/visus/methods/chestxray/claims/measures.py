"""How one cell of an experiment (an arm with a seed) is measured."""

from __future__ import annotations

from typing import Any

from visus.methods.chestxray.claims.arms import PRETRAINED, SIZES
from visus.protocols import Run, Scores, Trial


def measure_laws(trial: Trial, run: Run) -> Scores:
    """`stated`: what the laws say; `built`: what this implementation does."""
    from visus.methods.chestxray.claims.laws import STATED, measured

    return dict(STATED) if trial.arm == "stated" else measured(run)


def measure_contest(trial: Trial, run: Any) -> Scores:
    """Train one arm and score it on the seed's test images; the first seed leaves some of them to be drawn."""
    from visus.methods.chestxray.claims.contest import compete
    from visus.methods.chestxray.claims.data import parts

    size = SIZES[trial.preset]
    train, test = parts(size, trial.seed)
    return compete(trial.arm, train, test, size, run, keep=trial.seed == 0)


def measure_pretrained(trial: Trial, run: Any) -> Scores:
    """The same with a small dense encoder, for some arms after training it on other labels of other images."""
    from visus.methods.chestxray.claims.contest import compete
    from visus.methods.chestxray.claims.data import parts
    from visus.methods.chestxray.claims.pool import pretrained_encoder

    size = SIZES[trial.preset]
    weights = pretrained_encoder(size, run) if trial.arm in PRETRAINED else None
    train, test = parts(size, trial.seed)
    return compete(
        trial.arm, train, test, size, run.child("contest"), keep=False, small=True, weights=weights
    )
