"""THINGS: the table of concepts, the embedding, the published split."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visus.data.corpora.things import (
    Concepts,
    read_vice,
    things_concepts,
    things_pictures,
    things_triplets,
    write_things_concepts,
    write_vice,
)
from visus.data.triplets import Triplets, write_triplets
from visus.errors import InputError

HEADER = (
    "Word\tuniqueID\tBottom-up Category (Human Raters)\tTop-down Category (WordNet)\tAll Bottom-up Categories\t"
    'WordNet Synonyms\tWordNet ID\tWordnet ID2\t"Definition (from WordNet, Google, or Wikipedia)"\t'
    "Number of word meanings in list"
)
ROWS = [
    'bat\tbat1\tanimal\tanimal, mammal\tanimal\t"bat, chiropteran"\tn02139199\tbat#1\tnocturnal mammal\t2',
    'cow\tcow\t\tanimal\t\tcow\tn01887787\t\t"female of domestic cattle: ""`moo-cow\' is a child\'s term"""\t1',
    'airboat\tairboat\t\tvehicle\t\tairboat\t\t\t"a shallow-draft boat, for use in swamps"\t1',
]


def table(tmp_path, rows=ROWS, header=HEADER):
    (tmp_path / "things_concepts.tsv").write_text("\n".join([header, *rows]))
    return tmp_path / "things_concepts.tsv"


def test_the_table_with_its_two_quirks(tmp_path):
    found = things_concepts(table(tmp_path))
    assert found.words == ("bat", "cow", "airboat")
    assert found.unique_ids == ("bat1", "cow", "airboat")
    assert found.wnids == ("n02139199", "n01887787", None)
    assert found.definitions == (
        "nocturnal mammal",
        "female of domestic cattle: \"`moo-cow' is a child's term\"",
        "a shallow-draft boat, for use in swamps",
    )
    assert found.categories == (("animal", "mammal"), ("animal",), ("vehicle",))
    assert found.synonyms[0] == ("bat", "chiropteran")
    assert found.index("airboat") == 2
    assert found.of_category("animal").tolist() == [True, True, False]
    with pytest.raises(InputError, match="no concept 'bat'"):
        found.index("bat")


def test_item_names_have_no_definitions(tmp_path):
    header = "Word\tWordnet Synset\tWordnet ID\tWordnet ID2\tuniqueID"
    rows = ["acorn\tacorn, nut\tn12267677\tacorn%1\tacorn", "airboat\tairboat\t\t\tairboat"]
    found = things_concepts(table(tmp_path, rows, header))
    assert (found.definitions, found.categories) == (None, ())
    assert (found.synonyms[0], found.wnids[1]) == (("acorn", "nut"), None)


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        ([ROWS[0], ROWS[0]], HEADER, "line 3: unique id 'bat1' stands on line 2 too"),
        ([ROWS[0].replace("bat1", "")], HEADER, "line 2: has no unique id"),
        (
            [ROWS[0].replace("n02139199", "2139199")],
            HEADER,
            "line 2: WordNet id '2139199' is not of the form",
        ),
        ([ROWS[0] + "\textra"], HEADER, "line 2: has 11 fields where the header has 10"),
        (ROWS, HEADER.replace("uniqueID", "name"), "header: has no column of unique_ids"),
        (ROWS, HEADER.replace("WordNet ID\t", "id\t"), "has no column of wnids"),
        ([], HEADER, "header but no concepts"),
    ],
)
def test_broken_tables(tmp_path, rows, header, says):
    with pytest.raises(InputError, match=says):
        things_concepts(table(tmp_path, rows, header))


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=',"'), min_size=1
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=30).map(str.strip)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_written_is_read_back(tmp_path, data):
    ids = data.draw(st.lists(WORDS, min_size=1, max_size=5, unique=True))

    def column(values):
        return tuple(data.draw(st.lists(values, min_size=len(ids), max_size=len(ids))))

    lists = st.lists(WORDS, max_size=3, unique=True).map(tuple)
    concepts = Concepts(
        words=column(WORDS),
        unique_ids=tuple(ids),
        wnids=column(st.none() | st.integers(0, 99_999_999).map(lambda n: f"n{n:08d}")),
        definitions=column(TEXT),
        categories=column(lists),
        synonyms=column(lists),
    )
    write_things_concepts(tmp_path / "c.tsv", concepts)
    found = things_concepts(tmp_path / "c.tsv")
    for name in ("words", "unique_ids", "wnids", "definitions", "categories", "synonyms"):
        assert getattr(found, name) == getattr(concepts, name)


