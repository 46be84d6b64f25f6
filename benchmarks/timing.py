"""Side-by-side timing for the benchmarks: interleaved repeats on one machine, and where they were taken."""

from __future__ import annotations

import gc
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch


def measure(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 10,
    warmup: int = 2,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call, taken in turns.

    One round calls every alternative once; the order rotates from round to round, so drift of the machine
    (heat, other people's jobs) falls on all alike. On CUDA the device is waited for before each reading.

    Parameters
    ----------
    repeats : rounds that count; `warmup` rounds before them do not.
    seconds : stop early, after at least three rounds, when this much time has gone.
    clock : time on the wall, or `time.process_time`, which other programs disturb less; use that with one CPU
        thread only (it counts all threads, spinning ones too).
    """
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    enabled = gc.isenabled()
    gc.disable()
    try:
        begun = time.perf_counter()
        for turn in range(-warmup, repeats):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                _wait()
                start = clock()
                calls[name]()
                _wait()
                if turn >= 0:
                    times[name].append(clock() - start)
            if seconds is not None and turn >= 2 and time.perf_counter() - begun > seconds:
                break
    finally:
        if enabled:
            gc.enable()
    return times


def ratio(times: Mapping[str, list[float]], slow: str, fast: str) -> float:
    """How many times faster `fast` is: the ratio of their best rounds, which interference disturbs least."""
    return min(times[slow]) / min(times[fast])


def summary(seconds: list[float]) -> dict[str, float | int]:
    """Best and median in milliseconds."""
    return {
        "min_ms": 1e3 * min(seconds),
        "median_ms": 1e3 * statistics.median(seconds),
        "rounds": len(seconds),
    }


def provenance() -> dict[str, Any]:
    """Machine, versions, commit and date of a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
