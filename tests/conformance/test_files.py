"""The command line on files in the real layout, and what happens when they are broken."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checks
import pytest
from method import Method

from visus.cli import main

Commands = Sequence[Sequence[str]]


@pytest.fixture(scope="module")
def example(slug: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Commands]:
    """A folder with the method's example files, and the commands it recommends, all run once in order."""
    folder = tmp_path_factory.mktemp(f"example-{slug}")
    commands = importlib.import_module(f"visus.methods.{slug}.verbs").VERBS["example"](out=folder / "files")
    assert [list(command[:2]) for command in commands] == [["visus", slug]] * len(commands)
    assert {"fit", "predict", "evaluate"} <= {command[2] for command in commands}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            assert main(command[1:]) == 0, " ".join(command)
    return folder, commands


def test_the_recommended_commands_write_what_they_say(example: Any, monkeypatch: Any) -> None:
    folder, commands = example
    monkeypatch.chdir(folder)
    for command in commands:
        if "--out" in command:
            out = Path(command[command.index("--out") + 1])
            written = out.is_file() or any(path.stat().st_size for path in out.rglob("*") if path.is_file())
            assert written, f"{' '.join(command)} wrote nothing"
    fit = next(command for command in commands if command[2] == "fit")
    model = next(Path(fit[fit.index("--out") + 1]).rglob("model/model.safetensors"))
    before = model.read_bytes()
    checkpoints = sorted(path.name for path in model.parent.parent.rglob("step-*"))
    assert main(fit[1:]) == 0, "running fit again must find nothing to do"
    assert model.read_bytes() == before
    assert sorted(path.name for path in model.parent.parent.rglob("step-*")) == checkpoints


def test_bad_input_is_refused_in_words_and_leaves_nothing_behind(
    method: Method, example: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    folder, commands = example
    monkeypatch.chdir(folder)
    cases = method.facts.bad_inputs(tmp_path, folder, commands)
    checks.bad_input_is_refused(cases, main, lambda: capsys.readouterr().err, tmp_path, folder)


def test_every_verb_has_help(slug: str, capsys: Any) -> None:
    for verb in importlib.import_module(f"visus.methods.{slug}.verbs").VERBS:
        assert main([slug, verb, "--help"]) == 0
        assert verb in capsys.readouterr().out
