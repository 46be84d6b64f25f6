"""The method's commands: `visus polytopes census | slice | fit | predict | evaluate | example`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.polytopes.verbs.counting import census, slice
from visus.methods.polytopes.verbs.fitting import evaluate, example, fit, predict

VERBS: dict[str, Callable[..., Any]] = {
    "census": census,
    "slice": slice,
    "fit": fit,
    "train": fit,
    "predict": predict,
    "evaluate": evaluate,
    "example": example,
}
