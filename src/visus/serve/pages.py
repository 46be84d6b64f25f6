"""Pages as HTML text."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from visus.catalogue import Card, cards
from visus.errors import InputError
from visus.records import read_json
from visus.report.html import environment, template_text
from visus.serve.finding import Document, Found
from visus.serve.words import WORDS

if TYPE_CHECKING:
    from visus.protocols import PaperEvidence

SHOWN_ROWS = 200
"""Rows of a result that the page shows; the download has all."""

_drawing = threading.Lock()  # reports are drawn by matplotlib, one at a time


def page(template: str, *, lang: str, path: str, **values: Any) -> str:
    """A page from a template in `templates/`; `path` is its own address."""
    return (
        environment("visus.serve")
        .get_template(f"{template}.html.j2")
        .render(
            lang="zh-Hans" if lang == "zh" else "en",
            code=lang,
            w=WORDS[lang],
            path=path,
            to=lambda place: f"{quote(place)}?lang={lang}",
            **values,
        )
    )


def style() -> str:
    """The style sheet: the report's, and what the pages have beyond it."""
    return template_text("visus.report", "report.css") + template_text("visus.serve", "serve.css")


def evidence_of(card: Card, found: Found, lang: str) -> list[dict[str, Any]]:
    """What was measured for a paper in any evidence file found, the newest file first."""
    from visus.report.reading import read

    shown = []
    for document in sorted(found.documents, key=lambda item: item.changed, reverse=True):
        if document.kind != "evidence":
            continue
        try:
            header, papers = _read(document)
        except InputError:  # the page of reports says what is wrong with it
            continue
        for paper in papers:
            if paper.slug == card.slug:
                readings = [read(claim, lang) for claim in paper.claims]
                shown.append({"document": document, "header": header, "readings": readings})
    return shown


def report_page(document: Document, *, lang: str) -> str:
    """A report as found, or an evidence file laid out as one.

    Raises
    ------
    visus.errors.InputError : the file is damaged.
    """
    if document.kind == "report":
        return document.file.read_text(encoding="utf-8", errors="replace")
    from visus.report.html import report
    from visus.report.listing import Context, Listed

    header, papers = _read(document)
    by_slug = {card.slug: card for card in cards()}
    listed = [
        Listed(
            ref=str(number),
            title=by_slug[paper.slug].title if paper.slug in by_slug else paper.slug,
            url=f"https://arxiv.org/abs/{paper.arxiv}",
            card=by_slug.get(paper.slug),
            evidence=paper,
        )
        for number, paper in enumerate(papers, 1)
    ]
    with _drawing:
        return report(listed, Context(header=header), lang=lang)


def _read(document: Document) -> tuple[dict[str, Any], list[PaperEvidence]]:
    from visus.study import from_json

    plain = read_json(document.file)
    papers = from_json(plain, file=document.name)
    return {key: value for key, value in plain.items() if key != "papers"}, papers
