"""Arms x seeds as independent, resumable trials."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Self

from visus.errors import InputError, Interrupted
from visus.protocols import Experiment, Trial
from visus.study import pools
from visus.study.board import Board
from visus.study.trials import (
    Job,
    OpenRun,
    Outcome,
    crash,
    fingerprint_of,
    folder_of,
    name_of,
    open_run,
    running_on_this_machine,
    stored,
)

Backend = Literal["local", "ray", "dask"]


def run_trials(
    trials: Sequence[Trial],
    experiments: Sequence[Experiment],
    *,
    out: Path,
    workers: int | None = None,
    backend: Backend = "local",
    address: str | None = None,
    device: str = "auto",
    progress: bool = True,
    open_run: OpenRun = open_run,
) -> list[Outcome]:
    """Run every trial that has no result yet; crashed trials are reported as outcomes and the others finish.

    A trial's result is `out/trials/<slug>/<experiment>/<arm>/seed-<k>/result.json`. It is used again when
    version, preset, budget and seed agree. A trial that was stopped goes on from its run's last checkpoint.
    A worker process that dies (killed, out of memory) takes no other trial with it: what it interrupted
    starts again once, and then alone. Trials of exclusive experiments run last, one at a time, on this
    machine, with all its threads.

    Parameters
    ----------
    trials : what to run.
    experiments : the experiments the trials name.
    out : folder of the study.
    workers : processes at one time; None = one per CPU, or one per CUDA device where trials use them. A
        cluster runs what its workers take.
    backend : processes of this machine, or an existing Ray or Dask cluster.
    address : the cluster's address; None = RAY_ADDRESS or DASK_SCHEDULER_ADDRESS.
    device : passed to the trials' runs.
    progress : show a bar with an estimate on standard error.
    open_run : makes a trial's run from folder, seed and device.

    Returns
    -------
    One outcome per trial, in their order.

    Raises
    ------
    visus.errors.Interrupted : Ctrl-C or SIGTERM; trials wrote their checkpoints, running again goes on.
    visus.errors.InputError : unknown experiment or arm, no workers, no cluster.
    visus.errors.MissingExtra : the backend's package is not installed.
    """
    if backend not in ("local", "ray", "dask"):
        raise InputError(f"{backend!r} is no backend", field="backend", remedy="choose local, ray or dask")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers cannot work", field="workers", remedy="give 1 or more")
    stop = Path(out).absolute() / "trials" / ".stop"
    stop.unlink(missing_ok=True)
    exclusive = {experiment.name for experiment in experiments if experiment.exclusive}
    jobs = _jobs(trials, experiments, out=Path(out), device=device, stop=stop, open_run=open_run)
    outcomes = {job.trial: outcome for job in jobs if (outcome := stored(job)) is not None}
    todo = [job for job in jobs if job.trial not in outcomes]
    for job in todo:
        (job.folder / "running.json").unlink(missing_ok=True)  # of a session that was killed
    shared = [job for job in todo if job.trial.experiment not in exclusive]
    alone = [job for job in todo if job.trial.experiment in exclusive]
    workers = workers or default_workers(device)
    pool: pools.Pool = {
        "local": partial(pools.local, workers=workers),
        "dask": partial(pools.dask, address=address),
        "ray": partial(pools.ray, address=address),
    }[backend]
    with Board(len(jobs), kept=len(outcomes), show=progress) as board, _Stopping(stop, todo) as stopping:
        for outcome in _finish(shared, pool, board):
            outcomes[outcome.trial] = outcome
        for outcome in _finish(alone, partial(pools.local, workers=1), board):
            outcomes[outcome.trial] = outcome
    if stopping.wanted:
        finished = sum(outcome.state != "interrupted" for outcome in outcomes.values())
        raise Interrupted(
            f"stopped with {finished} of {len(jobs)} trials finished in {out}; the same command goes on"
        )
    return [outcomes[trial] for trial in trials]


def default_workers(device: str) -> int:
    """One worker per CPU this process may use, or one per CUDA device when trials run there."""
    import joblib

    if device != "cpu":
        import torch

        if torch.cuda.is_available():
            return 1 if device not in ("auto", "cuda") else torch.cuda.device_count()
    return joblib.cpu_count()


def _jobs(
    trials: Sequence[Trial],
    experiments: Sequence[Experiment],
    *,
    out: Path,
    device: str,
    stop: Path,
    open_run: OpenRun,
) -> list[Job]:
    known = {experiment.name: experiment for experiment in experiments}
    devices = _devices(device)
    jobs = []
    for index, trial in enumerate(trials):
        experiment = known.get(trial.experiment)
        if experiment is None or trial.arm not in experiment.arms:
            arms = "arms: " + ", ".join(experiment.arms) if experiment else "experiments: " + ", ".join(known)
            raise InputError("is no arm of a known experiment", field=name_of(trial), remedy=arms)
        jobs.append(
            Job(
                trial=trial,
                measure=experiment.measure,
                fingerprint=fingerprint_of(trial, experiment),
                folder=folder_of(out, trial),
                stop=stop,
                device=devices[0 if experiment.exclusive else index % len(devices)],
                threads=_all_threads() if experiment.exclusive else 1,
                open_run=open_run,
            )
        )
    return jobs


def _devices(device: str) -> list[str]:
    """Trials take turns on the CUDA devices of a machine that has several."""
    if device in ("auto", "cuda"):
        import torch

        if torch.cuda.device_count() > 1:
            return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [device]


def _all_threads() -> int:
    import joblib

    return joblib.cpu_count()


def _finish(jobs: Sequence[Job], pool: pools.Pool, board: Board) -> Iterator[Outcome]:
    """Feed jobs to the pool until none is left, whatever dies on the way."""
    left = {job.trial: job for job in jobs}
    deaths: Counter[Trial] = Counter()
    while left and not jobs[0].stop.exists():
        together = [job for job in left.values() if deaths[job.trial] < 2]
        group = together or [next(iter(left.values()))]  # alone, so that another death names its trial
        for outcome in (pool if together else partial(pools.local, workers=1))(group):
            left.pop(outcome.trial)
            board.show(outcome)
            yield outcome
        if jobs[0].stop.exists():
            return
        lost = [job for job in group if job.trial in left]
        struck = [job for job in lost if (job.folder / "running.json").exists()] or lost
        for job in struck:
            (job.folder / "running.json").unlink(missing_ok=True)
            deaths[job.trial] += 1
            if not together:
                board.show(outcome := crash(left.pop(job.trial), _DEATH))
                yield outcome
        if together and struck:
            names = ", ".join(name_of(job.trial) for job in struck)
            board.say(f"A worker process died during {names}; what it interrupted starts again.")


_DEATH = (
    "The worker process died three times, the last time with this trial alone: it was killed, ran out of "
    "memory, or crashed below Python."
)


class _Stopping:
    """Context manager: Ctrl-C or SIGTERM lets trials write checkpoints, a second Ctrl-C kills them."""

    def __init__(self, stop: Path, jobs: Sequence[Job]) -> None:
        self.wanted = False
        self._stop, self._jobs = stop, jobs
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._stop.unlink(missing_ok=True)
        if kind is KeyboardInterrupt:
            raise Interrupted("stopped at once; finished trials and checkpoints are kept") from None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True
        self._stop.parent.mkdir(parents=True, exist_ok=True)
        self._stop.touch()
        for job in self._jobs:
            process = running_on_this_machine(job)
            if process is not None and process != os.getpid():
                try:
                    os.kill(process, signal.SIGTERM)
                except OSError:
                    continue
