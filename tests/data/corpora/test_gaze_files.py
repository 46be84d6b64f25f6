"""One's own pictures with a table of fixations, and the door that recognizes layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_gaze import cell, edited, made_table

from visus.data import read_gaze
from visus.data.corpora.egd_cxr_writing import write_egd_cxr
from visus.data.corpora.gaze_files import load_gaze_files, write_gaze_files
from visus.data.formats import write_image
from visus.data.gaze.fixations import DURATION, NOT_FINITE, OFF, UNKNOWN
from visus.errors import InputError

TABLE = made_table()


@pytest.fixture
def folder(tmp_path) -> Path:
    write_gaze_files(tmp_path / "own", TABLE)
    return tmp_path / "own"


def test_the_files_come_back(folder):
    table = read_gaze(folder)
    mine, given = table.batch(range(9)), TABLE.batch(range(9))
    assert float((mine["image"] - given["image"]).abs().max()) < 1e-4
    assert float((mine["gaze"] - given["gaze"]).abs().max()) < 1e-6
    for key in ("name", "patient", "target"):
        assert mine[key] == given[key]
    assert mine["has_gaze"].tolist() == [True, False] + [True] * 7
    assert table.columns == []
    assert read_gaze(folder / "labels.csv").names == table.names


def test_without_labels_every_picture_is_an_item(folder):
    (folder / "labels.csv").unlink()
    table = read_gaze(folder)
    assert (len(table), table.target, table.group) == (9, None, None)
    (folder / "fixations.csv").unlink()
    assert not read_gaze(folder).batch([0, 1])["has_gaze"].any()


def test_fractions_and_milliseconds_and_synonyms(folder):
    rows = pd.read_csv(folder / "fixations.csv")
    other = pd.DataFrame(
        {
            "Filename": [f"C:\\data\\{name}" for name in rows["image"]],
            "X": rows["x"] / 41,
            "Y": rows["y"] / 50,
            "duration_ms": rows["duration"] * 1000,
        }
    )
    other.to_csv(folder / "fixations.csv", index=False, sep=";")
    table = read_gaze(folder, unit="fractions")
    given = TABLE.batch(range(9))["gaze"]
    assert float((table.batch(range(9))["gaze"] - given).abs().max()) < 1e-6
    with pytest.raises(InputError, match="no pixels"):
        read_gaze(folder)
    (folder / "fixations.csv").unlink()
    write_gaze_files(folder, TABLE)
    with pytest.raises(InputError, match="no fractions"):
        read_gaze(folder, unit="fractions")


def test_without_durations_rows_count_the_same(folder):
    edited(folder / "fixations.csv", lambda rows: rows.drop(columns="duration"))
    seconds = read_gaze(folder).batch([0])["fixations"][0][:, 2]
    assert seconds.tolist() == [1.0] * 7


def test_names_with_and_without_endings_and_folders(folder):
    edited(folder / "fixations.csv", lambda rows: rows.assign(image=rows["image"].str.removesuffix(".png")))
    edited(folder / "labels.csv", lambda rows: rows.assign(image="images\\" + rows["image"]))
    assert read_gaze(folder).batch([0])["has_gaze"].all()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("x", "nan", NOT_FINITE),
        ("y", "", NOT_FINITE),
        ("x", "-0.5", OFF),
        ("y", "50", OFF),
        ("duration", "0", DURATION),
        ("duration", "-2", DURATION),
    ],
)
def test_unusable_rows_are_counted(folder, column, value, reason):
    edited(folder / "fixations.csv", cell(column, 4, value))
    table = read_gaze(folder)
    assert table.dropped.dropped == {reason: 1}
    assert f"1 dropped: {reason}" in table.report()


def test_unknown_images_are_named(folder):
    edited(folder / "fixations.csv", cell("image", 3, "stranger.png"))
    with pytest.raises(
        InputError, match=r"fixations.csv: column image, line 5: stranger.png is none of the 9 images"
    ):
        read_gaze(folder)
    assert read_gaze(folder, unknown="drop").dropped.dropped == {UNKNOWN: 1}


@pytest.mark.parametrize(
    ("file", "column", "value", "match"),
    [
        ("fixations.csv", "x", "left", "column x, line 6: 'left' is not a number"),
        ("labels.csv", "image", "", "column image, line 6: names no image"),
        ("labels.csv", "image", "no.png", "column image, line 6: no.png is not there"),
        ("labels.csv", "image", "scan0.png", "column image, line 6: names the same image again"),
        ("labels.csv", "label", "", "column label, line 6: is empty"),
        ("labels.csv", "patient", "", "column patient, line 6: is empty"),
    ],
)
def test_a_broken_cell_names_file_column_and_line(folder, file, column, value, match):
    edited(folder / file, cell(column, 4, value))
    with pytest.raises(InputError, match=match) as caught:
        read_gaze(folder)
    assert Path(str(caught.value.file)).name == file


def test_absent_columns_and_cut_files(folder):
    text = (folder / "fixations.csv").read_text()
    (folder / "fixations.csv").write_text(text.rstrip()[:-30].rsplit(",", 1)[0])
    with pytest.raises(InputError, match=r"fixations.csv: line \d+: has"):
        read_gaze(folder)
    (folder / "fixations.csv").write_text("image,u,v\nscan0,1,2\n")
    with pytest.raises(InputError, match="column x: no such column"):
        read_gaze(folder)
    (folder / "fixations.csv").write_text("image,x,y\n")
    with pytest.raises(InputError, match="no rows"):
        read_gaze(folder)
    (folder / "fixations.csv").unlink()
    (folder / "labels.csv").write_text("label\nNormal\n")
    with pytest.raises(InputError, match="column image: no such column"):
        read_gaze(folder)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="looked for: EGD-CXR"):
        read_gaze(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_gaze(tmp_path / "no")
    with pytest.raises(InputError, match="unit"):
        load_gaze_files(tmp_path, unit="cm")


def test_files_lie_where_they_are_said_to_lie(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(tmp_path / "scans" / f"{name}.npy", rng.random((1, 20, 30), dtype=np.float32))
    (tmp_path / "looks.csv").write_text("image,x,y\na,3,4\n")
    (tmp_path / "truth.csv").write_text("name,class\nb,x\na,y\n")
    table = load_gaze_files(
        tmp_path, images=tmp_path / "scans", fixations=tmp_path / "looks.csv", labels=tmp_path / "truth.csv"
    )
    assert (table.names, table.targets) == (["b", "a"], ["x", "y"])
    assert table.batch([0, 1])["has_gaze"].tolist() == [False, True]


def test_the_door_knows_the_corpora(tmp_path):
    base = write_egd_cxr(tmp_path, TABLE, pictures="png")
    for path in (tmp_path, base, base / "master_sheet.csv"):
        assert read_gaze(path, gaze="samples").target == "diagnosis"
    with pytest.raises(InputError, match="unit: load_egd_cxr has no such option"):
        read_gaze(tmp_path, unit="pixels")
