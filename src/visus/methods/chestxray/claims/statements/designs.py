"""One part changed at a time; what needs larger images, and encoders that come pre-trained, on a GPU alone."""

from __future__ import annotations

from typing import Any, TypeAlias

from visus.methods.chestxray.claims.statements.making import better
from visus.protocols import Claim

_OURS: dict[str, Any] = {"origin": "ours"}
_CAM = {
    "caveat": "Grad-CAM has the resolution of the last feature map, 1/32 of the image, and was not made to foretell "
    "gaze. The demo's images leave it one cell, so that it is compared on larger ones alone.",
    "caveat_zh": "Grad-CAM 的分辨率为图像的 1/32，本不是为预测注视而设计；"
    "demo 的图像只剩一个单元，因此仅在较大图像上比较。",
}
_TIE = {"direction": "equal", "origin": "ours"}

_Part: TypeAlias = tuple[str, tuple[str, str], str, float, str, str, dict[str, Any]]

_PARTS: tuple[_Part, ...] = (
    (
        "triplets-help",
        ("staged_module", "staged_no_triplet"),
        "auc_macro",
        0.01,
        "The contrastive stage raises AUC (by 0.01).",
        "对比阶段提高 AUC（至少 0.01）。",
        {},
    ),
    (
        "last-stage-joint-auc",
        ("staged_module", "staged_head"),
        "auc_macro",
        0.01,
        "A last stage that trains everything beats one that trains the head alone: AUC is higher by 0.01.",
        "最后阶段训练全部参数优于只训练头部：AUC 至少高 0.01。",
        _OURS,
    ),
    (
        "last-stage-joint-cc",
        ("staged_module", "staged_head"),
        "cc",
        0.02,
        "A last stage that trains everything also improves the map: CC is higher by 0.02.",
        "最后阶段训练全部参数也改进密度图：CC 至少高 0.02。",
        _OURS,
    ),
    (
        "two-encoders-over-res-se-auc",
        ("joint", "res_se"),
        "auc_macro",
        0.01,
        "Two encoders beat the residual squeeze-and-excitation U-Net alone: AUC is higher by 0.01.",
        "双编码器优于单独的残差挤压激励 U-Net：AUC 至少高 0.01。",
        {},
    ),
    (
        "two-encoders-over-res-se-cc",
        ("joint", "res_se"),
        "cc",
        0.02,
        "Two encoders beat the residual squeeze-and-excitation U-Net alone: CC is higher by 0.02.",
        "双编码器优于单独的残差挤压激励 U-Net：CC 至少高 0.02。",
        {},
    ),
    (
        "map-needs-no-sacrifice",
        ("joint", "unet"),
        "cc",
        0.02,
        "Diagnosing beside it does not change the map: CC agrees with that of a U-Net for gaze alone within 0.02.",
        "同时做诊断不影响密度图：CC 与只预测注视的 U-Net 相差不超过 0.02。",
        _TIE,
    ),
    (
        "uncertainty-or-fixed-auc",
        ("joint", "fixed"),
        "auc_macro",
        0.02,
        "Learned and fixed task weights diagnose alike: AUC agrees within 0.02.",
        "可学习的任务权重与固定权重诊断相当：AUC 相差不超过 0.02。",
        _TIE,
    ),
    (
        "uncertainty-or-fixed-cc",
        ("joint", "fixed"),
        "cc",
        0.02,
        "Learned and fixed task weights give like maps: CC agrees within 0.02.",
        "可学习的任务权重与固定权重的密度图相当：CC 相差不超过 0.02。",
        _TIE,
    ),
    (
        "same-network-without-gaze",
        ("joint", "no_gaze"),
        "auc_macro",
        0.01,
        "The same network, trained without any gaze, diagnoses worse: AUC is lower by 0.01.",
        "同一网络若完全不用注视训练，诊断更差：AUC 至少低 0.01。",
        _OURS,
    ),
    (
        "gaze-as-labels",
        ("gaze_mtl", "dense"),
        "auc_macro",
        0.01,
        "Gaze features as auxiliary labels raise the classifier's AUC (by 0.01).",
        "以注视特征为辅助标签可提高分类器的 AUC（至少 0.01）。",
        _OURS,
    ),
    (
        "maps-over-gaze-labels",
        ("joint", "gaze_mtl"),
        "auc_macro",
        0.01,
        "Gaze as a map helps the diagnosis more than gaze as a few labels: AUC is higher by 0.01.",
        "以密度图形式学习注视比以少量标签形式更有助于诊断：AUC 至少高 0.01。",
        _OURS,
    ),
)
_LARGE: tuple[_Part, ...] = (
    (
        "decoder-helps-diagnosis",
        ("staged_module", "staged_dense_only"),
        "auc_macro",
        0.01,
        "Fusing the decoder's means with the dense features raises AUC above the dense features alone (by 0.01).",
        "将解码器均值与稠密特征融合，AUC 高于只用稠密特征（至少 0.01）。",
        {},
    ),
    (
        "predicted-gaze-over-grad-cam",
        ("joint", "dense"),
        "cc",
        0.1,
        "Predicted gaze follows the reader more closely than the classifier's Grad-CAM: CC is higher by 0.1.",
        "预测的注视比分类器的 Grad-CAM 更接近读者：CC 至少高 0.1。",
        _CAM,
    ),
)


