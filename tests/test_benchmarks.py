"""The benchmarks are commands; here only that they can be started from anywhere."""

from __future__ import annotations

import runpy
import sys

import pytest


@pytest.mark.parametrize(
    "name",
    ["alignment", "attention", "chestxray", "gptnas", "hyperfusion", "nsi", "polytopes", "statm", "vgloss"],
)
def test_a_benchmark_can_be_imported_from_anywhere(name, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / f"{name}.py"), run_name="imported")
    assert callable(names["main"])
    if name == "attention":
        assert names["heads_of"](512) == 8


def test_the_gate_of_the_chest_radiographs_has_its_form(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / "chestxray.py"), run_name="imported")
    found = {
        "density": names["density_case"](native=(240, 192), size=(60, 48), seconds=0.0),
        "triplet": names["triplet_case"](batch=6, seconds=0.0),
    }
    gate = names["judged"](found)
    assert set(gate["speedup"]) == set(gate["least"]) == {"density", "triplet"}
    assert gate["equal"] is True
    found["triplet"]["error"] = 1.0
    assert names["judged"](found)["passed"] is False


def test_the_gate_of_the_odd_one_out_has_its_form(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / "alignment.py"), run_name="imported")
    sizes = {"count": 300, "objects": 20, "width": 4, "threads": 1, "rounds": 1}
    monkeypatch.setitem(names["triplets_case"].__globals__, "peak", lambda *_: 0.0)
    found = {
        "triplets": names["triplets_case"](tmp_path, **sizes),
        "trials": names["trials_case"](triplets=10, rounds=1),
        "dissimilarities": names["dissimilarities_case"](people=3, stimuli=6, resamples=5, theirs=3),
    }
    gate = names["judged"](found)
    assert set(gate["speedup"]) <= set(gate["least"])
    assert gate["equal"] is True
    found["trials"]["error"] = 0.1
    assert names["judged"](found)["passed"] is False


def test_the_gate_of_described_classes_has_its_form(root, tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the small CLIP is a model of transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / "vgloss.py"), run_name="imported")
    found = {
        "building": names["building_case"](classes=4, count=3, part=2, rounds=1),
        "predicting": names["predicting_case"](classes=12, pictures=8, part=4, rounds=1),
        "words": None,
        "answers": names["answers_case"](prompts=3, rounds=1),
    }
    gate = names["judged"](found)
    assert set(gate["speedup"]) == set(gate["least"]) - {"nltk"}
    assert gate["equal"] is True
    assert found["predicting"]["changed_labels"] >= 0
    found["answers"]["error"] = 1.0
    assert names["judged"](found)["passed"] is False
