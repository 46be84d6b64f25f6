"""`visus show SLUG`."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro

from visus.catalogue import Card, find, get
from visus.cli.terminal import heading, listing, paragraph

_WORDS = {
    "en": {
        "authors": "authors",
        "task": "task",
        "status": "status",
        "works": "works",
        "planned": "planned",
        "summary": "What it is",
        "gives": "What you get",
        "will give": "What you will get",
        "use": "How to use it",
        "install": "install",
        "python": "in Python",
        "shell": "in the shell",
        "claims": "claims",
        "measure": "Claims (measure them with `visus reproduce {slug}`)",
    },
    "zh": {
        "authors": "作者",
        "task": "任务",
        "status": "状态",
        "works": "可用",
        "planned": "计划中",
        "summary": "方法简介",
        "gives": "功能",
        "will give": "将提供的功能",
        "use": "使用方法",
        "install": "安装",
        "python": "Python",
        "shell": "命令行",
        "claims": "论断",
        "measure": "论断（用 `visus reproduce {slug}` 实测）",
    },
}


def show(
    slug: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PAPER")],
    *,
    lang: Literal["en", "zh"] = "en",
    claims: bool = False,
) -> None:
    """One paper: what it is, what you get, how to use it.

    Args:
        slug: name of the paper, as in `visus list`; its arXiv number or title will do too.
        lang: language of the text.
        claims: also list the claims that are measured (this imports the method).
    """
    card = find(slug) or get(slug)
    words = _WORDS[lang]
    heading(card.text("title", lang))
    if lang == "zh":
        paragraph(card.title)
    print()
    facts = [
        ("arXiv", f"{card.url} ({card.year})"),
        (words["authors"], ", ".join(card.authors)),
        (words["task"], card.text("task", lang)),
        (words["status"], words[card.status]),
    ]
    listing(facts)
    gives = words["gives" if card.implemented else "will give"]
    for title, text in ((words["summary"], card.text("summary", lang)), (gives, card.text("gives", lang))):
        print()
        heading(title)
        paragraph(text)
    if card.implemented:
        _use(card, words)
    if claims and card.implemented:
        print()
        heading(words["measure"].format(slug=card.slug))
        listing(
            (claim.id, claim.statement_zh if lang == "zh" else claim.statement)
            for claim in card.load().claims()
        )


def _use(card: Card, words: dict[str, str]) -> None:
    rows = [
        (words["shell"], f"visus {card.slug} " + "|".join(card.verbs)),
        (words["python"], f"from {card.package} import {card.estimator}"),
        (words["claims"], f"visus reproduce {card.slug}"),
    ]
    if card.extra:
        rows.insert(0, (words["install"], f'pip install "visus[{card.extra}]"'))
    print()
    heading(words["use"])
    listing(rows)
