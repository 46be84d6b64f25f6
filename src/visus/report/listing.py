"""The papers of a page with what is known of them, and the names their anchors and figure files have."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from visus.catalogue import Card, find
from visus.protocols import PaperEvidence
from visus.report.page import Page

State = Literal["measured", "not_run", "planned", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One paper of a page."""

    ref: str
    title: str
    url: str
    card: Card | None = None
    """None for a paper the catalogue does not know."""
    evidence: PaperEvidence | None = None
    note: str = ""
    """Why it was not run, if there is more to say than that."""

    @property
    def state(self) -> State:
        """`not_run`: visus implements it, but it was left out this time."""
        if self.evidence is not None:
            return "measured"
        if self.card is None:
            return "unknown"
        return "not_run" if self.card.implemented else "planned"

    @property
    def slug(self) -> str:
        """The paper's short name; empty for a paper the catalogue does not know."""
        return self.card.slug if self.card else ""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the pages say beside the evidence."""

    header: Mapping[str, object] = field(default_factory=dict)
    """The document's own fields: visus, commit, preset, device, date, packages and so on."""
    command: str = ""
    """The command line that measures all of it again."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Slug -> why an implemented paper was not run."""

    def text(self, key: str) -> str:
        """A field of the header as text, a dash if it is unknown."""
        value = self.header.get(key)
        return "–" if value is None else str(value)

    @property
    def date(self) -> str:
        """The day of the measurement."""
        return self.text("date")[:10]


def list_papers(
    page: Page,
    evidence_by_arxiv: Mapping[str, PaperEvidence],
    cards: Iterable[Card],
    notes: Mapping[str, str] | None = None,
) -> list[Listed]:
    """The entries of `page` in their order, each with its card and its evidence where there are any."""
    known = {card.arxiv: card for card in cards}
    found = []
    for entry in page.entries:
        card = known.get(entry.arxiv or _number_by_title(entry.plain_title))
        found.append(
            Listed(
                ref=entry.ref,
                title=entry.plain_title,
                url=card.url if card else entry.address,
                card=card,
                evidence=evidence_by_arxiv.get(card.arxiv) if card else None,
                note=(notes or {}).get(card.slug, "") if card else "",
            )
        )
    return found


def _number_by_title(title: str) -> str:
    """For a paper that the page links on another site than arXiv."""
    card = find(title)
    return card.arxiv if card else ""


def file_name(*parts: str) -> str:
    """A name of letters, digits and dashes, different for different parts.

    >>> file_name("attention", "super-better"), file_name("a", "x < y")
    ('attention-super-better', 'a-x-y-a3d6f7')
    """
    joined = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", joined).strip("-")
    if plain == joined:
        return plain
    return f"{plain}-{hashlib.sha256(joined.encode()).hexdigest()[:6]}".lstrip("-")
