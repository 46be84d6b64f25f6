"""What the pages tell a reader to type works: code, commands, the evidence table."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from visus.catalogue import get, works
from visus.cli.app import VERBS
from visus.cli.method import load_verbs
from visus.report.evidence_tables import update

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """Every `visus ...` of a page: lines of code blocks, fenced or indented, and code within a sentence."""
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            if line.strip().startswith("visus "):
                yield line.strip()
        else:
            yield from re.findall(r"`(visus [^`]+)`", line)


def called(words: list[str]) -> tuple[Callable, list[str]]:
    """The function a command line calls, and the words that follow its verb."""
    if words[0] in VERBS:
        verb = VERBS[words[0]]
        return getattr(importlib.import_module(verb.module), verb.function), words[1:]
    verbs = load_verbs(get(words[0]))
    assert words[1] in verbs, f"{words[0]} has no command {words[1]}"
    return verbs[words[1]], words[2:]


def unknown(words: list[str]) -> list[str]:
    """Options of a command line that its function lacks."""
    function, rest = called(words)
    known = {"--help", *("--" + name.replace("_", "-") for name in inspect.signature(function).parameters)}
    given = [word.partition("=")[0] for word in rest if word.startswith("--")]
    return [option for option in given if option not in known]


LINES = [(page.name, line) for page in PAGES for line in dict.fromkeys(commands(page))]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line[:40]}" for page, line in LINES])
def test_every_command_of_the_pages_exists(page, line):
    words = shlex.split(line, comments=True)[1:]
    assert not words[0].startswith("-") or words[0] in ("--help", "--version")
    if not words[0].startswith("-"):
        assert not unknown(words), page


def test_commands_are_found_and_wrong_ones_noticed(tmp_path):
    assert {page for page, _ in LINES} == {page.name for page in PAGES}
    assert len(LINES) > 20
    file = tmp_path / "page.md"
    file.write_text("visus is here\n`visus list` and\n```\nvisus show x\n```\n    visus doctor --jsn\n")
    assert list(commands(file)) == ["visus list", "visus show x", "visus doctor --jsn"]
    assert unknown(["doctor", "--jsn"]) == ["--jsn"]
    with pytest.raises(AssertionError, match="has no command"):
        called(["attention", "fitt"])


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_python_of_the_readme_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = CODE.findall((ROOT / name).read_text(encoding="utf-8"))
    assert blocks or name == "README.zh.md"
    for block in blocks:
        exec(compile(block, name, "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{card.slug}.md" for card in works())])
def test_the_evidence_tables_are_those_of_the_evidence(page, tmp_path):
    files = sorted((ROOT / "evidence").glob("*.json"))
    assert files
    copy = Path(shutil.copy(ROOT / page, tmp_path))
    wanted = "python -m visus.report.evidence_tables README.md docs/*.md --evidence evidence/*.json"
    assert not update(copy, files), f"run {wanted}"
