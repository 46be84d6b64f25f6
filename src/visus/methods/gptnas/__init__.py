"""GPT-NAS (2305.05351): a genetic search over networks, steered by a small language model of layers.

The search needs neither the engine nor torch until a network is asked; every name is loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.gptnas.config import GPTNASConfig
    from visus.methods.gptnas.estimator import GPTNAS
    from visus.methods.gptnas.model.network import BlockNetwork
    from visus.methods.gptnas.model.records import Architecture
    from visus.methods.gptnas.model.tracing import trace
    from visus.methods.gptnas.search import Search, SearchSettings, Space

_HOMES = {
    "Architecture": "visus.methods.gptnas.model.records",
    "BlockNetwork": "visus.methods.gptnas.model.network",
    "GPTNAS": "visus.methods.gptnas.estimator",
    "GPTNASConfig": "visus.methods.gptnas.config",
    "Search": "visus.methods.gptnas.search",
    "SearchSettings": "visus.methods.gptnas.search",
    "Space": "visus.methods.gptnas.search",
    "trace": "visus.methods.gptnas.model.tracing",
}

__all__ = [
    "GPTNAS",
    "Architecture",
    "BlockNetwork",
    "GPTNASConfig",
    "Search",
    "SearchSettings",
    "Space",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
