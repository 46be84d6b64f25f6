"""Every drawing is well-formed, deterministic SVG that shows what it was given."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import rankdata

from visus.drawing import GREEN, VERMILION, Mark
from visus.errors import InputError
from visus.methods.alignment.figures import (
    ConceptMark,
    draw_attribute,
    draw_calibration,
    draw_concepts,
    draw_effects,
    draw_matrices,
    draw_uncertainty,
    figures,
)
from visus.methods.alignment.figures.matrices import _ranks, leaf_order
from visus.protocols import Claim, Evidence, PaperEvidence

RNG = np.random.default_rng(0)
MARKS = [
    Mark(name="first", value=0.5, interval=(0.4, 0.6), group="one"),
    Mark(name="second", value=0.4, interval=(0.3, 0.5), group="other"),
    Mark(name="unknown", value=math.nan),
    Mark(name="seeds", value=0.45, seeds=(0.4, 0.5)),
]
CONCEPTS = [
    ConceptMark(name=f"thing {i}", error=i / 40, interval=(i / 50, i / 30), triplets=i, reference_error=0.2)
    for i in range(30)
]
SQUARE = np.abs(np.subtract.outer(RNG.random(9), np.arange(9) / 9))
SQUARE = (SQUARE + SQUARE.T) * (1 - np.eye(9))


def texts(svg):
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_calibration(
            np.array([0.4, math.nan, 0.8]), np.array([0.5, math.nan, 0.7]), np.array([3.0, 0.0, 9.0])
        ),
        lambda: draw_concepts(CONCEPTS),
        lambda: draw_uncertainty([0.1, 0.3], {"network": [0.2, math.nan], "people": [0.1, 0.3]}, [10, 2000]),
        lambda: draw_matrices({"people": SQUARE, "network": SQUARE**2}, order=leaf_order(SQUARE)),
        lambda: draw_attribute("kind", ["a", "b", "a"], [0.4, 0.5, 0.6], names=("x", "y", "z")),
        lambda: draw_attribute("size", [1e6, 1e8, 1e7], [0.4, 0.5, 0.6]),
        lambda: draw_effects(MARKS),
    ],
    ids=["calibration", "concepts", "uncertainty", "matrices", "kinds", "sizes", "effects"],
)
def test_the_same_numbers_give_the_same_drawing(draw):
    svg = draw()
    assert svg == draw()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in svg
    assert "mathdefault" not in svg


def test_best_and_worst_concepts_are_shown_and_those_without_triplets_are_not():
    shown = texts(draw_concepts(CONCEPTS, shown=3))
    assert [word for word in shown if word.startswith("thing")] == [
        "thing 1",
        "thing 2",
        "thing 3",
        "thing 27",
        "thing 28",
        "thing 29",
    ]
    assert "23 more" in shown
    few = draw_concepts(CONCEPTS[:4], shown=3)
    assert "thing 0" not in texts(few)
    assert not any(word.endswith("more") for word in texts(few))
    assert GREEN in few
    assert VERMILION in few
    with pytest.raises(InputError, match="no triplet"):
        draw_concepts(CONCEPTS[:1])


def test_matrices_are_shown_by_rank():
    found = _ranks(SQUARE)
    upper = np.triu_indices(9, 1)
    assert np.allclose(found[upper], rankdata(SQUARE[upper]) / 36)
    assert np.array_equal(found, found.T)
    holed = SQUARE.copy()
    holed[0, 1] = holed[1, 0] = math.nan
    assert np.isnan(_ranks(holed)[0, 1])
    assert sorted(leaf_order(holed).tolist()) == list(range(9))
    with pytest.raises(InputError, match="square"):
        draw_matrices({"a": SQUARE, "b": SQUARE[:4, :4]})


def test_pairs_that_are_alike_come_to_stand_beside_each_other():
    place = np.array([0.0, 10.0, 0.1, 10.1, 0.2])
    order = leaf_order(np.abs(np.subtract.outer(place, place))).tolist()
    assert {*order[:3]} in ({0, 2, 4}, {1, 3, order[2]})
    assert abs(order.index(1) - order.index(3)) == 1


def test_attributes_name_their_levels_in_the_order_of_their_means():
    shown = texts(draw_attribute("kind", ["b", "a", "b"], [0.6, 0.5, 0.4], names=("x", "y", "z")))
    assert [word for word in shown if word in "abxyz"] == ["a", "b", "x", "y", "z"]
    crowded = texts(draw_attribute("kind", ["a", "a", "a"], [0.6, 0.401, 0.4], names=("x", "y", "z")))
    assert "z" not in crowded
    with pytest.raises(InputError, match="2 values and 1 accuracies"):
        draw_attribute("size", [1.0, 2.0], [0.5])


def test_effects_that_may_be_zero_are_open():
    clear = draw_effects([Mark(name="clear", value=0.1, interval=(0.05, 0.2))])
    open_ = draw_effects([Mark(name="open", value=0.1, interval=(-0.05, 0.2))])
    assert clear.count("#ffffff") < open_.count("#ffffff")


def evidence(metric, arms, *, exact=False, experiment="human_trials"):
    claim = Claim(
        id=f"{experiment}-{metric}",
        statement="a",
        statement_zh="b",
        experiment=experiment,
        candidate="ridge",
        reference="zero_shot",
        metric=metric,
        direction="higher",
        smallest_effect=0.01,
        exact=exact,
    )
    return Evidence(claim=claim, arms=arms, effect=0.1, interval=(0.0, 0.2), verdict="holds")


def test_the_report_has_a_figure_per_experiment_and_measure():
    arms = {"zero_shot": [0.41, 0.42], "ridge": [0.5, math.nan], "own_arm": [0.3], "gone": [math.nan]}
    paper = PaperEvidence(
        slug="alignment",
        arxiv="2211.01201",
        claims=[
            evidence("accuracy", arms),
            evidence("accuracy", {"probe": [0.45]}),
            evidence("spearman", {"ridge": [0.4]}),
            evidence("width", {"a": [1.0], "b": [2.0]}, exact=True),
        ],
        experiments={"human_trials": {"title": "Human trials", "title_zh": "人类试验", "budget": "1 s"}},
    )
    (found,) = figures(paper)
    assert found.name == "alignment-human-trials-accuracy"
    shown = texts(found.svg)
    order = ["ridge to the reference", "linear probe", "zero-shot", "own arm"]
    assert [word for word in shown if word in order] == order
    assert "gone" not in shown
    assert "guessing 33.3 %" in shown
    assert "Human trials" in found.caption
    assert "人类试验" in found.caption_zh
    assert figures(PaperEvidence(slug="alignment", arxiv="2211.01201")) == []
