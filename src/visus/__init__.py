"""Vision-AI papers as working software.

>>> import visus
>>> visus.get_paper("attention").title
'You Need to Pay Better Attention'
>>> [card.slug for card in visus.list_papers(task="cheaper attention")]
['attention']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from visus.version import __version__

if TYPE_CHECKING:
    from visus.catalogue import get as get_paper
    from visus.catalogue import select as list_papers
    from visus.engine import Run
    from visus.errors import InputError, VisusError

__all__ = ["InputError", "Run", "VisusError", "__version__", "get_paper", "list_papers"]

_HOMES = {
    "InputError": ("visus.errors", "InputError"),
    "Run": ("visus.engine", "Run"),
    "VisusError": ("visus.errors", "VisusError"),
    "get_paper": ("visus.catalogue", "get"),
    "list_papers": ("visus.catalogue", "select"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'visus' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
