"""The `visus` command: one file per verb, imported when the verb is called."""

from visus.cli.app import main

__all__ = ["main"]
