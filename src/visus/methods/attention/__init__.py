"""Optimized, Efficient and Super Attention (arXiv 2403.01643): layers, conversion, costs, and a classifier.

The layers need neither the engine nor a configuration and live in `visus.nn.attention`, where other methods
find them too. Every name is loaded when first asked for: the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.attention.config import AttentionConfig
    from visus.methods.attention.estimator import AttentionClassifier
    from visus.nn.attention import (
        EfficientAttention,
        OptimizedAttention,
        StandardAttention,
        SuperAttention,
        cost,
        replace_attention,
    )

__all__ = [
    "AttentionClassifier",
    "AttentionConfig",
    "EfficientAttention",
    "OptimizedAttention",
    "StandardAttention",
    "SuperAttention",
    "cost",
    "replace_attention",
]

_HOME = {
    "AttentionClassifier": "visus.methods.attention.estimator",
    "AttentionConfig": "visus.methods.attention.config",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME.get(name, "visus.nn.attention")), name)
