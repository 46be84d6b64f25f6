"""STATM (2403.15245): slots follow the objects of a video, foretold from a memory of their past.

The parts, for slot models of your own: the predictor `STATM` with its memory, and `SlotVideo` around it. Every
name is loaded when first asked for: the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.statm.baselines import build_predictor
    from visus.methods.statm.config import StatmConfig
    from visus.methods.statm.estimator import StatmTracker
    from visus.methods.statm.model.predictors import STATM, Past
    from visus.methods.statm.model.video import SlotVideo, slot_video

_HOMES = {
    "STATM": "visus.methods.statm.model.predictors",
    "Past": "visus.methods.statm.model.predictors",
    "SlotVideo": "visus.methods.statm.model.video",
    "StatmConfig": "visus.methods.statm.config",
    "StatmTracker": "visus.methods.statm.estimator",
    "build_predictor": "visus.methods.statm.baselines",
    "slot_video": "visus.methods.statm.model.video",
}

__all__ = ["STATM", "Past", "SlotVideo", "StatmConfig", "StatmTracker", "build_predictor", "slot_video"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
