"""Every drawing is well-formed, deterministic SVG that shows what it was given."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from visus.drawing import GRAY, GREEN, SERIES, VERMILION
from visus.engine import Run
from visus.errors import InputError
from visus.methods.nsi.claims import CLAIMS
from visus.methods.nsi.claims.contest import compete
from visus.methods.nsi.claims.data import SMOKE, scenes_of
from visus.methods.nsi.claims.samples import keep_samples, read_samples
from visus.methods.nsi.figures import (
    Found,
    Scene,
    draw_grounding,
    draw_recalls,
    draw_retrieval,
    draw_scores,
    figures,
)
from visus.methods.nsi.figures.charts import NAMES
from visus.methods.nsi.figures.pictures import TINT, _colors, _tinted, told
from visus.protocols import Evidence, PaperEvidence

if TYPE_CHECKING:
    from visus.methods.nsi.baselines import Grounded

RNG = np.random.default_rng(0)
OBJECTS = [
    {"shape": "cube", "size": "large", "position": (0.25, 1.0, 0.5)},
    {"shape": "ring", "size": "small", "position": (1.0, 2.0, 0.5)},
    {"shape": "gem", "size": "small", "position": (2.0, 2.0, 0.5)},
]
SCENE = Scene(
    image=RNG.random((3, 8, 8)),
    slots=np.arange(64).reshape(8, 8) // 16,
    objects=OBJECTS,
    carried=[2, 0, 2],
)
FOUND = Found(query=OBJECTS, images=list(RNG.random((4, 3, 8, 8))), right=2, rank=3)
TABLE = {"recall": {"nsi": [0.1, 0.2], "hmc": [0.3, float("nan")]}, "accuracy": {"nsi": [0.5]}}


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_grounding([SCENE, SCENE], title="slots"),
        lambda: draw_retrieval([FOUND], title="searches"),
        lambda: draw_recalls(TABLE, chance={"recall": 0.05}, title="arms"),
        lambda: draw_scores(RNG.permutation(36).reshape(6, 6) * 0 + np.eye(6)),
    ],
    ids=["grounding", "retrieval", "recalls", "scores"],
)
def test_the_same_numbers_give_the_same_drawing(draw):
    svg = draw()
    assert svg == draw()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in svg


def test_every_object_is_told_beside_its_slot():
    shown = texts(draw_grounding([SCENE]))
    assert shown == [
        "slot 1: ring small (1.0, 2.0, 0.5)",
        "slot 3: cube large (0.2, 1.0, 0.5)",
        "slot 3: gem small (2.0, 2.0, 0.5)",
    ]
    lost = dataclasses.replace(SCENE, carried=[-1, 0, 0])
    assert "no slot: cube large (0.2, 1.0, 0.5)" in texts(draw_grounding([lost]))


def test_slots_are_tinted_in_the_colors_of_their_lines():
    colors = _colors(SCENE)
    assert colors == {0: SERIES[0], 2: SERIES[1]}
    picture = _tinted(SCENE, colors)
    gray = SCENE.image.mean(0)
    for row, color in ((0, SERIES[0]), (2, GRAY), (4, SERIES[1]), (6, GRAY)):
        expected = gray[row, 3] * (1 - TINT) + np.array(to_rgb(color)) * TINT
        np.testing.assert_allclose(picture[row, 3], expected)


def test_right_and_wrong_pictures_are_framed():
    svg = draw_retrieval([FOUND])
    # four sides each: one right picture, three wrong ones
    assert svg.count(f"stroke: {GREEN}") == 4
    assert svg.count(f"stroke: {VERMILION}") == 12
    assert "right picture: place 3" in texts(svg)
    missed = draw_retrieval([dataclasses.replace(FOUND, right=None, rank=1234)])
    assert GREEN not in missed
    assert "right picture: place 1,234" in texts(missed)


def test_scores_tell_how_many_rows_are_right():
    table = np.eye(5)
    table[3] = [9, 0, 0, 1, 0]
    assert "own program best for 4 of 5 pictures (dark frames)" in texts(draw_scores(table))
    assert draw_scores(table) == draw_scores(table * 7 + np.arange(5)[:, None])  # a row's own scale


def test_measures_have_their_arms():
    shown = texts(draw_recalls(TABLE, chance={}))
    assert {"recall", "accuracy", NAMES["nsi"], NAMES["hmc"]} <= set(shown)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_grounding([]),
        lambda: draw_retrieval([]),
        lambda: draw_recalls({}, chance={}),
        lambda: draw_scores(np.zeros((2, 3))),
        lambda: draw_scores(np.full((2, 2), np.nan)),
    ],
)
def test_nothing_to_draw_is_an_error(draw):
    with pytest.raises(InputError):
        draw()


def test_objects_in_words():
    assert told({"size": 1.25, "shape": "cube", "box": [0.0, 1.0]}) == "1.2 cube (0.0, 1.0)"


def test_the_report_draws_what_was_measured_and_what_a_trial_left(tmp_path):
    measured = [
        Evidence(
            claim=claim,
            arms={claim.candidate: [0.2, 0.3], claim.reference: [0.1, 0.1]},
            effect=0.1,
            interval=(0.0, 0.2),
            verdict="holds",
        )
        for claim in CLAIMS
    ]
    bare = PaperEvidence(slug="nsi", arxiv="2403.07887", claims=measured)
    assert [figure.name for figure in figures(bare)] == ["nsi-measures"]
    size = dataclasses.replace(SMOKE, gallery=24)
    run = Run(tmp_path, device="cpu", progress=False)
    keep_samples(cast("Grounded", compete("nsi", size, 0, run)), size, 0, tmp_path)
    drawn = figures(dataclasses.replace(bare, folders={"alignment/nsi/0": tmp_path}))
    assert [figure.name for figure in drawn] == [
        "nsi-measures",
        "nsi-grounding",
        "nsi-retrieval",
        "nsi-scores",
    ]
    assert all(figure.caption and figure.caption_zh for figure in drawn)
    assert figures(PaperEvidence(slug="nsi", arxiv="2403.07887")) == []


def test_samples_are_what_the_interpreter_says(tmp_path):
    size = dataclasses.replace(SMOKE, gallery=24)
    contender = cast("Grounded", compete("nsi", size, 1, Run(tmp_path, device="cpu", progress=False)))
    keep_samples(contender, size, 1, tmp_path)
    found = read_samples(tmp_path)
    assert found is not None
    assert found.images.shape == (24, 3, 32, 32)
    assert found.table.shape == (24, 24)
    gallery = scenes_of("gallery", size, 1)
    programs = contender.schema.encode(gallery["objects"])
    embedded = contender.embed(gallery["image"].float() / 255, gallery["boxes"])
    with torch.inference_mode():
        np.testing.assert_allclose(found.table, contender.score(embedded, programs).numpy(), atol=1e-5)
    assert [len(each) for each in found.carried] == [len(each) for each in found.scene_objects]
    assert found.slots.shape == (4, 32, 32)
    assert found.slots.max() < size.slots
    assert read_samples(tmp_path / "nowhere") is None
    assert read_samples(None) is None
