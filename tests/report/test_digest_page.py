"""The annotated page: still a digest page, with what was measured beside every entry."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_examples as examples

from visus.catalogue import cards, select
from visus.report.digest_page import annotate, figure_files, plain
from visus.report.html import report
from visus.report.listing import Context, list_papers
from visus.report.page import page_of, parse, read, write

SMALL = Path(__file__).parents[1] / "data" / "digest_small.md"
PAPERS = (examples.attention(), examples.hyperfusion())
BY_ARXIV = {paper.arxiv: paper for paper in PAPERS}
CONTEXT = Context(header=examples.HEADER)


def annotated(page, lang, by_arxiv=BY_ARXIV, context=CONTEXT):
    done = annotate(page, by_arxiv, cards(), lang, context=context)
    assert parse(write(done)) == done
    return done


@pytest.mark.parametrize("name", ["digest_a.md", "digest_b.md"])
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_real_pages_keep_all_they_had(shared, name, lang):
    page = read(shared / "digests" / name)
    done = annotated(page, lang)
    column = "证据" if lang == "zh" else "Evidence"
    assert done.columns == (*page.columns, column)
    for before, after in zip(page.entries, done.entries, strict=True):
        assert replace(after, extra={}, evidence="") == before
        assert after.extra[column]
        assert after.evidence
    assert bool(re.search("[\u4e00-\u9fff]", done.entries[0].evidence)) == (lang == "zh")


def test_cells_and_details(shared):
    done = annotated(read(shared / "digests" / "digest_b.md"), "en")
    entries = {entry.arxiv: entry for entry in done.entries}
    assert entries["2403.01643"].extra["Evidence"] == "[3 hold · 2 fail · 4 undecided](report.html#attention)"
    assert entries["2305.05351"].extra["Evidence"] == "implemented, not run this time"
    for planned in (entries[card.arxiv] for card in select(status="planned") if card.arxiv in entries):
        assert planned.extra["Evidence"] == "not implemented in visus yet"
        assert planned.evidence == "**Evidence**: not implemented in visus yet."
    evidence = entries["2403.01643"].evidence
    assert evidence.startswith("**Evidence (visus 0.1.0, preset demo, 2026-11-22)**: 3 hold")
    lines = [line for line in evidence.splitlines() if line.startswith("- ")]
    assert len(lines) == len(examples.ALL)
    for wanted in (
        "✓ **holds**: Super attention",
        "super − standard = +0.046",
        "95 % interval [+0.024, +0.067]",
        r"holds when super − standard \> +0.01",
        "5 seeds",
        "(figures/attention-super-better.svg)",
    ):
        assert wanted in lines[0], wanted
    assert "What would explain a failure: Few tokens leave little to mix. [" in lines[1]
    assert "exact, decided without seeds" in lines[3]
    assert "2 seeds" in lines[7]
    assert "1 trial crashed: `digits/super/3`." in evidence


def test_chinese_details(shared):
    done = annotated(read(shared / "digests" / "digest_b.md"), "zh")
    entry = next(entry for entry in done.entries if entry.arxiv == "2403.13319")
    assert entry.extra["证据"] == "[1 条成立 · 1 条未定](report.html#hyperfusion)"
    assert "在较短的固定上下文中，超级注意力的分类效果优于标准注意力。" in entry.evidence
    assert "成立条件" in entry.evidence


def test_unknown_papers_and_papers_that_were_not_run():
    done = annotated(read(SMALL), "en")
    assert {entry.extra["Evidence"] for entry in done.entries} == {"not in the catalogue of visus"}
    context = replace(CONTEXT, notes={"attention": "needs x_y: pip install"})
    catalogue = annotated(page_of(cards()), "en", by_arxiv={}, context=context)
    entry = next(entry for entry in catalogue.entries if entry.arxiv == "2403.01643")
    assert entry.extra["Evidence"] == "implemented, not run this time"
    assert entry.evidence.endswith(r"not run this time. needs x\_y: pip install")


def test_annotating_again_replaces_what_was_there(shared):
    page = read(shared / "digests" / "digest_b.md")
    once = annotated(page, "zh")
    assert annotated(once, "zh") == once
    other = annotated(parse(write(once)), "en", by_arxiv={})
    assert other == annotated(page, "en", by_arxiv={})
    assert "证据" not in other.columns


def test_hostile_text_stays_text():
    done = annotated(page_of(cards()), "en")
    entry = next(entry for entry in done.entries if entry.arxiv == "2403.01643")
    assert "<script" not in re.sub(r"\\<", "", entry.evidence)
    assert r"\]\(evil)" not in entry.evidence
    assert not re.search(r"(?<!\\)\]\(evil\)", entry.evidence)


@pytest.mark.parametrize(
    "text", ["a|b", "[x](y)", "<i>", "*a* _b_ `c`", "a\n\n# b", "~~s~~", "&lt;", "$x$", "\\"]
)
def test_plain_markdown(text):
    shown = plain(text)
    assert "\n" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]<>|#~$&]", shown)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_link_leads_to_a_file_or_a_place_in_the_report(lang):
    page = page_of(cards(), lang)
    done = annotated(page, lang)
    files = figure_files(PAPERS, lang=lang)
    linked = set(re.findall(r"\]\(figures/([^)]+)\)", write(done)))
    assert linked == set(files)
    assert len(linked) == sum(len(paper.claims) + len(paper.figures) for paper in PAPERS)
    source = report(list_papers(page, BY_ARXIV, cards()), CONTEXT, lang=lang)
    for place in re.findall(r"\]\(report\.html#([^)]+)\)", write(done)):
        assert f'id="{place}"' in source
    for name, svg in files.items():
        assert ElementTree.fromstring(svg.encode()).tag.endswith("svg"), name
        assert re.fullmatch(r"[\w-]+\.svg", name)
        assert len(svg.encode()) < 40_000


def test_numbers_are_those_of_the_records():
    files = annotated(page_of(cards()), "en")
    evidence = next(entry for entry in files.entries if entry.arxiv == "2403.13319").evidence
    tokens = [float(t.replace("−", "-")) for t in re.findall(r"[+−]\d+\.\d+", evidence)]
    holds, undecided = examples.hyperfusion().claims
    for found, line in ((holds, tokens[:4]), (undecided, tokens[4:])):
        threshold = found.claim.smallest_effect * (1 if found.claim.direction == "higher" else -1)
        assert line == pytest.approx([found.effect, *found.interval, threshold], abs=5e-4)


def test_a_claim_left_out_of_the_preset_has_no_plot():
    left_out = replace(examples.one_seed(), arms={}, effect=None, why="not measured in preset smoke")
    paper = replace(examples.hyperfusion(), claims=[examples.holds(), left_out])
    assert list(figure_files([paper], lang="en")) == ["hyperfusion-super-better.svg"]
    done = annotated(page_of(cards()), "en", by_arxiv={paper.arxiv: paper})
    line = next(e for e in done.entries if e.arxiv == paper.arxiv).evidence.splitlines()[-1]
    assert line.startswith("- – **not measured**: ")
    assert line.endswith("Why: not measured in preset smoke. Note: Few tokens leave little to mix.")
    entry = next(e for e in done.entries if e.arxiv == paper.arxiv)
    assert entry.extra["Evidence"].startswith("[1 holds · 1 not measured]")
    zh = annotated(page_of(cards(), "zh"), "zh", by_arxiv={paper.arxiv: paper})
    said = next(e for e in zh.entries if e.arxiv == paper.arxiv).extra["证据"]
    assert said.startswith("[1 条成立 · 1 条未测]")
