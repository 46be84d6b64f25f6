"""Plots: every value is drawn where it belongs, and the file is fit for a page."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import urllib.parse
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_examples as examples

from visus.protocols import Evidence
from visus.report import plots
from visus.report.svg import address, standalone, tidy

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def marks(root: ElementTree.Element) -> dict[str, list[tuple[float, float]]]:
    """Color variable -> places of the marks drawn in it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for group in root.iter():
        for node in group.findall(f"{SVG}use"):
            style = node.get("style") or group.get("style", "")  # equal marks share their group's
            color = re.search(r"stroke:(?:var\(--([\w-]+)|(\w+))", style)
            assert color, style
            place = float(node.get("x", 0)), float(node.get("y", 0))
            found.setdefault(color[1] or color[2], []).append(place)
    return found


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("make", examples.ALL)
def test_every_plot_is_small_sound_and_the_same_every_time(make, lang):
    drawn = plots.strip(make(), name="a-b", lang=lang)
    assert drawn == plots.strip(make(), name="a-b", lang=lang)
    assert len(drawn.encode()) < 40_000
    root = ElementTree.fromstring(drawn)
    assert root.get("viewBox", "").startswith("0 0 360 ")
    assert root.get("width") is None
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 40
    identifiers = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(set(identifiers)) == len(identifiers)
    assert all(name.startswith("a-b-") for name in identifiers)
    targets = set(re.findall(r"url\(#([^)]+)\)", drawn)) | {
        n.get(HREF, "#")[1:] for n in root.iter(f"{SVG}use")
    }
    assert targets <= set(identifiers)
    assert not re.search(r"<(script|style|metadata|image)|\bdate\b|matplotlib|NaN|\bnan\b", drawn)
    sizes = {float(size) for size in re.findall(r"font-size:([\d.]+)px", drawn)}
    assert sizes == {12.0}
    assert all(
        node.get("style") and "font-family" not in node.get("style", "") for node in root.iter(f"{SVG}text")
    )


def test_every_seed_of_every_arm_is_drawn_at_its_value():
    evidence = examples.holds()
    root = ElementTree.fromstring(plots.strip(evidence, name="x"))
    found = marks(root)
    ours, theirs = evidence.arms["super"], evidence.arms["standard"]
    others = [
        v for name, values in evidence.arms.items() if name not in ("super", "standard") for v in values
    ]
    drawn = {"candidate": ours, "reference": theirs, "other": others}
    xs, values = [], []
    for color, expected in drawn.items():
        places = [x for x, y in found[color] if y < 182]  # the lower panel has marks of its own
        assert len(places) == len(expected), color
        xs += places
        values += expected
    slope = (xs[-1] - xs[0]) / (values[-1] - values[0])
    assert slope > 0
    assert xs == pytest.approx([xs[0] + slope * (value - values[0]) for value in values], abs=0.05)


def test_the_lower_panel_has_effect_interval_and_threshold():
    evidence = replace(examples.holds(), effect=0.04, interval=(0.02, 0.06))
    root = ElementTree.fromstring(plots.strip(evidence, name="x"))
    (dot,) = [x for x, y in marks(root)["currentColor"] if y > 0 and _is_dot(root, x, y)]
    lines = [node for node in root.iter(f"{SVG}path") if node.get("style", "").startswith("fill:none")]
    (span,) = [
        _ends(node) for node in lines if "stroke:currentColor;stroke-width:2.2" in node.get("style", "")
    ]
    (edge,) = [_ends(node) for node in lines if "stroke-dasharray" in node.get("style", "")]
    assert dot == pytest.approx((span[0] + span[1]) / 2, abs=0.05)
    per_unit = (span[1] - span[0]) / 0.04
    assert span[0] - edge[0] == pytest.approx(0.01 * per_unit, abs=0.1)  # 0.02 is 0.01 above the threshold


def _is_dot(root: ElementTree.Element, x: float, y: float) -> bool:
    kinds = {
        n.get(HREF): n
        for n in root.iter(f"{SVG}use")
        if (float(n.get("x", 0)), float(n.get("y", 0))) == (x, y)
    }
    shapes = {f"#{n.get('id')}": n.get("d", "") for n in root.iter(f"{SVG}path") if n.get("id")}
    return any("C" in shapes[kind] for kind in kinds if kind)


def _ends(node: ElementTree.Element) -> tuple[float, float]:
    xs = [float(x) for x in re.findall(r"[ML] (\S+) ", node.get("d", ""))]
    return xs[0], xs[-1]


def test_lines_join_the_two_arms_only_where_both_have_a_value():
    def joined(evidence: Evidence) -> int:
        root = ElementTree.fromstring(plots.strip(evidence, name="x"))
        lines = [n.get("d", "") for n in root.iter(f"{SVG}path") if "--faint" in n.get("style", "")]
        return max((line.count("M") for line in lines), default=0)

    assert joined(examples.holds()) == 5
    assert joined(examples.gaps()) == 2
    assert joined(examples.one_seed()) <= 1  # the line of no effect


