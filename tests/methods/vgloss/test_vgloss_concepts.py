"""From labels to concepts: the context decides, order does not, and what is unsure says so."""

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from visus.data.corpora.class_lists import class_list
from visus.data.wordnet import CONCRETE, HOW_TO_GET, WordNet, find_wordnet, wu_palmer, wu_palmer_matrix
from visus.errors import InputError
from visus.methods.vgloss.model.candidates import candidates
from visus.methods.vgloss.model.concepts import Concept, ConceptMapper, Given
from visus.methods.vgloss.model.context import FREQUENCY, NEAREST, TEMPERATURE, choose

sys.path.append(str(Path(__file__).parents[2] / "data" / "wordnet"))
from made_wordnet import write_wordnet

ALSO_RIGHT = {
    "bowl": ("bowl.n.03",),
    "castle": ("palace.n.01",),
    "cloud": ("cloud.n.01",),
    "forest": ("forest.n.01",),
    "girl": ("girl.n.01",),
    "lamp": ("lamp.n.01",),
    "mushroom": ("mushroom.n.01", "mushroom.n.03", "mushroom.n.05"),
    "possum": ("phalanger.n.01",),
    "sweet_pepper": ("sweet_pepper.n.01",),
    "television": ("television.n.02",),
}
"""Senses of CIFAR-100's labels that fit the pictures as well as the one in the list."""


@pytest.fixture
def birds(tmp_path):
    write_wordnet(tmp_path)
    return WordNet.open(tmp_path)


@pytest.fixture(scope="module")
def real():
    folder = find_wordnet()
    if folder is None:
        pytest.skip("WordNet is not on this machine: " + HOW_TO_GET)
    words = WordNet.open(folder)
    if words.version != "3.0":
        pytest.skip("the WordNet on this machine is not version 3.0")
    return words


def named(concepts):
    return {concept.label: concept.synset.name if concept.synset else None for concept in concepts}


# ---- on a lexicon of a few words ---------------------------------------------------------------------------


def test_the_company_of_a_label_decides(birds):
    mapper = ConceptMapper(birds)
    among_birds = mapper.map(["crane", "heron", "stork"])[0]
    among_machines = mapper.map(["crane", "digger", "truck"])[0]
    assert among_birds.synset is not None
    assert among_birds.synset.lexfile == "noun.animal"
    assert named([among_birds, among_machines])["crane"] == "crane.n.02"
    assert (among_birds.how, among_machines.how) == ("context", "context")
    assert [sense.synset.lexfile for sense in among_birds.alternatives] == ["noun.artifact"]
    assert among_birds.confidence + among_birds.alternatives[0].share == pytest.approx(1)
    assert 0.5 < among_birds.confidence < 1


def test_a_concept_holds_what_wordnet_says(birds):
    crane, heron = ConceptMapper(birds).map(["cranes", "heron"])
    assert (crane.label, crane.name, crane.gloss) == ("cranes", "cranes", "long legs; gray")
    assert (crane.examples, crane.lemmas) == (("the crane stood; we watched",), ("crane",))
    assert crane.hypernyms == ("bird", "animal")  # not the top, which says nothing
    assert crane.parts == ("wing",)  # the bird's
    assert ConceptMapper(birds).map(["bird"])[0].hyponyms == ("crane", "heron", "stork", "goose")
    assert (heron.how, heron.confidence, heron.alternatives) == ("only sense", 1.0, ())


def test_individuals_and_abstract_meanings_come_last(birds):
    found = candidates(birds, "crane", files=CONCRETE)
    assert [synset.lexfile for synset in found.synsets] == ["noun.artifact", "noun.animal"]
    assert candidates(birds, "Stephen_Crane", files=CONCRETE).synsets[0].is_instance
    (plan,) = ConceptMapper(birds).map(["plan"])
    assert named([plan]) == {"plan": "plan.n.01"}
    assert (plan.how, plan.confidence) == ("only sense", 0.5)
    (plan,) = ConceptMapper(birds, files=["noun.cognition"]).map(["plan"])
    assert plan.confidence == 1


