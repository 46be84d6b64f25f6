"""Networks trained by us, a world whose truth is known, and the concepts that a network misses."""

from __future__ import annotations

from typing import Any

from visus.methods.alignment.claims.statements.making import better

_PAPER: dict[str, Any] = {"origin": "paper"}
_SMALL = {
    "experiment": "objective",
    "metric": "accuracy",
    "caveat": "Three-layer networks on made-up pictures, trained briefly, and an observer of four attributes whose "
    "weights are ours.",
    "caveat_zh": "在合成图片上短暂训练的三层网络，以及由我们设定四种属性权重的观察者。",
}
_WORLD = {"experiment": "planted", "metric": "accuracy"}

OBJECTIVE = (
    *(
        better(
            f"width-does-not-matter-{objective}",
            (f"{objective}_wide", f"{objective}_narrow"),
            effect=0.05,
            direction="equal",
            statement=f"Four times the parameters make no difference to a {told} network: accuracy agrees within 0.05.",
            statement_zh=f"参数增至四倍对{told_zh}网络没有影响：准确率相差不超过 0.05。",
            **_PAPER,
            **_SMALL,
        )
        for objective, told, told_zh in (
            ("supervised", "supervised", "监督学习"),
            ("simclr", "self-supervised (SimCLR)", "自监督（SimCLR）"),
        )
    ),
    better(
        "width-does-not-matter-random",
        ("random_wide", "random_narrow"),
        effect=0.05,
        direction="equal",
        origin="ours",
        statement="Nor does width matter to an untrained network: accuracy agrees within 0.05.",
        statement_zh="宽度对未训练的网络也没有影响：准确率相差不超过 0.05。",
        **_SMALL,
    ),
    better(
        "objective-matters-random",
        ("supervised_narrow", "random_narrow"),
        effect=0.05,
        statement="The objective matters: a supervised network is closer to the observer than an untrained one, "
        "accuracy is higher by 0.05.",
        statement_zh="训练目标很重要：监督网络比未训练的网络更接近观察者，准确率至少高 0.05。",
        **_PAPER,
        **_SMALL,
    ),
    better(
        "objective-matters-simclr",
        ("supervised_narrow", "simclr_narrow"),
        effect=0.03,
        statement="The objective matters: a supervised network is closer to the observer than a self-supervised one, "
        "accuracy is higher by 0.03.",
        statement_zh="训练目标很重要：监督网络比自监督网络更接近观察者，准确率至少高 0.03。",
        **_PAPER,
        **_SMALL,
    ),
    better(
        "data-matter",
        ("supervised_narrow", "supervised_other"),
        effect=0.03,
        statement="The data matter: a network supervised on such pictures is closer to the observer than one "
        "supervised on digits, accuracy is higher by 0.03.",
        statement_zh="数据很重要：在此类图片上监督训练的网络比在手写数字上训练的更接近观察者，准确率至少高 0.03。",
        **_PAPER,
        **_SMALL,
    ),
)

PLANTED = (
    *(
        better(
            f"planted-{arm.replace('_', '-')}-recovers",
            (arm, "hidden"),
            effect=0.95,
            comparison="ratio",
            statement=f"Where the truth is a linear map away, {told} finds it: its accuracy on unseen objects is at "
            "least 0.95 times that of the hidden embedding.",
            statement_zh=f"当真相只差一个线性映射时，{told_zh}能找到它："
            "其在未见物体上的准确率至少为隐藏嵌入的 0.95 倍。",
            **_WORLD,
        )
        for arm, told, told_zh in (
            ("probe", "the probe", "探针"),
            ("ridge", "ridge regression", "岭回归"),
        )
    ),
    better(
        "planted-zero-shot-is-far",
        ("probe", "zero_shot"),
        effect=0.1,
        statement="There the features as they are stay far behind the probe: its accuracy is higher by 0.1.",
        statement_zh="此时原始特征远落后于探针：探针的准确率至少高 0.1。",
        **_WORLD,
    ),
    better(
        "planted-identity-probe-helps",
        ("probe_identity", "zero_shot"),
        effect=0.1,
        statement="And behind the probe pulled toward the identity: its accuracy is higher by 0.1.",
        statement_zh="也远落后于趋向单位阵的探针：其准确率至少高 0.1。",
        **_WORLD,
    ),
)

CONCEPTS = (
    better(
        "food-and-animals-are-seen",
        ("food_animal", "other"),
        "error",
        0.03,
        direction="lower",
        experiment="concepts",
        statement="Some concepts are represented better than others: where food or animals decide a triplet, the "
        "error is lower by 0.03 than elsewhere.",
        statement_zh="某些概念的表征优于其他概念：当由食物或动物决定三元组时，误差至少低 0.03。",
        caveat="One network on 546 concepts that ImageNet has photographs of, with more kinds of animals than of "
        "anything else; choices are VICE's.",
        caveat_zh="一个网络、546 个 ImageNet 有照片的概念，其中动物种类最多；选择来自 VICE。",
        **_PAPER,
    ),
)
