"""Dissimilarities as colored squares: people's beside a network's, before and after the transform."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from visus.drawing import QUIET, drawing, headline, svg
from visus.errors import InputError


def draw_matrices(
    matrices: Mapping[str, Float[np.ndarray, "n n"]],
    *,
    order: Float[np.ndarray, " n"] | None = None,
    title: str = "",
) -> str:
    """Matrices of dissimilarity side by side in one order of the objects, as SVG text.

    Each is shown by the ranks of its pairs, from alike (dark) to unlike (light): what Spearman's correlation sees.

    Parameters
    ----------
    matrices : heading -> square matrix; nan pairs stay white.
    order : of rows and columns, the same for all; as given if left out.

    Raises
    ------
    InputError : nothing to draw, or matrices that are not square or differ in size.
    """
    shapes = {np.asarray(matrix).shape for matrix in matrices.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[0] != shape[1] or shape[0] < 2:
        problem = "must be square, of one size, and at least 2 by 2"
        raise InputError(problem, field="matrices", remedy="give the matrices of the same objects")
    rows = np.arange(shape[0]) if order is None else np.asarray(order)
    with drawing(2.6 + (0.25 if title else 0), width=2.35 * max(len(matrices), 2)) as figure:
        panels = figure.subplots(1, len(matrices), squeeze=False)[0]
        for panel, (name, matrix) in zip(panels, matrices.items(), strict=True):
            ranks = _ranks(np.asarray(matrix, dtype=np.float64)[np.ix_(rows, rows)])
            panel.imshow(ranks, cmap="cividis", vmin=0, vmax=1, interpolation="nearest").set_clip_on(False)
            panel.set_title(name, fontsize=9)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set(visible=True, color=QUIET)
        headline(figure, title)
        return svg(figure)


def _ranks(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Ranks of the pairs as shares 0..1; the diagonal is 0, nan stays nan."""
    from scipy.stats import rankdata

    upper = np.triu_indices(len(matrix), 1)
    values = (matrix[upper] + matrix.T[upper]) / 2
    known = np.isfinite(values)
    shares = np.full(values.shape, np.nan)
    shares[known] = rankdata(values[known]) / max(int(known.sum()), 1)
    shown = np.zeros(matrix.shape)
    shown[upper] = shares
    shown.T[upper] = shares
    return shown


def leaf_order(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """An order of the objects that puts alike ones beside each other (average linkage, optimal leaves)."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    values = np.nan_to_num((matrix + matrix.T) / 2, nan=float(np.nanmean(matrix)))
    np.fill_diagonal(values, 0.0)
    values -= min(float(values.min()), 0.0)
    np.fill_diagonal(values, 0.0)
    condensed = squareform(values, checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))
