"""The figures of the report: small networks are counted while it is drawn, all else comes from the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.drawing import drawing, headline, number, svg
from visus.methods.polytopes.config import SIMPLE
from visus.methods.polytopes.figures.cells import draw_cells
from visus.methods.polytopes.figures.charts import (
    draw_bounds,
    draw_histograms,
    draw_history,
    histograms,
    panel,
)
from visus.protocols import Figure, PaperEvidence

if TYPE_CHECKING:
    from visus.methods.polytopes.model.tally import Tally

HISTOGRAM = (3, 40, 20)
TRAINED = (3, 24, 16)
EPOCHS = (0, 1, 2, 5, 10, 20, 50, 100)
SIZES = ((3, 10), (3, 20), (3, 40), (3, 12, 12), (3, 12, 12, 12), (3, *[12] * 5))


def figures(paper: PaperEvidence) -> list[Figure]:
    """Figures of the experiments that `paper` measured."""
    measured = {evidence.claim.experiment for evidence in paper.claims if any(evidence.arms.values())}
    drawn = [plane_figure()] if measured else []
    if "contrast" in measured:
        drawn.append(contrast_figure())
    if measured & {"initialization", "sampling"}:
        drawn.append(histogram_figure())
    if "training" in measured:
        drawn += training_figures()
    if measured & {"depth", "whole_space"}:
        drawn.append(bounds_figure())
    return drawn


def plane_figure() -> Figure:
    """All cells of one network of the experiment on the plane."""
    from visus.methods.polytopes import census
    from visus.methods.polytopes.claims.data import network
    from visus.methods.polytopes.claims.measures import PLANE

    found = census(network(PLANE, init="kaiming", bias=0.1, seed=1), (-1.0, 1.0))
    return Figure(
        name="polytopes-plane",
        svg=draw_cells(found, boundary=False),
        caption="Every cell of a 2-16-16 network at random initialization, by the number of triangles it is made "
        "of. The mean is exactly 2 for every network; what can differ is the shape of the histogram.",
        caption_zh="随机初始化的 2-16-16 网络的全部胞腔，颜色表示组成它的三角形个数。任何网络的均值都恰好为 2；"
        "可能不同的是直方图的形状。",
    )


def contrast_figure(neurons: int = 24) -> Figure:
    """The cells of a layer that is tangent to a circle."""
    from visus.methods.polytopes import census
    from visus.methods.polytopes.baselines import tangent_network

    found = census(tangent_network(neurons, 2), (-1.0, 1.0))
    return Figure(
        name="polytopes-contrast",
        svg=draw_cells(found, color_by="num_facets", boundary=False),
        caption=f"A layer made on purpose: {neurons} neurons tangent to a circle have one cell with {neurons} sides. "
        "Complicated cells exist; at random initialization and in training they are rare.",
        caption_zh=f"特意构造的单隐层：与圆相切的 {neurons} 个神经元产生一个 {neurons} 边的胞腔。"
        "复杂的胞腔确实存在，但在随机初始化和训练中很少出现。",
    )


def histogram_figure() -> Figure:
    """One network: all cells, the cells that points find, and by volume."""
    from visus.methods.polytopes import census
    from visus.methods.polytopes.baselines import sample_cells
    from visus.methods.polytopes.claims.data import INITS, network

    exact = {init: census(network(HISTOGRAM, init=init), (-1.0, 1.0)).tally("pull") for init in INITS}
    sample = sample_cells(network(HISTOGRAM), points=8000)
    first = exact[INITS[0]]
    with drawing(6.9) as figure:
        upper, lower = figure.subplots(2, 1)
        names = {init: init.replace("_", " ") for init in INITS}
        histograms(upper, {names[init]: tally for init, tally in exact.items()}, "num_simplices", "cells")
        views = {
            f"all {number(first.num_cells)} cells": (first.shares("num_simplices"), ""),
            f"the {number(sample.num_cells)} that 8,000 points find": (sample.shares("num_simplices"), ""),
            "all by volume": (first.shares("num_simplices", "volume"), ""),
        }
        panel(lower, views, SIMPLE)
        lower.set(xlabel="simplices per cell", ylabel="share [%]")
        headline(figure, "3-40-20 at initialization: four ways to start, and three ways to look")
        drawn = svg(figure)
    return Figure(
        name="polytopes-histograms",
        svg=drawn,
        caption="Simplices per cell of 3-40-20 networks at random initialization. Above: the way to start leaves no "
        "trace. Below: the same network through all its cells, through those that 8,000 random points find, and by "
        "volume. Points find large cells, which are less simple (the shaded range is at most 7 simplices).",
        caption_zh="随机初始化的 3-40-20 网络中每个胞腔的单纯形数。上：初始化方式几乎没有影响。"
        "下：同一网络的全部胞腔、8,000 个随机点找到的胞腔，以及按体积加权。"
        "随机点更容易落入较大、较复杂的胞腔（阴影为不超过 7 个单纯形）。",
    )


def training_figures() -> list[Figure]:
    """A small classifier through training: the course of the count, and the histogram before and after."""
    tallies, accuracy = trained_tallies()
    epochs = list(tallies)
    ends = {"before training": tallies[epochs[0]], f"after {epochs[-1]} epochs": tallies[epochs[-1]]}
    return [
        Figure(
            name="polytopes-training",
            svg=draw_history(epochs, list(tallies.values()), scores={"training accuracy": accuracy}),
            caption="A 3-24-16 classifier with biases that start at .3 learns a checkerboard: the number of "
            "cells grows, their shapes stay.",
            caption_zh="偏置从 0.3 开始的 3-24-16 分类器学习空间棋盘格：胞腔数量增长，而形状不变。",
        ),
        Figure(
            name="polytopes-training-histogram",
            svg=draw_histograms(ends, measure="num_facets"),
            caption="Facets per cell of that classifier before and after training.",
            caption_zh="该分类器训练前后每个胞腔的面数。",
        ),
    ]


def trained_tallies() -> tuple[dict[int, Tally], list[float]]:
    """Histograms and accuracies of a small training, by epoch."""
    from visus.data.worlds import points
    from visus.engine import Run
    from visus.methods.polytopes.claims.trained import WIDE
    from visus.methods.polytopes.config import PolytopesConfig
    from visus.methods.polytopes.estimator import Polytopes

    config = PolytopesConfig(
        bias=WIDE, hidden=TRAINED[1:], epochs=EPOCHS[-1], census_epochs=EPOCHS, batch_size=200, box=0.0
    )
    made = Polytopes(config).fit(points.make("checker", n=1000, n_test=1).train, Run(seed=0, progress=False))
    return made.tallies_, [row["accuracy"] for row in made.history_]


def bounds_figure() -> Figure:
    """Mean facets inside the box against the bound, over width and depth."""
    from visus.methods.polytopes import census
    from visus.methods.polytopes.claims.data import network

    means: dict[str, list[float]] = {}
    counts: dict[str, list[float]] = {}
    for widths in SIZES:
        found = [census(network(widths, seed=seed), (-1.0, 1.0)) for seed in range(3)]
        name = "-".join(map(str, widths))
        means[name] = [float(cells.interior_degree.double().mean()) for cells in found]
        counts[name] = [float(cells.num_cells) for cells in found]
    return Figure(
        name="polytopes-bounds",
        svg=draw_bounds(means, counts, dimension=3, what="mean facets inside the box"),
        caption="Width and depth multiply the cells, and the mean number of facets stays below the theorem's "
        "bound 2 d, which knows neither: the mean carries no information about a network. Dots are seeds.",
        caption_zh="加宽或加深网络使胞腔数成倍增加，而平均面数始终低于定理的上界 2d；该上界与宽度和深度都无关，"
        "因此均值不含网络的信息。圆点为各随机种子。",
    )
