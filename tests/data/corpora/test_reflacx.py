"""REFLACX: several readers per image, certainties, zoom windows, discarded readings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_gaze import cell, edited

from visus.data.corpora import reflacx
from visus.data.corpora.egd_cxr import NO_PICTURE
from visus.data.corpora.reflacx import is_reflacx, load_reflacx, write_reflacx
from visus.data.formats import write_image
from visus.data.gaze.density import density_map
from visus.data.gaze.fixations import DURATION, OFF
from visus.errors import InputError

SIZE = (60, 50)
LOOKED = {
    "P300R000001": [(10, 20, 0.5, 1.0), (30, 40, 1.2, 1.4)],
    "P300R000002": [(12, 22, 0.5, 1.5), (-3, 5, 2.0, 2.5), (49, 70, 3.0, 3.5)],
    "P300R000003": [(25, 30, 0.1, 0.1), (26, 31, 0.2, 0.7)],
    "P300R000004": [(40, 50, 0.0, 0.4)],
}


def reading(rows: list[tuple]) -> pd.DataFrame:
    x, y, start, end = np.array(rows).T
    shown = {"xmin": 0, "ymin": 0, "xmax": 50, "ymax": 60}
    return pd.DataFrame(
        {
            "timestamp_start_fixation": start,
            "timestamp_end_fixation": end,
            "x_position": x.astype(int),
            "y_position": y.astype(int),
            "pupil_area_normalized": 1.0,
            "window_width": 1.0,
            "angular_resolution_x_pixels_per_degree": 10,
            **{f"{side}_shown_from_image": value for side, value in shown.items()},
            **{f"{side}_in_screen_coordinates": value for side, value in shown.items()},
        }
    )


@pytest.fixture
def main(tmp_path) -> Path:
    ids = ["a" * 8, "a" * 8, "b" * 8, "c" * 8]
    metadata = pd.DataFrame(
        {
            "id": list(LOOKED),
            "split": ["train", "train", "test", "validate"],
            "eye_tracking_data_discarded": [False, False, False, True],
            "image": [f"physionet.org/files/mimic-cxr-jpg/2.0.0/files/p10/p1/s5/{name}.dcm" for name in ids],
            "dicom_id": ids,
            "subject_id": ["10000001", "10000001", "10000001", "10000002"],
            "image_size_x": SIZE[1],
            "image_size_y": SIZE[0],
            "Consolidation": [4, 1, 0, 5],
            "Pleural abnormality": [0, 0, 3, 0],
            "Support devices": [True, False, False, True],
            "Other": ["", "a|b", "", ""],
        }
    )
    main = write_reflacx(
        tmp_path / "reflacx-xray-localization" / "1.0.0", metadata, {k: reading(v) for k, v in LOOKED.items()}
    )
    for k, name in enumerate(dict.fromkeys(ids)):
        image = np.random.default_rng(k).random((1, *SIZE))
        write_image(
            tmp_path / "mimic-cxr-jpg" / "2.0.0" / "files" / "p10" / "p1" / "s5" / f"{name}.png", image
        )
    box = pd.DataFrame([{"xmin": 5, "ymin": 6, "xmax": 45, "ymax": 55}])
    box.to_csv(main / "P300R000001" / reflacx.CHEST_BOX, index=False, lineterminator="\r\n")
    ellipse = {
        "xmin": 1,
        "ymin": 2,
        "xmax": 11,
        "ymax": 12,
        "certainty": 4,
        "Consolidation": True,
        "Pleural abnormality": False,
    }
    pd.DataFrame([ellipse]).to_csv(main / "P300R000002" / reflacx.ELLIPSES, index=False)
    pd.DataFrame([ellipse]).head(0).to_csv(main / "P300R000003" / reflacx.ELLIPSES, index=False)
    return main


def test_readings_of_an_image_are_merged(main, tmp_path):
    table = load_reflacx(tmp_path)
    assert table.names == ["a" * 8, "b" * 8, "c" * 8]
    assert table.patients == ["10000001", "10000001", "10000002"]
    batch = table.batch([0, 1, 2])
    np.testing.assert_allclose(
        batch["fixations"][0], [[10, 20, 0.5], [30, 40, 0.2], [12, 22, 1.0]], atol=1e-6
    )
    np.testing.assert_allclose(batch["fixations"][1], [[26, 31, 0.5]], atol=1e-6)
    assert batch["has_gaze"].tolist() == [True, True, False]
    together = density_map(batch["fixations"][0], native=SIZE)
    assert float((batch["gaze"][0] - together).abs().max()) < 1e-6
    assert table.dropped.dropped == {OFF: 2, DURATION: 1}
    assert table.dropped.notes == {reflacx.DISCARDED: 1, reflacx.OUTSIDE_WINDOW: 2}
    first = batch["row"][0]
    assert (first["Consolidation"], first["Support devices"], first["readings"]) == (2.5, 0.5, 2)
    assert "Other" not in first
    assert batch["row"][1]["split"] == "test"
    assert batch["boxes"] == [
        [
            {"name": "chest", "box": [5.0, 6.0, 45.0, 55.0]},
            {"name": "Consolidation", "box": [1.0, 2.0, 11.0, 12.0], "certainty": 4.0},
        ],
        [],
        [],
    ]


def test_readings_may_stand_alone(main):
    table = load_reflacx(main, readers="separate", images=main.parents[2] / "mimic-cxr-jpg" / "2.0.0")
    assert table.names == list(LOOKED)
    assert [len(rows) for rows in table.batch(range(4))["fixations"]] == [2, 1, 1, 0]
    parts = table.split({"train": 0.5, "test": 0.5}, seed=0)
    assert not set(parts["train"].patients) & set(parts["test"].patients)


def test_findings_as_targets(main, tmp_path):
    assert load_reflacx(tmp_path, target="Consolidation").targets == ["no", "no", "yes"]
    assert load_reflacx(tmp_path, target="Consolidation", certainty=2).targets == ["yes", "no", "yes"]
    assert load_reflacx(tmp_path, target="Consolidation", readers="separate").targets == [
        "yes",
        "no",
        "no",
        "yes",
    ]
    assert load_reflacx(tmp_path, target="Support devices", readers="separate").targets == [
        "yes",
        "no",
        "no",
        "yes",
    ]
    with pytest.raises(InputError, match="Pneumonia: no such finding"):
        load_reflacx(tmp_path, target="Pneumonia")


def test_pictures_of_another_size_keep_the_gaze_in_place(main, tmp_path):
    write_image(next(tmp_path.rglob("aaaaaaaa.png")), np.zeros((1, 30, 25)))
    item = load_reflacx(tmp_path).batch([0])
    np.testing.assert_allclose(item["fixations"][0][0], [5, 10, 0.5], atol=1e-5)
    assert item["gaze"].shape == (1, 30, 25)


def test_missing_pictures_and_readings(main, tmp_path):
    next(tmp_path.rglob("aaaaaaaa.png")).unlink()
    with pytest.raises(InputError, match=r"metadata_phase_3.csv: column image, line 2: .*2 of 4"):
        load_reflacx(tmp_path)
    table = load_reflacx(tmp_path, missing="drop")
    assert len(table) == 2
    assert table.dropped.notes[NO_PICTURE] == 1
    (main / "P300R000003" / "fixations.csv").unlink()
    with pytest.raises(InputError, match=r"fixations.csv: does not exist"):
        load_reflacx(tmp_path, missing="drop")


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("Consolidation", "sure", "column Consolidation, line 3: 'sure' is not a number"),
        ("image_size_x", "0", "line 3: is no size"),
        ("subject_id", "", "column subject_id, line 3: is empty"),
        ("id", "P300R000001", "column id, line 3"),
    ],
)
def test_a_broken_row_names_file_column_and_line(main, tmp_path, column, value, match):
    edited(main / "metadata_phase_3.csv", cell(column, 1, value))
    with pytest.raises(InputError, match=match):
        load_reflacx(tmp_path)


def test_broken_gaze(main, tmp_path):
    path = main / "P300R000002" / "fixations.csv"
    edited(path, cell("x_position", 1, "left"))
    with pytest.raises(InputError, match=r"P300R000002/fixations.csv: column x_position, line 3"):
        load_reflacx(tmp_path)
    edited(path, cell("x_position", 1, ""))
    assert load_reflacx(tmp_path).dropped.dropped["position is not a finite number"] == 1
    path.write_text(path.read_text().rstrip()[:-4].rsplit(",", 1)[0])
    with pytest.raises(InputError, match=r"fixations.csv: line 4: has"):
        load_reflacx(tmp_path)


def test_where_it_is_recognized(main, tmp_path):
    for folder in (tmp_path, main, main.parent):
        assert is_reflacx(folder)
    assert not is_reflacx(main / "P300R000001")
    with pytest.raises(InputError, match="holds no metadata"):
        load_reflacx(main / "P300R000001")
    with pytest.raises(InputError, match=r"phases \[1, 2\]"):
        load_reflacx(tmp_path, phases=(1, 2))
    with pytest.raises(InputError, match="readers"):
        load_reflacx(tmp_path, readers="all")
