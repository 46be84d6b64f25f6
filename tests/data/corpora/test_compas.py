"""The recidivism table in its real layout, and the real file where it is at hand."""

import csv

import pytest

from visus.data.corpora.compas import FEATURES, HEADER, is_compas, load_compas, write_compas
from visus.errors import InputError


def rows(n=40):
    return [
        {
            "id": i,
            "name": f"person {i // 2}",
            "dob": "1980-01-01",
            "age": 20 + i % 30,
            "priors_count": i % 7,
            "juv_misd_count": int(i % 11 == 0),
            "juv_fel_count": 0,
            "decile_score": 1 + i % 10,
            "sex": ("Male", "Female")[i % 2],
            "c_charge_degree": "O" if i == 5 else "FM"[i % 2],
            "days_b_screening_arrest": {7: "", 8: 31, 9: -30}.get(i, -1),
            "is_recid": -1 if i == 6 else i % 2,
            "score_text": "N/A" if i == 4 else "Low",
            "two_year_recid": i % 2,
        }
        for i in range(n)
    ]


def test_the_layout_is_read_back(tmp_path):
    path = tmp_path / "compas-scores-two-years.csv"
    write_compas(path, rows())
    with path.open(newline="") as stream:
        header = next(csv.reader(stream))
    assert len(header) == 53
    assert header.count("priors_count") == header.count("decile_score") == 2
    assert is_compas(path)
    (tmp_path / "other.csv").write_text("a,two_year_recid\n1,0\n")
    assert not is_compas(tmp_path / "other.csv")
    table = load_compas(path)
    assert len(table) == 40 - 5  # items 4 to 8 do not pass the filter; item 9 lies on its edge
    assert table.columns == list(FEATURES)
    assert table.batch([4]) == {
        "row": [{"age": 29.0, "priors_count": 2.0, "juv_misd_count": 0.0}],
        "target": ["yes"],
    }
    assert len(load_compas(path, filtered=False)) == 40
    wider = load_compas(path, columns=("sex", "c_charge_degree", "race"))
    assert wider.batch([1])["row"][0] == {"sex": "Female", "c_charge_degree": "M", "race": None}


def test_a_person_is_in_one_part_only(tmp_path):
    write_compas(tmp_path / "c.csv", rows(60))
    table = load_compas(tmp_path / "c.csv", filtered=False)
    parts = table.split({"train": 0.7, "test": 0.3}, seed=1)
    assert not set(parts["train"].groups) & set(parts["test"].groups)
    assert len(parts["train"]) + len(parts["test"]) == 60
    assert all(count == 2 for count in (table.groups.count(person) for person in set(table.groups)))
    assert "person 3" not in str(table.frame.to_dict())


def test_the_real_file(extra_data):
    table = load_compas(extra_data("compas-scores-two-years.csv"))
    assert len(table) == 6172
    assert table.targets.count("yes") == 2809
    assert len(set(table.groups)) == 6172
    first = table.batch([0])
    assert first == {"row": [{"age": 69.0, "priors_count": 0.0, "juv_misd_count": 0.0}], "target": ["no"]}
    assert len(load_compas(extra_data("compas-scores-two-years.csv"), filtered=False)) == 7214


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"columns": ["Age"]}, ["column Age", "did you mean age"]),
        ({}, {"columns": ["age", "is_recid"]}, ["column is_recid", "tells the outcome", "priors_count"]),
        ({}, {"columns": ["r_charge_degree"]}, ["tells the outcome"]),
        ({}, {"columns": ["two_year_recid"]}, ["tells the outcome"]),
        ({"age": "old"}, {}, ["column age, line 4", "'old' is not a number"]),
        ({"two_year_recid": "2"}, {}, ["column two_year_recid, line 4", "neither 0 nor 1"]),
    ],
)
def test_faults_name_column_and_line(tmp_path, change, options, words):
    content = rows()
    content[2].update(change)
    write_compas(tmp_path / "c.csv", content)
    with pytest.raises(InputError) as caught:
        load_compas(tmp_path / "c.csv", **options)
    for word in ["c.csv", *words]:
        assert word in str(caught.value)


def test_broken_files(tmp_path):
    path = tmp_path / "c.csv"
    write_compas(path, rows())
    whole = path.read_text()
    faults = {
        whole[: len(whole) // 2]: "fields where the header has 53",
        whole.replace("two_year_recid", "recid", 1): "column two_year_recid",
        whole.split("\n")[0] + "\n": "no rows",
        ",".join(HEADER)
        + "\n"
        + ",".join(["1"] * 48 + ["2"] + ["1"] * 4)
        + "\n": "stands twice, with '1' and '2'",
    }
    for text, words in faults.items():
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            load_compas(path)
    write_compas(path, [{**row, "score_text": "N/A"} for row in rows()])
    with pytest.raises(InputError, match="no rows that pass the filter"):
        load_compas(path)
