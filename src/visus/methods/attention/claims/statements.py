"""The sentences: what the paper asserts, and controls it lacks. Declared before they are measured."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SMALL = "Few seeds and small test sets: one or two points are within the spread between seeds."
_SMALL_ZH = "种子数少、测试集小：一两个百分点的差异在随机种子的波动范围之内。"
_FIXED = (
    "W_A is one map per position: where meaning does not sit at fixed positions there is little to learn."
)
_FIXED_ZH = "W_A 按位置学习一个固定的映射：当语义与位置无关时，可学的内容很少。"
_KERNEL = "Kernels and memory differ between machines; at small sizes overheads hide the saved operations."
_KERNEL_ZH = "不同机器的计算核与内存不同；尺寸很小时，开销会掩盖所节省的运算。"


def _exact(id: str, experiment: str, pair: tuple[str, str], metric: str, **rest: Any) -> Claim:
    candidate, reference = pair
    return Claim(
        id=id,
        experiment=experiment,
        candidate=candidate,
        reference=reference,
        metric=metric,
        exact=True,
        **rest,
    )


def _parity(kind: str, word: str, word_zh: str, experiment: str, data: str, data_zh: str) -> Claim:
    return Claim(
        id=f"{kind}-on-par-{experiment}",
        statement=f"{word} Attention is as accurate as standard attention on {data} (within 3 points).",
        statement_zh=f"在{data_zh}上，{word_zh}注意力与标准注意力一样准确（相差不超过 3 个百分点）。",
        experiment=experiment,
        candidate=kind,
        reference="standard",
        metric="accuracy",
        direction="equal",
        smallest_effect=0.03,
        caveat=_SMALL,
        caveat_zh=_SMALL_ZH,
    )


def _better(id: str, reference: str, statement: str, statement_zh: str, **rest: Any) -> Claim:
    settings: dict[str, Any] = {
        "experiment": "digits",
        "metric": "accuracy",
        "smallest_effect": 0.01,
        "caveat": _FIXED,
        "caveat_zh": _FIXED_ZH,
        **rest,
    }
    return Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        candidate="super",
        reference=reference,
        direction="higher",
        **settings,
    )


EXACT = (
    _exact(
        "optimized-parameters",
        "parameters",
        ("optimized", "standard"),
        "parameters",
        statement="Optimized Attention has three quarters of the parameters of standard attention.",
        statement_zh="优化注意力的参数量是标准注意力的四分之三。",
        direction="lower",
        smallest_effect=0.75,
        comparison="ratio",
    ),
    _exact(
        "efficient-parameters",
        "parameters",
        ("efficient", "standard"),
        "parameters",
        statement="Efficient Attention has half the parameters of standard attention.",
        statement_zh="高效注意力的参数量是标准注意力的一半。",
        direction="lower",
        smallest_effect=0.5,
        comparison="ratio",
    ),
    _exact(
        "super-parameters",
        "parameters",
        ("super", "standard"),
        "parameters",
        statement="Super Attention has a quarter fewer parameters than standard attention when l = d.",
        statement_zh="当序列长度等于宽度时，超级注意力的参数量比标准注意力少四分之一。",
        direction="lower",
        smallest_effect=0.75,
        comparison="ratio",
    ),
    _exact(
        "one-head-lossless",
        "conversion",
        ("efficient", "standard"),
        "distance",
        statement="With one head, the key and value maps can be folded away without changing any output.",
        statement_zh="单头情形下，可以把键映射和值映射合并掉，而不改变任何输出。",
        direction="equal",
        smallest_effect=1e-10,
    ),
    _exact(
        "super-cheaper-below-2d",
        "crossover",
        ("super", "standard"),
        "macs_below",
        statement="Super Attention needs fewer operations than standard attention below length 2 d.",
        statement_zh="输入长度小于 2d 时，超级注意力的运算量少于标准注意力。",
        direction="lower",
        smallest_effect=1.0,
        comparison="ratio",
        origin="ours",
    ),
    _exact(
        "super-same-at-2d",
        "crossover",
        ("super", "standard"),
        "macs_at",
        statement="At length 2 d Super and standard attention need the same number of operations.",
        statement_zh="长度等于 2d 时，超级注意力与标准注意力的运算量相同。",
        direction="equal",
        smallest_effect=0.0,
        origin="ours",
    ),
    _exact(
        "super-dearer-beyond-2d",
        "crossover",
        ("super", "standard"),
        "macs_beyond",
        statement="Beyond length 2 d Super Attention needs more operations than standard attention.",
        statement_zh="长度超过 2d 时，超级注意力的运算量多于标准注意力。",
        direction="higher",
        smallest_effect=1.0,
        comparison="ratio",
        origin="ours",
    ),
)
ACCURACY = (
    _parity("optimized", "Optimized", "优化", "digits", "small digits", "小尺寸手写数字"),
    _parity("efficient", "Efficient", "高效", "digits", "small digits", "小尺寸手写数字"),
    _parity("optimized", "Optimized", "优化", "reviews", "short reviews", "短影评"),
    _parity("efficient", "Efficient", "高效", "reviews", "short reviews", "短影评"),
    _better(
        "super-better-digits",
        "standard",
        "Super Attention is more accurate than standard attention on images of 16 patches (by 1 point).",
        "在 16 个图像块的图像上，超级注意力比标准注意力更准确（至少高 1 个百分点）。",
    ),
    _better(
        "super-better-reviews",
        "standard",
        "Super Attention is more accurate than standard attention on short reviews (by 1 point).",
        "在短影评上，超级注意力比标准注意力更准确（至少高 1 个百分点）。",
        experiment="reviews",
    ),
)
CONTROLS = (
    _better(
        "super-vs-equal-parameters",
        "standard_equal_parameters",
        "Super Attention is more accurate than a standard transformer made equally small.",
        "超级注意力比缩小到相同参数量的标准 Transformer 更准确。",
        origin="ours",
    ),
    _better(
        "learned-vs-frozen-mixing",
        "super_frozen",
        "A learned W_A is better than a random one that is never trained.",
        "可学习的 W_A 优于随机且不训练的 W_A。",
        origin="ours",
    ),
    _better(
        "mixing-inside-vs-after",
        "efficient_mixed",
        "Mixing tokens inside attention is better than the same map after it.",
        "在注意力内部混合词元，优于在注意力之后使用同样的映射。",
        origin="ours",
    ),
    _better(
        "super-vs-no-attention",
        "mixer",
        "Super Attention is better than a network over the tokens without any attention.",
        "超级注意力优于完全不用注意力、只在词元维度上做混合的网络。",
        origin="ours",
        caveat="With tokens at fixed places, mixing by place may be all that is needed.",
        caveat_zh="当词元位置固定时，按位置混合可能已经足够。",
    ),
    _better(
        "super-uses-places",
        "efficient",
        "Super Attention loses accuracy when the tokens of test images are shuffled with their positions, "
        "Efficient does not.",
        "打乱测试图像的词元（连同位置编码）后，超级注意力的准确率下降，而高效注意力不受影响。",
        metric="lost_by_shuffling",
        smallest_effect=0.05,
        origin="ours",
        caveat="A W_A near the identity or near a constant does not depend on places.",
        caveat_zh="若 W_A 接近单位矩阵或常数矩阵，则与位置无关。",
    ),
    _better(
        "super-vs-linformer",
        "linformer",
        "Super Attention is more accurate than attention over shortened keys and values (Linformer).",
        "超级注意力比缩短键和值的注意力（Linformer）更准确。",
        experiment="baselines",
        origin="ours",
    ),
    Claim(
        id="efficient-on-par-mqa",
        statement="Efficient Attention is as accurate as multi-query attention (within 3 points).",
        statement_zh="高效注意力与多查询注意力（MQA）一样准确（相差不超过 3 个百分点）。",
        experiment="baselines",
        candidate="efficient",
        reference="mqa",
        metric="accuracy",
        direction="equal",
        smallest_effect=0.03,
        origin="ours",
        caveat=_SMALL,
        caveat_zh=_SMALL_ZH,
    ),
    Claim(
        id="super-start",
        statement="Whether W_A starts at random or as the identity makes no difference in the end "
        "(within 3 points).",
        statement_zh="W_A 随机初始化或以单位矩阵初始化，最终结果没有差别（相差不超过 3 个百分点）。",
        experiment="baselines",
        candidate="super_eye",
        reference="super",
        metric="accuracy",
        direction="equal",
        smallest_effect=0.03,
        origin="ours",
        caveat=_SMALL,
        caveat_zh=_SMALL_ZH,
    ),
)
SPEED = (
    Claim(
        id="efficient-faster",
        statement="Efficient Attention is at least 1.3 times as fast as fused standard attention "
        "(width 512, 128 tokens).",
        statement_zh="高效注意力的速度至少是融合标准注意力的 1.3 倍（宽度 512，128 个词元）。",
        experiment="speed",
        candidate="efficient",
        reference="standard",
        metric="speedup",
        direction="higher",
        smallest_effect=1.3,
        comparison="ratio",
        caveat=_KERNEL,
        caveat_zh=_KERNEL_ZH,
    ),
    Claim(
        id="optimized-faster",
        statement="Optimized Attention is at least 1.1 times as fast as fused standard attention "
        "(width 512, 128 tokens).",
        statement_zh="优化注意力的速度至少是融合标准注意力的 1.1 倍（宽度 512，128 个词元）。",
        experiment="speed",
        candidate="optimized",
        reference="standard",
        metric="speedup",
        direction="higher",
        smallest_effect=1.1,
        comparison="ratio",
        caveat=_KERNEL,
        caveat_zh=_KERNEL_ZH,
    ),
    Claim(
        id="super-slower-beyond-2d",
        statement="On inputs four times as long as they are wide, Super Attention is slower than standard "
        "attention.",
        statement_zh="当输入长度是宽度的四倍时，超级注意力比标准注意力更慢。",
        experiment="speed",
        candidate="super",
        reference="standard",
        metric="speedup_long",
        direction="lower",
        smallest_effect=1.0,
        comparison="ratio",
        origin="ours",
        caveat=_KERNEL,
        caveat_zh=_KERNEL_ZH,
    ),
)
CLAIMS = (*EXACT, *ACCURACY, *CONTROLS, *SPEED)