def test_qualifiers_heads_and_unknown_words(birds):
    mapper = ConceptMapper(birds)
    for label, sense in (
        ("crane (bird)", "crane.n.03"),
        ("crane_bird", "crane.n.03"),
        ("crane, bird", "crane.n.03"),
        ("crane (machine)", "crane.n.02"),
        ("crane, derrick", "crane.n.02"),
        ("crane machine", "crane.n.02"),
    ):
        (concept,) = mapper.map([label])
        assert named([concept]) == {label: sense}
        assert concept.how == "qualified"
    aquarium, fish = mapper.map(["aquarium_fish", "fish"])
    assert (aquarium.synset, aquarium.how, aquarium.lemmas) == (None, "head", ("aquarium fish",))
    assert aquarium.parent is not None
    assert aquarium.parent.lexfile == "noun.animal"
    assert (aquarium.hypernyms, aquarium.gloss) == (("fish", "animal"), "lives in water")
    assert fish.synset == aquarium.parent
    assert 0 < aquarium.confidence < fish.confidence
    (coined,) = mapper.map(["zorgblatt"])
    assert coined == Concept("zorgblatt", lemmas=("zorgblatt",), how="none")
    assert mapper.map(["Boeing 747"])[0].how == "none"  # a number is no head noun


def test_what_a_person_gives_outweighs_the_context(birds):
    mapper = ConceptMapper(birds)
    wnid = birds.synset("crane.n.02").wnid
    labels = ["crane", "heron", "zorg", "red fish"]
    given = {"zorg": Given(gloss="a made-up bird", parent="bird"), "red fish": "red, with fins"}
    crane, heron, zorg, red = mapper.map(labels, [wnid, None, None, None], given)
    assert (crane.synset, crane.how, crane.confidence) == (birds.of_wnid(wnid), "wnid", 1)
    assert heron.how == "only sense"
    assert (zorg.synset, zorg.gloss, zorg.how, zorg.hypernyms) == (
        None,
        "a made-up bird",
        "given",
        ("bird", "animal"),
    )
    assert (red.gloss, red.how, red.parent) == ("red, with fins", "given", None)
    for name in ("crane.n.03", birds.synset("crane.n.03").wnid):
        (told,) = mapper.map(["crane"], given={"crane": name})
        assert (named([told])["crane"], told.how) == ("crane.n.03", "given")
    (glossed,) = mapper.map(["heron"], given={"heron": Given(gloss="gray wader")})
    assert (glossed.gloss, named([glossed])["heron"]) == ("gray wader", "heron.n.01")


def test_one_parent_for_all_labels(birds):
    mapper = ConceptMapper(birds)
    crane, unknown, truck = mapper.map(["crane", "zorg", "truck"], parent="bird")
    assert named([crane])["crane"] == "crane.n.03"
    for concept in (unknown, truck):
        assert (concept.synset, concept.how, concept.hypernyms) == (None, "none", ("bird", "animal"))
        assert concept.gloss == "an animal with feathers"


def test_two_labels_with_one_meaning_are_refused(birds):
    mapper = ConceptMapper(birds)
    with pytest.raises(InputError, match=r"'truck' and 'lorry' would both mean truck.n.01 .*give the id"):
        mapper.map(["truck", "heron", "lorry"])
    same = mapper.map(["truck", "lorry"], given={"lorry": Given(synset="digger.n.01")})
    assert named(same) == {"truck": "truck.n.01", "lorry": "digger.n.01"}
    assert [concept.how for concept in mapper.map(["red bird", "blue bird", "bird"])] == [
        "head",
        "head",
        "only sense",
    ]


def test_refused_input(birds):
    mapper = ConceptMapper(birds)
    for labels, problem in (
        ([], "no labels"),
        (["crane", "_"], "an empty label"),
        (["a", "b", "a"], "'a' stands twice"),
    ):
        with pytest.raises(InputError, match=problem):
            mapper.map(labels)
    with pytest.raises(InputError, match="1 ids for 2 labels"):
        mapper.map(["crane", "heron"], ["n00000001"])
    with pytest.raises(InputError, match="'owl' is not among the labels"):
        mapper.map(["crane"], given={"owl": "a bird"})
    with pytest.raises(InputError, match=r"no synset 'crane.n.09'"):
        mapper.map(["crane"], given={"crane": "crane.n.09"})
    with pytest.raises(InputError, match="parent: WordNet does not know 'zorg'"):
        mapper.map(["crane"], parent="zorg")
    with pytest.raises(InputError, match="rounds: is 0"):
        ConceptMapper(birds, rounds=0)


