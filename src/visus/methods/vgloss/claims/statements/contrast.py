"""Contrastive descriptions, and descriptions for a CLIP of our own."""

from __future__ import annotations

from typing import Any

from visus.methods.vgloss.claims.statements.making import compared
from visus.protocols import Claim

_PLANTED = (
    "A world built for this: texts mention few attributes, and one sentence names the one that differs."
)
_PLANTED_ZH = "为此构造的世界：描述只提及少数属性，而对比句恰好说出不同的那一个。"
_LEXICAL = (
    "Sentences written without a language model, from what one dictionary entry says and the other does not; "
    "such differences are often not visible ones."
)
_LEXICAL_ZH = "对比句不经语言模型，由一个词典条目有而另一个没有的内容写成；这些差别往往不可见。"
_CLIP = (
    "A network of our own, trained for seconds on made-up pictures; coined names fall on some kind by chance."
)
_CLIP_ZH = "自训练的网络，在合成图像上只训练数秒；无意义的名称会偶然落在某一类上。"


def _contrast(
    candidate: str, reference: str, metric: str, effect: float, told: tuple[str, str], **rest: Any
) -> Claim:
    return compared(
        f"contrast-{candidate}-{reference}-{metric}".replace("_", "-"),
        (candidate, reference),
        metric,
        effect,
        told,
        experiment="contrast",
        caveat=_PLANTED,
        caveat_zh=_PLANTED_ZH,
        **rest,
    )


def _confusable(
    candidate: str, reference: str, metric: str, effect: float, told: tuple[str, str], **rest: Any
) -> Claim:
    return compared(
        f"confusable-{candidate}-{reference}-{metric}".replace("_", "-"),
        (candidate, reference),
        metric,
        effect,
        told,
        experiment="confusable",
        caveat=_LEXICAL,
        caveat_zh=_LEXICAL_ZH,
        **rest,
    )


def _clip(
    candidate: str, reference: str, metric: str, effect: float, told: tuple[str, str], **rest: Any
) -> Claim:
    return compared(
        f"clip-{candidate}-{reference}-{metric}".replace("_", "-"),
        (candidate, reference),
        metric,
        effect,
        told,
        experiment="clip",
        caveat=_CLIP,
        caveat_zh=_CLIP_ZH,
        **rest,
    )


CONTRAST = (
    _contrast(
        "contrastive",
        "normal",
        "pair_accuracy",
        0.1,
        (
            "In a planted world, contrastive descriptions raise the accuracy between confusable classes (by 0.1).",
            "在构造的世界中，对比描述提高易混类别之间的准确率（至少高 0.1）。",
        ),
        origin="paper",
    ),
    _contrast(
        "contrastive",
        "normal",
        "top1",
        -0.01,
        (
            "They do not lower the accuracy over all classes (difference above -0.01).",
            "它们不降低全部类别上的准确率（差值高于 -0.01）。",
        ),
    ),
    _contrast(
        "swapped",
        "normal",
        "pair_accuracy",
        0.02,
        (
            "On the wrong side of their pair, the same sentences lower it (by 0.02).",
            "把这些句子换到易混对的另一侧，准确率下降（至少低 0.02）。",
        ),
        direction="lower",
    ),
    _contrast(
        "follow_up",
        "normal",
        "pair_accuracy",
        0.05,
        (
            "Used for a second look at the best classes alone, they raise it too (by 0.05).",
            "仅用于对得分最高的类别再次比较时，同样提高准确率（至少高 0.05）。",
        ),
    ),
)
CONFUSABLE = (
    _confusable(
        "both",
        "normal",
        "pair_accuracy",
        0.01,
        (
            "Contrastive sentences beside normal ones raise the accuracy between real classes that are easily confused "
            "(by 0.01).",
            "在普通描述之外加入对比句，提高真实易混类别之间的准确率（至少高 0.01）。",
        ),
        origin="paper",
    ),
    _confusable(
        "both",
        "normal",
        "top1",
        -0.01,
        (
            "They do not lower the accuracy over all these classes (difference above -0.01).",
            "它们不降低全部这些类别上的准确率（差值高于 -0.01）。",
        ),
    ),
    _confusable(
        "swapped",
        "both",
        "pair_accuracy",
        0.01,
        (
            "On the wrong side of their pair, the same sentences are worse (by 0.01).",
            "把这些句子换到易混对的另一侧，准确率更低（至少低 0.01）。",
        ),
        direction="lower",
    ),
)
CLIP = (
    _clip(
        "attributes",
        "name",
        "top1",
        0.1,
        (
            "Descriptions by attributes name pictures of unseen kinds better than their coined names do (by 0.1).",
            "以属性描述未见类别，比无意义的名称分类更准（至少高 0.1）。",
        ),
        origin="paper",
    ),
    _clip(
        "attributes",
        "shuffled",
        "top1",
        0.1,
        (
            "They do so by what they say: another kind's descriptions are worse (by 0.1).",
            "起作用的是内容：换成其他类别的描述则更差（至少低 0.1）。",
        ),
    ),
    _clip(
        "waffle",
        "name",
        "top1",
        0.05,
        (
            "Random words beside the name change nothing (within 0.05).",
            "在名称之外加入随机词没有作用（相差不超过 0.05）。",
        ),
        direction="equal",
    ),
    _clip(
        "contrastive",
        "attributes",
        "pair_accuracy",
        0.0,
        (
            "Contrastive descriptions beside them raise the accuracy between kinds that resemble each other (above 0).",
            "加入对比描述提高相似类别之间的准确率（高于 0）。",
        ),
        origin="paper",
    ),
    _clip(
        "name",
        "chance",
        "top1",
        0.05,
        (
            "Coined names alone are no better than guessing (within 0.05).",
            "仅用无意义的名称与随机猜测无异（相差不超过 0.05）。",
        ),
        direction="equal",
    ),
)
