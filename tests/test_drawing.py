"""The canvas of all pictures: same numbers, same file; the style ends with its context."""

import xml.etree.ElementTree as ET

import matplotlib

from visus.drawing import INK, SERIES, canvas, drawing, headline, plain, svg


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


def test_text_stays_text_and_is_no_formula():
    texts = [node.text for node in ET.fromstring(drawn([1, 2])).iter("{http://www.w3.org/2000/svg}text")]
    assert "one line" in texts
    assert "a $ b" in texts


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
