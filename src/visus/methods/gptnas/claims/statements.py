"""The sentences: what the paper asserts, and the controls it lacks. Declared before they are measured."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SMALL_SPACE = (
    "15,625 cells of six operations: after some 100 evaluations every guided search is near the optimum."
)
_SMALL_SPACE_ZH = "只有 15,625 个六操作单元：约 100 次评估之后，任何有引导的搜索都已接近最优。"
_TRANSFER = (
    "The gain rests on good cells of CIFAR-10 being good elsewhere, and on a prior that was trained long enough: "
    "see the information it reports."
)
_TRANSFER_ZH = "增益依赖于 CIFAR-10 上的好单元在别处也好，并且先验训练充分：请看所报告的先验信息量。"
_NOISE = (
    "Regrowth is also a mutation; whether more of it helps or hurts depends on the rate and on the budget."
)
_NOISE_ZH = "重新生成同时也是一种变异；变异增多是利是弊取决于比率和预算。"
_SHORT = "Small networks on small pictures; few seeds, and differences of a point are within their spread."
_SHORT_ZH = "小网络、小图像、种子数少：一个百分点的差异在随机种子的波动之内。"


def _exact(id: str, metric: str, statement: str, statement_zh: str, **more: Any) -> Claim:
    return Claim(
        id=id,
        statement=statement,
        statement_zh=statement_zh,
        experiment="exact",
        candidate="built",
        reference="stated",
        metric=metric,
        direction="equal",
        smallest_effect=0.0,
        exact=True,
        **more,
    )


def _claim(id: str, pair: tuple[str, str], metric: str, effect: float, **rest: Any) -> Claim:
    """`pair`: candidate and reference; an effect in points of accuracy unless told otherwise."""
    settings: dict[str, Any] = {
        "experiment": "transfer",
        "direction": "higher",
        "origin": "ours",
        "caveat": _TRANSFER,
        "caveat_zh": _TRANSFER_ZH,
        **rest,
    }
    candidate, reference = pair
    return Claim(
        id=id, candidate=candidate, reference=reference, metric=metric, smallest_effect=effect, **settings
    )


def _no_gain(id: str, candidate: str, metric: str, **rest: Any) -> Claim:
    """At most 0.4 % (about 0.3 points) above the plain genetic search; any amount below it satisfies, too."""
    settings: dict[str, Any] = {"caveat": _NOISE, "caveat_zh": _NOISE_ZH, **rest}
    return _claim(id, (candidate, "ga"), metric, 1.004, direction="lower", comparison="ratio", **settings)


EXACT = (
    _exact(
        "rate-begins-at-r0",
        "rate_at_start",
        "The elimination rate begins at 0.4.",
        "淘汰率从 0.4 开始。",
    ),
    _exact(
        "rate-halves-midway",
        "rate_midway",
        "Halfway through the search the elimination rate is 0.2.",
        "搜索进行到一半时，淘汰率为 0.2。",
    ),
    _exact(
        "rate-ends-at-zero",
        "rate_at_end",
        "At the end of the search nothing is eliminated.",
        "搜索结束时不再淘汰任何模块。",
    ),
    _exact(
        "off-is-ga",
        "places_differing",
        "With elimination switched off the search is the plain genetic search: the same architectures in the "
        "same order.",
        "关闭淘汰后，搜索就是普通遗传算法：以相同的顺序评估相同的架构。",
        origin="ours",
    ),
    _exact(
        "budget-kept",
        "overspent",
        "A search never evaluates more different architectures than its budget allows, and none twice.",
        "搜索评估的不同架构数从不超过预算，也从不重复评估。",
        origin="ours",
    ),
    _exact(
        "layer-model-causal",
        "leak_from_later",
        "The layer model's prediction does not depend on later layers, not even in the last bit.",
        "层模型的预测不依赖后面的层，连最后一位都不变。",
    ),
    _exact(
        "layer-model-window",
        "leak_from_beyond",
        "The layer model's prediction does not depend on layers further back than its window of 10.",
        "层模型的预测不依赖窗口（10 层）之外更早的层。",
    ),
)

GAIN = (
    _claim(
        "gpt-gain-cifar100",
        ("gpt", "ga"),
        "cifar100_50",
        0.4,
        statement="Regrowing by a layer model of good CIFAR-10 cells makes the genetic search better by 0.4 "
        "points on CIFAR-100 after 50 evaluations.",
        statement_zh="用 CIFAR-10 好单元训练的层模型来重新生成，使遗传搜索在 CIFAR-100 上 50 次评估后至少高 0.4 "
        "个百分点。",
        origin="paper",
    ),
    _claim(
        "gpt-gain-imagenet",
        ("gpt", "ga"),
        "imagenet_20",
        0.4,
        statement="The same on ImageNet16-120 after 20 evaluations: 0.4 points better.",
        statement_zh="在 ImageNet16-120 上 20 次评估后同样至少高 0.4 个百分点。",
        origin="paper",
    ),
    _claim(
        "gpt-against-random",
        ("gpt", "random"),
        "cifar100_50",
        0.4,
        statement="The search with the layer model is 0.4 points better than random search (CIFAR-100, 50 "
        "evaluations).",
        statement_zh="带层模型的搜索比随机搜索高 0.4 个百分点（CIFAR-100，50 次评估）。",
        origin="paper",
    ),
    _claim(
        "gpt-against-regularized",
        ("gpt", "regularized"),
        "cifar100_50",
        0.4,
        statement="The search with the layer model is 0.4 points better than regularized evolution (CIFAR-100, "
        "50 evaluations).",
        statement_zh="带层模型的搜索比正则化进化高 0.4 个百分点（CIFAR-100，50 次评估）。",
        origin="paper",
    ),
)

LIMITS = (
    _claim(
        "gain-vanishes-imagenet",
        ("gpt", "ga"),
        "imagenet_100",
        0.3,
        direction="equal",
        statement="After 100 evaluations the gain over the genetic search is gone (within 0.3 points, "
        "ImageNet16-120).",
        statement_zh="100 次评估后，相对遗传搜索的增益消失（相差不超过 0.3 个百分点，ImageNet16-120）。",
        caveat=_SMALL_SPACE,
        caveat_zh=_SMALL_SPACE_ZH,
    ),
    _claim(
        "gain-vanishes-cifar100",
        ("gpt", "ga"),
        "cifar100_100",
        0.3,
        direction="equal",
        statement="After 100 evaluations the gain over the genetic search is gone (within 0.3 points, CIFAR-100).",
        statement_zh="100 次评估后，相对遗传搜索的增益消失（相差不超过 0.3 个百分点，CIFAR-100）。",
        caveat=_SMALL_SPACE,
        caveat_zh=_SMALL_SPACE_ZH,
    ),
    _no_gain(
        "weak-filter-no-gain",
        "keep70",
        "cifar100_50",
        statement="With a corpus of the best 70 %, the paper's own share, nothing is gained over the genetic "
        "search (CIFAR-100, 50 evaluations; at most 0.4 %).",
        statement_zh="若语料取最好的 70 %（论文自己的比例），与遗传搜索相比没有增益"
        "（CIFAR-100，50 次评估；不超过 0.4 %）。",
        caveat="The best 70 % of NAS-Bench-201 leave out only cells that hardly learn; a benchmark with a longer "
        "tail of bad cells would make the same share a stronger filter.",
        caveat_zh="NAS-Bench-201 最好的 70 % 只排除了几乎学不到东西的单元；若坏单元更多，同样的比例就是更强的筛选。",
    ),
    _no_gain(
        "regrowth-alone-no-gain",
        "uniform",
        "cifar100_50",
        statement="Regrowing at random, without a prior, gains nothing over the genetic search (CIFAR-100, 50 "
        "evaluations; at most 0.4 %).",
        statement_zh="没有先验的随机重新生成与遗传搜索相比没有增益（CIFAR-100，50 次评估；不超过 0.4 %）。",
    ),
    _claim(
        "null-prior-is-uniform",
        ("null", "uniform"),
        "cifar100_50",
        0.3,
        direction="equal",
        statement="A layer model of all cells, good and bad, is worth as much as regrowing at random (within 0.3 "
        "points).",
        statement_zh="用全部单元（不论好坏）训练的层模型与随机重新生成效果相同（相差不超过 0.3 个百分点）。",
        caveat="All cells together are uniform; a difference would be noise of training, or a flaw in the regrowth.",
        caveat_zh="全部单元合在一起就是均匀分布；若有差异，要么是训练噪声，要么是重新生成有缺陷。",
    ),
    _claim(
        "anti-prior-hurts",
        ("anti", "ga"),
        "cifar100_50",
        0.5,
        direction="lower",
        statement="A layer model of the worst 10 % makes the genetic search worse by 0.5 points: the prior does "
        "steer.",
        statement_zh="用最差 10 % 训练的层模型使遗传搜索变差至少 0.5 个百分点：先验确实在引导搜索。",
    ),
    _claim(
        "sampling-first",
        ("sampling", "gpt"),
        "imagenet_20",
        0.1,
        statement="For the first 20 evaluations drawing whole cells from the layer model is better than searching "
        "with it (by 0.1 points, ImageNet16-120).",
        statement_zh="最初 20 次评估中，直接从层模型采样完整单元优于用它做搜索（至少 0.1 个百分点，ImageNet16-120）。",
        caveat="The search begins with random cells of which 40 % of the operations are regrown.",
        caveat_zh="搜索从随机单元开始，其中只有 40 % 的操作被重新生成。",
    ),
    _claim(
        "search-later",
        ("gpt", "sampling"),
        "imagenet_100",
        0.1,
        statement="After 100 evaluations searching with the layer model is better than drawing from it (by 0.1 "
        "points, ImageNet16-120).",
        statement_zh="100 次评估后，用层模型搜索优于直接从中采样（至少 0.1 个百分点，ImageNet16-120）。",
        caveat=_SMALL_SPACE,
        caveat_zh=_SMALL_SPACE_ZH,
    ),
    _claim(
        "information-of-the-filter",
        ("gpt", "keep70"),
        "information",
        0.15,
        statement="The layer model of the best 10 % knows at least 0.15 nats per operation more than that of the "
        "best 70 %.",
        statement_zh="最好 10 % 的层模型每个操作比最好 70 % 的至少多 0.15 奈特信息。",
    ),
    _claim(
        "information-of-the-weak-filter",
        ("keep70", "null"),
        "information",
        0.05,
        direction="equal",
        statement="The layer model of the best 70 % knows next to nothing more than that of all cells (within 0.05 "
        "nats per operation).",
        statement_zh="最好 70 % 的层模型与全部单元的层模型相比几乎没有更多信息（每个操作相差不超过 0.05 奈特）。",
    ),
    _no_gain(
        "bought-prior-no-gain",
        "bought",
        "cifar100_160",
        experiment="bought",
        statement="A prior bought from the same budget does not pay: 60 random cells, a layer model of the best "
        "20, 100 more evaluations are no better than 160 of the plain genetic search (at most 0.4 %).",
        statement_zh="用同一预算换来的先验不划算：60 个随机单元、用其中最好的 20 个训练层模型、再评估 100 次，"
        "并不优于普通遗传搜索的 160 次评估（不超过 0.4 %）。",
        caveat=_SMALL_SPACE,
        caveat_zh=_SMALL_SPACE_ZH,
    ),
)

TRAINING = (
    _claim(
        "short-training-predicts",
        ("short", "shuffled"),
        "correlation",
        0.6,
        experiment="proxy",
        origin="paper",
        statement="Accuracies after a short training of the regrown blocks alone correlate with those after a long "
        "training of everything (Pearson, 0.6 above chance).",
        statement_zh="只对重新生成的模块做短时训练所得准确率，与完整长时训练的准确率相关（皮尔逊相关比随机高 0.6）。",
        caveat=_SHORT,
        caveat_zh=_SHORT_ZH,
    ),
    _claim(
        "gpt-gain-images",
        ("gpt", "ga"),
        "accuracy",
        0.01,
        experiment="images",
        origin="paper",
        statement="Searching networks of blocks with the layer model of published networks gives a classifier at "
        "least one point better than the plain genetic search.",
        statement_zh="用已发表网络的层模型搜索由模块组成的网络，所得分类器比普通遗传搜索至少高 1 个百分点。",
        caveat=_SHORT,
        caveat_zh=_SHORT_ZH,
    ),
    _claim(
        "prior-not-mutation-images",
        ("gpt", "uniform"),
        "accuracy",
        0.01,
        experiment="images",
        statement="The layer model of published networks is at least one point better than regrowing at random.",
        statement_zh="已发表网络的层模型比随机重新生成至少高 1 个百分点。",
        caveat=_SHORT,
        caveat_zh=_SHORT_ZH,
    ),
)
CLAIMS = (*EXACT, *GAIN, *LIMITS, *TRAINING)
