"""Every drawing is well-formed, deterministic SVG that shows what it was given."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from visus.drawing import VERMILION
from visus.errors import InputError
from visus.methods.gptnas.figures import (
    Stone,
    draw_architecture,
    draw_cell,
    draw_curves,
    draw_information,
    draw_prior,
    figures,
    marginals,
)
from visus.methods.gptnas.figures.architecture import stones
from visus.methods.gptnas.figures.curves import LOOKS, NAMES
from visus.methods.gptnas.figures.labels import spread
from visus.protocols import Claim, Evidence, PaperEvidence

RNG = np.random.default_rng(0)
CURVES = {
    "gpt": np.maximum.accumulate(RNG.normal(71, 1, (6, 40)), axis=1),
    "ga": np.maximum.accumulate(RNG.normal(70, 1, (6, 40)), axis=1),
    "random": np.maximum.accumulate(RNG.normal(69, 1, (6, 25)), axis=1),
}


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_curves(CURVES, title="three arms", optimum=73.5),
        lambda: draw_curves({"one": [1.0, 2.0, 2.0]}, log=False),
        lambda: draw_cell("421211", title="a cell", regrown=[0, 5]),
        lambda: draw_architecture([Stone(name="Conv", out_size=(8, 4, 4))], title="one block"),
        lambda: draw_prior([[0.2, 0.8]], ["a", "b"], information=0.1),
        lambda: draw_information({"gpt": [0.3, 0.31], "null": [0.0]}, most=math.log(5)),
    ],
    ids=["curves", "single", "cell", "architecture", "prior", "information"],
)
def test_the_same_numbers_give_the_same_drawing(draw):
    svg = draw()
    assert svg == draw()
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in svg
    assert "<dc:date>" not in svg


def test_curves_end_in_their_means():
    shown = texts(draw_curves(CURVES, title="three arms", optimum=73.5))
    for arm, table in CURVES.items():
        assert f"{NAMES[arm]}  {table[:, -1].mean():.2f}" in shown
    assert "optimum  73.50" in shown
    assert "three arms" in shown
    assert {"5", "10", "20", "40"} <= set(shown)


def test_curves_leave_out_what_is_not_finite():
    table = CURVES["ga"].copy()
    table[0, :3] = np.nan
    table[:, -1] = np.nan
    assert f"GA  {table[:, -2].mean():.2f}" in texts(draw_curves({"ga": table}))


def test_an_arm_that_begins_far_below_does_not_squeeze_the_others():
    low = np.linspace(0, 70, 40)[None] + CURVES["ga"] * 0
    near, far = (draw_curves({**CURVES, **more}, log=False, first=1) for more in ({}, {"anti": low}))
    ticks = [float(t.replace("\N{MINUS SIGN}", "-")) for t in texts(far) if re.fullmatch(r"\d\d(\.\d)?", t)]
    assert min(t for t in ticks if t > 45) > 60
    assert near != far


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [[math.nan]]}, {"a": np.zeros((2, 2, 2))}])
def test_curves_without_numbers_are_refused(curves):
    with pytest.raises(InputError):
        draw_curves(curves)


def test_every_arm_with_a_name_has_a_look_of_its_own():
    assert set(LOOKS) == set(NAMES)
    assert len({(color, str(dashes)) for color, dashes in LOOKS.values()}) == len(LOOKS)


@pytest.mark.parametrize("cell", ["421211", (4, 2, 1, 2, 1, 1)])
def test_a_cell_shows_its_operations(cell):
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    shown = texts(draw_cell(cell))
    assert draw_cell(cell) == draw_cell(text)
    counts = {name: shown.count(name) for name in ("avg pool 3×3", "conv 1×1", "skip", "conv 3×3")}
    assert counts == {"avg pool 3×3": 1, "conv 1×1": 2, "skip": 3, "conv 3×3": 0}
    assert {"input", "1", "2", "output"} <= set(shown)


def test_regrown_edges_are_framed():
    assert draw_cell("000000", regrown=[1, 4]).count(VERMILION) > draw_cell("000000").count(VERMILION) == 0


@pytest.mark.parametrize("cell", ["42121", "521211", "|none~0|", (0, 1, 2)])
def test_what_is_no_cell_is_refused(cell):
    with pytest.raises(InputError, match="cell"):
        draw_cell(cell)


def architecture():
    sizes = [(3, 8, 8), (16, 8, 8), (16, 8, 8), (16, 8, 8), (16, 8, 8), (32, 4, 4)]
    layers = tuple(SimpleNamespace(out_size=size, name="ReLU", type=None, family="other") for size in sizes)
    blocks = (
        ("Stem", 0, 2),
        ("BasicBlock", 2, 3),
        ("BasicBlock", 3, 4),
        ("BasicBlock", 4, 5),
        ("Conv", 5, 6),
    )
    return SimpleNamespace(name="net", layers=layers, blocks=blocks)


def test_blocks_alike_share_a_row_unless_one_was_regrown():
    rows = stones(architecture())
    assert [(row.name, row.count, row.layers, row.out_size) for row in rows] == [
        ("Stem", 1, 2, (16, 8, 8)),
        ("BasicBlock", 3, 1, (16, 8, 8)),
        ("Conv", 1, 1, (32, 4, 4)),
    ]
    apart = stones(architecture(), regrown=[2])
    assert [(row.name, row.count, row.regrown) for row in apart] == [
        ("Stem", 1, False),
        ("BasicBlock", 1, False),
        ("BasicBlock", 1, True),
        ("BasicBlock", 1, False),
        ("Conv", 1, False),
    ]
    shown = texts(draw_architecture(architecture(), regrown=[2, 4]))
    assert {"net", "BasicBlock", "16 × 8 × 8", "32 × 4 × 4"} <= set(shown)
    assert "5 blocks, 6 layers · 2 regrown (framed)" in shown
    assert "BasicBlock  × 3" in texts(draw_architecture(architecture()))


def test_layers_stand_for_themselves_without_blocks():
    bare = architecture()
    bare.blocks = ()
    assert [row.name for row in stones(bare, merge=False)] == ["ReLU"] * 6
    with pytest.raises(InputError, match="blocks"):
        draw_architecture([])


def test_marginals_are_those_of_sampling():
    """Against the frequencies of 40,000 draws from conditionals that depend on the whole prefix."""
    tables = {}

    def distribution(prefix):
        seed = [7, *prefix, len(prefix)]
        return tables.setdefault(prefix, np.random.default_rng(seed).dirichlet(np.ones(3)))

    found = marginals(distribution, symbols=3, length=3)
    counts = np.zeros((3, 3))
    for draws in np.random.default_rng(1).random((20_000, 3)).tolist():
        made = ()
        for place, draw in enumerate(draws):
            first, second, _ = distribution(made).tolist()
            made = (*made, (draw > first) + (draw > first + second))
            counts[place, made[-1]] += 1
    assert np.abs(found - counts / 20_000).max() < 0.015
    assert np.allclose(found.sum(axis=1), 1)
    with pytest.raises(InputError, match="too many"):
        marginals(distribution, symbols=15, length=20)


def test_a_prior_shows_its_shares():
    shown = texts(
        draw_prior([[1, 3], [0, 2]], ["skip_connect", "b"], places=["here", "there"], information=0.25)
    )
    assert {"25", "75", "100", "here", "there", "skip"} <= set(shown)
    assert any("0.25 of at most 0.69 nats" in text for text in shown)
    for wrong in ([[1.0]], [[0.0, 0.0]], [[-1.0, 2.0]]):
        with pytest.raises(InputError, match="distributions"):
            draw_prior(wrong, ["a", "b"])


def test_places_move_as_little_as_needed():
    found = spread([3.0, 0.0, 0.1, 0.1], 1.0)
    assert np.diff(sorted(found)).min() >= 1.0 - 1e-12
    assert found[0] == pytest.approx(3.0)
    assert found[1] < found[2] < found[3]
    assert sum(found[1:]) == pytest.approx(0.2)
    inside = spread([9.0, 9.5, 9.9], 1.0, low=0.0, high=10.0)
    assert inside == pytest.approx([8.0, 9.0, 10.0])
    assert spread([], 1.0) == []


def evidence(metric: str, **arms: list[float]) -> Evidence:
    claim = Claim(
        id=f"{metric}-{'-'.join(arms)}",
        statement="s",
        statement_zh="句",
        experiment="transfer",
        candidate="gpt",
        reference="ga",
        metric=metric,
        direction="higher",
        smallest_effect=0.4,
    )
    return Evidence(claim=claim, arms=arms, effect=None, interval=None, verdict="undecided")


def test_the_report_shows_gains_and_information():
    paper = PaperEvidence(
        slug="gptnas",
        arxiv="2305.05351",
        claims=[
            evidence("cifar100_50", gpt=[72.0, 73.0], ga=[71.0, math.nan], anti=[70.0, 70.5]),
            evidence("imagenet_100", gpt=[46.0], ga=[45.0]),
            evidence("information", gpt=[0.3, 0.31], keep70=[0.03, 0.04], ga=[math.nan, math.nan]),
            evidence("rate_at_start", built=[0.4], stated=[0.4]),
        ],
    )
    gains, knowledge = figures(paper)
    assert (gains.name, knowledge.name) == ("gptnas-gains", "gptnas-information")
    shown = texts(gains.svg)
    assert {"GA + GPT", "GA + GPT, anti"} <= set(shown)
    assert "GA" not in shown
    assert any("ImageNet16" in text for text in shown)
    assert {"best 10 %", "best 70 %"} <= set(texts(knowledge.svg))
    for figure in (gains, knowledge):
        assert figure.caption
        assert re.search(r"[\u4e00-\u9fff]", figure.caption_zh)


def test_nothing_measured_gives_no_figure():
    bare = PaperEvidence(slug="gptnas", arxiv="2305.05351", claims=[evidence("cifar100_50")])
    assert figures(bare) == []
