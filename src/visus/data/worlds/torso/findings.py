"""What can be seen in a chest: how findings come with diagnoses, and how they change the volume.

`draw_findings`: CHF is an enlarged heart (cardiothoracic ratio above 0.5) with perihilar haze, and effusions in
half of the cases. Pneumonia is one faint focal patch (70 %) or a lobe (30 %), with a small effusion of that
side in 15 %. Findings that mean nothing for the diagnosis occur in every class alike: nodule 12 %, calcified
granuloma 15 %, old fracture of a rib 10 %, pacemaker 6 %, small old effusion 5 %. Severity is drawn evenly
between 0.55 - 0.45 difficulty and 1 - 0.45 difficulty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32

from visus.data.worlds.torso.anatomy import hilum, lung_share
from visus.data.worlds.torso.canvas import Box, Canvas, bent, ellipsoid, smooth_field, tubes
from visus.data.worlds.torso.chest import APEX_MM, PLEURA_MM, RIB_MM, Chest
from visus.data.worlds.torso.labels import CLASSES, FINDINGS, LABELS, LUNGS
from visus.data.worlds.torso.skeleton import rib_paths
from visus.errors import InputError
from visus.records import record

Kind = Literal[
    "cardiomegaly", "haze", "effusion", "consolidation", "nodule", "granuloma", "fracture", "device"
]
Side = Literal["right", "left", "both"]
Lobe = Literal["upper", "middle", "lower"]
DISTRACTORS: dict[Kind, float] = {"nodule": 0.12, "granuloma": 0.15, "fracture": 0.10, "device": 0.06}
EFFUSION_BY_CHANCE = 0.05
ENLARGED = (0.52, 0.11)
"""Cardiothoracic ratio of an enlarged heart: first + second * severity."""


@record
class Finding:
    """One finding as it is asked for."""

    kind: Kind
    side: Side = "both"
    severity: float = 0.7
    """0..1: how dense, large or far gone it is."""
    place: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """In the lung: from medial to lateral, from back to front, from bottom to top; each 0..1."""
    size_mm: float = 30.0
    """Radius of a patch or nodule."""
    lobe: Lobe | None = None
    """A whole lobe is consolidated; only the right lung has a middle lobe."""

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 1:
            raise InputError(f"is {self.severity}", field="severity", remedy="give a number from 0 to 1")
        if self.lobe == "middle" and self.side != "right":
            raise InputError("only the right lung has one", field="lobe middle", remedy="side right")
        one_side = self.kind not in ("cardiomegaly", "haze", "effusion")
        if one_side and self.side == "both":
            raise InputError(f"is both for {self.kind}", field="side", remedy="give right or left")


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One finding as it came out: the voxels it fills and their center in mm (RAS)."""

    finding: Finding
    mask: Bool[np.ndarray, "x y z"]
    center_mm: tuple[float, float, float]
    volume_ml: float

    @property
    def kind(self) -> Kind:
        return self.finding.kind

    @property
    def severity(self) -> float:
        return self.finding.severity


def draw_findings(diagnosis: str, rng: np.random.Generator, difficulty: float = 0.5) -> tuple[Finding, ...]:
    """Findings of one person with a diagnosis (`Normal`, `CHF`, `pneumonia`), difficulty 0 (plain) to 1 (faint)."""
    if diagnosis not in CLASSES:
        raise InputError(f"is {diagnosis!r}", field="diagnosis", remedy=f"one of {', '.join(CLASSES)}")
    if not 0 <= difficulty <= 1:
        raise InputError(f"is {difficulty}", field="difficulty", remedy="give a number from 0 to 1")

    def severity() -> float:
        return round(float(rng.uniform(0.55, 1.0) - 0.45 * difficulty), 3)

    found: list[Finding] = []
    if diagnosis == "CHF":
        found += [
            Finding(kind="cardiomegaly", severity=severity()),
            Finding(kind="haze", severity=severity()),
        ]
        if rng.random() < 0.5:
            side: Side = ("both", "right", "left")[rng.choice(3, p=(0.5, 0.35, 0.15))]
            found.append(Finding(kind="effusion", side=side, severity=round(0.5 * severity(), 3)))
    if diagnosis == "pneumonia":
        patch = _pneumonia(rng, severity())
        found.append(patch)
        if rng.random() < 0.15:
            found.append(Finding(kind="effusion", side=patch.side, severity=round(0.4 * severity(), 3)))
    for kind, chance in DISTRACTORS.items():
        if rng.random() < chance:
            found.append(_distractor(kind, rng, severity()))
    if rng.random() < EFFUSION_BY_CHANCE and not any(f.kind == "effusion" for f in found):
        found.append(Finding(kind="effusion", side=_side(rng), severity=round(0.3 * severity(), 3)))
    return tuple(found)


