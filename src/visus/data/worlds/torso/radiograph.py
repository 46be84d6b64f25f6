"""A frontal radiograph of a torso, and what is in it.

From the volume to the picture: attenuation and line integrals (`projection`), scatter, blur of focal spot and
detector, quantum noise, logarithm, compression of the large-scale contrast, window, marker. The picture is in
0..1 with bright = dense, as it hangs at the light box.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from visus.data.worlds.torso.labels import LABELS
from visus.data.worlds.torso.projection import (
    GAP_MM,
    SOURCE_MM,
    Beam,
    Direction,
    attenuation,
    blurred,
    project,
)
from visus.data.worlds.torso.volume import Torso
from visus.errors import InputError
from visus.records import record

SEGMENTS = {"right lung": 1, "left lung": 2, "heart": 3}
"""Numbers in `Radiograph.segmentation`. Where the heart and a lung lie on one ray the pixel is the heart's."""
LEAST_MM = {"right lung": 12.0, "left lung": 12.0, "heart": 10.0}
"""Length of a ray inside an organ from which on the pixel belongs to it."""
_SHADOW_SHARE = 0.25  # of a finding's longest ray: less is its rim
_BODY = 0.8  # logarithm of the attenuation from which on a pixel shows the body, not air
_LUCENT, _DENSE = 0.12, 0.96  # gray of the body's 1st and 99th percentile, before the display's curve
_STROKES = {  # polylines in a box of height 1, x to the right, y down
    "R": [
        [(0, 1), (0, 0), (0.4, 0), (0.58, 0.12), (0.58, 0.38), (0.4, 0.5), (0, 0.5)],
        [(0.3, 0.5), (0.6, 1)],
    ],
    "L": [[(0, 0), (0, 1), (0.55, 1)]],
}


@record
class Technique:
    """How a radiograph is taken and shown. Lengths in mm in the plane of the detector."""

    energy_kev: float = 60.0
    """Effective energy of the beam."""
    source_mm: float | None = None
    """Source to detector; None: 1800 (PA), 1000 (AP); infinite: a parallel beam."""
    dose: float = 5e5
    """Quanta per mm2 that would reach the detector without a patient."""
    scatter: float = 0.35
    """Scattered over primary quanta, on average, behind an antiscatter grid."""
    scatter_mm: float = 55.0
    """Width (standard deviation) of the scatter's spread."""
    blur_mm: float = 0.3
    """Focal spot and detector, standard deviation."""
    grid_lines: float = 0.0
    """Depth of the shadows of an antiscatter grid's lamellae (0..1), one per `grid_pitch_mm`."""
    grid_pitch_mm: float = 0.5
    latitude: float = 0.3
    """Share of the contrast over more than `latitude_mm` that is kept; 1 shows the plain logarithm."""
    latitude_mm: float = 24.0
    sharpening: float = 1.0
    """Gain on contrast finer than `sharpening_mm`; 0 adds none."""
    sharpening_mm: float = 3.5
    gamma: float = 0.65
    """Exponent of the display's curve; below 1 lifts the lungs and flattens what is dense."""
    pose_deg: float = 2.0
    """Standard deviation of the patient's turn, half of it for tilt and roll."""
    exposure: float = 0.06
    """Standard deviation of brightness and contrast between pictures."""
    collimation_mm: float = 14.0
    """Most that the collimator covers at each edge."""
    marker: bool = True
    """Burn in L or R on that side of the patient."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadow:
    """An abnormality as it appears in the picture."""

    name: str
    severity: float
    """0..1, as in the volume."""
    center: tuple[float, float]
    """x (column), y (row) in pixels, centers at +0.5."""
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels."""
    mask: Bool[np.ndarray, "h w"]

    def somewhere(self, rng: np.random.Generator) -> tuple[float, float]:
        """A point of the mask, those near the center more likely."""
        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return self.center
        pick = rng.integers(len(rows), size=2)  # the nearer of two
        x, y = columns[pick] + 0.5, rows[pick] + 0.5
        nearer = int(np.argmin((x - self.center[0]) ** 2 + (y - self.center[1]) ** 2))
        return float(x[nearer]), float(y[nearer])


@dataclass(frozen=True, kw_only=True, eq=False)
class Radiograph:
    """A picture and its truth."""

    image: Float32[np.ndarray, "h w"]
    """0..1, bright = dense."""
    segmentation: UInt8[np.ndarray, "h w"]
    """See `SEGMENTS`; 0 elsewhere."""
    boxes: tuple[dict[str, Any], ...]
    """{name, box: [x1, y1, x2, y2]} in pixels: lungs, heart and findings that are in the picture."""
    findings: tuple[Shadow, ...]
    ctr: float
    """Cardiothoracic ratio in the picture: widest heart over widest extent of the lungs; NaN without either."""
    beam: Beam


