"""Few-shot prompts: what is told, what is asked, and that no answer stands in them."""

from __future__ import annotations

import itertools

import pytest
from vgloss_lexicon import COINED, CRANE, HERON, MACHINE

from visus.errors import InputError
from visus.methods.vgloss.model.concepts import Concept
from visus.methods.vgloss.model.exemplars import EXEMPLARS, PAIRS
from visus.methods.vgloss.model.languages import read_entries
from visus.methods.vgloss.model.languages.english import NameIndex
from visus.methods.vgloss.model.prompter import CUE, SemanticPrompter, contrast_names
from visus.methods.vgloss.model.visual import VisualLexicon


def test_prompt_holds_three_examples_and_the_record():
    prompt = SemanticPrompter().prompt(CRANE)
    assert [entry.name for entry in read_entries(prompt)] == ["moose", "walnut", "igloo", "crane"]
    assert prompt.count(CUE) == 4
    assert prompt.endswith(f"Parts: beak; wing\n{CUE}")
    assert CRANE.gloss in prompt


def test_examples_are_shown_with_the_fields_that_are_asked_for():
    prompt = SemanticPrompter(fields=["meaning"], exemplars=2).prompt(CRANE)
    assert "Parts:" not in prompt
    assert "Kind of:" not in prompt
    assert prompt.count("Meaning:") == 3


def test_no_example_is_in_the_label_set():
    targets = ["Moose", "walnuts", Concept(label="snow house", lemmas=("igloo",))]
    prompter = SemanticPrompter(targets=targets)
    assert not {"moose", "walnut", "igloo"} & set(prompter.used())
    assert len(prompter.used()) == 3
    shown = {entry.name for entry in read_entries(prompter.contrast(CRANE, HERON))}
    assert not {"moose", "reindeer", "walnut", "cashew", "igloo", "tepee"} & shown


def test_a_synonym_of_an_example_counts_as_the_example():
    assert "reindeer" in {entry.name for entry in read_entries(SemanticPrompter().contrast(CRANE, HERON))}
    taken = SemanticPrompter(targets=["caribou"]).contrast(CRANE, HERON)
    assert "reindeer" not in {entry.name for entry in read_entries(taken)}


def test_a_concept_is_never_its_own_example():
    moose = Concept(label="moose", gloss="large deer")
    assert [entry.name for entry in read_entries(SemanticPrompter().prompt(moose))].count("moose") == 1


def test_too_few_examples_left_says_how_many():
    names = [exemplar.entry.name for exemplar in EXEMPLARS[:10]]
    with pytest.raises(InputError, match="3 examples are wanted, but only 2"):
        SemanticPrompter(targets=names)
    assert SemanticPrompter(exemplars=0, targets=names).prompt(CRANE).count("Name:") == 1
    with pytest.raises(InputError, match="exemplars: must not be below 0"):
        SemanticPrompter(exemplars=-1)


def test_aimed_at_keeps_the_settings():
    prompter = SemanticPrompter(exemplars=1, fields=["kinds"]).aimed_at(["moose"])
    assert prompter.used() == ("walnut",)
    assert prompter.fields == ("kinds",)


def test_contrastive_prompt_ends_in_the_first_label():
    prompt = SemanticPrompter().contrast(CRANE, HERON)
    assert prompt.endswith("\ncrane:")
    assert [entry.name for entry in read_entries(prompt)][-2:] == ["crane", "heron"]
    assert "\nmoose: The moose" in prompt


def test_concepts_of_one_label_are_told_apart():
    assert contrast_names(CRANE, MACHINE) == ("crane (wading bird)", "crane (lifting device)")
    assert contrast_names(COINED, COINED) == ("blorp two (first)", "blorp two (second)")
    assert contrast_names(CRANE, HERON) == ("crane", "heron")
    assert SemanticPrompter().contrast(CRANE, MACHINE).endswith("\ncrane (wading bird):")


def test_unknown_field_is_refused():
    with pytest.raises(InputError, match="fields: 'looks' is not a field"):
        SemanticPrompter(fields=["looks"])


def test_pool_of_examples_is_large_different_and_visible():
    names = [exemplar.entry.name for exemplar in EXEMPLARS]
    assert len(set(names)) == len(names) >= 8
    lexicon = VisualLexicon.built_in()
    for exemplar in EXEMPLARS:
        assert len(lexicon.seen(exemplar.description)) >= 2, exemplar.entry.name
        assert len(lexicon.seen(exemplar.contrast)) >= 2, exemplar.entry.name
        assert exemplar.entry.name in exemplar.description
    for one, other in itertools.chain(PAIRS, (pair[::-1] for pair in PAIRS)):
        foreign = NameIndex({"other": [other.entry.name, *other.entry.synonyms]})
        assert not foreign.found(one.contrast)


def test_examples_do_not_tell_of_a_target_as_their_kind():
    kinds = {kind for pair in PAIRS for exemplar in pair for kind in exemplar.entry.kinds}
    for kind in sorted(kinds):
        free = SemanticPrompter(exemplars=1, targets=[kind])
        shown = [exemplar for pair in PAIRS for exemplar in pair if exemplar.entry.name in free.used()]
        assert shown
        assert all(kind not in exemplar.entry.kinds for exemplar in shown), kind
    assert SemanticPrompter(
        targets=["airplane", "bird", "car", "cat", "deer", "dog", "horse", "truck"]
    ).used()