class Letters:
    """A text encoder that only sees whether loads are mentioned."""

    identity, width, max_tokens = "letters", 2, 99

    def texts(self, texts):
        import torch

        return torch.tensor([[1.0, 0.0] if "load" in text else [0.0, 1.0] for text in texts])


def test_glosses_can_weigh_in(birds):
    labels = ["crane", "heron", "truck"]
    senses = [birds.synset(name) for name in ("crane.n.02", "crane.n.03", "heron.n.01", "truck.n.01")]
    loads = np.array([1, 0, 0, 1])  # "lifts loads", "carries loads"
    for encoder, similarity in (
        (None, wu_palmer_matrix(senses)),
        (Letters(), (wu_palmer_matrix(senses) + (loads[:, None] == loads[None, :])) / 2),
    ):
        best, share = choose(similarity, [2, 1, 1])
        (crane, *_) = ConceptMapper(birds, encoder=encoder).map(labels)  # type: ignore[arg-type]
        assert crane.synset == senses[best[0]]
        assert crane.confidence == pytest.approx(share[best[0]], abs=1e-6)
        assert crane.alternatives[0].share == pytest.approx(share[1 - best[0]], abs=1e-6)
    plain = ConceptMapper(birds).map(labels)[0].confidence
    assert crane.confidence != pytest.approx(plain, abs=1e-3)


# ---- the choice itself -------------------------------------------------------------------------------------


def slow_choice(similarity, counts, rounds):
    """The choice written label by label and meaning by meaning."""
    places = np.split(np.arange(len(similarity)), np.cumsum(counts)[:-1])
    share = [np.array([1 / (1 + rank) for rank in range(count)]) for count in counts]
    share = [each / each.sum() for each in share]
    for _ in range(rounds):
        scores = []
        for label, mine in enumerate(places):
            found = []
            for rank, s in enumerate(mine):
                others = [
                    sum(share[o][k] * similarity[s, t] for k, t in enumerate(theirs))
                    for o, theirs in enumerate(places)
                    if o != label
                ]
                nearest = sorted(others)[-NEAREST:]
                found.append(sum(nearest) / len(nearest) - FREQUENCY * np.log(1 + rank))
            scores.append(np.array(found))
        share = [np.exp((each - each.max()) / TEMPERATURE) for each in scores]
        share = [each / each.sum() for each in share]
    return [int(np.argmax(each)) for each in share], np.concatenate(share)


@pytest.mark.parametrize("counts", [[1, 1], [3, 1, 2], [2, 4, 1, 3, 2, 5, 1, 2]])
def test_choice_equals_a_slow_transcription(counts):
    rng = np.random.default_rng(len(counts))
    similarity = rng.random((sum(counts), sum(counts)))
    similarity = (similarity + similarity.T) / 2
    for rounds in (1, 3):
        best, share = choose(similarity, counts, rounds=rounds)
        slow_best, slow_share = slow_choice(similarity, counts, rounds)
        assert best.tolist() == slow_best
        assert np.allclose(share, slow_share, atol=1e-12)


def test_a_label_alone_takes_its_most_frequent_meaning():
    best, share = choose(np.eye(3), [3])
    assert best.tolist() == [0]
    assert share == pytest.approx(np.array([1, 1 / 2, 1 / 3]) / (11 / 6))  # log(1 + rank) at these settings


# ---- on the real files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "others", "senses"),
    [
        ("crane", ["heron", "stork", "pelican", "flamingo"], "crane.n.05"),
        ("crane", ["forklift", "bulldozer", "excavator", "tractor"], "crane.n.04"),
        ("ray", ["shark", "trout", "flatfish", "dolphin", "whale"], "ray.n.07"),
        ("table", ["chair", "couch", "bed", "wardrobe"], "table.n.02"),
        # the set or the system of sets, not broadcasting: which of the two depends on the company
        (
            "television",
            ["telephone", "keyboard", "lamp", "clock"],
            "television.n.02 television_receiver.n.01",
        ),
        ("television", ["radio", "telephone"], "television_receiver.n.01"),
    ],
)
def test_words_that_their_most_frequent_sense_gets_wrong(real, label, others, senses):
    mapper = ConceptMapper(real)
    assert real.synsets(label)[0].name not in senses.split()
    for order in ([label, *others], [*others, label], [*others[::-1], label]):
        found = mapper.map(order)
        assert named(found)[label] in senses.split()


