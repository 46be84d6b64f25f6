"""The figures of the report: what every arm of every experiment reached, and decisions that a trial left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visus.drawing import Mark, draw_marks, seed_marks
from visus.methods.vgloss.figures.evidence import draw_evidence
from visus.protocols import Evidence, Figure, PaperEvidence

NAMES = {
    "name": "bare name",
    "template": "one template",
    "ensemble": "templates together",
    "ensemble7": "seven templates",
    "synonyms": "synonyms",
    "gloss": "definition",
    "hypernym": "name and kind",
    "semantic": "name, kind, definition",
    "semantic4": "the same in four sentences",
    "waffle": "random words (control)",
    "cupl4": "CuPL, four sentences",
    "dclip4": "DCLIP, four descriptors",
    "lexical": "sentences without a model",
    "both": "both together",
    "shuffled": "another class's texts (control)",
    "chils": "names of sub-classes",
    "smollm2": "SmolLM2, semantic prompt",
    "smollm2_plain": "SmolLM2, name alone",
    "attributes": "attributes",
    "swapped": "contrastive, swapped (control)",
    "follow_up": "second look at the best classes",
}
"""Arm -> what a reader is shown; others are shown by their own name."""
MEASURES = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "prototype_top1": "class prototypes found",
    "pair_accuracy": "accuracy between confusable classes",
    "leakage": "texts naming another class",
    "duplicates": "texts that are there twice",
    "distinctness": "distinctness of the classes' texts",
    "visual_share": "texts with something visible",
}
DECISIONS = "decisions.json"
"""What a trial may leave in its folder: a list of objects with `label`, `runner_up`, `evidence` (objects with `name`,
`text`, `similarity`, `effect`) and optionally `target`."""
MOST_DECISIONS = 2


def figures(paper: PaperEvidence) -> list[Figure]:
    """One figure per experiment and measure of `paper` with two arms or more, and decisions of its first trials."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for evidence in paper.claims:
        if not evidence.claim.exact:
            key = (evidence.claim.experiment, evidence.claim.metric)
            groups.setdefault(key, {}).update(_finite(evidence))
    made = [
        _figure(paper, experiment, metric, arms)
        for (experiment, metric), arms in groups.items()
        if len(arms) > 1
    ]
    return [*made, *_decisions(paper.folders)]


@dataclass(frozen=True)
class _Sentence:
    name: str
    text: str
    similarity: float
    effect: float


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
    shown = sorted(seed_marks(arms), key=lambda arm: -arm.value)
    named = [
        Mark(name=NAMES.get(arm.name, arm.name.replace("_", " ")), value=arm.value, seeds=arm.seeds)
        for arm in shown
    ]
    title, title_zh = about.get("title") or experiment.replace("_", " "), about.get("title_zh") or experiment
    return Figure(
        name=f"vgloss-{experiment}-{metric}".replace("_", "-"),
        svg=draw_marks(named, what=what, percent=metric in MEASURES),
        caption=f"{title}: {what} by arm. Marks are seeds, strokes their means.",
        caption_zh=f"{title_zh}：各方法的 {metric}。标记为随机种子，竖线为均值。",
    )


def _decisions(folders: Mapping[str, Path]) -> list[Figure]:
    """Sentences that decided, from the first trial that left some."""
    from visus.records import read_json

    for trial, folder in sorted(folders.items()):
        if not (Path(folder) / DECISIONS).is_file():
            continue
        plain = read_json(Path(folder) / DECISIONS)
        return [_decision(each, number, trial) for number, each in enumerate(plain[:MOST_DECISIONS], 1)]
    return []


def _decision(plain: Mapping[str, Any], number: int, trial: str) -> Figure:
    sentences = [
        _Sentence(each["name"], each["text"], float(each["similarity"]), float(each["effect"]))
        for each in plain["evidence"]
    ]
    label, other, target = plain["label"], plain["runner_up"], plain.get("target")
    right = "" if target is None else " (right)" if target == label else f" (it is a {target})"
    right_zh = "" if target is None else "（正确）" if target == label else f"（实际为 {target}）"
    return Figure(
        name=f"vgloss-decision-{number}",
        svg=draw_evidence(sentences, label=label, other=other, called={label: label, other: other}),
        caption=f"A picture taken for {label}{right}, not for {other}: what each sentence did for the decision "
        f"(trial {trial}).",
        caption_zh=f"一幅图像被判为 {label}{right_zh} 而非 {other}：各句描述对决定的作用（试验 {trial}）。",
    )
