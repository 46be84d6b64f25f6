"""The cells of a plane complex, colored by how complicated they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from visus.drawing import INK, MARKERS, SERIES, drawing, many, svg
from visus.errors import InputError
from visus.methods.polytopes.figures.scale import legend_row, levels, ramp
from visus.methods.polytopes.model.incidence import Ragged, rings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from visus.methods.polytopes.model.complex import Complex
    from visus.methods.polytopes.model.lattice import Lattice

Measure = Literal["num_simplices", "num_facets", "num_vertices"]
MOST_SHAPES = 4000
"""Cells above which a drawing holds pixels instead of one shape per cell."""
MOST_POINTS = 600
_TITLES = {
    "num_simplices": "triangles per cell, and share of the cells",
    "num_facets": "sides per cell, and share of the cells",
    "num_vertices": "corners per cell, and share of the cells",
}
_CLASS_COLORS = (SERIES[1], SERIES[0], SERIES[3], SERIES[4])


def draw_cells(
    cells: Complex,
    *,
    color_by: Measure = "num_simplices",
    boundary: bool = True,
    points: Any = None,
    labels: Any = None,
    title: str = "",
) -> str:
    """The cells of a two-dimensional complex as SVG text.

    Parameters
    ----------
    cells : what `census` returned, of dimension 2.
    color_by : which count gives the color.
    boundary : draw where the predicted class changes.
    points, labels : data to lay over it, (m, 2) and (m,); at most 600 of them are drawn, evenly chosen.
    title : replaces the line above the picture.

    Raises
    ------
    visus.errors.InputError : the complex is not two-dimensional.
    """
    if cells.dim != 2:
        raise InputError(
            f"has {cells.dim} dimensions", field="cells", remedy="draw a complex of dimension 2, or a slice"
        )
    values = np.asarray(measured(cells, color_by))
    which, names = levels(values, first=1 if color_by == "num_simplices" else 3)
    corners = np.asarray(cells.lattice.points.cpu())
    low, high = corners.min(0), corners.max(0)
    ratio = float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.35, 1.6))
    with drawing(4.9 * ratio + 1.15) as figure:
        main, strip = figure.subplots(2, 1, height_ratios=[4.9 * ratio, 0.62])
        _fill(main, cells, which, names)
        if boundary:
            _boundary(main, cells)
        if points is not None:
            _points(main, np.asarray(points), None if labels is None else np.asarray(labels))
        main.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        main.set_aspect("equal" if 0.35 < ratio < 1.6 else "auto")
        main.spines[["top", "right"]].set_visible(True)
        main.locator_params(nbins=5)
        main.set_title(title or many(cells.num_cells, "cell"))
        legend_row(strip, _TITLES[color_by], names, shares_of(which, len(names)))
        return svg(figure, dpi=150)


def measured(cells: Complex, measure: str) -> Any:
    """A count per cell by its name."""
    found = cells.num_simplices("pull") if measure == "num_simplices" else getattr(cells, measure)
    return found.cpu()


def shares_of(which: np.ndarray, count: int) -> list[float]:
    """Share of every class."""
    return (np.bincount(which, minlength=count) / max(len(which), 1)).tolist()


def _fill(axes: Axes, cells: Complex, which: np.ndarray, names: list[str]) -> None:
    from matplotlib.collections import PolyCollection

    pixels = len(which) > MOST_SHAPES
    colors = np.array(ramp(len(names)))[which]
    width = float(np.clip(18 / np.sqrt(len(which)), 0.12, 0.9))
    axes.add_collection(
        PolyCollection(
            polygons(cells.lattice),
            facecolors=colors.tolist(),
            edgecolors="face" if pixels else "#ffffff",
            linewidths=0.2 if pixels else width,
            rasterized=pixels,
        )
    )


def polygons(lattice: Lattice) -> list[np.ndarray]:
    """The corners (m, d) of every two-dimensional face, in order around it."""
    sides, ends = lattice.rows[0].long(), lattice.edges.long()
    owners, corners = sides[:, 0].repeat_interleave(2), ends[sides[:, 1]].flatten()
    around = rings(lattice.points, Ragged.distinct(owners, corners, lattice.f_vector[2]))
    points = lattice.points[around.items].cpu().numpy()
    return np.split(points, around.offsets[1:-1].cpu().numpy())


def _boundary(axes: Axes, cells: Complex) -> None:
    from matplotlib.collections import LineCollection

    faces = [face.cpu().numpy() for face in cells.decision_boundary().polygons()]
    if len(faces):
        thin = len(faces) > MOST_SHAPES
        axes.add_collection(LineCollection(faces, colors="white", linewidths=3.4, rasterized=thin))
        axes.add_collection(LineCollection(faces, colors=INK, linewidths=1.7, rasterized=thin))


def _points(axes: Axes, points: np.ndarray, labels: np.ndarray | None) -> None:
    step = max(1, -(-len(points) // MOST_POINTS))
    points = points[::step]
    groups = np.zeros(len(points)) if labels is None else labels[::step]
    for place, name in enumerate(np.unique(groups)):
        chosen = points[groups == name]
        axes.plot(
            *chosen.T[:2],
            MARKERS[place % len(MARKERS)],
            color=_CLASS_COLORS[place % len(_CLASS_COLORS)],
            markeredgecolor="white",
            markeredgewidth=0.6,
            markersize=4.6,
            label=None if labels is None else str(name),
        )
    if labels is not None:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderaxespad=0.1, handletextpad=0.1)
