"""Keeps what pydicom says to itself: its warnings and log lines quote the values of a patient's file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_silent: ContextVar[bool] = ContextVar("silent", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, and the lines that pydicom logs in this thread; usable as a decorator too."""
    logging.getLogger("pydicom").addFilter(_pass)
    token = _silent.set(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _silent.reset(token)


def _pass(_: logging.LogRecord) -> bool:
    return not _silent.get()
