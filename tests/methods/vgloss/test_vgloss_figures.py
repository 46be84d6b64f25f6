"""Figures: what is in them, and what is refused."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from visus.errors import InputError
from visus.methods.vgloss.estimator import Evidence as Sentence
from visus.methods.vgloss.figures import (
    draw_card,
    draw_differences,
    draw_evidence,
    draw_quality,
    figures,
)
from visus.methods.vgloss.model.quality import quality_report
from visus.methods.vgloss.verbs.shared import SMALLEST, thumbnail
from visus.protocols import Claim, Evidence, PaperEvidence


def words(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_differences_stand_in_their_cells() -> None:
    values = np.array([[0, 0.123], [-0.123, 0]])
    drawn = words(draw_differences(["one", "two"], values, np.array([[False, True], [True, False]])))
    assert "+12.3" in drawn
    assert "-12.3" in drawn
    with pytest.raises(InputError, match="two or more"):
        draw_differences(["one"], np.zeros((1, 1)), np.zeros((1, 1), dtype=bool))


def test_sentences_with_cosines_beside_the_picture() -> None:
    said = [
        Sentence("a", "it is red and has a very long description " * 4, 0.25, 0.01),
        Sentence("b", "it is blue", 0.125, -0.02),
        Sentence("c", "belongs to neither", 0.9, 0.5),
    ]
    called = {"a": "apple", "b": "berry"}
    plain = draw_evidence(said, label="a", other="b", called=called)
    drawn = words(plain)
    assert all(word in drawn for word in ("said of apple", "said of berry", "cos 0.250", "it is blue", "…"))
    assert "neither" not in drawn
    shown = draw_evidence(
        said, label="a", other="b", called=called, picture=np.zeros((20, 30, 3), dtype=np.uint8)
    )
    assert ("<image" in plain, "<image" in shown) == (False, True)
    with pytest.raises(InputError, match="nothing to draw"):
        draw_evidence([], label="a", other="b", called=called)


def test_cards_and_thumbnails_are_pictures() -> None:
    tall = Image.new("RGB", (50, 200), "red")
    card = Image.open(BytesIO(draw_card(tall, "owl 90 %", "An owl is brown. " * 9)))
    flat = Image.open(BytesIO(draw_card(tall.rotate(90, expand=True), "owl", "brown")))
    assert card.width == flat.width
    assert card.height > flat.height
    assert card.convert("RGB").getpixel((30, 100)) == (255, 0, 0)
    small = Image.open(BytesIO(thumbnail(Image.new("RGB", (32, 16)))))
    assert small.size == (SMALLEST, SMALLEST // 2)


def test_quality_is_red_beyond_its_bound() -> None:
    good = quality_report({"owl": ["An owl has a round brown head."], "ray": ["A ray has a flat gray body."]})
    bad = quality_report({"owl": ["It lives near a ray."], "ray": ["It lives near a ray."]})
    red = "#d55e00"
    assert red not in draw_quality(good)
    assert red in draw_quality(bad)
    assert "name another class" in words(draw_quality(good))


def claim(metric: str, *, exact: bool = False) -> Claim:
    return Claim(
        id=f"id-{metric}",
        statement="s",
        statement_zh="s",
        experiment="proxy",
        candidate="semantic",
        reference="name",
        metric=metric,
        direction="higher",
        smallest_effect=0.0,
        exact=exact,
    )


def test_the_report_draws_measured_arms_and_decisions(tmp_path: Path) -> None:
    arms = {"semantic": [0.3, 0.32], "name": [0.2, float("nan")], "cupl4": [float("nan")] * 2}
    measured = Evidence(claim=claim("top1"), arms=arms, effect=0.1, interval=(0.0, 0.2), verdict="holds")
    exact = Evidence(claim=claim("law", exact=True), arms=arms, effect=0, interval=(0, 0), verdict="holds")
    said = [{"name": "owl", "text": "it is brown", "similarity": 0.3, "effect": 0.1}]
    decision = [{"label": "owl", "runner_up": "ray", "target": "ray", "evidence": said}]
    (tmp_path / "decisions.json").write_text(json.dumps(decision))
    paper = PaperEvidence(
        slug="vgloss",
        arxiv="2306.06077",
        claims=[measured, exact],
        experiments={"proxy": {"title": "Real photos", "title_zh": "真实照片", "budget": ""}},
        folders={"proxy/semantic/0": tmp_path},
    )
    found = figures(paper)
    assert [figure.name for figure in found] == ["vgloss-proxy-top1", "vgloss-decision-1"]
    drawn = words(found[0].svg)
    assert "name, kind, definition" in drawn
    assert "CuPL" not in drawn, "an arm without a value is not drawn"
    assert "it is a ray" in found[1].caption
    assert all(figure.caption_zh for figure in found)
    assert figures(PaperEvidence(slug="vgloss", arxiv="2306.06077")) == []