def _side(rng: np.random.Generator) -> Side:
    return "right" if rng.random() < 0.55 else "left"


def _place(rng: np.random.Generator, low: tuple, high: tuple) -> tuple[float, float, float]:
    x, y, z = rng.uniform(low, high).round(3).tolist()
    return x, y, z


def _pneumonia(rng: np.random.Generator, severity: float) -> Finding:
    side = _side(rng)
    if rng.random() < 0.3:
        lobes: tuple[Lobe, ...] = ("upper", "middle", "lower") if side == "right" else ("upper", "lower")
        lobe: Lobe = lobes[rng.integers(len(lobes))]
        return Finding(kind="consolidation", side=side, severity=severity, lobe=lobe)
    place, size = _place(rng, (0.25, 0.15, 0.12), (0.85, 0.85, 0.85)), float(rng.uniform(18, 42))
    return Finding(kind="consolidation", side=side, severity=severity, place=place, size_mm=round(size, 1))


def _distractor(kind: Kind, rng: np.random.Generator, severity: float) -> Finding:
    size = {"nodule": (5, 13), "granuloma": (2.5, 5), "fracture": (6, 10), "device": (20, 26)}[kind]
    place = _place(rng, (0.2, 0.15, 0.12), (0.9, 0.85, 0.9))
    side: Side = "left" if kind == "device" and rng.random() < 0.9 else _side(rng)
    radius = round(float(rng.uniform(*size)), 1)
    return Finding(kind=kind, side=side, severity=severity, place=place, size_mm=radius)


def heart_width(person_ratio: float, findings: tuple[Finding, ...]) -> float:
    """Cardiothoracic ratio with the findings: an enlarged heart is above 0.5 whatever the person's own is."""
    enlarged = [ENLARGED[0] + ENLARGED[1] * f.severity for f in findings if f.kind == "cardiomegaly"]
    return max([person_ratio, *enlarged])


def paint_findings(
    canvas: Canvas, chest: Chest, findings: tuple[Finding, ...], rng: np.random.Generator
) -> tuple[tuple[Lesion, ...], np.ndarray]:
    """Change the CT numbers; give what came out, in the order given, and the map of findings."""
    lesions, codes = [], np.zeros(canvas.grid.shape, dtype=np.uint8)
    table = np.zeros(256, dtype=bool)
    table[[*LUNGS, LABELS["pulmonary vessels"]]] = True
    lungs = table[canvas.labels]
    for finding in findings:
        share, box, hu = _painters[finding.kind](canvas, chest, finding, rng)
        if finding.kind in _IN_LUNGS:
            within = share * lungs[box]
            share = (
                within if within.any() else share
            )  # a small one whose few coarse voxels count as a neighbor
        if hu is not None:
            there = canvas.hu[box]
            there += share * (hu - there)
        if finding.kind == "effusion":
            share = share * lungs[box]
        lesions.append(_lesion(canvas, finding, share, box))
    for lesion in sorted(lesions, key=lambda lesion: FINDINGS[lesion.kind]):
        codes[lesion.mask] = FINDINGS[lesion.kind]
    return tuple(lesions), codes


_FLUID = ("right lung", "left lung", "pulmonary vessels", "muscle", "viscera", "liver", "spleen", "stomach")
_IN_LUNGS = ("haze", "consolidation", "nodule", "granuloma")
_WHOLE: Box = (slice(None), slice(None), slice(None))
Painted = tuple[np.ndarray, Box, float | None]


def _lesion(canvas: Canvas, finding: Finding, share: np.ndarray, box: Box) -> Lesion:
    """The voxels filled by half or more of the most that the finding fills anywhere."""
    grid, mask = canvas.grid, np.zeros(canvas.grid.shape, dtype=bool)
    mask[box] = share >= max(0.5 * float(share.max(initial=0)), 1e-3)
    index = np.nonzero(mask)
    if not len(index[0]):
        raise InputError(f"{finding.kind} at {finding.place} fills no voxel", field="findings")
    x, y, z = (float(grid.axis(i)[index[i]].mean()) for i in range(3))
    volume = len(index[0]) * grid.step**3 / 1000
    return Lesion(finding=finding, mask=mask, center_mm=(x, y, z), volume_ml=volume)


