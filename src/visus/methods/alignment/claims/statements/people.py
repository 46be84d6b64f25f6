"""Against people's judgments: texts and photographs of THINGS, pictures and words that others judged."""

from __future__ import annotations

from typing import Any

from visus.methods.alignment.claims.statements.making import better

_HUMAN, _VICE = "accuracy_human", "accuracy_vice"
_PAPER: dict[str, Any] = {"origin": "paper"}
_TEXT = {
    "experiment": "human",
    "caveat": "One sentence encoder on names and definitions, not a network of images; half of the 1,854 objects "
    "learn, and a split has about 125 of the 1,000 triplets with real trials.",
    "caveat_zh": "使用一个句子编码器处理名称与释义，而非图像网络；1,854 个物体中一半用于学习，"
    "每次划分约有 1,000 个真实三元组中的 125 个。",
}
_PHOTO = {
    "experiment": "images",
    "caveat": "546 concepts at most, one photograph of each ImageNet class; judgments are VICE's, not people's own.",
    "caveat_zh": "至多 546 个概念，每个 ImageNet 类别一张照片；判断来自 VICE 而非人本身。",
}
_PICTURES = {
    "experiment": "transfer",
    "caveat": "One network and 92 pictures; seeds vary the triplets that are learned from, not pictures or people. "
    "The ceilings are of single people, arms are compared with the mean over people.",
    "caveat_zh": "一个网络和 92 幅图片；随机种子只改变学习所用的三元组，不改变图片或被试。"
    "上下限针对单个被试，而各方法与被试均值比较。",
}
_PAIRS = {
    "experiment": "words",
    "caveat": "Single words without context by one sentence encoder; seeds draw the pairs anew with replacement.",
    "caveat_zh": "一个句子编码器处理无上下文的单词；随机种子对词对进行有放回抽样。",
}

HUMAN = (
    better(
        "zero-shot-below-ceiling",
        ("zero_shot", "ceiling"),
        _HUMAN,
        0.05,
        direction="lower",
        statement="Features as they are stay below the noise ceiling of people's own trials: accuracy is lower by "
        "0.05.",
        statement_zh="原始特征低于人类试次的噪声上限：准确率至少低 0.05。",
        **_PAPER,
        **_TEXT,
    ),
    better(
        "probe-helps-on-unseen-objects",
        ("probe", "zero_shot"),
        _VICE,
        0.02,
        statement="A linear map learned from triplets predicts choices among unseen objects better than the features "
        "as they are: accuracy on VICE's choices is higher by 0.02.",
        statement_zh="从三元组学得的线性映射在未见物体上优于原始特征：对 VICE 选择的准确率至少高 0.02。",
        **_PAPER,
        **_TEXT,
    ),
    better(
        "probe-helps-on-real-trials",
        ("probe", "zero_shot"),
        _HUMAN,
        0.02,
        statement="The same map predicts people's own choices among unseen objects better: accuracy is higher by 0.02.",
        statement_zh="同一映射对未见物体上真实人类选择的预测更好：准确率至少高 0.02。",
        **_PAPER,
        **_TEXT,
    ),
    better(
        "ridge-helps-on-real-trials",
        ("ridge", "zero_shot"),
        _HUMAN,
        0.04,
        statement="Ridge regression to VICE predicts people's own choices among unseen objects better than the "
        "features as they are: accuracy is higher by 0.04.",
        statement_zh="对 VICE 的岭回归在未见物体上对真实人类选择的预测优于原始特征：准确率至少高 0.04。",
        **_TEXT,
    ),
    better(
        "identity-probe-helps-on-real-trials",
        ("probe_identity", "zero_shot"),
        _HUMAN,
        0.02,
        statement="A probe pulled toward the identity predicts people's own choices among unseen objects better than "
        "the features as they are: accuracy is higher by 0.02.",
        statement_zh="趋向单位阵的探针在未见物体上对真实人类选择的预测优于原始特征：准确率至少高 0.02。",
        **_TEXT,
    ),
    better(
        "ridge-no-worse-than-probe",
        ("ridge", "probe"),
        _VICE,
        -0.01,
        statement="Ridge regression, in closed form, is no worse than the probe: its accuracy is lower by less than "
        "0.01.",
        statement_zh="闭式的岭回归不比探针差：准确率低不超过 0.01。",
        **_TEXT,
    ),
    better(
        "identity-over-frobenius",
        ("probe_identity", "probe"),
        _VICE,
        0.01,
        statement="Pulling the map toward the identity beats pulling it toward zero: accuracy is higher by 0.01.",
        statement_zh="使映射趋向单位阵优于使其趋向零：准确率至少高 0.01。",
        **_TEXT,
    ),
    better(
        "glocal-helps-on-unseen-objects",
        ("glocal", "zero_shot"),
        _VICE,
        0.02,
        statement="gLocal predicts choices among unseen objects better than the features as they are: accuracy is "
        "higher by 0.02.",
        statement_zh="gLocal 在未见物体上的预测优于原始特征：准确率至少高 0.02。",
        **_TEXT,
    ),
    better(
        "shuffled-reference-does-not-help",
        ("shuffled", "zero_shot"),
        _VICE,
        -0.01,
        direction="lower",
        statement="Ridge regression to VICE with its rows mixed up gains nothing: accuracy is at most 0.01 above the "
        "features as they are.",
        statement_zh="对打乱行的 VICE 做岭回归没有增益：准确率至多比原始特征高 0.01。",
        **_TEXT,
    ),
    better(
        "centering-does-not-hurt",
        ("centered", "zero_shot"),
        _VICE,
        0.0,
        statement="Subtracting the training objects' mean does not lower accuracy (by more than 0).",
        statement_zh="减去训练物体的均值不会降低准确率（下降不超过 0）。",
        **_TEXT,
    ),
    better(
        "cosine-and-dot-alike",
        ("zero_dot", "zero_shot"),
        _VICE,
        0.05,
        direction="equal",
        statement="Comparing by dot product or by cosine makes little difference: accuracy agrees within 0.05.",
        statement_zh="用点积或余弦比较差别不大：准确率相差不超过 0.05。",
        **_TEXT,
    ),
    better(
        "vice-above-ridge",
        ("vice", "ridge"),
        _VICE,
        0.02,
        statement="A linear map does not close the gap: VICE itself is more accurate by 0.02.",
        statement_zh="线性映射不能弥合差距：VICE 自身的准确率至少高 0.02。",
        **_TEXT,
    ),
    better(
        "zero-shot-above-untrained",
        ("zero_shot", "random"),
        _VICE,
        0.05,
        statement="What the encoder learned matters: its accuracy is above that of random features of the same texts "
        "by 0.05.",
        statement_zh="编码器所学很重要：其准确率比同一文本的随机特征至少高 0.05。",
        **_TEXT,
    ),
)

