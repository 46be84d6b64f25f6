"""`compare`: arms, matching of published sets, folds, differences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from vgloss_files import made, write_npz

from visus.errors import InputError
from visus.methods.vgloss.estimator import Evidence, Explanation
from visus.methods.vgloss.model.bridge import TextBridge
from visus.methods.vgloss.model.builder import TextClassifierBuilder
from visus.methods.vgloss.model.silver import Silver, SilverClass
from visus.methods.vgloss.verbs.arms import CONTROL, EQUAL, GIVEN, make_arms, read_sets
from visus.methods.vgloss.verbs.comparing import compare, every_difference, judge_arms
from visus.methods.vgloss.verbs.explaining import sentence
from visus.methods.vgloss.verbs.judging import Shown, _Bridged
from visus.methods.vgloss.verbs.labeled import Labeled, read_labeled
from visus.methods.vgloss.verbs.texts import is_silver, matched, read_texts
from visus.metrics.paired import compare_paired
from visus.records import read_json


class Letters:
    """Texts by their letters: alike words are alike."""

    identity, width, max_tokens = "letters", 27, 99

    def texts(self, texts):
        rows = [[1.0, *(text.lower().count(chr(97 + i)) for i in range(26))] for text in texts]
        return torch.tensor(rows)

    def count_tokens(self, text):
        return len(text)


def write(path: Path, plain: object) -> Path:
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path


def test_arms_are_the_sets_at_their_and_at_equal_counts_and_controls(tmp_path: Path) -> None:
    data = Labeled(("a", "b", "c"), ("owl", "crane", "ray"), (0, 1, 2))
    one = {"owl": ["An owl is brown.", "An owl is round."], "crane": ["A crane."], "ray": ["A ray is flat."]}
    two = {"Owl": ["amber eyes"], "crane": ["long legs", "a bill"]}
    sets = read_sets([f"one={write(tmp_path / 'x.json', one)}", str(write(tmp_path / "two.json", two))])
    assert list(sets) == ["one", "two"]
    arms = make_arms(data, sets)
    assert arms.keys == ("a", "b"), "a class that a set lacks is left out for all"
    assert any("lacks 1 classes (ray)" in note for note in arms.notes)
    named = {arm.name: arm for arm in arms.arms}
    assert named["two"].texts["b"] == ["crane, which has long legs", "crane, which is a bill"] or named[
        "two"
    ].texts["b"][0].startswith("crane, which has")
    assert named["one"].texts == {"a": one["owl"], "b": one["crane"]}
    assert arms.count == 1
    assert {len(texts) for texts in named["one, 1 each"].texts.values()} == {1}
    assert named["shuffled: one"].texts == {"a": one["crane"], "b": one["owl"]}
    assert [len(texts) for texts in named["random words"].texts.values()] == [1, 1]
    assert named["name alone"].texts == {"a": ["owl"], "b": ["crane"]}
    kinds = [arm.kind for arm in arms.arms]
    assert (kinds.count(GIVEN), kinds.count(EQUAL), kinds.count(CONTROL)) == (2, 2, 6)


def test_a_mark_chooses_the_texts_of_a_described_set(tmp_path: Path) -> None:
    classes = {
        "a": SilverClass(name="owl", normal=("An owl.",), contrastive={"b": ("Rounder than a crane.",)}),
        "b": SilverClass(name="crane", normal=("A crane.",)),
    }
    file = tmp_path / "s#1.json"
    Silver(classes=classes, meta={}).write(file)
    data = Labeled(("a", "b"), ("owl", "crane"), (0, 1))
    sets = read_sets([f"alone={file}", f"against={file}#contrastive", f"all={file}#both"])
    assert {each.path for each in sets.values()} == {file}
    told = {arm.name: arm.texts for arm in make_arms(data, sets, dictionary=False).arms}
    assert told["alone"] == {"a": ["An owl."], "b": ["A crane."]}
    assert told["against"] == {"a": ["Rounder than a crane."], "b": ["A crane."]}, "none: the normal ones"
    assert told["all"]["a"] == ["An owl.", "Rounder than a crane."]


def test_bridged_folds_equal_a_slow_transcription() -> None:
    generator = torch.Generator().manual_seed(1)
    count, rows = 24, torch.randn(48, 6, generator=generator)
    labels = tuple(i % count for i in range(48))
    prototypes = torch.randn(count, 6, generator=generator)
    shown = Shown(tuple(map(str, range(count))), labels, rows, prototypes)
    texts = {str(i): [f"{chr(97 + i)} thing", f"a {chr(97 + i)}"] for i in range(count)}
    builder = TextClassifierBuilder(Letters())
    judge = _Bridged(builder, shown, folds=4, seed=3)
    found = judge.logits(texts)
    pooled = builder.build(texts).weights
    assert sorted(i for fold in judge.folds for i in fold.tolist()) == list(range(count))
    assert judge.chance == pytest.approx(1 / 6)
    for fold in judge.folds:
        rest = [i for i in range(count) if i not in fold.tolist()]
        bridge = TextBridge().fit(pooled[rest], prototypes[rest], seed=3)
        for picture, label in enumerate(labels):
            for other in range(count):
                value = float(found[picture, other])
                if label in fold.tolist() and other in fold.tolist():
                    unit = rows[picture] / rows[picture].norm()
                    assert value == pytest.approx(float(unit @ bridge(pooled[other][None])[0]), abs=1e-5)
                elif label in fold.tolist():
                    assert value == -np.inf


def test_differences_are_paired_and_corrected(tmp_path: Path) -> None:
    class Fixed:
        chance, how = 0.5, "made up"

        def prepare(self, texts):
            pass

        def logits(self, texts):
            own = texts["a"][0] == "good"
            right = torch.arange(40) % (10 if own else 2) != 0
            target = torch.arange(40) % 2
            return torch.nn.functional.one_hot(torch.where(right, target, 1 - target), 2).float()

    write(tmp_path / "good.json", {"a": ["good"], "b": ["x."]})
    write(tmp_path / "poor.json", {"a": ["poor."], "b": ["x."]})
    sets = read_sets([str(tmp_path / "good.json"), str(tmp_path / "poor.json")])
    data = Labeled(("a", "b"), ("a", "b"), tuple(i % 2 for i in range(40)))
    arms = make_arms(data, sets)
    shown = Shown(("a", "b"), data.labels, torch.zeros(40, 2))
    judged = judge_arms(arms, Fixed(), shown, over="pictures", resamples=50, seed=0)
    found = every_difference(judged, shown, over="pictures", resamples=50, seed=0)
    assert len(found) == len(judged) * (len(judged) - 1) / 2
    hits = {each.arm.name: each.hits for each in judged}
    assert hits["poor"].mean() == 0.5
    pair = next(each for each in found if {each.first, each.second} == {"good", "poor"})
    one = compare_paired(hits[pair.first], hits[pair.second], n=50, seed=0)
    assert pair.found == one
    assert pair.p >= one.permutation_p
    assert all(each.found.difference >= 0 for each in found)


def test_compare_with_a_classifier_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    files = made()
    out = tmp_path / "out"
    rows = compare(
        images=files / "test",
        descriptions=[f"kinds={files / 'kinds.json'}"],
        model=str(files / "run"),
        out=out,
        resamples=50,
        device="cpu",
    )
    found = {row["arm"]: row["top1"] for row in rows}
    assert found["kinds"] > found["shuffled: kinds"]
    summary = read_json(out / "summary.json")
    assert summary["pictures"] == 48
    assert {each["name"] for each in summary["arms"]} == set(found)
    table = pd.read_csv(out / "classes.csv")
    assert table["kinds"].mean() == pytest.approx(found["kinds"], abs=1e-3)
    assert len(pd.read_csv(out / "differences.csv")) == len(found) * (len(found) - 1) / 2
    assert (out / "index.html").read_text().count("<svg") == 2


def test_published_forms_are_told_apart_and_matched(tmp_path: Path) -> None:
    cupl = write(tmp_path / "c.json", {"T-shirt": ["A t-shirt is cotton."], "owl": ["An owl is brown."]})
    dclip = write(tmp_path / "d.json", {"t shirt": ["short sleeves"], "owl": ["amber eyes"]})
    found = matched(cupl, ["k1", "k2", "k3"], ["t shirt", "owl", "ray"])
    assert (found.form, found.missing) == ("CuPL", ("k3",))
    assert found.texts == {"k1": ["A t-shirt is cotton."], "k2": ["An owl is brown."]}
    assert matched(dclip, ["k"], ["owl"]).texts == {"k": ["owl, which has amber eyes"]}
    assert read_texts(dclip).normal[1] == ("owl, which has amber eyes",)
    pair = {"classes": [0, 1], "prompt_pairs": [{"attr_type": "color", "prompt_pair": ["red", "blue"]}]}
    fudd = write(tmp_path / "f.json", {"0_1": pair})
    assert read_texts(fudd, classes=["x", "y"]).contrastive == {("x", "y"): ("red",), ("y", "x"): ("blue",)}
    assert is_silver({"meta": {}, "classes": {}})
    with pytest.raises(InputError, match="knows its classes by number"):
        read_texts(fudd)
    with pytest.raises(InputError, match="says nothing of these classes"):
        matched(cupl, ["k"], ["whale"])


def test_features_with_and_without_prototypes(tmp_path: Path) -> None:
    with_rows = read_labeled(write_npz(tmp_path / "a.npz"))
    assert with_rows.prototypes is not None
    assert with_rows.prototypes.shape == (24, 8)
    assert read_labeled(write_npz(tmp_path / "b.npz", rows=False)).prototypes is None
    np.savez(tmp_path / "c.npz", features=np.ones((4, 2), np.float32))
    with pytest.raises(InputError, match="features, wnid"):
        read_labeled(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", features=np.full((2, 2), np.nan, np.float32), label=np.array(["a", "b"]))
    with pytest.raises(InputError, match="not finite"):
        read_labeled(tmp_path / "d.npz")
    classifier = np.arange(4, dtype=np.float32).reshape(2, 2)
    labels = np.array(["z", "a"])
    np.savez(tmp_path / "e.npz", features=np.eye(2, dtype=np.float32), label=labels, classifier=classifier)
    turned = read_labeled(tmp_path / "e.npz")
    assert turned.keys == ("a", "z")
    assert turned.prototypes is not None
    assert turned.prototypes.tolist() == [[2, 3], [0, 1]], "rows follow their classes"


def test_two_classes_of_one_name_are_not_matched_by_name(tmp_path):
    entry = {"name": "crane", "normal": ["A crane."]}
    file = tmp_path / "cranes.json"
    file.write_text(json.dumps({"classes": {"n02012849": entry, "n03126707": entry}}))
    found = matched(file, ["n02012849", "n03126707"], ["crane", "crane"])
    assert len(found.texts) == 2
    with pytest.raises(InputError, match="two classes 'crane'"):
        matched(file, ["crane", "owl"], ["crane", "owl"])


def test_a_second_look_is_told_as_such():
    told = Evidence("a", "long legs", 0.2, 0.1)
    first = Explanation("a", "b", 0.6, 0.1, (told,))
    called = {"a": "crane", "b": "owl"}
    assert "ahead of owl by 0.1000" in sentence(first, called)
    turned = sentence(replace(first, margin=-0.1), called)
    assert "put owl ahead by 0.1000" in turned
    assert "ahead of owl" not in turned
