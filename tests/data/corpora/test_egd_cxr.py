"""EGD-CXR: a written tree comes back, and everything that is wrong with one is dropped, counted or named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_gaze import CLASSES, cell, edited, made_table

from visus.data.corpora import egd_cxr as egd
from visus.data.corpora.egd_cxr import is_egd_cxr, load_egd_cxr
from visus.data.corpora.egd_cxr_writing import bars_for, made_up_id, write_egd_cxr
from visus.data.gaze.fixations import CALIBRATION, DURATION, INVALID, NOT_FINITE, OFF, REPEATED, UNKNOWN
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError

TABLE = made_table()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("png")
    write_egd_cxr(folder, TABLE, pictures="png")
    return folder


@pytest.fixture
def tree(written, tmp_path) -> Path:
    shutil.copytree(written, tmp_path / "tree")
    return tmp_path / "tree"


@pytest.fixture
def base(tree) -> Path:
    return tree / "egd-cxr" / "1.0.0"


def largest_gap(ours: GazeTable) -> float:
    mine, given = ours.batch(range(len(ours))), TABLE.batch(range(len(TABLE)))
    pairs = zip(mine["fixations"], given["fixations"])
    return max(float((a - b).abs().max()) for a, b in pairs if len(b))


def test_the_tree_comes_back(written):
    table = load_egd_cxr(written)
    mine, given = table.batch(range(9)), TABLE.batch(range(9))
    assert float((mine["image"] - given["image"]).abs().max()) < 1 / 60000
    assert mine["target"] == given["target"]
    assert mine["segmentation"].equal(given["segmentation"])
    assert mine["boxes"] == given["boxes"]
    assert mine["has_gaze"].tolist() == given["has_gaze"].tolist()
    assert largest_gap(table) < 0.01
    assert float((mine["gaze"] - given["gaze"]).abs().max()) < 1e-5
    assert all(len(name) == egd.ID_LENGTH for name in table.names)
    assert table.target == "diagnosis"
    assert [table.patients[i] == table.patients[i - 1] for i in range(1, 9)] == [True, False] * 4
    rows = pd.read_csv(written / "egd-cxr/1.0.0/fixations.csv")
    assert table.dropped.total == len(rows)
    assert table.dropped.kept == 8 * 7
    assert table.dropped.dropped == {
        CALIBRATION: int((rows["DICOM_ID"].str.len() == 39).sum()),
        OFF: int(((rows["DICOM_ID"].str.len() == 44) & (rows["X_ORIGINAL"] < 0)).sum()),
    }
    assert min(table.dropped.dropped.values()) > 0
    assert not table.dropped.notes
    for reason, count in table.dropped.dropped.items():
        assert f"{count} dropped: {reason}" in table.report()


def test_dicom_of_both_polarities_and_depths(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    base = write_egd_cxr(tmp_path, TABLE.subset(range(6)))
    table = load_egd_cxr(base)
    given = TABLE.batch(range(6))["image"]
    assert float((table.batch(range(6))["image"] - given).abs().max()) < 0.6 / 4095
    headers = [pydicom.dcmread(path) for path in table.paths or []]
    assert {header.PhotometricInterpretation for header in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {int(header.BitsStored) for header in headers} == {12, 16}
    personal = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "InstitutionName")
    assert not any(name in header for header in headers for name in personal)


def test_a_damaged_dicom_is_named(tmp_path):
    pytest.importorskip("pydicom")
    base = write_egd_cxr(tmp_path, TABLE.subset(range(3)))
    path = next(tmp_path.rglob("*.dcm"))
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"column image, line \d \(.*dcm\): its pixels are cut off"):
        load_egd_cxr(base).batch(range(3))
    path.write_bytes(content[:300])
    with pytest.raises(InputError, match=path.name):
        load_egd_cxr(base)


def test_samples_at_60_hz_weigh_like_durations(written):
    fixed, raw = load_egd_cxr(written), load_egd_cxr(written, gaze="samples")
    view = View(image_size=(25, 20))
    a, b = fixed.viewed(view).batch([0, 2])["gaze"], raw.viewed(view).batch([0, 2])["gaze"]
    assert raw.dropped.kept > 10 * fixed.dropped.kept
    assert float((a - b).abs().sum(dim=(1, 2)).max()) < 0.06  # durations round to 1/60 s
    counted = raw.viewed(View(image_size=(25, 20), weight="count")).batch([0, 2])["gaze"]
    assert torch.allclose(counted, b, atol=1e-6)


@pytest.mark.parametrize("space", [(50, 41), (40, 80), (90, 160)])
def test_screen_positions_alone_and_stated_pixels_alone(tmp_path, space):
    """Bars beside, above and below, or none: both ways of stating a position mean the same place."""
    table = made_table(4, space)
    base = write_egd_cxr(tmp_path, table, pictures="png")
    seen = [rows for rows in table.batch(range(4))["fixations"] if len(rows)]
    edited(base / "fixations.csv", lambda rows: rows.drop(columns=["X_ORIGINAL", "Y_ORIGINAL"]))
    screen = [rows for rows in load_egd_cxr(tmp_path).batch(range(4))["fixations"] if len(rows)]
    assert max(float((a - b).abs().max()) for a, b in zip(screen, seen)) < 0.01
    base = write_egd_cxr(tmp_path / "again", table, pictures="png")
    edited(base / "fixations.csv", lambda rows: rows.drop(columns=["FPOGX", "FPOGY"]))
    stated = [rows for rows in load_egd_cxr(base.parents[1]).batch(range(4))["fixations"] if len(rows)]
    assert max(float((a - b).abs().max()) for a, b in zip(stated, seen)) <= 0.5 + 1e-5


def test_the_mapping_reproduces_the_stated_pixels(base, tree):
    """X_ORIGINAL, Y_ORIGINAL as the reference code computes them: truncated, from bars and screen fractions."""
    master = pd.read_csv(base / "master_sheet.csv").set_index("dicom_id")
    rows = pd.read_csv(base / "fixations.csv")
    rows = rows[rows["X_ORIGINAL"] >= 0]
    rows = rows[rows["DICOM_ID"].isin(master.index)]
    for _, row in rows.iterrows():
        bars = master.loc[row["DICOM_ID"]]
        left, right = bars["image_left_pad"], bars["image_right_pad"]
        x = int(41 / (1920 - left - right) * (row["FPOGX"] * 1920 - left))
        y = int(
            50
            / (1080 - bars["image_top_pad"] - bars["image_bottom_pad"])
            * (row["FPOGY"] * 1080 - bars["image_top_pad"])
        )
        assert abs(x - row["X_ORIGINAL"]) <= 1
        assert abs(y - row["Y_ORIGINAL"]) <= 1


def test_disagreeing_positions_are_counted_and_the_stated_one_is_kept(base, tree):
    rows = pd.read_csv(base / "fixations.csv")
    i = int(rows.index[(rows["X_ORIGINAL"] > 5) & (rows["DICOM_ID"].str.len() == 44)][0])
    edited(base / "fixations.csv", cell("X_ORIGINAL", i, str(rows["X_ORIGINAL"][i] - 4)))
    table = load_egd_cxr(tree)
    assert table.dropped.notes == {egd.DISAGREE: 1}
    assert egd.DISAGREE in table.report()
    item = table.batch([table.names.index(rows["DICOM_ID"][i])])["fixations"][0]
    assert (
        (item[:, :2] == torch.tensor([rows["X_ORIGINAL"][i] - 3.5, rows["Y_ORIGINAL"][i] + 0.5])).all(1).any()
    )


def test_scaled_copies_tell_their_original_size_by_the_gaze(tree, base):
    """PNG copies at half size beside a table that states pixels of the originals."""
    from visus.data.formats import read_image, write_image

    for path in tree.rglob("p*/s*/*.png"):
        write_image(path, read_image(path).array[:, ::2, ::2])
    table = load_egd_cxr(tree)
    assert table.dropped.notes == {egd.SCALED: 8}  # the one without gaze cannot tell
    given = TABLE.batch(range(9))
    mine = table.batch(range(9))
    for i in (0, 2, 3):
        assert mine["image"][i].shape == (1, 25, 21)
        scale = torch.tensor([21 / 41, 0.5, 1])
        assert float((mine["fixations"][i] - given["fixations"][i] * scale).abs().max()) < 0.6


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("FPOGV", "0", INVALID),
        ("FPOGX", "", None),
        ("FPOGD", "0", DURATION),
        ("FPOGD", "-1", DURATION),
        ("FPOGD", "", DURATION),
        ("X_ORIGINAL", "-3", OFF),
        ("DICOM_ID", "stranger", UNKNOWN),
        ("DICOM_ID", "", UNKNOWN),
    ],
)
def test_bad_rows_are_dropped_by_reason(base, tree, column, value, reason):
    before = load_egd_cxr(tree).dropped
    rows = pd.read_csv(base / "fixations.csv")
    i = int(rows.index[(rows["X_ORIGINAL"] >= 0) & (rows["DICOM_ID"].str.len() == 44)][3])
    edited(base / "fixations.csv", cell(column, i, value))
    after = load_egd_cxr(tree).dropped
    if reason is None:  # the stated pixels still say where
        assert after.kept == before.kept
        return
    assert after.kept == before.kept - 1
    assert after.dropped[reason] == before.dropped.get(reason, 0) + 1


def test_positions_that_are_nowhere_and_rows_that_repeat(base, tree):
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[1, ["FPOGX", "X_ORIGINAL"]] = ["nan", ""]
        return pd.concat([rows, rows.iloc[[0]]])

    edited(base / "fixations.csv", change)
    dropped = load_egd_cxr(tree).dropped.dropped
    assert (dropped[NOT_FINITE], dropped[REPEATED]) == (1, 1)


def test_ids_cut_by_five_characters_are_calibration_whatever_their_length(base, tree):
    short = pd.read_csv(base / "master_sheet.csv")["dicom_id"][0]
    edited(base / "master_sheet.csv", cell("dicom_id", 0, short[:20]))

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        rows["DICOM_ID"] = rows["DICOM_ID"].replace({short: short[:20], short[:39]: short[:15]})
        return rows

    edited(base / "fixations.csv", change)
    path = next(tree.rglob(f"{short}.png"))
    path.rename(path.with_stem(short[:20]))
    edited(
        base / "master_sheet.csv", lambda rows: rows.assign(path=rows["path"].str.replace(short, short[:20]))
    )
    assert load_egd_cxr(tree).dropped.dropped[CALIBRATION] == 3


@pytest.mark.parametrize("style", ["image_top_pad", "image_top"])
def test_both_names_of_the_bars(tmp_path, style):
    base = write_egd_cxr(tmp_path, TABLE, pictures="png", pads=style)
    assert style in pd.read_csv(base / "master_sheet.csv")
    edited(base / "fixations.csv", lambda rows: rows.drop(columns=["X_ORIGINAL", "Y_ORIGINAL"]))
    assert largest_gap(load_egd_cxr(tmp_path)) < 0.01


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.replace("/", "\\"),
        lambda path: "physionet.org/" + path,
        lambda path: path[len("files/p10/") :],
        lambda path: path.rsplit("/", 1)[1],
        lambda path: "../../" + path,
    ],
)
def test_paths_are_found_with_other_prefixes_and_separators(base, tree, change):
    flat = tree / "flat"
    flat.mkdir()
    for path in list(tree.rglob("p*/s*/*.png")):
        shutil.copy(path, flat)
    edited(base / "master_sheet.csv", lambda rows: rows.assign(path=[change(path) for path in rows["path"]]))
    assert len(load_egd_cxr(base, images=flat)) == 9
    if change("files/p10/x/y") not in ("y", "x/y"):  # shortened paths do not lead into the tree
        assert len(load_egd_cxr(tree)) == 9


def test_the_layout_of_the_download(written, tmp_path):
    above = tmp_path / "physionet.org" / "files"
    shutil.copytree(written, above)
    for folder in (tmp_path, above, above / "egd-cxr", above / "egd-cxr" / "1.0.0"):
        assert is_egd_cxr(folder)
        assert len(load_egd_cxr(folder)) == 9
    assert not is_egd_cxr(tmp_path / "physionet.org" / "other")


def test_missing_pictures(tree, base):
    gone = next(tree.rglob("p*/s*/*.png"))
    gone.unlink()
    with pytest.raises(InputError, match=r"master_sheet.csv: column path, line \d+: .*1 of 9 pictures"):
        load_egd_cxr(tree)
    table = load_egd_cxr(tree, missing="drop")
    assert len(table) == 8
    assert table.dropped.notes[egd.NO_PICTURE] == 1
    with pytest.raises(InputError, match="9 of 9"):
        load_egd_cxr(tree, images=base, missing="drop")


def test_exactly_one_class(tree, base):
    edited(base / "master_sheet.csv", cell("CHF", 0, "1"))
    edited(base / "master_sheet.csv", cell("CHF", 1, "0"))
    with pytest.raises(InputError, match=r"master_sheet.csv: line 2: has 2 of the classes .* \(2 images\)"):
        load_egd_cxr(tree)
    table = load_egd_cxr(tree, several="drop")
    assert len(table) == 7
    assert table.dropped.notes[egd.NO_CLASS] == 2
    assert table.dropped.dropped[UNKNOWN] > 0


@pytest.mark.parametrize(
    ("file", "column", "value", "match"),
    [
        ("master_sheet.csv", "CHF", "2", "column CHF, line 4: 2 is neither 0 nor 1"),
        ("master_sheet.csv", "CHF", "yes", "column CHF, line 4: 'yes' is not a number"),
        ("master_sheet.csv", "patient_id", "", "column patient_id, line 4: is empty"),
        ("master_sheet.csv", "image_left_pad", "1900", "line 4"),
        ("master_sheet.csv", "image_left_pad", "", "line 4"),
        ("fixations.csv", "FPOGX", "left", "column FPOGX, line 4: 'left' is not a number"),
        ("fixations.csv", "FPOGD", "0.1s", "column FPOGD, line 4"),
        ("bounding_boxes.csv", "x2", "wide", "column x2, line 4"),
    ],
)
def test_a_broken_cell_names_file_column_and_line(base, tree, file, column, value, match):
    edited(base / file, cell(column, 2, value))
    with pytest.raises(InputError, match=match) as caught:
        load_egd_cxr(tree)
    assert Path(str(caught.value.file)).name == file


@pytest.mark.parametrize("file", ["master_sheet.csv", "fixations.csv", "bounding_boxes.csv"])
def test_cut_and_empty_files(base, tree, file):
    text = (base / file).read_text().rstrip("\n")
    (base / file).write_text(text[: text.rindex(",")])
    with pytest.raises(InputError, match=rf"{file}: line \d+: has \d+ fields where"):
        load_egd_cxr(tree)
    (base / file).write_text("")
    with pytest.raises(InputError, match="empty"):
        load_egd_cxr(tree)


@pytest.mark.parametrize(
    ("file", "column"), [("master_sheet.csv", "pneumonia"), ("fixations.csv", "DICOM_ID")]
)
def test_absent_columns(base, tree, file, column):
    edited(base / file, lambda rows: rows.drop(columns=column))
    with pytest.raises(InputError, match=f"column {column}: no such column"):
        load_egd_cxr(tree)


def test_neither_bars_nor_stated_pixels(base, tree):
    edited(
        base / "master_sheet.csv", lambda rows: rows.drop(columns=[f"image_{side}_pad" for side in egd.SIDES])
    )
    assert largest_gap(load_egd_cxr(tree)) <= 0.5 + 1e-5
    edited(base / "fixations.csv", lambda rows: rows.drop(columns="X_ORIGINAL"))
    with pytest.raises(InputError, match="X_ORIGINAL"):
        load_egd_cxr(tree)


def test_what_is_optional_may_be_absent(base, tree):
    for name in ("bounding_boxes.csv", "fixations.csv"):
        (base / name).unlink()
    shutil.rmtree(base / egd.MASKS)
    table = load_egd_cxr(tree)  # falls back to the samples
    assert table.batch([0])["has_gaze"].tolist() == [True]
    assert not {"boxes", "segmentation"} & set(table.batch([0]))
    (base / "eye_gaze.csv").unlink()
    with pytest.raises(InputError, match=r"eye_gaze.csv: does not exist"):
        load_egd_cxr(tree)


def test_doubled_images_and_odd_boxes(base, tree):
    edited(
        base / "bounding_boxes.csv",
        lambda rows: pd.concat([cell("x1", 0, "99")(rows), rows.tail(1).assign(dicom_id="x")]),
    )
    table = load_egd_cxr(tree)
    assert table.dropped.notes[egd.ODD_BOXES] == 2
    assert table.batch([0, 2])["boxes"][0] == []
    edited(base / "master_sheet.csv", lambda rows: pd.concat([rows, rows.head(1)]))
    with pytest.raises(InputError, match="column dicom_id, line 11: names the same image again"):
        load_egd_cxr(tree)


def test_patients_stay_together(written):
    parts = load_egd_cxr(written).split({"train": 0.5, "test": 0.5}, seed=1)
    assert not set(parts["train"].patients) & set(parts["test"].patients)


def test_arguments_and_folders():
    for options in ({"gaze": "raw"}, {"several": "first"}, {"missing": "keep"}):
        with pytest.raises(InputError, match=next(iter(options))):
            load_egd_cxr("nowhere", **options)
    with pytest.raises(InputError, match=r"holds no master_sheet.csv"):
        load_egd_cxr("nowhere")


def test_writing_refuses_other_classes_and_repeats_itself(tmp_path):
    table = made_table(3)
    table.frame["diagnosis"] = ["Normal", "CHF", "Pneumonia"]
    with pytest.raises(InputError, match="Pneumonia is no class"):
        write_egd_cxr(tmp_path / "no", table, pictures="png")
    assert not (tmp_path / "no").exists()
    first, second = (write_egd_cxr(tmp_path / name, made_table(3), pictures="png") for name in "ab")
    for file in sorted(path.relative_to(first) for path in first.rglob("*.csv")):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert made_up_id(np.random.default_rng(0)).count("-") == 4
    assert bars_for((1080, 1920)) == (0, 0, 0, 0)
    assert bars_for((100, 400)) == (300, 300, 0, 0)
    assert set(CLASSES) == set(egd.CLASSES)
