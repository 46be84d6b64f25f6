"""Scores that scikit-learn and torchmetrics lack, or get wrong in small or lopsided test sets.

Arrays or tensors in, floats out. Metrics that take `weight` accept one weight per item (n,), or several sets
of weights (r, n) and then return an array (r,): `bootstrap_interval` uses that to score all resamples at
once. Scores of maps of gaze give one value per image. Scores of videos, detections and rankings take tensors
on any device; those of videos give one value per video.
"""

from visus.metrics.arrays import mean_of_defined
from visus.metrics.calibration import (
    Reliability,
    entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from visus.metrics.classification import (
    accuracy,
    auc,
    auc_micro,
    auc_per_class,
    balanced_accuracy,
    f1_per_class,
    macro_f1,
    precision_per_class,
    recall_per_class,
)
from visus.metrics.detection import (
    Boxes,
    area_under_precision,
    box_average_precision,
    box_iou,
    property_average_precision,
)
from visus.metrics.intervals import bootstrap_interval
from visus.metrics.paired import (
    AreaComparison,
    PairedComparison,
    cohens_dz,
    compare_paired,
    delong,
    delong_covariance,
    holm,
    paired_t_test,
    sign_flip_test,
    wilcoxon_test,
)
from visus.metrics.regression import mae, mse, r2
from visus.metrics.retrieval import mean_average_precision, precision_at_k, recall_at_k, two_way_recall
from visus.metrics.saliency import (
    auc_judd,
    correlation,
    fixation_counts,
    information_gain,
    kl_divergence,
    nss,
    shuffled_auc,
    similarity,
)
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
    "AreaComparison",
    "Boxes",
    "PairedComparison",
    "Reliability",
    "accuracy",
    "adjusted_rand_index",
    "area_under_precision",
    "auc",
    "auc_judd",
    "auc_micro",
    "auc_per_class",
    "balanced_accuracy",
    "bootstrap_interval",
    "boundary_similarity",
    "box_average_precision",
    "box_iou",
    "cohens_dz",
    "compare_paired",
    "correlation",
    "delong",
    "delong_covariance",
    "entropy",
    "expected_calibration_error",
    "f1_per_class",
    "fit_temperature",
    "fixation_counts",
    "foreground_ari",
    "holm",
    "identity_switches",
    "information_gain",
    "j_and_f",
    "kl_divergence",
    "lost_after_gap",
    "macro_f1",
    "mae",
    "matched_slots",
    "mean_average_precision",
    "mean_best_overlap",
    "mean_iou",
    "mean_of_defined",
    "mse",
    "nss",
    "object_iou",
    "overlaps",
    "paired_t_test",
    "precision_at_k",
    "precision_per_class",
    "property_average_precision",
    "r2",
    "reappearance_ari",
    "reappeared",
    "recall_at_k",
    "recall_per_class",
    "region_similarity",
    "reliability",
    "shuffled_auc",
    "sign_flip_test",
    "similarity",
    "two_way_recall",
    "wilcoxon_test",
]
