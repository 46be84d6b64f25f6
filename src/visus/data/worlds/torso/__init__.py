"""People's trunks as labelled CT volumes, radiographs of them and where readers look."""

from visus.data.worlds.torso.files import read_torso, write_torso
from visus.data.worlds.torso.findings import Finding, Lesion, draw_findings
from visus.data.worlds.torso.labels import CLASSES, FINDINGS, LABELS
from visus.data.worlds.torso.people import Person, draw_person
from visus.data.worlds.torso.radiograph import Radiograph, Technique
from visus.data.worlds.torso.reader import ReaderPolicy, Reading
from visus.data.worlds.torso.volume import Torso, build, cardiothoracic_ratio, volumes_ml
from visus.data.worlds.torso.world import TorsoWorld, make

__all__ = [
    "CLASSES",
    "FINDINGS",
    "LABELS",
    "Finding",
    "Lesion",
    "Person",
    "Radiograph",
    "ReaderPolicy",
    "Reading",
    "Technique",
    "Torso",
    "TorsoWorld",
    "build",
    "cardiothoracic_ratio",
    "draw_findings",
    "draw_person",
    "make",
    "read_torso",
    "volumes_ml",
    "write_torso",
]
