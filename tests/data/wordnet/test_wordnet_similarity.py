"""Similarities and base forms: against slow transcriptions, and against NLTK on the real files."""

import itertools
import shutil
import warnings

import numpy as np
import pytest
from made_wordnet import BIRDS, Made, write_wordnet

from visus.data.wordnet import (
    HOW_TO_GET,
    LEXFILES,
    WordNet,
    find_wordnet,
    path_similarity,
    wu_palmer,
    wu_palmer_matrix,
)
from visus.data.wordnet.morphology import base_forms
from visus.errors import InputError

LATTICE = {
    "top": Made("top"),
    "left": Made("left", up=["top"]),
    "right": Made("right", up=["top"]),
    "deep": Made("deep", up=["left"]),
    "both": Made("both", up=["deep", "right"]),
    "one": Made("one", up=["both", "right"]),
    "two": Made("two", up=["deep", "right"]),
    "far": Made("far", up=["two"]),
    "lone": Made("lone"),
}
"""Several parents at different depths, and a second root."""


@pytest.fixture
def lattice(tmp_path):
    write_wordnet(tmp_path, LATTICE)
    words = WordNet.open(tmp_path)
    return {key: words.synsets(made.lemmas)[0] for key, made in LATTICE.items()}


@pytest.fixture(scope="module")
def real():
    folder = find_wordnet()
    if folder is None:
        pytest.skip("WordNet is not on this machine: " + HOW_TO_GET)
    return WordNet.open(folder)


@pytest.fixture(scope="module")
def nltk_wordnet(real, tmp_path_factory):
    """NLTK's reader on a copy of the real files, with the two files it needs beside them."""
    nltk = pytest.importorskip("nltk")
    home = tmp_path_factory.mktemp("nltk")
    folder = home / "corpora" / "wordnet"
    shutil.copytree(real.folder, folder, copy_function=shutil.copyfile)  # NLTK reads no file others may write
    parts = ("noun", "verb", "adj", "adv")
    lines = (f"{i:02d}\t{name}\t{parts.index(name.split('.')[0]) + 1}" for i, name in enumerate(LEXFILES))
    (folder / "lexnames").write_text("\n".join(lines) + "\n")
    (folder / "index.sense").touch()
    for name in parts:
        (folder / f"{name}.exc").touch()
    nltk.data.path.insert(0, str(home))
    try:
        from nltk.corpus.reader.wordnet import WordNetCorpusReader

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it has no other languages
            reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
        yield reader
    finally:
        nltk.data.path.remove(str(home))


def ways_up(synset):
    """Every way to a root, as lists of synsets."""
    above = synset.hypernyms()
    return [[synset, *way] for parent in above for way in ways_up(parent)] or [[synset]]


def slow(one, other):
    """Path and Wu-Palmer similarity by listing all ways up."""
    mine, theirs = ways_up(one), ways_up(other)
    common = {node for way in mine for node in way} & {node for way in theirs for node in way}
    if not common:
        return 0.0, 0.0
    climb = {
        node: min(way.index(node) for way in mine if node in way)
        + min(way.index(node) for way in theirs if node in way)
        for node in common
    }
    shallow = {node: min(map(len, ways_up(node))) for node in common}
    lowest = [node for node in common if shallow[node] == max(shallow.values())]
    depths = {node: max(map(len, ways_up(node))) for node in lowest}
    return 1 / (1 + min(climb.values())), max(2 * depths[n] / (climb[n] + 2 * depths[n]) for n in lowest)


def test_similarities_follow_their_definition(lattice):
    table = wu_palmer_matrix(list(lattice.values()))
    assert np.array_equal(table, table.T)
    for (i, one), (j, other) in itertools.product(enumerate(lattice.values()), repeat=2):
        path, nearness = slow(one, other)
        assert path_similarity(one, other) == pytest.approx(path)
        assert wu_palmer(one, other) == pytest.approx(nearness, abs=1e-6)
        assert table[i, j] == pytest.approx(nearness, abs=1e-6)
    assert wu_palmer(lattice["left"], lattice["left"]) == 1
    assert (
        path_similarity(lattice["left"], lattice["lone"]) == wu_palmer(lattice["left"], lattice["lone"]) == 0
    )
    assert wu_palmer_matrix([]).shape == (0, 0)


def test_known_values(lattice):
    assert path_similarity(lattice["left"], lattice["right"]) == pytest.approx(1 / 3)
    assert wu_palmer(lattice["left"], lattice["right"]) == pytest.approx(2 / 4)  # d = 1, p = q = 1
    assert wu_palmer(lattice["deep"], lattice["left"]) == pytest.approx(4 / 5)  # d = 2, p = 1, q = 0


