"""The predictors STATM is compared with, and every predictor by name. All have one interface."""

from visus.methods.statm.baselines.build import KINDS, Kind, build_predictor
from visus.methods.statm.baselines.history import (
    HistoryPredictor,
    OCVPParallel,
    OCVPSequential,
    SlotFormerPredictor,
)
from visus.methods.statm.baselines.simple import (
    CopyPredictor,
    LSTMPredictor,
    MLPPredictor,
    VelocityPredictor,
)

__all__ = [
    "KINDS",
    "CopyPredictor",
    "HistoryPredictor",
    "Kind",
    "LSTMPredictor",
    "MLPPredictor",
    "OCVPParallel",
    "OCVPSequential",
    "SlotFormerPredictor",
    "VelocityPredictor",
    "build_predictor",
]
