"""Claims are declared soundly, budgets are what they say, and every arm that needs no real data runs."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from visus.engine import Run
from visus.methods.vgloss import VGlossClassifier
from visus.methods.vgloss.baselines import TEMPLATE
from visus.methods.vgloss.claims import CLAIMS, EXPERIMENTS, clip, contrast
from visus.methods.vgloss.claims.arms import CHANCE, CLIP, CONTRAST, DEMO, GPU, SIZES, SMOKE
from visus.methods.vgloss.claims.samples import DECISIONS, HITS, TEXTS, keep_hits, keep_texts, read_kept
from visus.methods.vgloss.claims.sharing import made_once
from visus.methods.vgloss.claims.statements import LAWS, LEXICON
from visus.methods.vgloss.config import PRESETS, check
from visus.methods.vgloss.figures import figures
from visus.methods.vgloss.model.classes import ClassTexts
from visus.protocols import PaperEvidence, Trial

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
TINY = dataclasses.replace(SMOKE, towers=dataclasses.replace(SMOKE.towers, epochs=1), captioned=64)
UNCLAIMED = {
    ("proxy", "synonyms"),
    ("language", "lexical"),
    ("confusable", "contrastive"),
    ("confusable", "follow_up"),
    ("clip", "template"),
    ("clip", "ensemble"),
}
"""Shown beside the others, with no claim of their own."""


def run_in(folder, seed: int = 0) -> Run:
    run = Run(folder / "trial", seed=seed, device="cpu", progress=False)
    run.cache = folder / "cache"
    return run


def measured(experiment: str, arm: str, run: Run) -> dict[str, float]:
    trial = Trial(slug="vgloss", experiment=experiment, arm=arm, seed=run.seed, preset="smoke")
    return BY_NAME[experiment].measure(trial, run)


def claimed(experiment: str, arm: str) -> set[str]:
    return {
        claim.metric
        for claim in CLAIMS
        if claim.experiment == experiment and arm in (claim.candidate, claim.reference)
    }


# ---- declarations -----------------------------------------------------------------------------------------


def test_claims_name_arms_and_experiments_that_exist():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    assert {claim.experiment for claim in CLAIMS} == set(BY_NAME)
    for claim in CLAIMS:
        assert {claim.candidate, claim.reference} <= set(BY_NAME[claim.experiment].arms), claim.id
        assert claim.statement.endswith("."), claim.id
        assert re.search(r"[\u4e00-\u9fff]", claim.statement_zh), claim.id
        assert claim.exact == (claim in (*LAWS, *LEXICON)), claim.id
        assert claim.exact or (claim.caveat and claim.caveat_zh), claim.id


def test_every_sentence_names_its_smallest_effect():
    for claim in CLAIMS:
        if not claim.exact:
            assert f"{claim.smallest_effect:g}" in claim.statement, claim.id
            assert f"{claim.smallest_effect:g}" in claim.statement_zh, claim.id


def test_margins_are_those_that_were_declared():
    """Fixed before anything was measured: a change here is a change of the claims."""
    margins = {
        (claim.experiment, claim.candidate, claim.reference, claim.metric): claim.smallest_effect
        for claim in CLAIMS
        if not claim.exact
    }
    assert margins == {
        ("proxy", "semantic", "template", "top1"): 0.04,
        ("proxy", "gloss", "name", "top1"): 0.02,
        ("proxy", "hypernym", "name", "top1"): 0.02,
        ("proxy", "waffle", "name", "top1"): 0.02,
        ("proxy", "shuffled", "name", "top1"): 0.5,
        ("proxy", "cupl4", "template", "top1"): 0.02,
        ("proxy", "dclip4", "template", "top1"): 0.02,
        ("proxy", "semantic4", "cupl4", "top1"): 0.0,
        ("proxy", "semantic4", "dclip4", "top1"): 0.0,
        ("proxy", "both", "semantic", "top1"): 0.005,
        ("proxy", "both", "cupl4", "top1"): 0.01,
        ("proxy", "lexical", "template", "top1"): 0.04,
        ("proxy", "chils", "name", "top1"): 0.0,
        ("proxy", "ensemble7", "template", "top1"): 0.02,
        ("language", "smollm2", "name", "prototype_top1"): 0.02,
        ("language", "smollm2", "smollm2_plain", "prototype_top1"): 0.02,
        ("language", "semantic", "smollm2", "prototype_top1"): 0.02,
        ("contrast", "contrastive", "normal", "pair_accuracy"): 0.1,
        ("contrast", "contrastive", "normal", "top1"): -0.01,
        ("contrast", "swapped", "normal", "pair_accuracy"): 0.02,
        ("contrast", "follow_up", "normal", "pair_accuracy"): 0.05,
        ("confusable", "both", "normal", "pair_accuracy"): 0.01,
        ("confusable", "both", "normal", "top1"): -0.01,
        ("confusable", "swapped", "both", "pair_accuracy"): 0.01,
        ("clip", "attributes", "name", "top1"): 0.1,
        ("clip", "attributes", "shuffled", "top1"): 0.1,
        ("clip", "waffle", "name", "top1"): 0.05,
        ("clip", "contrastive", "attributes", "pair_accuracy"): 0.0,
        ("clip", "name", "chance", "top1"): 0.05,
    }


def test_controls_ask_for_what_would_show_them_wrong():
    directions = {
        (claim.experiment, claim.candidate, claim.reference): (claim.direction, claim.comparison)
        for claim in CLAIMS
        if not claim.exact
    }
    expected = {
        ("proxy", "waffle", "name"): ("equal", "difference"),
        ("proxy", "ensemble7", "template"): ("equal", "difference"),
        ("proxy", "shuffled", "name"): ("lower", "ratio"),
        ("contrast", "swapped", "normal"): ("lower", "difference"),
        ("confusable", "swapped", "both"): ("lower", "difference"),
        ("clip", "waffle", "name"): ("equal", "difference"),
        ("clip", "name", "chance"): ("equal", "difference"),
    }
    for pair, told in directions.items():
        assert told == expected.get(pair, ("higher", "difference")), pair


def test_every_arm_is_shown_and_every_preset_told():
    used = {(claim.experiment, arm) for claim in CLAIMS for arm in (claim.candidate, claim.reference)}
    assert {(each.name, arm) for each in EXPERIMENTS for arm in each.arms} - used == UNCLAIMED
    for experiment in EXPERIMENTS:
        assert len(set(experiment.arms)) == len(experiment.arms)
        assert set(experiment.seeds) == set(PRESETS)
        told = experiment.budget
        assert "the same in every preset" in told or all(name in told for name in PRESETS), experiment.name
        exact = {claim.exact for claim in CLAIMS if claim.experiment == experiment.name}
        assert experiment.seeds["demo"] == (1 if exact == {True} else 3)


def test_budgets_tell_the_sizes_that_are_measured():
    for size in (SMOKE, DEMO, GPU):
        for name in ("proxy", "confusable"):
            assert f"{size.classes:,} classes" in BY_NAME[name].budget
        assert f"folds {size.confused}, most neighbors {size.neighbors}" in BY_NAME["confusable"].budget
        assert f"{size.pairs} pairs, {size.pictures:,} pictures" in BY_NAME["contrast"].budget
        towers = size.towers
        for words in (
            f"{size.captioned:,} captioned pictures of {towers.image_size} px, {towers.epochs} epochs",
            f"width {towers.width}, {size.unseen} unseen kinds on {size.judged:,} pictures",
        ):
            assert words in BY_NAME["clip"].budget
        check(towers)
    for size in (DEMO, GPU):
        told = f"{size.written} classes per seed, at most {size.tokens} tokens, of {size.classes:,} classes"
        assert told in BY_NAME["language"].budget
    assert BY_NAME["language"].seeds["smoke"] == 0
    assert SIZES["paper"] is GPU


def test_measures_can_travel_to_other_processes():
    for experiment in EXPERIMENTS:
        assert (
            getattr(inspect.getmodule(experiment.measure), experiment.measure.__name__) is experiment.measure
        )


def test_declarations_need_no_torch_and_reach_the_estimator():
    code = "import sys; import visus.methods.vgloss.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert VGlossClassifier.claims() == list(CLAIMS)
    assert VGlossClassifier.experiments() == list(EXPERIMENTS)


# ---- measures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", ["laws", "contrast"])
def test_smoke_measures_every_metric_that_is_claimed(experiment, tmp_path):
    for arm in BY_NAME[experiment].arms:
        scores = measured(experiment, arm, run_in(tmp_path / arm))
        assert claimed(experiment, arm) <= set(scores), arm
        assert all(np.isfinite(list(scores.values()))), arm


def test_the_laws_hold(tmp_path):
    built, stated = (measured("laws", arm, run_in(tmp_path / arm)) for arm in ("built", "stated"))
    assert built == stated
    assert claimed("laws", "built") == set(built)


def test_planted_arms_differ_as_their_texts_do():
    scores = {arm: contrast.planted_scores(arm, SMOKE, 90_000)["pair_accuracy"] for arm in CONTRAST}
    assert scores["swapped"] < scores["normal"] < scores["contrastive"]
    assert scores["follow_up"] > scores["normal"]


def test_swapping_moves_every_sentence_and_twice_is_nothing():
    classes = ClassTexts(("a", "b"), (("x",), ("y",)), {("a", "b"): ("of a",), ("b", "a"): ("of b",)})
    wrong = contrast.swapped(classes)
    assert wrong.contrastive == {("b", "a"): ("of a",), ("a", "b"): ("of b",)}
    assert contrast.swapped(wrong) == classes


# ---- a CLIP of our own ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    pytest.importorskip("transformers", reason="the small CLIP is a model of transformers")
    return tmp_path_factory.mktemp("clip")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "smoke", TINY)


@pytest.mark.parametrize("arm", [*CLIP, CHANCE])
def test_every_arm_of_the_small_clip_runs_on_one_network(arm, clip_folder, tiny, monkeypatch):
    if any((clip_folder / "cache" / "towers").glob("*/config.yaml")):
        monkeypatch.setattr(VGlossClassifier, "fit", None)  # trained once, by the first arm
    run = run_in(clip_folder)
    scores = measured("clip", arm, run)
    assert claimed("clip", arm) <= set(scores)
    assert all(np.isfinite(list(scores.values())))
    if arm == CHANCE:
        assert scores["top1"] == 1 / TINY.unseen
    if arm == "attributes":
        left = read_kept(run.folder, DECISIONS)
        assert len(left) == clip.SHOWN
        for told in left:
            assert told["label"] != told["runner_up"]
            assert {each["name"] for each in told["evidence"]} == {told["label"], told["runner_up"]}
        drawn = figures(PaperEvidence(slug="vgloss", arxiv="", folders={"clip/attributes/0": run.folder}))
        assert [figure.name for figure in drawn] == ["vgloss-decision-1", "vgloss-decision-2"]


def test_texts_of_the_small_clip_are_what_arms_are_called_by():
    classes = clip.pictures("test", TINY, 1).classes
    told = {
        arm: dict(zip(classes.names, clip.classes_of(arm, classes, seed=1).normal, strict=True))
        for arm in CLIP
    }
    for name in classes.names:
        own = told["attributes"][name]
        assert told["name"][name] == (name,)
        assert told["template"][name] == (TEMPLATE.replace("{c}", name),)
        assert not any(name in text for text in own)
        assert set(own) <= set(told["contrastive"][name])
        assert told["ensemble"][name] == (*own, *told["template"][name])
        assert told["shuffled"][name] != own
        assert all(name in text for text in told["waffle"][name])
    assert len(told["waffle"][name]) == 4
    assert any(len(told["contrastive"][name]) > len(told["attributes"][name]) for name in classes.names)
    assert sorted(told["shuffled"].values()) == sorted(told["attributes"].values())


def test_no_unseen_kind_is_in_a_training_picture():
    train, test = (clip.pictures(part, TINY, 2) for part in ("train", "test"))
    assert train.classes.names == test.classes.names
    assert len(test.classes) == TINY.unseen
    assert torch.bincount(torch.as_tensor(test["target"]), minlength=TINY.unseen).min() >= 2
    pairs = clip.pairs_of(test.classes)
    assert pairs
    assert all(one < other < TINY.unseen for one, other in pairs)


# ---- what is shared and kept ------------------------------------------------------------------------------


def test_a_folder_is_made_once_and_whole_or_not_at_all(tmp_path):
    made = []

    def make(folder):
        made.append(folder)
        folder.mkdir()
        (folder / "part").write_text("1")
        if len(made) == 1:
            raise RuntimeError("stopped half way")

    with pytest.raises(RuntimeError):
        made_once(tmp_path / "here", make)
    assert not (tmp_path / "here").exists()
    for _ in range(2):
        assert (made_once(tmp_path / "here", make) / "part").read_text() == "1"
    assert len(made) == 2
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "here.lock"}


def test_kept_samples_come_back(tmp_path):
    assert read_kept(None, HITS) is None
    assert read_kept(tmp_path, TEXTS) is None
    keep_hits(tmp_path, ["crane", "heron"], [True, False])
    keep_texts(tmp_path, {"crane": ("a tall bird",)}, {"leakage": 0.0})
    assert read_kept(tmp_path, HITS) == {"crane": True, "heron": False}
    assert read_kept(tmp_path, TEXTS) == {"texts": {"crane": ["a tall bird"]}, "quality": {"leakage": 0.0}}
