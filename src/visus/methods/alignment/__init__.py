"""Alignment (2211.01201): how well embeddings predict what people find odd, and a linear map that brings them closer.

Scores that need no aligner are those of `visus.metrics.odd_one_out` and `visus.metrics.rsa`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.alignment.config import AlignmentConfig
    from visus.methods.alignment.estimator import (
        Aligner,
        compare_models,
        concept_table,
        cross_validate,
        search,
    )
    from visus.methods.alignment.model import Transform

_HOMES = {
    "Aligner": "visus.methods.alignment.estimator",
    "AlignmentConfig": "visus.methods.alignment.config",
    "Transform": "visus.methods.alignment.model",
    "compare_models": "visus.methods.alignment.estimator",
    "concept_table": "visus.methods.alignment.estimator",
    "cross_validate": "visus.methods.alignment.estimator",
    "search": "visus.methods.alignment.estimator",
}

__all__ = [
    "Aligner",
    "AlignmentConfig",
    "Transform",
    "compare_models",
    "concept_table",
    "cross_validate",
    "search",
]


def __getattr__(name: str) -> Any:
    # lazy, so that the command line can read the verbs without importing torch
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
