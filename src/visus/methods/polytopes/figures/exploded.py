"""The cells of a complex in space, pulled apart so that one sees between them."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from visus.drawing import drawing, headline, many, number, percent, svg
from visus.errors import InputError
from visus.methods.polytopes.figures.cells import Measure, measured, polygons, shares_of
from visus.methods.polytopes.figures.scale import legend_row, levels, ramp

if TYPE_CHECKING:
    from visus.methods.polytopes.model.complex import Complex

MOST_CELLS = 300
"""More cells hide each other."""
_TITLES = {
    "num_simplices": "tetrahedra per cell, and share of all cells",
    "num_facets": "facets per cell, and share of all cells",
    "num_vertices": "corners per cell, and share of all cells",
}


def draw_exploded(
    cells: Complex,
    *,
    color_by: Measure = "num_facets",
    gap: float = 0.35,
    most: int = MOST_CELLS,
    azimuth: float = 30.0,
    elevation: float = 22.0,
) -> str:
    """The cells of a three-dimensional complex as SVG text, every cell moved away from the middle.

    Parameters
    ----------
    cells : what `census` returned, of dimension 3.
    color_by : which count gives the color.
    gap : how far cells move, as a share of their distance from the middle of the box.
    most : draw the largest of them only; a note says how many and how much of the volume they fill.
    azimuth, elevation : direction of view in degrees.

    Raises
    ------
    visus.errors.InputError : the complex is not three-dimensional.
    """
    if cells.dim != 3:
        raise InputError(
            f"has {cells.dim} dimensions", field="cells", remedy="draw a complex of dimension 3, or a slice"
        )
    values, volumes = np.asarray(measured(cells, color_by)), cells.volumes.cpu().numpy()
    which, names = levels(values, first=1 if color_by == "num_simplices" else 4)
    largest = np.argsort(-volumes, kind="stable")[:most]
    shown = np.sort(largest)
    shapes, paint = _painted(cells, shown, which, ramp(len(names)), gap, _view(azimuth, elevation))
    note = many(cells.num_cells, "cell")
    if len(shown) < cells.num_cells:
        filled = percent(float(volumes[shown].sum() / volumes.sum()))
        note = f"the {number(len(shown))} largest of {note}, {filled} of the volume"
    with drawing(5.7) as figure:
        from matplotlib.collections import PolyCollection

        main, strip = figure.subplots(2, 1, height_ratios=[4.95, 0.62])
        main.add_collection(PolyCollection(shapes, facecolors=paint, edgecolors="#ffffffb0", linewidths=0.35))
        corners = np.concatenate(shapes)
        main.set(
            xlim=(corners[:, 0].min() - 0.02, corners[:, 0].max() + 0.02),
            ylim=(corners[:, 1].min() - 0.02, corners[:, 1].max() + 0.02),
        )
        headline(figure, note)
        main.set_aspect("equal")
        main.axis("off")
        legend_row(strip, _TITLES[color_by], names, shares_of(which, len(names)))
        return svg(figure)


def _view(azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    """Rows: to the right, up, and towards the viewer."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array(
        [
            [-math.sin(a), math.cos(a), 0.0],
            [-math.sin(e) * math.cos(a), -math.sin(e) * math.sin(a), math.cos(e)],
            [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)],
        ]
    )


def _painted(
    cells: Complex,
    shown: Int[np.ndarray, " n"],
    which: Int[np.ndarray, " m"],
    colors: list[str],
    gap: float,
    view: Float[np.ndarray, "3 3"],
) -> tuple[list[np.ndarray], list[tuple[float, float, float]]]:
    """Visible facets from back to front, projected, with their shaded colors."""
    import torch
    from matplotlib.colors import to_rgb

    part = cells.lattice.sub(torch.from_numpy(shown).to(cells.lattice.device))
    low, high = (np.asarray(side) for side in _extent(cells))
    scale, middle = 2 / (high - low).max(), (low + high) / 2
    faces = [(polygon - middle) * scale for polygon in polygons(part)]
    centers = (cells.centroids.cpu().numpy()[shown] - middle) * scale
    rows = part.rows[1].cpu().numpy()
    normals = np.stack([_normal(face) for face in faces])
    inner = np.stack([face.mean(0) for face in faces])
    outward = np.sign(((inner[rows[:, 1]] - centers[rows[:, 0]]) * normals[rows[:, 1]]).sum(1))
    normals = normals[rows[:, 1]] * outward[:, None]
    towards = normals @ view[2]
    light = np.array([0.35, 0.45, 0.82]) @ view
    brightness = 0.72 + 0.28 * np.clip(normals @ light / np.linalg.norm(light), -1, 1)
    order = _back_to_front(rows, towards, centers @ view[2])
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    shapes, paint = [], []
    base = np.array([to_rgb(color) for color in colors])[which[shown]]
    for row in np.argsort(place[rows[:, 0]], kind="stable"):
        cell, face = rows[row]
        if towards[row] > 1e-9:
            moved = faces[face] + gap * centers[cell]
            shapes.append(moved @ view[:2].T)
            paint.append(tuple(np.clip(base[cell] * brightness[row], 0, 1)))
    return shapes, paint


def _extent(cells: Complex) -> tuple[np.ndarray, np.ndarray]:
    points = cells.lattice.points.cpu().numpy()
    return points.min(0), points.max(0)


def _normal(face: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " 3"]:
    """Unit normal of a convex polygon; the largest of its corner triangles decides."""
    spokes = face - face.mean(0)
    products = np.cross(spokes, np.roll(spokes, -1, axis=0))
    total = products.sum(0)
    return total / max(float(np.linalg.norm(total)), 1e-300)


def _back_to_front(
    rows: Int[np.ndarray, "r 2"], towards: Float[np.ndarray, " r"], depth: Float[np.ndarray, " n"]
) -> list[int]:
    """Cells in an order of painting: of two that share a facet, the one behind it first; else by depth.

    Should the relation have a circle, depth breaks it.
    """
    count = len(depth)
    by_face = np.argsort(rows[:, 1], kind="stable")
    twins = np.flatnonzero(rows[by_face[1:], 1] == rows[by_face[:-1], 1])
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = np.zeros(count, dtype=int)
    for one, two in zip(by_face[twins], by_face[twins + 1], strict=True):
        # the cell whose outward normal at the shared facet points to the viewer lies behind it
        back, front = (one, two) if towards[one] > 0 else (two, one)
        after[rows[back, 0]].append(int(rows[front, 0]))
        waiting[rows[front, 0]] += 1
    ready = [(depth[cell], cell) for cell in range(count) if waiting[cell] == 0]
    heapq.heapify(ready)
    rest = sorted((depth[cell], cell) for cell in range(count))
    done, order = np.zeros(count, dtype=bool), []
    while len(order) < count:
        if not ready:
            ready = [next(pair for pair in rest if not done[pair[1]])]
        _, cell = heapq.heappop(ready)
        if done[cell]:
            continue
        done[cell] = True
        order.append(int(cell))
        for other in after[cell]:
            waiting[other] -= 1
            if waiting[other] == 0 and not done[other]:
                heapq.heappush(ready, (depth[other], other))
    return order
