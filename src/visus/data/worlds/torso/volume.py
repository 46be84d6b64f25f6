"""From a person to a CT volume with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8

from visus.data.worlds.torso.anatomy import add_texture, paint_anatomy
from visus.data.worlds.torso.canvas import Canvas, Grid
from visus.data.worlds.torso.chest import Chest
from visus.data.worlds.torso.findings import Finding, Lesion, heart_width, paint_findings
from visus.data.worlds.torso.labels import LABELS
from visus.data.worlds.torso.people import Person
from visus.errors import InputError

FIELD_MM = (440.0, 330.0, 440.0)
"""What a volume covers, right to left, back to front, bottom to top: neck to kidneys."""
SHAPE = (64, 48, 64)


@dataclass(frozen=True, kw_only=True)
class Torso:
    """A person's trunk as CT. Arrays are (x, y, z) in RAS: x grows to the right, y to the front, z upward."""

    hu: Float32[np.ndarray, "x y z"]
    labels: UInt8[np.ndarray, "x y z"]
    """Tissue per voxel, see `LABELS`; findings do not change it."""
    findings: UInt8[np.ndarray, "x y z"]
    """Finding per voxel, see `FINDINGS`; where findings overlap, the later one in `FINDINGS`."""
    spacing_mm: tuple[float, float, float]
    affine: Float[np.ndarray, "4 4"]
    """Voxel index to mm; 0 is the center of the volume."""
    person: Person
    lesions: tuple[Lesion, ...] = ()
    """One by one what `findings` holds: kind, severity, mask, center."""


def build(
    person: Person,
    *,
    findings: Sequence[Finding] = (),
    shape: tuple[int, int, int] = SHAPE,
    seed: int | None = None,
    texture: bool = True,
    noise_hu: float = 12.0,
) -> Torso:
    """Paint a person.

    Parameters
    ----------
    findings : what the person has, see `draw_findings`.
    shape : voxels (x, y, z) that cover `FIELD_MM`; (64, 48, 64) gives 6.9 mm, (160, 120, 160) 2.75 mm.
    seed : of vessels, texture and noise; None takes the person's own.
    texture : False leaves the mean CT number of every tissue, without noise.
    noise_hu : standard deviation of the scanner's noise.

    Raises
    ------
    InputError : fewer than 32 voxels along an axis: ribs and skin would vanish.
    """
    if len(shape) != 3 or min(shape) < 32:
        raise InputError(f"is {shape}", field="shape", remedy="give three numbers of at least 32")
    spacing = tuple(size / n for size, n in zip(FIELD_MM, shape))
    grid = Grid(tuple(shape), spacing)  # type: ignore[arg-type]
    chest, canvas, asked = Chest(person, grid), Canvas(grid), tuple(findings)
    seed = person.seed if seed is None else seed
    vessels, changes, grain = (np.random.default_rng((seed, part)) for part in range(3))
    congestion = max((f.severity for f in asked if f.kind == "haze"), default=0.0)
    ratio = heart_width(person.cardiothoracic, asked)
    paint_anatomy(canvas, chest, cardiothoracic=ratio, congestion=congestion, rng=vessels)
    lesions, codes = paint_findings(canvas, chest, asked, changes)
    if texture:
        add_texture(canvas, grain, noise_hu)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * step for n, step in zip(shape, spacing)]
    return Torso(
        hu=canvas.hu,
        labels=canvas.labels,
        findings=codes,
        spacing_mm=grid.spacing,
        affine=affine,
        person=person,
        lesions=lesions,
    )


def cardiothoracic_ratio(torso: Torso) -> float:
    """Width of the heart over the inner width of the chest at the lungs' widest, from the labels."""
    lungs = np.isin(torso.labels, (LABELS["right lung"], LABELS["left lung"])).any(axis=(1, 2))
    heart = (torso.labels == LABELS["heart"]).any(axis=(1, 2))
    return float(np.ptp(np.flatnonzero(heart)) + 1) / float(np.ptp(np.flatnonzero(lungs)) + 1)


def volumes_ml(torso: Torso) -> dict[str, float]:
    """Volume of every tissue in the field of view."""
    voxel = float(np.prod(torso.spacing_mm)) / 1000
    counts = np.bincount(torso.labels.ravel(), minlength=len(LABELS))
    return {name: float(counts[number] * voxel) for name, number in LABELS.items()}
