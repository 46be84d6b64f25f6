"""One trial: its folder, its fingerprint, and what the process that runs it does."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from visus.errors import InputError, Interrupted, MissingData, MissingExtra
from visus.protocols import Experiment, Run, Scores, Trial
from visus.records import read_json, write_json
from visus.study.provenance import code_digest
from visus.version import __version__

OpenRun = Callable[[Path, int, str], Run]
"""Makes the run of a trial from folder, seed and device."""
_GATE = threading.Lock()  # training seeds the process's generators, so threads must take turns


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial with all that another process needs to run it."""

    trial: Trial
    measure: Callable[[Trial, Run], Scores]
    fingerprint: dict[str, Any]
    folder: Path
    stop: Path
    """While this file exists, no trial begins."""
    device: str
    threads: int
    open_run: OpenRun


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended."""

    trial: Trial
    state: Literal["done", "kept", "failed", "absent", "interrupted"]
    """`kept`: the result was there already. `absent`: data or a package it needs is not there, nothing is stored."""
    scores: Scores = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    """Traceback of a failed trial; what an absent one needs."""

    @property
    def name(self) -> str:
        """`experiment/arm/seed`."""
        return name_of(self.trial)


def name_of(trial: Trial) -> str:
    """`experiment/arm/seed`."""
    return f"{trial.experiment}/{trial.arm}/{trial.seed}"


def folder_of(out: Path, trial: Trial) -> Path:
    """`OUT/trials/<slug>/<experiment>/<arm>/seed-<k>`; a name unfit for a folder gets a digest."""
    parts = (_safe(name) for name in (trial.slug, trial.experiment, trial.arm))
    return Path(out).absolute().joinpath("trials", *parts, f"seed-{trial.seed}")


def fingerprint_of(trial: Trial, experiment: Experiment) -> dict[str, Any]:
    """What a stored result must agree with to be used again: the trial, its budget, the code it runs."""
    code = code_digest(trial.slug)
    return {"visus": __version__, "code": code, "budget": experiment.budget, **asdict(trial)}


def open_run(folder: Path, seed: int, device: str) -> Run:
    """The engine's run in a trial's `folder`, without progress of its own; the trials of a paper share a cache."""
    from visus.engine import Run as EngineRun

    run = EngineRun(folder, seed=seed, device=device, progress=False)
    run.cache = folder.parents[2] / ".cache"
    return run


def stored(job: Job) -> Outcome | None:
    """The result a former session left for exactly this trial, or None."""
    try:
        found = read_json(job.folder / "result.json")
        if found["fingerprint"] != job.fingerprint:
            return None
        scores = {
            name: math.nan if value is None else float(value) for name, value in found["scores"].items()
        }
        return Outcome(trial=job.trial, state="kept", scores=scores, seconds=float(found["seconds"]))
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return None


def run_job(job: Job) -> Outcome:
    """Run a trial to its end; meant for a worker process.

    Writes `result.json` or, if the trial crashes, `error.json`; never raises for what happens inside the
    trial. While it runs, `running.json` tells the process. Ctrl-C or SIGTERM lets the trial's run write its
    checkpoint.
    """
    began = time.monotonic()
    with _GATE:
        if job.stop.exists():
            return Outcome(trial=job.trial, state="interrupted")
        with _one_signal():
            try:
                return _attempt(job, began)
            except (Interrupted, KeyboardInterrupt):
                return Outcome(trial=job.trial, state="interrupted", seconds=time.monotonic() - began)
            finally:
                with contextlib.suppress(OSError):
                    (job.folder / "running.json").unlink(missing_ok=True)


def crash(job: Job, text: str, seconds: float = 0.0) -> Outcome:
    """Record that a trial failed, in `error.json` and as an outcome."""
    with contextlib.suppress(OSError, InputError):
        write_json(job.folder / "error.json", {**_record(job, seconds), "error": text})
    return Outcome(trial=job.trial, state="failed", seconds=seconds, error=text)


def _attempt(job: Job, began: float) -> Outcome:
    try:
        prepare(job)
        run = job.open_run(job.folder, job.trial.seed, job.device)
        _set_threads(job.threads)
        scores = _checked(job.measure(job.trial, run))
    except Interrupted:
        raise
    except (MissingData, MissingExtra) as error:
        return Outcome(trial=job.trial, state="absent", error=str(error))
    except (Exception, SystemExit):
        return crash(job, traceback.format_exc(), round(time.monotonic() - began, 3))
    seconds = round(time.monotonic() - began, 3)
    plain = {name: value if math.isfinite(value) else None for name, value in scores.items()}
    device = str(getattr(run, "device", job.device))
    write_json(job.folder / "result.json", {**_record(job, seconds), "device": device, "scores": plain})
    (job.folder / "error.json").unlink(missing_ok=True)
    return Outcome(trial=job.trial, state="done", scores=scores, seconds=seconds)


def prepare(job: Job) -> None:
    """Make the folder this trial's: other work is set aside, earlier work of this trial is taken up."""
    note, mine = job.folder / "trial.json", _digest(job.fingerprint)
    try:
        theirs = read_json(note)
    except InputError:  # absent, or cut short by a crash
        theirs = None
    if theirs is not None and theirs != job.fingerprint:
        _move(job.folder, _aside(job.folder, _digest(theirs)))
    if not job.folder.exists() and _aside(job.folder, mine).exists():
        _move(_aside(job.folder, mine), job.folder)
    if theirs != job.fingerprint:
        write_json(note, job.fingerprint)
    write_json(job.folder / "running.json", {"pid": os.getpid(), "host": socket.gethostname()})


def running_on_this_machine(job: Job) -> int | None:
    """The process that runs (or died running) the trial on this machine, if any."""
    try:
        found = read_json(job.folder / "running.json")
        return int(found["pid"]) if found["host"] == socket.gethostname() else None
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _record(job: Job, seconds: float) -> dict[str, Any]:
    return {
        "trial": asdict(job.trial),
        "fingerprint": job.fingerprint,
        "seconds": seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": job.device,
        "threads": job.threads,
        "host": socket.gethostname(),
        "versions": {name: version(name) for name in ("torch", "numpy")},
    }


def _checked(scores: Any) -> Scores:
    if not isinstance(scores, Mapping) or not scores:
        raise TypeError(
            f"a trial must return its scores as a non-empty mapping of names to numbers, not {scores!r}"
        )
    return {str(name): float(value) for name, value in scores.items()}


def _set_threads(threads: int) -> None:
    if "torch" in sys.modules:  # otherwise OMP_NUM_THREADS, which the pool sets, decides when it is imported
        sys.modules["torch"].set_num_threads(threads)


def _safe(name: str) -> str:
    plain = re.sub(r"[^\w.+=-]+", "-", name).strip("-.")[:60]
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


def _aside(folder: Path, digest: str) -> Path:
    return folder.with_name(f"{folder.name}.{digest}")


def _move(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    source.rename(target)


@contextlib.contextmanager
def _one_signal() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt and ignore the rest.

    A person's Ctrl-C reaches this process from the terminal and once more from the process that started it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def stop(*_: object) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
