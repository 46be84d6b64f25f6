"""The method's commands: `visus nsi fit | predict | align | retrieve | describe | evaluate | fewshot | example`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.nsi.verbs.learning import evaluate, example, fewshot, fit
from visus.methods.nsi.verbs.scenes import align, describe, predict, retrieve

VERBS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "predict": predict,
    "align": align,
    "retrieve": retrieve,
    "describe": describe,
    "evaluate": evaluate,
    "fewshot": fewshot,
    "example": example,
}
