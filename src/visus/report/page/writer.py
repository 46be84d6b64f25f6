"""From a `Page` to Markdown text, and from the catalogue to a `Page`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from visus.catalogue import Card
from visus.errors import InputError
from visus.report.page.form import EVIDENCE_MARK, INDENT, Entry, Page, escape
from visus.report.page.reader import parse


def write(page: Page) -> str:
    """The page as Markdown, in the form it is read from.

    Raises `InputError` naming entry and field where a text cannot stand there (say, a blank line in a title).
    """
    rows = [tuple(map(escape, page.columns)), ("---",) * len(page.columns), *map(_row, page.entries)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    blocks = (page.preface, f"# {page.heading}", page.intro, table, page.note, f"# {page.details}")
    head = "\n\n".join(block for block in blocks if block)
    text = head + "\n\n" + "".join(map(_footnote, page.entries)) + "\n"
    _compare(page, parse(text))
    return text


def page_of(cards: Iterable[Card], lang: Literal["en", "zh"] = "en") -> Page:
    """A digest page made from the catalogue's cards."""
    zh = lang == "zh"
    entries = tuple(
        Entry(
            ref=str(number),
            title=card.title,
            address=card.url,
            summary=card.text("summary", lang),
            translated_title=card.text("title", lang),
            full_title=card.title,
            translated_abstract=card.gives_zh if zh else "",
            abstract=card.gives,
        )
        for number, card in enumerate(cards, 1)
    )
    return Page(entries, heading="摘要" if zh else "Summary", details="详细" if zh else "Details")


def _row(entry: Entry) -> tuple[str, ...]:
    link = f"[{escape(entry.title, '[]|')}]({escape(entry.address)})"
    return f"[^{entry.ref}]", link, escape(entry.summary), *map(escape, entry.extra.values())


def _footnote(entry: Entry) -> str:
    summary = entry.summary if entry.detail_summary is None else entry.detail_summary
    address = f"[{entry.address}]({entry.address})"
    before = [entry.full_title, address, summary]
    after = [
        entry.translated_abstract,
        entry.abstract,
        EVIDENCE_MARK if entry.evidence else "",
        entry.evidence,
    ]
    indented = [*map(_indent, filter(None, before)), INDENT, *map(_indent, filter(None, after))]
    return "\n\n".join([f"[^{entry.ref}]: {entry.translated_title}".rstrip(), *indented]) + f"\n{INDENT}\n"


def _indent(text: str) -> str:
    return "\n".join(INDENT + line if line else "" for line in text.split("\n"))


def _compare(page: Page, again: Page) -> None:
    """Refuse a page that would be read back as another one."""
    pairs = [("page", page, again), *((f"entry {a.ref}", a, b) for a, b in zip(page.entries, again.entries))]
    for where, given, found in reversed(pairs):
        for item in dataclasses.fields(given):
            if getattr(given, item.name) != getattr(found, item.name):
                raise InputError(
                    "cannot be written as it is on a digest page",
                    field=f"{where}, {item.name}",
                    remedy="leave out blank lines, headings and marks of the page's own form",
                )
