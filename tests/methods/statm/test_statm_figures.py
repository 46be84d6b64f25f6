"""Pictures hold what they claim to show, are the same every time, and refuse what cannot be drawn."""

from __future__ import annotations

import base64
import io
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from visus.data.worlds.scenes import SceneVideos
from visus.drawing import FAINT, SERIES
from visus.errors import InputError
from visus.methods.statm.baselines import build_predictor
from visus.methods.statm.claims import CLAIMS
from visus.methods.statm.figures import (
    draw_costs,
    draw_paths,
    draw_scores,
    draw_strip,
    draw_timeline,
    figures,
    report,
)
from visus.protocols import Evidence, PaperEvidence

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    assert svg.startswith("<svg")
    return ElementTree.fromstring(svg)


def words(svg: str) -> list[str]:
    return ["".join(node.itertext()).strip() for node in parsed(svg).iter(f"{SVG}text")]


def marks(svg: str) -> int:
    """Markers that are drawn, of all shapes."""
    return len(re.findall(r"<use ", svg))


def filled(svg: str, color: str) -> int:
    return svg.count(f"fill: {color}")


def rows_of_pixels(svg: str) -> list[np.ndarray]:
    """The pictures inside a drawing, from top to bottom."""
    found = re.findall(r'xlink:href="data:image/png;base64,([^"]+)"', svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


@pytest.fixture(scope="module")
def clip():
    return SceneVideos(1, frames=12, size=32, objects=(3, 3), seed=1).read(0)


# ---- scores and costs -------------------------------------------------------------------------------------


def test_scores_show_every_seed_and_the_mean():
    panels = {"error": {"savi": [0.3, 0.4, math.nan], "cs": [0.2]}, "other": {"cs": [1.0, 2.0], "as": [3.0]}}
    svg = draw_scores(panels, names={"cs": "the memory"}, unlearned=("savi",), title="Mine")
    assert {"savi", "the memory", "as", "error", "other", "Mine"} <= set(words(svg))
    blank = draw_scores({name: {arm: [1.5] for arm in ("savi", "cs", "as")} for name in panels})
    ticks = marks(blank) - 2 * (3 + 3)
    dots, means = 2 + 1 + 2 + 1, 4
    assert dots + means <= marks(svg) <= dots + means + ticks + 8
    assert svg == draw_scores(panels, names={"cs": "the memory"}, unlearned=("savi",), title="Mine")
    with pytest.raises(InputError, match="no finite value"):
        draw_scores({"error": {"cs": [math.nan]}})


def test_costs_are_drawn_to_scale():
    kinds = {"CS": build_predictor("statm", 16, qkv=16), "SAVi": build_predictor("savi", 16, qkv=16)}
    svg = draw_costs(kinds, slots=3, lengths=(1, 4, 16), title="What it costs")
    assert {"CS", "SAVi", "frames in memory", "numbers remembered", "What it costs"} <= set(words(svg))
    more = draw_costs(
        {**kinds, "again": build_predictor("statm", 16, cache=False)}, slots=3, lengths=(1, 4, 16)
    )
    assert more != svg
    assert "again" in words(more)
    for wrong in ({}, dict.fromkeys(map(str, range(8)), kinds["CS"])):
        with pytest.raises(InputError, match="do not fit"):
            draw_costs(wrong)


# ---- balls ------------------------------------------------------------------------------------------------


def test_paths_tell_the_error_of_every_panel():
    rng = np.random.default_rng(0)
    seen, came = rng.random((2, 8, 3, 2)), rng.random((2, 6, 3, 2))
    foretold = {"right": list(came), "off": list(came + 0.25)}
    svg = draw_paths(list(seen), list(came), foretold, radius=0.1)
    assert {"right", "off"} <= set(words(svg))
    assert words(svg).count("error 0.000") == 2
    assert words(svg).count("error 0.250") == 2
    assert marks(svg) == 2 * 2 * 3 * 6
    with pytest.raises(InputError, match="at least one"):
        draw_paths([], [], foretold, radius=0.1)
    with pytest.raises(InputError, match="off"):
        draw_paths(list(seen), list(came), {"off": [path[:3] for path in came]}, radius=0.1)


# ---- videos -----------------------------------------------------------------------------------------------


def test_a_strip_paints_every_object_in_its_color(clip):
    truth = clip["segmentation"]
    wrong = torch.tensor([0, 2, 1, 3], dtype=torch.uint8)[truth.long()]
    svg = draw_strip(clip["video"], {"truth": truth, "model": wrong}, frames=[0, 5, 11], title="Mine")
    assert {"video", "truth", "model", "0", "5", "11", "Mine"} <= set(words(svg))
    video, below, last = rows_of_pixels(svg)
    assert video.shape == below.shape == last.shape
    assert {tuple(color) for color in below.reshape(-1, 3)} != {tuple(color) for color in last.reshape(-1, 3)}
    assert svg == draw_strip(clip["video"], {"truth": truth, "model": wrong}, frames=[0, 5, 11], title="Mine")


def test_painted_pixels_are_the_masks(clip):
    from visus.methods.statm.figures.strips import _painted

    picture = clip["video"].permute(0, 2, 3, 1).numpy() / 255
    ids = clip["segmentation"].numpy()
    shown = _painted(picture, ids)
    for i in (1, 2, 3):
        expected = 0.3 * picture[ids == i] + 0.7 * np.array(to_rgb(SERIES[i - 1]))
        np.testing.assert_allclose(shown[ids == i], expected)
    np.testing.assert_allclose(shown[ids == 0], 0.35 * picture[ids == 0] + 0.65)


def test_strips_choose_frames_and_refuse_what_does_not_fit(clip):
    svg = draw_strip(clip["video"], {})
    assert [word for word in words(svg) if word.isdigit()] == ["0", "2", "3", "5", "6", "8", "9", "11"]
    with pytest.raises(InputError, match="12 frames"):
        draw_strip(clip["video"], {}, frames=[12])
    with pytest.raises(InputError, match="maps, model"):
        draw_strip(clip["video"], {"model": clip["segmentation"][:, :4]})


def test_a_timeline_shows_who_held_what_when():
    truth = torch.zeros(6, 4, 4, dtype=torch.uint8)
    truth[:, :2, :2] = 1
    truth[[0, 1, 4, 5], 3, 3] = 2
    found = truth.clone()
    found[4:][truth[4:] == 2] = 1  # another slot has it after the gap
    found[2][truth[2] == 1] = 0  # lost for a frame
    svg = draw_timeline(truth, {"kept": truth, "changed": found})
    assert {"object 1, kept", "changed", "object 2, kept", "frame"} <= set(words(svg))
    assert filled(svg, SERIES[0]) == 6 + 5 + 2
    assert filled(svg, SERIES[1]) == 4 + 2
    assert filled(svg, FAINT) == 1
    with pytest.raises(InputError, match="no object"):
        draw_timeline(torch.zeros_like(truth), {"kept": truth})
    with pytest.raises(InputError, match="maps, short"):
        draw_timeline(truth, {"short": truth[:3]})


# ---- the report -------------------------------------------------------------------------------------------


def evidence(*experiments: str, value: float = 0.5) -> PaperEvidence:
    claims = [
        Evidence(
            claim=claim,
            arms={arm: [value, value + 0.1] for arm in (claim.candidate, claim.reference)},
            effect=None,
            interval=None,
            verdict="undecided",
        )
        for claim in CLAIMS
        if claim.experiment in experiments
    ]
    return PaperEvidence(slug="statm", arxiv="2403.15245", claims=claims)


@pytest.mark.parametrize(
    ("experiment", "drawn"),
    [
        ("laws", set()),
        ("operations", {"statm-costs"}),
        ("time", {"statm-costs"}),
        ("tokens", {"statm-tokens"}),
        ("designs", {"statm-designs"}),
        ("occlusion", {"statm-occlusion", "statm-scene"}),
    ],
)
def test_the_report_draws_what_was_measured(experiment, drawn):
    made = figures(evidence(experiment))
    assert {figure.name for figure in made} == drawn
    for figure in made:
        parsed(figure.svg)
        assert figure.caption.endswith(".")
        assert re.search(r"[\u4e00-\u9fff]", figure.caption_zh)
    assert figures(evidence(experiment, value=math.nan)) == []


def test_every_arm_has_a_name():
    for name, names in (
        ("tokens", report.NAMES),
        ("designs", report.NAMES),
        ("occlusion", report.VIDEO_NAMES),
    ):
        arms = {
            arm
            for claim in CLAIMS
            if claim.experiment == name
            for arm in (claim.candidate, claim.reference)
            if arm != "unchanged"
        }
        assert arms <= set(names)
    assert set(report.VIDEO_SCORES) <= {claim.metric for claim in CLAIMS}
    figure = report.tokens_figure("tokens", {"one_step": {arm: [0.1] for arm in ("cs", "copy", "savi")}})
    ordered = [word for word in words(figure.svg) if word in report.NAMES.values()]
    assert ordered == ["copy", "SAVi block, one frame", "CS, all frames"]


def test_paths_are_those_that_the_trials_left(tmp_path):
    from visus.engine import Run
    from visus.methods.statm.claims.tokens import measure_tokens
    from visus.protocols import Trial

    folders = {}
    for arm in report.PATHS:
        assert report.paths_figure(folders) is None
        run = Run(tmp_path / arm, device="cpu", progress=False)
        measure_tokens(Trial(slug="statm", experiment="tokens", arm=arm, seed=0, preset="smoke"), run)
        folders[f"tokens/{arm}/0"] = tmp_path / arm
    figure = report.paths_figure(folders)
    assert figure is not None
    assert {report.NAMES[arm] for arm in report.PATHS} <= set(words(figure.svg))
    assert "worst of 16" in figure.caption
