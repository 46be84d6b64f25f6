"""Some columns of large tables: strict about lines, silent about the rest."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pytest

from visus.data.gaze.columns import header_of, read_columns
from visus.errors import InputError

TEXT = 'id,note,x,y\na,"one, two",1,2\nb,"line\nbreak",3,\n\nc,,5.5,1e2\n'


@pytest.mark.parametrize("kind", ["plain", "gz", "zip", "windows", "bom", "semicolon"])
def test_reads_what_is_asked_for(tmp_path, kind):
    path = tmp_path / {"gz": "t.csv.gz", "zip": "t.csv.zip"}.get(kind, "t.csv")
    if kind == "gz":
        path.write_bytes(gzip.compress(TEXT.encode()))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", TEXT)
    elif kind == "semicolon":
        path.write_text(TEXT.replace("one, two", "one").replace(",", ";"))
    else:
        text = TEXT.replace("\n", "\r\n") if kind == "windows" else TEXT
        path.write_bytes((b"\xef\xbb\xbf" if kind == "bom" else b"") + text.encode())
    assert header_of(path) == ["id", "note", "x", "y"]
    frame = read_columns(path, texts=("id",), numbers=("y", "x", "z"), optional=("z",))
    assert list(frame.columns) == ["id", "y", "x"]
    assert frame["id"].tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(frame["y"], [2, np.nan, 100])
    assert frame.index.tolist() == [2, 3, 6]  # a line break inside quotes, then an empty line


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("id,x\na,1\nb\n", "line 3", "has 1 fields where the header has 2"),
        ("id,x\na,1,2\n", "line 2", "has 3 fields"),
        ("id,x\na,one\n", "column x, line 2", "'one' is not a number"),
        ('id,x\nz,4\n"a,1\n', "line 3", "does not end"),
        ("id,y\na,1\n", "column x", "no such column"),
        ("id,x\n", None, "no rows"),
        ("", None, "empty"),
        ("\n", None, "no content"),
        ("id,x,x\na,1,2\n", "column x", "more than once"),
    ],
)
def test_refusals_name_the_place(tmp_path, text, where, what):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        read_columns(path, texts=("id",), numbers=("x",))
    assert str(path) in str(caught.value)
    assert caught.value.field == where


def test_unnamed_columns_at_the_end_may_be_absent(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x,,,\na,1\nb,2,,,\n")
    assert read_columns(path, numbers=("x",))["x"].tolist() == [1, 2]
    path.write_text("id,x,,,\na\n")
    with pytest.raises(InputError, match="line 2"):
        read_columns(path, numbers=("x",))


def test_damaged_archives(tmp_path):
    packed = gzip.compress((TEXT * 400).encode())
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "no.csv.gz").write_bytes(b"plain text, no archive")
    (tmp_path / "no.csv.zip").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "binary.csv").write_bytes(b"a\0b\n1,2\n")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    for name in ("cut.csv.gz", "no.csv.gz", "no.csv.zip", "binary.csv", "two.zip"):
        with pytest.raises(InputError, match=name):
            read_columns(tmp_path / name, texts=("id",))


def test_a_header_alone_where_that_is_allowed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,x\n")
    assert len(read_columns(path, texts=("id",), numbers=("x",), rows_needed=False)) == 0
