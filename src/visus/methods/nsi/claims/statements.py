"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured.

Recall is a share from 0 to 1. A gallery of 2,000 with one right answer is answered at random with recall@10 of
0.005 and recall@1 of 0.0005.
"""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SHORT = (
    "A small network without pretrained features and a short training: in the demo preset all arms stay near the "
    "floor. On clean scenes attributes taught directly, or one vector for the whole picture, may train faster."
)
_SHORT_ZH = (
    "小网络、无预训练特征、训练很短：在 demo 预设中各方法都接近下限。"
    "在干净的场景中，直接监督属性或整图单一向量可能学得更快。"
)
_CROWD = "The matching baseline is scored leniently: objects beyond its slots cost as much as its average matched one."
_CROWD_ZH = "对匹配基线的评分较宽松：超出槽数的物体按已匹配物体的平均代价计算。"
_MASKS = (
    "Slots that learn from raw pixels of textured scenes may not separate into objects; the paper's slots explain "
    "features of a pretrained network."
)
_MASKS_ZH = "直接从带纹理场景的像素学习的槽未必能分离物体；论文中的槽解释的是预训练网络的特征。"
_FEW = (
    "The classes need two attributes of two objects each; with so few pictures all arms may stay near chance."
)
_FEW_ZH = "类别取决于两个物体各自的两个属性；图像如此之少时，各方法可能都接近随机水平。"

_LAWS = {
    "loop_error": (
        "score-is-its-formula",
        "The score equals the loops of its formula: every primitive takes its best slot, what they take is summed.",
        "得分等于公式的逐项循环：每个原语取最佳槽，再求和。",
    ),
    "hungarian_above_max": (
        "max-not-below-hungarian",
        "Letting primitives share slots never scores below the best one-to-one assignment.",
        "允许多个原语共用一个槽，得分不会低于最优一对一匹配。",
    ),
    "duplicate_error": (
        "duplicates-add",
        "An object told twice adds exactly its best similarity again: many primitives may rest on one slot.",
        "同一物体写两次，恰好再加一次其最佳相似度：多个原语可以落在同一个槽上。",
    ),
    "one_slot_error": (
        "one-slot-sums",
        "With one slot the score is the sum of its similarities.",
        "只有一个槽时，得分是其相似度之和。",
    ),
    "slot_order_error": (
        "slots-are-a-set",
        "The order of the slots does not matter.",
        "槽的顺序无关紧要。",
    ),
    "object_order_error": (
        "programs-are-a-set",
        "The order of the objects in a program does not matter: the encoder has no positions.",
        "程序中物体的顺序无关紧要：编码器没有位置编码。",
    ),
    "padding_error": (
        "padding-counts-nothing",
        "Padded primitives contribute exactly nothing.",
        "填充的原语贡献恰好为零。",
    ),
    "extra_rows_error": (
        "padding-is-not-seen",
        "More padding leaves the vectors of the real primitives unchanged.",
        "增加填充不会改变真实原语的向量。",
    ),
    "loser_gradient": (
        "only-winners-learn",
        "A slot that no primitive chose gets no gradient from the score.",
        "未被任何原语选中的槽不会从得分得到梯度。",
    ),
    "equal_scores_excess": (
        "log-b-at-start",
        "With equal scores the contrastive loss is log B.",
        "得分全部相等时，对比损失为 log B。",
    ),
    "transposed_loss_change": (
        "loss-is-symmetric",
        "Exchanging pictures and programs leaves the contrastive loss unchanged.",
        "交换图像与程序，对比损失不变。",
    ),
    "round_trips_lost": (
        "programs-round-trip",
        "All of 1,000 random scenes come back from their XML text unchanged.",
        "1,000 个随机场景写成 XML 再读回，全部不变。",
    ),
}
_OURS = (
    "round_trips_lost",
    "extra_rows_error",
    "loser_gradient",
    "equal_scores_excess",
    "transposed_loss_change",
)


def _claim(id: str, pair: tuple[str, str], metric: str, effect: float, **rest: Any) -> Claim:
    """`pair`: candidate and reference; a difference, the candidate higher unless told otherwise."""
    settings: dict[str, Any] = {
        "experiment": "alignment",
        "direction": "higher",
        "caveat": _SHORT,
        "caveat_zh": _SHORT_ZH,
        **rest,
    }
    candidate, reference = pair
    return Claim(
        id=id, candidate=candidate, reference=reference, metric=metric, smallest_effect=effect, **settings
    )


LAWS = tuple(
    Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        experiment="laws",
        candidate="built",
        reference="stated",
        metric=metric,
        direction="equal",
        smallest_effect=0.0,
        exact=True,
        origin="ours" if metric in _OURS else "paper",
    )
    for metric, (id, statement, statement_zh) in _LAWS.items()
)

_RIVALS = {
    "hmc": ("Hungarian set prediction", "匈牙利集合预测"),
    "pooled": ("one pooled vector per picture and program", "图像与程序各用一个池化向量"),
}
_WAYS = {
    "program_to_image": ("pictures by their program", "用程序检索图像"),
    "image_to_program": ("programs by their picture", "用图像检索程序"),
}
RETRIEVAL = tuple(
    _claim(
        f"{experiment}-{way.replace('_', '-')}-over-{rival}",
        ("nsi", rival),
        f"{way}@{cut}",
        0.02,
        experiment=experiment,
        statement=f"Finding {found} among 2,000, the interpreter's recall@{cut} is above that of {against} (by 0.02).",
        statement_zh=f"在 2,000 个候选中{found_zh}，解释器的 recall@{cut} 高于{against_zh}（至少 0.02）。",
    )
    for experiment, cut in (("alignment", 10), ("parts", 1))
    for rival, (against, against_zh) in _RIVALS.items()
    for way, (found, found_zh) in _WAYS.items()
)
MANY_TO_ONE = tuple(
    _claim(
        f"{experiment}-crowd-{way.replace('_', '-')}",
        ("nsi", "hmc"),
        f"crowd_{way}@{cut}",
        0.02,
        experiment=experiment,
        statement=f"Where six objects, equal ones touching, share four slots, finding {found}, the interpreter's "
        f"recall@{cut} is above that of Hungarian set prediction (by 0.02).",
        statement_zh=f"六个物体（相同者相互接触）只有四个槽时，{found_zh}，解释器的 recall@{cut} "
        "高于匈牙利集合预测（至少 0.02）。",
        caveat=f"{_SHORT} {_CROWD}",
        caveat_zh=f"{_SHORT_ZH}{_CROWD_ZH}",
    )
    for experiment, cut in (("alignment", 10), ("parts", 1))
    for way, (found, found_zh) in _WAYS.items()
)
DISCOVERY = tuple(
    _claim(
        f"discovery-{metric.replace('_', '-')}",
        ("nsi", "ungrounded"),
        metric,
        0.02,
        statement=f"Slots grounded in programs segment objects better than slots that only reconstruct: {name} of "
        "the decoder's masks is higher by 0.02.",
        statement_zh=f"以程序对齐的槽比只做重建的槽更好地分割物体：解码器掩码的 {name} 至少高 0.02。",
        caveat=_MASKS,
        caveat_zh=_MASKS_ZH,
    )
    for metric, name in (("fg_ari", "FG-ARI"), ("mbo", "mBO"))
)
FEW_SHOT = tuple(
    _claim(
        f"few-shot-over-{rival}",
        ("nsi", rival),
        "few_shot",
        0.05,
        experiment=experiment,
        statement=f"From a few pictures per class, grounded slots classify scenes better than {against} (by 5 points).",
        statement_zh=f"每类只有少量图像时，对齐后的槽比{against_zh}分类更准（至少高 5 个百分点）。",
        caveat=_FEW,
        caveat_zh=_FEW_ZH,
        origin="ours" if rival == "random" else "paper",
    )
    for rival, experiment, against, against_zh in (
        ("ungrounded", "alignment", "slots that only reconstruct", "只做重建的槽"),
        ("hmc", "alignment", "slots of Hungarian set prediction", "匈牙利集合预测的槽"),
        ("random", "alignment", "slots of an untrained network", "未训练网络的槽"),
        ("patches", "parts", "patch tokens", "图像块特征"),
    )
)
CONTROLS = (
    _claim(
        "alignment-is-learned",
        ("nsi", "random"),
        "program_to_image@10",
        0.02,
        statement="The interpreter finds pictures by their programs better than an untrained one does (recall@10 "
        "among 2,000, by 0.02; chance is 0.005).",
        statement_zh="解释器用程序检索图像优于未训练的网络（2,000 个候选中 recall@10 至少高 0.02；随机为 0.005）。",
        origin="ours",
    ),
    _claim(
        "colors-are-used",
        ("nsi", "random"),
        "color_use",
        0.02,
        statement="Dealing out the colors of the programs anew costs the interpreter recall@10 (by 0.02 more than an "
        "untrained one): it looks at colors.",
        statement_zh="打乱程序中的颜色会降低解释器的 recall@10（比未训练网络多降 0.02）：它确实使用颜色。",
        origin="ours",
    ),
)
_PARTS = {
    "hungarian": (
        "one slot per primitive inside the score",
        "得分内一对一匹配",
        "crowd_program_to_image@1",
        "recall@1 of crowded pictures",
        "拥挤图像的 recall@1",
    ),
    "no_transformer": (
        "primitives that do not see their scene",
        "原语之间互不可见",
        "program_to_image@1",
        "recall@1 of pictures",
        "图像检索 recall@1",
    ),
    "no_position": ("a schema without positions", "不含位置的模式", "fg_ari", "FG-ARI", "FG-ARI"),
    "no_reconstruction": (
        "the score alone, without reconstruction",
        "只用得分而不重建",
        "program_to_image@1",
        "recall@1 of pictures",
        "图像检索 recall@1",
    ),
    "boxes": (
        "features inside the true boxes",
        "真实边框内的特征",
        "program_to_image@1",
        "recall@1 of pictures",
        "图像检索 recall@1",
    ),
}
PARTS = tuple(
    _claim(
        f"parts-against-{arm.replace('_', '-')}",
        ("nsi", arm),
        metric,
        0.02,
        experiment="parts",
        statement=f"The interpreter is better than with {changed}: {what} is higher by 0.02.",
        statement_zh=f"解释器优于{changed_zh}：{what_zh} 至少高 0.02。",
        origin="ours" if arm == "no_reconstruction" else "paper",
    )
    for arm, (changed, changed_zh, metric, what, what_zh) in _PARTS.items()
) + (
    _claim(
        "parts-no-position-below-ungrounded",
        ("no_position", "ungrounded"),
        "fg_ari",
        0.0,
        experiment="parts",
        direction="lower",
        statement="Grounding without positions makes discovery worse than no grounding (FG-ARI).",
        statement_zh="不含位置的对齐使物体发现比不对齐更差（FG-ARI）。",
        caveat=_MASKS,
        caveat_zh=_MASKS_ZH,
    ),
)

CLAIMS = LAWS + RETRIEVAL + MANY_TO_ONE + DISCOVERY + FEW_SHOT + CONTROLS + PARTS
