"""What the commands share: options checked, progress, numbers in words, small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from visus.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from visus.engine.progress import StepProgress

THUMBNAIL = 160
"""Pixels of the longer side of a picture on a page."""
SMALLEST = 96
"""Smaller pictures are enlarged to this, pixel by pixel."""


def check_ending(path: Path, endings: Sequence[str], *, field: str = "--out") -> None:
    """Refuse a file of another kind than will be written.

    Raises
    ------
    InputError : names the endings.
    """
    if path.suffix.lower() not in endings:
        remedy = f"end the name in {' or '.join(endings)}"
        raise InputError("has another ending than what is written", file=path, field=field, remedy=remedy)


def check_numbers(**limits: tuple[float, float, float]) -> None:
    """Refuse options out of bounds: name -> (value, least, most).

    Raises
    ------
    InputError : names the option.

    >>> check_numbers(folds=(5, 2, 100))
    """
    for name, (value, least, most) in limits.items():
        if not least <= value <= most:
            told = f"choose a number from {least:g}" + (f" to {most:g}" if math.isfinite(most) else "")
            raise InputError(f"is {value:g}", field=f"--{name.replace('_', '-')}", remedy=told)


class Ticker:
    """A progress bar for callbacks of the form (done, total); used as a context."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.done = self.total = 0
        self._bar: StepProgress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def __call__(self, done: int, total: int) -> None:
        """Report so much."""
        from visus.engine.progress import StepProgress

        self.total = total
        if self._bar is None:
            self.done, self._bar = done, StepProgress(total, done=done).__enter__()
        for _ in range(done - self.done):
            self._bar.advance(self.what)
        self.done = max(self.done, done)


def percents(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A share, with its interval where there is one; stays on one line.

    >>> percents(0.4937, (0.4, 0.55)).replace(chr(160), " ")
    '49.4 % (40.0 to 55.0)'
    """
    if value is None or not math.isfinite(value):
        return "–"
    told = f"{100 * value:.1f} %"
    if interval is not None and all(map(math.isfinite, interval)):
        told += f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
    return told.replace(" ", "\u00a0")


def points(value: float, interval: Sequence[float]) -> str:
    """A difference of shares in percentage points, with its interval.

    >>> points(0.05, (-0.004, 0.1)).replace(chr(160), " ")
    '+5.0 (-0.4 to +10.0)'
    """
    return f"{100 * value:+.1f} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})".replace(" ", "\u00a0")


def chance(p: float) -> str:
    """A p-value in words.

    >>> chance(0.0002), chance(0.2)
    ('< 0.001', '0.200')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def shortened(text: str, most: int) -> str:
    """A text cut at a word.

    >>> shortened("a large bird with long legs", 15)
    'a large bird …'
    """
    if len(text) <= most:
        return text
    return text[: most - 1].rsplit(" ", 1)[0].rstrip(",;:") + " …"


def thumbnail(picture: Image.Image, size: int = THUMBNAIL) -> bytes:
    """A picture as a PNG file for a page."""
    import io

    from PIL import Image

    small = picture.convert("RGB")
    small.thumbnail((size, size))
    if (side := max(small.size)) < SMALLEST:
        times = -(-SMALLEST // side)
        small = small.resize((small.width * times, small.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG")
    return buffer.getvalue()
