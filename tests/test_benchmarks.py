"""The benchmarks are commands; here only that they can be started from anywhere."""

from __future__ import annotations

import runpy
import sys

import pytest


@pytest.mark.parametrize("name", ["attention", "gptnas", "hyperfusion", "nsi", "polytopes", "statm"])
def test_a_benchmark_can_be_imported_from_anywhere(name, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / f"{name}.py"), run_name="imported")
    assert callable(names["main"])
    if name == "attention":
        assert names["heads_of"](512) == 8
