"""The evidence table of a README, made from committed evidence files.

`python -m visus.report.readme_table README.md evidence/*.json` replaces what stands between the two markers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from visus.catalogue import find
from visus.errors import InputError, VisusError
from visus.protocols import Claim, Evidence
from visus.records import read_json, write_atomically
from visus.report.digest_page import plain
from visus.report.listing import Context
from visus.report.reading import read
from visus.report.words import words

BEGIN, END = "<!-- evidence:begin -->", "<!-- evidence:end -->"


def readme_table(evidence_json: Mapping[str, Any], *, lang: str = "en") -> str:
    """Markdown table of the claims in one evidence document, one row each, and where it was measured.

    Parameters
    ----------
    evidence_json : a document of `evidence.json`.
    lang : `en` or `zh`.

    Raises
    ------
    visus.errors.InputError : the document lacks something a row needs.
    """
    table = words(lang)
    heads = (table["paper"], table["claim"], table["effect"], table["interval"], table["verdict"])
    lines = ["| " + " | ".join(heads) + " |", "|---|---|---:|---:|---|"]
    for paper in _of(evidence_json, "papers", "the document"):
        slug = _of(paper, "slug", "a paper")
        card = find(str(paper.get("arxiv", "")))
        name = f"[{plain(slug)}]({card.url})" if card else plain(slug)
        for row in _of(paper, "claims", slug):
            reading = read(evidence_of(row), lang)
            cells = (plain(reading.statement), reading.effect, reading.interval)
            lines.append(f"| {name} | {' | '.join(cells)} | {reading.mark} {reading.verdict_word} |")
    context = Context(header=evidence_json)
    facts = [f"visus {context.text('visus')}"]
    facts += [f"{table[f'field_{key}']} {context.text(key)}" for key in ("commit", "preset", "device")]
    return "\n".join([*lines, "", plain(table["join"].join([*facts, context.date]))]) + "\n"


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


def update(readme: Path, evidence: Sequence[Path], *, lang: str = "en") -> bool:
    """Put the tables of the evidence files between the README's markers; whether that changed the file.

    Raises
    ------
    visus.errors.InputError : a file is missing or malformed, or the README lacks a marker.
    """
    if not readme.is_file():
        raise InputError("does not exist", file=readme)
    tables = []
    for file in evidence:
        document = read_json(file)
        try:
            tables.append(readme_table(document, lang=lang))
        except InputError as error:
            raise InputError(error.problem, file=file, field=error.field, remedy=error.remedy) from None
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError("has no place for the table", file=readme, remedy=f"add the lines {BEGIN} and {END}")
    new = before + begin + "\n" + "\n".join(tables) + end + after
    if new == text:
        return False
    write_atomically(readme, new)
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this module; exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m visus.report.readme_table", description=__doc__)
    parser.add_argument("readme", type=Path)
    parser.add_argument("evidence", type=Path, nargs="+")
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    chosen = parser.parse_args(argv)
    try:
        changed = update(chosen.readme, chosen.evidence, lang=chosen.lang)
    except VisusError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{chosen.readme}: {'written' if changed else 'already up to date'}")
    return 0


def _of(given: Any, key: str, where: str) -> Any:
    if not isinstance(given, Mapping) or key not in given:
        raise InputError(f"has no {key}", field=where, remedy="give an evidence.json written by visus")
    return given[key]


if __name__ == "__main__":
    sys.exit(main())
