"""Text corpora in their layouts."""

import pytest

from visus.data.corpora.imdb import load_imdb, write_imdb
from visus.data.corpora.text_csv import load_text_csv, write_text_csv
from visus.errors import InputError
from visus.protocols import Source

TEXTS = ["Dull.<br /><br />Very dull.", 'Fine; "fun", even', "NA"]


def test_imdb_folder_round_trips_in_order_of_class_and_id(tmp_path):
    write_imdb(tmp_path, ["good 0", "bad 1", "good 2"], ["pos", "neg", "pos"])
    write_imdb(tmp_path, ["bad"], ["neg"], part="test")
    (tmp_path / "train" / "pos" / "10_7.txt").write_text("good ten <br />")
    (tmp_path / "train" / "pos" / "urls.txt").write_text("http")
    (tmp_path / "train" / "unsup").mkdir()
    source = load_imdb(tmp_path)
    assert isinstance(source, Source)
    assert source["text"] == ["bad 1", "good 0", "good 2", "good ten <br />"]
    assert source["target"] == ["neg", "pos", "pos", "pos"]
    with pytest.raises(InputError, match=r"pos: does not exist.*aclImdb"):
        load_imdb(tmp_path, "test")


def test_imdb_table(tmp_path):
    (tmp_path / "imdb.csv").write_text('review,sentiment\n"so, so",positive\nbad,Negative\n')
    source = load_imdb(tmp_path / "imdb.csv")
    assert source["text"] == ["so, so", "bad"]
    assert source["target"] == ["pos", "neg"]
    (tmp_path / "imdb.csv").write_text("review,sentiment\na,positive\nb,maybe\n")
    with pytest.raises(InputError, match=r"column sentiment: item 2: maybe"):
        load_imdb(tmp_path / "imdb.csv")
    (tmp_path / "imdb.csv").write_text("Review,sentiment\na,positive\n")
    with pytest.raises(InputError, match="did you mean Review"):
        load_imdb(tmp_path / "imdb.csv")


def test_malformed_imdb_folders(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_imdb(tmp_path)
    write_imdb(tmp_path, ["a", "b"], ["pos", "neg"])
    (tmp_path / "train" / "pos" / "0_9.txt").write_text("")
    with pytest.raises(InputError, match=r"0_9.txt: is empty"):
        load_imdb(tmp_path)
    (tmp_path / "train" / "pos" / "0_9.txt").unlink()
    with pytest.raises(InputError, match="no reviews"):
        load_imdb(tmp_path)
    with pytest.raises(InputError, match="not neg or pos"):
        write_imdb(tmp_path, ["a"], ["good"])


def test_own_table_round_trips_with_quotes_and_words_that_look_missing(tmp_path):
    write_text_csv(tmp_path / "t.csv", TEXTS, ["a", "b", "null"])
    source = load_text_csv(tmp_path / "t.csv")
    assert source["text"] == TEXTS
    assert source["target"] == ["a", "b", "null"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_usual_names_are_found_in_any_order(tmp_path, mark):
    (tmp_path / "t.csv").write_text(f"id{mark}Label{mark}Sentence\n1{mark}x{mark}hello\n")
    source = load_text_csv(tmp_path / "t.csv")
    assert (source["text"], source["target"]) == (["hello"], ["x"])
    named = load_text_csv(tmp_path / "t.csv", text_columns=("Sentence", "id"), label_column="Label")
    assert named["text"] == ["hello 1"]


def test_amazon_layout_has_no_header(tmp_path):
    (tmp_path / "train.csv").write_text('"5","Great","I said ""yes"".\\nTwice."\n"1","","Poor"\n')
    source = load_text_csv(tmp_path / "train.csv")
    assert source["text"] == ['Great I said "yes".\nTwice.', "Poor"]
    assert source["target"] == ["5", "1"]


def test_tables_without_labels_serve_prediction(tmp_path):
    (tmp_path / "t.csv").write_text("text\nhello\n")
    assert list(load_text_csv(tmp_path / "t.csv", require_label=False).fields) == ["text"]
    with pytest.raises(InputError, match=r"no column is named like one of: label.*there are: text"):
        load_text_csv(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\n", ["no rows"]),
        ("text,label\na,x\nb,\n", ["line 3", "no label"]),
        ("text,label\na,x\nb\n", ["line 3", "1 cells"]),
        ("5\n3\n", ["one column"]),
        ('text,label\n"a,x\n', ["line"]),
        ("foo,label\na,b\n", ["no column is named like one of: text"]),
    ],
)
def test_malformed_tables(tmp_path, content, words):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        load_text_csv(tmp_path / "t.csv")
    for word in ["t.csv", *words]:
        assert word in str(caught.value)
