"""The examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from visus.errors import MissingExtra

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = [path for path in sorted((SOURCE / "visus").rglob("*.py")) if path.name != "__main__.py"]
WITH_EXAMPLES = [path for path in FILES if ">>> " in path.read_text(encoding="utf-8")]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    module = importlib.import_module(name_of(path))
    finder, runner = (
        doctest.DocTestFinder(exclude_empty=True),
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS),
    )
    lines: list[str] = []
    count = 0
    for example in finder.find(module):
        count += len(example.examples)
        runner.run(example, out=lines.append)
    text = "".join(lines)
    if runner.failures and MissingExtra.__name__ in text:
        pytest.skip("an optional package is not installed")
    assert runner.failures == 0, text
    assert count > 0


def test_the_spine_has_examples():
    names = {name_of(path) for path in WITH_EXAMPLES}
    assert {"visus.errors", "visus.extras", "visus.engine.schedules", "visus.engine.seeds", "visus"} <= names
