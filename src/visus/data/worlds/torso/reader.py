"""A simulated reader of frontal radiographs: where he looks, how long, and what he overlooks.

A reading has four parts: first glances at the middle of the picture; a search through zones of both lungs,
the hila and the heart in the order of the reader's habit; a dwell on every abnormality noticed on the way;
and second looks at the end. Abnormalities are overlooked the more often the fainter they are, and healthy
places are sometimes dwelt upon, so that gaze tells about the diagnosis without giving it away.

The numbers are chosen, not fitted: they give 25 to 60 fixations of about 0.3 s in 7 to 20 s, most of them on
the lungs, with dwell times on noticed lesions of about 0.5 to 3 s.
Source of the pattern: Kundel, Nodine & Carmody, Invest Radiol 13 (1978): search, recognition, decision errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

from visus.data.worlds.torso.radiograph import Radiograph, Shadow
from visus.errors import InputError
from visus.records import record

Order = Literal["columns", "zigzag", "loop"]
ORDERS: tuple[Order, ...] = ("columns", "zigzag", "loop")

NOTICING = {"consolidation": 2.4, "haze": 0.8}
"""Patches hide behind ribs and heart; haze changes both lungs."""
_LEVELS = {"apex": 0.12, "upper": 0.32, "mid": 0.54, "lower": 0.76}
_ACROSS = {"apex": 0.55, "upper": 0.5, "mid": 0.5, "lower": 0.5}
_SIDES = ("right", "left")
CENTRAL = ("right hilum", "left hilum", "mediastinum", "right heart border", "left heart border")
_SIGNS = {
    "cardiomegaly": ("left heart border", "left heart border", "right heart border"),
    "haze": ("right hilum", "left hilum"),
}
_ORDERED = {
    "columns": [(side, level) for side in _SIDES for level in (*_LEVELS, "angle")],
    "zigzag": [(side, level) for level in (*_LEVELS, "angle") for side in _SIDES],
    "loop": [("right", level) for level in ("angle", "lower", "mid", "upper", "apex")]
    + [("left", level) for level in (*_LEVELS, "angle")],
}


@record
class ReaderPolicy:
    """The numbers of a reading. Lengths are shares of the width of both lungs together."""

    first_glances: float = 2.0
    """Mean number of glances at the middle before the search."""
    visit: float = 0.9
    """Chance that a zone of the lungs is looked at during the search; central zones are visited alike."""
    stay: float = 0.75
    """Mean number of fixations in a visited zone beyond the first."""
    spread: float = 0.045
    """Standard deviation of a fixation around what it is meant for."""
    stray: float = 0.06
    """Share of fixations that land anywhere in the picture."""
    duration: float = 0.27
    """Median duration of a fixation in seconds."""
    duration_sd: float = 0.45
    """Standard deviation of the logarithm of durations."""
    lesion_longer: float = 1.35
    """Factor on the median duration on something suspicious."""
    dwell: float = 2.0
    """Mean number of fixations on an abnormality of middling severity, or a false suspicion, beyond the first."""
    second_looks: float = 1.2
    """Mean number of fixations that return to an abnormality at the end."""
    suspicion: float = 0.35
    """Chance that a healthy zone is dwelt upon, whatever the diagnosis."""
    half_noticed: float = 0.25
    """Severity (0..1) at which an abnormality is noticed in half of the readings, times `NOTICING` of its kind."""
    noticing_slope: float = 0.1
    """Scale of the logistic curve around it."""
    fewest: int = 25
    most: int = 60
    """Bounds of the number of fixations; short readings are filled up with more search."""
    habit: float = 0.35
    """Standard deviation of the logarithm of a reader's own preference for each zone."""
    tempo: float = 0.12
    """Standard deviation of the logarithm of a reader's own pace."""