@pytest.mark.parametrize("name", ["stl10", "cifar10"])
def test_small_label_sets_are_mapped_right(real, name):
    known = class_list(name)
    concepts = ConceptMapper(real).map(known.names)
    assert [concept.synset.wnid for concept in concepts if concept.synset] == list(known.wnids)


def test_how_many_of_cifar100_are_mapped_right(real):
    """85 exactly as in the list checked by hand (most frequent sense: 74); 91 (81) with senses that fit as well.

    The aquarium fish, which WordNet lacks, counts as right without a synset.

    The settings of the choice were picked with these labels in view, so this is no held-out figure.
    """
    known = class_list("cifar100")
    concepts = ConceptMapper(real).map(known.names)
    plain = [(real.synsets(label) or (None,))[0] for label in known.names]
    fitting = [
        {wnid, *(real.synset(name).wnid for name in ALSO_RIGHT.get(label, ()))}
        for label, wnid in zip(known.names, known.wnids)
    ]

    def right(synsets, accepted):
        return sum((synset.wnid if synset else None) in each for synset, each in zip(synsets, accepted))

    chosen, listed = [concept.synset for concept in concepts], [{wnid} for wnid in known.wnids]
    assert (right(chosen, listed), right(plain, listed)) == (85, 74)
    assert (right(chosen, fitting), right(plain, fitting)) == (91, 81)
    assert concepts[1].how == "head"
    given = ConceptMapper(real).map(known.names, known.wnids)
    assert right([concept.synset for concept in given], listed) == 100


def test_labels_in_any_order_get_the_same_concepts(real):
    names = list(class_list("cifar100").names)
    mapper = ConceptMapper(real)
    expected = {concept.label: concept for concept in mapper.map(names)}
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(names).tolist()
        assert {concept.label: concept for concept in mapper.map(order)} == expected


def test_a_thousand_labels_take_seconds_and_most_are_right(real):
    known = class_list("imagenet")
    labels = [real.of_wnid(wnid).words[0] for wnid in known.wnids if wnid]
    unique = {label: wnid for label, wnid in zip(labels, known.wnids) if labels.count(label) == 1}
    start = time.process_time()
    mapper = ConceptMapper(real)
    weighed = mapper._weighed(dict.fromkeys(unique), None)
    assert time.process_time() - start < 10
    chosen = {label: each.found.synsets[each.best].wnid for label, each in weighed.items()}
    first = {label: real.synsets(label)[0].wnid for label in unique}
    right = sum(chosen[label] == wnid for label, wnid in unique.items())
    plain = sum(first[label] == wnid for label, wnid in unique.items())
    assert len(unique) == 996
    assert right / len(unique) > 0.9 > plain / len(unique)
    unsure = [label for label, each in weighed.items() if len(each.found.synsets) > 1]
    told = np.mean([weighed[label].shares[weighed[label].best] for label in unsure])
    was = np.mean([chosen[label] == unique[label] for label in unsure])
    assert abs(told - was) < 0.1  # confidence means what it says, on the whole


def test_names_that_people_wrote(real):
    mapper = ConceptMapper(real)
    cases = {
        "maple_tree": "maple.n.02",
        "kite (bird of prey)": "kite.n.04",
        "metal nail": None,
        "cricket insect": "cricket.n.01",
    }
    for label, sense in cases.items():
        (concept,) = mapper.map([label])
        assert named([concept])[label] == sense
        assert concept.how == ("qualified" if sense else "head")
    pairs = itertools.combinations(("heron.n.02", "stork.n.01", "flamingo.n.01"), 2)
    assert all(wu_palmer(real.synset(one), real.synset(other)) > 0.8 for one, other in pairs)
