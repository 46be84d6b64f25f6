"""Description sets to compare with: what they say, how many they are, and controls that say nothing."""

from __future__ import annotations

import pytest
import torch

from visus.errors import InputError
from visus.methods.vgloss import baselines
from visus.methods.vgloss.model.builder import TextClassifierBuilder
from visus.methods.vgloss.model.concept import Concept
from visus.methods.vgloss.model.planted import plant

CRANE = Concept(
    label="crane_bird",
    gloss="large long-necked wading bird",
    lemmas=("crane",),
    hypernyms=("wading bird", "bird"),
    hyponyms=("whooping crane", "common crane"),
)
TRUCK = Concept(
    label="truck",
    gloss="an automotive vehicle suitable for hauling",
    lemmas=("truck", "motortruck"),
    hypernyms=("motor vehicle",),
)
COINED = Concept(label="Blicket_7", lemmas=("Blicket 7",))
ALL = (CRANE, TRUCK, COINED)


def test_what_the_arms_say():
    assert baselines.synonyms(ALL)["truck"] == ["a photo of a truck, motortruck."]
    assert baselines.glosses(ALL) == {
        "crane_bird": ["large long-necked wading bird"],
        "truck": ["an automotive vehicle suitable for hauling"],
        "Blicket_7": ["Blicket 7"],
    }
    assert baselines.kinds(ALL)["crane_bird"] == ["crane, a kind of wading bird."]
    whole = baselines.kinds_and_glosses(ALL)
    assert whole["crane_bird"] == ["crane, a kind of wading bird: large long-necked wading bird"]
    assert whole["Blicket_7"] == ["Blicket 7."]
    assert baselines.subclasses(ALL)["crane_bird"] == [
        "a photo of a whooping crane.",
        "a photo of a common crane.",
    ]
    assert baselines.subclasses(ALL)["truck"] == ["a photo of a truck."]
    assert len(baselines.templates(["cat"], baselines.SEVEN)["cat"]) == 7
    with pytest.raises(InputError, match="has no"):
        baselines.templates(["cat"], ["a photo"])


def test_shuffled_glosses_keep_the_name_and_take_another_meaning():
    found = baselines.shuffled_glosses((CRANE, TRUCK), seed=3)
    assert found["crane_bird"] == [
        "crane, a kind of motor vehicle: an automotive vehicle suitable for hauling"
    ]
    assert found["truck"] == ["truck, a kind of wading bird: large long-necked wading bird"]


@pytest.mark.parametrize("count", [2, 3, 10, 101])
def test_a_derangement_moves_everything(count):
    for seed in range(5):
        order = baselines.derangement(count, seed=seed)
        assert sorted(order) == list(range(count))
        assert all(i != j for i, j in enumerate(order))
    if count > 3:
        assert baselines.derangement(count, seed=0) != baselines.derangement(count, seed=1)
    told = {str(i): [f"text {i}"] for i in range(count)}
    found = baselines.shuffled(told)
    assert sorted(found.values()) == sorted(told.values())
    assert all(found[name] != told[name] for name in told)
    with pytest.raises(InputError, match="two or more"):
        baselines.derangement(1)


def test_random_words_are_the_same_for_every_class():
    found = baselines.waffle(["crane", "orange"], 4, seed=1)
    assert [text.partition(", which")[0] for text in found["crane"]] == ["a photo of a crane"] * 4
    assert found["orange"][0].startswith("a photo of an orange, which has ")
    ends = {name: [text.partition(", which")[2] for text in texts] for name, texts in found.items()}
    assert ends["crane"] == ends["orange"]
    assert all(word in baselines.WORDS for word in ends["crane"][0].removeprefix(" has ").rstrip(".").split())
    assert not any(
        word in baselines.WORDS for word in ends["crane"][1].removeprefix(" has ").rstrip(".").split()
    )
    assert found == baselines.waffle(["crane", "orange"], 4, seed=1)
    assert found != baselines.waffle(["crane", "orange"], 4, seed=2)
    assert len(set(baselines.WORDS)) == len(baselines.WORDS)
    with pytest.raises(InputError, match="at least one"):
        baselines.waffle(["crane"], 0)


def test_matched_counts():
    told = {"a": ["1", "2", "3", "4", "5"], "b": ["x"], "c": ["u", "v"]}
    found = baselines.matched(told, 3, seed=0)
    assert {len(texts) for texts in found.values()} == {3}
    assert len(set(found["a"])) == 3
    assert found["a"] == sorted(found["a"]), "the order given stays"
    assert found["b"] == ["x"] * 3
    assert set(found["c"]) == {"u", "v"}
    assert found == baselines.matched(told, 3, seed=0)
    assert any(found != baselines.matched(told, 3, seed=seed) for seed in range(1, 5))
    for count, arm in ((0, told), (2, {"a": []})):
        with pytest.raises(InputError):
            baselines.matched(arm, count)


def test_joined_arms():
    one, other = {"a": ["1"], "b": ["2"]}, {"a": ["3", "4"], "b": []}
    assert baselines.joined(one, other) == {"a": ["1", "3", "4"], "b": ["2"]}
    with pytest.raises(InputError, match="same classes"):
        baselines.joined(one, {"b": [], "a": []})


def test_mapping_up_takes_the_best_subclass_and_weighs_it_by_its_class():
    generator = torch.Generator().manual_seed(0)
    sub, logits = torch.randn(9, 5, generator=generator), torch.randn(9, 3, generator=generator)
    owner = torch.tensor([2, 0, 0, 1, 2])
    found = baselines.map_up(sub, owner, logits)
    for i in range(9):
        shares, classes = sub[i].softmax(0).tolist(), logits[i].softmax(0).tolist()
        slow = [max(s for s, c in zip(shares, owner.tolist()) if c == k) * classes[k] for k in range(3)]
        torch.testing.assert_close(found[i], torch.tensor(slow))


def test_without_reweighting_subclasses_are_pooling_by_the_maximum():
    world = plant(pairs=3, pictures=30)
    told = dict(zip(world.classes.names, world.classes.normal))
    made = TextClassifierBuilder(world.encoder, pooling="max").build(told)
    rows = world.pictures["features"]
    sub = torch.nn.functional.normalize(rows, dim=1) @ made.embeddings.T
    mapped = baselines.map_up(sub, made.owner, torch.zeros(30, 6))
    assert torch.equal(made.similarities(rows).argmax(1), mapped.argmax(1))
