"""People's trunks as labelled CT volumes, radiographs of them and where readers look."""

from visus.data.worlds.torso.files import read_torso, write_torso
from visus.data.worlds.torso.findings import Finding, Lesion, draw_findings
from visus.data.worlds.torso.labels import CLASSES, FINDINGS, LABELS
from visus.data.worlds.torso.people import Person, draw_person
from visus.data.worlds.torso.volume import Torso, build, cardiothoracic_ratio, volumes_ml

__all__ = [
    "CLASSES",
    "FINDINGS",
    "LABELS",
    "Finding",
    "Lesion",
    "Person",
    "Torso",
    "build",
    "cardiothoracic_ratio",
    "draw_findings",
    "draw_person",
    "read_torso",
    "volumes_ml",
    "write_torso",
]