def test_labels_are_text_in_the_language_asked_for():
    drawn = plots.strip(examples.undecided(), name="x", lang="zh")
    shown = [node.text or "" for node in ElementTree.fromstring(drawn).iter(f"{SVG}text")]
    assert any("每个标记是一个种子" in label for label in shown)
    assert any("阴影处论断成立" in label for label in shown)
    assert "0.1067" in shown


def test_text_of_others_is_escaped_and_cut():
    drawn = plots.strip(examples.crashed(), name="x")
    assert "<script" not in drawn
    root = ElementTree.fromstring(drawn)
    assert examples.NASTY in root.get("aria-label", "")
    labels = [node.text or "" for node in root.iter(f"{SVG}text")]
    assert any(label.startswith("<script>") and label.endswith("…") for label in labels)
    assert "no value" in labels
    dollars = replace(examples.holds(), claim=replace(examples.holds().claim, metric="cost in $ or $x^2$"))
    assert "cost in $ or $x^2$" in plots.strip(dollars, name="x")


def test_nothing_measured_is_drawn_as_such():
    nothing = replace(examples.crashed(), arms={})
    assert ">no value<" in plots.strip(nothing, name="x")


def test_many_seeds_and_arms_stay_small():
    draw = random.Random(0)
    arms = {name: [draw.random() for _ in range(20)] for name in ("super", "standard", *"abcdef")}
    drawn = plots.strip(replace(examples.holds(), arms=arms), name="attention-super-better")
    assert len(drawn.encode()) < 40_000


def test_the_overview_has_a_square_per_claim():
    papers = [examples.attention(), examples.hyperfusion()]
    root = ElementTree.fromstring(plots.overview(papers, name="o"))
    signs = [node.text for node in root.iter(f"{SVG}text")]
    assert [signs.count(sign) for sign in "✓✗?"] == [4, 2, 5]
    assert signs.index("attention") < signs.index("hyperfusion")
    assert "attention: 3 hold, 2 fail, 4 undecided" in root.get("aria-label", "")
    many = replace(papers[0], claims=papers[0].claims * 4)
    heights = [
        float(ElementTree.fromstring(plots.overview([paper], name="o")).get("viewBox", "").split()[3])
        for paper in (papers[0], many)
    ]
    assert heights[1] == heights[0] + 2 * 24  # 36 claims wrap into three rows


def test_a_file_of_its_own_has_size_card_and_plain_colors():
    inline = plots.strip(examples.holds(), name="x")
    file = standalone(inline)
    assert "var(" not in file
    assert "currentColor" not in file
    root = ElementTree.fromstring(file.encode())
    assert (root.get("width"), root.get("height")) == tuple(root.get("viewBox", "").split()[2:])
    card = root[0]
    assert (card.tag, card.get("fill")) == (f"{SVG}rect", "#ffffff")


def test_tidying_removes_what_would_leak_into_a_page():
    raw = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" height="9pt" '
        'viewBox="0 0 9 9"><metadata>x</metadata><defs><style>*{color:red}</style><clipPath id="p1"/></defs>'
        '<g id="axes_1" clip-path="url(#p1)"><path id="m" d="M 1.23456 2"/><use xlink:href="#m" style="fill: #ff0000"/>'
        "</g></svg>"
    )
    done = tidy(raw, name="n", label='a "b" <c>', colors={"#ff0000": "warn"})
    assert "metadata" not in done
    assert "color:red" not in done
    assert "axes_1" not in done
    assert 'clip-path="url(#n-0)"' in done
    assert "M 1.23 2" in done
    assert "fill:var(--warn,#ff0000)" in done
    assert ElementTree.fromstring(done).get("aria-label") == 'a "b" <c>'


def test_an_image_keeps_small_scales_and_broken_drawings_stay_as_they_are():
    raw = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><g><g><image transform="scale(0.00412345)"/></g></g>'
        '<text style="font: 10px sans">one<tspan>two</tspan> three</text></svg>'
    )
    shown = ElementTree.fromstring(urllib.parse.unquote(address(raw).partition(",")[2]))
    assert [child.tag.rpartition("}")[2] for child in shown] == ["image", "text"]
    assert shown[0].get("transform") == "scale(0.00412)"
    assert "".join(shown[1].itertext()) == "onetwo three"
    assert urllib.parse.unquote(address("<svg>&").partition(",")[2]) == "<svg>&"


def test_a_foreign_style_file_changes_nothing(tmp_path):
    """The drawing does not depend on the machine's matplotlib settings, nor on the process's hash seed."""
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\naxes.grid: True\n")
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import report_examples as e; from visus.report import plots\n"
        "sys.stdout.buffer.write(plots.strip(e.holds(), name='x', lang='zh').encode())"
    )
    env = {"MATPLOTLIBRC": str(tmp_path), "PYTHONHASHSEED": "7", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout.decode() == plots.strip(examples.holds(), name="x", lang="zh")