def test_the_embedding_is_stored_by_column(tmp_path):
    values = np.random.default_rng(0).random((9, 4)).astype(np.float32)
    write_vice(tmp_path / "v.npy", values)
    assert np.load(tmp_path / "v.npy").flags.f_contiguous
    found = read_vice(tmp_path / "v.npy", objects=9)
    assert np.array_equal(found, values)
    assert found.flags.c_contiguous
    for bad, objects, says in (
        (values.T, None, "dimensions in rows"),
        (values.T, 9, "dimensions in rows"),
        (values, 8, "9 rows for 8 objects"),
        (values - 0.5, 9, "below 0"),
        (values * np.nan, 9, "expected finite"),
        (values[0], 9, "expected finite"),
    ):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(InputError, match=says):
            read_vice(tmp_path / "bad.npy", objects=objects)
    np.save(tmp_path / "square.npy", values[:4])
    assert read_vice(tmp_path / "square.npy", objects=4).shape == (4, 4)


@pytest.mark.parametrize("suffix", [".npy", ".txt"])
def test_the_published_split(tmp_path, suffix):
    train = Triplets(rows=np.array([[1, 2, 0]]), objects=3)
    test = Triplets(rows=np.array([[2, 1, 0]]), objects=3)
    write_triplets(tmp_path / "triplets" / f"train_90{suffix}", train)
    write_triplets(tmp_path / "triplets" / f"test_10{suffix}", test)
    assert things_triplets(tmp_path, "test").rows.tolist() == [[2, 1, 0]]
    assert things_triplets(tmp_path).names is None
    table(tmp_path)
    assert things_triplets(tmp_path).names == ("bat1", "cow", "airboat")
    with pytest.raises(InputError, match="unknown part"):
        things_triplets(tmp_path, "check")
    (tmp_path / "triplets" / f"train_90{suffix}").unlink()
    with pytest.raises(InputError, match=r"train_90.npy: does not exist"):
        things_triplets(tmp_path)


def test_photographs_in_the_order_of_the_table(tmp_path):
    concepts = things_concepts(table(tmp_path))
    (tmp_path / "images").mkdir()
    for name in ("airboat.png", "bat1.jpg", "cow.jpg"):
        (tmp_path / "images" / name).write_bytes(b"x")
    assert [path.name for path in things_pictures(tmp_path, concepts)] == [
        "bat1.jpg",
        "cow.jpg",
        "airboat.png",
    ]
    (tmp_path / "images" / "cow.jpg").unlink()
    with pytest.raises(InputError, match=r"no picture of 'cow' \(of 1 concepts\)"):
        things_pictures(tmp_path, concepts)


def test_the_real_table_and_embedding(shared):
    folder = shared / "data" / "things"
    if not folder.is_dir():
        pytest.skip("the shared folder has no THINGS data")
    concepts = things_concepts(folder / "things_concepts.tsv")
    assert (len(concepts), len(set(concepts.words))) == (1854, 1823)
    assert sum(wnid is None for wnid in concepts.wnids) == 58
    assert concepts.wnids[concepts.index("airboat")] is None
    assert all(concepts.definitions)
    assert concepts.definitions[426].endswith("\"`moo-cow' is a child's term\"")
    assert things_concepts(folder / "item_names.tsv").unique_ids == concepts.unique_ids
    vice = read_vice(folder / "final_embedding.npy", objects=1854)
    assert (vice.shape, vice.dtype) == ((1854, 42), np.float32)
