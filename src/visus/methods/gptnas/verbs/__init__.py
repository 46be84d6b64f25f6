"""The method's commands: `visus gptnas search | prior | trace | fit | predict | evaluate | example`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.gptnas.verbs.models import evaluate, example, fit, predict
from visus.methods.gptnas.verbs.priors import prior, trace
from visus.methods.gptnas.verbs.searches import search

VERBS: dict[str, Callable[..., Any]] = {
    "search": search,
    "prior": prior,
    "trace": trace,
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "example": example,
}

__all__ = ["VERBS", "evaluate", "example", "fit", "predict", "prior", "search", "trace"]
