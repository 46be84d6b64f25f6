"""From concepts to a silver set: whole runs with small models, interrupted, resumed and replayed."""

from __future__ import annotations

import warnings

import pytest
from vgloss_lexicon import COINED, CRANE, HERON, MACHINE, SHARK, Scripted, last_name

from visus.errors import InputError
from visus.methods.vgloss.model.cleaner import DescriptionCleaner
from visus.methods.vgloss.model.concepts import Concept
from visus.methods.vgloss.model.describe import GROUP, add_contrast, class_keys, describe
from visus.methods.vgloss.model.languages import CachedLM, Decoding, LexicalLM, ReplayLM, read_entries
from visus.methods.vgloss.model.prompter import SemanticPrompter
from visus.methods.vgloss.model.quality import quality_report
from visus.methods.vgloss.model.silver import Silver
from visus.methods.vgloss.model.visual import VisualLexicon

BIRDS = [CRANE, HERON, SHARK]
CLEANER = DescriptionCleaner(lexicon=VisualLexicon.built_in())
GREEDY = Decoding(temperature=0.0)
COLORS = ["red", "green", "blue", "white", "black", "yellow", "pink", "brown", "grey"]


def is_contrast(prompt: str) -> bool:
    return prompt.startswith("Two things")


def colored(prompt: str) -> list[str]:
    """Different visible sentences; for a contrast, of both sides."""
    if is_contrast(prompt):
        one, other = [entry.name for entry in read_entries(prompt)][-2:]
        return [f"The {one} is {color}.\n{other}: The {other} is not {color}." for color in COLORS]
    return [f"The {last_name(prompt)} is {color}." for color in COLORS]


def many(count: int) -> list[Concept]:
    return [
        Concept(label=f"thing{i}", gloss=f"round object {i}", lemmas=(f"thing{i}",)) for i in range(count)
    ]


def run(lm, concepts=BIRDS, **options) -> Silver:
    return describe(concepts, lm, cleaner=CLEANER, **{"n": 3, **options})


def test_every_class_gets_greedy_and_drawn_descriptions():
    lm = Scripted(colored)
    silver = run(lm)
    assert list(silver.classes) == ["crane", "heron", "shark"]
    assert silver.classes["crane"].normal == tuple(f"The crane is {color}." for color in COLORS[:3])
    settings = [given for _, given in lm.calls]
    assert [given["n"] for given in settings] == [1, 3]
    assert [given["temperature"] for given in settings] == [0.0, 0.7]
    assert all(given["stop"] == ("\n",) for given in settings)
    assert silver.meta["lm"] == "scripted"
    assert silver.meta["answers"] == 9  # the drawn answer that equals the greedy one counts once


def test_at_temperature_zero_there_is_one_answer():
    lm = Scripted(colored)
    silver = run(lm, decoding=GREEDY)
    assert all(len(texts) == 1 for texts in silver.texts().values())
    assert len(lm.calls) == 1


def test_no_class_is_a_worked_example_of_its_own_label_set():
    moose = Concept(label="moose", gloss="large deer", lemmas=("moose",))
    lm = Scripted(colored)
    run(lm, concepts=[*BIRDS, moose])
    for prompt in lm.asked:
        assert [entry.name for entry in read_entries(prompt)][:3] == ["walnut", "igloo", "donkey"]


def test_each_pair_is_asked_once_and_none_outside():
    concepts = many(6)
    keys = class_keys(concepts)
    near = {frozenset((keys[i], keys[i + 1])) for i in range(5)}
    lm = Scripted(colored)
    silver = run(lm, concepts=concepts, pairs=near, decoding=GREEDY)
    contrasts = [prompt for prompt in lm.asked if is_contrast(prompt)]
    assert len(contrasts) == len(set(contrasts)) == len(near) <= len(concepts) * 2
    asked = {frozenset(entry.name for entry in read_entries(prompt)[-2:]) for prompt in contrasts}
    assert asked == near
    assert silver.pairs() == near
    assert silver.meta["contrast"] == {"pairs": 5, "sides": 10, "dropped": {}}


def test_a_sentence_for_one_class_never_enters_the_other():
    keys = class_keys(many(5))
    pairs = {frozenset((keys[i], keys[j])) for i in range(5) for j in range(i)}
    silver = run(Scripted(colored), concepts=many(5), pairs=pairs)
    for key, each in silver.classes.items():
        assert set(each.contrastive) == set(keys) - {key}
        for texts in each.contrastive.values():
            assert all(f"The {key} is" in text for text in texts)


def test_without_pairs_contrastive_equals_normal():
    silver = run(LexicalLM(), pairs=set())
    assert silver.texts("contrastive") == silver.texts("normal") == silver.texts("both")
    assert all(not is_contrast(prompt) for prompt in Scripted(colored).asked)


def test_sentences_naming_the_other_class_are_dropped_and_counted():
    def rude(prompt: str) -> list[str]:
        if is_contrast(prompt):
            one, other = [entry.name for entry in read_entries(prompt)][-2:]
            return [f"A red {one}, unlike the {other}.\n{other}: A {other} with a green back."]
        return colored(prompt)

    silver = run(Scripted(rude), pairs={frozenset(("crane", "heron"))}, decoding=GREEDY)
    assert not silver.classes["crane"].contrastive
    assert silver.classes["heron"].contrastive == {"crane": ("A heron with a green back.",)}
    assert silver.meta["contrast"]["dropped"] == {"names the other": 1}


