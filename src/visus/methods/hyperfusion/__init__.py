"""HyperFusion (2403.13319): a table row emits the weights of layers of an image network.

The layers themselves, for networks of your own, are those of `visus.nn.hyper`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.hyperfusion.config import HyperFusionConfig
    from visus.methods.hyperfusion.estimator import Ensemble, HyperFusion, cross_validate, explain
    from visus.methods.hyperfusion.model import AgeNet as AgeNet
    from visus.methods.hyperfusion.model import FusionResNet as FusionResNet
    from visus.methods.hyperfusion.model import TabularNet as TabularNet
    from visus.nn.hyper import HyperConv1d as HyperConv1d
    from visus.nn.hyper import HyperConv2d, HyperLinear, hyperize
    from visus.nn.hyper import HyperConv3d as HyperConv3d

_HOMES = {
    "AgeNet": "visus.methods.hyperfusion.model",
    "Ensemble": "visus.methods.hyperfusion.estimator",
    "FusionResNet": "visus.methods.hyperfusion.model",
    "HyperConv1d": "visus.nn.hyper",
    "HyperConv2d": "visus.nn.hyper",
    "HyperConv3d": "visus.nn.hyper",
    "HyperFusion": "visus.methods.hyperfusion.estimator",
    "HyperFusionConfig": "visus.methods.hyperfusion.config",
    "HyperLinear": "visus.nn.hyper",
    "TabularNet": "visus.methods.hyperfusion.model",
    "cross_validate": "visus.methods.hyperfusion.estimator",
    "explain": "visus.methods.hyperfusion.estimator",
    "hyperize": "visus.nn.hyper",
}

__all__ = [
    "Ensemble",
    "HyperConv2d",
    "HyperFusion",
    "HyperFusionConfig",
    "HyperLinear",
    "cross_validate",
    "explain",
    "hyperize",
]


def __getattr__(name: str) -> Any:
    # lazy, so that the command line can read verbs.py without importing torch
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
