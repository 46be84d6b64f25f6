"""The method's commands: `visus alignment score | fit | predict | evaluate | apply | rsa | concepts | ...`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visus.methods.alignment.verbs.applying import apply
from visus.methods.alignment.verbs.comparing import compare
from visus.methods.alignment.verbs.explaining import concepts
from visus.methods.alignment.verbs.fitting import fit
from visus.methods.alignment.verbs.judging import rsa
from visus.methods.alignment.verbs.making import example
from visus.methods.alignment.verbs.predicting import evaluate, predict
from visus.methods.alignment.verbs.scoring import score

VERBS: dict[str, Callable[..., Any]] = {
    "score": score,
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "apply": apply,
    "rsa": rsa,
    "concepts": concepts,
    "compare": compare,
    "example": example,
}
