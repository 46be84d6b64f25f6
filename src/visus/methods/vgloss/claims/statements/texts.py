"""Texts of real classes: structured meaning against names, random words, published texts and a small language model."""

from __future__ import annotations

from visus.methods.vgloss.claims.statements.making import compared
from visus.protocols import Claim

_PROXY = (
    "Not a CLIP: texts are mapped to a picture space that was trained on all these classes; a few hundred photographs, "
    "the same in all seeds. The paper's own descriptions are not public."
)
_PROXY_ZH = "并非 CLIP：文本被映射到在全部这些类别上训练过的图像空间；仅数百张照片，且各种子相同。论文的描述并未公开。"
_LANGUAGE = (
    "A very small language model, quantized to 4 bits, few classes per seed; the paper's was far larger."
)
_LANGUAGE_ZH = "这是最小的语言模型，量化为 4 位，每个种子类别很少；论文使用的模型大得多。"
_NAMES = {
    "name": ("bare names", "仅名称"),
    "template": ("one template", "单一模板"),
    "gloss": ("definitions alone", "仅释义"),
    "hypernym": ("name and kind", "名称加上位词"),
    "semantic": ("name, kind and definition", "名称、上位词与释义"),
    "semantic4": ("name, kind and definition in four sentences", "四句表达的名称、上位词与释义"),
    "cupl4": ("four CuPL sentences", "四句 CuPL 描述"),
    "dclip4": ("four DCLIP descriptors", "四条 DCLIP 描述"),
    "lexical": ("sentences written without a model", "无模型生成的句子"),
    "both": ("dictionary entry and CuPL averaged", "词典条目与 CuPL 的平均"),
    "chils": ("names of sub-classes", "子类名称"),
    "synonyms": ("all synonyms", "全部同义词"),
    "waffle": ("random words", "随机词"),
    "ensemble7": ("seven templates", "七个模板"),
    "shuffled": ("another class's kind and definition", "其他类别的上位词与释义"),
    "smollm2": ("sentences of SmolLM2 from the dictionary entry", "SmolLM2 由词典条目写出的描述"),
    "smollm2_plain": ("its sentences from the name alone", "它仅由名称写出的描述"),
}
_METRICS = {
    "top1": ("find more photographs of unseen classes", "找到更多未见类别的照片"),
    "prototype_top1": ("find more visual prototypes of unseen classes", "找到更多未见类别的视觉原型"),
}


def _above(
    candidate: str,
    reference: str,
    effect: float,
    *,
    metric: str = "top1",
    experiment: str = "proxy",
    **rest: str,
) -> Claim:
    (one, one_zh), (other, other_zh) = _NAMES[candidate], _NAMES[reference]
    (what, what_zh), language = _METRICS[metric], experiment == "language"
    return compared(
        f"{experiment}-{candidate}-over-{reference}".replace("_", "-"),
        (candidate, reference),
        metric,
        effect,
        (
            f"{one[0].upper()}{one[1:]} {what} than {other} (by {effect:g}).",
            f"{one_zh}比{other_zh}{what_zh}（至少高 {effect:g}）。",
        ),
        experiment=experiment,
        caveat=_LANGUAGE if language else _PROXY,
        caveat_zh=_LANGUAGE_ZH if language else _PROXY_ZH,
        **rest,
    )


def _equal(candidate: str, reference: str, effect: float) -> Claim:
    (one, one_zh), (other, other_zh) = _NAMES[candidate], _NAMES[reference]
    return compared(
        f"proxy-{candidate}-equals-{reference}",
        (candidate, reference),
        "top1",
        effect,
        (
            f"With {one}, as many photographs of unseen classes are found as with {other} (within {effect:g}).",
            f"{one_zh}与{other_zh}找到的未见类别照片一样多（相差不超过 {effect:g}）。",
        ),
        experiment="proxy",
        direction="equal",
        caveat=_PROXY,
        caveat_zh=_PROXY_ZH,
    )


PROXY = (
    _above("semantic", "template", 0.04, origin="paper"),
    _above("gloss", "name", 0.02),
    _above("hypernym", "name", 0.02),
    _equal("waffle", "name", 0.02),
    compared(
        "proxy-shuffled-below-name",
        ("shuffled", "name"),
        "top1",
        0.5,
        (
            "With another class's kind and definition, at most 0.5 times as many photographs are found as with names.",
            "使用其他类别的上位词与释义时，找到的照片至多为仅用名称时的 0.5 倍。",
        ),
        experiment="proxy",
        direction="lower",
        comparison="ratio",
        caveat=_PROXY,
        caveat_zh=_PROXY_ZH,
    ),
    _above("cupl4", "template", 0.02),
    _above("dclip4", "template", 0.02),
    _above("semantic4", "cupl4", 0.0, origin="paper"),
    _above("semantic4", "dclip4", 0.0, origin="paper"),
    _above("both", "semantic", 0.005),
    _above("both", "cupl4", 0.01),
    _above("lexical", "template", 0.04),
    _above("chils", "name", 0.0),
    _equal("ensemble7", "template", 0.02),
)
LANGUAGE = (
    _above("smollm2", "name", 0.02, metric="prototype_top1", experiment="language", origin="paper"),
    _above("smollm2", "smollm2_plain", 0.02, metric="prototype_top1", experiment="language", origin="paper"),
    _above("semantic", "smollm2", 0.02, metric="prototype_top1", experiment="language"),
)
