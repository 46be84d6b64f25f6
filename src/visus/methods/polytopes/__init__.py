"""Deep ReLU Networks Have Surprisingly Simple Polytopes (arXiv 2305.09145): every cell of a network, exactly.

`census(model, box)` needs neither the engine nor a configuration. Every name is loaded when first asked for:
the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.polytopes.config import PolytopesConfig
    from visus.methods.polytopes.estimator import Polytopes
    from visus.methods.polytopes.model import Complex, Slice, Tally, census, census_stream
    from visus.methods.polytopes.training import TrainingCensus

_HOMES = {
    "Complex": "visus.methods.polytopes.model",
    "Polytopes": "visus.methods.polytopes.estimator",
    "PolytopesConfig": "visus.methods.polytopes.config",
    "Slice": "visus.methods.polytopes.model",
    "Tally": "visus.methods.polytopes.model",
    "TrainingCensus": "visus.methods.polytopes.training",
    "census": "visus.methods.polytopes.model",
    "census_stream": "visus.methods.polytopes.model",
}

__all__ = [
    "Complex",
    "Polytopes",
    "PolytopesConfig",
    "Slice",
    "Tally",
    "TrainingCensus",
    "census",
    "census_stream",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
