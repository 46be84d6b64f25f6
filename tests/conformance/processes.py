"""Fits in other processes: killed, or two that train together.

They are forked from a server that has imported everything once, so each costs a fraction of a second.
(`torchrun` itself is tested in tests/engine.)
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from method import Method
from watched import WatchedRun

from visus import catalogue

Make = Callable[[], Method]
"""Gives the method in the other process; must be picklable."""
LIMIT_SECONDS = 120


def start(target: Any, *arguments: Any) -> Any:
    """Start a process running `target(*arguments)`, a module-level function."""
    context = multiprocessing.get_context("forkserver")
    rooms = [f"{card.package}.estimator" for card in catalogue.works()]
    context.set_forkserver_preload(["torch", "accelerate", "visus.engine.loop", "sklearn.impute", *rooms])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def finish(process: Any) -> int:
    """Wait for a process; its exit code, negative for a signal."""
    process.join(LIMIT_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError(f"a process took more than {LIMIT_SECONDS} seconds")
    return process.exitcode


def fit_until_killed(make: Make, folder: Path, when: dict[str, float]) -> None:
    """A fit in this process that dies by SIGKILL: at `step`, or `seconds` after its first step began."""
    method, run = make(), WatchedRun(folder / "run", checkpoint_steps=2)
    step, seconds = when.get("step"), when.get("seconds")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def before(count: int) -> None:
        if count == step:
            die()
        if seconds is not None:
            if count == 1:
                threading.Timer(seconds, die).start()
            time.sleep(0.05)  # so that the moment comes before the end

    run.before_step = before
    method.fit(folder, run=run)


def fit_share(make: Make, folder: Path, settings: Sequence[str], environment: dict[str, str]) -> None:
    """One of several processes that train together; the main one saves."""
    os.environ.update(environment)
    method, run = make(), WatchedRun(folder / "run", checkpoint_steps=2)
    model = method.fit(folder, *settings, run=run).model
    if run.is_main:
        model.save(folder / "model")
    run.accelerator.wait_for_everyone()
    run.accelerator.end_training()


def train_together(make: Make, folder: Path, settings: Sequence[str], *, world: int = 2) -> None:
    """Fit in `world` processes over gloo on this machine; run in folder/run, model in folder/model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)}
    processes = [
        start(fit_share, make, folder, list(settings), shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world)
    ]
    codes = [finish(process) for process in processes]
    assert codes == [0] * world, f"exit codes {codes}"