def radiograph(
    torso: Torso,
    *,
    size: tuple[int, int] = (320, 256),
    view: Direction = "PA",
    seed: int | tuple[int, ...] = 0,
    technique: Technique | None = None,
) -> Radiograph:
    """Take a radiograph of a torso.

    Parameters
    ----------
    size : (height, width) in pixels; the field covers the lungs with a margin, pixels are squares.
    view : `PA` (standing, detector in front) or `AP` (in bed, detector behind: the heart is magnified).
    seed : chooses pose, field, noise, exposure, marker.

    Raises
    ------
    InputError : pictures of less than 16 pixels, an unknown view, or a torso without lungs.
    """
    technique = technique or Technique()
    if len(size) != 2 or min(size) < 16:
        raise InputError(f"is {size}", field="size", remedy="at least 16 pixels per side")
    if view not in SOURCE_MM:
        raise InputError(f"unknown view {view!r}", field="view", remedy="use PA or AP")
    rng = np.random.default_rng(seed)
    beam = _placed(torso, size, view, technique, rng)
    lines = project(attenuation(torso.hu, technique.energy_kev)[None], torso.affine, beam)[0]
    image = _exposed(lines, beam, technique, rng)
    masks = [torso.labels == LABELS[name] for name in SEGMENTS] + [lesion.mask for lesion in torso.lesions]
    paths = project(np.stack(masks), torso.affine, beam, tolerance=0.5)
    segmentation, boxes, ctr = _organs(paths[: len(SEGMENTS)])
    findings = _shadows(torso, beam, paths[len(SEGMENTS) :])
    seen = [{"name": one.name, "box": list(one.box)} for one in findings]
    return Radiograph(
        image=image,
        segmentation=segmentation,
        boxes=(*boxes, *seen),
        findings=findings,
        ctr=ctr,
        beam=beam,
    )


def _placed(
    torso: Torso, size: tuple[int, int], view: Direction, technique: Technique, rng: np.random.Generator
) -> Beam:
    """The patient before the detector: the field holds both lungs with a margin."""
    low, high = _extent((torso.labels == LABELS["right lung"]) | (torso.labels == LABELS["left lung"]), torso)
    body_low, body_high = _extent(torso.labels != LABELS["air"], torso)
    detector_y = body_high[1] + GAP_MM[view] if view == "PA" else body_low[1] - GAP_MM[view]
    source = SOURCE_MM[view] if technique.source_mm is None else technique.source_mm
    middle = (low + high) / 2
    away = abs(detector_y - middle[1])
    m = 1 / (1 - away / source)
    margin = rng.uniform([1.2, 1.1], [1.32, 1.22])  # above and below, right and left
    tall, wide = m * margin[0] * (high[2] - low[2]), m * margin[1] * (high[0] - low[0])
    shift = rng.normal(size=2) * 0.015 * (wide, tall)
    lean = technique.pose_deg * rng.normal(size=3) * (1, 0.5, 0.5)
    return Beam(
        view=view,
        size=size,
        pixel_mm=float(max(tall / size[0], wide / size[1])),
        source_mm=source,
        detector_y=float(detector_y),
        pivot_y=float(middle[1]),
        center=(float(middle[0] + shift[0]), float(middle[2] + shift[1] - 0.045 * tall)),
        turn=float(lean[0]),
        tilt=float(lean[1]),
        roll=float(lean[2]),
    )


