"""Tables of boxes of objects in videos.

Columns: `video` (name of the file, with or without its ending; may be absent when there is one video), `frame`
(from 0), `object` (from 1: the value in the masks), `ymin`, `xmin`, `ymax`, `xmax`, in 0..1 or, where any value
is above 1, in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from visus.data.formats.table import line_of, read_table, require_column, write_table
from visus.data.frames import Size
from visus.errors import InputError

SIDES = ("ymin", "xmin", "ymax", "xmax")
_REMEDY = "give every box as ymin < ymax, xmin < xmax, in 0..1 or in pixels"


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxTable:
    """A checked table."""

    file: Path
    video: list[str] | None
    """Names as written; None where there is no such column."""
    frame: Int64[np.ndarray, " n"]
    object: Int64[np.ndarray, " n"]
    sides: Float64[np.ndarray, "n 4"]
    pixels: bool

    def line_of_video(self, name: str) -> str:
        """Where a video is first named, for messages."""
        return f"column video, line {line_of((self.video or []).index(name))}"

    def dense(self, names: Sequence[str], frames: int, side: Size, most: int) -> Float32[Tensor, "t m 4"]:
        """The boxes of the video that goes by one of `names`, in 0..1, zeros where the table has none.

        Objects above `most` are left out; what reaches over the edge of the picture is cut off.

        Raises
        ------
        InputError : a frame the video does not have, or a box outside the picture; names the line.
        """
        here = np.arange(len(self.frame))
        if self.video is not None:
            here = np.array([i for i, name in enumerate(self.video) if name in names], dtype=np.int64)
        late = here[self.frame[here] >= frames]
        if len(late):
            where = f"column frame, line {line_of(late[0])}"
            problem = f"is {self.frame[late[0]]}, but the video has frames 0..{frames - 1}"
            raise InputError(problem, file=self.file, field=where, remedy="count frames from 0")
        here = here[self.object[here] <= most]
        unit = np.array([*side, *side], dtype=np.float64) if self.pixels else 1.0
        sides = (self.sides[here] / unit).clip(0, 1)
        outside = here[(sides[:, 0] >= sides[:, 2]) | (sides[:, 1] >= sides[:, 3])]
        if len(outside):
            problem = f"the box lies outside the picture of {side[0]} x {side[1]} pixels"
            where = f"line {line_of(outside[0])}"
            raise InputError(problem, file=self.file, field=where, remedy=_REMEDY)
        boxes = torch.zeros(frames, most, 4)
        boxes[self.frame[here], self.object[here] - 1] = torch.from_numpy(sides.astype(np.float32))
        return boxes


def read_boxes(path: str | Path) -> BoxTable:
    """Read and check a table.

    Raises
    ------
    InputError : a column is absent, a cell is no number or no whole number, a box is empty or turned over,
        the same object twice in a frame, or values that are neither 0..1 nor pixels; names line and column.
    """
    path = Path(path)
    table = read_table(path, text_columns=("video",))
    for column in ("frame", "object", *SIDES):
        require_column(table, column, file=path)
    frame, order = _whole(table, "frame", 0, path), _whole(table, "object", 1, path)
    sides = np.stack([_numbers(table, column, path) for column in SIDES], axis=1)
    names = [str(name).strip() for name in table["video"]] if "video" in table.columns else None
    seen: set[tuple[str, int, int]] = set()
    for row, key in enumerate(zip(names or [""] * len(frame), frame.tolist(), order.tolist())):
        if key in seen:
            problem = "is the second box of the same object in the same frame"
            raise InputError(problem, file=path, field=f"line {line_of(row)}", remedy="keep one of them")
        seen.add(key)
    turned = np.flatnonzero((sides[:, 0] >= sides[:, 2]) | (sides[:, 1] >= sides[:, 3]))
    if len(turned):
        where = f"line {line_of(turned[0])}"
        raise InputError("the box is empty or turned over", file=path, field=where, remedy=_REMEDY)
    most = float(sides.max())
    if 1 < most <= 2:
        problem = f"values up to {most} are neither 0..1 nor pixels"
        raise InputError(problem, file=path, field="ymin to xmax", remedy=_REMEDY)
    return BoxTable(file=path, video=names, frame=frame, object=order, sides=sides, pixels=most > 1)


def write_boxes(path: str | Path, boxes: Mapping[str, Float32[Tensor, "t m 4"]]) -> None:
    """Write the boxes of videos by name, in 0..1; boxes of zeros are left out.

    Raises
    ------
    InputError : there is no box at all.
    """
    rows = [
        (name, frame, i + 1, *values[frame, i].tolist())
        for name, values in boxes.items()
        for frame, i in values.any(dim=-1).nonzero().tolist()
    ]
    if not rows:
        raise InputError("has no boxes to write", file=path)
    frame = pd.DataFrame(rows, columns=pd.Index(["video", "frame", "object", *SIDES]))
    write_table(path, frame.round(6))


def _numbers(table: pd.DataFrame, column: str, path: Path) -> Float64[np.ndarray, " n"]:
    values = np.asarray(pd.to_numeric(table[column], errors="coerce"), dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        _refuse(table, column, int(wrong[0]), "is not a number", path)
    return values


def _whole(table: pd.DataFrame, column: str, least: int, path: Path) -> Int64[np.ndarray, " n"]:
    values = _numbers(table, column, path)
    wrong = np.flatnonzero((values < least) | (values != np.rint(values)))
    if len(wrong):
        _refuse(table, column, int(wrong[0]), f"is not a whole number from {least}", path)
    return values.astype(np.int64)


def _refuse(table: pd.DataFrame, column: str, row: int, problem: str, path: Path) -> None:
    cell, where = table[column].iloc[row], f"column {column}, line {line_of(row)}"
    raise InputError(f"{cell} {problem}", file=path, field=where, remedy="correct it")
