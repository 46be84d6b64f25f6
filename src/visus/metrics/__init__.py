"""Scores that scikit-learn and torchmetrics lack, or get wrong in small or lopsided test sets.

Arrays or tensors in, floats out. Metrics that take `weight` accept one weight per item (n,), or several sets
of weights (r, n) and then return an array (r,): `bootstrap_interval` uses that to score all resamples at
once.
"""

from visus.metrics.calibration import (
    Reliability,
    entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from visus.metrics.classification import accuracy, auc, balanced_accuracy, macro_f1, recall_per_class
from visus.metrics.intervals import bootstrap_interval
from visus.metrics.regression import mae, mse, r2

__all__ = [
    "Reliability",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "bootstrap_interval",
    "entropy",
    "expected_calibration_error",
    "fit_temperature",
    "macro_f1",
    "mae",
    "mse",
    "r2",
    "recall_per_class",
    "reliability",
]
