"""How like a real radiograph a picture is, in numbers that need no eye."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.stats import wasserstein_distance
from torch.nn.functional import interpolate

from visus.errors import InputError

LAYOUT = 12
"""Rows and columns of the thumbnails that are compared as wholes."""


def realism(image: Float[np.ndarray, "h w"], reference: Float[np.ndarray, "H W"]) -> dict[str, float]:
    """Compare a radiograph with a real one, both bright = dense; the reference is scaled to the image's size.

    Both are windowed to their 1st..99th percentile first. The numbers:
        histogram: earth mover's distance between gray values (0 equal, at most 1)
        median, reference_median: gray value
        edges: earth mover's distance between logarithms (base 10) of gradient magnitudes, floored at 1e-3
        strong_edges, reference_strong_edges: 95th percentile of the gradient magnitude per pixel
        slope, reference_slope: power spectrum over radial frequency on logarithmic axes (`spectrum_slope`)
        layout: Pearson correlation of the pictures scaled to 12 x 12

    Raises
    ------
    InputError : not flat, or less than 32 pixels per side.
    """
    for field, given in (("image", image), ("reference", reference)):
        if np.ndim(given) != 2 or min(np.shape(given)) < 32:
            raise InputError(f"shape {np.shape(given)} is no picture of 32 x 32 or more", field=field)
    size = image.shape
    ours, theirs = _windowed(image), _windowed(_scaled(reference, (size[0], size[1])))
    steps = [np.hypot(*np.gradient(picture)).ravel() for picture in (ours, theirs)]
    logs = [np.log10(np.maximum(values, 1e-3)) for values in steps]
    small = [_scaled(picture, (LAYOUT, LAYOUT)).ravel() for picture in (ours, theirs)]
    return {
        "histogram": float(wasserstein_distance(ours.ravel(), theirs.ravel())),
        "median": float(np.median(ours)),
        "reference_median": float(np.median(theirs)),
        "edges": float(wasserstein_distance(*logs)),
        "strong_edges": float(np.percentile(steps[0], 95)),
        "reference_strong_edges": float(np.percentile(steps[1], 95)),
        "slope": spectrum_slope(ours),
        "reference_slope": spectrum_slope(theirs),
        "layout": float(np.corrcoef(small[0], small[1])[0, 1]),
    }


def spectrum_slope(image: Float[np.ndarray, "h w"]) -> float:
    """Exponent a of power ~ frequency^a between 4 periods per picture and 0.35 per pixel.

    The picture, less its mean, is faded out at its edges (Hann) so that they add no frequencies. Radially
    averaged in bins of equal width on the logarithmic axis; natural pictures have about -2 to -3.
    """
    h, w = image.shape
    fade = np.hanning(h)[:, None] * np.hanning(w)[None]
    power = np.abs(np.fft.fft2((image - image.mean()) * fade)) ** 2
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None])
    edges = np.geomspace(4 / min(h, w), 0.35, 13)
    which = np.digitize(radius, edges)
    at, level = [], []
    for i in range(1, len(edges)):
        ring = which == i
        if ring.any():
            at.append(np.log(radius[ring].mean()))
            level.append(np.log(power[ring].mean() + 1e-12))
    return float(np.polyfit(at, level, 1)[0])


def _windowed(image: Float[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
    low, high = np.percentile(image, [1, 99])
    return np.clip((np.asarray(image, dtype=np.float64) - low) / max(high - low, 1e-12), 0, 1)


def _scaled(image: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float64[np.ndarray, "H W"]:
    picture = torch.from_numpy(np.array(image, dtype=np.float64))[None, None]
    return interpolate(picture, size=size, mode="bilinear", antialias=True)[0, 0].numpy()
