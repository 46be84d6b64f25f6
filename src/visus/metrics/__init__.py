"""Scores that scikit-learn and torchmetrics lack, or get wrong in small or lopsided test sets.

Arrays or tensors in, floats out. Metrics that take `weight` accept one weight per item (n,), or several sets
of weights (r, n) and then return an array (r,): `bootstrap_interval` uses that to score all resamples at
once. Scores of videos, detections and rankings take tensors on any device; those of videos give one value per
video.
"""

from visus.metrics.calibration import (
    Reliability,
    entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from visus.metrics.classification import accuracy, auc, balanced_accuracy, macro_f1, recall_per_class
from visus.metrics.detection import (
    Boxes,
    area_under_precision,
    box_average_precision,
    box_iou,
    property_average_precision,
)
from visus.metrics.intervals import bootstrap_interval
from visus.metrics.regression import mae, mse, r2
from visus.metrics.retrieval import mean_average_precision, precision_at_k, recall_at_k, two_way_recall
from visus.metrics.segmentation import (
    adjusted_rand_index,
    foreground_ari,
    matched_slots,
    mean_best_overlap,
    mean_iou,
    object_iou,
    overlaps,
)
from visus.metrics.tracking import (
    boundary_similarity,
    identity_switches,
    j_and_f,
    lost_after_gap,
    reappearance_ari,
    reappeared,
    region_similarity,
)

__all__ = [
    "Boxes",
    "Reliability",
    "accuracy",
    "adjusted_rand_index",
    "area_under_precision",
    "auc",
    "balanced_accuracy",
    "bootstrap_interval",
    "boundary_similarity",
    "box_average_precision",
    "box_iou",
    "entropy",
    "expected_calibration_error",
    "fit_temperature",
    "foreground_ari",
    "identity_switches",
    "j_and_f",
    "lost_after_gap",
    "macro_f1",
    "mae",
    "matched_slots",
    "mean_average_precision",
    "mean_best_overlap",
    "mean_iou",
    "mse",
    "object_iou",
    "overlaps",
    "precision_at_k",
    "property_average_precision",
    "r2",
    "reappearance_ari",
    "reappeared",
    "recall_at_k",
    "recall_per_class",
    "region_similarity",
    "reliability",
    "two_way_recall",
]
