"""The report: one file that needs nothing else, safe, readable, and with no number that was not measured."""

from __future__ import annotations

import itertools
import re
import statistics
import urllib.parse
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import report_examples as examples

from visus.catalogue import cards, get
from visus.report.html import anchor, report
from visus.report.listing import Context, Listed, list_papers
from visus.report.page import Entry, Page, page_of
from visus.report.words import words

CONTEXT = Context(header=examples.HEADER, command="visus digest 'my page.md' --preset demo --out runs/demo")
VOID = {"meta", "link", "img", "br", "path", "use", "rect", "defs"}


def made(*papers, lang="en", page=None, context=CONTEXT):
    papers = papers or (examples.attention(), examples.hyperfusion())
    listed = list_papers(page or page_of(cards(), lang), {p.arxiv: p for p in papers}, cards(), context.notes)
    return report(listed, context, lang=lang)


class Tree(HTMLParser):
    """Elements with attributes, and the words that a person sees, drawings left out."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag, tag

    def handle_data(self, data):
        if not {"svg", "style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module", params=["en", "zh"])
def built(request):
    source = made(lang=request.param)
    return source, Tree(source), request.param


def test_it_needs_no_other_file_no_network_and_no_script(built):
    source, tree, _ = built
    tags = {tag for tag, _ in tree.elements}
    assert not tags & {"script", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in tree.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "srcset", "poster", "background", "data"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
        if tag == "link":
            assert attributes["href"] == "data:,"
        target = attributes.get("href") or attributes.get("xlink:href") or "#"
        assert target.startswith(("#", "https://arxiv.org/abs/", "data:,")), target
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert len(source.encode()) < 1_000_000
    assert not tree.open


def test_everything_is_escaped(built):
    source, tree, _ = built
    assert "<script" not in source
    assert "<b>bad</b>" not in source
    assert examples.NASTY in tree.text
    assert "ValueError: <b>bad</b>" in tree.text


def test_hostile_titles_captions_names_and_pictures():
    nasty = examples.NASTY
    page = Page((Entry(ref="1", title=nasty, address='https://example.org/"><script>'),))
    evil = replace(
        examples.hyperfusion(),
        failures={nasty: nasty},
        figures=[
            replace(examples.attention().figures[0], name=nasty, caption=nasty, svg=f"<svg>{nasty}</svg>")
        ],
    )
    listed = [
        *list_papers(page, {}, cards()),
        Listed(ref="2", title=nasty, url="x", card=replace(get("hyperfusion"), summary=nasty), evidence=evil),
        Listed(ref="3", title=nasty, url="x", card=get("attention"), note=nasty),
    ]
    source = report(listed, Context(header={"device": nasty, nasty: nasty}, command=nasty), title=nasty)
    assert "<script" not in source
    assert not Tree(source).open
    assert Tree(source).text.count(nasty) >= 9


def test_the_same_records_give_the_same_file(built):
    source, _, lang = built
    assert source == made(lang=lang)


def test_landmarks_headings_and_descriptions(built):
    _, tree, lang = built
    tags = [tag for tag, _ in tree.elements]
    assert tags.count("h1") == tags.count("main") == tags.count("nav") == tags.count("footer") == 1
    assert tree.elements[0] == ("html", {"lang": "zh-Hans" if lang == "zh" else "en"})
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    identifiers = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in tree.elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in identifiers
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in identifiers


def test_verdicts_are_words_and_signs_not_only_colors(built):
    _, tree, lang = built
    table = words(lang)
    badges = [
        attributes["class"]
        for tag, attributes in tree.elements
        if attributes.get("class", "").startswith("badge")
    ]
    assert len(badges) == 11
    for verdict, sign, count in (("holds", "✓", 4), ("fails", "✗", 2), ("undecided", "?", 5)):
        assert badges.count(f"badge {verdict}") == count
        assert tree.text.count(f"{sign} {table[verdict]}") >= count


def test_the_verdict_table_counts_and_keeps_the_planned_papers():
    tree = Tree(made())
    assert tree.text.count("not implemented in visus yet") == len([c for c in cards() if not c.implemented])
    assert "1 trial crashed" in tree.text
    body = tree.text
    start = body.index("You Need to Pay Better Attention")
    assert re.match(r"You Need to Pay Better Attention 1 trial crashed 3 2 4 ", body[start:])
    assert re.search(r" All 4 2 5 ", body)


def test_unknown_left_out_and_repeated_papers():
    entries = (
        Entry(ref="1", title="Elsewhere", address="https://example.org/x"),
        Entry(ref="2", title="Unknown", address="https://arxiv.org/abs/2401.99999"),
        Entry(ref="3", title="A", address="https://arxiv.org/abs/2403.01643"),
        Entry(ref="4", title="A again", address="https://arxiv.org/abs/2403.01643v2"),
        Entry(ref="5", title="You need to pay better attention", address="https://example.org/copy"),
        Entry(ref="6", title="B", address="https://arxiv.org/abs/2403.13319"),
    )
    context = Context(header=examples.HEADER, notes={"hyperfusion": "needs nibabel"})
    page = Page(entries)
    listed = list_papers(page, {"2403.01643": examples.attention()}, cards(), context.notes)
    assert [paper.state for paper in listed] == [
        "unknown",
        "unknown",
        "measured",
        "measured",
        "measured",
        "not_run",
    ]
    tree = Tree(made(examples.attention(), page=page, context=context))
    assert tree.text.count("not in the catalogue of visus") == 2
    assert "implemented, not run this time needs nibabel" in tree.text
    assert sum(attributes.get("class") == "paper" for _, attributes in tree.elements) == 1


def numbers(evidence) -> list[float]:
    """Everything that may be said of a claim, by the textbook."""
    claim, found = (
        evidence.claim,
        [claim_value for claim_value in (evidence.effect,) if claim_value is not None],
    )
    found += [*(evidence.interval or ()), claim.smallest_effect, -claim.smallest_effect, 0.95, 95]
    for values in evidence.arms.values():
        known = [value for value in values if value == value]
        found += [*known, len(known)]
        if known:
            found.append(sum(known) / len(known))
        if len(known) > 1:
            found.append(statistics.stdev(known))
    return found + list(range(max(map(len, evidence.arms.values()), default=0)))


def test_every_number_of_a_claim_comes_from_its_record():
    paper = examples.attention()
    source = made(paper)
    articles = re.findall(r"<article.*?</article>", source, re.DOTALL)
    assert len(articles) == len(paper.claims)
    for article, evidence in zip(articles, paper.claims, strict=True):
        allowed = numbers(evidence)
        shown = Tree(article).text.replace(evidence.why, "").replace(evidence.claim.id, "")
        tokens = re.findall(r"(?<![\w.])[+−]?\d[\d,]*(?:\.\d+)?", shown)
        assert len(tokens) >= 8 or not evidence.arms[evidence.claim.candidate]
        for token in tokens:
            value = float(token.replace("−", "-").replace(",", ""))
            places = len(token.partition(".")[2])
            assert any(abs(value - given) <= 0.5000001 * 10**-places for given in allowed), (
                evidence.claim.id,
                token,
            )


def test_every_seed_effect_and_reason_is_there():
    paper = examples.attention()
    articles = re.findall(r"<article.*?</article>", made(paper), re.DOTALL)
    text = Tree(articles[0]).text
    for value in ("0.963", "0.958", "0.970", "0.961", "0.966", "0.964 0.004 5", "+0.046", "[+0.024, +0.067]"):
        assert value in text
    assert "super − standard > +0.01" in text
    assert "asserted by the paper" in text
    assert "What would explain a failure" not in text  # it holds
    for article, evidence in zip(articles, paper.claims, strict=True):
        shown = Tree(article).text
        assert evidence.why in shown
        assert (evidence.claim.caveat in shown) == (evidence.verdict != "holds" or evidence.claim.exact)
        assert evidence.claim.statement in shown
    assert "a control or finding of this project" in Tree(articles[1]).text
    assert "exact, decided without seeds" in Tree(articles[3]).text
    assert re.search("Note: +Few tokens", Tree(articles[3]).text)
    assert "Budget" not in text


def test_figures_are_images_that_run_nothing():
    tree = Tree(made())
    (image,) = [attributes for tag, attributes in tree.elements if tag == "img"]
    kind, _, coded = image["src"].partition(",")
    assert kind == "data:image/svg+xml"
    shown, given = (ElementTree.fromstring(svg) for svg in (urllib.parse.unquote(coded), examples.PICTURE))
    assert [(node.tag, node.text, node.get("x")) for node in shown.iter()] == [
        (node.tag, node.text, node.get("x")) for node in given.iter()
    ]
    assert "Cost <by> length" in tree.text


def test_provenance_and_how_to_measure_again():
    text = Tree(made()).text
    for said in ("0123abc", "Threads 2", "torch 2.13.0", "numpy 2.4.1", "2026-11-22", "5.2 min", "41 s"):
        assert said in text
    assert CONTEXT.command in text
    assert "visus reproduce attention --preset demo" in text


def test_a_page_without_any_measurement():
    source = report(list_papers(page_of(cards()), {}, cards()), Context())
    assert "<svg" not in source
    tree = Tree(source)
    assert not tree.open
    assert tree.text.count("implemented, not run this time") == len([c for c in cards() if c.implemented])
    empty = replace(examples.hyperfusion(), claims=[])
    assert "no claim is measured under this preset" in Tree(made(empty)).text


def test_the_budget_stands_beside_every_claim():
    facts = {"title": "Digits", "title_zh": "数字", "budget": "5 epochs, <same> data"}
    paper = replace(examples.hyperfusion(), experiments={"digits": facts})
    for lang, said in (("en", "Experiment: Digits; Budget: "), ("zh", "实验：数字；预算：")):
        assert Tree(made(paper, lang=lang)).text.count(said + facts["budget"]) == len(paper.claims)


def test_a_claim_left_out_of_the_preset_has_no_plot_and_a_note():
    left_out = replace(examples.one_seed(), arms={}, effect=None, why="not measured in preset smoke")
    paper = replace(examples.hyperfusion(), claims=[examples.holds(), left_out])
    first, second = re.findall(r"<article.*?</article>", made(paper), re.DOTALL)
    assert "<svg" in first
    assert "<svg" not in second
    assert "not measured in preset smoke" in second
    assert "Note" in second
    assert left_out.claim.caveat in second
    assert "– not measured" in Tree(second).text
    text = Tree(made(paper)).text
    assert "1 holds · 0 fail · 0 undecided · 1 not measured" in text
    assert "1 条未测" in Tree(made(paper, lang="zh")).text
    assert "? undecided – not measured" in text
    assert "? undecided – not measured" not in Tree(made()).text


def test_anchors():
    assert anchor("attention") == "attention"
    assert anchor("attention", "super-better") == "attention-super-better"


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_enough_in_light_and_dark():
    """WCAG AA: 4.5 for text, 3 for marks."""
    source = made()
    light = dict(re.findall(r"--([\w-]+): (#\w{6})", source[: source.index("prefers-color-scheme: dark")]))
    rest = source[source.index("prefers-color-scheme: dark") : source.index("* { box-sizing")]
    dark = {**light, **dict(re.findall(r"--([\w-]+): (#\w{6})", rest))}
    fallback = dict(re.findall(r"var\(--([\w-]+),\s*(#\w{6})\)", source))
    assert dark["paper"] != light["paper"]
    for scheme in (light, dark):
        for ground in ("paper", "soft"):
            for ink in ("ink", "quiet", "link", "holds", "fails", "undecided"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
            for mark in ("candidate", "reference", "other", "region"):
                assert contrast(scheme.get(mark, fallback[mark]), scheme[ground]) >= 3, (mark, ground)
        for verdict in ("holds", "fails", "undecided"):
            assert contrast(scheme[verdict], scheme[f"{verdict}-soft"]) >= 4.5
    for square in re.findall(r"fill:(#(?:00714f|b04400|7a5800))", source):
        assert contrast("#ffffff", square) >= 4.5
