"""The sentences: what the paper asserts, theorems that must come out exactly, and controls.

Declared before they are measured. The mean number of facets carries no information about a network (it is
close to 2 d for all of them): it appears here to show that. What can differ is the shape of the histogram, so
the claims about simplicity are about the share of simple cells, with at most 7 simplices.
"""

from __future__ import annotations

from visus.methods.polytopes.claims.laws import LAWS, about

_TRAINING = "One kind of data, one optimizer, small networks."
_TRAINING_ZH = "只有一种数据、一种优化器和小网络。"
_CROWDED = "With biases of .01 every hyperplane crosses the data from the start: training can only move them."
_CROWDED_ZH = "偏置为 0.01 时，所有超平面一开始就穿过数据区域，训练只能移动它们。"


_INITS = {
    "xavier_uniform": ("Xavier uniform", "Xavier 均匀"),
    "xavier_normal": ("Xavier normal", "Xavier 正态"),
    "kaiming": ("Kaiming", "Kaiming"),
    "orthogonal": ("orthogonal", "正交"),
}
INITIALIZATION = (
    *(
        about(
            f"simple-at-{arm.replace('_', '-')}",
            "initialization",
            (arm, "stated"),
            "share_simple",
            statement=f"With {word} weights more than half of all cells are simple (at most 7 simplices).",
            statement_zh=f"在{word_zh}初始化下，超过一半的胞腔是简单的（不超过 7 个单纯形）。",
            direction="higher",
            smallest_effect=0.0,
        )
        for arm, (word, word_zh) in _INITS.items()
    ),
    *(
        about(
            f"mean-at-{arm.replace('_', '-')}",
            "initialization",
            (arm, "stated"),
            "mean_facets",
            statement=f"With {word} weights the mean number of facets is 6 (within .05), as for any other start: "
            "the mean carries no information.",
            statement_zh=f"在{word_zh}初始化下，平均面数为 6（误差 0.05 以内），与其他初始化相同：均值不含信息。",
            direction="equal",
            smallest_effect=0.05,
            origin="ours",
        )
        for arm, (word, word_zh) in _INITS.items()
    ),
    about(
        "tangent-vs-random",
        "contrast",
        ("tangent", "random"),
        "most_facets",
        statement="The most complicated cell of a layer made on purpose has at least twice the facets of the most "
        "complicated one at random initialization.",
        statement_zh="特意构造的单隐层中最复杂胞腔的面数，至少是随机初始化时最复杂胞腔的两倍。",
        direction="higher",
        smallest_effect=2.0,
        comparison="ratio",
    ),
)
DEPTH = (
    *(
        about(
            f"depth-{depth}-facets",
            "depth",
            (f"depth_{depth}", "depth_2"),
            "mean_facets",
            statement=f"With {depth} hidden layers cells have as many facets on average as with 2 (within .05).",
            statement_zh=f"{depth} 个隐藏层时，胞腔的平均面数与 2 层时相同（误差 0.05 以内）。",
            direction="equal",
            smallest_effect=0.05,
        )
        for depth in (3, 5)
    ),
    about(
        "depth-5-share",
        "depth",
        ("depth_5", "depth_2"),
        "share_simple",
        statement="With 5 hidden layers the share of simple cells is as with 2 (within 5 points).",
        statement_zh="5 个隐藏层时，简单胞腔的比例与 2 层时相同（相差不超过 5 个百分点）。",
        direction="equal",
        smallest_effect=0.05,
    ),
    about(
        "depth-5-count",
        "depth",
        ("depth_5", "depth_2"),
        "num_cells",
        statement="Five hidden layers make at least twice as many cells as two: it is the number that grows.",
        statement_zh="5 个隐藏层的胞腔数至少是 2 层的两倍：增长的是数量。",
        direction="higher",
        smallest_effect=2.0,
        comparison="ratio",
    ),
)
TRAINING = tuple(
    about(id, "training", pair, metric, **{"caveat": _TRAINING, "caveat_zh": _TRAINING_ZH, **rest})
    for id, pair, metric, rest in (
        (
            "training-learns",
            ("trained", "start"),
            "accuracy",
            {
                "statement": "Control: training raises the accuracy by at least 30 points.",
                "statement_zh": "对照：训练使准确率至少提高 30 个百分点。",
                "direction": "higher",
                "smallest_effect": 0.3,
                "origin": "ours",
            },
        ),
        (
            "training-count",
            ("trained", "start"),
            "num_cells",
            {
                "statement": "Training makes at least one and a half times as many cells.",
                "statement_zh": "训练使胞腔数增至至少 1.5 倍。",
                "direction": "higher",
                "smallest_effect": 1.5,
                "comparison": "ratio",
                "origin": "ours",
                "caveat": _CROWDED,
                "caveat_zh": _CROWDED_ZH,
            },
        ),
        (
            "training-count-wide",
            ("trained_wide", "start_wide"),
            "num_cells",
            {
                "statement": "From biases of .3, training makes at least one and a half times as many cells.",
                "statement_zh": "偏置从 0.3 开始时，训练使胞腔数增至至少 1.5 倍。",
                "direction": "higher",
                "smallest_effect": 1.5,
                "comparison": "ratio",
                "origin": "ours",
            },
        ),
        (
            "training-share-wide",
            ("trained_wide", "start_wide"),
            "share_simple",
            {
                "statement": "While the number grows from there, the share of simple cells stays (within 5 points).",
                "statement_zh": "在胞腔数由此增长的同时，简单胞腔的比例不变（相差不超过 5 个百分点）。",
                "direction": "equal",
                "smallest_effect": 0.05,
            },
        ),
        (
            "training-share",
            ("trained", "start"),
            "share_simple",
            {
                "statement": "After training the share of simple cells is as before (within 5 points).",
                "statement_zh": "训练后简单胞腔的比例与训练前相同（相差不超过 5 个百分点）。",
                "direction": "equal",
                "smallest_effect": 0.05,
            },
        ),
        (
            "training-histogram",
            ("trained", "start"),
            "distance",
            {
                "statement": "Training moves at most a tenth of the histogram of facets (total variation).",
                "statement_zh": "训练最多使面数直方图移动十分之一（全变差距离）。",
                "direction": "equal",
                "smallest_effect": 0.1,
            },
        ),
        (
            "training-volume",
            ("trained", "start"),
            "distance_by_volume",
            {
                "statement": "Seen by volume, training moves more than a tenth of the histogram of facets.",
                "statement_zh": "按体积加权，训练使面数直方图移动超过十分之一。",
                "direction": "higher",
                "smallest_effect": 0.1,
                "origin": "ours",
            },
        ),
        (
            "random-labels-share",
            ("random_labels", "start"),
            "share_simple",
            {
                "statement": "Training on random labels leaves the share of simple cells as it was (within 5 points).",
                "statement_zh": "用随机标签训练后，简单胞腔的比例不变（相差不超过 5 个百分点）。",
                "direction": "equal",
                "smallest_effect": 0.05,
                "origin": "ours",
            },
        ),
        (
            "random-labels-count",
            ("random_labels", "trained"),
            "num_cells",
            {
                "statement": "Random labels end with at most 0.85 times the cells of a rule that can be learned.",
                "statement_zh": "用随机标签训练得到的胞腔数，至多是可学习规则的 0.85 倍。",
                "direction": "lower",
                "smallest_effect": 0.85,
                "comparison": "ratio",
                "origin": "ours",
            },
        ),
    )
)
VIEWS = (
    about(
        "sampling-biased",
        "sampling",
        ("exact", "sampled"),
        "share_simple",
        statement="8,000 random points show far fewer simple cells than there are: the exact share is at least 20 "
        "points higher, because points find large cells.",
        statement_zh="8,000 个随机点看到的简单胞腔远少于实际：精确比例至少高 20 个百分点，因为随机点更容易落入大胞腔。",
        direction="higher",
        smallest_effect=0.2,
        origin="ours",
    ),
    about(
        "sampling-misses",
        "sampling",
        ("sampled", "exact"),
        "num_cells",
        statement="8,000 random points find at most 15 % of the cells.",
        statement_zh="8,000 个随机点最多找到 15% 的胞腔。",
        direction="lower",
        smallest_effect=0.15,
        comparison="ratio",
        origin="ours",
    ),
    about(
        "volume-view",
        "sampling",
        ("exact", "by_volume"),
        "share_simple",
        statement="Simple cells are many but small: their share of the cells is at least 30 points above their "
        "share of the volume.",
        statement_zh="简单胞腔数量多但体积小：其数量占比至少比体积占比高 30 个百分点。",
        direction="higher",
        smallest_effect=0.3,
        origin="ours",
    ),
    about(
        "volume-sides",
        "lines",
        ("counted", "poisson"),
        "sides_by_volume",
        statement="Weighted by area, the cells of many random lines have pi^2/2 sides on average (within .15), as "
        "the theory of Poisson lines says.",
        statement_zh="按面积加权，大量随机直线的胞腔平均边数为 π²/2（误差 0.15 以内），与泊松直线理论一致。",
        direction="equal",
        smallest_effect=0.15,
        origin="ours",
    ),
    about(
        "triangles",
        "lines",
        ("counted", "poisson"),
        "triangles",
        statement="The share of triangles among the cells of many random lines is 2 - pi^2/6 (within 3 points).",
        statement_zh="大量随机直线的胞腔中，三角形的比例为 2 − π²/6（误差 3 个百分点以内）。",
        direction="equal",
        smallest_effect=0.03,
        origin="ours",
    ),
)
BIAS = (
    about(
        "bias-zero-share",
        "bias",
        ("bias_0", "bias_0.01"),
        "share_simple",
        statement="Without biases cells are simpler still: the share of simple ones is at least 20 points higher.",
        statement_zh="没有偏置时胞腔更简单：简单胞腔的比例至少再高 20 个百分点。",
        direction="higher",
        smallest_effect=0.2,
        origin="ours",
    ),
    about(
        "bias-zero-count",
        "bias",
        ("bias_0", "bias_0.01"),
        "num_cells",
        statement="Without biases there are at most a quarter of the cells: zero is a special case, not a small bias.",
        statement_zh="没有偏置时胞腔数至多为四分之一：零偏置是特例，而不是“小偏置”。",
        direction="lower",
        smallest_effect=0.25,
        comparison="ratio",
        origin="ours",
    ),
    about(
        "bias-size",
        "bias",
        ("bias_0.1", "bias_0.01"),
        "share_simple",
        statement="Ten times larger biases leave the share of simple cells as it is (within 5 points).",
        statement_zh="偏置放大十倍，简单胞腔的比例不变（相差不超过 5 个百分点）。",
        direction="equal",
        smallest_effect=0.05,
    ),
)
_REGULARIZERS = {
    "weight_decay": ("weight decay", "权重衰减"),
    "l1": ("an L1 penalty", "L1 惩罚"),
    "dropout": ("dropout", "Dropout"),
    "shortcut": ("shortcuts around layers", "跨层捷径"),
}
REGULARIZERS = (
    *(
        about(
            f"share-with-{arm.replace('_', '-')}",
            "regularizers",
            (arm, "plain"),
            "share_simple",
            statement=f"Trained with {word}, a network has the same share of simple cells (within 5 points).",
            statement_zh=f"使用{word_zh}训练的网络，简单胞腔的比例相同（相差不超过 5 个百分点）。",
            direction="equal",
            smallest_effect=0.05,
            origin="ours",
            caveat=_TRAINING,
            caveat_zh=_TRAINING_ZH,
        )
        for arm, (word, word_zh) in _REGULARIZERS.items()
    ),
    about(
        "weight-decay-count",
        "regularizers",
        ("weight_decay", "plain"),
        "num_cells",
        statement="Trained with weight decay, a network has at most 0.8 times the cells.",
        statement_zh="使用权重衰减训练的网络，胞腔数至多为 0.8 倍。",
        direction="lower",
        smallest_effect=0.8,
        comparison="ratio",
        origin="ours",
        caveat=_TRAINING,
        caveat_zh=_TRAINING_ZH,
    ),
)
LARGE = (
    about(
        "simple-at-ten-million",
        "large",
        ("deep", "stated"),
        "share_simple",
        statement="At some ten million cells still more than half of them are simple.",
        statement_zh="胞腔数达到约一千万时，仍有超过一半是简单的。",
        direction="higher",
        smallest_effect=0.0,
        caveat="",
        caveat_zh="",
    ),
)
CLAIMS = (*LAWS, *INITIALIZATION, *DEPTH, *TRAINING, *VIEWS, *BIAS, *REGULARIZERS, *LARGE)
