"""The command line on files in the real layout, and what happens when they are broken."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from visus.cli import main


@pytest.fixture(scope="module")
def example(slug: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Sequence[str]]]:
    """The method's example files and the commands it recommends, fit run once."""
    folder = tmp_path_factory.mktemp(f"example-{slug}")
    commands = importlib.import_module(f"visus.methods.{slug}.verbs").VERBS["example"](out=folder / "files")
    return folder, commands


def test_the_recommended_commands_work(slug: str, example: Any, monkeypatch: Any, capsys: Any) -> None:
    folder, commands = example
    monkeypatch.chdir(folder)
    verbs = [command[2] for command in commands]
    assert [command[:2] for command in commands] == [["visus", slug]] * len(commands)
    assert {"fit", "predict", "evaluate"} <= set(verbs)
    for command in commands:
        assert main(command[1:]) == 0, f"{' '.join(command)}\n{capsys.readouterr().err}"
    assert main(commands[verbs.index("fit")][1:]) == 0, "running fit again must find nothing to do"


def test_bad_input_is_refused_in_words_and_leaves_nothing_behind(
    facts: Any, example: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    folder, commands = example
    monkeypatch.chdir(folder)
    cases = facts.bad_inputs(tmp_path, commands)
    assert len(cases) >= 6, "missing file, wrong shape, NaN, truncated file, wrong columns, empty set"
    for case in cases:
        capsys.readouterr()
        code = main(list(case.argv))
        message = " ".join(capsys.readouterr().err.split())
        assert code == 2, f"{case.name}: exit code {code}\n{message}"
        for fragment in case.says:
            assert fragment in message, f"{case.name}: {fragment!r} is not in {message!r}"
        assert "Traceback" not in message, case.name
        if case.out is not None:
            left = [path for path in case.out.rglob("*") if path.is_file()] if case.out.exists() else []
            assert not left, f"{case.name}: left {left}"


def test_every_verb_has_help(slug: str, capsys: Any) -> None:
    for verb in importlib.import_module(f"visus.methods.{slug}.verbs").VERBS:
        assert main([slug, verb, "--help"]) == 0
        assert verb in capsys.readouterr().out
