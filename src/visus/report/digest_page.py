"""A digest page in its own form, with what was measured beside every entry."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from visus.catalogue import Card
from visus.protocols import Evidence, Figure, PaperEvidence
from visus.report import plots
from visus.report.html import anchor
from visus.report.listing import Context, Listed, file_name, list_papers
from visus.report.page import Page
from visus.report.reading import Reading, counts, measured, read
from visus.report.svg import standalone
from visus.report.words import counted, words

REPORT = "report.html"
FIGURES = "figures"


def annotate(
    page: Page,
    evidence_by_arxiv: Mapping[str, PaperEvidence],
    cards: Iterable[Card],
    lang: str,
    *,
    context: Context | None = None,
) -> Page:
    """The page with an evidence column and, in every footnote, a paragraph that says what was measured.

    Evidence that the page had from before is replaced.

    Parameters
    ----------
    page : what was read.
    evidence_by_arxiv : arXiv number without version -> what was measured.
    cards : the catalogue; papers that are planned or unknown stay on the page and say so.
    lang : language of what is added.
    context : version, preset and date, and why a paper was not run.
    """
    context = context or Context()
    listed = list_papers(page, evidence_by_arxiv, cards, context.notes)
    cells = {paper.ref: _cell(paper, lang) for paper in listed}
    details = {paper.ref: _details(paper, context, lang) for paper in listed}
    stale = {words(other)["evidence_column"] for other in ("en", "zh")}
    entries = tuple(
        dataclasses.replace(
            entry, extra={name: cell for name, cell in entry.extra.items() if name not in stale}
        )
        for entry in page.entries
    )
    kept = tuple(name for place, name in enumerate(page.columns) if place < 3 or name not in stale)
    bare = dataclasses.replace(page, entries=entries, columns=kept)
    return bare.with_column(words(lang)["evidence_column"], cells).with_evidence(details)


def figure_files(papers: Iterable[PaperEvidence], *, lang: str) -> dict[str, str]:
    """File name -> SVG of all figures that annotated pages link to: one per measured claim, and the methods' own."""
    drawn = {}
    for paper in papers:
        for found in filter(measured, paper.claims):
            name = claim_file(paper.slug, found)
            drawn[name] = standalone(plots.strip(found, name=name.removesuffix(".svg"), lang=lang))
        drawn |= {method_file(paper.slug, figure): figure.svg for figure in paper.figures}
    return drawn


def claim_file(slug: str, evidence: Evidence) -> str:
    """Name of a claim's strip plot."""
    return file_name(slug, evidence.claim.id) + ".svg"


def method_file(slug: str, figure: Figure) -> str:
    """Name of a method's own figure."""
    return file_name(slug, "figure", figure.name) + ".svg"


def plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line.

    >>> print(plain("a|b [x](y) <i> snake_case"))
    a\\|b \\[x\\](y) \\<i\\> snake\\_case
    """
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", " ".join(text.split()))


def _verdicts(evidence: PaperEvidence, lang: str) -> str:
    table = words(lang)
    if not evidence.claims:
        return table["no_claims"]
    found = counts([evidence])
    return table["join"].join(counted(lang, f"count_{verdict}", n) for verdict, n in found.items() if n)


def _cell(paper: Listed, lang: str) -> str:
    if paper.evidence is None:
        return words(lang)[paper.state]
    return f"[{_verdicts(paper.evidence, lang)}]({REPORT}#{anchor(paper.slug)})"


def _details(paper: Listed, context: Context, lang: str) -> str:
    table = words(lang)
    heading = table["evidence_heading"].format(
        version=context.text("visus"), preset=context.text("preset"), date=context.date
    )
    if paper.evidence is None:
        note = f" {plain(paper.note)}" if paper.note else ""
        return (
            f"**{plain(table['evidence_column'])}**{table['colon']}{table[paper.state]}{table['stop']}{note}"
        )
    evidence = paper.evidence
    lead = f"**{plain(heading)}**{table['colon']}{_verdicts(evidence, lang)}{table['stop']}"
    blocks = [lead, _claims(evidence.slug, evidence.claims, lang)]
    if evidence.failures:
        crashed = counted(lang, "crashed", len(evidence.failures))
        names = table["comma"].join(f"`{name.replace('`', chr(39))}`" for name in evidence.failures)
        blocks.append(f"{crashed}{table['colon']}{names}{table['stop']}")
    for figure in evidence.figures:
        caption = plain((figure.caption_zh if lang == "zh" else "") or figure.caption)
        blocks.append(f"![{caption}]({FIGURES}/{method_file(evidence.slug, figure)})")
    return "\n\n".join(block for block in blocks if block)


def _claims(slug: str, claims: Sequence[Evidence], lang: str) -> str:
    return "\n".join(_claim(slug, evidence, read(evidence, lang), lang) for evidence in claims)


def _claim(slug: str, evidence: Evidence, reading: Reading, lang: str) -> str:
    table, claim = words(lang), reading.claim
    facts = [
        f"{plain(claim.metric)}{table['colon']}{plain(reading.formula)} = {reading.effect}",
        f"{table['range' if claim.exact else 'interval']} {reading.interval}" if evidence.interval else "",
        f"{table['condition']} {plain(reading.condition)}",
        table["exact"] if claim.exact else counted(lang, "seed_count", reading.paired),
    ]
    sentences = [
        plain(reading.statement),
        _sentence(table["semicolon"].join(fact for fact in facts if fact), table),
        _sentence(table["why"] + table["colon"] + plain(reading.why), table) if reading.why else "",
        _sentence(reading.caveat_word + table["colon"] + plain(reading.caveat), table)
        if reading.caveat
        else "",
        f"[{table['plot']}]({FIGURES}/{claim_file(slug, evidence)})" if measured(evidence) else "",
    ]
    said = " ".join(sentence for sentence in sentences if sentence)
    return f"- {reading.mark} **{reading.verdict_word}**{table['colon']}{said}"


def _sentence(text: str, table: Mapping[str, str]) -> str:
    return text if text.endswith((".", "。", "!", "?", "？", "！")) else text + table["stop"]
