"""Trials: independent, resumable, and not impressed by crashes, kills and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import study_toy as toy
from study_toy import CLOCK, COUNT, CRASH, DIE, SCORE, STEPS, open_folder, trials

from visus.errors import InputError, Interrupted, MissingExtra
from visus.protocols import Trial
from visus.study import run_trials
from visus.study import trials as trials_module
from visus.study.trials import folder_of, stored

HERE = Path(__file__).resolve().parent


def run(*experiments, out: Path, **changes):
    given = {"workers": 2, "device": "cpu", "progress": False, "open_run": open_folder, **changes}
    return run_trials(trials(*experiments), experiments, out=out, **given)


def values(outcomes):
    return {outcome.name: {k: v for k, v in outcome.scores.items() if v == v} for outcome in outcomes}


def traces(out: Path) -> list[list[str]]:
    return [line.split() for file in sorted(out.rglob("trace.txt")) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One study, run once: three arms, an exact count, and a timing."""
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_ASKS_TORCH", "1")
        return out, run(SCORE, COUNT, CLOCK, out=out)


def test_every_trial_has_an_outcome_in_the_order_asked(finished):
    out, outcomes = finished
    assert [outcome.trial for outcome in outcomes] == trials(SCORE, COUNT, CLOCK)
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert values(outcomes)["count/small/0"] == {"parameters": 2112.0}
    record = json.loads((folder_of(out, outcomes[0].trial) / "result.json").read_text())
    assert record["fingerprint"]["preset"] == "smoke"
    assert record["fingerprint"]["budget"] == "none"
    assert record["scores"]["loss"] is None
    assert record["device"] == "cpu"
    assert record["threads"] == 1
    assert set(record["versions"]) == {"torch", "numpy"}
    assert not list(out.rglob("running.json"))
    assert not list(out.rglob(".stop"))


def test_trials_run_in_other_processes_with_one_thread(finished):
    out, _ = finished
    seen = traces(out / "trials" / "toy" / "score")
    assert len(seen) == 9
    assert {trace[0] for trace in seen} == {"threads=1"}
    assert {trace[2] for trace in seen} == {"1"}
    assert str(os.getpid()) not in {trace[1] for trace in seen}


def test_exclusive_trials_run_alone_and_last_with_all_threads(finished):
    import joblib

    out, outcomes = finished
    clock = [outcome for outcome in outcomes if outcome.trial.experiment == "clock"]
    spans = sorted((outcome.scores["began"], outcome.scores["ended"]) for outcome in clock)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    others = [float(trace[3]) for trace in traces(out / "trials" / "toy" / "score")]
    assert max(others) < spans[0][0]
    seen = traces(out / "trials" / "toy" / "clock")
    assert {trace[0] for trace in seen} == {f"threads={joblib.cpu_count()}"}
    assert len({trace[1] for trace in seen}) == 1
    assert {trace[1] for trace in seen}.isdisjoint(
        trace[1] for trace in traces(out / "trials" / "toy" / "score")
    )


def test_a_result_is_used_again_only_for_the_same_budget_and_preset(finished, tmp_path):
    out, first = finished
    again = run(SCORE, COUNT, out=out)
    assert {outcome.state for outcome in again} == {"kept"}
    assert values(again) == {k: v for k, v in values(first).items() if not k.startswith("clock")}
    assert len(traces(out / "trials" / "toy" / "score")) == 9
    assert all(
        outcome.scores["loss"] != outcome.scores["loss"] for outcome in again if "score" in outcome.name
    )


def test_other_work_in_a_folder_is_set_aside_and_taken_up_again(tmp_path):
    larger = toy.experiment("count", COUNT.arms, toy.count, seeds=COUNT.seeds, budget="twice as much")
    (small,) = run_trials(
        trials(COUNT)[:1], [COUNT], out=tmp_path, device="cpu", progress=False, open_run=open_folder
    )
    folder = folder_of(tmp_path, small.trial)
    (folder / "checkpoint").touch()
    other = run_trials(
        trials(larger)[:1], [larger], out=tmp_path, device="cpu", progress=False, open_run=open_folder
    )
    assert other[0].state == "done"
    assert not (folder / "checkpoint").exists()
    (folder / "result.json").unlink()  # stopped half way
    back = run_trials(
        trials(COUNT)[:1], [COUNT], out=tmp_path, device="cpu", progress=False, open_run=open_folder
    )
    assert back[0].state == "done"
    assert (folder / "checkpoint").exists()
    assert json.loads((folder / "trial.json").read_text())["budget"] == "none"


