"""The benchmarks are commands; here only that they can be started from anywhere."""

from __future__ import annotations

import runpy
import sys

import pytest


@pytest.mark.parametrize(
    "name", ["attention", "chestxray", "gptnas", "hyperfusion", "nsi", "polytopes", "statm"]
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
