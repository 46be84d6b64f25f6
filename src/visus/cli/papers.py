"""`visus list`."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro

from visus.catalogue import select
from visus.cli.terminal import table
from visus.errors import InputError

_HEADS = {
    "en": ("Paper", "arXiv", "Status", "Task", "Title"),
    "zh": ("论文", "arXiv", "状态", "任务", "标题"),
}
_STATUS = {
    "en": {"works": "works", "planned": "planned"},
    "zh": {"works": "可用", "planned": "计划中"},
}


def papers(
    *,
    lang: Literal["en", "zh"] = "en",
    status: Literal["works", "planned", "all"] = "all",
    task: Annotated[str | None, tyro.conf.arg(metavar="WORD")] = None,
) -> None:
    """The papers of the catalogue, those that work first.

    Where the output is no terminal, columns are separated by tabs.

    Args:
        lang: language of titles and tasks.
        status: papers that work now, planned ones, or all.
        task: a word in the name, title or task of a paper, in English or Chinese.
    """
    found = select(status=None if status == "all" else status, task=task)
    if not found:
        raise InputError(f"no paper fits --task {task!r}", remedy="see `visus list` for all papers")
    rows = [
        (card.slug, card.arxiv, _STATUS[lang][card.status], card.text("task", lang), card.text("title", lang))
        for card in found
    ]
    table(_HEADS[lang], rows, spare=3)