IMAGES = (
    better(
        "images-probe-helps",
        ("probe", "zero_shot"),
        _VICE,
        0.02,
        statement="On photographs a linear map learned from triplets helps on unseen objects: accuracy is higher by "
        "0.02.",
        statement_zh="在照片上，从三元组学得的线性映射对未见物体有帮助：准确率至少高 0.02。",
        **_PAPER,
        **_PHOTO,
    ),
    better(
        "images-identity-probe-helps",
        ("probe_identity", "zero_shot"),
        _VICE,
        0.02,
        statement="On photographs a probe pulled toward the identity helps on unseen objects: accuracy is higher by "
        "0.02.",
        statement_zh="在照片上，趋向单位阵的探针对未见物体有帮助：准确率至少高 0.02。",
        **_PHOTO,
    ),
    better(
        "images-ridge-no-worse-than-probe",
        ("ridge", "probe"),
        _VICE,
        -0.01,
        statement="On photographs ridge regression is no worse than the probe: accuracy is lower by less than 0.01.",
        statement_zh="在照片上，岭回归不比探针差：准确率低不超过 0.01。",
        **_PHOTO,
    ),
    better(
        "images-ridge-helps",
        ("ridge", "zero_shot"),
        _VICE,
        0.05,
        statement="On photographs ridge regression to VICE helps on unseen objects: accuracy is higher by 0.05.",
        statement_zh="在照片上，对 VICE 的岭回归对未见物体有帮助：准确率至少高 0.05。",
        **_PHOTO,
    ),
    better(
        "images-glocal-helps",
        ("glocal", "zero_shot"),
        _VICE,
        0.02,
        statement="On photographs gLocal helps on unseen objects: accuracy is higher by 0.02.",
        statement_zh="在照片上，gLocal 对未见物体有帮助：准确率至少高 0.02。",
        **_PHOTO,
    ),
    better(
        "images-zero-shot-below-vice",
        ("zero_shot", "vice"),
        _VICE,
        0.05,
        direction="lower",
        statement="The network's features as they are stay below the model of people's choices: accuracy is lower by "
        "0.05.",
        statement_zh="网络的原始特征低于人类选择的模型：准确率至少低 0.05。",
        **_PAPER,
        **_PHOTO,
    ),
    better(
        "images-logits-like-penultimate",
        ("logits", "zero_shot"),
        _VICE,
        0.03,
        direction="equal",
        statement="Logits and the layer before them are equally close to people: accuracy agrees within 0.03.",
        statement_zh="logits 与其前一层同样接近人类：准确率相差不超过 0.03。",
        **_PHOTO,
    ),
    better(
        "images-centering-does-not-hurt",
        ("centered", "zero_shot"),
        _VICE,
        0.0,
        statement="On photographs subtracting the training objects' mean does not lower accuracy (by more than 0).",
        statement_zh="在照片上，减去训练物体的均值不会降低准确率（下降不超过 0）。",
        **_PHOTO,
    ),
    better(
        "images-zero-shot-above-noise",
        ("zero_shot", "noise"),
        _VICE,
        0.02,
        statement="The network's features as they are say more than random numbers: accuracy is higher by 0.02.",
        statement_zh="网络的原始特征优于随机数：准确率至少高 0.02。",
        **_PHOTO,
    ),
)

