"""How the slot interpreter learns: alignment, then writing on frozen slots, then few-shot classes."""

from visus.methods.nsi.training.alignment import Alignment, alignment_phases, phase
from visus.methods.nsi.training.classes import Classes, class_phases
from visus.methods.nsi.training.data import Scenes, pack, read_all, read_inputs, read_objects, unpack
from visus.methods.nsi.training.writing import Writing

__all__ = [
    "Alignment",
    "Classes",
    "Scenes",
    "Writing",
    "alignment_phases",
    "class_phases",
    "pack",
    "phase",
    "read_all",
    "read_inputs",
    "read_objects",
    "unpack",
]
