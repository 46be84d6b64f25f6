"""Every snippet of the method pages in docs/ runs as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from visus.catalogue import works
from visus.cli import main

SLUGS = [card.slug for card in works()]


def snippets(root: Path, slug: str, language: str) -> list[str]:
    text = (root / "docs" / f"{slug}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("slug", SLUGS)
def test_python_snippets_run(slug, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = snippets(root, slug, "python")
    assert len(found) >= 2
    for code in found:
        exec(compile(code, f"docs/{slug}.md", "exec"), {})


@pytest.mark.parametrize("slug", SLUGS)
def test_shell_snippets_run(slug, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in snippets(root, slug, "sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 5
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "visus"
        assert main(words) == 0, capsys.readouterr().err
    if slug == "hyperfusion":
        assert (tmp_path / "explained.svg").stat().st_size > 1000
        assert "95 % interval" in capsys.readouterr().out