TRANSFER = (
    better(
        "transfer-ridge",
        ("ridge", "zero_shot"),
        "spearman",
        0.02,
        statement="A transform learned on THINGS brings the network closer to other people's judgments of other "
        "pictures: Spearman's correlation is higher by 0.02.",
        statement_zh="在 THINGS 上学得的变换使网络更接近其他人对其他图片的判断：Spearman 相关至少高 0.02。",
        **_PAPER,
        **_PICTURES,
    ),
    better(
        "transfer-identity-probe",
        ("probe_identity", "zero_shot"),
        "spearman",
        0.0,
        statement="So does a probe pulled toward the identity: the correlation is higher (by more than 0).",
        statement_zh="趋向单位阵的探针亦然：相关更高（大于 0）。",
        **_PAPER,
        **_PICTURES,
    ),
    better(
        "transfer-rotation-changes-nothing",
        ("orthogonal", "zero_shot"),
        "spearman",
        1e-4,
        direction="equal",
        statement="A random orthogonal map changes nothing: the correlation agrees within 0.0001.",
        statement_zh="随机正交映射不改变任何结果：相关相差不超过 0.0001。",
        **_PICTURES,
    ),
    better(
        "transfer-shuffled-does-not-help",
        ("shuffled", "zero_shot"),
        "spearman",
        -0.01,
        direction="lower",
        statement="A transform to VICE with its rows mixed up gains nothing: the correlation is at most 0.01 above "
        "the features as they are.",
        statement_zh="学向打乱行的 VICE 的变换没有增益：相关至多比原始特征高 0.01。",
        **_PICTURES,
    ),
    better(
        "transfer-above-untrained",
        ("zero_shot", "random"),
        "spearman",
        0.05,
        statement="A trained network is closer to people than an untrained one: the correlation is higher by 0.05.",
        statement_zh="训练过的网络比未训练的网络更接近人类：相关至少高 0.05。",
        **_PICTURES,
    ),
    better(
        "transfer-above-pixels",
        ("zero_shot", "pixels"),
        "spearman",
        0.05,
        statement="A trained network is closer to people than raw pixels: the correlation is higher by 0.05.",
        statement_zh="训练过的网络比原始像素更接近人类：相关至少高 0.05。",
        **_PICTURES,
    ),
    better(
        "transfer-below-upper-ceiling",
        ("ridge", "ceiling_upper"),
        "spearman",
        0.0,
        direction="lower",
        statement="The transformed network stays below the upper noise ceiling of these people (by more than 0).",
        statement_zh="变换后的网络仍低于这些被试的噪声上限（差距大于 0）。",
        **_PICTURES,
    ),
    better(
        "transfer-zero-shot-below-lower-ceiling",
        ("zero_shot", "ceiling_lower"),
        "spearman",
        0.0,
        direction="lower",
        statement="The network's features as they are stay below the lower noise ceiling of these people (by more "
        "than 0).",
        statement_zh="网络的原始特征低于这些被试的噪声下限（差距大于 0）。",
        **_PICTURES,
    ),
)

WORDS = (
    better(
        "words-simlex",
        ("ridge", "zero_shot"),
        "spearman_simlex",
        0.01,
        statement="A transform learned on THINGS brings an encoder closer to people's ratings of the nouns of "
        "SimLex-999: Spearman's correlation is higher by 0.01.",
        statement_zh="在 THINGS 上学得的变换使编码器更接近人们对 SimLex-999 名词的评分：Spearman 相关至少高 0.01。",
        **_PAPER,
        **_PAIRS,
    ),
    better(
        "words-wordsim",
        ("ridge", "zero_shot"),
        "spearman_wordsim",
        0.0,
        statement="The same holds on WordSim-353: the correlation is higher (by more than 0).",
        statement_zh="在 WordSim-353 上亦然：相关更高（大于 0）。",
        **_PAPER,
        **_PAIRS,
    ),
    *(
        better(
            f"words-shuffled-does-not-help-{name}",
            ("shuffled", "zero_shot"),
            f"spearman_{name}",
            -0.01,
            direction="lower",
            statement=f"A transform to VICE with its rows mixed up gains nothing on {title}: the correlation is at "
            "most 0.01 above the features as they are.",
            statement_zh=f"学向打乱行的 VICE 的变换在 {title} 上没有增益：相关至多比原始特征高 0.01。",
            **_PAIRS,
        )
        for name, title in (("simlex", "SimLex-999"), ("wordsim", "WordSim-353"))
    ),
)