def _sides(finding: Finding) -> tuple[int, ...]:
    """0 for the right lung, 1 for the left."""
    return {"right": (0,), "left": (1,), "both": (0, 1)}[finding.side]


def _enlarged_heart(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    return (canvas.labels == LABELS["heart"]).astype(np.float32), _WHOLE, None


def _haze(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    """Fluid in the tissue around the hila: a butterfly that fades outward."""
    x, y, z = canvas.grid.axes()
    share = np.zeros(canvas.grid.shape, dtype=np.float32)
    reach = np.float32(2 * (0.19 * chest.height) ** 2)
    for i in _sides(finding):
        a, b, c = (hilum(chest, 1 - 2 * i) + [12 * (1 - 2 * i), 0, -8]).tolist()
        share += (
            np.exp(-((x - a) ** 2) / reach)
            * np.exp(-((y - b) ** 2) / (2 * reach))
            * np.exp(-((z - c) ** 2) / (1.6 * reach))
        )
    share *= np.clip(1 + 0.35 * smooth_field(canvas.grid, 22.0, rng), 0.2, 1.8)
    return np.minimum(share * np.float32(0.5 * finding.severity), 1), _WHOLE, 20.0


def _effusion(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    """Fluid fills the base and climbs along the wall: a meniscus.

    Voxels that the lung only grazes are filled too: no seam of air stays between fluid and wall.
    """
    grid, level, rise = canvas.grid, 8 + 85 * finding.severity, 20 + 35 * finding.severity
    lowest = chest.outlines[:, :, 1].min(1)
    box = grid.box((-220, -165, chest.bottom - 8), (220, 165, lowest.max() + level + 2.2 * rise))
    depth = chest.inner[box]
    climb = np.exp(np.clip(depth * np.float32(-1 / 16), -8, 0.8)) * np.float32(rise)
    share = np.zeros_like(depth)
    for i in _sides(finding):
        grazed = chest.silhouettes[i][box[0], None, box[2]] * (depth > PLEURA_MM - 0.5 * grid.step) > 0.02
        share += grazed * grid.soft(np.float32(lowest[i] + level) + climb - grid.axes(box)[2])
    dry = np.zeros(256, dtype=np.float32)
    dry[[LABELS[name] for name in _FLUID]] = 1
    return np.minimum(share, 1) * dry[canvas.labels[box]], box, 8.0


def _consolidation(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    """Air replaced by fluid and cells, in a patch with ragged edges or in a whole lobe."""
    if finding.lobe is not None:
        (side,) = _sides(finding)
        share = lobe_share(chest, side, finding.lobe)
        share *= np.clip(0.85 + 0.15 * smooth_field(canvas.grid, 18.0, rng), 0, 1)
        return share * np.float32(0.25 + 0.65 * finding.severity), _WHOLE, 25.0
    radius = np.array([1.0, 1.0, 0.9]) * finding.size_mm
    center = _in_lung(canvas, chest, finding)
    box = canvas.grid.box(*_corners(center, 1.5 * radius))
    x, y, z = canvas.grid.axes(box)
    far = np.sqrt(sum(((v - c) / r) ** 2 for v, c, r in zip((x, y, z), center, radius)))
    share = np.clip(1.25 - far + 0.3 * smooth_field(canvas.grid, 0.6 * finding.size_mm, rng, box), 0, 1)
    return share * np.float32(0.12 + 0.7 * finding.severity), box, 25.0


def _nodule(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    center, radius = _in_lung(canvas, chest, finding), finding.size_mm
    if radius < canvas.grid.step:  # a rod of the ball's volume: what is smaller than a voxel is not lost
        ends = [(center[0], center[1], center[2] + part * radius) for part in (-2 / 3, 2 / 3)]
        share, box = tubes(canvas.grid, bent(ends, radius))
    else:
        share, box = ellipsoid(canvas.grid, center, (radius, radius, radius))
    return share, box, 700.0 if finding.kind == "granuloma" else -150 + 200 * finding.severity


def _fracture(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    """Callus of an old fracture on one of ribs 3..9."""
    path = rib_paths(chest)[_sides(finding)[0], 2 + round(6 * (1 - finding.place[2]))]
    x, y, z = (float(v) for v in path[round(4 + 6 * finding.place[1])])
    radius = finding.size_mm
    share, box = ellipsoid(canvas.grid, (x, y, z), (radius, radius, 0.9 * radius))
    return share, box, 550.0 + 250 * finding.severity


def _device(canvas: Canvas, chest: Chest, finding: Finding, rng: np.random.Generator) -> Painted:
    """Pacemaker below the collar bone with a lead to the heart's apex."""
    side, height = 1 - 2 * _sides(finding)[0], chest.height
    out = RIB_MM + 10.0
    can = chest.on_wall(APEX_MM - 0.28 * height, 52.0, side, out)
    x, y, z = (float(v) for v in can)
    normal = np.array([side * 0.55, 0.83, 0.0])
    axes = np.stack([normal, np.cross([0.0, 0.0, 1.0], normal), [0.0, 0.0, 1.0]])
    radius = finding.size_mm
    half = (max(4.0, 0.4 * canvas.grid.step), radius, 0.9 * radius)
    share, box = ellipsoid(canvas.grid, (x, y, z), half, axes=axes, boxy=1.2)
    whole = np.zeros(canvas.grid.shape, dtype=np.float32)
    whole[box] = share
    low = min(chest.base) + 22
    d = chest.half_depth
    way = [
        (x, y, z + 10),
        (side * 45, 0.25 * d, APEX_MM - 0.16 * height),
        (14, 0.08 * d, APEX_MM - 0.3 * height),
    ]
    way += [(16, 0.10 * d, APEX_MM - 0.55 * height), (2, 0.35 * d, low + 25), (-30, 0.5 * d, low)]
    lead, box = tubes(canvas.grid, bent(way, 1.3))
    whole[box] = np.maximum(whole[box], lead)
    return whole, _WHOLE, 3000.0


_painters = {
    "cardiomegaly": _enlarged_heart,
    "haze": _haze,
    "effusion": _effusion,
    "consolidation": _consolidation,
    "nodule": _nodule,
    "granuloma": _nodule,
    "fracture": _fracture,
    "device": _device,
}


def _corners(center: tuple, reach: np.ndarray) -> tuple[tuple, tuple]:
    return tuple(np.asarray(center) - reach), tuple(np.asarray(center) + reach)


def lobe_share(chest: Chest, side: int, lobe: Lobe) -> Float32[np.ndarray, "x y z"]:
    """Share of every voxel in a lobe of the right (0) or left (1) lung.

    The oblique fissure falls from two thirds of the lung's height at the back to its base in front; the
    horizontal one meets it at 0.42 of the height in front.
    """
    outline, grid = chest.outlines[side], chest.grid
    _, y, z = grid.axes()
    _, _, half, middle = (v.astype(np.float32) for v in chest.wall(grid.axis(2)))
    front = (y - middle) / half
    height = np.ptp(outline[:, 1])
    rise = (z - outline[:, 1].min()) / np.float32(height)
    above = (rise - (0.33 - 0.34 * front)) * np.float32(height)
    share = lung_share(chest)[side]
    if lobe == "lower":
        return share * grid.soft(-above)
    share = share * grid.soft(above)
    if side == 1:
        return share
    over = (rise - 0.42) * np.float32(height)
    return share * grid.soft(over if lobe == "upper" else -over)


def _in_lung(canvas: Canvas, chest: Chest, finding: Finding) -> tuple[float, float, float]:
    """The place asked for, or the nearest one in aerated lung (the heart may lie there)."""
    (side,) = _sides(finding)
    outline, (across, ahead, up) = chest.outlines[side], finding.place
    low, high = outline[:, 1].min(), outline[:, 1].max()
    z = low + (0.06 + 0.88 * up) * (high - low)
    near = np.abs(outline[np.argsort(np.abs(outline[:, 1] - z))[:6], 0])
    x = (near.min() + across * (near.max() - near.min())) * (1 - 2 * side)
    _, _, half, middle = chest.wall(np.array([z]))
    y = middle[0] + 0.75 * half[0] * (2 * ahead - 1)
    aerated = np.argwhere(canvas.labels == LUNGS[side])
    step, size = np.asarray(canvas.grid.spacing), np.asarray(canvas.grid.shape)
    places = (aerated - (size - 1) / 2) * step
    nearest = places[np.argmin(((places - [x, y, z]) ** 2).sum(1))]
    x, y, z = np.where(np.abs(nearest - [x, y, z]) > step, nearest, [x, y, z])
    return float(x), float(y), float(z)
