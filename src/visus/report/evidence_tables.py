"""The evidence tables of README and of the methods' pages, made from committed evidence files.

`python -m visus.report.evidence_tables README.md docs/*.md --evidence evidence/*.json` replaces what stands between
the two markers of each page. A page named after a paper, such as `docs/attention.md`, gets every claim of that paper;
any other page a row per paper and the claims that fail.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from visus.catalogue import cards
from visus.errors import InputError, VisusError
from visus.protocols import Claim, Evidence
from visus.records import read_json, write_atomically
from visus.report.digest_page import plain
from visus.report.listing import Context
from visus.report.reading import OUTCOMES, outcome, read
from visus.report.words import MARKS, words

BEGIN, END = "<!-- evidence:begin -->", "<!-- evidence:end -->"


def summary_table(evidence_json: Mapping[str, Any], *, lang: str = "en", pages: str = "docs") -> str:
    """Markdown: how the claims of every paper came out, the claims that fail, and where it was measured.

    Parameters
    ----------
    evidence_json : a document of `evidence.json`.
    lang : `en` or `zh`.
    pages : folder of the papers' pages, as seen from this one.

    Raises
    ------
    visus.errors.InputError : the document lacks something a row needs.
    """
    table = words(lang)
    heads = (table["paper"], *(f"{MARKS[each]} {table[each]}" for each in OUTCOMES))
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * len(OUTCOMES)]
    known = {card.slug for card in cards()}
    failing = []
    for slug, found in _papers(evidence_json):
        counted = Counter(map(outcome, found))
        name = f"[{slug}]({pages}/{slug}.md)" if slug in known else plain(slug)
        lines.append(f"| {name} | " + " | ".join(str(counted[each]) for each in OUTCOMES) + " |")
        failing += [f"| {plain(slug)} {_row(each, lang)}" for each in found if each.verdict == "fails"]
    if failing:
        heads = (table["paper"], table["claim"], table["effect"], table["interval"], table["verdict"])
        lines += ["", "| " + " | ".join(heads) + " |", "|---|---|---:|---:|---|", *failing]
    return "\n".join([*lines, "", *_measured(evidence_json, lang)]) + "\n"


def claims_table(evidence_json: Mapping[str, Any], slug: str, *, lang: str = "en") -> str | None:
    """Markdown table of the claims of one paper, and where they were measured; None without that paper.

    Raises
    ------
    visus.errors.InputError : the document lacks something a row needs.
    """
    table = words(lang)
    found = dict(_papers(evidence_json)).get(slug)
    if found is None:
        return None
    heads = (table["claim"], table["effect"], table["interval"], table["verdict"])
    lines = ["| " + " | ".join(heads) + " |", "|---|---:|---:|---|"]
    lines += [_row(each, lang) for each in found]
    return "\n".join([*lines, "", *_measured(evidence_json, lang, only=slug)]) + "\n"


def _papers(evidence_json: Mapping[str, Any]) -> list[tuple[str, list[Evidence]]]:
    return [
        (slug, [evidence_of(row) for row in _of(paper, "claims", slug)])
        for paper in _of(evidence_json, "papers", "the document")
        for slug in (_of(paper, "slug", "a paper"),)
    ]


def _row(evidence: Evidence, lang: str) -> str:
    reading = read(evidence, lang)
    cells = (plain(reading.statement), reading.effect, reading.interval)
    return f"| {' | '.join(cells)} | {reading.mark} {reading.verdict_word} |"


def _measured(evidence_json: Mapping[str, Any], lang: str, *, only: str | None = None) -> list[str]:
    """Where the claims were measured: a line, or with papers of several measurements a line for each."""
    papers_of: dict[str, list[str]] = {}
    for paper in evidence_json["papers"]:
        if only in (None, paper["slug"]):
            for row in paper["claims"]:
                origin = {**evidence_json, **(row.get("from") or {})}
                papers_of.setdefault(_told(origin, lang), []).append(paper["slug"])
    lines = papers_of or {_told(evidence_json, lang): []}
    if len(lines) < 2:
        return list(lines)
    colon, comma = words(lang)["colon"], words(lang)["comma"]
    told = [f"{comma.join(dict.fromkeys(map(plain, slugs)))}{colon}{line}" for line, slugs in lines.items()]
    return [line for each in told for line in (each, "")][:-1]


def _told(header: Mapping[str, Any], lang: str) -> str:
    table, context = words(lang), Context(header=header)
    facts = [f"visus {context.text('visus')}"]
    facts += [f"{table[f'field_{key}']} {context.text(key)}" for key in ("commit", "preset", "device")]
    return plain(table["join"].join([*facts, context.date]))


def evidence_of(row: Mapping[str, Any]) -> Evidence:
    """A claim's row of an evidence document as a record."""
    where = str(row.get("id", "a claim"))
    arms = {
        arm: [float("nan") if v is None else v for v in column]
        for arm, column in _of(row, "arms", where).items()
    }
    names = [*arms, "", ""]
    given = {"experiment": "", "candidate": names[0], "reference": names[1], **row}
    given["statement_zh"] = row.get("statement_zh") or _of(row, "statement", where)
    known = [item.name for item in fields(Claim)]
    interval = _of(row, "interval", where)
    try:
        claim = Claim(**{name: given[name] for name in known if name in given})
    except TypeError as error:
        raise InputError(
            str(error).partition(" ")[2], field=where, remedy="write it anew with visus"
        ) from None
    return Evidence(
        claim=claim,
        arms=arms,
        effect=_of(row, "effect", where),
        interval=(interval[0], interval[1]) if interval else None,
        verdict=_of(row, "verdict", where),
        why=row.get("why", ""),
    )


def update(page: Path, evidence: Sequence[Path], *, lang: str = "en") -> bool:
    """Put the tables of the evidence files between the page's markers; whether that changed the page.

    Raises
    ------
    visus.errors.InputError : a file is missing or malformed, or the page lacks a marker.
    """
    if not page.is_file():
        raise InputError("does not exist", file=page)
    of_paper = any(card.slug == page.stem for card in cards())
    tables = []
    for file in evidence:
        document = read_json(file)
        try:
            made = (
                claims_table(document, page.stem, lang=lang)
                if of_paper
                else summary_table(document, lang=lang)
            )
        except InputError as error:
            raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from None
        tables += [made] if made else []
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError("has no place for the table", file=page, remedy=f"add the lines {BEGIN} and {END}")
    new = before + begin + "\n" + "\n".join(tables) + end + after
    if new == text:
        return False
    write_atomically(page, new)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this module; exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m visus.report.evidence_tables", description=__doc__)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--evidence", type=Path, nargs="+", required=True)
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    chosen = parser.parse_args(argv)
    try:
        for page in chosen.pages:
            changed = update(page, chosen.evidence, lang=chosen.lang)
            print(f"{page}: {'written' if changed else 'already up to date'}")
    except VisusError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _of(given: Any, key: str, where: str) -> Any:
    if not isinstance(given, Mapping) or key not in given:
        raise InputError(f"has no {key}", field=where, remedy="give an evidence.json written by visus")
    return given[key]


if __name__ == "__main__":
    sys.exit(main())
