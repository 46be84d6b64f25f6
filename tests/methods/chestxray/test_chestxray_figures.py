"""Pictures: what the colors and lines stand for, what is refused, and the report's figures."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from visus.errors import InputError
from visus.methods.chestxray.claims import CLAIMS, EXPERIMENTS
from visus.methods.chestxray.claims.samples import Samples, write_samples
from visus.methods.chestxray.figures import (
    Case,
    draw_arms,
    draw_cases,
    draw_confusion,
    draw_explained,
    draw_reliability,
    draw_roc,
    figures,
    overlay,
    png,
)
from visus.methods.chestxray.figures.cases import GAP
from visus.methods.chestxray.figures.overlay import STRENGTH, colored, drawn_size, legend, region
from visus.protocols import Evidence, PaperEvidence


def test_without_a_map_the_radiograph_stays_gray():
    image = np.linspace(0, 1, 400 * 300).reshape(400, 300)
    drawn = overlay(image, None)
    np.testing.assert_array_equal(drawn, np.repeat(np.rint(255 * image)[..., None], 3, axis=2))
    np.testing.assert_array_equal(overlay(image, np.zeros((4, 3))), drawn)


def test_the_color_is_mixed_by_the_map_relative_to_its_maximum():
    image, map = np.full((400, 400), 0.4), np.zeros((400, 400))
    map[:, 200:], map[:, 300:] = 0.5, 2.0
    drawn = overlay(image, map, line=False)
    assert drawn[10, 10].tolist() == [102, 102, 102]
    for column, share in ((210, 0.25), (390, 1.0)):
        strength = STRENGTH * share**0.7
        expected = (1 - strength) * 102 + strength * colored(np.array(share))
        np.testing.assert_allclose(drawn[10, column], expected, atol=1)


def test_colors_become_brighter_with_the_value():
    colors = colored(np.linspace(0, 1, 101)) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(colors) > 0).all()


@given(
    st.lists(st.floats(0, 1, allow_subnormal=False), min_size=4, max_size=40).filter(
        lambda values: sum(values) > 0
    ),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_the_region_is_the_smallest_that_holds_its_share(values, share):
    map = np.array(values)[None]
    inside = region(map, share=share)
    held = map[inside].sum() / map.sum()
    assert held >= share - 1e-9
    least = map[inside].min()
    assert (map[~inside] < least).all()
    without = map[inside & (map > least)].sum() / map.sum()  # leaving out the lowest level is too little
    assert without < share + 1e-9


def test_the_line_surrounds_half_of_the_map():
    y, x = np.mgrid[0:400, 0:400]
    map = np.exp(-((x - 250) ** 2 + (y - 120) ** 2) / (2 * 40**2))
    with_line, without = overlay(np.zeros((400, 400)), map), overlay(np.zeros((400, 400)), map, line=False)
    white = (with_line == 255).all(-1) & ~(without == 255).all(-1)
    rows, columns = np.nonzero(white)
    radius = np.hypot(columns - 250, rows - 120)
    assert len(radius) > 100
    np.testing.assert_allclose(radius, 40 * np.sqrt(2 * np.log(2)), atol=1.5)  # a Gaussian's median radius


@pytest.mark.parametrize("shape", [(64, 48), (1, 1), (3, 2000), (2000, 1500), (700, 640)])
def test_sizes_are_bounded_and_keep_the_proportions(shape):
    size = drawn_size(shape)
    assert 320 <= max(size) <= 1024
    if min(size) > 20:
        assert size[0] / size[1] == pytest.approx(shape[0] / shape[1], rel=0.03)
    drawn = overlay(np.random.default_rng(0).random(shape), np.ones((5, 4)), words="predicted gaze")
    assert drawn.shape[1] == size[1]
    assert drawn.shape[0] > size[0]
    assert max(drawn_size(shape, most=480)) <= 480


def test_the_legend_has_the_colors_in_order_and_grows_with_its_words():
    strip = legend(400, "predicted gaze")
    row = next(row for row in strip if (row == [60, 20, 110]).all(-1).any())
    colors = row[(row.astype(int).sum(1) < 700)]
    light = colors @ np.array([0.299, 0.587, 0.114])
    inner = light[20:-60]
    assert (np.diff(inner) > -2).all()
    assert len(legend(400, "a map " * 30)) > len(strip)
    assert len(legend(400, "radiograph", bar=False)) < len(strip)


@pytest.mark.parametrize(
    ("image", "map"),
    [
        (np.zeros((1, 4, 4)), None),
        (np.full((4, 4), np.nan), None),
        (np.zeros((4, 4)), np.zeros((0, 4))),
        (np.zeros((4, 4)), np.array([[np.inf]])),
    ],
)
def test_what_is_no_picture_is_refused(image, map):
    with pytest.raises(InputError, match=r"has shape|not finite"):
        overlay(image, map)


def test_png_holds_the_pixels_and_nothing_else():
    picture = np.random.default_rng(0).integers(0, 255, (7, 5, 3), dtype=np.uint8)
    opened = Image.open(io.BytesIO(png(picture)))
    np.testing.assert_array_equal(np.asarray(opened), picture)
    assert opened.info == {}


def test_an_explanation_has_a_panel_per_map():
    image, map = np.random.default_rng(0).random((400, 300)), np.random.default_rng(1).random((20, 15))
    evidence = {"Normal": np.zeros((20, 15)), "CHF": map}
    shares = {"Normal": 0.25, "CHF": 0.75}
    with_gaze = draw_explained(image, map, evidence, probabilities=shares)
    without = draw_explained(image, None, evidence, probabilities=shares)
    assert with_gaze.shape[1] == without.shape[1] == 3 * 300 + 2 * GAP
    assert with_gaze.shape[0] == 2 * without.shape[0] + GAP
    last = overlay(image, map, words="Grad-CAM of CHF, probability 0.75", line=False)
    below = without.shape[0] + GAP
    np.testing.assert_array_equal(with_gaze[below : below + len(last), :300], last)
    np.testing.assert_array_equal(without[: len(last), 2 * (300 + GAP) :], last)
    assert (with_gaze[below:, 300:] == 255).all()


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_reliability_tells_both_calibration_errors():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 2 * np.eye(3)[truth]
    before, after = (np.exp(k * logits) / np.exp(k * logits).sum(1, keepdims=True) for k in (3, 1))
    from visus.metrics import expected_calibration_error

    svg = draw_reliability(truth, before, after)
    for name, values in (("as trained", before), ("with temperature", after)):
        error = expected_calibration_error(truth, values, bins=15)
        assert f"{name} (ECE {error:.3f})" in texts(svg)
    assert svg == draw_reliability(truth, before, after)


def test_roc_and_confusion_show_their_numbers():
    svg = draw_roc({"CHF": ([0, 0.5, 1], [0, 1, 1], 0.75)})
    assert "CHF (AUC 0.750)" in texts(svg)
    with pytest.raises(InputError, match="has no curve"):
        draw_roc({})
    svg = draw_confusion(np.array([[3, 1], [0, 12345]]), ("Normal", "CHF"))
    assert {"3", "1", "0", "12,345", "Normal", "CHF"} <= set(texts(svg))
    with pytest.raises(InputError, match="for 3 classes"):
        draw_confusion(np.zeros((2, 2), dtype=int), ("a", "b", "c"))


def test_arms_that_were_not_measured_leave_a_gap():
    svg = draw_arms({"AUC": {"joint": [0.8, 0.9], "odd_arm": [float("nan")]}, "CC": {"mtunet": [0.2]}})
    assert {"joint from scratch", "odd arm", "MT-UNet", "AUC", "CC"} <= set(texts(svg))
    with pytest.raises(InputError, match="has no measure"):
        draw_arms({})


def test_cases_need_the_same_maps():
    image = np.zeros((20, 16))
    one, other = Case(image=image, maps={"a": image}), Case(image=image, maps={"b": image})
    with pytest.raises(InputError, match="different maps"):
        draw_cases([one, other])
    with pytest.raises(InputError, match="has no case"):
        draw_cases([])
    svg = draw_cases([replace(one, title="first"), replace(one, title="second")])
    assert svg.count("<image") == 4
    assert {"radiograph", "a", "first", "second"} <= set(texts(svg))


def evidence_of(experiments: set[str]) -> PaperEvidence:
    rng = np.random.default_rng(0)
    arms = {experiment.name: experiment.arms for experiment in EXPERIMENTS}
    found = [
        Evidence(
            claim=claim,
            arms={arm: rng.uniform(0.4, 0.9, 3).tolist() for arm in arms[claim.experiment]},
            effect=0.0,
            interval=(0.0, 0.0),
            verdict="undecided",
        )
        for claim in CLAIMS
        if claim.experiment in experiments
    ]
    return PaperEvidence(slug="chestxray", arxiv="2403.16970", claims=found)


def test_the_report_draws_what_was_measured_and_what_trials_left(tmp_path):
    assert figures(evidence_of({"laws"})) == []
    bare = figures(evidence_of({"stages", "large"}))
    assert [figure.name for figure in bare] == ["chestxray-stages", "chestxray-large", "chestxray-world"]
    assert "staged, same total" in texts(bare[0].svg)
    assert {"Normal", "CHF", "pneumonia"} <= set(texts(bare[2].svg))
    rng = np.random.default_rng(0)
    truth = rng.random((6, 16, 16)).astype(np.float32)
    truth /= truth.sum((1, 2), keepdims=True)
    for arm in ("joint", "dense"):
        left = Samples(
            image=rng.random((6, 16, 16)).astype(np.float32),
            truth=truth,
            predicted=truth if arm == "joint" else truth[::-1].copy(),
            probabilities=np.full((6, 3), 1 / 3, dtype=np.float32),
            label=np.array([0, 0, 1, 1, 2, 2]),
            test_logits=rng.normal(size=(30, 3)).astype(np.float32),
            test_probabilities=np.full((30, 3), 1 / 3, dtype=np.float32),
            test_label=np.arange(30) % 3,
            classes=("CHF", "Normal", "pneumonia"),
            names=tuple("abcdef"),
        )
        write_samples(tmp_path / arm, left)
    folders = {f"stages/{arm}/0": tmp_path / arm for arm in ("joint", "dense")}
    drawn = figures(replace(evidence_of({"stages"}), folders=folders))
    assert [figure.name for figure in drawn] == [
        "chestxray-stages",
        "chestxray-maps",
        "chestxray-calibration",
        "chestxray-world",
    ]
    assert "on 30 test images" in drawn[2].caption
    shown = texts(drawn[1].svg)
    assert {"radiograph", "recorded gaze", "joint", "Grad-CAM"} <= set(shown)
    assert sum("good case; CC: joint 1.00" in text for text in shown) == 2
    assert all(figure.caption and figure.caption_zh for figure in drawn)
    flat = replace(left, predicted=np.full_like(truth, 1 / 256))
    write_samples(tmp_path / "dense", flat)
    again = figures(replace(evidence_of({"stages"}), folders=folders))
    assert "Grad-CAM" not in texts(again[1].svg)
