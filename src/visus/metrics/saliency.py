"""How well predicted maps say where people looked.

Maps are (b, h, w), arrays or tensors, not negative; they need not sum to 1. Fixations are a list with one
array (n, 2 or more) per image, x and y in pixels of the map (pixel centers lie at .5, so that the pixel is the
floor; further columns are ignored), or count maps (b, h, w). Fixations outside the map are left out. Every
score has one value per image, float64 on the CPU; it is nan where the image has no fixations, or a target map
of zeros. `mean_of_defined` averages what is there.

Source: Bylinskii et al., IEEE TPAMI 41(3), 2019 (arXiv 1604.03605), in the form of pysaliency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from visus.errors import InputError
from visus.metrics.arrays import to_array
from visus.metrics.classification import roc_area

MIT_EPSILON = 2.2204e-16
"""What the MIT/Tübingen benchmark adds inside the logarithm and to the divisor."""


def kl_divergence(
    predicted: Any,
    target: Any,
    *,
    form: Literal["density", "mit"] = "density",
    floor: float = 1e-20,
) -> Float[np.ndarray, " b"]:
    """KL(target || predicted) = sum p log(p / q) in nats over the pixels; 0 is perfect.

    Parameters
    ----------
    predicted, target : q and p, before they are divided by their sums. A map of zeros as q is the uniform
        density.
    form : `density` adds `floor` to every pixel of both maps before they are normalized, so that a pixel with
        p = 0 counts nothing and one with q = 0 counts finitely (pysaliency's `image_based_kl_divergence`).
        `mit` is sum p log(e + p / (q + e)) with e = 2.2204e-16 (its `MIT_KLDiv`): it ignores `floor`.
    floor : of `density`, in the units of the maps. 0 is the divergence without any rule: inf where q = 0 < p.

    >>> p = np.array([[[0.5, 0.5, 0.0, 0.0]]])
    >>> kl_divergence(p, p).tolist(), kl_divergence(np.ones((1, 1, 4)), p).round(6).tolist()
    ([0.0], [0.693147])
    """
    _check_choice(form, ("density", "mit"), "form")
    _check_not_negative(floor, "floor")
    predicted, target = _pair(predicted, target)
    if form == "mit":
        q, p = _density(predicted), _density(target)
        terms = p * np.log(MIT_EPSILON + p / (q + MIT_EPSILON))
    else:
        q, p = _density(predicted + floor), _density(target + floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    return _where_looked_at(terms.sum((1, 2)), target)


def correlation(predicted: Any, target: Any) -> Float[np.ndarray, " b"]:
    """Pearson correlation over the pixels (CC), -1..1; 0 where one of the maps is constant.

    Differs: pysaliency gives nan, not 0, where the target is constant.

    >>> correlation([[[1.0, 2.0, 3.0]]], [[[0.0, 0.5, 1.0]]]).tolist()
    [1.0]
    """
    predicted, target = _pair(predicted, target)
    ours, theirs = _standardized(predicted), _standardized(target)
    return _where_looked_at(np.clip((ours * theirs).mean((1, 2)), -1.0, 1.0), target)


def similarity(predicted: Any, target: Any) -> Float[np.ndarray, " b"]:
    """Histogram intersection sum min(p, q) of the densities (SIM), 0..1; 1 is perfect.

    A map of zeros as prediction is the uniform density. Differs: some published code stretches both maps to
    0..1 before it normalizes them, which makes maps with a pedestal look alike; pysaliency does not.

    >>> similarity([[[1.0, 1.0, 0.0]]], [[[0.0, 1.0, 1.0]]]).tolist()
    [0.5]
    """
    predicted, target = _pair(predicted, target)
    return _where_looked_at(np.minimum(_density(predicted), _density(target)).sum((1, 2)), target)


def nss(predicted: Any, fixations: Any) -> Float[np.ndarray, " b"]:
    """Mean over the fixations of the standardized map (normalized scanpath saliency); chance is 0.

    A constant map gives 0.
    """
    predicted = _maps(predicted, "predicted")
    return _mean_at(_standardized(predicted), fixation_counts(fixations, predicted.shape))


def information_gain(
    predicted: Any, fixations: Any, baseline: Any = None, *, floor: float = 1e-20
) -> Float[np.ndarray, " b"]:
    """Mean over the fixations of log2(q / q_baseline), in bits per fixation.

    `baseline` is one map (h, w) or one per image (b, h, w), such as the mean map of the training images; the
    uniform density where None. `floor` is added to every pixel before maps are normalized.

    Source: Kümmerer, Wallis and Bethge, PNAS 112, 2015.
    """
    predicted = _maps(predicted, "predicted")
    reference = np.ones_like(predicted) if baseline is None else _per_image(baseline, predicted, "baseline")
    _check_not_negative(floor, "floor")
    counts = fixation_counts(fixations, predicted.shape)
    with np.errstate(divide="ignore"):
        ours, theirs = np.log2(_density(predicted + floor)), np.log2(_density(reference + floor))
    with np.errstate(invalid="ignore"):
        return _mean_at(ours - theirs, counts)


def auc_judd(
    predicted: Any,
    fixations: Any,
    *,
    negatives: Literal["all", "unfixated"] = "all",
    jitter: float = 0.0,
    seed: int = 0,
) -> Float[np.ndarray, " b"]:
    """Chance that the map is higher at a fixation than at a pixel of the image; 0.5 by chance.

    Every fixation is one positive, also where several fall on one pixel; ties count half, as in pysaliency.

    Parameters
    ----------
    negatives : `all` pixels of the image (pysaliency's `uniform`), or those `unfixated`. nan where every
        pixel is fixated.
    jitter : breaks ties instead: uniform noise of 0..jitter times the range of the map, drawn from `seed`
        (1e-7 in the benchmark's program). A constant map gets noise alone.

    >>> auc_judd([[[0.0, 1.0, 2.0, 3.0]]], [np.array([[3.5, 0.5]])], negatives="unfixated").tolist()
    [1.0]
    """
    predicted = _maps(predicted, "predicted")
    counts = fixation_counts(fixations, predicted.shape)
    _check_choice(negatives, ("all", "unfixated"), "negatives")
    _check_not_negative(jitter, "jitter")
    if jitter:
        span = np.ptp(predicted, axis=(1, 2), keepdims=True)
        noise = np.random.default_rng(seed).random(predicted.shape)
        predicted = predicted + jitter * np.where(span > 0, span, 1.0) * noise
    against = np.ones_like(counts) if negatives == "all" else (counts == 0).astype(np.float64)
    return _areas(predicted, counts, against)


def shuffled_auc(predicted: Any, fixations: Any, *, elsewhere: Any = None) -> Float[np.ndarray, " b"]:
    """Chance that the map is higher at a fixation than where people looked in other images.

    It takes away what a map gains from people looking at the center. `elsewhere`: counts (h, w) or (b, h, w)
    of fixations of other images; where None, those of the other images of `fixations`. nan without any.

    Source: Zhang et al., Journal of Vision 8(7), 2008, in pysaliency's form: ties count half.
    """
    predicted = _maps(predicted, "predicted")
    counts = fixation_counts(fixations, predicted.shape)
    if elsewhere is None:
        return _areas(predicted, counts, counts.sum(0, keepdims=True) - counts)
    return _areas(predicted, counts, _per_image(elsewhere, predicted, "elsewhere"))


def fixation_counts(fixations: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "b h w"]:
    """How many fixations fall on each pixel of maps of `shape` (b, h, w); see the module for what is taken.

    >>> fixation_counts([np.array([[1.5, 0.2], [1.0, 0.9], [7.0, 0.0]])], (1, 1, 3)).tolist()
    [[[0.0, 2.0, 0.0]]]
    """
    b, h, w = shape
    if not isinstance(fixations, (list, tuple)):
        counts = _maps(fixations, "fixations")
        if counts.shape != tuple(shape):
            raise InputError(f"has shape {counts.shape}, the maps {tuple(shape)}", field="fixations")
        return counts
    if len(fixations) != b:
        raise InputError(
            f"has {len(fixations)} images, the maps {b}", field="fixations", remedy="give a list"
        )
    counts = np.zeros((b, h, w))
    for image, points in enumerate(_points(fixations)):
        column, row = np.floor(points[:, 0]).astype(np.int64), np.floor(points[:, 1]).astype(np.int64)
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        np.add.at(counts[image], (row[inside], column[inside]), 1.0)
    return counts


def _check_choice(value: str, choices: tuple[str, ...], field: str) -> None:
    if value not in choices:
        raise InputError(f"is {value!r}", field=field, remedy=f"use one of: {' '.join(choices)}")


def _check_not_negative(value: float, field: str) -> None:
    if not value >= 0:
        raise InputError(f"must not be negative, got {value}", field=field)


def _points(fixations: Sequence[Any]) -> list[Float[np.ndarray, "n _"]]:
    found = []
    for image, given in enumerate(fixations):
        points = to_array(given).astype(np.float64)
        points = points.reshape(0, 2) if points.size == 0 else points
        if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points[:, :2]).all():
            raise InputError(
                f"of image {image} are not finite (n, 2 or more): shape {points.shape}",
                field="fixations",
                remedy="give x and y in pixels of the map",
            )
        found.append(points)
    return found


def _maps(values: Any, name: str) -> Float[np.ndarray, "b h w"]:
    maps = to_array(values).astype(np.float64)
    if maps.ndim != 3 or not maps.size:
        raise InputError(f"has shape {maps.shape}", field=name, remedy="give maps (b, h, w)")
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise InputError(
            "must be finite and not negative", field=name, remedy="give densities, not their log"
        )
    return maps


def _pair(predicted: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    predicted, target = _maps(predicted, "predicted"), _maps(target, "target")
    if predicted.shape != target.shape:
        raise InputError(f"has shape {predicted.shape}, the target {target.shape}", field="predicted")
    return predicted, target


def _per_image(values: Any, like: np.ndarray, name: str) -> Float[np.ndarray, "b h w"]:
    maps = to_array(values)
    maps = _maps(maps[None] if maps.ndim == 2 else maps, name)
    if maps.shape[1:] != like.shape[1:] or len(maps) not in (1, len(like)):
        raise InputError(f"has shape {maps.shape}, the maps {like.shape}", field=name)
    return np.broadcast_to(maps, like.shape)


def _density(maps: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "b h w"]:
    """Maps divided by their sums; a map of zeros becomes uniform."""
    total = maps.sum((1, 2), keepdims=True)
    return np.where(total > 0, maps, 1.0) / np.where(total > 0, total, maps[0].size)


def _standardized(maps: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "b h w"]:
    """Mean 0 and standard deviation 1 per map; zeros for a constant map."""
    top = maps.max((1, 2), keepdims=True)
    # As a share of the greatest value, so that squares of densities of large pictures do not underflow.
    maps = maps / np.where(top > 0, top, 1.0)
    varied = np.ptp(maps, axis=(1, 2), keepdims=True) > 0
    centered = maps - maps.mean((1, 2), keepdims=True)
    spread = np.sqrt(np.square(centered).mean((1, 2), keepdims=True))
    return np.where(varied, centered / np.where(varied, spread, 1.0), 0.0)


def _where_looked_at(values: np.ndarray, target: np.ndarray) -> Float[np.ndarray, " b"]:
    return np.where(target.any((1, 2)), values, np.nan)


def _mean_at(values: np.ndarray, counts: np.ndarray) -> Float[np.ndarray, " b"]:
    """Mean of the values over the fixations; pixels without one may hold anything."""
    size = counts.sum((1, 2))
    total = np.where(counts > 0, counts * np.where(counts > 0, values, 0.0), 0.0).sum((1, 2))
    return np.divide(total, size, out=np.full_like(size, np.nan), where=size > 0)


def _areas(maps: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> Float[np.ndarray, " b"]:
    each = zip(maps, positives, negatives, strict=True)
    return np.array(
        [float(roc_area(score.ravel(), plus.ravel(), minus.ravel())) for score, plus, minus in each]
    )