def test_verbs_meet_above_their_roots_and_nouns_never_meet_verbs(tmp_path):
    write_wordnet(tmp_path, BIRDS)
    words = WordNet.open(tmp_path)
    (fly,), (soar,), (talk,) = (words.synsets(word, "v") for word in ("fly", "soar", "talk"))
    assert path_similarity(fly, talk) == pytest.approx(1 / 3)
    assert wu_palmer(fly, talk) == pytest.approx(2 / 4)
    assert wu_palmer(fly, soar) == pytest.approx(2 / 3)
    (bird,) = words.synsets("bird")
    assert path_similarity(bird, fly) == wu_palmer(bird, fly) == 0
    with pytest.raises(InputError, match="several parts of speech"):
        wu_palmer_matrix([bird, fly, soar])


@pytest.mark.parametrize(
    ("form", "pos", "bases"),
    [
        ("dogs", "n", ("dog",)),
        ("churches", "n", ("church",)),
        ("wolves", "n", ("wolf",)),
        ("women", "n", ("woman",)),
        ("ladies", "n", ("lady",)),
        ("geese", "n", ("goose",)),
        ("glasses", "n", ("glasses", "glass")),
        ("running", "v", ()),
        ("hoping", "v", ("hope", "hop")),
        ("larger", "a", ("large",)),
        ("quickly", "r", ("quickly",)),
    ],
)
def test_base_forms(form, pos, bases):
    known = {
        "dog",
        "church",
        "wolf",
        "woman",
        "lady",
        "goose",
        "glasses",
        "glass",
        "hope",
        "hop",
        "large",
        "quickly",
    }
    assert base_forms(form, pos, {"geese": ["goose"], "wolves": ["wolf"]}, known) == bases


def test_real_files_read_as_nltk_reads_them(real, nltk_wordnet):
    rng = np.random.default_rng(0)
    same_gloss = total = 0
    for pos in "nvar":
        offsets = sorted({offset for lemma in real._of(pos).index for offset in real.offsets(lemma, pos)})
        for offset in rng.choice(offsets, 250, replace=False).tolist():
            mine, theirs = real.at(offset, pos), nltk_wordnet.synset_from_pos_and_offset(pos, offset)
            if pos != "a":  # NLTK counts senses of satellites apart
                assert mine.name == theirs.name()
            assert mine.lemmas == tuple(theirs.lemma_names())
            assert (mine.lexfile, mine.pos) == (theirs.lexname(), theirs.pos())
            above = theirs.hypernyms() + theirs.instance_hypernyms()
            assert sorted(each.offset for each in mine.hypernyms()) == sorted(each.offset() for each in above)
            parts = theirs.part_meronyms() + theirs.member_meronyms() + theirs.substance_meronyms()
            assert sorted(each.offset for each in mine.meronyms()) == sorted(each.offset() for each in parts)
            same = (mine.definition, mine.examples) == (theirs.definition(), tuple(theirs.examples()))
            line = nltk_wordnet._data_file(mine.pos)
            line.seek(offset)
            gloss = line.readline()
            assert all(example in gloss for example in mine.examples)
            assert mine.definition.split(";")[0] in gloss
            same_gloss, total = same_gloss + same, total + 1
    assert total == 1000
    assert (
        same_gloss >= 980
    )  # NLTK leaves who said an example in the definition, and takes quoted words out of it


def test_words_mean_in_the_order_nltk_gives(real, nltk_wordnet):
    rng = np.random.default_rng(1)
    words = rng.choice(sorted(real._of("n").index), 300, replace=False).tolist()
    words += [
        "cranes",
        "geese",
        "wolves",
        "women",
        "glasses",
        "boxes",
        "axes",
        "aardwolves",
        "Dogs",
        "leaves",
    ]
    words += [f"{word}s" for word in words[:100]]
    for word in words:
        theirs = nltk_wordnet.synsets(word.replace(" ", "_"), "n")
        assert [each.offset for each in real.synsets(word)] == list(dict.fromkeys(s.offset() for s in theirs))


def test_real_similarities_are_those_of_nltk(real, nltk_wordnet):
    rng = np.random.default_rng(2)
    offsets = sorted({offset for lemma in real._of("n").index for offset in real.offsets(lemma)})
    pairs = rng.choice(offsets, (300, 2))
    kin = [(a, _sibling(real, a, rng)) for a in pairs[:, 0].tolist()]
    equal = 0
    for a, b in [*pairs.tolist(), *kin]:
        one, other = real.at(a, "n"), real.at(b, "n")
        first, second = (nltk_wordnet.synset_from_pos_and_offset("n", each) for each in (a, b))
        assert path_similarity(one, other) == pytest.approx(first.path_similarity(second))
        path, nearness = slow(one, other)
        assert (path_similarity(one, other), wu_palmer(one, other)) == pytest.approx(
            (path, nearness), abs=1e-6
        )
        equal += abs(nearness - first.wup_similarity(second)) < 1e-6
    assert equal >= 585  # NLTK's choice among several lowest ancestors is by name


def _sibling(words, offset, rng):
    """A synset near another one: a kind of something above it."""
    above = list(words.at(offset, "n").hypernyms())
    below = above[0].hyponyms() if above else ()
    return below[int(rng.integers(len(below)))].offset if below else offset
