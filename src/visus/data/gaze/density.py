"""Fixations as a probability map: exact Gaussians on the output grid.

Every output pixel holds the Gaussian's mass over its own area, which is what blurring at native resolution and
adding up the native pixels inside it gives in the limit of fine pixels - without ever making the native image.
Because a Gaussian is separable the whole map is one matrix product, (h, n) @ (n, w).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from visus.data.gaze.placement import Fit, Placement
from visus.errors import InputError

Weight = Literal["duration", "count"]

PUBLISHED_SIGMA_PX = 75.5
"""Standard deviation that OpenCV derives from a kernel of 501 pixels: 0.3 ((501 - 1) / 2 - 1) + 0.8."""
PUBLISHED_KERNEL = 501
SIGMA_SHARE = PUBLISHED_SIGMA_PX / 2544
"""Default standard deviation as a share of the native width (a usual chest radiograph has 2544 columns)."""


def density_map(
    fixations: Float[np.ndarray, "n 3"] | Float[Tensor, "n 3"],
    *,
    native: Sequence[int],
    size: Sequence[int] | None = None,
    sigma_px: float | None = None,
    weight: Weight = "duration",
    fit: Fit = "pad",
    reach_px: float | None = None,
) -> Float32[Tensor, "h w"]:
    """The share of looking that falls on every pixel; sums to 1, or is zero where nothing counts.

        p(i, j) ~ sum_k w_k [Phi((i+1-y_k)/s) - Phi((i-y_k)/s)] [Phi((j+1-x_k)/s) - Phi((j-x_k)/s)]

    with s = sigma * scale and positions in output pixels. Positions that are not finite or lie outside the
    image do not count; with `weight="duration"` neither do durations that are not finite and positive. The
    part of a Gaussian that reaches over the image's edge is dropped before the sum is made 1, and nothing
    lies on the padding.

    Parameters
    ----------
    fixations : x (column), y (row) in native pixels with centers at +0.5, duration in seconds.
    native : (height, width) of the image the positions belong to.
    size : (height, width) of the map; None is the native size.
    sigma_px : standard deviation in native pixels; None is 2.97 % of the native width (75.5 px of 2544).
    weight : `duration` weighs by time, `count` counts every row as one.
    fit : `pad` keeps the aspect and centers, `stretch` fills, as for the image.
    reach_px : cut every Gaussian off at this distance in native pixels along each axis; None never cuts.

    Raises
    ------
    InputError : a shape other than (n, 3), sizes below one pixel, or a width of the Gaussian that is not
        positive.

    Paper: 2403.16970 counts gaze samples and blurs them (see `published_density`).

    >>> density_map(np.array([[60.0, 30.0, 1.0]]), native=(100, 100), size=(4, 4), sigma_px=1).argmax().item()
    6
    """
    return density_on(
        Placement.of(native, size, fit), fixations, sigma_px=sigma_px, weight=weight, reach_px=reach_px
    )


def published_density(
    samples: Float[np.ndarray, "n 3"] | Float[Tensor, "n 3"],
    *,
    native: Sequence[int],
    size: Sequence[int] | None = None,
    fit: Fit = "pad",
) -> Float32[Tensor, "h w"]:
    """The map of the paper's released code: raw gaze samples counted, a Gaussian of 75.5 px cut off at 501 px.

    Differs: counts do not wrap at 128; mass beyond the edge is dropped where OpenCV reflects it; every fifth
    native pixel is not picked out, but all are added up; the map is not stretched to 0..1 before it is
    divided by its sum. The cut-off (3.3 standard deviations) leaves out 0.2 % of the mass.

    Source: 2403.16970 and 2202.07118, released code.
    """
    return density_map(
        samples,
        native=native,
        size=size,
        sigma_px=PUBLISHED_SIGMA_PX,
        weight="count",
        fit=fit,
        reach_px=PUBLISHED_KERNEL / 2,
    )


def density_on(
    placement: Placement,
    fixations: np.ndarray | Tensor,
    *,
    sigma_px: float | None = None,
    weight: Weight = "duration",
    reach_px: float | None = None,
) -> Float32[Tensor, "h w"]:
    """`density_map` on a placement that is known already."""
    sigma = SIGMA_SHARE * placement.native[1] if sigma_px is None else float(sigma_px)
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"must be a positive number of native pixels, got {sigma_px}", field="sigma_px")
    counted = countable(fixations, placement.native, weight)
    density = torch.zeros(placement.size, dtype=torch.float64)
    if len(counted):
        mass = counted[:, 2] if weight == "duration" else torch.ones(len(counted), dtype=torch.float64)
        shares = [
            _shares(
                counted[:, axis], placement.native[1 - axis], placement.content[1 - axis], sigma, reach_px
            )
            for axis in (1, 0)
        ]
        rows, columns = (
            (slice(placement.top, placement.top + placement.content[0])),
            (slice(placement.left, placement.left + placement.content[1])),
        )
        density[rows, columns] = (shares[0] * mass) @ shares[1].T
        density /= density.sum()
    return density.float()


def countable(
    fixations: np.ndarray | Tensor, native: Sequence[int], weight: Weight = "duration"
) -> Float64[Tensor, "m 3"]:
    """The rows that count: finite, on the image and, where durations weigh, of positive duration."""
    if weight not in ("duration", "count"):
        raise InputError(f"must be duration or count, got {weight}", field="weight")
    rows = torch.as_tensor(fixations).detach().cpu().double()
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise InputError(f"shape {tuple(rows.shape)} is not (n, 3): x, y, duration", field="fixations")
    x, y, seconds = rows.unbind(1)
    counts = (x >= 0) & (x < native[1]) & (y >= 0) & (y < native[0])  # comparisons with NaN are false
    if weight == "duration":
        counts &= torch.isfinite(seconds) & (seconds > 0)
    return rows[counts]


def _shares(
    centers: Float64[Tensor, " n"], native: int, content: int, sigma: float, reach: float | None
) -> Float64[Tensor, "content n"]:
    """Mass of every Gaussian in every output pixel along one axis."""
    edges = torch.arange(content + 1, dtype=torch.float64)[:, None] * (native / content) - centers
    if reach is not None:
        edges = edges.clamp(-reach, reach)
    # Differences are taken on the side of zero where the normal distribution is small, so far tails keep
    # their digits; a Gaussian much narrower than a pixel still has all of its mass in one.
    below = torch.special.ndtr(edges / sigma)
    above = torch.special.ndtr(-edges / sigma)
    return torch.where(edges[1:] > 0, above[:-1] - above[1:], below[1:] - below[:-1]).clamp(min=0)
