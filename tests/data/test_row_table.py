"""Rows of a table as a source."""

import numpy as np
import pandas as pd
import pytest

from visus.data.loader import fingerprint, iterate
from visus.data.tables.source import RowTable
from visus.errors import InputError


def frame():
    return pd.DataFrame(
        {
            "age": [30, 40, None],
            "sex": ["F", None, "M"],
            "flag": np.array([1, 2, 3], dtype=np.int64),
            "who": ["p", "p", "q"],
            "y": [True, False, True],
        }
    )


def test_batches_hold_plain_rows_without_target_and_group():
    table = RowTable(frame(), target="y", group="who")
    batch = table.batch([2, 0])
    assert batch == {
        "row": [{"age": None, "sex": "M", "flag": 3}, {"age": 30.0, "sex": "F", "flag": 1}],
        "target": [True, True],
    }
    assert type(batch["row"][0]["flag"]) is int
    assert table.columns == ["age", "sex", "flag"]
    assert table.groups == ["p", "p", "q"]
    assert table.batch([1])["row"][0]["sex"] is None
    part = table.subset([2, 1])
    assert part.targets == [True, False]
    assert fingerprint(part) != fingerprint(table)
    assert fingerprint(table) == fingerprint(RowTable(frame(), target="y", group="who"))
    assert [len(found["row"]) for found in iterate(table, 2)] == [2, 1]
    assert "target" not in RowTable(frame()).batch([0])


def write(folder, text):
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


def test_reading_a_file(tmp_path):
    path = write(tmp_path, "a;b;c;y\n1,5;2;z;no\n3;4;z;yes\n")
    table = RowTable.from_csv(path, target="y", columns=["b", "a"])
    assert table.batch([0]) == {"row": [{"b": 2, "a": 1.5}], "target": ["no"]}
    assert table.file == path
    unlabeled = RowTable.from_csv(write(tmp_path, "a,y\n1,\n2,x\n"), target="y", require_target=False)
    assert unlabeled.target is None
    assert unlabeled.columns == ["a"]
    assert RowTable.from_csv(write(tmp_path, "a\n1\n"), target="y", require_target=False).columns == ["a"]
    grouped = RowTable.from_csv(
        write(tmp_path, "a,y,g\n1,u,p\n2,v,p\n"), target="y", group="g", columns=["a"]
    )
    assert grouped.groups == ["p", "p"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,y\n1,2\n", {"target": "z"}, ["t.csv", "column z", "columns: a, y"]),
        ("a,y\n1,2\n", {"columns": ["A"]}, ["column A", "did you mean a"]),
        ("a,y\n1,2\n", {"columns": ["a", "a"]}, ["column a", "named twice"]),
        ("a,y\n1,2\n", {"columns": ["a", "y"], "target": "y"}, ["column y", "also the target"]),
        ("a,y\n1,2\n3,\n", {"target": "y"}, ["column y, line 3", "missing in 1 of 2"]),
        ("a,y\n", {}, ["no rows"]),
    ],
)
def test_faults_name_file_column_and_line(tmp_path, text, options, words):
    with pytest.raises(InputError) as caught:
        RowTable.from_csv(write(tmp_path, text), **options)
    for word in words:
        assert word in str(caught.value)


def test_faults_of_a_frame():
    with pytest.raises(InputError, match="no rows"):
        RowTable(frame().head(0))
    with pytest.raises(InputError, match="more than once"):
        RowTable(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InputError, match="no target"):
        _ = RowTable(frame()).targets
