"""Progress of a study on the terminal."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from visus.study.trials import Outcome


class Board:
    """Context manager: a bar with an estimate, and a line for every trial that crashed; on standard error.

    Parameters
    ----------
    total : trials of the study.
    kept : of these, how many have a result from before.
    show : False says nothing at all.
    """

    def __init__(self, total: int, *, kept: int = 0, show: bool = True) -> None:
        self._console = Console(stderr=True, quiet=not show)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not show)
        self._task = self._bar.add_task("trials", total=total - kept)
        self._kept = kept

    def __enter__(self) -> Self:
        self._bar.start()
        if self._kept:
            self.say(f"results from before that are used again: {self._kept}")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, outcome: Outcome) -> None:
        """Count a trial that ended."""
        if outcome.state == "interrupted":
            return
        self._bar.advance(self._task)
        if outcome.state == "absent":
            self._console.print(
                f"not measured: {escape(outcome.name)}: {escape(outcome.error)}", highlight=False
            )
        if outcome.state == "failed":
            last = outcome.error.strip().splitlines()[-1:] or ["no message"]
            self._console.print(
                f"[red]crashed[/red] {escape(outcome.name)}: {escape(last[0])}", highlight=False
            )

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(escape(text), highlight=False)
