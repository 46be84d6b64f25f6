"""The affine map of every cell, and cells of one map joined to linear regions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from visus.methods.polytopes.model.incidence import Ragged, unit

PORTION = 2**24
"""Numbers held per temporary tensor while maps are fitted."""
ROUNDING = 64 * torch.finfo(torch.float64).eps
BLUR = 1e-6
"""Largest error of a slope, relative to the steepest one, that is forgiven because a cell is thin."""


@dataclass(frozen=True)
class Maps:
    """y = slopes @ x + offsets on every cell.

    `width` is the extent of the cell in its thinnest direction (of those its vertices were taken in), `misfit` the
    largest deviation of the outputs at the cell's vertices from the map: rounding, or the function is not affine.
    """

    slopes: Float[Tensor, "n k d"]
    offsets: Float[Tensor, "n k"]
    width: Float[Tensor, " n"]
    misfit: Float[Tensor, " n"]


def fit_maps(points: Float[Tensor, "v d"], outputs: Float[Tensor, "v k"], members: Ragged) -> Maps:
    """The affine map through d + 1 vertices of every cell that lie far apart.

    The first vertex is the one farthest from the mean, every other one the farthest from the affine hull of those
    before (Gram-Schmidt with pivoting, all cells at once), so that the other vertices' barycentric coordinates
    stay small however thin the cell is.

    Parameters
    ----------
    points, outputs : the vertices and the function's values there.
    members : the vertices of every cell.
    """
    sizes = members.lengths * (points.shape[1] + outputs.shape[1])
    portion = torch.div(torch.cumsum(sizes, 0), PORTION, rounding_mode="floor")
    bounds = [0, *(torch.nonzero(portion.diff())[:, 0] + 1).tolist(), len(members)]
    parts = [_fit(points, outputs, members.part(start, stop)) for start, stop in pairwise(bounds)]
    return Maps(*(torch.cat(field) for field in zip(*parts, strict=True)))


def _fit(points: Tensor, outputs: Tensor, members: Ragged) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y, owners = points[members.items], outputs[members.items], members.owners
    first = members.first_largest((x - members.mean(points)[owners]).square().sum(1))
    x0, y0 = x[first], y[first]
    x, y = x - x0[owners], y - y0[owners]
    slopes = points.new_zeros(len(members), outputs.shape[1], points.shape[1])
    blur = ROUNDING * points.abs().max()
    axes: list[Tensor] = []
    for _ in range(points.shape[1]):
        far = members.first_largest(x.square().sum(1))
        width, axis = x[far].norm(dim=1), unit(x[far])
        for other in axes:  # in thin cells one pass leaves the axes far from orthogonal
            axis = axis - (axis * other).sum(1, keepdim=True) * other
        axis = unit(axis)
        axes.append(axis)
        # Along a direction that is all rounding there is no slope to be seen.
        slope = torch.where(width[:, None] > blur, y[far] / width[:, None], 0.0)
        slopes += slope[:, :, None] * axis[:, None, :]
        along = (x * axis[owners]).sum(1, keepdim=True)
        x = x - along * axis[owners]
        y = y - along * slope[owners]
    misfit = points.new_zeros(len(members)).scatter_reduce_(0, owners, y.abs().amax(1), "amax")
    return slopes, y0 - (slopes @ x0[:, :, None])[:, :, 0], width, misfit


@dataclass(frozen=True)
class Merged:
    """Linear regions: sets of cells connected through facets on which the network is one affine map.

    `labels` gives the region of every cell; regions are numbered by their first cell. They need not be convex.
    """

    labels: Integer[Tensor, " n"]
    num_regions: int


def merge_cells(
    maps: Maps, neighbors: Integer[Tensor, "m 2"], scale: float, *, tolerance: float = 1e-9
) -> Merged:
    """Join neighboring cells whose slopes agree.

    Both maps agree on the common facet, so they are equal when their slopes are.

    Parameters
    ----------
    maps : the map of every cell.
    neighbors : pairs of cells that share a facet.
    scale : size of outputs and coordinates, from which rounding is estimated.
    tolerance : largest difference of two slopes, relative to the larger one's largest entry. Rounding divided by
        the cell's width is allowed on top, up to 1e-6 of the steepest slope of all and no further: a cell too thin
        to tell stays alone rather than join two regions.
    """
    one, two = neighbors.unbind(1)
    size = maps.slopes.abs().amax((1, 2))
    bend = (maps.slopes[one] - maps.slopes[two]).abs().amax((1, 2))
    steepness = torch.maximum(size[one], size[two])
    width = torch.minimum(maps.width[one], maps.width[two])
    rounding = (ROUNDING * scale * (1 + steepness) / width).clamp_max(BLUR * size.max())
    same = bend <= tolerance * steepness + rounding
    labels = components(neighbors[same], len(size))
    return Merged(labels, int(labels.max()) + 1)


def components(pairs: Integer[Tensor, "m 2"], count: int) -> Integer[Tensor, " n"]:
    """Connected components of a graph, numbered by their first node: every root hooks onto the least neighbor.

    >>> components(torch.tensor([[3, 1], [2, 4]]), 5)
    tensor([0, 1, 2, 1, 2])
    """
    root = torch.arange(count, device=pairs.device)
    while True:
        ends = root[pairs]
        least = ends.amin(1, keepdim=True).expand(-1, 2)
        hooked = root.scatter_reduce(0, ends.flatten(), least.flatten(), "amin")
        while not torch.equal(hooked, hooked[hooked]):
            hooked = hooked[hooked]
        if torch.equal(hooked, root):
            return torch.unique(root, return_inverse=True)[1]
        root = hooked
