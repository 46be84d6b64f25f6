"""Painting solids into a volume: soft-edged ellipsoids in their bounding boxes, tubes, smooth random fields.

Positions are mm in RAS: x to the person's right, y to the front, z upward, 0 at the center of the volume.
Edges are one voxel wide: a voxel holds the fraction that a solid fills.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.typing import ArrayLike

Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]
_GOLDEN = math.pi * (3 - math.sqrt(5))
_PER_VOXEL = 5.0  # samples of a tube in every voxel it fills
_FULL = 1.1  # hides the gaps between samples inside thick tubes


@dataclass(frozen=True)
class Grid:
    """Voxel centers of a volume of `shape` voxels of `spacing` mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def axis(self, axis: int) -> Float32[np.ndarray, " n"]:
        """Positions of the voxel centers along an axis, mm."""
        n, step = self.shape[axis], self.spacing[axis]
        return ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)

    def axes(self, box: Box | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y, z of a box (or all), shaped so that they broadcast to the volume."""
        cut = box or (slice(None),) * 3
        x, y, z = (self.axis(i)[cut[i]] for i in range(3))
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def box(self, low: Point, high: Point) -> Box:
        """The voxels between two corners, one voxel wider, inside the volume."""
        slices = []
        for a, b, n, step in zip(low, high, self.shape, self.spacing):
            first, last = (math.floor(v / step + (n - 1) / 2) for v in (a, b))
            slices.append(slice(min(max(first, 0), n), min(max(last + 2, 0), n)))
        return slices[0], slices[1], slices[2]

    @property
    def step(self) -> float:
        """Edge of a cube of a voxel's volume, mm."""
        return math.prod(self.spacing) ** (1 / 3)

    def soft(self, depth: np.ndarray) -> np.ndarray:
        """Filled fraction from the depth (mm) below a surface."""
        share = depth * np.float32(1 / self.step)
        share += np.float32(0.5)
        return np.clip(share, 0, 1, out=share)


@dataclass(frozen=True)
class Canvas:
    """CT numbers and labels that later solids paint over earlier ones."""

    grid: Grid
    hu: Float32[np.ndarray, "x y z"] = field(init=False)
    labels: UInt8[np.ndarray, "x y z"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hu", np.full(self.grid.shape, -1000, dtype=np.float32))
        object.__setattr__(self, "labels", np.zeros(self.grid.shape, dtype=np.uint8))

    def paint(self, filled: np.ndarray, hu: float | np.ndarray, number: int, box: Box | None = None) -> None:
        """Mix `hu` in by the filled fraction; voxels filled by half or more get the number."""
        cut = box or (slice(None),) * 3
        there = self.hu[cut]
        there += filled * (hu - there)
        self.labels[cut][filled >= 0.5] = number


def ellipsoid(
    grid: Grid,
    center: Point,
    half: Point,
    *,
    axes: Float[np.ndarray, "3 3"] | None = None,
    boxy: float = 2.0,
) -> tuple[np.ndarray, Box]:
    """Filled fraction of an ellipsoid with these half axes, and its box.

    `axes` holds the directions of the half axes as rows; `boxy` is twice the square's weight against the
    cross terms: 2 an ellipsoid, 0 a rounded box (fourth powers).
    """
    turn = np.eye(3) if axes is None else np.asarray(axes)
    reach = np.sqrt(((turn * np.asarray(half)[:, None]) ** 2).sum(0)) * (1 if boxy == 2 else 1.3)
    low, high = np.asarray(center) - reach, np.asarray(center) + reach
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    x, y, z = (values - np.float32(c) for values, c in zip(grid.axes(box), center))
    if axes is None:
        a, b, c = ((v / np.float32(h)) ** 2 for v, h in zip((x, y, z), half))
    else:
        rows = (turn / np.asarray(half)[:, None]).astype(np.float32)
        a, b, c = ((row[0] * x + row[1] * y + row[2] * z) ** 2 for row in rows)
    ratio = a + b + c
    if boxy != 2:
        ratio = np.sqrt(np.maximum(ratio * ratio - np.float32(2 - boxy) * (a * b + b * c + a * c), 0))
    ratio = np.sqrt(ratio)
    # The depth along the ray from the center, exact for spheres: (1 - r) |p| / r.
    distance = np.sqrt(x * x + y * y + z * z)
    depth = np.where(ratio > 1e-3, (1 - ratio) * distance / np.maximum(ratio, 1e-3), min(half))
    return grid.soft(depth), box


class Rods(NamedTuple):
    """Straight pieces of rods with elliptical cross-sections, lengths in mm.

    `wide` and `narrow` are the half axes at the start and at the end; the first half axis points along `up`
    as far as the rod's direction allows.
    """

    start: Float[np.ndarray, "m 3"]
    end: Float[np.ndarray, "m 3"]
    wide: Float[np.ndarray, "m 2"]
    narrow: Float[np.ndarray, "m 2"]
    up: Float[np.ndarray, "m 3"]


def bent(path: ArrayLike, radius: ArrayLike, up: Point = (0.0, 0.0, 1.0)) -> Rods:
    """Rods through points (..., n, 3), with one radius (scalar), one per point (n,), or half axes (n, 2)."""
    points, half = np.asarray(path, dtype=np.float64), np.asarray(radius, dtype=np.float64)
    half = half[:, None] if half.ndim == 1 else half
    half = np.broadcast_to(half, (*points.shape[:-1], 2))
    pieces = (points[..., :-1, :], points[..., 1:, :], half[..., :-1, :], half[..., 1:, :])
    start, end, wide, narrow = (piece.reshape(-1, piece.shape[-1]) for piece in pieces)
    return Rods(start, end, wide, narrow, np.broadcast_to(np.asarray(up, dtype=np.float64), start.shape))


def together(rods: list[Rods]) -> Rods:
    """Several rods as one set."""
    return Rods(*(np.concatenate(parts) for parts in zip(*rods)))


def tubes(grid: Grid, rods: Rods) -> tuple[np.ndarray, Box]:
    """Filled fraction of bent rods together, and the box around them.

    Sampled: a rod is cut into discs, every disc holds evenly spread points (Vogel's spiral) that stand for
    equal volumes; a voxel's fraction is the volume of its points. Thin rods keep their volume.
    """
    position, volume = _samples(grid.step, rods)
    low, high = position.min(1).tolist(), position.max(1).tolist()
    box = grid.box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    size = tuple(cut.stop - cut.start for cut in box)
    flat, inside = np.zeros(len(volume), dtype=np.int64), np.ones(len(volume), dtype=bool)
    for place, n, step, cut, extent in zip(position, grid.shape, grid.spacing, box, size):
        index = np.floor(place * (1 / step) + (n / 2 - cut.start)).astype(np.int64)
        inside &= (index >= 0) & (index < extent)
        flat = flat * extent + index
    filled = np.bincount(flat[inside], weights=volume[inside], minlength=math.prod(size))
    share = filled.reshape(size).astype(np.float32) * np.float32(_FULL / math.prod(grid.spacing))
    return np.minimum(share, 1), box


def _samples(step: float, rods: Rods) -> tuple[np.ndarray, np.ndarray]:
    """Points (3, n) inside the rods and the volume that each stands for."""
    start, end, wide, narrow, up = rods
    way = end - start
    length = np.maximum(np.linalg.norm(way, axis=1), 1e-6)
    along = way / length[:, None]
    first = up - (along * up).sum(1, keepdims=True) * along
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-6)
    second = np.cross(along, first)

    discs = np.ceil(length / (step * 0.6)).astype(int)
    part, t = _spread(discs)
    t = ((t + 0.5) / discs[part])[:, None]
    center = start[part] + t * way[part]
    half = wide[part] * (1 - t) + narrow[part] * t
    area = math.pi * half[:, 0] * half[:, 1]

    count = np.maximum(np.ceil(_PER_VOXEL * 0.6 * area / step**2), 3).astype(int)
    disc, index = _spread(count)
    angle = index * _GOLDEN + disc * 2.4
    out = np.sqrt((index + 0.5) / count[disc])
    a, b = out * np.cos(angle) * half[disc, 0], out * np.sin(angle) * half[disc, 1]
    seg = part[disc]
    axes = (center.T, first.T, second.T)
    points = np.stack([c[disc] + a * f[seg] + b * s[seg] for c, f, s in zip(*axes)])
    return points, (area * (length / discs)[part] / count)[disc]


def _spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owner and running number of every member of groups of these sizes."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def smooth_field(
    grid: Grid, grain: float, rng: np.random.Generator, box: Box | None = None
) -> Float32[np.ndarray, "x y z"]:
    """Trilinear interpolation between independent standard normal values `grain` mm apart."""
    cut = box or (slice(None),) * 3
    sizes = [len(range(*c.indices(n))) for c, n in zip(cut, grid.shape)]
    knots = [max(2, round(size * step / grain) + 1) for size, step in zip(sizes, grid.spacing)]
    values = rng.standard_normal(knots, dtype=np.float32)
    x, y, z = (_between(size, k) for size, k in zip(sizes, knots))
    return (y @ np.tensordot(x, values, axes=(1, 0))) @ z.T


def _between(size: int, knots: int) -> Float32[np.ndarray, "size knots"]:
    position = np.linspace(0, knots - 1, size, dtype=np.float32)[:, None]
    return np.clip(1 - np.abs(position - np.arange(knots, dtype=np.float32)), 0, None)
