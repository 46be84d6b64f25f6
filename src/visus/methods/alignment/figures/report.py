"""The figures of the report: what every arm of every experiment reached, from the evidence alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from visus.drawing import Band, Mark, draw_marks, seed_marks
from visus.methods.alignment.figures.trials import trial_figures
from visus.protocols import Evidence, Figure, PaperEvidence

NAMES = {
    "chance": "guessing",
    "random": "untrained network",
    "pixels": "raw pixels",
    "zero_shot": "zero-shot",
    "cosine": "zero-shot, cosine",
    "dot": "zero-shot, dot product",
    "centered": "zero-shot, centered",
    "center": "zero-shot, centered",
    "probe": "linear probe",
    "probe_fro": "probe, Frobenius norm",
    "probe_fro2": "probe, squared Frobenius",
    "probe_identity": "probe, toward the identity",
    "glocal": "gLocal",
    "ridge": "ridge to the reference",
    "reference": "reference (upper model)",
    "vice": "reference (VICE)",
    "ceiling": "noise ceiling",
}
"""Arm -> what a reader is shown; others are shown by their own name."""
MEASURES = {
    "accuracy": "odd-one-out accuracy",
    "accuracy_human": "accuracy on people's own choices",
    "accuracy_vice": "accuracy on VICE's choices",
    "error": "share of triplets judged wrong",
    "spearman": "Spearman correlation with people",
    "spearman_simlex": "Spearman correlation, nouns of SimLex-999",
    "spearman_wordsim": "Spearman correlation, WordSim-353",
    "pearson": "Pearson correlation with people",
    "r2": "variance of the reference explained (R2)",
    "cross_entropy": "cross-entropy of the choice [nats]",
}
CHANCE = {
    **dict.fromkeys(("accuracy", "accuracy_human", "accuracy_vice"), 1 / 3),
    "error": 2 / 3,
    "cross_entropy": math.log(3),
}
LOWER = ("error", "cross_entropy")
"""Measures of which less is better."""


def figures(paper: PaperEvidence) -> list[Figure]:
    """One figure per experiment and measure in `paper` that has two arms or more with finite values, and those of
    `trial_figures`."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for evidence in paper.claims:
        if evidence.claim.exact:
            continue
        key = (evidence.claim.experiment, evidence.claim.metric)
        groups.setdefault(key, {}).update(_finite(evidence))
    found = [
        _figure(paper, experiment, metric, arms)
        for (experiment, metric), arms in groups.items()
        if len(arms) > 1
    ]
    return [*found, *trial_figures(paper)]


def _finite(evidence: Evidence) -> dict[str, list[float]]:
    return {
        arm: [float(value) for value in values]
        for arm, values in evidence.arms.items()
        if any(math.isfinite(value) for value in values)
    }


def _figure(
    paper: PaperEvidence, experiment: str, metric: str, arms: Mapping[str, Sequence[float]]
) -> Figure:
    about = paper.experiments.get(experiment, {})
    what = MEASURES.get(metric, metric.replace("_", " "))
    title = about.get("title") or experiment.replace("_", " ")
    title_zh = about.get("title_zh") or experiment
    marks = [_named(mark) for mark in seed_marks(arms)]
    if metric in MEASURES:
        marks.sort(key=lambda mark: mark.value if metric in LOWER else -mark.value)
    chance = CHANCE.get(metric)
    bands = [] if chance is None else [Band(name="guessing", low=chance, high=chance, aim=False)]
    return Figure(
        name=f"alignment-{experiment}-{metric}".replace("_", "-"),
        svg=draw_marks(marks, what=what, bands=bands, percent=metric.startswith(("accuracy", "error"))),
        caption=f"{title}: {what} by arm. Marks are seeds, strokes their means.",
        caption_zh=f"{title_zh}：各方法的 {metric}。标记为随机种子，竖线为均值。",
    )


def _named(mark: Mark) -> Mark:
    name = NAMES.get(mark.name, mark.name.replace("_", " "))
    return Mark(name=name, value=mark.value, seeds=mark.seeds)
