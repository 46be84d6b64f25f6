"""Every snippet of docs/attention.md runs."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

from visus.cli import main


def snippets(root: Path, language: str) -> list[str]:
    text = (root / "docs" / "attention.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_python_snippets_run(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = snippets(root, "python")
    assert len(found) >= 3
    for code in found:
        exec(compile(code, "docs/attention.md", "exec"), {})


def test_shell_snippets_run(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in snippets(root, "sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 5
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "visus"
        assert main(words) == 0, capsys.readouterr().err


def test_the_benchmark_can_be_imported_from_anywhere(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names = runpy.run_path(str(root / "benchmarks" / "attention.py"), run_name="imported")
    assert names["heads_of"](512) == 8
