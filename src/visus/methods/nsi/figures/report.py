"""The figures of the report: measures from the evidence, pictures from what a trial left in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from visus.methods.nsi.claims.samples import Samples, read_samples
from visus.methods.nsi.figures.charts import draw_recalls, draw_scores
from visus.methods.nsi.figures.pictures import Found, Scene, draw_grounding, draw_retrieval
from visus.protocols import Figure, PaperEvidence

MEASURES = {
    "program_to_image@10": "pictures by program, recall@10",
    "image_to_program@10": "programs by picture, recall@10",
    "crowd_program_to_image@10": "crowded pictures by program",
    "crowd_image_to_program@10": "programs by crowded picture",
    "few_shot": "few-shot accuracy",
    "fg_ari": "discovery, FG-ARI",
}
CHANCE = {"few_shot": 1 / 3, "fg_ari": 0.0}
SHOWN, PLACES = 24, 5


def figures(paper: PaperEvidence) -> list[Figure]:
    """What `paper` measured by arm, and what its first interpreter did with pictures."""
    table: dict[str, dict[str, list[float]]] = {}
    for evidence in paper.claims:
        if evidence.claim.experiment == "alignment" and evidence.claim.metric in MEASURES:
            seen = table.setdefault(MEASURES[evidence.claim.metric], {})
            for arm, values in evidence.arms.items():
                if any(math.isfinite(value) for value in values):
                    seen[arm] = list(values)
    table = {MEASURES[name]: table[MEASURES[name]] for name in MEASURES if table.get(MEASURES[name])}
    if not table:
        return []
    samples = read_samples(paper.folders.get("alignment/nsi/0"))
    return [recall_figure(table), *(example_figures(samples) if samples is not None else [])]


def recall_figure(table: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Every measure of the experiment by arm."""
    return Figure(
        name="nsi-measures",
        svg=draw_recalls(table, chance={MEASURES[name]: value for name, value in CHANCE.items()}),
        caption="What every arm reaches: marks are seeds, strokes their means, dotted lines chance (0.005 for plain "
        "retrieval among 2,000). Crowded scenes have six objects, equal ones touching, and slots for four.",
        caption_zh="各方法的结果：标记为随机种子，竖线为均值，虚线为随机水平（2,000 个候选的普通检索为 0.005）。"
        "拥挤场景有六个物体（相同者相互接触），但只有四个槽。",
    )


def example_figures(samples: Samples) -> list[Figure]:
    """What the first interpreter of the claims did with pictures of its gallery."""
    return [grounding_figure(samples), *retrieval_figures(samples)]


def grounding_figure(samples: Samples) -> Figure:
    """Plain and crowded scenes with the slots of their objects."""
    scenes = [
        Scene(image=image / np.float32(255), slots=slots, objects=objects, carried=carried)
        for image, slots, objects, carried in zip(
            samples.scenes, samples.slots, samples.scene_objects, samples.carried
        )
    ]
    return Figure(
        name="nsi-grounding",
        svg=draw_grounding(scenes),
        caption="Which slot carries which object, after short training: pictures, the decoder's masks in "
        "the colors of the slots that were chosen (gray: none), and programs, each line by its slot. After so few "
        "steps one slot may still paint most of a picture. Below, scenes with more objects than slots: several "
        "objects share one.",
        caption_zh="短训练之后，哪个槽承载哪个物体：图像、解码器掩码（颜色对应被选中的槽，灰色为未选中）"
        "以及按槽标注的程序各行。训练步数很少时，一个槽仍可能描绘大部分画面。"
        "下方为物体多于槽的场景：多个物体共用一个槽。",
    )


def retrieval_figures(samples: Samples) -> list[Figure]:
    """Searches that succeeded and that failed, and the matrix of scores."""
    table, count = samples.table, len(samples.images)
    order = np.argsort(-table.T, axis=1, kind="stable")
    rank = (order == np.arange(count)[:, None]).argmax(axis=1)
    spread = np.argsort(rank, kind="stable")
    searches = []
    for query in (int(spread[i]) for i in (0, count // 8, count // 2)):
        first = order[query, :PLACES].tolist()
        searches.append(
            Found(
                query=samples.objects[query],
                images=[samples.images[i] / np.float32(255) for i in first],
                right=first.index(query) if query in first else None,
                rank=int(rank[query]) + 1,
            )
        )
    shown = min(SHOWN, count)
    return [
        Figure(
            name="nsi-retrieval",
            svg=draw_retrieval(searches),
            caption=f"Pictures found by their programs among {count}: the query that went best, one at an eighth "
            "and the median one. Green frames the right picture.",
            caption_zh=f"在 {count} 幅图像中用程序检索：最成功的查询、位于前八分之一处的查询和中位查询。"
            "绿框为正确图像。",
        ),
        Figure(
            name="nsi-scores",
            svg=draw_scores(table[:shown, :shown]),
            caption="Scores of pictures (rows) with programs (columns), each row from its lowest to its highest. "
            "A column of one shade throughout is a program that all pictures score alike: sums over programs of "
            "different length are not on one scale.",
            caption_zh="图像（行）与程序（列）的得分，每行按自身最低到最高着色。"
            "整列颜色一致表示所有图像对该程序的得分相近：不同长度程序的得分之和不在同一尺度上。",
        ),
    ]
