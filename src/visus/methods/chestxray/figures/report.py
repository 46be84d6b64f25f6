"""The figures of the report: measures from the evidence, maps that trials left, and the world they were made in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from visus.methods.chestxray.claims.samples import Samples, read_samples
from visus.methods.chestxray.figures.cases import Case, draw_cases
from visus.methods.chestxray.figures.charts import draw_arms, draw_reliability
from visus.protocols import Figure, PaperEvidence

MEASURES = {"auc_macro": "diagnosis, macro AUC", "cc": "map, CC with the gaze"}
EXPERIMENTS = {
    "stages": (
        "Stages against joint training, with gaze and without, one part changed at a time. Strokes are means over "
        "seeds, dots single seeds.",
        "分阶段与联合训练、有无注视，以及每次只改变一处的比较。竖线为各随机种子的均值，圆点为单个种子。",
    ),
    "large": (
        "On larger images: what the classifier gains from the map's features, and Grad-CAM as a map. Strokes are means "
        "over seeds, dots single seeds.",
        "较大图像上：密度图特征对分类器的作用，以及以 Grad-CAM 作为密度图。竖线为各随机种子的均值，圆点为单个种子。",
    ),
    "pretrained": (
        "Dense encoders that come pre-trained. Strokes are means over seeds, dots single seeds.",
        "预训练的稠密编码器。竖线为各随机种子的均值，圆点为单个种子。",
    ),
}
"""Experiment -> caption in both languages."""
SHOWN = {"joint": "joint", "staged_module": "staged", "mtunet": "MT-UNet", "dense": "Grad-CAM"}
"""Arms whose maps are shown, and the words above them."""
WORLD_SEED, WORLD_SIZE = 81_000, (192, 160)
"""Of radiographs that no claim is measured on."""


def figures(paper: PaperEvidence) -> list[Figure]:
    """What `paper` measured by arm, the maps that its trials left, and radiographs of the world."""
    drawn = [made for name in EXPERIMENTS if (made := arms_figure(paper, name)) is not None]
    left = {arm: read_samples(paper.folders.get(f"stages/{arm}/0")) for arm in SHOWN}
    found = {arm: samples for arm, samples in left.items() if samples is not None and varied(samples)}
    if not drawn:
        return []
    told = found.get("joint")
    return [
        *drawn,
        *([maps_figure(found)] if found else []),
        *([calibration_figure(told)] if told is not None else []),
        world_figure(),
    ]


def arms_figure(paper: PaperEvidence, experiment: str) -> Figure | None:
    """Every arm's AUC and CC in an experiment; None if nothing was measured."""
    table: dict[str, dict[str, list[float]]] = {}
    for evidence in paper.claims:
        claim = evidence.claim
        if claim.experiment == experiment and claim.metric in MEASURES:
            seen = table.setdefault(MEASURES[claim.metric], {})
            for arm, values in evidence.arms.items():
                if any(math.isfinite(value) for value in values):
                    seen[arm] = list(values)
    ordered = {name: table[name] for name in MEASURES.values() if table.get(name)}
    if not ordered:
        return None
    english, chinese = EXPERIMENTS[experiment]
    return Figure(name=f"chestxray-{experiment}", svg=draw_arms(ordered), caption=english, caption_zh=chinese)


def maps_figure(found: Mapping[str, Samples], *, rows: int = 2) -> Figure:
    """Recorded gaze beside each arm's map, on the images that the first arm foretells best and worst."""
    first = next(iter(found.values()))
    order = np.argsort(-agreement(first), kind="stable")
    best, worst = order[:rows], order[rows:][-rows:]
    cases = []
    for row, quality in [*((i, "good") for i in best), *((i, "bad") for i in worst)]:
        values = {arm: agreement(samples)[row] for arm, samples in found.items()}
        told = ", ".join(f"{SHOWN[arm]} {value + 0.0:.2f}" for arm, value in values.items())
        maps = {SHOWN[arm]: samples.predicted[row] for arm, samples in found.items()}
        title = f"{first.classes[first.label[row]]}, {quality} case; CC: {told}"
        cases.append(
            Case(image=first.image[row], maps={"recorded gaze": first.truth[row], **maps}, title=title)
        )
    return Figure(
        name="chestxray-maps",
        svg=draw_cases(cases, side=1.25, dpi=80),
        caption="Test radiographs with the simulated reader's gaze and what each arm expects (Grad-CAM: what the plain "
        "classifier rests on). Two good and two bad cases of the first arm; the line surrounds half of a map.",
        caption_zh="测试胸片、模拟读者的注视，以及各方法的预测（Grad-CAM 为普通分类器的依据区域）。"
        "取第一种方法的两个好例和两个差例；轮廓线内为密度图的一半。",
    )


def calibration_figure(samples: Samples) -> Figure:
    """Whether the jointly trained network's probabilities can be taken at their word."""
    from scipy.special import softmax

    return Figure(
        name="chestxray-calibration",
        svg=draw_reliability(
            samples.test_label, softmax(samples.test_logits, axis=1), samples.test_probabilities, bins=8
        ),
        caption=f"Calibration of the jointly trained network on {len(samples.test_label)} test images: how often it is "
        "right at a stated confidence, before and after the temperature found on validation patients.",
        caption_zh=f"联合训练网络在 {len(samples.test_label)} 张测试图像上的校准：给定置信度下的正确率，"
        "温度缩放（由验证患者求得）前后。",
    )


def world_figure() -> Figure:
    """A radiograph of every class of the world, with fixations as a density map."""
    from visus.data.worlds import torso

    source = torso.make(n=1, n_test=len(torso.CLASSES), size=WORLD_SIZE, seed=WORLD_SEED).test
    targets = [str(target) for target in source.targets]
    batch = source.batch([targets.index(name) for name in torso.CLASSES])
    cases = [
        Case(image=image, maps={"recorded gaze": gaze}, title=name)
        for image, gaze, name in zip(
            batch["image"][:, 0].double().numpy(),
            batch["gaze"].double().numpy(),
            batch["target"],
            strict=True,
        )
    ]
    return Figure(
        name="chestxray-world",
        svg=draw_cases(cases, side=1.6),
        caption="Made-up radiographs, projected from labeled CT volumes, with the gaze of the simulated reader: it "
        "searches the whole chest and dwells on what is abnormal.",
        caption_zh="由带标注的 CT 体数据投影得到的合成胸片，以及模拟读者的注视：先搜索整个胸部，再停留在异常处。",
    )


def varied(samples: Samples) -> bool:
    """Whether the maps tell places apart: Grad-CAM of an image with one cell of features does not."""
    spread = np.ptp(samples.predicted, axis=(1, 2))
    return bool((spread > 1e-3 * samples.predicted.max(axis=(1, 2))).any())


def agreement(samples: Samples) -> np.ndarray:
    """Correlation of every predicted map with the recorded gaze."""
    from visus.metrics import correlation

    return correlation(samples.predicted, samples.truth)