def test_a_broken_result_is_measured_again(finished, tmp_path):
    job_like = trials(COUNT)[:1]
    for content in ("{", "[]", '{"fingerprint": 1}', ""):
        file = folder_of(tmp_path, job_like[0]) / "result.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        job = make_job(tmp_path, job_like[0], COUNT)
        assert stored(job) is None
    outcomes = run_trials(job_like, [COUNT], out=tmp_path, device="cpu", progress=False, open_run=open_folder)
    assert outcomes[0].scores == {"parameters": 2112.0}


def make_job(out: Path, trial: Trial, experiment):
    return trials_module.Job(
        trial=trial,
        measure=experiment.measure,
        fingerprint=trials_module.fingerprint_of(trial, experiment),
        folder=folder_of(out, trial),
        stop=out / ".stop",
        device="cpu",
        threads=1,
        open_run=open_folder,
    )


def test_a_crashed_arm_is_reported_and_the_others_finish(tmp_path, capsys):
    outcomes = run(CRASH, out=tmp_path, progress=True)
    states = {outcome.name: outcome.state for outcome in outcomes}
    assert states == {
        f"crash/{arm}/{seed}": "failed" if arm == "empty" or (arm == "bad" and seed != 1) else "done"
        for arm in CRASH.arms
        for seed in range(3)
    }
    failed = next(outcome for outcome in outcomes if outcome.name == "crash/bad/2")
    assert "Traceback" in failed.error
    assert "ValueError: cannot do seed 2" in failed.error
    record = json.loads((folder_of(tmp_path, failed.trial) / "error.json").read_text())
    assert record["error"] == failed.error
    assert "non-empty mapping" in next(o.error for o in outcomes if o.name == "crash/empty/0")
    assert "crashed crash/bad/2: ValueError: cannot do seed 2" in capsys.readouterr().err
    repaired = toy.experiment("crash", CRASH.arms, toy.score)
    again = run(repaired, out=tmp_path)
    assert [outcome.state for outcome in again].count("done") == 5
    assert [outcome.state for outcome in again].count("kept") == 4
    assert not list(tmp_path.rglob("error.json"))


def test_a_killed_worker_is_reported_and_its_trials_start_again(tmp_path, capsys):
    outcomes = {outcome.name: outcome for outcome in run(DIE, out=tmp_path, progress=True)}
    assert outcomes["die/once/0"].state == "done"
    for seed in range(2):
        assert outcomes[f"die/fine/{seed}"].scores == {"accuracy": seed}
        assert outcomes[f"die/once/{seed}"].state == "done"
    assert outcomes["die/always/0"].state == "failed"
    assert "died three times" in outcomes["die/always/0"].error
    said = capsys.readouterr().err
    assert "A worker process died" in said
    assert not list(tmp_path.rglob("running.json"))
    assert len(list(tmp_path.rglob("error.json"))) == 1


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from study_toy import STEPS, open_folder, trials
from visus.errors import VisusError
from visus.study import run_trials
if __name__ == "__main__":
    try:
        given = dict(out=Path({out!r}), workers=2, device="cpu", open_run=open_folder)
        outcomes = run_trials(trials(STEPS), [STEPS], **given)
    except VisusError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(sorted(outcome.scores["steps"] for outcome in outcomes))
"""


def start(script: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(out: Path, count: int, deadline: float = 60) -> list[int]:
    """Wait until `count` trials run; their processes."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        found = [json.loads(file.read_text())["pid"] for file in out.rglob("running.json")]
        if len(found) == count and len(list(out.rglob("trace.txt"))) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError("the trials did not start")


@pytest.mark.parametrize("terminal", [False, True], ids=["to the command alone", "as a terminal does"])
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path, terminal):
    script = tmp_path / "study.py"
    out = tmp_path / "out"
    script.write_text(SCRIPT.format(here=str(HERE), out=str(out)))
    with start(script) as study:
        workers = begun(out, 2)
        time.sleep(0.3)
        if terminal:
            os.killpg(study.pid, signal.SIGINT)
        else:
            os.kill(study.pid, signal.SIGINT)
        _, errors = study.communicate(timeout=60)
    assert study.returncode == 130, errors
    assert "0 of 4 trials finished" in errors
    assert "Traceback" not in errors
    states = sorted(int(file.read_text()) for file in out.rglob("state.json"))
    assert len(states) == 2
    assert all(0 < state < 40 for state in states)
    assert not list(out.rglob("running.json"))
    assert not list(out.rglob(".stop"))
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    with start(script) as study:
        printed, errors = study.communicate(timeout=100)
    assert study.returncode == 0, errors
    assert printed.strip() == "[40.0, 40.0, 40.0, 40.0]"
    taken_up = sorted(int(trace[0].partition("=")[2]) for trace in traces(out))
    assert taken_up == sorted([0] * 4 + states)


