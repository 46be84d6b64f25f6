"""How one cell of an experiment (an arm with a seed) is measured."""

from __future__ import annotations

from typing import Any

from visus.methods.vgloss.claims.arms import SIZES, WRITTEN
from visus.methods.vgloss.claims.samples import DECIDING, keep_decisions, keep_hits, keep_texts
from visus.protocols import Run, Scores, Trial


def measure_laws(trial: Trial, run: Run) -> Scores:
    """`stated`: what the laws say; `built`: what this implementation does."""
    from visus.methods.vgloss.claims.laws import STATED, measured

    return dict(STATED) if trial.arm == "stated" else measured(run)


def measure_lexicon(trial: Trial, run: Run) -> Scores:
    """The same for what needs WordNet's files."""
    from visus.methods.vgloss.claims.lexicon import STATED, measured

    return dict(STATED) if trial.arm == "stated" else measured()


def measure_proxy(trial: Trial, run: Any) -> Scores:
    """One arm on real photographs; the first seed leaves which classes were found."""
    from visus.methods.vgloss.claims.data import real_classes
    from visus.methods.vgloss.claims.proxy import measured

    size = SIZES[trial.preset]
    scores, hits = measured(trial.arm, size, run)
    if trial.seed == 0:
        keep_hits(run.folder, real_classes(size.classes).names, hits)
    return scores


def measure_language(trial: Trial, run: Any) -> Scores:
    """One arm on the seed's classes, with its texts left beside the scores."""
    from visus.methods.vgloss.claims import language

    size = SIZES[trial.preset]
    if trial.arm in WRITTEN:
        language.ask(trial.seed, size, run.cache)
    scores, texts = language.measured(trial.arm, size, run)
    keep_texts(run.folder, texts, scores)
    return scores


def measure_contrast(trial: Trial, run: Any) -> Scores:
    """One arm in the planted world."""
    from visus.methods.vgloss.claims.contrast import planted_scores

    return planted_scores(trial.arm, SIZES[trial.preset], trial.seed)


def measure_confusable(trial: Trial, run: Any) -> Scores:
    """One arm on the classes that real descriptions leave hardest to tell apart."""
    from visus.methods.vgloss.claims.contrast import confusable_scores

    return confusable_scores(trial.arm, SIZES[trial.preset], run)


def measure_clip(trial: Trial, run: Any) -> Scores:
    """One arm with a small CLIP of our own; the first seed leaves some decisions."""
    from visus.methods.vgloss.claims.clip import decided, measured

    size = SIZES[trial.preset]
    scores, model = measured(trial.arm, size, run)
    if model is not None and trial.seed == 0 and trial.arm == DECIDING:
        keep_decisions(run.folder, decided(model, size, trial.seed))
    return scores
