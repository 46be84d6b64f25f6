"""Frontal radiographs with diagnoses and a reader's gaze, in the form that EGD-CXR has after loading.

Diagnoses come in equal shares. Every person is drawn once; one in twenty has a second picture with findings
of its own. Findings that mean nothing for the diagnosis occur in all classes (`findings.draw_findings`), so do
large hearts and false suspicions of the reader; failing hearts may be of normal size, and faint findings are
overlooked: neither picture nor gaze gives the diagnosis away.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from visus.data.gaze.table import GazeTable, View
from visus.data.worlds.torso.findings import Finding, draw_findings
from visus.data.worlds.torso.labels import CLASSES
from visus.data.worlds.torso.people import Person, draw_person
from visus.data.worlds.torso.projection import Direction
from visus.data.worlds.torso.radiograph import Radiograph, Technique, radiograph
from visus.data.worlds.torso.reader import Habits, ReaderPolicy, Reading, habits, read
from visus.data.worlds.torso.volume import FIELD_MM, Torso, build
from visus.errors import InputError

Part = Literal["train", "test"]

SECOND_PICTURE = 0.05
"""Chance that a person has another picture."""
NORMAL_HEART = 0.25
"""Share of CHF without an enlarged heart."""
LARGE_HEART = 0.2
"""Share of the other classes with an enlarged heart, of at most half severity."""
STRENGTH = {"haze": 0.4, "consolidation": 1.5}
"""Factors on the severities that `findings.draw_findings` draws, so that both diseases are about as hard to see."""
DECIDING = {"Normal": (), "CHF": ("cardiomegaly", "haze"), "pneumonia": ("consolidation",)}
"""Findings that make the diagnosis."""
BEDSIDE = 0.35
"""Share of AP pictures in a world of mixed views."""
_VOXELS_PER_PIXEL = 0.5
_FEWEST_VOXELS = 48
_PARTS = {"train": 1, "test": 2}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one picture is made from; `seed` chooses anatomy's details, pose, noise and reading."""

    person: Person
    diagnosis: str
    findings: tuple[Finding, ...]
    view: Direction
    seed: tuple[int, ...]

    def torso(self, shape: tuple[int, int, int]) -> Torso:
        """The volume, of `shape` voxels (x, y, z)."""
        return build(self.person, findings=self.findings, shape=shape)

    def radiograph(self, size: tuple[int, int], technique: Technique | None = None) -> Radiograph:
        """The picture with its truth, at any size; at the world's size the world's own."""
        torso = self.torso(volume_shape(size))
        return radiograph(torso, size=size, view=self.view, seed=(*self.seed, 0), technique=technique)

    def reading(self, picture: Radiograph, policy: ReaderPolicy, reader: Habits) -> Reading:
        """A reading of the case's picture at any size."""
        return read(picture, np.random.default_rng((*self.seed, 1)), policy, reader=reader)


@dataclass(frozen=True, kw_only=True)
class TorsoWorld:
    """Two parts without a common person, and the truth about every picture.

    Truth columns: dicom_id, diagnosis, severity (of the diagnosis' own findings, 0 for Normal), view, ctr
    (cardiothoracic ratio in the picture), age, sex, bmi, pixel_mm, and per row a list `findings` of dicts
    {name, severity, center: (x, y), box, noticed} in pixels (noticed by the reader).
    """

    train: GazeTable
    test: GazeTable
    train_truth: pd.DataFrame
    test_truth: pd.DataFrame
    train_cases: tuple[Case, ...]
    test_cases: tuple[Case, ...]
    train_readings: tuple[Reading, ...]
    """Of all pictures, including those whose gaze the table leaves out."""
    test_readings: tuple[Reading, ...]


def make(
    *,
    n: int = 400,
    n_test: int = 200,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    difficulty: float = 0.3,
    gaze_share: float = 1.0,
    view: Direction | Literal["mixed"] = "PA",
    technique: Technique | None = None,
) -> TorsoWorld:
    """Draw a world; target `diagnosis` (Normal, CHF, pneumonia), group `patient_id`.

    Frames have the columns of EGD-CXR: dicom_id, patient_id, gender, anchor_age (a band of ten years),
    diagnosis. Pictures are held as 8 bits.

    Parameters
    ----------
    n, n_test : pictures in each part.
    size : (height, width) in pixels.
    seed : chooses everything; a part does not depend on the other's size.
    difficulty : 0 (plain) to 1 (faint): severity of findings, see `findings.draw_findings`.
    gaze_share : share of the pictures in each part that come with gaze.
    view : `PA`, `AP`, or `mixed` (35 % AP, whatever the diagnosis).

    Raises
    ------
    InputError : no pictures, pictures below 32 pixels, a share or difficulty outside 0..1, an unknown view.
    """
    for field, count in (("n", n), ("n_test", n_test)):
        if count < 1:
            raise InputError("a part without pictures", field=field, remedy="give at least 1")
    for field, share in (("gaze_share", gaze_share), ("difficulty", difficulty)):
        if not 0 <= share <= 1:
            raise InputError(f"is {share}", field=field, remedy="give a number from 0 to 1")
    if len(size) != 2 or min(size) < 32:
        raise InputError(f"is {tuple(size)}", field="size", remedy="at least 32 pixels per side")
    if view not in ("PA", "AP", "mixed"):
        raise InputError(f"unknown view {view!r}", field="view", remedy="use PA, AP or mixed")
    reader = habits(np.random.default_rng((seed, 0)))
    made: dict[str, Any] = {}
    for part, count in (("train", n), ("test", n_test)):
        frame, cases = _clinic(count, (seed, _PARTS[part]), difficulty, view)
        shown = _shown(count, gaze_share, (seed, _PARTS[part], 3))
        table, truth, readings = _taken(frame, cases, (int(size[0]), int(size[1])), shown, reader, technique)
        made |= {part: table, f"{part}_truth": truth, f"{part}_cases": cases, f"{part}_readings": readings}
    return TorsoWorld(**made)


