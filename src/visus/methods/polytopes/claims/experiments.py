"""The comparisons: arms, seeds and budgets."""

from __future__ import annotations

from collections.abc import Callable

from visus.methods.polytopes.claims.data import INITS
from visus.methods.polytopes.claims.measures import (
    SPACE,
    measure_arrangements,
    measure_bias,
    measure_contrast,
    measure_depth,
    measure_initialization,
    measure_large,
    measure_lines,
    measure_plane,
    measure_sampling,
    measure_scaling,
    measure_whole_space,
)
from visus.methods.polytopes.claims.trained import (
    REGULARIZERS,
    measure_regularizers,
    measure_training,
)
from visus.protocols import Experiment, Run, Scores, Trial

_SEEDS = {"smoke": 1, "demo": 5, "gpu": 5, "paper": 5}
_SAME = "the same in every preset but for the number of instances (smoke 1, demo 5, gpu and paper 20)"
_SIZES = "Xavier uniform weights and biases .01; smoke: 3-10-6; demo: 3-40-20; gpu: 3-80-40; paper: as gpu"


def _exact(
    name: str,
    title: str,
    title_zh: str,
    arms: tuple[str, ...],
    measure: Callable[[Trial, Run], Scores],
    budget: str,
) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        title_zh=title_zh,
        arms=arms,
        measure=measure,
        seeds={"smoke": 1, "demo": 5, "gpu": 20, "paper": 20},
        budget=f"{budget}; {_SAME}",
    )


EXPERIMENTS = (
    _exact(
        "arrangements",
        "One layer of 12 neurons on all of space",
        "12 个神经元的单隐层对整个三维空间的划分",
        ("counted", "stated"),
        measure_arrangements,
        "random hyperplanes, a box twice as large as their farthest crossing; without biases: the unit box",
    ),
    _exact(
        "plane",
        "All cells of a 2-16-16 network in a box",
        "2-16-16 网络在方盒中的全部胞腔",
        ("counted", "stated"),
        measure_plane,
        "Kaiming weights, biases .1, box [-1, 1]^2",
    ),
    _exact(
        "whole_space",
        "All cells of small networks on all of space",
        "小网络在整个三维空间上的全部胞腔",
        (*SPACE, "stated"),
        measure_whole_space,
        "3-14, 3-10-10 and 3-8-8-8, Kaiming weights, biases .1, a box beyond all vertices",
    ),
    _exact(
        "scaling",
        "A network, and the same with biases and box three times as large",
        "同一网络，偏置与方盒同时放大三倍",
        ("original", "scaled"),
        measure_scaling,
        "3-24-12, in smoke 3-10-6, Xavier uniform weights, biases .05, box [-1, 1]^3",
    ),
    _exact(
        "contrast",
        "The most complicated cell of one layer of 40 neurons, made on purpose and at random",
        "40 个神经元的单隐层中最复杂的胞腔：特意构造与随机初始化",
        ("tangent", "random", "neurons"),
        measure_contrast,
        "hyperplanes tangent to a ball of radius .5; Xavier uniform weights with biases .01; box [-1, 1]^3",
    ),
    Experiment(
        name="initialization",
        title="All cells of a network at random initialization",
        title_zh="随机初始化网络的全部胞腔",
        arms=(*INITS, "stated"),
        measure=measure_initialization,
        seeds=_SEEDS,
        budget=_SIZES.replace("Xavier uniform weights and", "box [-1, 1]^3,"),
    ),
    Experiment(
        name="depth",
        title="Two, three and five hidden layers of one width",
        title_zh="宽度相同，隐藏层数为二、三、五",
        arms=("depth_2", "depth_3", "depth_5"),
        measure=measure_depth,
        seeds=_SEEDS,
        budget="Xavier uniform weights and biases .01, box [-1, 1]^3; smoke: width 5; demo: width 14; "
        "gpu: width 80; paper: as gpu",
    ),
    Experiment(
        name="training",
        title="A classifier before and after training",
        title_zh="分类器训练前后的对比",
        arms=("start", "trained", "random_labels", "start_wide", "trained_wide"),
        measure=measure_training,
        seeds=_SEEDS,
        budget="a checkerboard in space or coin flips, Adam, biases start at .01, wide: at .3; the box is the "
        "range of the points; smoke: 3-8-6, 200 points, 3 epochs; demo: 3-40-20, 2,000 points, 60 epochs; gpu: "
        "3-40-40-40, 20,000 points, 300 epochs; paper: as gpu",
    ),
    Experiment(
        name="sampling",
        title="One network seen through all cells, through random points, and by volume",
        title_zh="同一网络的三种观察方式：全部胞腔、随机采样、按体积加权",
        arms=("exact", "sampled", "by_volume"),
        measure=measure_sampling,
        seeds=_SEEDS,
        budget=f"{_SIZES}; 8,000 points, smoke 200",
    ),
    Experiment(
        name="lines",
        title="Cells of random lines in the plane against the theory of Poisson lines",
        title_zh="平面随机直线的胞腔与泊松直线理论的对比",
        arms=("counted", "poisson"),
        measure=measure_lines,
        seeds=_SEEDS,
        budget="cells with their center in [-.7, .7]^2 of the box [-1, 1]^2; smoke: 40 lines; demo: 400; "
        "gpu: 1,500; paper: as gpu",
    ),
    Experiment(
        name="bias",
        title="The same weights with constant biases of 0, .01 and .1",
        title_zh="权重相同，偏置常数为 0、0.01、0.1",
        arms=("bias_0", "bias_0.01", "bias_0.1"),
        measure=measure_bias,
        seeds=_SEEDS,
        budget=_SIZES.replace(" and biases .01", ""),
    ),
    Experiment(
        name="regularizers",
        title="A classifier trained with regularizers, and one with shortcuts",
        title_zh="使用正则化或捷径连接训练的分类器",
        arms=("plain", *REGULARIZERS),
        measure=measure_regularizers,
        seeds={"smoke": 0, "demo": 0, "gpu": 5, "paper": 5},
        budget="as the training experiment with weight decay .1, an L1 penalty of .0001, dropout .2, or "
        "shortcuts; smoke and demo: not measured; gpu: 3-40-40-40, 20,000 points, 300 epochs; paper: as gpu",
    ),
    Experiment(
        name="large",
        title="A network of some ten million cells",
        title_zh="约一千万个胞腔的网络",
        arms=("deep", "stated"),
        measure=measure_large,
        seeds={"smoke": 0, "demo": 0, "gpu": 5, "paper": 5},
        budget="3-160-160-160, Xavier uniform weights and biases .01, box [-1, 1]^3, histograms only; smoke and "
        "demo: not measured; gpu: one box; paper: as gpu",
    ),
)