def _declared(parts: tuple[_Part, ...], experiment: str) -> tuple[Claim, ...]:
    return tuple(
        better(
            id,
            pair,
            metric,
            effect,
            experiment=experiment,
            statement=statement,
            statement_zh=statement_zh,
            **more,
        )
        for id, pair, metric, effect, statement, statement_zh, more in parts
    )


DESIGNS = (*_declared(_PARTS, "stages"), *_declared(_LARGE, "large"))

_POOL = {
    "experiment": "pretrained",
    "caveat": "The encoder saw other labels of the same kind of made-up image, not ImageNet.",
    "caveat_zh": "编码器预训练所用的是同类合成影像的其他标签，而非 ImageNet。",
}
_LITE = {
    "experiment": "pretrained",
    "caveat": "Needs the packages with EfficientNet-Lite0 and its ImageNet weights.",
    "caveat_zh": "需要带 ImageNet 权重的 EfficientNet-Lite0 软件包。",
}
PRETRAINED = (
    *(
        better(
            f"pretrained-staged-over-joint-{short}",
            ("pool_staged", "pool_joint"),
            metric,
            effect,
            statement=f"When the dense encoder comes pre-trained, staged training beats joint training: {name} is "
            f"higher by {effect}.",
            statement_zh=f"稠密编码器经过预训练时，分阶段训练优于联合训练：{name} 至少高 {effect}。",
            **_POOL,
        )
        for metric, name, short, effect in (("auc_macro", "AUC", "auc", 0.01), ("cc", "CC", "cc", 0.02))
    ),
    better(
        "pretrained-over-mtunet-auc",
        ("pool_staged", "mtunet"),
        "auc_macro",
        0.01,
        statement="With a pre-trained dense encoder the staged network diagnoses better than MT-UNet: AUC is higher by "
        "0.01.",
        statement_zh="稠密编码器经过预训练时，分阶段网络的诊断优于 MT-UNet：AUC 至少高 0.01。",
        **_POOL,
    ),
    better(
        "pretraining-helps",
        ("pool_joint", "joint"),
        "auc_macro",
        0.01,
        origin="ours",
        statement="Pre-training the dense encoder on other labels raises the AUC of joint training (by 0.01).",
        statement_zh="用其他标签预训练稠密编码器可提高联合训练的 AUC（至少 0.01）。",
        **_POOL,
    ),
    better(
        "imagenet-staged-over-joint",
        ("lite_staged", "lite_joint"),
        "auc_macro",
        0.01,
        statement="With real ImageNet weights (EfficientNet-Lite0) staged training beats joint training: AUC is higher "
        "by 0.01.",
        statement_zh="使用真实 ImageNet 权重（EfficientNet-Lite0）时，分阶段训练优于联合训练：AUC 至少高 0.01。",
        **_LITE,
    ),
    better(
        "imagenet-over-compact",
        ("lite_joint", "joint"),
        "auc_macro",
        0.01,
        origin="ours",
        statement="ImageNet weights raise the AUC of joint training above a small encoder from scratch (by 0.01).",
        statement_zh="ImageNet 权重使联合训练的 AUC 高于从头训练的小编码器（至少 0.01）。",
        **_LITE,
    ),
)
