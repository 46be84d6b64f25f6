"""Evidence as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from visus.catalogue import Card
from visus.protocols import Figure, PaperEvidence
from visus.report import plots
from visus.report.listing import Context, Listed, file_name
from visus.report.reading import OUTCOMES, VERDICTS, counts, measured, read, tally
from visus.report.svg import address
from visus.report.words import MARKS, counted, words

if TYPE_CHECKING:
    from jinja2 import Environment

_TOLD_ELSEWHERE = {"packages", "papers", "schema"}


def report(listed: Sequence[Listed], context: Context, *, lang: str = "en", title: str = "") -> str:
    """The whole report.

    Parameters
    ----------
    listed : the papers, measured or not, in the order of the page.
    context : provenance and how to measure again.
    lang : `en` or `zh`.
    title : instead of the usual one.

    Returns
    -------
    HTML text; the same arguments always give the same text.
    """
    table = words(lang)
    sections = {paper.slug: (paper.card, paper.evidence) for paper in listed if paper.card and paper.evidence}
    evidence = [found for _, found in sections.values()]
    any_claim = any(paper.claims for paper in evidence)
    total = counts(evidence)
    drawn = plots.overview(evidence, name="overview", lang=lang) if any_claim else ""
    return (
        environment("visus.report")
        .get_template("report.html.j2")
        .render(
            lang="zh-Hans" if lang == "zh" else "en",
            w=table,
            css=template_text("visus.report", "report.css"),
            title=title or table["title"],
            context=context,
            rows=[_row(paper, lang) for paper in listed],
            total=total,
            verdicts=[each for each in OUTCOMES if each in VERDICTS or total[each]],
            marks=MARKS,
            overview=drawn,
            papers=[_section(card, found, lang) for card, found in sections.values()],
            provenance=_provenance(context.header, table),
            packages=_packages(context.header),
        )
    )


def anchor(slug: str, claim: str = "") -> str:
    """The address of a paper or of one of its claims inside the report."""
    return file_name(slug, claim) if claim else file_name(slug)


def _row(paper: Listed, lang: str) -> dict[str, Any]:
    table, evidence = words(lang), paper.evidence
    title = paper.card.text("title", "zh" if lang == "zh" else "en") if paper.card else paper.title
    crashed = counted(lang, "crashed", len(evidence.failures)) if evidence and evidence.failures else ""
    return {
        "title": title,
        "url": paper.url,
        "anchor": anchor(paper.slug) if evidence else "",
        "state": paper.state,
        "status": table["no_claims"] if evidence and not evidence.claims else table[paper.state],
        "note": paper.note,
        "counts": counts([evidence]) if evidence and evidence.claims else None,
        "crashed": crashed,
    }


def _section(card: Card, evidence: PaperEvidence, lang: str) -> dict[str, Any]:
    chosen = "zh" if lang == "zh" else "en"
    claims = []
    for place, found in enumerate(evidence.claims):
        experiment = evidence.experiments.get(found.claim.experiment, {})
        claims.append(
            {
                "experiment": experiment.get("title_zh" if chosen == "zh" else "title", ""),
                "budget": experiment.get("budget", ""),
                "anchor": anchor(evidence.slug, found.claim.id),
                "reading": read(found, lang),
                "plot": plots.strip(found, name=f"{anchor(evidence.slug)}-{place}", lang=lang)
                if measured(found)
                else "",
            }
        )
    return {
        "anchor": anchor(evidence.slug),
        "slug": evidence.slug,
        "arxiv": evidence.arxiv,
        "url": card.url,
        "title": card.text("title", chosen),
        "original": card.title if chosen == "zh" else "",
        "authors": ", ".join(card.authors),
        "year": card.year,
        "task": card.text("task", chosen),
        "summary": card.text("summary", chosen),
        "counts": tally([evidence], lang),
        "claims": claims,
        "figures": [_figure(figure, lang) for figure in evidence.figures],
        "failures": evidence.failures,
        "seconds": _duration(evidence.seconds, lang),
    }


def _figure(figure: Figure, lang: str) -> dict[str, str]:
    """As an image: whatever the drawing contains, it runs nothing and clashes with nothing in the page."""
    caption = (figure.caption_zh if lang == "zh" else "") or figure.caption
    return {"source": address(figure.svg), "caption": caption, "name": figure.name}


def _duration(seconds: float, lang: str) -> str:
    if seconds < 120:
        return words(lang)["seconds"].format(n=f"{seconds:.0f}")
    return words(lang)["minutes"].format(n=f"{seconds / 60:.1f}")


def _provenance(header: Mapping[str, object], table: dict[str, str]) -> list[tuple[str, str]]:
    known = {key: table.get(f"field_{key}", key) for key in header if key not in _TOLD_ELSEWHERE}
    return [(name, "–" if header[key] is None else str(header[key])) for key, name in known.items()]


def _packages(header: Mapping[str, object]) -> list[tuple[str, str]]:
    packages = header.get("packages")
    return (
        [(str(name), str(version)) for name, version in packages.items()]
        if isinstance(packages, Mapping)
        else []
    )


def template_text(package: str, name: str) -> str:
    """A template or style sheet that a package brings along."""
    return (files(package) / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def environment(package: str) -> Environment:
    """Jinja environment over the templates of a package, strict about names and escaping everything."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(functools.partial(template_text, package)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
