"""X-rays through a volume: CT numbers to attenuation, and line integrals along a parallel or a cone beam.

World axes are RAS in mm (x to the patient's right, y to the front, z up). A frontal radiograph is read as if
the patient faced the reader: columns run from the patient's right to his left, rows from above to below.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64, Shaped
from torch import Tensor

from visus.errors import InputError

Direction = Literal["PA", "AP"]

SOURCE_MM = {"PA": 1800.0, "AP": 1000.0}
"""Usual distance between source and detector: standing at the wall, and in bed."""
GAP_MM = {"PA": 25.0, "AP": 45.0}
"""From the surface of the body to the detector (cover and grid; a mattress)."""
_KEV = (40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
_WATER = (0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505)
_BONE = (0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480)
_BONE_DENSITY = 1.92
_CT_KEV = 70.0
_FINEST = 1e-9
_RAYS_AT_ONCE = 1_000_000


def coefficients(energy_kev: float) -> tuple[float, float]:
    """Linear attenuation of water and of cortical bone in 1/mm at one energy.

    Mass attenuation of liquid water and ICRU-44 cortical bone (1.92 g/cm3), interpolated on logarithmic axes.
    Source: NIST, X-ray mass attenuation coefficients (NISTIR 5632), tables 4.

    >>> [round(10 * value, 3) for value in coefficients(60)]
    [0.206, 0.604]
    """
    if not _KEV[0] <= energy_kev <= _KEV[-1]:
        problem = f"must lie within {_KEV[0]:.0f}..{_KEV[-1]:.0f} keV, got {energy_kev}"
        raise InputError(problem, field="energy_kev")
    at = math.log(energy_kev)
    water, bone = (math.exp(float(np.interp(at, np.log(_KEV), np.log(values)))) for values in (_WATER, _BONE))
    return water / 10, bone * _BONE_DENSITY / 10


def attenuation(hu: Float[np.ndarray, "*space"], energy_kev: float = 60.0) -> Float32[np.ndarray, "*space"]:
    """Linear attenuation in 1/mm of what a CT scanner (effective energy 70 keV) measured as `hu`.

        hu <= 0:  mu = mu_water (1 + hu / 1000)          air and water
        hu >  0:  mu = mu_water + (mu_bone - mu_water) hu / hu_bone          water and cortical bone

    with hu_bone the CT number of cortical bone: bone gains over water as the energy falls below the scanner's.
    """
    water, bone = coefficients(energy_kev)
    ct_water, ct_bone = coefficients(_CT_KEV)
    per_hu = (bone - water) / (1000 * (ct_bone / ct_water - 1))
    mu = np.clip(hu, -1000, None).astype(np.float32)
    mu *= np.where(mu > 0, np.float32(per_hu), np.float32(water / 1000))
    mu += np.float32(water)
    return mu


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Where source, patient and detector stand. Angles in degrees, lengths in mm.

    `source_mm` is the distance from source to detector, infinite for a parallel beam; `detector_y` the
    detector's place on the y axis; the central ray is perpendicular to it and passes `center` = (x, z). The
    patient is turned by `turn` about his long axis, leans by `tilt` (forward) and by `roll` (in the picture's
    plane), all about `pivot_y` and `center`.

    Differs: turning and leaning are shears along the beam, which for the few degrees in question differ from
    rotations by the cosine.
    """

    view: Direction = "PA"
    size: tuple[int, int]
    pixel_mm: float
    source_mm: float = math.inf
    detector_y: float = 0.0
    pivot_y: float = 0.0
    center: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    tilt: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        if self.view not in ("PA", "AP"):
            raise InputError(f"unknown view {self.view!r}", field="view", remedy="use PA or AP")
        if min(self.size) < 1 or not self.pixel_mm > 0:
            raise InputError(f"no picture of {self.size} pixels of {self.pixel_mm} mm", field="size")

    def magnification(self, y: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """How much larger than life a slice at `y` appears: source_mm / (source_mm - distance to the detector)."""
        distance = np.asarray(y, dtype=np.float64) - self.detector_y
        nearness = (-distance if self.view == "PA" else distance) / self.source_mm
        if (nearness >= 1).any():
            raise InputError("the source stands inside the volume", field="source_mm")
        return 1 / (1 - nearness)

    def pixels(self, points: Float[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
        """Where points of the patient (x, y, z in mm) appear: x (column), y (row), pixel centers at +0.5."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        depth = points[:, 1] - self.pivot_y
        aside, up = self.lean
        m = self.magnification(points[:, 1])
        right = -(points[:, 0] + aside * depth - self.center[0]) * m
        down = -(points[:, 2] + up * depth - self.center[1]) * m
        c, s = self._roll
        middle = np.array([self.size[1] / 2, self.size[0] / 2])
        return middle + np.stack([c * right - s * down, s * right + c * down], axis=1) / self.pixel_mm

    def rays(self) -> tuple[Float32[Tensor, "h w"], Float32[Tensor, "h w"]]:
        """What every pixel's ray would hit in the plane of the detector: mm to the right and down of the center."""
        h, w = self.size
        x = (torch.arange(w) + 0.5 - w / 2) * self.pixel_mm
        y = ((torch.arange(h) + 0.5 - h / 2) * self.pixel_mm)[:, None]
        c, s = self._roll
        return c * x + s * y, c * y - s * x

    def slopes(self) -> tuple[Float32[Tensor, "h w"], Float32[Tensor, "h w"]]:
        """dx/dy and dz/dy of every pixel's ray in the patient."""
        right, down = self.rays()
        sign = -1.0 if self.view == "PA" else 1.0
        aside, up = self.lean
        return sign * right / self.source_mm - aside, sign * down / self.source_mm - up

    @property
    def lean(self) -> tuple[float, float]:
        """Sideways and upward shift per mm of depth."""
        return math.tan(math.radians(self.turn)), math.tan(math.radians(self.tilt))

    @property
    def _roll(self) -> tuple[float, float]:
        return math.cos(math.radians(self.roll)), math.sin(math.radians(self.roll))


def project(
    volumes: Shaped[np.ndarray, "c x y z"],
    affine: Float[np.ndarray, "4 4"],
    beam: Beam,
    *,
    tolerance: float = 0.25,
) -> Float32[np.ndarray, "c h w"]:
    """Line integrals of volumes (values per mm) along the rays of `beam`.

        p(u, v) = |ray| dy sum_y f(x(u, y), y, z(v, y)),   |ray| = sqrt(1 + (dx/dy)^2 + (dz/dy)^2)

    Every coronal slice is resampled bilinearly at its own magnification. Neighboring slices are averaged
    first as long as no ray moves sideways by more than `tolerance` pixels within them, so that a parallel
    beam costs one slice and a cone a few. Outside the volume there is nothing. Where pixels are larger than
    voxels, rays are taken closer together and averaged.

    Parameters
    ----------
    volumes : one or more volumes on the same grid.
    affine : voxel -> mm (RAS), along the axes.
    tolerance : in pixels; 0 resamples each slice.
    """
    spacing, origin = _grid(affine)
    fold = max(1, math.ceil(beam.pixel_mm / float(np.abs(spacing[[0, 2]]).max()) - 0.25))
    fine = _finer(beam, fold)
    dx, dz = fine.slopes()
    steep = max(float(dx.abs().max()), float(dz.abs().max()))
    thick = math.floor(2 * tolerance * beam.pixel_mm / max(steep * abs(float(spacing[1])), _FINEST))
    starts = np.arange(0, volumes.shape[2], min(max(thick, 1), volumes.shape[2]))
    slabs = np.add.reduceat(volumes, starts, axis=2, dtype=np.float32)
    ends = np.append(starts[1:], volumes.shape[2])
    y = origin[1] + spacing[1] * (starts + ends - 1) / 2
    total = torch.zeros(len(volumes), *fine.size)
    many = max(1, _RAYS_AT_ONCE // math.prod(fine.size))
    for at in range(0, len(starts), many):
        part = torch.from_numpy(np.ascontiguousarray(slabs[:, :, at : at + many].transpose(2, 0, 3, 1)))
        crossed = _crossings(fine, y[at : at + many], origin, spacing, volumes.shape)
        total += F.grid_sample(part, crossed, align_corners=False).sum(dim=0)
    total *= abs(float(spacing[1])) * (1 + dx.square() + dz.square()).sqrt()
    return F.avg_pool2d(total, fold).numpy() if fold > 1 else total.numpy()


def _grid(affine: Float[np.ndarray, "4 4"]) -> tuple[np.ndarray, np.ndarray]:
    """Signed voxel edges and the first voxel's center."""
    matrix = np.asarray(affine, dtype=np.float64)
    spacing = np.diag(matrix)[:3]
    if matrix.shape != (4, 4) or not np.allclose(matrix[:3, :3], np.diag(spacing)) or not spacing.all():
        raise InputError(
            "voxel axes must be x, y, z", field="affine", remedy="resample the volume to RAS axes"
        )
    return spacing, matrix[:3, 3]


def _finer(beam: Beam, fold: int) -> Beam:
    size = (beam.size[0] * fold, beam.size[1] * fold)
    return dataclasses.replace(beam, size=size, pixel_mm=beam.pixel_mm / fold) if fold > 1 else beam


def _crossings(
    beam: Beam, y: Float[np.ndarray, " n"], origin: np.ndarray, spacing: np.ndarray, shape: tuple[int, ...]
) -> Float32[Tensor, "n h w 2"]:
    """Where the rays cross the slices at `y`, in the coordinates of `grid_sample` (x, then z)."""
    right, down = beam.rays()
    aside, up = beam.lean
    depth = y - beam.pivot_y
    crossed = torch.empty(len(y), *beam.size, 2)
    for i, (axis, ray, lean) in enumerate(((0, right, aside), (2, down, up))):
        middle = beam.center[i] - lean * depth
        per_mm = 2 / (spacing[axis] * shape[1 + axis])
        offset = (middle - origin[axis]) * per_mm + 1 / shape[1 + axis] - 1
        slope = -per_mm / beam.magnification(y)
        crossed[..., i] = torch.addcmul(_per_slice(offset), _per_slice(slope), ray)
    return crossed


def _per_slice(values: Float[np.ndarray, " n"]) -> Float32[Tensor, "n 1 1"]:
    return torch.from_numpy(values.astype(np.float32))[:, None, None]


@functools.lru_cache(maxsize=32)
def _bell(count: int, sigma: float) -> Float32[np.ndarray, "n n"]:
    offsets = np.arange(count)[:, None] - np.arange(count)[None]
    weights = np.exp(-0.5 * (offsets / max(sigma, _FINEST)) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def blurred(image: Float[np.ndarray, "h w"], sigma: float) -> Float32[np.ndarray, "h w"]:
    """Gaussian blur (sigma in pixels) whose weights sum to 1 up to the edge: two small matrix products."""
    h, w = image.shape
    return _bell(h, sigma) @ np.asarray(image, dtype=np.float32) @ _bell(w, sigma).T
