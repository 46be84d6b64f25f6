"""The method's commands: `visus statm fit | predict | track | rollout | evaluate | example`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.statm.verbs.fitting import evaluate, example, fit
from visus.methods.statm.verbs.following import predict, track
from visus.methods.statm.verbs.futures import rollout

VERBS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "predict": predict,
    "track": track,
    "rollout": rollout,
    "evaluate": evaluate,
    "example": example,
}
