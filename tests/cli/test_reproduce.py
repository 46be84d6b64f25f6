"""`visus reproduce`."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from visus import study
from visus.cli import reproduce as module
from visus.cli.device import check_device
from visus.cli.reproduce import reproduce
from visus.errors import InputError

TOYS = str(Path(__file__).resolve().parents[1] / "study")


@pytest.fixture
def toy(monkeypatch):
    """The catalogue knows one paper: the toy."""
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.setenv("PYTHONPATH", TOYS)
    import study_toy

    def use(provable=study_toy.Toy):
        card = SimpleNamespace(
            slug="toy",
            arxiv="2401.00001",
            title="A toy",
            url="https://arxiv.org/abs/2401.00001",
            load=lambda: provable,
        )
        monkeypatch.setattr(module, "find", lambda name: card if name in ("toy", "2401.00001") else None)

    quick = partial(study.measure, open_run=study_toy.open_folder)
    monkeypatch.setattr(study, "measure", quick)  # trials that do not train need no engine
    use()
    return SimpleNamespace(use=use, **vars(study_toy))


def test_measures_prints_and_writes(toy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reproduce("toy", preset="smoke", workers=2, experiments=["score", "count"], device="cpu") == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "runs" / "toy" / "evidence.json").read_text())
    claims = {row["id"]: row for row in document["papers"][0]["claims"]}
    assert list(claims) == ["better", "worse", "half", "calibrated"]
    assert document["preset"] == "smoke"
    lines = [line.split("\t") for line in printed.splitlines() if "\t" in line]
    assert len(lines) == 5
    assert {len(line) for line in lines} == {4}
    statement, arms, effect, verdict = lines[1]
    assert statement.startswith("Good is better than plain.")
    assert "good: 0." in arms
    assert "±" in arms
    assert "(n=3)" in arms
    assert "third arm, with a comma" in arms
    assert "[" in effect
    assert verdict == "holds"
    assert lines[2][3].startswith("fails")
    assert "The toy may be broken." in lines[2][3]
    assert "2 hold, 1 fails, 1 undecided. Evidence" in printed
    assert "evidence.json" in printed


def test_other_experiments_evidence_is_kept_in_the_same_preset(toy, tmp_path, capsys):
    assert reproduce("toy", preset="smoke", out=tmp_path, experiments=["count"], device="cpu") == 0
    with pytest.raises(InputError, match="another preset"):
        reproduce("toy", preset="demo", out=tmp_path, experiments=["count"], device="cpu")
    toys = vars(toy)
    more = type("More", (toy.Toy,), {"claims": classmethod(lambda cls: toys["Toy"].claims()[1:3])})
    toy.use(more)
    assert (
        reproduce("2401.00001", preset="smoke", out=tmp_path, workers=2, experiments=["score"], device="cpu")
        == 0
    )
    document = json.loads((tmp_path / "evidence.json").read_text())
    assert [row["id"] for row in document["papers"][0]["claims"]] == ["half", "worse"]
    assert "1 holds, 1 fails, 0 undecided" in capsys.readouterr().out


def test_what_the_preset_leaves_out_is_counted_apart(toy, tmp_path, capsys):
    only = ["count", "clock"]
    assert reproduce("toy", preset="demo", out=tmp_path, experiments=only, device="cpu") == 0
    printed = capsys.readouterr().out
    assert "1 holds, 0 fail, 0 undecided, 1 not measured. Evidence" in printed
    rows = [line.split("\t") for line in printed.splitlines() if "\t" in line]
    assert rows[1][3] == "holds; Note: The toy may be broken."  # exact
    assert rows[2][3].startswith("not measured; not measured in preset demo; Note: The toy")
    document = json.loads((tmp_path / "evidence.json").read_text())
    assert document["papers"][0]["claims"][1]["verdict"] == "undecided"


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_first(toy, tmp_path, device):
    with pytest.raises(InputError, match="device"):
        reproduce("toy", preset="smoke", out=tmp_path / "out", device=device)
    assert not (tmp_path / "out").exists()
    check_device("cuda:99", backend="ray")
    with pytest.raises(InputError, match="not a device"):
        check_device("gpu", backend="ray")


def test_crashes_are_printed_and_make_the_exit_code(toy, tmp_path, capsys):
    toy.use(toy.Crashing)
    assert reproduce("toy", preset="smoke", out=tmp_path, workers=2, device="cpu") == 1
    printed = capsys.readouterr().out
    assert "crashed: crash/bad/0" in printed
    assert "ValueError: cannot do seed 0" in printed
    assert "0 hold, 0 fail, 1 undecided" in printed
    assert "nan" not in printed.lower()
    document = json.loads((tmp_path / "evidence.json").read_text())
    assert "crash/bad/0" in document["papers"][0]["failures"]


def test_table_on_a_terminal(toy, tmp_path, capsys, monkeypatch):
    from rich.console import Console

    from visus.study import from_json

    reproduce("toy", preset="smoke", out=tmp_path, experiments=["count"], device="cpu")
    (paper,) = from_json(json.loads((tmp_path / "evidence.json").read_text()))
    monkeypatch.setattr(module, "console", lambda: Console(force_terminal=True, width=120, color_system=None))
    capsys.readouterr()
    module.show(paper)
    shown = capsys.readouterr().out
    assert "Effect [95 % interval]" in shown
    assert "small: 2,112 (n=1)" in shown
    assert "holds" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_names_and_options_are_checked(toy, tmp_path):
    with pytest.raises(InputError, match="there is no paper"):
        reproduce("toi", preset="smoke", out=tmp_path)
    with pytest.raises(InputError, match="experiments: score"):
        reproduce("toy", preset="smoke", out=tmp_path, experiments=["scores"])
    (tmp_path / "evidence.json").write_text("{")
    with pytest.raises(InputError, match=r"evidence\.json"):
        reproduce("toy", preset="smoke", out=tmp_path, experiments=["count"])
    assert not (tmp_path / "trials").exists()


def test_a_planned_paper_is_not_reproduced(tmp_path):
    from visus.catalogue import select

    planned = next(iter(select(status="planned")), None)
    if planned is None:
        pytest.skip("no paper is planned any more")
    with pytest.raises(InputError, match="planned"):
        reproduce(planned.slug, preset="smoke", out=tmp_path)


def test_help_names_every_option_and_needs_no_torch():
    code = (
        "import sys\nfrom visus.cli import main\nstatus = main(['reproduce', '--help'])\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for option in (
        "SLUG",
        "--preset",
        "--seeds",
        "--workers",
        "--backend",
        "--address",
        "--out",
        "--experiments",
    ):
        assert option in done.stdout
    assert "seeds per arm" in done.stdout
