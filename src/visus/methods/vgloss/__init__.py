"""V-GLOSS (arXiv 2306.06077): zero-shot classification by descriptions that are made from what words mean.

Every name is loaded when first asked for: the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.vgloss.config import VGlossConfig
    from visus.methods.vgloss.estimator import EncoderPair, VGlossClassifier
    from visus.methods.vgloss.model.bridge import TextBridge
    from visus.methods.vgloss.model.builder import TextClassifierBuilder
    from visus.methods.vgloss.model.classes import ClassTexts, SeenClasses
    from visus.methods.vgloss.model.concepts import ConceptMapper
    from visus.methods.vgloss.model.confusion import ConfusionFinder
    from visus.methods.vgloss.model.describe import describe
    from visus.methods.vgloss.model.silver import Silver

_HOMES = {
    "ClassTexts": "model.classes",
    "ConceptMapper": "model.concepts",
    "ConfusionFinder": "model.confusion",
    "EncoderPair": "estimator",
    "SeenClasses": "model.classes",
    "Silver": "model.silver",
    "TextBridge": "model.bridge",
    "TextClassifierBuilder": "model.builder",
    "VGlossClassifier": "estimator",
    "VGlossConfig": "config",
    "describe": "model.describe",
}

__all__ = [
    "ClassTexts",
    "ConceptMapper",
    "ConfusionFinder",
    "EncoderPair",
    "SeenClasses",
    "Silver",
    "TextBridge",
    "TextClassifierBuilder",
    "VGlossClassifier",
    "VGlossConfig",
    "describe",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"visus.methods.vgloss.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
