"""HyperFusion (2403.13319): a table row emits the weights of layers of an image network."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.hyperfusion.config import HyperFusionConfig
    from visus.methods.hyperfusion.estimator import Ensemble, HyperFusion, cross_validate, explain
    from visus.methods.hyperfusion.model import AgeNet, FusionResNet, TabularNet

_HOMES = {
    "AgeNet": "model",
    "Ensemble": "estimator",
    "FusionResNet": "model",
    "HyperFusion": "estimator",
    "HyperFusionConfig": "config",
    "TabularNet": "model",
    "cross_validate": "estimator",
    "explain": "estimator",
}

__all__ = [
    "AgeNet",
    "Ensemble",
    "FusionResNet",
    "HyperFusion",
    "HyperFusionConfig",
    "TabularNet",
    "cross_validate",
    "explain",
]


def __getattr__(name: str) -> Any:
    # lazy, so that the command line can read verbs.py without importing torch
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
