"""The page of a description set: what to worry about, what classes mean, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from visus.methods.vgloss.verbs.labels import UNSURE, doubtful
from visus.methods.vgloss.verbs.shared import shortened

if TYPE_CHECKING:
    from visus.methods.vgloss.model.concept import Concept
    from visus.methods.vgloss.model.quality import QualityReport
    from visus.methods.vgloss.model.silver import Silver
    from visus.webpage import Page

MOST_CLASSES = 120
"""Classes whose texts a page shows; the file has all."""
MOST_TEXTS = 6
MOST_MEANINGS = 200


def description_page(
    silver: Silver,
    report: QualityReport,
    concepts: Sequence[Concept],
    *,
    notes: Sequence[str] = (),
    title: str,
) -> Page:
    """Warnings, numbers, meanings, texts."""
    from visus.methods.vgloss.figures import draw_quality
    from visus.webpage import Page

    page = Page(f"Descriptions: {title}")
    lm, resource = silver.meta.get("lm"), silver.meta.get("resource")
    page.add_text(
        f"{report.texts} descriptions of {report.classes} classes, written by {lm}"
        + (f" from {resource}." if resource else ".")
    )
    for warning in report.warnings:
        page.add_text(warning[0].upper() + warning[1:] + ".", note=True)
    page.add_text(
        "The numbers find texts that cannot be used; whether what they say is true, they do not know. Read some below; "
        "whether they help to tell the classes apart is what `visus vgloss compare` measures."
    )
    for note in notes:
        page.add_text(note[0].upper() + note[1:] + ".")
    page.add_table(["", ""], _by_name(report.rows(), silver))
    drawn = "What is amiss: bars, less is better; beyond the lines the page warns."
    page.add_drawing(draw_quality(report), drawn)
    _add_meanings(page, concepts)
    _add_texts(page, silver)
    return page


def _by_name(rows: Sequence[tuple[str, str]], silver: Silver) -> list[tuple[str, str]]:
    """Numbers in which classes go by their names, not by their keys."""
    names = {key: each.name for key, each in silver.classes.items()}
    return [(what, " ".join(names.get(word, word) for word in value.split(" "))) for what, value in rows]


def _add_meanings(page: Page, concepts: Sequence[Concept]) -> None:
    page.add_heading("Meanings")
    weak = doubtful(concepts)
    if weak:
        names = ", ".join(each.label for each in weak[:12]) + (", ..." if len(weak) > 12 else "")
        page.add_text(
            f"{len(weak)} of {len(concepts)} are not sure: {names}. Correct the column synset, gloss or parent of the "
            "table .concepts.csv, and give it as --classes.",
            note=True,
        )
    first = {id(each) for each in weak}
    ordered = [*weak, *(each for each in concepts if id(each) not in first)][:MOST_MEANINGS]
    rows = [
        (
            each.label + (" *" if each.confidence < UNSURE else ""),
            each.synset.name if each.synset else (f"({each.parent.name})" if each.parent else "–"),
            f"{each.confidence:.2f}",
            each.how,
            shortened(each.gloss, 90),
            ", ".join(f"{s.synset.name} {s.share:.2f}" for s in each.alternatives[:3]),
        )
        for each in ordered
    ]
    page.add_table(["class", "meaning", "confidence", "how", "definition", "instead"], rows)
    if len(concepts) > MOST_MEANINGS:
        page.add_text(f"{len(concepts) - MOST_MEANINGS} more are in the table .concepts.csv.")


def _add_texts(page: Page, silver: Silver) -> None:
    page.add_heading("Descriptions")
    names = {key: each.name for key, each in silver.classes.items()}
    for each in list(silver.classes.values())[:MOST_CLASSES]:
        told = list(each.normal[:MOST_TEXTS])
        if len(each.normal) > MOST_TEXTS:
            told.append(f"... and {len(each.normal) - MOST_TEXTS} more")
        told += [
            f"not {names[other]}: {' '.join(texts)}" for other, texts in each.contrastive.items() if texts
        ]
        page.add_code("\n".join(told), title=f"{each.name}: {shortened(told[0], 110)}")
    if len(silver.classes) > MOST_CLASSES:
        page.add_text(f"{len(silver.classes) - MOST_CLASSES} more classes are in the file.")
