"""`visus --help`: every command on one screen, without importing any of them."""

from __future__ import annotations

from collections.abc import Mapping

from visus.catalogue import works
from visus.cli.terminal import heading, listing


def overview(verbs: Mapping[str, str]) -> None:
    """Print the commands (name -> what it does), the methods that work and the common options."""
    heading("usage: visus [<method>] <command> [options]")
    print("\nVision-AI papers as working software.\n")
    heading("commands")
    listing(verbs.items())
    print()
    heading("methods")
    listing((card.slug, f"{card.task}: {', '.join(card.verbs)}") for card in works())
    print()
    heading("options")
    listing(
        [
            ("-h, --help", "this text; after a command, the options of that command"),
            ("--version", "the version of visus"),
            ("VISUS_TRACEBACK=1", "environment variable: show where in the code an error arose"),
        ]
    )
