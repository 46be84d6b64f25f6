"""The figures of the report: scores come from the evidence, roll-outs from what trials left in their folders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from visus.data.formats.arrays import read_arrays
from visus.methods.statm.figures.charts import draw_costs, draw_scores
from visus.methods.statm.figures.paths import draw_paths
from visus.methods.statm.figures.strips import draw_strip
from visus.protocols import Figure, PaperEvidence

NAMES: Mapping[str, str] = {
    "copy": "copy",
    "same_speed": "same speed",
    "mlp": "MLP, one frame",
    "savi": "SAVi block, one frame",
    "lstm": "LSTM per slot",
    "as": "AS, all frames",
    "as_time": "AS, all frames, with time",
    "cs": "CS, all frames",
    "cs_2": "CS, two frames",
    "cs_time": "CS, all frames, with time",
    "sum": "CS: space + time",
    "space_then_time": "CS: space, then time",
    "time_then_space": "CS: time, then space",
    "shared_residual": "CS: one shared residual",
    "buffer_1": "CS, current frame only",
    "buffer_2": "CS, two frames",
    "buffer_6": "CS, six frames",
    "buffer_2_time": "CS, two frames, with time",
    "all_time": "CS, all frames, with time",
    "all_sin": "CS, all frames, with sines",
    "slotformer": "SlotFormer, 4 layers",
    "ocvp": "OCVP, 4 layers",
}
VIDEO_NAMES: Mapping[str, str] = {
    "savi": "SAVi",
    "cs": "STATM (CS)",
    "cs_time": "CS with time",
    "as": "STATM (AS)",
}
PATHS = ("savi", "cs", "cs_time")
TOKEN_SCORES = {"one_step": "error of one step", "roll_out": "error over 6 steps"}
VIDEO_SCORES = {
    "fg_ari": "FG-ARI",
    "miou_after": "IoU after hiding",
    "lost_after": "frames lost after hiding",
}
Values = Mapping[str, Sequence[float]]


def figures(paper: PaperEvidence) -> list[Figure]:
    """Figures of the experiments that `paper` measured."""
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for evidence in paper.claims:
        known = {
            arm: list(values) for arm, values in evidence.arms.items() if any(map(math.isfinite, values))
        }
        if known:
            metrics = table.setdefault(evidence.claim.experiment, {})
            metrics.setdefault(evidence.claim.metric, {}).update(known)
    drawn = []
    if "tokens" in table:
        drawn += [tokens_figure("tokens", table["tokens"]), *filter(None, [paths_figure(paper.folders)])]
    if "designs" in table:
        drawn.append(tokens_figure("designs", table["designs"]))
    if table.keys() & {"operations", "time"}:
        drawn.append(costs_figure())
    if "occlusion" in table:
        drawn += [occlusion_figure(table["occlusion"]), scene_figure()]
    return drawn


def tokens_figure(experiment: str, table: Mapping[str, Values]) -> Figure:
    """Errors of every arm on colliding balls."""
    panels = {
        label: ordered(table[metric], NAMES) for metric, label in TOKEN_SCORES.items() if metric in table
    }
    return Figure(
        name=f"statm-{experiment}",
        svg=draw_scores(panels, names=NAMES, unlearned=("copy", "same_speed")),
        caption="Colliding balls as tokens of place and identity, no speed: root mean square error of a coordinate, "
        "in widths of the box. Dots are seeds, strokes their means; gray is not learned.",
        caption_zh="以位置和身份（不含速度）为标记的碰撞小球：坐标的均方根误差，单位为方盒边长。"
        "圆点为随机种子，竖线为均值；灰色为无需学习的方法。",
    )


def ordered(values: Values, names: Mapping[str, str]) -> dict[str, Sequence[float]]:
    """Arms in the order of their names."""
    return {arm: values[arm] for arm in sorted(values, key=list(names).index)}


def paths_figure(folders: Mapping[str, Path]) -> Figure | None:
    """Roll-outs that three predictors left, on an ordinary clip and on one that fails; None where they left none."""
    from visus.methods.statm.claims.balls import RADIUS
    from visus.methods.statm.claims.tokens import CONTEXT

    files = {NAMES[arm]: folders.get(f"tokens/{arm}/0", Path()) / "paths.npz" for arm in PATHS}
    if not all(file.exists() for file in files.values()):
        return None
    kept = {name: read_arrays(file) for name, file in files.items()}
    foretold = {name: arrays["foretold"] for name, arrays in kept.items()}
    best = kept[NAMES["cs_time"]]
    clips = best["clips"]
    error = np.square(best["foretold"] - clips[:, CONTEXT:]).mean(axis=(1, 2, 3))
    order = np.argsort(error, kind="stable")
    chosen = [int(order[len(order) // 2]), int(order[-1])]
    return Figure(
        name="statm-paths",
        svg=draw_paths(
            [clips[i, :CONTEXT] for i in chosen],
            [clips[i, CONTEXT:] for i in chosen],
            {name: [paths[i] for i in chosen] for name, paths in foretold.items()},
            radius=RADIUS,
        ),
        caption="Roll-outs of 6 steps after 8 frames (thin). Thick: what came; dots and rings: what was foretold. "
        f"Above the median clip of the memory with positions in time, below its worst of {len(clips)}: collisions are "
        "where it fails.",
        caption_zh="看 8 帧（细线）后推演 6 步。粗线为真实轨迹，圆点和圆环为预测。"
        f"上：带时间位置编码的记忆的中位数片段；下：{len(clips)} 个片段中它最差的一个，失败都发生在碰撞处。",
    )


def costs_figure() -> Figure:
    """What a step of every kind of predictor costs."""
    from visus.methods.statm.baselines import build_predictor

    kinds = {
        "SAVi block": build_predictor("savi", 128),
        "CS": build_predictor("statm", 128),
        "CS, memory projected again": build_predictor("statm", 128, cache=False),
        "AS": build_predictor("statm", 128, time="all"),
        "OCVP, 4 layers": build_predictor("ocvp_seq", 128),
        "all slots of all frames, 1 layer": build_predictor("slotformer", 128, buffer=96, layers=1),
    }
    return Figure(
        name="statm-costs",
        svg=draw_costs(kinds),
        caption="11 slots of 128 numbers. A CS step with kept projections costs almost the same whatever the memory "
        "holds. Its memory grows with the frames, twice as fast as where the slots themselves are kept; reading the "
        "whole history anew makes every step dearer. SAVi's block remembers nothing.",
        caption_zh="11 个 128 维的槽。保存投影的 CS 每步代价几乎不随记忆增长，而记忆随帧数线性增长，"
        "是只保存槽的方法的两倍；每步重读全部历史则越来越贵。SAVi 模块没有记忆。",
    )


def occlusion_figure(table: Mapping[str, Values]) -> Figure:
    """Scores of whole video models."""
    panels = {
        label: ordered(
            {arm: values for arm, values in table[metric].items() if arm in VIDEO_NAMES}, VIDEO_NAMES
        )
        for metric, label in VIDEO_SCORES.items()
        if metric in table
    }
    return Figure(
        name="statm-occlusion",
        svg=draw_scores(panels, names=VIDEO_NAMES),
        caption="Video models on scenes with occluders: FG-ARI of whole videos, IoU of an object's own slot in the "
        "frames after it was hidden (higher is better), and the share of these frames in which another slot covers "
        "it (lower is better). Dots are seeds.",
        caption_zh="带遮挡场景的视频模型：整段视频的 FG-ARI、物体被遮挡后其自身槽的 IoU（越高越好），"
        "以及遮挡后被其他槽占据的帧的比例（越低越好）。圆点为随机种子。",
    )


def scene_figure(size: int = 64) -> Figure:
    """Of some videos of the world the one that shows most of its objects, and its truth."""
    from visus.data.worlds.scenes import SceneVideos

    videos = SceneVideos(12, size=size, seed=100, part="test", objects=(3, 3))
    clip = max(
        (videos.read(i) for i in range(len(videos))), key=lambda clip: int((clip["visibility"] > 0).sum())
    )
    return Figure(
        name="statm-scene",
        svg=draw_strip(clip["video"], {"truth": clip["segmentation"]}),
        caption="A test video: an object vanishes behind the panel and comes out again.",
        caption_zh="一段测试视频：物体消失在挡板后，随后再次出现。",
    )
