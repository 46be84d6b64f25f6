"""How one cell of an experiment (an arm with a seed) is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from visus.methods.nsi.claims.data import SIZES, Size, scenes_of
from visus.methods.nsi.claims.statements import LAWS
from visus.protocols import Run, Scores, Trial

if TYPE_CHECKING:
    from visus.methods.nsi.baselines import Grounded


def measure_laws(trial: Trial, run: Run) -> Scores:
    """`stated`: no deviation; `built`: the largest that this implementation shows."""
    if trial.arm == "stated":
        return {claim.metric: 0.0 for claim in LAWS}
    from visus.methods.nsi.claims.laws import deviations

    return deviations(run, trial.seed)


def measure_alignment(trial: Trial, run: Run) -> Scores:
    """Train one arm and ask it everything it can answer; the first interpreter also leaves pictures to draw."""
    return measured(
        trial.arm, SIZES[trial.preset], trial.seed, run, keep=trial.arm == "nsi" and trial.seed == 0
    )


def measured(arm: str, size: Size, seed: int, run: Any, *, keep: bool = False) -> Scores:
    """Scores of one arm; all arms of a seed see the same pictures, queries and classes.

    With `keep` (grounded arms only) the run's folder gets what the report's figures show.
    """
    from visus.methods.nsi.claims.contest import compete
    from visus.methods.nsi.claims.samples import keep_samples
    from visus.methods.nsi.claims.scoring import color_use, discovery, few_shot, retrieval

    contender = compete(arm, size, seed, run)
    if keep:
        keep_samples(cast("Grounded", contender), size, seed, run.folder)
    scores = few_shot(contender, size, seed)
    gallery = scenes_of("gallery", size, seed)
    if contender.discovers:
        scores |= discovery(contender, gallery, size.queries)
    if contender.retrieves:
        scores |= retrieval(contender, gallery, size.queries)
        scores |= retrieval(contender, scenes_of("crowd", size, seed), size.queries, "crowd_")
        scores["color_use"] = color_use(contender, gallery, size.queries, seed)
    return scores
