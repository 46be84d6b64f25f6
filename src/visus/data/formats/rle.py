"""Masks as COCO writes them: run lengths, packed or not, and polygons.

A run-length mask is `{"size": [h, w], "counts": ...}`. Counts are the lengths of runs of 0, 1, 0, 1, ... when
the mask is read column by column; the first may be 0. Packed counts are a text in which every number takes
groups of five bits, lowest first: the code of a character is 48 + the group + 32 if more groups follow, the
highest bit of the last group is the sign, and from the fourth number on the difference from the number two
places before is stored.

Source: the mask format of the COCO application programming interface (Lin et al., 1405.0312).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from visus.errors import InputError

REMEDY = "write the annotation again"


def encode_mask(mask: Bool[np.ndarray, "h w"], *, packed: bool = True) -> dict[str, Any]:
    """A mask as run lengths, with `counts` a text (`packed`) or a list of numbers.

    >>> encode_mask(np.array([[False, True], [False, True]]), packed=False)
    {'size': [2, 2], 'counts': [2, 2]}
    """
    column_major = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(column_major)) + 1
    first = [0] if column_major[:1].any() else []
    counts = first + np.diff(np.concatenate([[0], edges, [column_major.size]])).tolist()
    return {"size": [int(side) for side in mask.shape], "counts": pack(counts) if packed else counts}


def decode_mask(
    rle: Mapping[str, Any], *, file: str | Path | None = None, field: str = "segmentation"
) -> Bool[np.ndarray, "h w"]:
    """A mask from run lengths, packed (text or bytes) or not.

    Parameters
    ----------
    file, field : where the run lengths come from, for error messages.

    Raises
    ------
    InputError : size or counts are absent or malformed, or the runs do not fill the picture.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, Sequence) or len(size) != 2 or not all(_is_count(side) for side in size):
        raise InputError(f"size is {size!r}, not [height, width]", file=file, field=field, remedy=REMEDY)
    if isinstance(counts, str | bytes):
        counts = unpack(counts, file=file, field=field)
    if not isinstance(counts, Sequence) or not all(_is_count(count) for count in counts):
        problem = "counts are neither a text nor a list of numbers from 0 on"
        raise InputError(problem, file=file, field=field, remedy=REMEDY)
    height, width = size
    if sum(counts) != height * width:
        problem = f"runs cover {sum(counts)} of {height} x {width} pixels"
        raise InputError(problem, file=file, field=field, remedy=REMEDY)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, np.asarray(counts, dtype=np.int64)).reshape(width, height).T


def pack(counts: Sequence[int]) -> str:
    """Run lengths as a text.

    >>> pack([5, 3, 2, 40])
    '532U1'
    """
    text = bytearray()
    for i, count in enumerate(counts):
        rest, more = int(count) - (int(counts[i - 2]) if i > 2 else 0), True
        while more:
            group, rest = rest & 31, rest >> 5
            more = rest != (-1 if group & 16 else 0)
            text.append(48 + group + (32 if more else 0))
    return text.decode("ascii")


def unpack(text: str | bytes, *, file: str | Path | None = None, field: str = "counts") -> list[int]:
    """Run lengths from a text, the reverse of `pack`. A damaged text is an `InputError`."""
    codes = text.encode("utf-8") if isinstance(text, str) else bytes(text)
    counts: list[int] = []
    value = shift = 0
    for place, code in enumerate(codes):
        if not 48 <= code < 112:
            problem = f"character {place + 1} of the packed counts is outside the alphabet"
            raise InputError(problem, file=file, field=field, remedy=REMEDY)
        group = code - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        value -= (1 << shift) if group & 16 else 0
        value += counts[-2] if len(counts) > 2 else 0
        if value < 0:
            raise InputError("a packed count is below 0", file=file, field=field, remedy=REMEDY)
        counts.append(value)
        value = shift = 0
    if shift:
        raise InputError("packed counts are cut off", file=file, field=field, remedy=REMEDY)
    return counts


def fill_polygons(
    polygons: Sequence[Sequence[int | float] | Float[np.ndarray, " n"]],
    height: int,
    width: int,
    *,
    file: str | Path | None = None,
    field: str = "segmentation",
) -> Bool[np.ndarray, "h w"]:
    """The union of polygons [x0, y0, x1, y1, ...] in pixels; (0, 0) is the corner of the first pixel.

    A pixel belongs to a polygon when its center does, by the even-odd rule; a center on a left or upper edge
    counts, on a right or lower edge not. Parts outside the picture are cut off.

    Differs: COCO first rounds corners to fifths of a pixel, so single pixels on slanted edges may differ.

    Raises
    ------
    InputError : a polygon has an odd number of coordinates, fewer than three corners, or no finite numbers.

    >>> fill_polygons([[0, 0, 2, 0, 2, 1, 0, 1]], 2, 3).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """
    mask = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=np.float64)
        if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            problem = "a polygon is not x, y, x, y, ... of at least three corners"
            raise InputError(problem, file=file, field=field, remedy=REMEDY)
        mask |= _filled(corners.reshape(-1, 2), height, width)
    return mask


def _filled(corners: Float[np.ndarray, "n 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Where the line through a row's centers crosses an edge, inside and outside change places."""
    edges = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    down = (
        edges[:, :1, 1] <= edges[:, 1:, 1]
    )  # from above, so that an edge walked both ways crosses at one place
    edges = np.where(down[:, None], edges, edges[:, ::-1])
    (x, y), (x_next, y_next) = edges[:, 0].T, edges[:, 1].T
    centers = np.arange(height)[:, None] + 0.5
    row, edge = np.nonzero((y <= centers) != (y_next <= centers))
    slope = (x_next[edge] - x[edge]) / (y_next[edge] - y[edge])
    crossing = x[edge] + (centers[row, 0] - y[edge]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    toggles = np.zeros((height, width + 1), dtype=np.int64)
    np.add.at(toggles, (row, column), 1)
    return (np.cumsum(toggles, axis=1)[:, :width] % 2).astype(bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0