@record
class Habits:
    """What one reader does in all readings: order of the search, preferences, pace."""

    order: Order = "zigzag"
    preference: dict[str, float] | None = None
    """Factor on the chance of a second fixation, per zone; None is 1 everywhere."""
    pace: float = 1.0
    """Factor on durations."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """Fixations in time."""

    fixations: Float32[np.ndarray, "n 3"]
    """x (column), y (row) in pixels of the radiograph with centers at +0.5, duration in seconds."""
    start: Float64[np.ndarray, " n"]
    """Seconds from the first sight of the picture."""
    noticed: tuple[bool, ...]
    """Per finding of the radiograph."""


@dataclass(frozen=True)
class Zone:
    """A place worth looking at, in pixels."""

    x: float
    y: float
    wide: float
    high: float


def habits(rng: np.random.Generator, policy: ReaderPolicy | None = None) -> Habits:
    """Draw a reader."""
    policy = policy or ReaderPolicy()
    names = [f"{side} {level}" for side in _SIDES for level in (*_LEVELS, "angle")] + list(CENTRAL)
    return Habits(
        order=ORDERS[int(rng.integers(len(ORDERS)))],
        preference={name: float(np.exp(policy.habit * rng.normal())) for name in names},
        pace=float(np.exp(policy.tempo * rng.normal())),
    )


def zones(radiograph: Radiograph) -> dict[str, Zone]:
    """The places of a systematic search: per lung apex, upper, mid and lower zone and costophrenic angle; hila,
    mediastinum and both borders of the heart.

    Raises
    ------
    InputError : lungs or heart are not in the picture.
    """
    regions = {box["name"]: box["box"] for box in radiograph.boxes}
    missing = [name for name in ("right lung", "left lung", "heart") if name not in regions]
    if missing:
        raise InputError(
            f"the picture shows no {missing[0]}", field="boxes", remedy="use a frontal radiograph"
        )
    found: dict[str, Zone] = {}
    for side in _SIDES:
        x1, y1, x2, y2 = regions[f"{side} lung"]
        wide, high = x2 - x1, y2 - y1
        lateral, inward = (x1, 1.0) if side == "right" else (x2, -1.0)
        for level, share in _LEVELS.items():
            x = lateral + inward * _ACROSS[level] * wide
            found[f"{side} {level}"] = Zone(x, y1 + share * high, 0.2 * wide, 0.07 * high)
        found[f"{side} angle"] = Zone(
            lateral + inward * 0.13 * wide, y2 - 0.07 * high, 0.06 * wide, 0.05 * high
        )
        found[f"{side} hilum"] = Zone(
            lateral + inward * 0.88 * wide, y1 + 0.48 * high, 0.08 * wide, 0.07 * high
        )
    x1, y1, x2, y2 = regions["heart"]
    wide, high = x2 - x1, y2 - y1
    found["right heart border"] = Zone(x1 + 0.04 * wide, y1 + 0.62 * high, 0.04 * wide, 0.15 * high)
    found["left heart border"] = Zone(x2 - 0.08 * wide, y1 + 0.66 * high, 0.06 * wide, 0.15 * high)
    middle = (regions["right lung"][2] + regions["left lung"][0]) / 2
    top = regions["right lung"][1]
    found["mediastinum"] = Zone(middle, top + 0.75 * (y1 - top), 0.12 * wide, 0.15 * high)
    return found


def read(
    radiograph: Radiograph,
    rng: np.random.Generator,
    policy: ReaderPolicy | None = None,
    *,
    reader: Habits | None = None,
) -> Reading:
    """One reading of a radiograph; the same generator state gives the same reading."""
    policy, reader = policy or ReaderPolicy(), reader or Habits()
    places = zones(radiograph)
    regions = [box["box"] for box in radiograph.boxes if box["name"].endswith("lung")]
    unit = max(box[2] for box in regions) - min(box[0] for box in regions)
    plan, noticed = _plan(radiograph.findings, places, rng, policy, reader)
    points = np.array([_aim(target, places, rng) for target, _ in plan])
    h, w = radiograph.image.shape
    points += policy.spread * unit * rng.normal(size=points.shape)
    astray = rng.random(len(points)) < policy.stray
    points[astray] = rng.random((int(astray.sum()), 2)) * (w, h)
    points = np.clip(points, 0.01, np.array([w, h]) - 0.01)
    longer = np.where([suspicious for _, suspicious in plan], policy.lesion_longer, 1.0)
    seconds = reader.pace * policy.duration * longer * np.exp(policy.duration_sd * rng.normal(size=len(plan)))
    jumps = np.linalg.norm(np.diff(points, axis=0), axis=1) / unit
    saccades = 0.025 + 0.06 * jumps  # seconds: a floor, and longer ones for longer ways
    start = np.concatenate([[0.0], np.cumsum(seconds[:-1] + saccades)])
    fixations = np.column_stack([points, seconds]).astype(np.float32)
    return Reading(fixations=fixations, start=start, noticed=noticed)


def trace(
    reading: Reading, rng: np.random.Generator, *, rate: float = 60.0, jitter: float = 1.0
) -> Float64[np.ndarray, "m 4"]:
    """What an eye tracker records of a reading: time (s), x, y (pixels), number of the fixation or -1 in between.

    The eye trembles around every fixation with a standard deviation of `jitter` pixels (correlated from
    sample to sample) and crosses the saccades in straight lines.
    """
    if not (rate > 0 and jitter >= 0):
        raise InputError(f"no trace at {rate} per second with jitter {jitter}", field="rate")
    start, seconds = reading.start, reading.fixations[:, 2].astype(np.float64)
    time = np.arange(0, start[-1] + seconds[-1], 1 / rate)
    number = np.searchsorted(start, time, side="right") - 1
    within = time < (start + seconds)[number]
    knots = np.stack([start, start + seconds], axis=1).ravel()
    places = np.repeat(reading.fixations[:, :2].astype(np.float64), 2, axis=0)
    path = np.stack([np.interp(time, knots, places[:, axis]) for axis in (0, 1)], axis=1)
    tremor = rng.normal(size=path.shape)
    for i in range(1, len(tremor)):
        tremor[i] = 0.8 * tremor[i - 1] + 0.6 * tremor[i]  # stays of unit variance
    return np.column_stack([time, path + jitter * tremor, np.where(within, number, -1)])


Target = Zone | Shadow


def _plan(
    findings: tuple[Shadow, ...],
    places: dict[str, Zone],
    rng: np.random.Generator,
    policy: ReaderPolicy,
    reader: Habits,
) -> tuple[list[tuple[Target, bool]], tuple[bool, ...]]:
    """What every fixation is meant for and whether it is suspicious, in order; and which findings were noticed."""
    half = [policy.half_noticed * NOTICING.get(one.name, 1.0) for one in findings]
    chance = [_logistic((one.severity - at) / policy.noticing_slope) for one, at in zip(findings, half)]
    noticed = tuple(bool(rng.random() < p) for p in chance)
    trigger: dict[str, list[Shadow]] = {}
    for one, seen in zip(findings, noticed):
        if seen:
            trigger.setdefault(_nearest(one, places), []).append(one)
    doubted = str(rng.choice(list(places))) if rng.random() < policy.suspicion else None
    middle = [places["mediastinum"], places["right hilum"], places["left hilum"], places["left heart border"]]
    plan: list[tuple[Target, bool]] = [
        (middle[int(rng.integers(len(middle)))], False) for _ in range(1 + rng.poisson(policy.first_glances))
    ]
    route = _route(reader.order, rng)
    for name in route:
        if rng.random() > policy.visit and name not in trigger:
            continue
        liked = (reader.preference or {}).get(name, 1.0)
        plan += [(places[name], False)] * (1 + rng.poisson(policy.stay * liked))
        for one in trigger.pop(name, ()):
            plan += [(one, True)] * (1 + _some(policy.dwell * (0.5 + one.severity), rng))
        if name == doubted:
            plan += [(places[name], True)] * (1 + _some(policy.dwell, rng))
    for one, seen in zip(findings, noticed):
        plan += [(one, True)] * (seen * _some(policy.second_looks * (0.5 + one.severity), rng))
    while len(plan) < policy.fewest:
        plan.insert(int(rng.integers(len(plan) + 1)), (places[str(rng.choice(route))], False))
    return plan[: policy.most], noticed


def _route(order: Order, rng: np.random.Generator) -> list[str]:
    """Lungs in the reader's order, with the middle of the picture before, between or after."""
    route = [f"{side} {level}" for side, level in _ORDERED[order]]
    at = int(rng.choice([0, len(route) // 2, len(route)]))
    return route[:at] + [str(name) for name in rng.permutation(CENTRAL)] + route[at:]


def _nearest(finding: Shadow, places: dict[str, Zone]) -> str:
    x, y = finding.center
    return min(places, key=lambda name: (places[name].x - x) ** 2 + (places[name].y - y) ** 2)


def _aim(target: Target, places: dict[str, Zone], rng: np.random.Generator) -> tuple[float, float]:
    """A point of a zone or a finding; signs that fill half the chest are judged at characteristic places."""
    if isinstance(target, Shadow):
        signs = _SIGNS.get(target.name)
        if signs is None:
            return target.somewhere(rng)
        target = places[signs[int(rng.integers(len(signs)))]]
    return target.x + target.wide * rng.normal(), target.y + target.high * rng.normal()


def _some(mean: float, rng: np.random.Generator) -> int:
    """A number from 0 of this mean (geometric: mostly few, at times many)."""
    return int(rng.geometric(1 / (1 + mean))) - 1


def _logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
