"""The method's commands: `visus chestxray fit | predict | evaluate | explain | compare | lineage | example`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.chestxray.verbs.comparing import compare
from visus.methods.chestxray.verbs.explaining import explain
from visus.methods.chestxray.verbs.fitting import example, fit, lineage
from visus.methods.chestxray.verbs.judging import evaluate
from visus.methods.chestxray.verbs.predicting import predict

VERBS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "explain": explain,
    "compare": compare,
    "lineage": lineage,
    "example": example,
}