def test_a_worker_killed_from_outside_costs_only_time(tmp_path):
    script = tmp_path / "study.py"
    out = tmp_path / "out"
    script.write_text(SCRIPT.format(here=str(HERE), out=str(out)))
    with start(script) as study:
        os.kill(begun(out, 2)[0], signal.SIGKILL)
        printed, errors = study.communicate(timeout=100)
    assert study.returncode == 0, errors
    assert "A worker process died during steps/" in errors
    assert printed.strip() == "[40.0, 40.0, 40.0, 40.0]"


def test_stopped_before_it_begins_a_trial_does_nothing(tmp_path):
    job = make_job(tmp_path, trials(STEPS)[0], STEPS)
    job.stop.touch()
    assert trials_module.run_job(job).state == "interrupted"
    assert not job.folder.exists()


def test_a_run_that_was_asked_to_stop_counts_as_interrupted(tmp_path):
    def stopped(trial, run):
        raise Interrupted("checkpoint written")

    experiment = toy.experiment("steps", ("a", "b"), stopped)
    job = make_job(tmp_path, trials(STEPS)[0], experiment)
    before = signal.getsignal(signal.SIGTERM)
    assert trials_module.run_job(job).state == "interrupted"
    assert not (job.folder / "error.json").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_cannot_be_run_is_refused_before_anything_starts(tmp_path):
    cases = [
        ({"backend": "cloud"}, "is no backend"),
        ({"workers": 0}, "cannot work"),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message):
            run(COUNT, out=tmp_path, **changes)
    stray = [Trial(slug="toy", experiment="count", arm="huge", seed=0, preset="smoke")]
    with pytest.raises(InputError, match=r"count/huge/0.*arms: small, large"):
        run_trials(stray, [COUNT], out=tmp_path, progress=False)
    with pytest.raises(InputError, match="experiments: score"):
        run_trials(stray, [SCORE], out=tmp_path, progress=False)
    assert not list(tmp_path.rglob("*.json"))


def test_names_of_arms_become_distinct_folders(tmp_path):
    arms = ["a b", "a-b", "a/b", "..", "变体", "super, frozen random W_A", "x" * 300]
    folders = [
        folder_of(tmp_path, Trial(slug="toy", experiment="e", arm=arm, seed=3, preset="smoke"))
        for arm in arms
    ]
    assert len(set(folders)) == len(arms)
    for folder in folders:
        assert folder.parent.parent == tmp_path / "trials" / "toy" / "e"
        folder.mkdir(parents=True)


def test_the_default_run_is_the_engines(tmp_path):
    pytest.importorskip("visus.engine")
    outcomes = run_trials(trials(COUNT), [COUNT], out=tmp_path, workers=1, device="cpu", progress=False)
    assert [outcome.scores["parameters"] for outcome in outcomes] == [2112.0, 4224.0]
    record = json.loads((folder_of(tmp_path, outcomes[0].trial) / "result.json").read_text())
    assert record["device"] == "cpu"


@pytest.fixture
def cluster(monkeypatch):
    """A Dask cluster of two processes on the loopback interface."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as made:
        yield made


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_dask_cluster_gives_the_same_results(cluster, finished, tmp_path, monkeypatch):
    _, here = finished
    there = run(SCORE, COUNT, out=tmp_path / "a", backend="dask", address=cluster.scheduler_address)
    assert values(there) == {name: v for name, v in values(here).items() if not name.startswith("clock")}
    assert str(os.getpid()) not in {trace[1] for trace in traces(tmp_path)}
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    crashed = run(CRASH, out=tmp_path / "b", backend="dask")
    assert sorted(outcome.state for outcome in crashed) == ["done"] * 4 + ["failed"] * 5


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_trial_that_kills_dask_workers_fails_and_the_others_finish(cluster, tmp_path):
    outcomes = {
        outcome.name: outcome.state
        for outcome in run(DIE, out=tmp_path, backend="dask", address=cluster.scheduler_address)
    }
    assert {outcomes[f"die/fine/{seed}"] for seed in range(2)} == {"done"}
    assert outcomes["die/always/0"] == "failed"
    assert outcomes["die/once/0"] == "done"


def test_a_cluster_that_is_not_there_is_said_plainly(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(InputError, match="--address"):
        run(COUNT, out=tmp_path, backend="dask")
    monkeypatch.setattr("visus.study.pools.PATIENCE_SECONDS", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        run(COUNT, out=tmp_path, backend="dask", address="tcp://127.0.0.1:9")


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_without_its_package_says_how_to_get_it(tmp_path, monkeypatch, backend, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=rf"pip install \"visus\[{'ray' if backend == 'ray' else 'cluster'}\]\""
    ):
        run(COUNT, out=tmp_path, backend=backend)
