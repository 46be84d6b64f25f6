"""Numbers and CT numbers of what a torso holds. Numbers are stable: files and results rely on them.

CT numbers (HU) are rounded textbook values for unenhanced CT at about 120 kV (ribs and clavicles toward those of
their dense shells, which voxels do not resolve); `Tissue.texture_hu` is the
spread of the slowly varying texture inside the tissue.
"""

from __future__ import annotations

from typing import NamedTuple


class Tissue(NamedTuple):
    number: int
    hu: float
    texture_hu: float


TISSUES = {
    "air": Tissue(0, -1000, 0),
    "skin": Tissue(1, 40, 5),
    "fat": Tissue(2, -100, 8),
    "muscle": Tissue(3, 52, 8),
    "right lung": Tissue(4, -820, 22),
    "left lung": Tissue(5, -820, 22),
    "airways": Tissue(6, -990, 0),
    "pulmonary vessels": Tissue(7, 42, 4),
    "heart": Tissue(8, 44, 5),
    "aorta": Tissue(9, 43, 4),
    "mediastinum": Tissue(10, 10, 25),
    "spine": Tissue(11, 260, 40),
    "ribs": Tissue(12, 850, 60),
    "costal cartilage": Tissue(13, 110, 20),
    "sternum": Tissue(14, 260, 40),
    "clavicles": Tissue(15, 900, 60),
    "scapulae": Tissue(16, 420, 60),
    "liver": Tissue(17, 58, 6),
    "spleen": Tissue(18, 48, 5),
    "right kidney": Tissue(19, 32, 5),
    "left kidney": Tissue(20, 32, 5),
    "stomach": Tissue(21, 25, 10),
    "colon": Tissue(22, -40, 60),
    "breasts": Tissue(23, -25, 20),
    "viscera": Tissue(24, -30, 35),
}
"""Mean HU where a voxel lies wholly inside; lungs, stomach and colon vary on purpose (person, gas)."""

LABELS = {name: tissue.number for name, tissue in TISSUES.items()}
"""Name -> number in `Torso.labels`. `air` is outside the body; `viscera` is the rest of the abdomen (bowel, fat);
`mediastinum` holds great vessels other than the aorta, esophagus, nodes and fat."""

FINDINGS = {
    "none": 0,
    "cardiomegaly": 1,
    "haze": 2,
    "effusion": 3,
    "consolidation": 4,
    "nodule": 5,
    "granuloma": 6,
    "fracture": 7,
    "device": 8,
}
"""Kind of a finding -> number in `Torso.findings`. Organ labels stay whole beneath findings."""

LUNGS = (LABELS["right lung"], LABELS["left lung"])
BONES = tuple(LABELS[name] for name in ("spine", "ribs", "sternum", "clavicles", "scapulae"))
CLASSES = ("Normal", "CHF", "pneumonia")
"""Diagnoses: as in EGD-CXR, in its order."""
