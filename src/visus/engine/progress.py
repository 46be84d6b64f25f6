"""How far the work is and how long it will take."""

from __future__ import annotations

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class StepProgress:
    """A progress bar on a terminal; elsewhere a line every `every` seconds with the estimated time left."""

    def __init__(self, total: int, *, done: int = 0, shown: bool = True, every: float = 15.0) -> None:
        self._total, self._done, self._every = total, done, every
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._started = self._last = time.monotonic()
        self._first, self._shown = done, shown

    def __enter__(self) -> Self:
        if self._shown and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("training", total=self._total, completed=self._done, note="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, phase: str, note: dict[str, Any] | None = None) -> None:
        """One step further; `note` holds numbers worth showing."""
        self._done += 1
        if not self._shown:
            return
        text = "  ".join(
            f"{key} {value:.4g}" for key, value in (note or {}).items() if isinstance(value, float)
        )
        if self._bar is not None:
            fields: dict[str, Any] = {"note": text} if note else {}
            self._bar.update(self._task, completed=self._done, description=phase, **fields)
        elif time.monotonic() - self._last > self._every:
            self._last = time.monotonic()
            left = (self._last - self._started) / (self._done - self._first) * (self._total - self._done)
            self._console.print(
                f"{phase}: step {self._done} of {self._total}, about {left:.0f} s left  {text}"
            )

    def skip(self, steps: int) -> None:
        """Steps that will not be needed (early stopping)."""
        self._total -= steps
        if self._bar is not None:
            self._bar.update(self._task, total=self._total)
