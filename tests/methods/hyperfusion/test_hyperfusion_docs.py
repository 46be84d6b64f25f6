"""Every snippet of docs/hyperfusion.md runs."""

import re
import shlex
from pathlib import Path

from visus.cli import main


def snippets(root: Path, language: str) -> list[str]:
    text = (root / "docs" / "hyperfusion.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_python_snippets_run(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = snippets(root, "python")
    assert len(found) >= 2
    for code in found:
        exec(compile(code, "docs/hyperfusion.md", "exec"), {})


def test_shell_snippets_run(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in snippets(root, "sh") for line in block.splitlines() if line.strip()]
    assert len(lines) >= 6
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "visus"
        assert main(words) == 0, capsys.readouterr().err
    assert (tmp_path / "explained.svg").stat().st_size > 1000
    assert "95 % interval" in capsys.readouterr().out
