"""A run: its folder, what it is tied to, its device, its log."""

from __future__ import annotations

import gc
import io
import json

import pytest
import torch
from rich.console import Console
from toy import Toy, quiet, read_log, same, source

from visus.engine import Run, derive_seed, seeded
from visus.engine.progress import StepProgress
from visus.engine.runlog import RunLog
from visus.errors import InputError
from visus.protocols import Phase


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ---- folder -----------------------------------------------------------------------------------------------


def test_temporary_folder_vanishes_with_the_last_run_in_it():
    run = quiet()
    child = run.child("fold")
    (child.folder / "file").write_text("x")
    folder = run.folder
    del run
    gc.collect()
    assert (child.folder / "file").exists()
    del child
    gc.collect()
    assert not folder.exists()


def test_child_shares_everything_but_the_folder(tmp_path):
    run = quiet(tmp_path, seed=9, precision="bf16", checkpoint_steps=7)
    child = run.child("fold-1")
    assert child.folder == tmp_path / "fold-1"
    assert child.folder.is_dir()
    assert child.cache == run.cache == tmp_path / "cache"
    assert (child.seed, child.precision, child.checkpoint_steps) == (9, "bf16", 7)
    one, two = Toy(), Toy()
    child.train(one, source(), [Phase(steps=2)])
    run.child("fold-2").train(two, source(), [Phase(steps=3)])
    assert len(read_log(child.folder)) == 2


@pytest.mark.parametrize("inside", [False, True])
def test_file_where_a_folder_is_expected(tmp_path, inside):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"file.*name (a|another) folder for the run"):
        Run(tmp_path / "file" / "run" if inside else tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# ---- settings ---------------------------------------------------------------------------------------------


def test_other_settings_are_refused_and_named(tmp_path):
    settings = {"data": "abc", "config": {"rate": 0.1, "sizes": (1, 2), "name": "x"}}
    quiet(tmp_path).bind(settings)
    before = content(tmp_path)
    quiet(tmp_path).bind(settings)  # tuples come back as lists and are still the same
    changed = {"data": "abd", "config": {"rate": 0.1, "sizes": (1, 3), "new": True, "name": "x"}}
    with pytest.raises(InputError) as caught:
        quiet(tmp_path, seed=1).bind(changed)
    assert "(config.new, config.sizes, data, seed)" in str(caught.value)
    assert "choose another folder" in str(caught.value)
    assert content(tmp_path) == before


def test_precision_is_a_setting(tmp_path):
    quiet(tmp_path).bind({})
    with pytest.raises(InputError, match=r"\(precision\)"):
        quiet(tmp_path, precision="bf16").bind({})


def test_damaged_settings_file(tmp_path):
    quiet(tmp_path).bind({})
    (tmp_path / "run.json").write_text('{"settings": {')
    with pytest.raises(InputError, match=r"run\.json.*not valid JSON"):
        quiet(tmp_path).bind({})


# ---- device and precision ---------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "tpu", "", "cpu:0x"])
def test_device_that_is_none(device):
    with pytest.raises(InputError, match=r"not a device.*auto, cpu, cuda"):
        Run(device=device).accelerator  # noqa: B018


def test_device_that_is_not_there():
    with pytest.raises(InputError, match=r"cuda:99.*not available"):
        Run(device="cuda:99").accelerator  # noqa: B018


@pytest.mark.parametrize("length", [{"epochs": 0}, {"steps": 0}, {"epochs": -1}, {"steps": -3}])
def test_phase_without_a_length(tmp_path, length):
    with pytest.raises(InputError, match="phase train: epochs and steps must be at least 1"):
        quiet(tmp_path).train(Toy(), source(), [Phase(**length)])
    assert not content(tmp_path)


def test_precision_that_is_none():
    with pytest.raises(InputError, match="no, bf16 or fp16"):
        quiet(precision="fp8").accelerator  # noqa: B018
    with pytest.raises(InputError, match="needs a GPU"):
        quiet(precision="fp16").accelerator  # noqa: B018


class Sees(Toy):
    def losses(self, batch):
        self.dtype = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        return super().losses(batch)


@pytest.mark.parametrize("order", [("no", "bf16"), ("bf16", "no")])
def test_precisions_change_within_a_process(order):
    """Accelerate keeps one state per process; every run gets its own precision all the same, in any order."""
    runs = {"no": quiet(), "bf16": quiet(precision="bf16")}
    weights = {}
    for name in order:
        runs[name].accelerator  # noqa: B018
    for count, name in enumerate(order * 2):
        toy = Sees()
        runs[name].child(str(count)).train(toy, source(), [Phase(steps=3)])
        assert runs[name].accelerator.mixed_precision == name
        assert toy.dtype == {"no": torch.float32, "bf16": torch.bfloat16}[name]
        assert same(weights.setdefault(name, toy.weights()), toy.weights())
    assert not same(weights["no"], weights["bf16"])


def test_bf16_learns():
    rows = quiet(precision="bf16").train(Toy(dropout=0.0), source(), [Phase(epochs=30, batch_size=10)])
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]


