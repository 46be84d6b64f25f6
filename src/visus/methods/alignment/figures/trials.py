"""Figures of the report that need more than scores: what trials left in their folders, and effects of attributes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from visus.drawing import Mark
from visus.methods.alignment.claims.samples import read_concepts, read_matrices
from visus.methods.alignment.figures.attributes import draw_effects
from visus.methods.alignment.figures.concepts import ConceptMark, draw_concepts
from visus.methods.alignment.figures.matrices import draw_matrices, leaf_order
from visus.protocols import Figure, PaperEvidence

ATTRIBUTES = {"width": "width", "objective": "objective", "data": "data"}
"""First word of a claim's name in experiment `objective` -> the attribute that it changes."""

LEAST = 30
"""Triplets that a concept has to decide to be drawn."""


def trial_figures(paper: PaperEvidence) -> list[Figure]:
    """Concepts, matrices and effects, as far as they were measured and kept."""
    found = (concept_figure(paper.folders), matrix_figure(paper.folders), effect_figure(paper))
    return [figure for figure in found if figure is not None]


def concept_figure(folders: Mapping[str, Path]) -> Figure | None:
    """The best and the worst concepts of the network of experiment `concepts`."""
    rows = [row for row in read_concepts(folders.get("concepts/food_animal/0")) if row["count"] >= LEAST]
    if not rows:
        return None
    marks = [
        ConceptMark(
            name=row["name"],
            error=row["error"],
            interval=None,
            triplets=row["count"],
            reference_error=row["reference_error"],
        )
        for row in rows
    ]
    return Figure(
        name="alignment-concepts-dimensions",
        svg=draw_concepts(marks),
        caption="Where EfficientNet-Lite0 agrees with people and where it does not: errors by the dimension of VICE "
        "that decides a triplet, named by the three objects that have most of it; dimensions that decide "
        f"{LEAST} triplets or more.",
        caption_zh="EfficientNet-Lite0 与人类一致与不一致之处：按决定三元组的 VICE 维度划分的误差，"
        f"维度以其最强的三个物体命名；仅含不少于 {LEAST} 个三元组的维度。",
    )


def matrix_figure(folders: Mapping[str, Path]) -> Figure | None:
    """People's dissimilarities of the judged pictures beside the network's, before and after the transform."""
    kept = {arm: read_matrices(folders.get(f"transfer/{arm}/0")) for arm in ("zero_shot", "ridge")}
    if not all(kept.values()):
        return None
    people = kept["zero_shot"]["people"]
    matrices = {"people": people, "zero-shot": kept["zero_shot"]["arm"], "after ridge": kept["ridge"]["arm"]}
    return Figure(
        name="alignment-transfer-matrices",
        svg=draw_matrices(matrices, order=leaf_order(people)),
        caption="Dissimilarities of the judged pictures as ranks, dark for alike: the mean over people, the network's, "
        "and the network's after the transform learned on THINGS. The order puts beside each other what people "
        "find alike.",
        caption_zh="被判断图片的相异度（以秩表示，深色为相似）：被试均值、网络、以及经 THINGS 上学得的变换后的网络。"
        "排列使人们认为相似的图片相邻。",
    )


def effect_figure(paper: PaperEvidence) -> Figure | None:
    """What width, objective and data of our own networks are worth."""
    marks = [
        Mark(
            name=f"{evidence.claim.candidate} - {evidence.claim.reference}".replace("_", " "),
            value=evidence.effect,
            interval=evidence.interval,
            group=ATTRIBUTES.get(evidence.claim.id.split("-")[0], ""),
        )
        for evidence in paper.claims
        if evidence.claim.experiment == "objective" and evidence.effect is not None
    ]
    if not marks:
        return None
    return Figure(
        name="alignment-objective-effects",
        svg=draw_effects(sorted(marks, key=lambda mark: list(ATTRIBUTES.values()).index(mark.group))),
        caption="What a change of width, objective or data is worth to a small network, in accuracy on the observer's "
        "choices, with intervals over seeds.",
        caption_zh="改变宽度、目标或数据对小网络在观察者选择上的准确率的影响，区间来自随机种子。",
    )
