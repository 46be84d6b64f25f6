"""`visus <method> <command>`: the verbs a method brings along."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from visus.catalogue import Card, get, nearest
from visus.cli.arguments import call
from visus.cli.terminal import heading, listing
from visus.errors import InputError


def method(slug: str, words: Sequence[str]) -> None:
    """Call a method's verb with the words that follow it; without a verb, list the method's verbs."""
    card = get(slug)
    if not card.implemented:
        problem = f"{slug} is planned and does not work yet; it will give: {card.gives}"
        raise InputError(problem, remedy="see `visus list --status works` for what works now")
    verbs = load_verbs(card)
    word = words[0] if words else "--help"
    if word in ("-h", "--help", "help"):
        _overview(card, verbs)
    elif word in verbs:
        call(verbs[word], words[1:], prog=f"visus {slug} {word}")
    else:
        remedy = nearest(word, verbs) or "commands: " + ", ".join(verbs)
        raise InputError(f"{slug} has no command {word!r}", remedy=remedy)


def load_verbs(card: Card) -> Mapping[str, Callable[..., Any]]:
    """Name -> function, from the method's `verbs.py`, which is imported now."""
    return importlib.import_module(f"{card.package}.verbs").VERBS


def _overview(card: Card, verbs: Mapping[str, Callable[..., Any]]) -> None:
    heading(f"usage: visus {card.slug} <command> [options]")
    print(f"\n{card.title} ({card.url})\n")
    heading("commands")
    listing((name, (inspect.getdoc(function) or "").split("\n", 1)[0]) for name, function in verbs.items())
    print(f"\n`visus {card.slug} <command> --help` shows the options, `visus show {card.slug}` the method.")
