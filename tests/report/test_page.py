"""Digest pages: the real ones byte for byte, generated ones by round trip, broken ones by line number."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visus.catalogue import cards
from visus.errors import InputError
from visus.report.page import EVIDENCE_MARK, Entry, Page, page_of, parse, read, write
from visus.report.page.form import escape, unescape

SMALL = Path(__file__).parents[1] / "data" / "digest_small.md"


@pytest.mark.parametrize(("name", "count"), [("digest_a.md", 3), ("digest_b.md", 11)])
def test_the_real_pages_are_read_completely_and_written_byte_for_byte(shared, name, count):
    path = shared / "digests" / name
    page = read(path)
    assert len(page.entries) == count
    assert page.lang == "zh"
    assert write(page).encode() == path.read_bytes()
    for entry in page.entries:
        assert entry.arxiv in entry.address
        assert entry.detail_summary is None  # equal to the table's on these pages
        assert entry.translated_title
        assert entry.full_title.startswith(entry.plain_title)
        assert len(entry.translated_abstract) > 100
        assert len(entry.abstract) > 700
        assert not entry.evidence
        assert not entry.extra


def test_the_details_of_a_real_page(shared):
    entries = {entry.arxiv: entry for entry in read(shared / "digests" / "digest_b.md").entries}
    purer, nas = entries["2303.11183"], entries["2305.05351"]
    assert (purer.ref, purer.version) == ("10", 2)
    assert nas.full_title.endswith("(arXiv:2305.05351v1 [cs.CV] CROSS LISTED)")
    assert nas.plain_title == "GPT-NAS: Neural Architecture Search with the Generative Pre-Trained Model"
    assert entries["2403.16970"].abstract.endswith("asynchronous training schedules of individual tasks")
    assert entries["2404.01438"].version is None


def test_a_small_english_page():
    page = read(SMALL)
    assert write(page) == SMALL.read_text(encoding="utf-8")
    first, second, third = page.entries
    assert page.lang == "en"
    assert page.preface == "Weekly page, with one paper of another site."
    assert page.note == "Made by hand."
    assert first.title == "[Re] Counting cells | a replication"
    assert first.identifier == ("cs/0501001", 2)
    assert first.summary == "Counts cells again, with the cost |x| of each."
    assert first.abstract.endswith("with what was rep")
    assert first.translated_abstract == ""
    assert second.ref == "b"
    assert second.detail_summary == "Mixes tables with images, said at greater length."
    assert (second.arxiv, second.version) == ("2401.00001", 3)
    assert second.translated_abstract.startswith("A first paragraph")
    assert third.arxiv is None
    assert third.address == "https://example.org/papers/survey_(2).html"
    assert (third.summary, third.full_title, third.abstract) == ("", "", "")


def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path):
    text = SMALL.read_text(encoding="utf-8")
    plain = parse(text)
    assert parse(text.replace("\n", "\r\n")) == plain
    assert parse("\ufeff" + text.replace("\n", "\r")) == plain
    assert parse(text.replace("\n    ", "\n\t")) == plain
    path = tmp_path / "page.md"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read(path) == plain


def test_a_page_whose_blank_lines_were_tidied_reads_the_same():
    text = SMALL.read_text(encoding="utf-8")
    tidied = "\n".join(line.rstrip() for line in text.split("\n"))
    assert parse(tidied) == parse(text)
    while (
        "\n\n\n" in tidied
    ):  # without the gap, what follows the address is summary, translation, abstract in turn
        tidied = tidied.replace("\n\n\n", "\n\n")
    assert parse(tidied) == parse(text)


def test_wrapped_paragraphs_belong_together():
    text = SMALL.read_text(encoding="utf-8").replace(
        "Mixes tables with images, said", "Mixes tables\nwith images, said"
    )
    assert parse(text).entries[1].detail_summary == "Mixes tables\nwith images, said at greater length."


def test_columns_and_evidence_are_added_replaced_and_read_back():
    page = read(SMALL)
    once = page.with_column("Evidence", {"1": "**holds** | 2 of 3", "b": "[see](report.html#b)"})
    once = once.with_evidence(
        {"1": "Measured:\n\n| arm | value |\n| --- | --- |\n| a | 1 |\n\n![plot](a.svg)", "3": "none"}
    )
    again = parse(write(once))
    assert again == once
    assert again.columns == ("Ref", "Title", "Summary", "Evidence")
    assert [entry.extra["Evidence"] for entry in again.entries] == [
        "**holds** | 2 of 3",
        "[see](report.html#b)",
        "",
    ]
    assert again.entries[0].evidence.count("\n\n") == 2
    assert again.entries[1].evidence == ""
    twice = again.with_column("Evidence", {"3": "new"}).with_evidence({"b": "later"})
    assert twice.columns == once.columns
    assert [entry.extra["Evidence"] for entry in twice.entries] == ["", "", "new"]
    assert [entry.evidence for entry in twice.entries] == ["", "later", ""]
    stripped = dataclasses.replace(
        twice.with_evidence({}),
        columns=page.columns,
        entries=tuple(dataclasses.replace(entry, extra={}, evidence="") for entry in twice.entries),
    )
    assert stripped == page


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_catalogue_as_a_page(lang):
    page = page_of(cards(), lang)
    assert page.lang == lang
    assert parse(write(page)) == page
    assert [entry.arxiv for entry in page.entries] == [card.arxiv for card in cards()]
    assert all(entry.summary and entry.abstract for entry in page.entries)


ROW = "| [^1] | [T](https://arxiv.org/abs/2401.00001) | S |"
NOTE = (
    "[^1]: T\n\n    T\n\n    [https://arxiv.org/abs/2401.00001](https://arxiv.org/abs/2401.00001)\n\n    S\n"
)
GOOD = f"# Summary\n\n| Ref | Title | Summary |\n| --- | --- | --- |\n{ROW}\n\n# Details\n\n{NOTE}"


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        (GOOD, "", 1, "page is empty"),
        (GOOD, "  \n\n", 1, "page is empty"),
        ("# Summary", "# Overview", 1, "no summary heading"),
        ("|", "!", 1, "no table"),
        ("| --- | --- | --- |\n", "", 3, "no rule"),
        ("| --- | --- | --- |", "| --- | --- |", 3, "no rule"),
        ("| Ref | Title | Summary |", "| Ref | Title |", 3, "2 columns"),
        ("Summary |\n| --- |", "Summary | A | A |\n| --- | --- | --- |", 3, "same name"),
        (ROW + "\n", "", 3, "no rows"),
        (" | S |", " | S | more |", 5, "4 cells, the header 3"),
        (" | S |", " |", 5, "2 cells, the header 3"),
        (" | S |", " | a | b |", 5, "4 cells"),
        ("| [^1] |", "| 1 |", 5, "no footnote reference"),
        ("[T](https://arxiv.org/abs/2401.00001)", "T", 5, "no link"),
        ("(https://arxiv.org/abs/2401.00001) |", "(https://arxiv.org/abs/2401) |", 5, "names no paper"),
        (ROW, f"{ROW}\n{ROW}", 6, "already the row of line 5"),
        (ROW, f"{ROW}\n{ROW.replace('^1', '^2')}", 6, r"\[\^2\] has no footnote"),
        ("# Details", "# More", 5, "no details"),
        (NOTE, NOTE + NOTE, 16, "already the footnote of line 9"),
        (NOTE, NOTE + NOTE.replace("^1", "^7"), 16, r"\[\^7\] has no row"),
        (NOTE, "[^1]: T\n\n    T\n\n    S\n", 9, "no address"),
        (NOTE, NOTE.replace("    T\n", "    T\n\n    U\n"), 9, "3 paragraphs before"),
        (NOTE, NOTE.replace("00001", "00002"), 9, "another address"),
        (NOTE, NOTE + "\nloose text\n", 17, "belongs to no footnote"),
        (NOTE, "before\n" + NOTE, 9, "belongs to no footnote"),
        (NOTE, NOTE + "# Further\n", 16, "belongs to no footnote"),
    ],
)
def test_a_broken_page_names_the_line_and_the_remedy(old, new, line, problem):
    assert old in GOOD
    with pytest.raises(InputError, match=problem) as caught:
        parse(GOOD.replace(old, new), file="page.md")
    assert caught.value.field == f"line {line}"
    assert caught.value.file == "page.md"
    assert caught.value.remedy


def test_the_page_that_is_broken_above_is_good():
    (entry,) = parse(GOOD).entries
    assert (entry.title, entry.summary, entry.arxiv) == ("T", "S", "2401.00001")


def test_an_address_of_the_other_form_is_the_same_paper():
    other = NOTE.replace("https://arxiv.org/abs/2401.00001", "http://arxiv.org/2401.00001v2")
    assert parse(GOOD.replace(NOTE, other)).entries[0].address == "https://arxiv.org/abs/2401.00001"


def test_files_that_cannot_be_read(tmp_path):
    bad = tmp_path / "latin.md"
    bad.write_bytes(b"# Summary\n\ncaf\xe9\n")
    with pytest.raises(InputError, match="0xe9 is not UTF-8") as caught:
        read(bad)
    assert caught.value.field == "line 3"
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.md")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"abstract": "two\n\nparagraphs"}, "entry 1, translated_abstract"),
        ({"abstract": EVIDENCE_MARK}, "entry 1, abstract"),
        ({"translated_abstract": "only this"}, "entry 1, translated_abstract"),
        ({"detail_summary": "a\n\n\nb"}, "entry 1, detail_summary"),
    ],
)
def test_a_text_that_would_be_read_back_otherwise_is_refused(change, field):
    (entry,) = parse(GOOD).entries
    with pytest.raises(InputError) as caught:
        write(Page((dataclasses.replace(entry, **change),)))
    assert caught.value.field == field


def test_an_unknown_column_is_refused():
    with pytest.raises(InputError, match="no such column"):
        Page((Entry("1", "T", "https://arxiv.org/abs/2401.00001", extra={"Evidence": "x"}),))


@given(st.text("\\|[]a ", max_size=12), st.sampled_from(["|", "[]|"]))
def test_escaping_is_undone(text, special):
    assert unescape(escape(text, special), special) == text


LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"))
LINE = st.one_of(st.text(LETTERS, max_size=30), st.text("\\|[]()^:#*-`<> 摘a1", max_size=12)).map(
    lambda text: " ".join(text.split())
)
WORDS = LINE.filter(lambda text: text and not text.startswith(("[", "<", "http")) and text != EVIDENCE_MARK)
ADDRESS = st.one_of(
    st.from_regex(r"https?://arxiv\.org/abs/\d{4}\.\d{5}(v[1-9])?", fullmatch=True),
    st.sampled_from(["https://example.org/a_(b)?q=1|2", "https://doi.org/10.1000/x\\y", "http://a.example/"]),
)
MARKDOWN = st.lists(st.one_of(LINE, LINE.map(lambda text: "  " + text)), max_size=5).map("\n".join)


@st.composite
def pages(draw):
    columns = draw(st.lists(WORDS, max_size=2, unique=True))
    refs = draw(
        st.lists(st.from_regex(r"[1-9a-z][0-9]?", fullmatch=True), min_size=1, max_size=4, unique=True)
    )
    entries = []
    for ref in refs:
        abstract = draw(st.one_of(st.just(""), WORDS))
        entries.append(
            Entry(
                ref,
                draw(LINE),
                draw(ADDRESS),
                draw(WORDS),
                {name: draw(LINE) for name in columns},
                translated_title=draw(st.one_of(st.just(""), WORDS)),
                full_title=draw(st.one_of(st.just(""), WORDS)),
                detail_summary=draw(st.one_of(st.none(), WORDS)),
                translated_abstract=draw(WORDS) if abstract and draw(st.booleans()) else "",
                abstract=abstract,
                evidence=draw(MARKDOWN),
            )
        )
    heading, details = draw(
        st.sampled_from([("Summary", "Details"), ("摘要", "详细"), ("ABSTRACT:", "Detail")])
    )
    plain = st.text("ab\n ", max_size=8).map(str.strip)
    return Page(
        tuple(entries),
        ("Ref", "Title", "Summary", *columns),
        heading,
        details,
        preface=draw(plain),
        intro=draw(plain),
        note=draw(plain),
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(pages())
def test_generated_pages_are_read_back_as_they_were(page):
    text = write(page)
    assert parse(text) == page
    assert write(parse(text)) == text


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_page_is_read_or_refused_in_words(data):
    text = data.draw(st.sampled_from([GOOD, SMALL.read_text(encoding="utf-8")]))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text("\\|[]()^:#\n a摘", max_size=6)) + text[stop:]
    try:
        page, error = parse(damaged, file="page.md"), None
    except InputError as caught:
        page, error = None, caught
    if page is not None:
        assert parse(write(page)) == page
    if error is not None:
        assert error.field.startswith("line ")
        assert 1 <= int(error.field.split()[1]) <= damaged.count("\n") + 1
        assert error.remedy
