"""The method's commands: `visus vgloss describe | build | classify | compare | explain | fit | predict | ...`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.vgloss.verbs.building import build
from visus.methods.vgloss.verbs.classifying import classify, predict
from visus.methods.vgloss.verbs.comparing import compare
from visus.methods.vgloss.verbs.describing import describe
from visus.methods.vgloss.verbs.explaining import explain
from visus.methods.vgloss.verbs.learning import evaluate, fit
from visus.methods.vgloss.verbs.making import example

VERBS: dict[str, Callable[..., Any]] = {
    "describe": describe,
    "build": build,
    "classify": classify,
    "compare": compare,
    "explain": explain,
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "example": example,
}