def test_contrast_can_follow_once_the_pairs_are_known():
    pairs = {frozenset(("crane", "heron"))}
    whole = run(Scripted(colored), pairs=pairs, decoding=GREEDY)
    plain = run(Scripted(colored), decoding=GREEDY)
    later = add_contrast(plain, BIRDS, Scripted(colored), pairs, cleaner=CLEANER, decoding=GREEDY)
    assert later.to_json() == whole.to_json()
    with pytest.raises(InputError, match="concepts"):
        add_contrast(plain, BIRDS[:2], Scripted(colored), pairs)


def test_a_class_without_usable_text_falls_back_with_a_warning():
    def silent(prompt: str) -> list[str]:
        return ["I'm sorry."] if last_name(prompt) in ("heron", "blorp two") else colored(prompt)

    with pytest.warns(UserWarning, match=r"no usable description of heron, blorp two"):
        silver = run(Scripted(silent), concepts=[*BIRDS, COINED])
    assert silver.classes["heron"].normal[0].startswith("A heron, a grey or white wading bird")
    assert silver.classes["blorp_two"].normal == ("A blorp two.",)
    assert silver.meta["fallback"] == ["heron", "blorp_two"]
    assert silver.meta["dropped"] == {"refusal": 2}
    assert all(silver.texts().values())


def test_replay_is_byte_identical_and_needs_no_model(tmp_path):
    pairs = {frozenset(("crane", "heron"))}
    lm = Scripted(colored)
    cached = CachedLM(lm, tmp_path / "cache")
    first = run(cached, pairs=pairs, created="2024-01-01").to_json()
    asked = len(lm.asked)
    assert run(cached, pairs=pairs, created="2024-01-01").to_json() == first
    assert len(lm.asked) == asked
    dead = CachedLM("scripted", tmp_path / "cache")
    assert run(dead, pairs=pairs, created="2024-01-01").to_json() == first
    cached.export(tmp_path / "replay.json")
    replay = ReplayLM(tmp_path / "replay.json")
    assert run(replay, pairs=pairs, created="2024-01-01").to_json() == first
    with pytest.raises(InputError, match="no answer"):
        run(dead, decoding=Decoding(temperature=0.8))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    concepts = many(3 * GROUP)
    seen: list[tuple[int, int]] = []

    def stop_in_the_middle(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2 * GROUP:
            raise KeyboardInterrupt

    lm = Scripted(colored)
    with pytest.raises(KeyboardInterrupt):
        run(CachedLM(lm, tmp_path), concepts=concepts, decoding=GREEDY, progress=stop_in_the_middle)
    assert seen == [(GROUP, 3 * GROUP), (2 * GROUP, 3 * GROUP)]
    assert len(lm.asked) == 2 * GROUP
    whole = run(CachedLM(lm, tmp_path), concepts=concepts, decoding=GREEDY)
    assert len(lm.asked) == 3 * GROUP
    assert whole.to_json() == run(Scripted(colored), concepts=concepts, decoding=GREEDY).to_json()


def test_progress_counts_prompts_of_both_kinds():
    seen: list[tuple[int, int]] = []
    run(Scripted(colored), pairs={frozenset(("crane", "heron"))}, progress=lambda *step: seen.append(step))
    assert seen == [(3, 4), (4, 4)]


def test_classes_of_one_label_need_keys():
    with pytest.raises(InputError, match="'crane' and 'crane' have the same key"):
        run(LexicalLM(), concepts=[CRANE, MACHINE])
    pairs = {frozenset(("bird", "machine"))}
    silver = run(LexicalLM(), concepts=[CRANE, MACHINE], keys=["bird", "machine"], pairs=pairs)
    assert "wading bird" in silver.classes["bird"].contrastive["machine"][0]
    for wrong in (["a"], ["a", "a"]):
        with pytest.raises(InputError, match="2 different keys"):
            run(LexicalLM(), concepts=[CRANE, MACHINE], keys=wrong)
    with pytest.raises(InputError, match="concepts: is empty"):
        run(LexicalLM(), concepts=[])


def test_order_of_classes_changes_their_order_only():
    one = run(LexicalLM(), concepts=BIRDS, pairs={frozenset(("crane", "heron"))})
    other = run(LexicalLM(), concepts=BIRDS[::-1], pairs={frozenset(("crane", "heron"))})
    assert list(other.classes) == list(one.classes)[::-1]
    assert {key: each.normal for key, each in one.classes.items()} == {
        key: each.normal for key, each in other.classes.items()
    }


def test_a_poor_model_is_reported():
    poor = Scripted(lambda prompt: ["The heron is red.", "The heron is red and large.", "I cannot say."])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        silver = run(poor, prompter=SemanticPrompter(exemplars=1))
    report = quality_report(silver, lexicon=CLEANER.lexicon)
    assert report.leakage == pytest.approx(4 / 6)
    assert report.duplicates == 1
    assert len(report.warnings) >= 2