def _extent(mask: np.ndarray, torso: Torso) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner in mm of what a mask covers."""
    ends = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(hit):
            raise InputError("the torso has no lungs or no body", field="torso.labels")
        ends.append((hit[0] - 0.5, hit[-1] + 0.5))
    step, origin = np.diag(torso.affine)[:3], torso.affine[:3, 3]
    corners = np.array(ends).T * step + origin
    return corners.min(axis=0), corners.max(axis=0)


def _exposed(
    lines: Float32[np.ndarray, "h w"], beam: Beam, technique: Technique, rng: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    """From line integrals to the picture."""
    pixel = beam.pixel_mm
    field = _field(beam, technique, rng)
    primary = np.exp(-lines) * field
    if technique.blur_mm:
        primary = blurred(primary, round(technique.blur_mm / pixel, 3))
    scattered = technique.scatter * blurred(primary, round(technique.scatter_mm / pixel, 1))
    arriving = (primary + scattered) / (1 + technique.scatter)
    if technique.grid_lines:
        # Averaged over a pixel, so that lamellae finer than pixels leave the moire they leave in practice.
        x = (np.arange(beam.size[1]) + 0.5) * pixel / technique.grid_pitch_mm
        arriving = arriving * (
            1 - technique.grid_lines * np.cos(2 * np.pi * x) * np.sinc(pixel / technique.grid_pitch_mm)
        )
    quanta = technique.dose * pixel**2
    counted = rng.poisson(np.minimum(arriving * quanta, 1e15)).astype(np.float32)
    depth = -np.log((counted + 1) / np.float32(quanta))
    image = _windowed(_processed(depth, pixel, technique), (depth > _BODY) & (field > 0.5), technique, rng)
    if technique.marker:
        _mark(image, beam, rng)
    return image


def _field(beam: Beam, technique: Technique, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
    """1 where the collimator lets quanta pass, with an edge as wide as the focal spot makes it."""
    covered = technique.collimation_mm * np.maximum(rng.uniform(-1.5, 1, size=4), 0) / beam.pixel_mm
    h, w = beam.size
    rows, columns = np.arange(h) + 0.5, np.arange(w) + 0.5
    across = np.minimum(columns - covered[0], w - covered[1] - columns)
    down = np.minimum(rows - covered[2], h - covered[3] - rows)
    inside = np.minimum(down[:, None], across[None])
    return (
        np.clip(inside + 0.5, 0.002, 1).astype(np.float32) if covered.any() else np.ones((h, w), np.float32)
    )


def _processed(
    depth: Float32[np.ndarray, "h w"], pixel: float, technique: Technique
) -> Float32[np.ndarray, "h w"]:
    """Contrast by size, as digital systems show it: large structures damped, fine ones raised."""
    coarse = blurred(depth, round(technique.latitude_mm / pixel, 1))
    made = depth + (technique.latitude - 1) * coarse
    if technique.sharpening:
        made += technique.sharpening * (depth - blurred(depth, round(technique.sharpening_mm / pixel, 2)))
    return made


def _windowed(
    depth: Float32[np.ndarray, "h w"],
    body: Bool[np.ndarray, "h w"],
    technique: Technique,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "h w"]:
    """Gray values: the body's 1st and 99th percentile come to lie at fixed values, the rest is cut to 0..1."""
    low, high = np.percentile(depth[body] if body.any() else depth, [1.0, 99.0])
    brightness, contrast = technique.exposure * rng.normal(size=2)
    value = (depth - low) / max(float(high - low), 1e-6) * (_DENSE - _LUCENT) + _LUCENT
    value = (value - 0.5) * math.exp(contrast) + 0.5
    power = technique.gamma * math.exp(-2 * brightness)
    return (np.clip(value, 0, 1) ** np.float32(power)).astype(np.float32)


def _mark(image: Float32[np.ndarray, "h w"], beam: Beam, rng: np.random.Generator) -> None:
    """Burn a letter of lead into an upper corner, on the side that it names."""
    h, w = image.shape
    letter = "L" if rng.random() < 0.7 else "R"
    tall = max(0.045 * h, 4.0)
    left = (0.93 * w - 0.6 * tall if letter == "L" else 0.07 * w) + rng.normal() * 0.01 * w
    top = (0.05 + 0.03 * rng.random()) * h
    rows, columns = np.mgrid[0:h, 0:w][:, : math.ceil(top + 2 * tall) + 1]
    x, y = (columns + 0.5 - left) / tall, (rows + 0.5 - top) / tall
    distance = np.full(x.shape, np.inf)
    for line in _STROKES[letter]:
        for start, end in itertools.pairwise(line):
            distance = np.minimum(distance, _from_segment(x, y, start, end))
    ink = np.clip(0.5 + (0.09 - distance) * tall, 0, 1).astype(np.float32)
    part = image[: len(ink)]
    part += ink * (np.float32(1) - part)


def _from_segment(
    x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float]
) -> np.ndarray:
    along = np.array(end) - start
    t = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
    return np.hypot(x - start[0] - t * along[0], y - start[1] - t * along[1])


def _organs(
    paths: Float32[np.ndarray, "3 h w"],
) -> tuple[UInt8[np.ndarray, "h w"], list[dict[str, Any]], float]:
    """Segmentation, boxes and cardiothoracic ratio."""
    segmentation = np.zeros(paths.shape[1:], dtype=np.uint8)
    boxes, wide = [], {}
    for (name, number), path in zip(SEGMENTS.items(), paths):
        mask = path >= LEAST_MM[name]
        segmentation[mask] = number
        if mask.any():
            boxes.append({"name": name, "box": list(_box(mask))})
            wide[name] = boxes[-1]["box"]
    if len(wide) < len(SEGMENTS):
        return segmentation, boxes, math.nan
    chest = max(wide["left lung"][2], wide["right lung"][2]) - min(
        wide["right lung"][0], wide["left lung"][0]
    )
    return segmentation, boxes, float((wide["heart"][2] - wide["heart"][0]) / chest)


def _box(mask: Bool[np.ndarray, "h w"]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _shadows(torso: Torso, beam: Beam, paths: Float32[np.ndarray, "k h w"]) -> tuple[Shadow, ...]:
    """Findings in the picture, in the torso's order."""
    centers = beam.pixels(np.array([lesion.center_mm for lesion in torso.lesions]).reshape(-1, 3))
    found = []
    for lesion, path, (x, y) in zip(torso.lesions, paths, centers.tolist()):
        if path.any():
            mask = path >= _SHADOW_SHARE * path.max()
            found.append(
                Shadow(name=lesion.kind, severity=lesion.severity, center=(x, y), box=_box(mask), mask=mask)
            )
    return tuple(found)
