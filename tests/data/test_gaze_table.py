"""Images with gaze as a source: one geometry, patients kept together, nothing un-normalized."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

import visus.data
from visus.data.formats import Picture, write_image
from visus.data.gaze.density import density_map
from visus.data.gaze.fixations import (
    CALIBRATION,
    DURATION,
    INVALID,
    NOT_FINITE,
    OFF,
    REPEATED,
    UNKNOWN,
    DropReport,
    Fixations,
    screen_to_image,
)
from visus.data.gaze.parts import egd_parts, listed_parts
from visus.data.gaze.radiograph import native_size, read_radiograph
from visus.data.gaze.table import GazeTable, View
from visus.errors import InputError

CLASSES = ["Normal", "CHF", "pneumonia"]


def made(n: int = 12, space: tuple[int, int] = (48, 40), **options) -> GazeTable:
    rng = np.random.default_rng(0)
    looked = [rng.uniform((0, 0, 0.1), (space[1], space[0], 0.6), size=(6, 3)) for _ in range(n)]
    looked[1] = None
    frame = pd.DataFrame(
        {
            "name": [f"image{i}" for i in range(n)],
            "age": range(n),
            "patient": [f"p{i // 2}" for i in range(n)],
            "diagnosis": [CLASSES[i % 3] for i in range(n)],
        }
    )
    images = torch.from_numpy(rng.random((n, 1, *space), dtype=np.float32))
    chosen = {"images": images, "fixations": looked, "target": "diagnosis", "group": "patient"} | options
    return GazeTable(frame, **chosen)


def test_a_batch_holds_what_is_promised():
    batch = made().batch([2, 1])
    assert batch["image"].shape == (2, 1, 48, 40)
    assert batch["image"].dtype == batch["gaze"].dtype == torch.float32
    assert batch["gaze"].shape == (2, 48, 40)
    assert batch["has_gaze"].tolist() == [True, False]
    assert float(batch["gaze"][0].sum()) == pytest.approx(1, abs=1e-6)
    assert batch["gaze"][1].count_nonzero() == 0
    assert [tuple(rows.shape) for rows in batch["fixations"]] == [(6, 3), (0, 3)]
    assert batch["row"] == [{"age": 2}, {"age": 1}]
    assert (batch["name"], batch["patient"]) == (["image2", "image1"], ["p1", "p0"])
    assert batch["target"] == ["pneumonia", "CHF"]
    assert "segmentation" not in batch
    assert "boxes" not in batch


def test_no_items_and_no_fixations_anywhere():
    assert made().batch([])["fixations"] == []
    blind = made(3, fixations=[None] * 3)
    assert not blind.batch([0, 1, 2])["has_gaze"].any()
    assert "0 with gaze" in blind.report()


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_image_map_mask_box_and_fixations_share_one_geometry(fit):
    """A white square is looked at, marked and boxed: whatever the view, all four stay on it."""
    native = (60, 40)
    image = torch.zeros(1, 1, *native)
    image[0, 0, 20:30, 10:20] = 1
    mask = (image[0, 0] > 0).to(torch.uint8) * 3
    looked = [np.array([[15.0, 25.0, 1.0]])]
    table = GazeTable(pd.DataFrame({"name": ["a"]}), images=image, fixations=looked).with_regions(
        segmentation=mask[None], boxes=[[{"name": "heart", "box": [10, 20, 20, 30], "sure": 5}]]
    )
    for size in (None, (30, 32), (96, 64), (45, 90)):
        item = table.viewed(View(image_size=size, fit=fit, sigma_px=1.0)).batch([0])
        shown = item["image"][0, 0]
        x, y, seconds = item["fixations"][0][0].tolist()
        rows, columns = torch.arange(shown.shape[0]) + 0.5, torch.arange(shown.shape[1]) + 0.5
        weight = shown.sum()
        assert float((shown.sum(1) * rows).sum() / weight) == pytest.approx(y, abs=0.3)
        assert float((shown.sum(0) * columns).sum() / weight) == pytest.approx(x, abs=0.3)
        assert shown[int(y), int(x)] > 0.9
        peak = divmod(int(item["gaze"][0].argmax()), shown.shape[1])
        assert abs(peak[0] + 0.5 - y) <= 1
        assert abs(peak[1] + 0.5 - x) <= 1
        assert seconds == 1.0
        assert item["segmentation"].dtype == torch.uint8
        assert float(((item["segmentation"][0] == 3) != (shown > 0.5)).float().mean()) < 0.03
        box = item["boxes"][0][0]
        assert (box["name"], box["sure"]) == ("heart", 5)
        x1, y1, x2, y2 = box["box"]
        assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((x, y), abs=1e-4)
        assert float(weight) == pytest.approx((x2 - x1) * (y2 - y1), rel=0.05)


def test_maps_are_those_of_density_map_and_stay_normalized_when_resized():
    table = made()
    rows = table._fixations[3]
    for size in ((17, 23), (96, 96), (8, 8)):
        view = View(image_size=size, sigma_px=3.0, weight="count")
        ours = table.viewed(view).resized(size).batch([3])["gaze"][0]
        again = density_map(rows, native=(48, 40), size=size, sigma_px=3.0, weight="count")
        assert ours.equal(again)
        assert float(ours.double().sum()) == pytest.approx(1, abs=1e-6)


def test_a_table_is_not_changed_by_its_views():
    table = made()
    before = table.batch([0])
    small = table.resized((16, 16))
    assert small.batch([0])["image"].shape == (1, 1, 16, 16)
    assert small.resized(None) is small
    assert small.viewed(small.view) is small
    after = table.batch([0])
    assert before["gaze"].equal(after["gaze"])
    assert before["image"].equal(after["image"])
    assert table.fingerprint() != small.fingerprint()
    assert table.fingerprint() == made().fingerprint()
    other = made(fixations=[None] * 12)
    assert table.fingerprint() != other.fingerprint()


def test_subsets_carry_everything_along():
    boxes = [[{"name": str(i), "box": [0, 0, 1, 1]}] for i in range(12)]
    masks = [np.full((48, 40), i, dtype=np.uint8) for i in range(12)]
    table = made().with_regions(segmentation=masks, boxes=boxes)
    part = table.subset([7, 3]).subset([1])
    item, whole = part.batch([0]), table.batch([3])
    for key in ("image", "gaze", "segmentation"):
        assert item[key].equal(whole[key])
    assert item["boxes"][0][0]["name"] == "3"
    assert item["name"] == ["image3"]
    assert item["fixations"][0].equal(whole["fixations"][0])


def test_masks_may_be_read_late_and_absent():
    table = made(3).with_regions(segmentation=[None, partial(np.ones, (48, 40)), partial(_nothing)])
    masks = pickle.loads(pickle.dumps(table)).batch([0, 1, 2])["segmentation"]
    assert masks.flatten(1).sum(1).tolist() == [0, 48 * 40, 0]


def _nothing() -> None:
    return None


def test_a_patient_is_never_in_two_parts():
    table = made(60)
    parts = table.split({"train": 0.6, "valid": 0.2, "test": 0.2}, seed=3)
    held = [set(part.patients) for part in parts.values()]
    assert sum(len(part) for part in parts.values()) == 60
    assert not (held[0] & held[1] | held[0] & held[2] | held[1] & held[2])
    unlabeled = GazeTable(
        table.frame.drop(columns="diagnosis"), images=table.images, fixations=[None] * 60, group="patient"
    )
    parts = unlabeled.split({"a": 0.5, "b": 0.5}, seed=0)
    assert not set(parts["a"].patients) & set(parts["b"].patients)


def test_the_reference_draw_is_that_of_python_shuffle():
    import random

    table = made(60)
    people = [f"p{i}" for i in range(30)]
    state = random.getstate()
    parts = egd_parts(table)
    assert random.getstate() == state
    random.seed(42)
    random.shuffle(people)
    random.setstate(state)
    assert set(parts["train"].patients) == set(people[:24])
    assert set(parts["valid"].patients) == set(people[24:27])
    assert set(parts["test"].patients) == set(people[27:])
    with pytest.raises(InputError, match="empty"):
        egd_parts(made(2))


def test_parts_by_a_list(tmp_path):
    table = made(6)
    rows = [
        "image_id,class_name,phase",
        *(f"sub\\image{i}.jpg,CHF,{'train' if i < 4 else 'test'}" for i in range(6)),
    ]
    file = tmp_path / "list.csv"
    file.write_text("\n".join(rows) + "\n")
    parts = listed_parts(table, file)
    assert {name: part.names for name, part in parts.items()} == {
        "train": ["image0", "image1", "image2", "image3"],
        "test": ["image4", "image5"],
    }
    file.write_text("\n".join(rows[:-1] + ["image5,CHF,train"]) + "\n")
    with pytest.raises(InputError, match="1 patients into two parts"):
        listed_parts(table, file)
    assert len(listed_parts(table, file, shared="keep")["train"]) == 5
    file.write_text("\n".join([*rows, "image0,CHF,test"]) + "\n")
    with pytest.raises(InputError, match="line 8: image0 is in two parts"):
        listed_parts(table, file)
    file.write_text("image_id,phase\nstranger,train\n")
    with pytest.raises(InputError, match="no image of part train"):
        listed_parts(table, file)
    file.write_text("image_id,class\nimage0,train\n")
    with pytest.raises(InputError, match="column phase"):
        listed_parts(table, file)


def test_pictures_on_disk_and_gaze_in_pixels_of_larger_originals(tmp_path):
    """Files are 30 x 20 copies of 300 x 200 originals in whose pixels gaze, boxes and masks are given."""
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"scan{i}.png")
        write_image(paths[-1], np.random.default_rng(i).random((1, 30, 20)))
    looked = [np.array([[150.0, 210.0, 1.0], [199.0, 299.0, 1.0]]), None]
    table = GazeTable(
        pd.DataFrame({"age": [1, 2]}), images=paths, fixations=looked, native=[(300, 200)] * 2
    ).with_regions(boxes=[[{"name": "a", "box": [100, 100, 200, 300]}], []])
    item = table.batch([0, 1])
    assert item["name"] == ["scan0", "scan1"]
    np.testing.assert_allclose(item["fixations"][0][0], [15, 21, 1], atol=1e-5)
    assert item["boxes"][0][0]["box"] == pytest.approx([10, 10, 20, 30])
    direct = density_map(looked[0], native=(300, 200), size=(30, 20))
    assert item["gaze"][0].equal(direct)
    small = table.resized((15, 15)).batch([0])
    assert small["gaze"][0].equal(density_map(looked[0], native=(300, 200), size=(15, 15)))
    assert small["fixations"][0][0].tolist() == pytest.approx([7.5 + 2, 10.5, 1])


def test_a_damaged_picture_names_file_and_line(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    write_image(good, np.zeros((1, 8, 8)))
    bad.write_bytes(good.read_bytes()[:40])
    table = GazeTable(pd.DataFrame({"y": [0, 1]}), images=[good, bad], fixations=[None, None], file="t.csv")
    with pytest.raises(InputError, match=r"t.csv: column image, line 3 .*bad.png"):
        table.batch([0, 1])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"fixations": [None]}, "fixations"),
        ({"fixations": [np.zeros((2, 2))] * 12}, "fixations"),
        ({"images": torch.zeros(12, 3, 8, 8)}, "images"),
        ({"native": [(8, 8)]}, "native"),
    ],
)
def test_refusals(options, field):
    with pytest.raises(InputError) as caught:
        made(**options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"weight": "x"}, "weight"),
        ({"fit": "x"}, "fit"),
        ({"sigma_px": -1.0}, "sigma_px"),
        ({"image_size": (0, 3)}, "image_size"),
    ],
)
def test_impossible_views(options, field):
    with pytest.raises(InputError) as caught:
        View(**options)
    assert caught.value.field == field


def test_regions_of_other_length_or_shape():
    with pytest.raises(InputError, match="segmentation"):
        made().with_regions(segmentation=[None])
    with pytest.raises(InputError, match="boxes"):
        made().with_regions(boxes=[[]])
    with pytest.raises(InputError, match=r"\(h, w\)"):
        made(2).with_regions(segmentation=[np.zeros((1, 48, 40))] * 2).batch([0])


def test_every_rule_counts_each_row_once():
    names = ["a", "a", "a", "cal", "zz", "a", "a", "a", "a", "a", "b", "a"]
    x = [1.0, 5, 9.99, 1, 1, 2, np.nan, -0.1, 10, 3, 4, 1]
    y = [1.0, 5, 19.9, 1, 1, 2, 1, 1, 1, 20, 4, 1]
    seconds = [0.1, 0, 0.2, 1, 1, 0.3, 1, 1, 1, 1, 0.5, 0.1]
    valid = [True] * 5 + [False] + [True] * 6
    time = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    rows = Fixations(
        image=names,
        x=np.array(x),
        y=np.array(y),
        seconds=np.array(seconds),
        valid=np.array(valid),
        time=np.array(time),
    )
    calibration = np.array([name == "cal" for name in names])
    parts, report = rows.by_image({"a": (20, 10), "b": (20, 10), "c": (5, 5)}, calibration=calibration)
    np.testing.assert_allclose(parts["a"], [[1, 1, 0.1], [9.99, 19.9, 0.2]], rtol=1e-6)
    assert {name: len(part) for name, part in parts.items()} == {"a": 2, "b": 1, "c": 0}
    assert report.dropped == {
        CALIBRATION: 1,
        UNKNOWN: 1,
        INVALID: 1,
        NOT_FINITE: 1,
        OFF: 3,
        DURATION: 1,
        REPEATED: 1,
    }
    assert report.total == len(rows) == 12
    _, counted = rows.by_image({"a": (20, 10)}, durations="ignore")
    assert DURATION not in counted.dropped
    both = report + DropReport(kept=1, dropped={OFF: 2}, notes={"odd": 4})
    assert (both.kept, both.dropped[OFF], both.notes) == (4, 5, {"odd": 4})
    assert "5 dropped: off the image" in both.text()
    assert "note: odd: 4" in both.text()


def test_rounding_to_float32_cannot_carry_a_point_over_the_edge():
    rows = Fixations(
        image=["a"], x=np.array([np.nextafter(2544.0, 0)]), y=np.array([1.0]), seconds=np.array([1.0])
    )
    parts, report = rows.by_image({"a": (10, 2544)})
    assert len(parts["a"]) == 0
    assert report.dropped == {OFF: 1}


def test_screen_to_image_is_the_formula():
    pads = np.array([[0, 0, 510, 511], [86, 86, 448, 448]], dtype=float)
    fractions, native = (
        np.array([[0.4, 0.3], [0.9, 0.5]]),
        np.array([[3056, 2544], [2544, 3056]], dtype=float),
    )
    found = screen_to_image(fractions, screen=(1080, 1920), pads=pads, native=native)
    for (u, v), (top, bottom, left, right), (high, wide), (x, y) in zip(fractions, pads, native, found):
        assert x == pytest.approx((u * 1920 - left) * wide / (1920 - left - right))
        assert y == pytest.approx((v * 1080 - top) * high / (1080 - top - bottom))
    assert found[1, 0] > 3056  # on the right bar


def test_radiographs_become_one_gray_channel(tmp_path):
    color = np.stack([np.full((6, 5), value) for value in (1.0, 0.5, 0.0)])
    write_image(tmp_path / "color.png", color)
    gray = read_radiograph(tmp_path / "color.png")
    assert gray.shape == (1, 6, 5)
    assert float(gray[0, 0, 0]) == pytest.approx(0.299 + 0.587 * 0.5, abs=0.005)
    write_image(tmp_path / "a.npy", np.linspace(-50, 150, 30, dtype=np.float32).reshape(1, 6, 5))
    stretched = read_radiograph(tmp_path / "a.npy")
    assert (float(stretched.min()), float(stretched.max())) == (0, 1)
    np.save(tmp_path / "volume.npy", np.zeros((6, 7, 8), dtype=np.float32))
    with pytest.raises(InputError, match="6 pictures, not one"):
        read_radiograph(tmp_path / "volume.npy")
    np.save(tmp_path / "nan.npy", np.full((6, 7), np.nan, dtype=np.float32))
    with pytest.raises(InputError, match="not finite"):
        read_radiograph(tmp_path / "nan.npy")
    for name in ("color.png", "a.npy"):
        assert native_size(tmp_path / name) == (6, 5)
    with pytest.raises(InputError, match="does not exist"):
        native_size(tmp_path / "none.png")


def test_a_rotated_photograph_is_measured_as_it_is_read(tmp_path):
    from PIL import Image

    image = Image.fromarray(np.zeros((6, 5), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert (
        native_size(tmp_path / "turned.jpg")
        == tuple(read_radiograph(tmp_path / "turned.jpg").shape[1:])
        == (5, 6)
    )


def test_rescaled_inverted_dicom(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    path = tmp_path / "a.dcm"
    write_image(path, Picture(array=np.linspace(0, 1, 30, dtype=np.float32).reshape(1, 5, 6), kind="numpy"))
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation, dataset.RescaleSlope, dataset.RescaleIntercept = (
        "MONOCHROME1",
        "2",
        "-100",
    )
    dataset.save_as(path)
    read = read_radiograph(path)[0]
    assert native_size(path) == (5, 6)
    assert (float(read[0, 0]), float(read[-1, -1])) == (1, 0)


def test_public_names():
    assert visus.data.GazeTable is GazeTable
    assert "read_gaze" in visus.data.__all__
