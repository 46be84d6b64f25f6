"""Shaded sprites, and how one is laid on a picture at a position between pixels."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from visus.data.worlds.scenes.palette import COLORS, Thing
from visus.data.worlds.scenes.shapes import REACH, camera_axes, relief

OVERSAMPLING = 3
"""Sprite samples per pixel and axis."""


@dataclass(frozen=True, kw_only=True)
class Light:
    """One distant lamp and light from everywhere."""

    direction: tuple[float, float, float]
    """Unit vector to the lamp, world axes."""
    strength: float
    ambient: float
    tint: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """A lamp above and before the scene, warm or cold, bright or dim."""
        side, height = rng.uniform(-1.0, 1.0), rng.uniform(0.75, 1.1)
        direction = np.array([side, -height, rng.uniform(1.0, 1.8)])
        x, y, z = direction / np.linalg.norm(direction)
        warmth = rng.uniform(-0.06, 0.06)
        return cls(
            direction=(float(x), float(y), float(z)),
            strength=float(rng.uniform(0.65, 0.9)),
            ambient=float(rng.uniform(0.28, 0.42)),
            tint=(1 + float(warmth), 1.0, 1 - float(warmth)),
        )


class Sprite(NamedTuple):
    """Samples of a picture with its outline; `OVERSAMPLING` samples per pixel."""

    layers: Float[np.ndarray, "6 a b"]
    """Red, green, blue (times alpha) and alpha, averaged over a pixel around each sample; then what single
    samples hold: filled share, and nearness to the camera in world units times that share."""
    area: float
    """Pixels that the outline encloses."""


class Patch(NamedTuple):
    """A sprite on the picture's pixels."""

    rows: slice
    columns: slice
    color: Float[np.ndarray, "3 r c"]
    alpha: Float[np.ndarray, "r c"]
    inside: Bool[np.ndarray, "r c"]
    """Pixels whose center lies within the outline: the exact segmentation."""
    near: Float[np.ndarray, "r c"]


def object_sprite(thing: Thing, light: Light, *, elevation: float, scale: float) -> Sprite:
    """An object as the camera sees it.

    Rubber is matt and grainy; metal mirrors a bright sky and the lamp.

    Parameters
    ----------
    elevation : of the camera, radians.
    scale : pixels per world unit.
    """
    seen = relief(thing.shape, thing.turn if thing.shape in ("cube", "ring", "gem") else 0, elevation)
    across = 2 * REACH * thing.radius * scale * OVERSAMPLING
    samples = max(8, math.ceil(across))
    fields = _resize(seen, samples, across)
    coverage, normal, height = fields[0], fields[1:4], fields[4]
    color = _shade(thing, light, normal, camera_axes(elevation)[2])
    return sprite(color, coverage, height * np.float32(thing.radius) * coverage)


def sprite(
    color: Float[np.ndarray, "3 a b"], coverage: Float[np.ndarray, "a b"], near: Float[np.ndarray, "a b"]
) -> Sprite:
    """A sprite from colors 0..1, filled shares and nearness (times the share) at every sample."""
    pad, (a, b) = OVERSAMPLING + 1, coverage.shape
    layers = np.zeros((6, a + 2 * pad, b + 2 * pad), np.float32)
    inner = layers[:, pad:-pad, pad:-pad]
    np.multiply(color, coverage, out=inner[:3])
    inner[3] = inner[4] = coverage
    inner[5] = near
    layers[:4] = _pixel_mean(layers[:4])
    return Sprite(layers, float((coverage > 0.5).sum()) / OVERSAMPLING**2)


def place(item: Sprite, *, row: float, column: float, size: int) -> Patch | None:
    """The part of a sprite with its center at (row, column) in pixels that falls on a picture of `size`.

    Values between samples are interpolated linearly, so a motion by a fraction of a pixel is a motion by
    exactly this fraction. None when the sprite is off the picture.
    """
    _, height, width = item.layers.shape
    rows, a, f = _samples(row - height / OVERSAMPLING / 2, height, size)
    columns, b, g = _samples(column - width / OVERSAMPLING / 2, width, size)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None
    step, layers = OVERSAMPLING, item.layers
    r, c = rows.stop - rows.start, columns.stop - columns.start
    upper, lower = layers[:, a : a + r * step : step], layers[:, a + 1 : a + 1 + r * step : step]
    mixed = upper * (1 - f) + lower * f
    values = mixed[:, :, b : b + c * step : step] * (1 - g) + mixed[:, :, b + 1 : b + 1 + c * step : step] * g
    share = np.maximum(values[4], 0.25)
    return Patch(rows, columns, values[:3], values[3], values[4] > 0.5, values[5] / share)


