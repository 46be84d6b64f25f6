"""Pictures hold what they claim to show, are the same every time, and survive tiny, large and degenerate complexes."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from visus.drawing import SERIES, many, number, percent
from visus.errors import InputError
from visus.methods.polytopes import census
from visus.methods.polytopes.baselines import random_arrangement, tangent_network
from visus.methods.polytopes.claims import CLAIMS
from visus.methods.polytopes.claims.data import network
from visus.methods.polytopes.figures import (
    cells,
    charts,
    draw_bounds,
    draw_cells,
    draw_exploded,
    draw_histograms,
    draw_history,
    draw_views,
    exploded,
    figures,
    report,
)
from visus.methods.polytopes.figures.cells import polygons
from visus.methods.polytopes.figures.exploded import _back_to_front
from visus.methods.polytopes.figures.scale import SEQUENCE, levels
from visus.protocols import Evidence, PaperEvidence

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    assert svg.startswith("<svg")
    return ElementTree.fromstring(svg)


def words(svg: str) -> str:
    return " ".join("".join(node.itertext()) for node in parsed(svg).iter(f"{SVG}text"))


def shapes(svg: str, collection: str = "PolyCollection_1") -> int:
    group = next(node for node in parsed(svg).iter(f"{SVG}g") if node.get("id") == collection)
    return sum(1 for node in group.iter() if node.tag in (f"{SVG}path", f"{SVG}use"))


def dead(dimension: int) -> nn.Sequential:
    """A layer that never fires: one cell."""
    layer = nn.Linear(dimension, 2).double()
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(-1.0)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 2).double())


@pytest.fixture(scope="module")
def plane():
    return census(network((2, 12, 8), init="kaiming", bias=0.1), (-1.0, 1.0))


@pytest.fixture(scope="module")
def space():
    return census(network((3, 8, 5), init="kaiming", bias=0.1), (-1.0, 1.0))


# ---- colors and words -------------------------------------------------------------------------------------


def luminance(color: str) -> float:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_the_sequence_falls_in_lightness_so_that_order_needs_no_color():
    light = [luminance(color) for color in SEQUENCE]
    assert all(one / other > 1.15 for one, other in itertools.pairwise(light))
    assert len(set(SERIES)) == len(SERIES)


def test_words():
    shares = (0, 0.0004, 0.012, 0.5, 0.9949, 0.996, 0.99999, 1 - 1e-12, 1)
    words = ["0 %", "<0.1 %", "1.2 %", "50 %", "99 %", "99.6 %", "99.9 %", "100 %", "100 %"]
    assert [percent(share) for share in shares] == words
    assert (many(1, "cell"), many(1200, "cell"), number(1e6)) == ("1 cell", "1,200 cells", "1,000,000")
    which, labels = levels([3, 4, 12, 5], first=3, most=4)
    assert which.tolist() == [0, 1, 3, 2]
    assert labels == ["3", "4", "5", "6+"]
    assert levels([4, 4], first=3)[1] == ["3", "4"]


# ---- cells in the plane -----------------------------------------------------------------------------------


def test_polygons_are_the_cells(plane):
    found = polygons(plane.lattice)
    assert len(found) == plane.num_cells
    for cell, corners in enumerate(found):
        x, y = corners.T
        area = 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))
        assert area == pytest.approx(float(plane.volumes[cell]), rel=1e-9)
        assert len(corners) == int(plane.num_facets[cell])


def test_a_picture_of_the_plane_holds_every_cell(plane):
    svg = draw_cells(plane, boundary=False)
    assert shapes(svg) == plane.num_cells
    said = words(svg)
    assert f"{plane.num_cells} cells" in said
    share = float((plane.num_simplices() == 1).double().mean())
    assert percent(share) in said
    assert svg == draw_cells(plane, boundary=False)
    assert not list(parsed(svg).iter(f"{SVG}image"))
    assert "Mine" in words(draw_cells(plane, title="Mine", color_by="num_facets"))


def test_the_decision_boundary_and_points_are_laid_over(plane):
    model = network((2, 12, 8), init="kaiming", bias=0.1)
    with torch.no_grad():
        model[-1].bias.sub_(model(torch.zeros(1, 2).double())[0, 0])  # passes through the middle
    found = census(model, (-1.0, 1.0))
    svg = draw_cells(found)
    assert (
        shapes(svg, "LineCollection_1") == shapes(svg, "LineCollection_2") == len(found.decision_boundary())
    )
    points = np.random.default_rng(0).uniform(-1, 1, (1500, 2))
    labels = np.where(points[:, 0] > 0, "right", "left")
    svg = draw_cells(found, points=points, labels=labels)
    drawn = len(re.findall(r"<use ", svg)) - len(re.findall(r"<use ", draw_cells(found)))
    assert 500 <= drawn <= cells.MOST_POINTS + 4
    assert {"left", "right"} <= set(words(svg).split())
    assert "left" not in words(draw_cells(found, points=points))


def test_many_cells_become_pixels(monkeypatch, plane):
    monkeypatch.setattr(cells, "MOST_SHAPES", 20)
    svg = draw_cells(plane)
    assert f"{plane.num_cells} cells" in words(svg)
    assert len(list(parsed(svg).iter(f"{SVG}image"))) >= 1
    assert svg == draw_cells(plane)


def test_ten_thousand_cells_are_drawn_within_a_megabyte():
    found = census(random_arrangement(230, 2), (-1.0, 1.0))
    assert found.num_cells > 8000
    assert len(draw_cells(found, boundary=False)) < 1_500_000


@pytest.mark.parametrize("box", [(-1.0, 1.0), ([-50.0, -1.0], [50.0, 1.0]), ([0.0, 0.0], [1e-3, 4e-3])])
def test_boxes_of_any_form(box):
    svg = draw_cells(census(network((2, 6, 4), bias=0.1), box))
    _, _, width, height = map(float, parsed(svg).get("viewBox").split())
    assert 300 < width < 500
    assert 100 < height < 800


def test_one_cell_and_degenerate_cells_are_drawn():
    assert "1 cell" in words(draw_cells(census(dead(2), (-1.0, 1.0))))
    assert "1 cell" in words(draw_exploded(census(dead(3), (-1.0, 1.0))))
    cones = census(network((2, 9, 5), bias=0.0), (-1.0, 1.0))
    assert shapes(draw_cells(cones, boundary=False)) == cones.num_cells
    assert shapes(draw_exploded(census(network((3, 6, 3), bias=0.0), (-1.0, 1.0)))) > 10
    assert "8+" in words(draw_cells(census(tangent_network(24, 2), (-1.0, 1.0))))


def test_other_dimensions_are_refused(plane, space):
    with pytest.raises(InputError, match="dimension"):
        draw_cells(space)
    with pytest.raises(InputError, match="dimension"):
        draw_exploded(plane)


# ---- cells in space ---------------------------------------------------------------------------------------


def test_an_exploded_picture_shows_the_facets_towards_the_viewer(space):
    svg = draw_exploded(space, most=space.num_cells)
    facets = int(space.num_facets.sum())
    assert facets / 3 < shapes(svg) < 2 * facets / 3
    assert f"{space.num_cells} cells" in words(svg)
    assert svg == draw_exploded(space, most=space.num_cells)
    assert svg != draw_exploded(space, most=space.num_cells, gap=0.8)


def test_the_largest_of_many_cells_are_shown_with_a_note(space):
    said = words(draw_exploded(space, most=12))
    assert f"the 12 largest of {space.num_cells} cells" in said
    share = float(space.volumes.sort(descending=True).values[:12].sum() / 8)
    assert percent(share) in said


@pytest.mark.parametrize(("azimuth", "elevation"), [(30.0, 22.0), (200.0, -10.0), (0.0, 89.0)])
def test_cells_are_painted_from_back_to_front(space, azimuth, elevation):
    """Before they are pulled apart, no cell may cover one that a line of sight meets first."""
    view = exploded._view(azimuth, elevation)
    assert np.allclose(view @ view.T, np.eye(3))
    assert np.linalg.det(view) == pytest.approx(1.0)
    rows = space.lattice.rows[1].numpy()
    centers = space.centroids.numpy()
    faces = polygons(space.lattice)
    towards = []
    for cell, face in rows:
        normal = exploded._normal(faces[face])
        towards.append(np.sign((faces[face].mean(0) - centers[cell]) @ normal) * (normal @ view[2]))
    order = _back_to_front(rows, np.array(towards), centers @ view[2])
    assert sorted(order) == list(range(space.num_cells))
    place = np.argsort(order)
    codes = 1 << np.arange(space.num_signs)
    pattern = {int(code): cell for cell, code in enumerate(space.patterns().numpy() @ codes)}
    model = network((3, 8, 5), init="kaiming", bias=0.1)
    rng = np.random.default_rng(0)
    for _ in range(40):
        start = rng.uniform(-0.9, 0.9, 3)
        line = start + np.linspace(-1.5, 1.5, 400)[:, None] * view[2]
        line = torch.from_numpy(line[(np.abs(line) < 0.999).all(1)])
        with torch.no_grad():
            first = model[0](line)
            second = model[2](torch.relu(first))
        met = [pattern[int(code)] for code in (torch.cat([first, second], 1) > 0).numpy() @ codes]
        seen = [place[cell] for cell in dict.fromkeys(met)]
        assert seen == sorted(seen)


def test_a_circle_of_cells_in_front_of_each_other_is_broken_by_depth():
    rows = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [0, 2]])
    towards = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    assert sorted(_back_to_front(rows, towards, np.array([0.3, 0.1, 0.2]))) == [0, 1, 2]
    assert _back_to_front(rows[:2], towards[:2], np.array([0.9, 0.1])) == [0, 1]


# ---- charts -----------------------------------------------------------------------------------------------


def test_histograms_tell_shares_and_means(space, plane):
    one, two = space.tally("pull"), census(network((3, 7, 5)), (-1.0, 1.0)).tally("pull")
    svg = draw_histograms({"one": one, "two": two}, title="Two networks")
    said = words(svg)
    for name, tally in (("one", one), ("two", two)):
        share = percent(tally.share("num_simplices", 7))
        assert f"{name}: {share} up to 7, mean {tally.mean('num_simplices'):.2f}" in said
        assert f"largest {tally.largest('num_simplices')}" in said
    assert "Two networks" in said
    assert svg == draw_histograms({"one": one, "two": two}, title="Two networks")
    by_volume = words(draw_histograms({"x": plane.tally()}, measure="num_facets", weight="volume"))
    assert "share of the volume" in by_volume
    assert "up to" not in by_volume
    assert "up to 4" in words(draw_histograms({"x": plane.tally()}, measure="num_facets", at_most=4))
    assert "largest 2" in words(draw_histograms({"one cell": census(dead(2), (-1.0, 1.0)).tally()}))


def test_two_views_of_one_census(space):
    tally, said = space.tally(), words(draw_views(space.tally(), title="Two views"))
    for name, weight, more in (
        ("cells", "cells", f", largest {tally.largest('num_simplices')}"),
        ("volume",) * 2 + ("",),
    ):
        share = percent(tally.share("num_simplices", 7, weight))
        mean = tally.mean("num_simplices", weight)
        assert f"share of the {name}: {share} up to 7, mean {mean:.2f}{more}" in said
    assert "Two views" in said
    assert "up to" not in words(draw_views(tally, measure="num_facets"))
    assert draw_views(tally) == draw_views(tally)


def test_braces_in_a_name_are_letters(plane):
    assert "{net}" in words(draw_histograms({"{net}": plane.tally()}))


def test_too_many_or_no_histograms_are_refused(plane):
    for count in (0, charts.MOST_SERIES + 1):
        with pytest.raises(InputError, match="tallies"):
            draw_histograms({str(i): plane.tally() for i in range(count)})


def test_history_shows_counts_and_epochs(space):
    other = census(network((3, 9, 6)), (-1.0, 1.0))
    tallies = [space.tally(), other.tally(), other.tally()]
    said = words(draw_history([0, 10, 200], tallies, scores={"accuracy": [0.5, 0.8, 0.9]}, title="Run"))
    for text in ("0", "10", "200", "epoch", "accuracy", "Run", "share of the cells with up to 7 simplices"):
        assert text in said
    assert draw_history([0], tallies[:1]).startswith("<svg")
    many_epochs = words(draw_history(list(range(60)), tallies * 20))
    assert "55" in many_epochs
    assert "57" not in many_epochs.split()
    for wrong in (([], []), ([0, 1], tallies)):
        with pytest.raises(InputError, match="epochs"):
            draw_history(*wrong)
    with pytest.raises(InputError, match="epochs"):
        draw_history([0, 1, 2], tallies, scores={"accuracy": [0.5]})


def test_bounds_name_the_bound():
    said = words(draw_bounds({"flat": [5.9, 5.95]}, {"flat": [900, 1000]}, dimension=3))
    assert "2 d = 6" in said
    assert "flat" in said
    assert "1,000" in said
    said = words(draw_bounds({"a": [5.9], "b": [5.8]}, {"a": [90], "b": [90_000]}, dimension=3))
    assert "10,000" in said
    assert words(draw_bounds({"one": [0.0]}, {"one": [1.0]}, dimension=2)).count("2 d = 4") == 1
    with pytest.raises(InputError, match="means"):
        draw_bounds({}, {}, dimension=3)
    with pytest.raises(InputError, match="means"):
        draw_bounds({"a": [1.0]}, {"b": [1.0]}, dimension=3)


# ---- the report -------------------------------------------------------------------------------------------


def evidence(*experiments: str) -> PaperEvidence:
    values = {"mean_facets": [5.99, 6.0, 6.01], "num_cells": [1e3, 2e3, 3e3]}
    found = [
        Evidence(
            claim=claim,
            arms={
                arm: values.get(claim.metric, [0.7, 0.71, 0.72]) for arm in (claim.candidate, claim.reference)
            },
            effect=0.0,
            interval=(0.0, 0.0),
            verdict="holds",
        )
        for claim in CLAIMS
        if claim.experiment in experiments
    ]
    return PaperEvidence(slug="polytopes", arxiv="2305.09145", claims=found)


def test_figures_belong_to_what_was_measured(monkeypatch):
    monkeypatch.setattr(report, "HISTOGRAM", (3, 9, 6))
    monkeypatch.setattr(report, "TRAINED", (3, 6, 5))
    monkeypatch.setattr(report, "EPOCHS", (0, 1, 3))
    monkeypatch.setattr(report, "SIZES", ((3, 5), (3, 6, 5)))
    assert figures(evidence()) == []
    drawn = figures(evidence("plane", "contrast", "initialization", "depth", "training"))
    names = [figure.name for figure in drawn]
    assert names == [f"polytopes-{name}" for name in NAMES]
    for figure in drawn:
        parsed(figure.svg)
        assert figure.caption.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", figure.caption_zh)
    assert "3-6-5" in words(drawn[-1].svg)
    assert [figure.name for figure in figures(evidence("depth"))] == ["polytopes-plane", "polytopes-bounds"]


NAMES = ("plane", "contrast", "histograms", "training", "training-histogram", "bounds")
