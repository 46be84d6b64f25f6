"""Clips, hints, crops, and the two trainings."""

from visus.methods.statm.training.crops import cropped
from visus.methods.statm.training.data import Lessons, lessons, whole_videos
from visus.methods.statm.training.inputs import (
    HintKind,
    Inputs,
    as_inputs,
    boxes_around,
    check_boxes,
    frames_of,
    resize_frames,
)
from visus.methods.statm.training.steps import (
    FutureTraining,
    Training,
    future_phase,
    phase,
    targets_of,
    validated,
)

__all__ = [
    "FutureTraining",
    "HintKind",
    "Inputs",
    "Lessons",
    "Training",
    "as_inputs",
    "boxes_around",
    "check_boxes",
    "cropped",
    "frames_of",
    "future_phase",
    "lessons",
    "phase",
    "resize_frames",
    "targets_of",
    "validated",
    "whole_videos",
]
