"""Theorems and identities that a census must meet in every instance. Declared before they are measured."""

from __future__ import annotations

from typing import Any

from visus.protocols import Claim

_SMALL = "Networks of some ten thousand cells; larger ones may differ."
_SMALL_ZH = "网络只有几万个胞腔；更大的网络可能不同。"
_GENERIC = "The theorem needs hyperplanes in general position; rounding can break it."
_GENERIC_ZH = "定理要求超平面处于一般位置；舍入误差可能破坏这一条件。"


def about(id: str, experiment: str, pair: tuple[str, str], metric: str, **rest: Any) -> Claim:
    """A claim about `pair`, candidate and reference."""
    candidate, reference = pair
    fields = {"caveat": _SMALL, "caveat_zh": _SMALL_ZH, **rest}
    return Claim(
        id=id, experiment=experiment, candidate=candidate, reference=reference, metric=metric, **fields
    )


def _law(id: str, experiment: str, metric: str, statement: str, statement_zh: str, **rest: Any) -> Claim:
    """A theorem or identity: the census equals what is stated in every instance."""
    settings = {
        "direction": "equal",
        "smallest_effect": 0.0,
        "origin": "ours",
        "caveat": _GENERIC,
        "caveat_zh": _GENERIC_ZH,
        **rest,
    }
    pair = settings.pop("pair", ("counted", "stated"))
    return about(
        id,
        experiment,
        pair,
        metric,
        statement=statement,
        statement_zh=statement_zh,
        exact=True,
        **settings,
    )


def _bound(arm: str, words: str, words_zh: str) -> Claim:
    return _law(
        f"mean-facets-{arm.replace('_', '-')}",
        "whole_space",
        "mean_facets",
        f"On all of space, the cells of a network with {words} have fewer than 2 d = 6 facets on average.",
        f"在整个空间上，具有{words_zh}的网络，其胞腔平均面数小于 2d = 6。",
        pair=(arm, "stated"),
        direction="lower",
        origin="paper",
    )


LAWS = (
    _law(
        "count-generic",
        "arrangements",
        "generic",
        "One layer of 12 neurons cuts space into 299 cells, the number of Zaslavsky's theorem.",
        "12 个神经元的单隐层把三维空间切成 299 个胞腔，与 Zaslavsky 定理一致。",
    ),
    _law(
        "count-central",
        "arrangements",
        "central",
        "Without biases, one layer of 12 neurons cuts space into 134 cones.",
        "没有偏置时，12 个神经元的单隐层把三维空间切成 134 个锥。",
    ),
    _law(
        "plane-sides",
        "plane",
        "mean_sides",
        "In the plane the cells in a box have 4 sides on average, exactly, whatever the network: this mean "
        "carries no information.",
        "在平面的方盒中，无论什么网络，胞腔的平均边数恰好为 4：这个均值不含任何信息。",
    ),
    _law(
        "plane-triangles",
        "plane",
        "mean_triangles",
        "In the plane a cell is made of 2 triangles on average, exactly, whatever the network.",
        "在平面上，无论什么网络，每个胞腔平均恰好由 2 个三角形组成。",
    ),
    _law(
        "euler",
        "plane",
        "euler",
        "Vertices minus edges plus cells is 1.",
        "顶点数减边数加胞腔数等于 1。",
    ),
    _bound("one_layer", "one hidden layer", "一个隐藏层"),
    _bound("two_layers", "two hidden layers", "两个隐藏层"),
    _bound("three_layers", "three hidden layers", "三个隐藏层"),
    _law(
        "fewest-facets",
        "whole_space",
        "cells_below",
        "On all of space no cell of a network with three hidden layers has fewer than min(n_1, d) = 3 facets.",
        "在整个空间上，三隐层网络没有任何胞腔的面数少于 min(n_1, d) = 3。",
        pair=("three_layers", "stated"),
    ),
    _law(
        "scaling-count",
        "scaling",
        "num_cells",
        "Multiplying all biases and the box by 3 leaves the number of cells unchanged.",
        "把所有偏置和方盒同时放大 3 倍，胞腔数不变。",
        pair=("scaled", "original"),
    ),
    _law(
        "scaling-histogram",
        "scaling",
        "distance",
        "Multiplying all biases and the box by 3 leaves the histogram of simplices unchanged.",
        "把所有偏置和方盒同时放大 3 倍，单纯形数的直方图不变。",
        pair=("scaled", "original"),
    ),
    _law(
        "tangent-facets",
        "contrast",
        "most_facets",
        "A layer of 40 neurons tangent to a sphere has a cell with 40 facets: complicated cells exist.",
        "与球面相切的 40 个神经元的单隐层有一个 40 面的胞腔：复杂的胞腔确实存在。",
        pair=("tangent", "neurons"),
        origin="paper",
    ),
)
