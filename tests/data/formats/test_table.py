"""Text tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.formats.table import (
    read_rows,
    read_table,
    require_column,
    sniff,
    write_classes,
    write_table,
)
from visus.data.formats.text import decode, read_text
from visus.errors import InputError


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_encodings_and_line_ends(tmp_path, mark, encoding, end):
    lines = [mark.join(row) for row in (["näme", "age"], ["Zoë", "3.5"], ["Ana", ""])]
    (tmp_path / "t.csv").write_bytes((end.join(lines) + end).encode(encoding))
    frame = read_table(tmp_path / "t.csv")
    assert list(frame.columns) == ["näme", "age"]
    assert frame["näme"].tolist() == ["Zoë", "Ana"]
    assert frame["age"][0] == 3.5
    assert np.isnan(frame["age"][1])


def test_semicolon_tables_may_have_decimal_commas(tmp_path):
    (tmp_path / "t.csv").write_text("a;b;c\n1,5;x,y;7\n-2;z;\n")
    frame = read_table(tmp_path / "t.csv")
    assert frame["a"].tolist() == [1.5, -2.0]
    assert frame["b"].tolist() == ["x,y", "z"]


def test_quotes_text_columns_and_blank_lines(tmp_path):
    (tmp_path / "t.csv").write_text('id,note\n007,"a, ""b""\nc"\n\n008,d\n')
    frame = read_table(tmp_path / "t.csv", text_columns=("id", "absent"))
    assert frame["id"].tolist() == ["007", "008"]
    assert frame["note"].tolist() == ['a, "b"\nc', "d"]
    assert read_rows(tmp_path / "t.csv")[2] == (5, ["008", "d"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n1\n", ["line 3", "1 fields where the header has 2"]),
        ("a,b\n1,2,3\n", ["line 2", "3 fields"]),
        ("a,a\n1,2\n", ["column a", "more than once"]),
        ("a,,\n1,2,3\n", ["line 1", "no name"]),
        ("a,b\n", ["no rows"]),
        ("\n\n", ["no content"]),
        ('a,b\n"1,2\n', ["line"]),
    ],
)
def test_malformed_tables(tmp_path, content, words):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "t.csv")
    for word in ["t.csv", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.xlsx", b"anything"), ("t.csv", b"PK\x03\x04..."), ("t.xls", b"\xd0\xcf\x11\xe0")],
)
def test_spreadsheets_are_refused_with_a_remedy(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"spreadsheet.*save it as CSV"):
        read_table(tmp_path / name)


def test_binary_and_cut_off_text(tmp_path):
    with pytest.raises(InputError, match="binary"):
        decode(b"a\0b", file="x")
    with pytest.raises(InputError, match="UTF-16"):
        decode("ab".encode("utf-16")[:-1] + b"", file="x")
    (tmp_path / "t.txt").write_text("ä")
    assert read_text(tmp_path / "t.txt") == "ä"


def test_near_matches_are_suggested():
    frame = pd.DataFrame(columns=["PTGENDER", "AGE"])
    with pytest.raises(InputError, match=r"did you mean PTGENDER\?"):
        require_column(frame, "ptgender")
    with pytest.raises(InputError, match="columns: PTGENDER, AGE"):
        require_column(frame, "xyzzy", file="t.csv")
    require_column(frame, "AGE")


def test_sniffing_ignores_separators_in_quotes():
    assert sniff('"a;b;c",d\n1,2') == ","
    assert sniff("only\n1") == ","


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-1000, 1000), st.text(st.characters(codec="utf-8", categories=["L", "P"]), min_size=1)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    frame = pd.DataFrame({"number": [n for n, _ in rows], "text": [f"x{t}" for _, t in rows]})
    write_table(path, frame)
    again = read_table(path)
    assert again["number"].tolist() == frame["number"].tolist()
    assert again["text"].tolist() == frame["text"].tolist()


def test_what_a_classifier_says_is_written_with_a_column_per_class(tmp_path):
    shares = np.array([[0.25, 0.75], [2 / 3, 1 / 3]], dtype=np.float32)
    file = tmp_path / "said.csv"
    write_classes(
        file, ["a.png", "b.png"], labels=["dog", "cat"], probabilities=shares, classes=["cat", "dog"]
    )
    assert file.read_text() == (
        "item,label,probability,p_cat,p_dog\na.png,dog,0.75,0.25,0.75\nb.png,cat,0.666667,0.666667,0.333333\n"
    )
