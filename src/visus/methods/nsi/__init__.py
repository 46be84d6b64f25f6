"""Neural Slot Interpreters (arXiv 2403.07887): slots of pictures grounded in structured scene programs.

Every name is loaded when first asked for: the command line shows help without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visus.methods.nsi.config import FewShotConfig, NSIConfig
    from visus.methods.nsi.estimator import NSI, FrozenFeatures, NSIFewShot, SceneIndex
    from visus.methods.nsi.model.attributes import Categorical, Continuous
    from visus.methods.nsi.model.programs import parse, serialize
    from visus.methods.nsi.model.schema import Schema
    from visus.methods.nsi.model.scores import associate, bilevel_scores

__all__ = [
    "NSI",
    "Categorical",
    "Continuous",
    "FewShotConfig",
    "FrozenFeatures",
    "NSIConfig",
    "NSIFewShot",
    "SceneIndex",
    "Schema",
    "associate",
    "bilevel_scores",
    "parse",
    "serialize",
]

_HOME = {
    "Categorical": "model.attributes",
    "Continuous": "model.attributes",
    "FewShotConfig": "config",
    "NSIConfig": "config",
    "Schema": "model.schema",
    "associate": "model.scores",
    "bilevel_scores": "model.scores",
    "parse": "model.programs",
    "serialize": "model.programs",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"visus.methods.nsi.{_HOME.get(name, 'estimator')}")
    return getattr(home, name)
