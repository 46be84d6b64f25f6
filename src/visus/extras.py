"""Optional packages, imported where they are used and nowhere else."""

from __future__ import annotations

import importlib
from types import ModuleType

from visus.errors import MissingExtra


def need(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional `module`, or say which extra brings it.

    >>> need("json", extra="medical", purpose="reading").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f'{purpose} needs {module.split(".")[0]}: pip install "visus[{extra}]"') from error
