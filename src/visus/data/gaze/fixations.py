"""Rows of a gaze table, what is wrong with some of them, and how the rest is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64

CALIBRATION = "calibration frame, not an image"
UNKNOWN = "image not in the table"
INVALID = "marked invalid by the eye tracker"
NOT_FINITE = "position is not a finite number"
OFF = "off the image"
DURATION = "duration missing or not above 0"
REPEATED = "same row again"
REASONS = (CALIBRATION, UNKNOWN, INVALID, NOT_FINITE, OFF, DURATION, REPEATED)
"""Why rows are dropped, in the order in which they are asked: each row counts once, under the first."""


@dataclass(frozen=True, kw_only=True)
class DropReport:
    """What became of the rows of gaze tables."""

    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """What was remarkable about rows or images that were kept -> how many."""

    @property
    def total(self) -> int:
        """All rows seen."""
        return self.kept + sum(self.dropped.values())

    def __add__(self, other: DropReport) -> DropReport:
        return DropReport(
            kept=self.kept + other.kept,
            dropped=_added(self.dropped, other.dropped),
            notes=_added(self.notes, other.notes),
        )

    def text(self) -> str:
        """A line for what was kept, one per reason, one per note.

        >>> print(DropReport(kept=8, dropped={OFF: 2}).text())
        8 of 10 gaze rows kept
          2 dropped: off the image
        """
        lines = [f"{self.kept} of {self.total} gaze rows kept"]
        lines += [f"  {count} dropped: {reason}" for reason, count in self.dropped.items()]
        lines += [f"  note: {what}: {count}" for what, count in self.notes.items()]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fixations:
    """Rows of a gaze table as read, before any rule is applied; arrays share one length.

    `image` names the image; x, y are in its native pixels (centers at +0.5), `seconds` the duration. Where
    `valid` is given, False marks rows the tracker did not trust; where `time` is given (seconds or any
    counter), rows equal in everything are repetitions.
    """

    image: Sequence[str] | np.ndarray
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    seconds: Float[np.ndarray, " n"]
    valid: Bool[np.ndarray, " n"] | None = None
    time: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def by_image(
        self,
        sizes: Mapping[str, tuple[int, int]],
        *,
        calibration: Sequence[bool] | np.ndarray | None = None,
        durations: Literal["need", "ignore"] = "need",
    ) -> tuple[dict[str, Float[np.ndarray, "n 3"]], DropReport]:
        """The rows that can be used as (n, 3) arrays x, y, seconds per image, and what became of the others.

        Parameters
        ----------
        sizes : (height, width) of every known image; images without rows get an empty array.
        calibration : rows that belong to calibration frames.
        durations : `ignore` keeps rows without a usable duration (raw samples that are only counted).
        """
        number = numbers_of(self.image, list(sizes))
        shape = np.array([*sizes.values(), (0, 0)], dtype=np.float64)[number]  # -1: the last
        # Rules are applied to what is stored: rounding must not carry a point over the image's edge later.
        x, y, seconds = (np.asarray(values, dtype=np.float32) for values in (self.x, self.y, self.seconds))
        nobody = np.zeros(len(x), dtype=bool)
        finite = np.isfinite(x) & np.isfinite(y)
        wrong = {
            CALIBRATION: nobody if calibration is None else np.asarray(calibration, dtype=bool),
            UNKNOWN: number < 0,
            INVALID: nobody if self.valid is None else ~np.asarray(self.valid, dtype=bool),
            NOT_FINITE: ~finite,
            OFF: finite & ~((x >= 0) & (y >= 0) & (x < shape[:, 1]) & (y < shape[:, 0])),
            DURATION: nobody if durations == "ignore" else ~(np.isfinite(seconds) & (seconds > 0)),
            REPEATED: self._repeated(number),
        }
        open_, dropped = ~nobody, {}
        for reason in REASONS:
            hit = open_ & wrong[reason]
            open_ &= ~hit
            if hit.any():
                dropped[reason] = int(hit.sum())
        rows = np.stack([x, y, seconds], axis=1)[open_]
        order = np.argsort(number[open_], kind="stable")
        cuts = np.searchsorted(number[open_][order], np.arange(len(sizes) + 1))
        parts = {name: rows[order[cuts[i] : cuts[i + 1]]] for i, name in enumerate(sizes)}
        return parts, DropReport(kept=len(rows), dropped=dropped)

    def _repeated(self, number: np.ndarray) -> np.ndarray:
        if self.time is None:
            return np.zeros(len(self.x), dtype=bool)
        columns = {"i": number, "x": self.x, "y": self.y, "s": self.seconds, "t": self.time}
        return pd.DataFrame(columns).duplicated().to_numpy()


def numbers_of(names: Sequence[str] | np.ndarray, known: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """The place of every name among the known ones, -1 for others; quick for millions of names."""
    found = pd.Index(list(known), dtype=object).get_indexer(pd.Index(np.asarray(names, dtype=object)))
    return np.asarray(found, dtype=np.int64)


def screen_to_image(
    fractions: Float[np.ndarray, "n 2"],
    *,
    screen: tuple[int, int],
    pads: Float[np.ndarray, "n 4"],
    native: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 2"]:
    """Gaze on a screen, as fractions of its width and height, in pixels of the image shown with bars around it.

        x = (u * W_screen - left) * W / (W_screen - left - right)

    and likewise y. What looks at the bars comes out negative or beyond the image.

    Parameters
    ----------
    fractions : (u, v) per row.
    screen : (height, width) of the screen in pixels.
    pads : top, bottom, left, right bar per row in screen pixels.
    native : (height, width) of the image per row.
    """
    top, bottom, left, right = np.asarray(pads, dtype=np.float64).T
    shown = np.stack([screen[1] - left - right, screen[0] - top - bottom], axis=1)
    inside = np.asarray(fractions, dtype=np.float64) * np.array(screen[::-1]) - np.stack([left, top], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return inside * np.asarray(native, dtype=np.float64)[:, ::-1] / shown


def _added(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    names = list(dict.fromkeys([*first, *second]))
    return {name: first.get(name, 0) + second.get(name, 0) for name in names}
