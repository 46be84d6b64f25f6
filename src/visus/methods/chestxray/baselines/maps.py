"""Maps that look at no image: where readers look on average, and a Gaussian of the same place and spread."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from visus.errors import InputError

FLOOR = 1e-3
"""Share of the mass that lies evenly over all pixels, so that no test fixation falls on a zero."""


def mean_gaze_map(gaze: Float[Tensor, "n h w"], has_gaze: Bool[Tensor, " n"]) -> Float[Tensor, "h w"]:
    """The mean of the training images' density maps; sums to 1.

    Every image counts the same, whatever its number of fixations; images without gaze count nothing. The maps
    are smooth already (`visus.data.gaze.density`), so their mean is not smoothed again.

    Raises
    ------
    visus.errors.InputError : no image has gaze.

    >>> float(mean_gaze_map(torch.rand(3, 4, 5), torch.tensor([True, False, True])).sum().round(decimals=5))
    1.0
    """
    if not bool(has_gaze.any()):
        raise InputError("no image has gaze", field="gaze", remedy="give training images with fixations")
    known = gaze[has_gaze].double()
    mean = (known / known.sum((1, 2), keepdim=True)).mean(0)
    return _with_floor(mean).to(gaze.dtype)


def center_prior(gaze: Float[Tensor, "n h w"], has_gaze: Bool[Tensor, " n"]) -> Float[Tensor, "h w"]:
    """A Gaussian with the mean and the covariance of the mean training map, cut at the borders; sums to 1."""
    mean = mean_gaze_map(gaze, has_gaze).double()
    height, width = mean.shape
    rows = torch.arange(height, dtype=torch.float64, device=mean.device) + 0.5
    columns = torch.arange(width, dtype=torch.float64, device=mean.device) + 0.5
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    weight = mean.reshape(-1, 1)
    offsets = places - (weight * places).sum(0)
    covariance = offsets.T @ (weight * offsets)
    distances = (offsets @ torch.linalg.inv(covariance) * offsets).sum(-1)
    density = torch.exp(-distances / 2).reshape(height, width)
    return _with_floor(density / density.sum()).to(gaze.dtype)


def _with_floor(density: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    return (1 - FLOOR) * density + FLOOR / density.numel()
