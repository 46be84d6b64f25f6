"""Staged against joint training under two budgets, gaze against none, and the controls."""

from __future__ import annotations

from typing import Any

from visus.methods.chestxray.claims.statements.making import better

_BUDGETS = {
    "total": ("as many updates in all", "总更新次数相同"),
    "module": ("as many updates of every module", "每个模块的更新次数相同"),
}
_RIVALS = {
    "joint": (
        "the same network trained jointly from scratch",
        "从头联合训练的同一网络",
    ),
    "mtunet": ("MT-UNet", "MT-UNet"),
}
_MEASURES = {"auc_macro": ("AUC", "auc", 0.01), "cc": ("correlation with the reader's gaze (CC)", "cc", 0.02)}
_STARVED: dict[str, str] = {
    "caveat": "Stages share a fixed number of updates, so that every stage gets few; the paper trains each to its own "
    "early stop.",
    "caveat_zh": "各阶段分享固定的更新次数，每个阶段都偏少；论文中每个阶段各自训练到早停。",
}

STAGES = (
    *(
        better(
            f"staged-{budget}-over-{rival}-{short}",
            (f"staged_{budget}", rival),
            metric,
            effect,
            statement=f"With {given}, staged training beats {against}: {name} is higher by {effect}.",
            statement_zh=f"在{given_zh}的条件下，分阶段训练优于{against_zh}：{short.upper()} 至少高 {effect}。",
            **(_STARVED if budget == "total" else {}),
        )
        for budget, (given, given_zh) in _BUDGETS.items()
        for rival, (against, against_zh) in _RIVALS.items()
        for metric, (name, short, effect) in _MEASURES.items()
    ),
    better(
        "staged-module-over-joint-kl",
        ("staged_module", "joint"),
        "kl",
        0.95,
        comparison="ratio",
        direction="lower",
        statement="With as many updates of every module, staged training's divergence from the reader's gaze (KL) is "
        "at most 0.95 times that of joint training.",
        statement_zh="每个模块的更新次数相同时，分阶段训练与读者注视的 KL 散度至多为联合训练的 0.95 倍。",
    ),
)

_SAME = "One dense encoder, the same number of epochs."
_SAME_ZH = "同一稠密编码器，相同的训练轮数。"

GAZE = (
    better(
        "gaze-helps-diagnosis",
        ("joint", "dense"),
        "auc_macro",
        0.01,
        statement="Learning the reader's gaze beside the diagnosis raises AUC above the classifier alone (by 0.01).",
        statement_zh="在诊断之外同时学习读者注视，AUC 高于单独的分类器（至少 0.01）。",
        caveat=f"{_SAME} The joint network also has a second encoder, so that a gain is not gaze's alone.",
        caveat_zh=f"{_SAME_ZH}联合网络还多一个编码器，增益不全来自注视。",
    ),
    better(
        "staged-over-classifier",
        ("staged_module", "dense"),
        "auc_macro",
        0.01,
        statement="The staged network diagnoses better than the dense classifier alone: AUC is higher by 0.01.",
        statement_zh="分阶段训练的网络诊断优于单独的稠密分类器：AUC 至少高 0.01。",
    ),
)


def _control(id: str, pair: tuple[str, str], metric: str, effect: float, **rest: Any) -> Any:
    return better(id, pair, metric, effect, origin="ours", **rest)


_GAZE_ARMS = {
    "joint": ("The jointly trained network", "联合训练的网络"),
    "staged_module": ("The staged network", "分阶段训练的网络"),
    "mtunet": ("MT-UNet", "MT-UNet"),
}
CONTROLS = (
    *(
        _control(
            f"{arm.replace('_', '-')}-over-mean-map",
            (arm, "mean_map"),
            "cc",
            0.05,
            statement=f"{name} foretells where readers look better than the training images' mean map: CC is higher by "
            "0.05.",
            statement_zh=f"{name_zh}对注视位置的预测优于训练集平均图：CC 至少高 0.05。",
        )
        for arm, (name, name_zh) in _GAZE_ARMS.items()
    ),
    _control(
        "joint-over-center",
        ("joint", "center"),
        "auc_judd",
        0.02,
        statement="The jointly trained network beats a Gaussian fitted to the training gaze: Judd's AUC is higher by "
        "0.02.",
        statement_zh="联合训练的网络优于由训练注视拟合的高斯图：Judd AUC 至少高 0.02。",
    ),
    _control(
        "true-gaze-over-shuffled",
        ("joint", "shuffled"),
        "cc",
        0.05,
        statement="Gaze that belongs to its image teaches more than gaze dealt out anew among the training images: CC "
        "is higher by 0.05.",
        statement_zh="与图像对应的注视比在训练图像之间打乱的注视更有用：CC 至少高 0.05。",
    ),
    _control(
        "shuffled-is-mean-map",
        ("shuffled", "mean_map"),
        "cc",
        0.05,
        direction="equal",
        statement="A network that learned shuffled gaze knows no more than the mean map: CC agrees within 0.05.",
        statement_zh="学习了打乱注视的网络并不比平均图知道得更多：CC 相差不超过 0.05。",
        caveat="A short training may leave the network below the mean map.",
        caveat_zh="训练过短时，网络可能低于平均图。",
    ),
    _control(
        "true-gaze-helps-diagnosis",
        ("joint", "shuffled"),
        "auc_macro",
        0.01,
        statement="It is the gaze itself that helps the diagnosis: with shuffled gaze AUC is lower by 0.01.",
        statement_zh="有助于诊断的正是注视本身：打乱后 AUC 至少低 0.01。",
    ),
)
