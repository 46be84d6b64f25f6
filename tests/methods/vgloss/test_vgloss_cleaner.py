"""Raw answers of language models, and what is kept of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from vgloss_lexicon import CRANE, HERON, TIGER_SHARK

from visus.data.wordnet import WordNet, find_wordnet
from visus.errors import InputError
from visus.methods.vgloss.model.cleaner import DescriptionCleaner
from visus.methods.vgloss.model.exemplars import EXEMPLARS
from visus.methods.vgloss.model.prompter import CUE, SemanticPrompter
from visus.methods.vgloss.model.visual import BUILT_IN, VisualLexicon, visual_lexicon

BUILT = VisualLexicon.built_in()


def cleaner(**options) -> DescriptionCleaner:
    return DescriptionCleaner(lexicon=BUILT, **options)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("A crane has long legs.", "A crane has long legs."),
        ("  \n\nA crane has long legs. It flies.", "A crane has long legs."),
        ("1. A crane has long legs.\n2. A beak.", "A crane has long legs."),
        ("- **Long legs** and a beak", "Long legs and a beak"),
        ("(2) a) A tall bird with a red patch.", "A tall bird with a red patch."),
        ("Sure! Here is a description:\nA tall grey bird.", "A tall grey bird."),
        ("Here are some features:\n\n* A tall grey bird.", "A tall grey bird."),
        ('"A tall grey bird."', "A tall grey bird."),
        ("Description: A tall grey bird.", "A tall grey bird."),
        (f"{CUE} A tall grey bird.", "A tall grey bird."),
        ("<|im_start|>A tall grey bird.<|im_end|>", "A tall grey bird."),
        ("A bird of approx. 4 ft. with long legs. It flies.", "A bird of approx. 4 ft. with long legs."),
        ("A tall grey bird with a long,", "A tall grey bird with a long"),
        ("Name: crane\nA tall grey bird.", "A tall grey bird."),
        ("A 3.5 m wide white wing. Big.", "A 3.5 m wide white wing."),
    ],
)
def test_first_sentence_without_what_surrounds_it(raw, kept):
    assert cleaner().clean([raw], CRANE).kept == (kept,)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("\n  \n", "empty"),
        ("1.", "empty"),
        ("...", "empty"),
        ("Crane.", "empty"),
        ("I'm sorry, but I cannot see photos.", "refusal"),
        ("As an AI language model, I see nothing red.", "refusal"),
        ("Please provide more details on the red bird.", "refusal"),
        ("Kind of: bird", "prompt echo"),
        ("red and white and red and white and red and white", "repetitive"),
    ],
)
def test_what_cannot_be_used_is_dropped_with_its_reason(raw, reason):
    cleaned = cleaner().clean([raw, "A tall grey bird."], CRANE)
    assert cleaned.kept == ("A tall grey bird.",)
    assert cleaned.dropped == ((raw, reason),)
    assert cleaned.share_dropped == 0.5


def test_repeating_the_prompt_or_its_examples_is_an_echo():
    prompt = SemanticPrompter().prompt(CRANE)
    copied = EXEMPLARS[0].description
    told = "The walnut is a brown bird."
    cleaned = cleaner().clean(
        [copied, told, prompt.splitlines()[0], "A crane as brown as a walnut."], CRANE, prompt=prompt
    )
    assert cleaned.kept == ("A crane as brown as a walnut.",)
    assert cleaned.reasons == {"prompt echo": 3}


def test_gloss_said_again_is_no_echo():
    prompt = SemanticPrompter().prompt(HERON)
    assert cleaner().clean([HERON.gloss], HERON, prompt=prompt).kept == (HERON.gloss,)


def test_duplicates_differ_in_more_than_case_and_marks():
    cleaned = cleaner().clean(["A red bird.", "a red bird", "A  red-bird!", "A red birdie."], CRANE)
    assert cleaned.kept == ("A red bird.", "A red birdie.")
    assert cleaned.reasons == {"duplicate": 2}


def test_texts_on_nothing_visible_go_unless_nothing_is_left():
    seen, unseen, habitat = "A grey bird.", "It dances and calls.", "It is native to grey lands."
    cleaned = cleaner().clean([unseen, seen, habitat], CRANE)
    assert cleaned.kept == (seen,)
    assert cleaned.reasons == {"nothing visible": 2}
    assert not cleaned.blind
    left = cleaner().clean([unseen, habitat], CRANE)
    assert left.kept == (unseen, habitat)
    assert left.blind
    assert left.share_dropped == 0
    assert cleaner(visual_filter=False).clean([unseen, seen], CRANE).kept == (unseen, seen)


def test_habitat_may_stay_where_enough_is_visible():
    text = "A grey bird with long legs that is found in marshes."
    assert cleaner().visible(text)
    assert not cleaner().visible("It is found in the grey north.")


def test_length_is_the_encoders_own():
    def count(text: str) -> int:
        return len(text.split()) + 2

    text = "A tall grey bird with long legs, a red crown and a very long neck that bends."
    cut = cleaner(count_tokens=count, max_tokens=12).clean([text], CRANE)
    assert cut.kept == ("A tall grey bird with long legs.",)
    assert cut.shortened == 1
    whole = cleaner(count_tokens=count, max_tokens=19).clean([text], CRANE)
    assert whole.kept == (text,)
    assert whole.shortened == 0
    nothing = cleaner(count_tokens=lambda text: 99, max_tokens=12).clean([text], CRANE)
    assert nothing.reasons == {"too long": 1}
    with pytest.raises(InputError, match="max_tokens"):
        DescriptionCleaner(max_tokens=3)


@pytest.mark.parametrize("limit", range(4, 24))
def test_cut_texts_always_fit(limit):
    made = cleaner(max_tokens=limit, visual_filter=False)
    text = "A tall, grey, long-legged bird; its neck, which is long, bends; red crown (often) and wings."
    for kept in made.clean([text], CRANE).kept:
        assert made.tokens(kept) <= limit


def test_name_goes_in_front_where_it_is_missing():
    made = cleaner(name_prefix=True)
    assert made.clean(["Long legs.", "Cranes have red caps."], CRANE).kept == (
        "crane: Long legs.",
        "Cranes have red caps.",
    )
    assert made.clean(["A striped Galeocerdo cuvieri."], TIGER_SHARK).kept == (
        "A striped Galeocerdo cuvieri.",
    )


def test_built_in_lexicon_knows_forms():
    assert BUILT.seen("Stripes, long-necked: RED!") == ("stripes", "long", "necked", "red")
    assert BUILT.seen("It was invented in Paris") == ()
    assert BUILT.origin == "built-in"


def test_without_wordnet_the_built_in_list_serves(monkeypatch):
    import visus.data.wordnet as package

    monkeypatch.setattr(package, "find_wordnet", lambda: None)
    assert visual_lexicon() == BUILT


def test_lexicon_from_wordnet_holds_the_kinds_of_its_roots():
    folder = find_wordnet() or os.environ.get("WNHOME")
    if not folder:
        pytest.skip("no WordNet on this machine")
    lexicon = visual_lexicon(WordNet.open(Path(folder)))
    assert lexicon.words > BUILT.words
    assert len(lexicon.words) > 5 * len(BUILT_IN)
    for text in ("magenta", "hexagon", "a plume", "gigantic", "a mauve hat"):
        assert lexicon.seen(text), text
    for text in ("It was invented by monks", "popular among people", "an important idea"):
        assert not lexicon.seen(text), text
    assert lexicon.origin.startswith("wordnet 3.")