def volume_shape(size: tuple[int, int]) -> tuple[int, int, int]:
    """Voxels (x, y, z) that are fine enough for pictures of this size: about two pixels each, at least 48 across.

    >>> volume_shape((64, 64)), volume_shape((320, 256))
    ((48, 36, 48), (160, 120, 160))
    """
    across = max(_FEWEST_VOXELS, math.ceil(_VOXELS_PER_PIXEL * max(size)))
    return across, round(across * FIELD_MM[1] / FIELD_MM[0]), across


def _clinic(
    count: int, seed: tuple[int, int], difficulty: float, view: Direction | Literal["mixed"]
) -> tuple[pd.DataFrame, tuple[Case, ...]]:
    """People and what they have: one row and one case per picture."""
    rows: list[dict[str, Any]] = []
    cases: list[Case] = []
    for i in range(count):
        rng = np.random.default_rng((*seed, 0, i))
        again = (
            rng.random() < SECOND_PICTURE and i > 0 and rows[-1]["patient_id"] != rows[i - 2]["patient_id"]
        )
        person = cases[-1].person if again else draw_person(rng)
        # Every three pictures hold each class once.
        order = np.random.default_rng((*seed, 1, i // len(CLASSES))).permutation(len(CLASSES))
        diagnosis = CLASSES[int(order[i % len(CLASSES)])]
        chosen: Direction = view if view != "mixed" else ("AP" if rng.random() < BEDSIDE else "PA")
        findings = _ambiguous(draw_findings(diagnosis, rng, difficulty), diagnosis, rng)
        cases.append(
            Case(person=person, diagnosis=diagnosis, findings=findings, view=chosen, seed=(*seed, 2, i))
        )
        digits, decade = rng.bytes(20).hex(), 10 * int(person.age // 10)
        rows.append(
            {
                "dicom_id": "-".join(digits[at : at + 8] for at in range(0, 40, 8)),
                "patient_id": rows[-1]["patient_id"] if again else f"{seed[1]}{i:07d}",
                "gender": person.sex,
                "anchor_age": f"{decade} - {decade + 10}",
                "diagnosis": diagnosis,
            }
        )
    return pd.DataFrame(rows), tuple(cases)


def _ambiguous(
    findings: tuple[Finding, ...], diagnosis: str, rng: np.random.Generator
) -> tuple[Finding, ...]:
    """Some failing hearts are not enlarged, some enlarged hearts do not fail, haze is faint and patches less so."""
    normal, large, mild = rng.random() < NORMAL_HEART, rng.random() < LARGE_HEART, rng.uniform(0, 0.5)
    made = [
        dataclasses.replace(one, severity=round(min(STRENGTH.get(one.kind, 1.0) * one.severity, 1.0), 3))
        for one in findings
        if one.kind != "cardiomegaly" or not normal
    ]
    if large and diagnosis != "CHF":
        made.append(Finding(kind="cardiomegaly", severity=round(float(mild), 3)))
    return tuple(made)


def _shown(count: int, share: float, seed: tuple[int, ...]) -> np.ndarray:
    """Which pictures come with gaze."""
    order = np.random.default_rng(seed).permutation(count)
    return order < round(share * count)


def _taken(
    frame: pd.DataFrame,
    cases: tuple[Case, ...],
    size: tuple[int, int],
    shown: np.ndarray,
    reader: Habits,
    technique: Technique | None,
) -> tuple[GazeTable, pd.DataFrame, tuple[Reading, ...]]:
    """The pictures of all cases, read one after the other."""
    images = np.empty((len(cases), 1, *size), dtype=np.uint8)
    regions = np.empty((len(cases), *size), dtype=np.uint8)
    readings, truth, boxes = [], [], []
    for i, case in enumerate(cases):
        picture = case.radiograph(size, technique)
        reading = case.reading(picture, ReaderPolicy(), reader)
        images[i, 0] = np.rint(255 * picture.image)
        regions[i] = picture.segmentation
        boxes.append(list(picture.boxes))
        readings.append(reading)
        truth.append({"dicom_id": frame["dicom_id"].iloc[i], **_truth(case, picture, reading)})
    table = GazeTable(
        frame,
        images=images,
        fixations=[reading.fixations if seen else None for reading, seen in zip(readings, shown)],
        target="diagnosis",
        group="patient_id",
        view=View(),
    ).with_regions(segmentation=regions, boxes=boxes)
    return table, pd.DataFrame(truth), tuple(readings)


def _truth(case: Case, picture: Radiograph, reading: Reading) -> dict[str, Any]:
    own = [one.severity for one in case.findings if one.kind in DECIDING[case.diagnosis]]
    found = [
        {"name": one.name, "severity": one.severity, "center": one.center, "box": one.box, "noticed": seen}
        for one, seen in zip(picture.findings, reading.noticed)
    ]
    return {
        "diagnosis": case.diagnosis,
        "severity": max(own, default=0.0),
        "view": case.view,
        "ctr": picture.ctr,
        "age": case.person.age,
        "sex": case.person.sex,
        "bmi": case.person.bmi,
        "pixel_mm": picture.beam.pixel_mm,
        "findings": found,
    }
