"""Where the walls of a person's trunk and the lungs are, from the outlines of the lungs outward.

The inner wall of the chest follows the lungs' silhouette at both sides, so the lungs, cut out of the cavity
along the silhouette, project to exactly that silhouette. Ribs, muscle, fat and skin lie around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike

from visus.data.worlds.torso.canvas import Grid
from visus.data.worlds.torso.lungs import lung_shapes
from visus.data.worlds.torso.people import Person

APEX_MM = 152.0
"""Height of the upper lung's apex above the center of the volume."""
PLEURA_MM = 2.0
RIB_MM = 9.0
SKIN_MM = 2.0
_INNER, _OUTER = 1.0, 1.25  # cross terms of the walls' cross-sections: 2 is an ellipse, 0 a rounded box
_SUPERSAMPLED = 512  # pixels, at least, of the drawing of a silhouette


@dataclass(frozen=True)
class Chest:
    """A person's walls and lungs on a grid; lengths in mm, RAS."""

    person: Person
    grid: Grid
    outlines: Float[np.ndarray, "2 n 2"] = field(init=False)
    """Right and left lung, (x, z), with what lies before and behind heart and great vessels."""
    edges: list[tuple[np.ndarray, np.ndarray]] = field(init=False, repr=False)
    """Of the right and the left lung: heights, upward, and how far the widest part above them reaches."""
    silhouettes: Float32[np.ndarray, "2 x z"] = field(init=False)
    """Share of a column of voxels along y that lies within the outline of the right, the left lung."""
    inner: Float32[np.ndarray, "x y z"] = field(init=False)
    """Depth below the inner wall of chest and belly."""
    outer: Float32[np.ndarray, "x y z"] = field(init=False)
    """Depth below the skin."""

    def __post_init__(self) -> None:
        shapes = lung_shapes()
        outlines = shapes.outline(self.person.lung_scores)
        average = shapes.outline((0.0,) * len(shapes.modes))
        outlines = outlines * self.person.lung_size * np.sqrt(_area(average) / _area(outlines))
        low, high = outlines.min((0, 1)), outlines.max((0, 1))
        outlines = outlines - [(low[0] + high[0]) / 2 * 0.7, high[1] - APEX_MM]
        outlines = _wrapped(outlines)
        object.__setattr__(self, "outlines", outlines)
        object.__setattr__(self, "edges", [_edge(lung, sign) for lung, sign in zip(outlines, (1, -1))])
        object.__setattr__(self, "silhouettes", np.stack([_drawn(self.grid, lung) for lung in outlines]))
        z = self.grid.axis(2)
        right, left, half, middle = self.wall(z)
        object.__setattr__(self, "inner", _depth(self.grid, (right, left), half, middle, _INNER))
        object.__setattr__(self, "outer", _depth(self.grid, *self._skin(z), _OUTER))

    @property
    def base(self) -> tuple[float, float]:
        """Height of the right and the left dome of the diaphragm: the highest point of the lung's lower edge."""
        right, left = (lung[_POINTS_BASE, 1].max() for lung in self.outlines)
        return float(right), float(left)

    @property
    def height(self) -> float:
        """Mean height of the two lungs."""
        return float(np.ptp(self.outlines[:, :, 1], axis=1).mean())

    @property
    def bottom(self) -> float:
        """Height of the lowest point of the lungs."""
        return float(self.outlines[:, :, 1].min())

    @property
    def width(self) -> float:
        """Largest inner width of the chest."""
        return float(np.ptp(self.outlines[:, :, 0]))

    @property
    def half_depth(self) -> float:
        """Half of the largest inner depth of the chest, front to back."""
        typical = 0.5 * self.width + 140  # depth follows width only in part
        return 0.5 * typical * (0.66 + 0.003 * (self.person.bmi - 25) + 0.0012 * (self.person.age - 50))

    def wall(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """At heights `z`: inner half width to the right and to the left, half depth, y of the middle."""
        below = np.clip((APEX_MM - z) / self.height, -0.3, 2.0)
        sides = []
        for height, reach in self.edges:
            # Above the apex the outline has no width; the inlet of the chest is narrow but open.
            wide = np.maximum(np.interp(z, height, reach), _INLET_MM)
            sides.append(wide * np.interp(below, [1, 2], [1, 0.94]) + PLEURA_MM)
        deep = np.interp(below, [-0.1, 0, 0.12, 0.3, 0.6, 1, 1.6], [0.36, 0.44, 0.63, 0.83, 1, 1, 0.92])
        back = np.interp(below, [-0.1, 0, 0.3, 0.6], [-0.34, -0.3, -0.1, 0])
        return sides[0], sides[1], self.half_depth * deep, self.half_depth * back

    def on_wall(
        self, z: ArrayLike, angle: ArrayLike, side: ArrayLike, out: float
    ) -> Float[np.ndarray, "*n 3"]:
        """Points `out` mm outside the inner wall at heights z; angle 0 is the side, 90 the front; side 1 right."""
        z, angle, side = np.broadcast_arrays(z, np.radians(angle), side)
        right, left, half, middle = self.wall(z)
        wide = np.where(side > 0, right, left)
        c, s = np.cos(angle), np.sin(angle)
        reach = (c**4 + s**4 + _INNER * c**2 * s**2) ** -0.25
        return np.stack([side * (wide * reach + out) * c, middle + (half * reach + out) * s, z], axis=-1)

    @property
    def fat_mm(self) -> float:
        """Thickness of the fat below the skin of the chest."""
        return max(2.5, 4 + 1.0 * (self.person.bmi - 20) + (3 if self.person.sex == "F" else 0))

    def _skin(self, z: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        right, left, half, middle = self.wall(z)
        up, man = z - APEX_MM, self.person.sex == "M"
        fat = self.fat_mm * np.interp(up, [-300, -180, -60, 0, 40], [1.5, 1.1, 1, 0.7, 0.4])
        muscle = np.interp(up, [-260, -150, -90, -50, 0], [7, 9, 22, 40, 40]) * (1 if man else 0.85)
        shoulder = self.person.height_cm * (1.07 if man else 1.02)
        yoke = shoulder * np.interp(
            up, [-95, -55, -25, -5, 12, 32, 60], [0.7, 0.92, 1, 0.95, 0.72, 0.38, 0.32]
        )
        wide = [np.maximum(side + RIB_MM + muscle, yoke) + fat for side in (right, left)]
        front = RIB_MM + np.interp(up, [-260, -200, -90, 0], [8, 5, 14, 14]) + fat
        back = RIB_MM + np.interp(up, [-300, -150, -30, 20], [24, 20, 26, 26]) + 0.8 * fat
        return (wide[0], wide[1]), half + (front + back) / 2, middle + (front - back) / 2


_INLET_MM = 42.0
_LATERAL = 16  # the outline starts at the apex and runs down the lateral edge, then along the base
_POINTS_BASE = slice(18, 25)
_MEDIAL = 26
_WAY = [0.0, 0.25, 0.5, 0.7, 1.0]  # along the medial edge, from the base to the apex
_NEAR_MM = ([14.0, 6.0, 8.0, 7.0, 15.0], [16.0, 10.0, 8.0, 10.0, 16.0])  # of the midline: right, left


def _area(outlines: Float[np.ndarray, "2 n 2"]) -> float:
    x, z = outlines[..., 0], outlines[..., 1]
    return float(np.abs((x * np.roll(z, 1, axis=1) - z * np.roll(x, 1, axis=1)).sum(1)).sum() / 2)


def _wrapped(outlines: Float[np.ndarray, "2 n 2"]) -> Float[np.ndarray, "2 n 2"]:
    """Medial edges drawn toward the midline: lungs reach before and behind the mediastinum.

    Heart and vessels, painted over the lungs, then make the borders that are seen.
    """
    medial = slice(_MEDIAL, outlines.shape[1])
    t = np.linspace(0, 1, outlines.shape[1] - _MEDIAL)
    near = np.stack([np.interp(t, _WAY, right) for right in _NEAR_MM]) * [[1], [-1]]
    share = np.interp(t, [0, 0.12, 0.7, 0.95], [0.5, 0.95, 0.95, 0])
    wrapped = outlines.copy()
    wrapped[:, medial, 0] += share * (near - outlines[:, medial, 0])
    return wrapped


def _edge(lung: Float[np.ndarray, "n 2"], sign: int) -> tuple[np.ndarray, np.ndarray]:
    lateral = lung[: _LATERAL + 1] * [sign, 1]
    order = np.argsort(lateral[:, 1])
    return lateral[order, 1], np.maximum.accumulate(lateral[:, 0])[order]


def _depth(
    grid: Grid, wide: tuple[np.ndarray, np.ndarray], half: np.ndarray, middle: np.ndarray, cross: float
) -> Float32[np.ndarray, "x y z"]:
    """Depth along the ray to the axis below a wall of rounded cross-sections, negative outside."""
    x, y, _ = grid.axes()
    side = np.where(x > 0, *(np.asarray(w, dtype=np.float32)[None, None] for w in wide))
    y = y - middle.astype(np.float32)
    u, v = (x / side) ** 2, (y / half.astype(np.float32)) ** 2
    ratio = u * v
    ratio *= np.float32(cross)
    ratio += u * u
    ratio += v * v
    np.maximum(ratio, 1e-8, out=ratio)
    np.sqrt(np.sqrt(ratio, out=ratio), out=ratio)
    np.divide(1, ratio, out=ratio)
    ratio -= 1
    distance = np.sqrt(x * x + y * y)
    np.maximum(distance, 1, out=distance)
    ratio *= distance
    return ratio


def _drawn(grid: Grid, outline: Float[np.ndarray, "n 2"]) -> Float32[np.ndarray, "x z"]:
    """Share of every column of voxels (x, z) inside a closed polygon."""
    from PIL import Image, ImageDraw

    nx, nz = grid.shape[0], grid.shape[2]
    fine = max(2, round(_SUPERSAMPLED / max(nx, nz)))
    step = np.array([grid.spacing[0], grid.spacing[2]])
    pixels = (outline / step + np.array([nx, nz]) / 2) * fine - 0.5
    image = Image.new("L", (nx * fine, nz * fine))
    ImageDraw.Draw(image).polygon([(float(a), float(b)) for a, b in pixels], fill=1)
    drawn = np.asarray(image).reshape(nz, fine, nx, fine)
    return (drawn.sum((1, 3), dtype=np.float32) / fine**2).T
