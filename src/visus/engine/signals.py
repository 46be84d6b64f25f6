"""A person's wish to stop, noticed at the next safe point."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self


class StopWish:
    """Context manager: the first Ctrl-C (or SIGTERM) sets `wanted`; a second Ctrl-C stops at once.

    Outside the main thread signals are left alone.
    """

    def __init__(self) -> None:
        self.wanted: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: the handler was not set from Python and cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.wanted is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = number
