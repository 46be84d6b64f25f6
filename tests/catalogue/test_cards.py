"""The catalogue: fourteen cards, found by slug, number or title, and refused when malformed."""

from __future__ import annotations

import re
import sys
import types
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from visus.catalogue import cards, find, get, nearest, select, works
from visus.catalogue.shelf import read_cards
from visus.errors import InputError, MissingExtra

SLUGS = [
    "attention",
    "polytopes",
    "alignment",
    "vgloss",
    "hyperfusion",
    "chestxray",
    "statm",
    "nsi",
    "guidegen",
    "signfake",
    "erasing",
    "bidfmkd",
    "purer",
    "gptnas",
]


def card_file(slug: str) -> str:
    return (files("visus.catalogue") / "cards" / f"{slug}.yaml").read_text(encoding="utf-8")


def test_every_paper_of_the_project_has_a_card():
    assert sorted(card.slug for card in cards()) == sorted(SLUGS)


def test_the_papers_that_work_come_first():
    slugs = [card.slug for card in works()]
    assert {"attention", "hyperfusion", "polytopes"} <= set(slugs)
    assert [card.slug for card in cards()][: len(slugs)] == slugs == sorted(slugs)
    assert {card.status for card in cards()[len(slugs) :]} == {"planned"}


@pytest.mark.parametrize("slug", SLUGS)
def test_texts_are_complete_in_both_languages(slug):
    card = get(slug)
    for field in ("summary", "gives"):
        english, chinese = card.text(field), card.text(field, "zh")
        assert english.endswith(".")
        assert chinese.endswith("。")
        assert not re.search("[\u4e00-\u9fff]", english)
        assert not re.search("[\u4e00-\u9fff，。；] [\u4e00-\u9fff]", chinese), "a space inside Chinese text"
        assert not re.search(r"[\u4e00-\u9fff][,;:.](?!\d)", chinese), "ASCII punctuation in Chinese text"
    sentences = re.split(r"(?<=[.;])\s", card.summary)
    assert 2 <= len(sentences) <= 6


def test_the_cards_carry_the_papers_of_the_real_pages(shared):
    from visus.report.page import read

    entries = [
        entry for name in ("a", "b") for entry in read(shared / "digests" / f"digest_{name}.md").entries
    ]
    assert sorted(entry.arxiv for entry in entries) == sorted(card.arxiv for card in cards())
    for entry in entries:
        card = find(entry.arxiv)
        assert card.title == entry.plain_title
        assert find(entry.full_title) is card


@pytest.mark.parametrize(
    "asked",
    [
        "2403.01643",
        "arXiv:2403.01643v3",
        "http://arxiv.org/abs/2403.01643",
        "https://arxiv.org/pdf/2403.01643v2.pdf",
        "You need to pay better attention.",
        "You Need to Pay Better Attention (arXiv:2403.01643v1 [cs.LG])",
        "You Need to Pay Better Attention: Rethinking the Mathematics of Attention Mechanism",
        "你需要更好的注意力",
    ],
)
def test_a_paper_is_found_by_number_or_title(asked):
    assert find(asked).slug == "attention"


@pytest.mark.parametrize(
    "asked", ["2403.99999", "attention", "", "(arXiv:", "https://example.org/2403.01643"]
)
def test_what_is_no_paper_is_not_found(asked):
    assert find(asked) is None


def test_a_misspelt_slug_names_the_near_ones():
    with pytest.raises(InputError, match="nearest name is hyperfusion"):
        get("hyperfussion")
    with pytest.raises(InputError, match="papers: alignment, attention"):
        get("zzz")
    assert nearest("Hyperfuson", SLUGS) == "the nearest name is hyperfusion"


def test_selection_by_status_and_word():
    assert {card.slug for card in select(task="元学习")} == {"bidfmkd", "purer"}
    assert {card.slug for card in select(task="META-learning")} == {"bidfmkd", "purer"}
    assert select(status="works", task="meta-learning") == ()
    with pytest.raises(InputError, match="choose works or planned"):
        select(status="done")


def test_cards_are_unchangeable():
    with pytest.raises(AttributeError):
        cards()[0].title = "other"


def test_a_planned_paper_does_not_load_and_claims_nothing():
    with pytest.raises(InputError, match="purer: is planned"):
        get("purer").load()
    assert get("purer").claims() == ()


@pytest.fixture
def one_card(tmp_path: Path):
    """Writes the attention card with changes and reads the folder."""

    def write(name: str = "attention.yaml", **changes: object):
        plain = {**yaml.safe_load(card_file("attention")), **changes}
        (tmp_path / name).write_text(yaml.safe_dump(plain, allow_unicode=True), encoding="utf-8")
        return read_cards(tmp_path)

    return write


def test_one_more_file_is_one_more_card(one_card):
    one_card()
    found = one_card("new.yaml", slug="new", arxiv="2501.00001", package="visus.methods.new")
    assert [card.slug for card in found] == ["attention", "new"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "Attention"),
        ("arxiv", "2403.01643v1"),
        ("arxiv", "not a number"),
        ("arxiv", 2403.01643),
        ("authors", []),
        ("year", 24),
        ("year", "next"),
        ("status", "done"),
        ("extra", "everything"),
        ("estimator", None),
        ("package", "visus.methods.other"),
        ("verbs", []),
        ("verbs", ["fit", "fit"]),
        ("summary", "  "),
        ("gives_zh", "English"),
        ("colour", "red"),
    ],
)
def test_a_wrong_field_is_refused_by_name(one_card, field, value):
    with pytest.raises(InputError) as caught:
        one_card(**{field: value})
    assert caught.value.field == field
    assert str(caught.value.file).endswith("attention.yaml")


def test_a_card_must_lie_in_the_file_of_its_name(one_card):
    with pytest.raises(InputError, match="name the file attention"):
        one_card("other.yaml")


def test_two_cards_of_one_paper_are_refused(one_card):
    one_card()
    with pytest.raises(InputError, match="also the number of attention"):
        one_card("new.yaml", slug="new", package="visus.methods.new")


def fake_method(monkeypatch, name: str, **contents: object) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    monkeypatch.setitem(sys.modules, name, module)


def test_load_returns_the_class_and_claims_its_names(monkeypatch):
    class Estimator:
        @classmethod
        def claims(cls):
            return [types.SimpleNamespace(id="faster"), types.SimpleNamespace(id="smaller")]

    fake_method(monkeypatch, "visus.methods.attention", AttentionClassifier=Estimator)
    assert get("attention").load() is Estimator
    assert get("attention").claims() == ("faster", "smaller")


@pytest.mark.parametrize(
    ("extra", "hint"), [(None, "pip install nowhere"), ("medical", 'pip install "visus.medical."')]
)
def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch, one_card, tmp_path, extra, hint):
    (card,) = one_card(extra=extra)
    monkeypatch.setitem(sys.modules, card.package, None)
    folder = tmp_path / "visus_methods_attention_broken"
    folder.mkdir()
    (folder / "__init__.py").write_text("import nowhere.inside\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    object.__setattr__(card, "package", folder.name)
    with pytest.raises(MissingExtra, match=hint):
        card.load()
