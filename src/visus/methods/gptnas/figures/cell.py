"""A cell of NAS-Bench-201 as a graph of four nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from visus.data.corpora.nasbench201 import OPERATIONS, cell_to_key, key_to_tuple, tuple_to_key
from visus.drawing import BLUE, FAINT, GRAY, INK, ORANGE, QUIET, SKY, VERMILION, plain, svg

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From which node to which, in the order of the benchmark's text."""
COLORS: Mapping[str, str] = {
    "none": FAINT,
    "skip_connect": GRAY,
    "nor_conv_1x1": SKY,
    "nor_conv_3x3": BLUE,
    "avg_pool_3x3": ORANGE,
}
SHORT: Mapping[str, str] = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1×1",
    "nor_conv_3x3": "conv 3×3",
    "avg_pool_3x3": "avg pool 3×3",
}
_NODES = ("input", "1", "2", "output")
_BOW: Mapping[tuple[int, int], float] = {(0, 2): 0.30, (1, 3): -0.30, (0, 3): 0.38}
"""How far an edge over other nodes bends, as a share of its length; down is positive."""


def operations(cell: str | Sequence[int]) -> tuple[str, ...]:
    """The six operations of a cell.

    Parameters
    ----------
    cell : `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, six digits (`421211`), or six indices.

    Raises
    ------
    InputError : it is none of these.

    >>> operations("421211")[0]
    'avg_pool_3x3'
    """
    if not isinstance(cell, str):
        cell = tuple_to_key(cell)
    key = cell_to_key(cell) if "|" in cell else cell
    return tuple(OPERATIONS[index] for index in key_to_tuple(key))


def draw_cell(cell: str | Sequence[int], *, title: str = "", regrown: Sequence[int] = ()) -> str:
    """The cell from input to output, every edge labeled with its operation.

    Parameters
    ----------
    cell : see `operations`.
    title : over the drawing.
    regrown : places (0..5) of edges that were regrown; their labels get a frame.

    Returns
    -------
    SVG text.
    """
    from matplotlib.patches import FancyArrowPatch

    names = operations(cell)
    figure, axes = plain(2.6)
    if title:
        axes.text(14, 18, title, fontsize=11, color=INK, va="center")
    level, places = 92.0, (48.0, 170.0, 292.0, 414.0)
    for edge, ((start, stop), name) in enumerate(zip(EDGES, names, strict=True)):
        a, b, bow = places[start], places[stop], _BOW.get((start, stop), 0.0)
        bend = bow * (b - a)
        absent = name == "none"
        color = COLORS[name]
        axes.add_patch(
            FancyArrowPatch(
                (a, level),
                (b, level),
                connectionstyle=f"arc3,rad={bow}",
                arrowstyle="-|>,head_length=5,head_width=3",
                shrinkA=17,
                shrinkB=18,
                color=color,
                linewidth=1.2 if absent else 2.6,
                linestyle=(0, (1, 2.5)) if absent else "-",
                zorder=1,
            )
        )
        axes.text(
            (a + b) / 2,
            level + bend / 2,
            SHORT[name],
            ha="center",
            va="center",
            fontsize=9,
            color=QUIET if absent else INK,
            zorder=3,
            bbox={
                "boxstyle": "round,pad=0.25",
                "facecolor": "white",
                "edgecolor": VERMILION if edge in regrown else color,
                "linewidth": 2.0 if edge in regrown else 0.8,
            },
        )
    for place, label in zip(places, _NODES, strict=True):
        ends = label in ("input", "output")
        axes.plot(
            place,
            level,
            "o",
            markersize=34 if ends else 24,
            color="white",
            markeredgecolor=INK,
            markeredgewidth=1.4,
            zorder=4,
        )
        axes.text(place, level, label, ha="center", va="center", fontsize=9, color=INK, zorder=5)
    if regrown:
        axes.text(14, 174, "framed: regrown", fontsize=9, color=VERMILION, va="center")
    return svg(figure)
