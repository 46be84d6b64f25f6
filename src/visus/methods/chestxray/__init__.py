"""Chest radiographs read with gaze (arXiv 2403.16970): a diagnosis and a map of where a radiologist looks.

Every name is loaded when first asked for: the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.chestxray.config import ChestXrayConfig
    from visus.methods.chestxray.estimator import ChestXrayReader, build
    from visus.methods.chestxray.losses import saliency_kl, triplet
    from visus.methods.chestxray.model import DualNet, Reading

__all__ = [
    "ChestXrayConfig",
    "ChestXrayReader",
    "DualNet",
    "Reading",
    "build",
    "saliency_kl",
    "triplet",
]

_HOME = {
    "ChestXrayConfig": "config",
    "DualNet": "model",
    "Reading": "model",
    "saliency_kl": "losses",
    "triplet": "losses",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"visus.methods.chestxray.{_HOME.get(name, 'estimator')}")
    return getattr(home, name)