def cover(patch: Patch, picture: Float[np.ndarray, "3 h w"]) -> None:
    """Lay a patch over a picture, in place."""
    window = picture[:, patch.rows, patch.columns]
    window *= 1 - patch.alpha
    window += patch.color


def noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> Float[np.ndarray, "h w"]:
    """Smooth noise of mean 0 and deviation 1, with structures of `grain` cells and above."""
    spectrum = np.fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) * _spectrum(shape, grain)
    field = np.fft.irfft2(spectrum, s=shape)
    return field / max(float(field.std()), 1e-9)


@functools.lru_cache(maxsize=64)
def _spectrum(shape: tuple[int, int], grain: float) -> Float[np.ndarray, "h f"]:
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    weight = np.exp(-0.5 * (frequency * grain) ** 2) / (frequency + 0.5 / max(shape))
    weight[0, 0] = 0
    return weight.astype(np.float32)


def _samples(start: float, count: int, size: int) -> tuple[slice, int, float]:
    """Pixels from `start` on whose centers lie among `count` samples: (pixels, first sample, fraction)."""
    step = OVERSAMPLING
    first = max(0, math.ceil(start - 0.5 + 0.5 / step))
    at = (first + 0.5 - start) * step - 0.5
    sample = max(math.floor(at), 0)  # rounding may leave `at` a hair below zero
    last = min(size, first + (count - 2 - sample) // step + 1)
    return slice(first, max(first, last)), sample, at - sample


def _resize(fields: Float[np.ndarray, "f n n"], samples: int, across: float) -> Float[np.ndarray, "f m m"]:
    """Squares that are `across` samples wide at `samples` points about their center."""
    n = fields.shape[-1]
    at = ((np.arange(samples) - (samples - 1) / 2) / across + 0.5) * n - 0.5
    at = np.clip(at, 0, n - 1.001)
    low = at.astype(np.int64)
    part = (at - low).astype(fields.dtype)
    tall = fields[:, low] * (1 - part)[:, None] + fields[:, low + 1] * part[:, None]
    return tall[:, :, low] * (1 - part) + tall[:, :, low + 1] * part


def _pixel_mean(layers: Float[np.ndarray, "f a b"]) -> Float[np.ndarray, "f a b"]:
    """Mean over the pixel-wide square around each sample (three by three samples); the border becomes 0."""
    mean = np.zeros_like(layers)
    tall = layers[:, :-2] + layers[:, 1:-1] + layers[:, 2:]
    mean[:, 1:-1, 1:-1] = (tall[..., :-2] + tall[..., 1:-1] + tall[..., 2:]) / OVERSAMPLING**2
    return mean


def _shade(thing: Thing, light: Light, normal: Float[np.ndarray, "3 n n"], view: np.ndarray) -> np.ndarray:
    albedo = np.clip(np.array(COLORS[thing.color]) + np.array(thing.tint), 0.02, 1.0)
    albedo = albedo.astype(np.float32)[:, None, None]
    lamp = np.array(light.direction)
    middle = (lamp + view) / np.linalg.norm(lamp + view)
    axes = np.stack([lamp, middle, view]).astype(np.float32)
    diffuse, gloss, facing = np.maximum(np.tensordot(axes, normal, 1), 0)
    if thing.material == "rubber":
        grain = np.random.default_rng(thing.grain).standard_normal((7, 7), dtype=np.float32)
        rough = _resize(grain[None], normal.shape[-1], normal.shape[-1])[0]
        color = albedo * (1 + 0.13 * rough) * (light.ambient + light.strength * diffuse) + 0.06 * _power(
            gloss, 3
        )
    else:
        mirrored = 2 * facing * normal[2] - np.float32(view[2])
        sky = 1 / (1 + np.exp(-9 * (mirrored - 0.15)))
        rim = np.maximum(1 - facing, 0) ** 3
        body = light.ambient * 0.75 + 0.55 * light.strength * diffuse + 0.38 * sky
        color = albedo * body + 0.16 * sky + 0.12 * rim + 0.95 * _power(gloss, 6)
    color *= np.array(light.tint, np.float32)[:, None, None]
    return np.clip(color, 0, 1, out=color)


def _power(values: np.ndarray, doublings: int) -> np.ndarray:
    """values ** 2 ** doublings, far faster than the general power."""
    for _ in range(doublings):
        values = values * values
    return values