# ---- log --------------------------------------------------------------------------------------------------


def test_log_rows_are_json_and_returned(tmp_path):
    rows = quiet(tmp_path).train(
        Toy(), source(), [Phase(epochs=2, batch_size=10)], check=lambda: {"score": float("nan")}
    )
    assert read_log(tmp_path) == rows
    assert len(rows) == 12
    assert {"time", "phase", "epoch", "step", "loss"} == set(rows[0])
    assert rows[5] | {"time": 0} == {
        "time": 0,
        "phase": "train",
        "epoch": 0,
        "step": 5,
        "check": True,
        "score": None,
    }
    assert [row["epoch"] for row in rows] == [0] * 6 + [1] * 6
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_log_is_cut_back(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    for step in range(5):
        log.add(phase="p", step=step, loss=torch.tensor(0.5))
    log.flush()
    with open(tmp_path / "log.jsonl", "a") as stream:
        stream.write('{"half')
    other = RunLog(tmp_path / "log.jsonl")
    other.truncate(3)
    other.add(phase="p", step=3, loss=0.25)
    other.close()
    assert [row["step"] for row in read_log(tmp_path)] == [0, 1, 2, 3]
    assert other.rows == read_log(tmp_path)


def test_tensorboard_files_hold_the_numbers(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = quiet(tmp_path, tensorboard=True).train(
        Toy(), source(), [Phase(steps=5)], check=lambda: {"auc": 0.5}
    )
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["train/auc", "train/loss"]
    told = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert told == [(row["step"], pytest.approx(row["loss"])) for row in rows if "loss" in row]


def test_progress_lines_where_there_is_no_terminal(capsys):
    with StepProgress(10, done=2, every=0.0) as progress:
        for _ in range(3):
            progress.advance("train", {"loss": 0.25})
        progress.skip(3)
        progress.advance("train")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("train: step 3 of 10, about ")
    assert lines[0].endswith("s left  loss 0.25")
    assert lines[-1].startswith("train: step 6 of 7, about ")


def test_progress_hidden(capsys):
    with StepProgress(3, shown=False, every=0.0) as progress:
        progress.advance("train")
    assert capsys.readouterr().err == ""


def test_progress_bar_on_a_terminal(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr("visus.engine.progress.Console", lambda **named: console)
    with StepProgress(3, done=1) as progress:
        progress.advance("warm", {"loss": 0.5})
        progress.skip(1)
    shown = screen.getvalue()
    assert "2/2" in shown
    assert "warm" in shown
    assert "loss 0.5" in shown


# ---- seeds ------------------------------------------------------------------------------------------------


def test_seeded_block_is_reproducible_and_leaves_no_trace():
    with quiet(seed=3).seeded("init"):
        one = torch.rand(2)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with seeded(3, "init"):
        assert torch.equal(torch.rand(2), one)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3, "other"):
        assert not torch.equal(torch.rand(2), one)


def test_derived_seeds_differ_and_fit():
    seeds = {derive_seed(a, "x", b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**63 for seed in seeds)
