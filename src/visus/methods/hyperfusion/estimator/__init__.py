"""The estimator of one model, the ensemble of several, cross-validation."""

from visus.methods.hyperfusion.estimator.ensemble import Ensemble, combine
from visus.methods.hyperfusion.estimator.explain import Response, explain
from visus.methods.hyperfusion.estimator.folds import CrossValidation, cross_validate
from visus.methods.hyperfusion.estimator.fusion import HyperFusion

__all__ = [
    "CrossValidation",
    "Ensemble",
    "HyperFusion",
    "Response",
    "combine",
    "cross_validate",
    "explain",
]
