"""A network as the chain of its blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visus.drawing import BLUE, FAINT, GRAY, GREEN, INK, ORANGE, PURPLE, QUIET, SKY, VERMILION, plain, svg
from visus.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Size = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Stone:
    """One row of the drawing: a block, or several alike after each other.

    name : the block. out_size : channels, height, width after it. layers : layers in one of them.
    regrown : whether it was written by the prior. count : how many alike.
    """

    name: str
    out_size: Size
    layers: int = 1
    regrown: bool = False
    count: int = 1


def stones(architecture: Any, *, regrown: Collection[int] = (), merge: bool = True) -> list[Stone]:
    """The rows of an `Architecture`; its layers one by one where it has no blocks.

    Parameters
    ----------
    architecture : a record with `layers` (each with `out_size`) and `blocks` (name, start, stop).
    regrown : places of the blocks that were regrown.
    merge : put blocks alike, one after the other, into one row.
    """
    layers = architecture.layers
    if not layers:
        raise InputError("has no layers", field=f"architecture {architecture.name!r}")
    blocks = architecture.blocks or tuple((_kind(layer), i, i + 1) for i, layer in enumerate(layers))
    found: list[Stone] = []
    for place, (name, start, stop) in enumerate(blocks):
        size: Size = tuple(layers[stop - 1].out_size)  # type: ignore[assignment]
        made = Stone(name=name, out_size=size, layers=stop - start, regrown=place in regrown)
        last = found[-1] if found else None
        alike = last is not None and (last.name, last.out_size, last.layers, last.regrown) == (
            made.name,
            made.out_size,
            made.layers,
            made.regrown,
        )
        if merge and last is not None and alike:
            made = Stone(**{**vars(made), "count": last.count + 1})
            found.pop()
        found.append(made)
    return found


def draw_architecture(
    architecture: Any, *, regrown: Collection[int] = (), title: str | None = None, merge: bool = True
) -> str:
    """The chain of blocks from top to bottom: name, a bar as long as the logarithm of its channels, its size.

    A gap and a fine line mark where the resolution changes; regrown blocks have a mark and a frame.

    Parameters
    ----------
    architecture : an `Architecture`, or a sequence of `Stone`.
    regrown : places (from 0) of the blocks the prior wrote; already in the stones if those are given.
    title : over the drawing; the architecture's name if left out.
    merge : put blocks alike, one after the other, into one row.

    Returns
    -------
    SVG text.
    """
    if isinstance(architecture, Sequence):
        rows = list(architecture)
    else:
        rows = stones(architecture, regrown=regrown, merge=merge)
    if not rows:
        raise InputError("has no blocks", field="architecture", remedy="give at least one block")
    title = title if title is not None else str(getattr(architecture, "name", ""))
    step, gap = 21.0, 9.0
    changes = [a.out_size[1:] != b.out_size[1:] for a, b in itertools.pairwise(rows)]
    top = 44.0 if title else 18.0
    height = top + step * len(rows) + gap * sum(changes) + 26
    figure, axes = plain(height / 72)
    if title:
        axes.text(14, 20, title, fontsize=11, color=INK, va="center")
    widest = max(math.log2(1 + row.out_size[0]) for row in rows)
    y = top
    for place, row in enumerate(rows):
        _row(axes, row, y + step / 2, length=178 * math.log2(1 + row.out_size[0]) / widest)
        y += step
        if place < len(changes) and changes[place]:
            axes.plot([14, 446], [y + gap / 2] * 2, color=FAINT, linewidth=0.8)
            y += gap
    total = sum(row.count for row in rows)
    note = f"{total} blocks, {sum(row.count * row.layers for row in rows)} layers"
    written = sum(row.count for row in rows if row.regrown)
    note += f" · {written} regrown (framed)" if written else ""
    axes.text(14, height - 12, note, fontsize=9, color=QUIET, va="center")
    return svg(figure)


def _row(axes: Axes, row: Stone, y: float, *, length: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    left = 186.0
    name = row.name if row.count == 1 else f"{row.name}  × {row.count}"
    if row.regrown:
        axes.plot(18, y, "D", markersize=5, color=VERMILION, markeredgewidth=0)
    axes.text(28, y, name, fontsize=9, color=INK, va="center", fontweight="bold" if row.regrown else "normal")
    axes.add_patch(
        FancyBboxPatch(
            (left, y - 7),
            max(length, 3.0),
            14,
            boxstyle="round,pad=0,rounding_size=3",
            facecolor=family_color(row.name),
            edgecolor=VERMILION if row.regrown else "none",
            linewidth=1.8,
        )
    )
    channels, high, wide = row.out_size
    size = f"{channels} × {high} × {wide}" if high * wide > 1 else f"{channels}"
    axes.text(446, y, size, fontsize=9, color=QUIET, va="center", ha="right")


def family_color(name: str) -> str:
    """Color of a block by what it mainly does: pool, grow, residual, separable, or a single operation."""
    low = name.lower()
    for words, color in (
        (("pool",), ORANGE),
        (("relu", "norm2", "batchnorm", "squeeze", "dropout", "flatten", "silu"), GRAY),
        (("inverted", "shuffle", "mbconv"), GREEN),
        (("inception",), PURPLE),
        (("bottleneck", "basic"), BLUE),
    ):
        if any(word in low for word in words):
            return color
    return SKY


def _kind(layer: Any) -> str:
    for field in ("name", "type"):
        if getattr(layer, field, None):
            return str(getattr(layer, field))
    return str(layer.family)
