"""The canvas of all pictures: same numbers, same file; the style ends with its context."""

import math
import xml.etree.ElementTree as ET

import matplotlib
import pytest

from visus.drawing import (
    GREEN,
    INK,
    QUIET,
    SERIES,
    Band,
    Mark,
    canvas,
    draw_marks,
    drawing,
    headline,
    plain,
    seed_marks,
    svg,
)
from visus.errors import InputError

MARKS = [
    Mark(name="first", value=0.5, interval=(0.4, 0.6), group="one"),
    Mark(name="second", value=0.4, interval=(0.3, 0.5), group="other"),
    Mark(name="unknown", value=math.nan),
    Mark(name="seeds", value=0.45, seeds=(0.4, 0.5)),
]


def drawn(values: list[float]) -> str:
    with drawing(2.0) as figure:
        axes = figure.subplots()
        axes.plot(values, color=SERIES[0], label="a $ b")
        axes.legend()
        headline(figure, "one line")
        return svg(figure)


def test_the_same_numbers_give_the_same_text_and_other_numbers_another():
    assert drawn([1, 2, 3]) == drawn([1, 2, 3])
    assert drawn([1, 2, 3]) != drawn([1, 2, 4])


def texts(image: str) -> list[str]:
    return [
        "".join(node.itertext()) for node in ET.fromstring(image).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_text_stays_text_and_is_no_formula():
    assert {"one line", "a $ b"} <= {*texts(drawn([1, 2]))}


def test_the_style_ends_with_its_context():
    before = dict(matplotlib.rcParams)
    with drawing(1.0):
        assert matplotlib.rcParams["text.color"] == INK
        assert not matplotlib.rcParams["axes.spines.top"]
    assert dict(matplotlib.rcParams) == before
    svg(canvas(1.0)[0])
    assert dict(matplotlib.rcParams) == before


def test_a_plain_sheet_counts_in_points_from_the_upper_left():
    _, axes = plain(2.0, width=3.0)
    assert axes.get_xlim() == (0, 216)
    assert axes.get_ylim() == (144, 0)


def test_marks_are_named_with_their_groups_and_lines():
    bands = [
        Band(name="guessing", low=1 / 3, high=1 / 3, aim=False),
        Band(name="noise ceiling", low=0.6, high=0.7),
    ]
    image = draw_marks(MARKS, what="accuracy", bands=bands, percent=True, title="marks")
    assert image == draw_marks(MARKS, what="accuracy", bands=bands, percent=True, title="marks")
    assert {"first", "second", "unknown", "seeds", "one", "other", "accuracy", "marks"} <= {*texts(image)}
    assert "guessing 33.3 %" in texts(image)
    assert "noise ceiling 60.0 % to 70.0 %" in texts(image)
    assert QUIET in image
    assert GREEN in image
    assert "guessing 0.333" in texts(draw_marks(MARKS[:1], what="accuracy", bands=bands[:1]))
    with pytest.raises(InputError, match="nothing to draw"):
        draw_marks([], what="accuracy")


def test_arms_without_a_finite_value_have_no_mark():
    found = seed_marks({"one": [0.5, math.nan, 0.7], "none": [math.nan]})
    assert [(mark.name, mark.seeds) for mark in found] == [("one", (0.5, 0.7))]
    assert found[0].value == pytest.approx(0.6)
