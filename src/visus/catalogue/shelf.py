"""All cards, and how to find one."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

from visus.catalogue.arxiv import read_arxiv
from visus.catalogue.card import Card
from visus.errors import InputError
from visus.records import from_yaml


@functools.cache
def cards() -> tuple[Card, ...]:
    """Every card: the papers that work first, then by slug."""
    return read_cards(files("visus.catalogue") / "cards")


def read_cards(folder: Traversable) -> tuple[Card, ...]:
    """Read and check the `*.yaml` files of a folder; a fault is an `InputError` naming file and field."""
    found: list[Card] = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if not entry.name.endswith(".yaml"):
            continue
        card = from_yaml(Card, entry.read_text(encoding="utf-8"), file=str(entry))
        card.check(str(entry))
        for other in found:
            if other.arxiv == card.arxiv:
                raise InputError(
                    f"is also the number of {other.slug}",
                    file=str(entry),
                    field="arxiv",
                    remedy="one card per paper",
                )
        found.append(card)
    return tuple(sorted(found, key=lambda card: (not card.implemented, card.slug)))


def works() -> tuple[Card, ...]:
    """The papers that can be used now."""
    return select(status="works")


def select(*, status: str | None = None, task: str | None = None) -> tuple[Card, ...]:
    """Cards with this status whose slug, title or task contains `task` (English or Chinese, any case)."""
    if status not in (None, "works", "planned"):
        raise InputError(f"{status!r} is no status", field="status", remedy="choose works or planned")
    word = (task or "").casefold()
    return tuple(
        card
        for card in cards()
        if status in (None, card.status)
        and any(
            word in text.casefold()
            for text in (card.slug, card.title, card.title_zh, card.task, card.task_zh)
        )
    )


def get(slug: str) -> Card:
    """The card of a slug; a misspelt one is an `InputError` with the names that come near.

    >>> get("attention").arxiv
    '2403.01643'
    """
    known = {card.slug: card for card in cards()}
    if slug in known:
        return known[slug]
    remedy = nearest(slug, known) or "papers: " + ", ".join(sorted(known))
    raise InputError(f"there is no paper {slug!r}", field="paper", remedy=remedy)


def find(arxiv_id_or_title: str) -> Card | None:
    """The card of an arXiv number (any form and version) or of a title (any version, either language).

    >>> find("http://arxiv.org/abs/2403.13319v2").slug, find("you need to pay better attention.").slug
    ('hyperfusion', 'attention')
    """
    numbered = read_arxiv(arxiv_id_or_title)
    if numbered is not None:
        return next((card for card in cards() if card.arxiv == numbered.number), None)
    wanted = _plain(arxiv_id_or_title)
    for card in cards():
        if wanted and wanted in map(_plain, (card.title, card.title_zh, *card.other_titles)):
            return card
    return None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A remedy that names what comes near to a misspelt word, or None.

    >>> nearest("hyperfuson", ["hyperfusion", "nsi"])
    'the nearest name is hyperfusion'
    """
    near = difflib.get_close_matches(word.casefold(), list(known), n=3, cutoff=0.6)
    if not near:
        return None
    return f"the nearest name{'s are' if near[1:] else ' is'} {', '.join(near)}"


def _plain(title: str) -> str:
    title = re.sub(r"\s*\(arXiv:[^()]*\)\s*$", "", title)
    return re.sub(r"[\W_]+", " ", title).strip().casefold()
