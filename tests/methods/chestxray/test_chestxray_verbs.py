"""The commands on files: what they write and say, how they go on, what they refuse."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chestxray_files import QUICK, quick_model, write_chest_dicom, write_files

from visus.data.formats import write_image
from visus.errors import InputError
from visus.methods.chestxray.verbs import VERBS
from visus.methods.chestxray.verbs.data import read_data
from visus.methods.chestxray.verbs.images import list_images
from visus.methods.chestxray.verbs.journal import Journal
from visus.methods.chestxray.verbs.reading import Reader, where
from visus.serve.intake import read_signature

pytest.importorskip("pydicom", reason="DICOM files need the extra medical")
SHARES = ["p_Normal", "p_CHF", "p_pneumonia"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`egd`: 18 images laid out like EGD-CXR; `own`: PNG files with tables; `run`: a model."""
    return write_files(tmp_path_factory.mktemp("chestxray"))


def predicted(images: Path, files: Path, out: Path, **options) -> pd.DataFrame:
    VERBS["predict"](images, model=files / "run", out=out, device="cpu", **options)
    return pd.read_csv(out, keep_default_na=False, na_values={name: [""] for name in [*SHARES, "gaze_x"]})


def test_fit_tells_what_it_dropped_and_how_the_stages_went(files: Path, tmp_path: Path, capsys):
    VERBS["fit"](files / "egd", out=tmp_path / "run", preset="smoke", set=QUICK, device="cpu")
    said = capsys.readouterr().out
    assert "18 images of 9 patients, 18 with gaze" in said
    assert "dropped: calibration frame, not an image" in said
    assert re.search(r"saliency +1 epoch, best epoch 1 \(validation loss \d", said)
    stages = VERBS["lineage"](model=tmp_path / "run")
    assert [stage["stage"] for stage in stages] == ["classify", "saliency", "final"]
    for before, after in itertools.pairwise(stages):
        assert before["ended"] == after["began"] != after["ended"]
    assert stages[0]["began"][:8] in capsys.readouterr().out


def test_predict_gives_what_the_estimator_says(files: Path, tmp_path: Path):
    from visus.methods.chestxray.estimator import ChestXrayReader

    table = predicted(files / "own" / "images", files, tmp_path / "p.csv", pictures=tmp_path / "pictures")
    made = ChestXrayReader.open(files / "run", device="cpu")
    source = read_data(files / "own")
    expected = made.predict(source)
    assert [Path(name).stem for name in table["image"]] == sorted(source.names)
    rows = table.assign(stem=[Path(name).stem for name in table["image"]]).set_index("stem").loc[source.names]
    np.testing.assert_allclose(rows[SHARES].to_numpy(float), expected["probabilities"].numpy(), atol=2e-6)
    assert rows["label"].tolist() == expected["name"]
    assert (table["problem"] == "").all()
    for name, density in zip(source.names, expected["density"].numpy(), strict=True):
        kept = np.load(tmp_path / "pictures" / f"{name}-density.npy", allow_pickle=False)
        assert kept.dtype == np.float32
        assert kept.sum() == pytest.approx(1, abs=1e-5)
        assert kept.shape == (64, 53)  # 72 x 60 within 64 x 64
        np.testing.assert_allclose(kept, density[:, 5:58] / density[:, 5:58].sum(), rtol=1e-4)
        column = int(kept.argmax()) % 53
        assert rows.loc[name, "gaze_x"] == pytest.approx((column + 0.5) / 53, abs=1e-5)
        assert rows.loc[name, "gaze_left"] + rows.loc[name, "gaze_right"] == pytest.approx(1, abs=2e-6)
        left = kept[:, :26].sum() + kept[:, 26].sum() / 2
        assert rows.loc[name, "gaze_left"] == pytest.approx(left, abs=1e-4)
        for kind in ("gaze", "gradcam", "density"):
            picture = tmp_path / "pictures" / f"{name}-{kind}.png"
            assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_file_a_folder_and_a_table_agree(files: Path, tmp_path: Path):
    folder = predicted(files / "egd", files, tmp_path / "folder.csv").set_index("image")
    assert len(folder) == 18
    path = sorted((files / "egd").rglob("*.dcm"))[3]
    alone = predicted(path, files, tmp_path / "alone.csv")
    assert alone["image"].tolist() == [path.name]
    name = path.relative_to(files / "egd").as_posix()
    (tmp_path / "list.csv").write_text(f"what,where\na,{path}\n")
    listed = predicted(tmp_path / "list.csv", files, tmp_path / "listed.csv", image_column="where")
    for other in (alone.iloc[0], listed.iloc[0]):
        values = other[SHARES].to_numpy(float)
        np.testing.assert_allclose(values, folder.loc[name, SHARES].to_numpy(float), atol=2e-6)


def test_batches_go_on_past_files_that_cannot_be_read(files: Path, tmp_path: Path, capsys):
    folder, rng = tmp_path / "mixed", np.random.default_rng(0)
    good = write_chest_dicom(folder / "good.dcm", rng.random((40, 30)))
    whole = good.read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "words.png").write_text("not a picture")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "without-ending").write_bytes(whole)
    (folder / "notes").write_text("no image either")
    write_chest_dicom(folder / "several.dcm", rng.random((4, 40, 30)))
    table = predicted(folder, files, tmp_path / "p.csv", pictures=tmp_path / "pictures").set_index("image")
    said = capsys.readouterr().out
    assert set(table.index) == {
        "cut.dcm",
        "empty.dcm",
        "good.dcm",
        "several.dcm",
        "without-ending",
        "words.png",
    }
    bad = ["cut.dcm", "empty.dcm", "several.dcm", "words.png"]
    assert table.index[table["problem"] != ""].tolist() == bad
    assert table.loc[bad, SHARES].isna().all(axis=None)
    assert "cut off or damaged" in table.loc["cut.dcm", "problem"]
    assert "holds 4 pictures, not one" in table.loc["several.dcm", "problem"]
    assert "2 predictions" in said
    assert "4 of 6 images could not be read" in said
    made = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {name.rpartition("-")[0] for name in made} == {"good", "without-ending"}
    for name in bad:
        with pytest.raises(InputError, match=re.escape(name)):
            predicted(folder / name, files, tmp_path / "one.csv")
    assert not (tmp_path / "one.csv").exists()
    for name in ("good.dcm", "without-ending"):
        (folder / name).unlink()
    (tmp_path / "none.csv").write_text("an older table")
    with pytest.raises(
        InputError, match=r"mixed: none of 4 .*words\.png: is not a picture.*nothing was written"
    ):
        predicted(folder, files, tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text() == "an older table"
    assert not (tmp_path / ".none.csv.part").exists()


class Stopped:
    """`Reader.rows` that is interrupted when it is asked for the n-th time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int | None = None) -> None:
        self.seen: list[str] = []
        self.calls, original = 0, Reader.rows

        def rows(reader, listed, *, forgiving=True):
            self.calls += 1
            if self.calls == after:
                raise KeyboardInterrupt
            self.seen += [item.name for item in listed]
            return original(reader, listed, forgiving=forgiving)

        monkeypatch.setattr(Reader, "rows", rows)


def test_a_stopped_prediction_goes_on_where_it_was(files: Path, tmp_path: Path, capsys):
    images = files / "own" / "images"
    whole = predicted(images, files, tmp_path / "whole.csv")
    out, part = tmp_path / "p.csv", tmp_path / ".p.csv.part"
    with pytest.MonkeyPatch.context() as patch:
        Stopped(patch, after=3)
        with pytest.raises(KeyboardInterrupt):
            predicted(images, files, out)
    assert "stopped after 16 of 18 images" in capsys.readouterr().out
    assert part.exists()
    assert not out.exists()
    part.write_bytes(part.read_bytes()[:-20])  # the machine went down while a line was written
    with pytest.MonkeyPatch.context() as patch:
        second = Stopped(patch)
        again = predicted(images, files, out)
    assert second.seen == whole["image"].tolist()[15:]
    pd.testing.assert_frame_equal(again, whole)
    assert not part.exists()
    assert "15 of 18 images were done before" in capsys.readouterr().out


def test_what_changed_in_between_is_done_again(files: Path, tmp_path: Path):
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((files / "own" / "images").iterdir())[:10]:
        (images / path.name).write_bytes(path.read_bytes())
    (images / "image-001.png").write_bytes(b"x")
    names = sorted(path.name for path in images.iterdir())

    def interrupted() -> None:
        with pytest.MonkeyPatch.context() as patch:
            Stopped(patch, after=2)
            with pytest.raises(KeyboardInterrupt):
                predicted(images, files, tmp_path / "p.csv")

    interrupted()
    (images / "image-002.png").write_bytes((images / "image-003.png").read_bytes())
    (images / "image-001.png").write_bytes((images / "image-003.png").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        second = Stopped(patch)
        table = predicted(images, files, tmp_path / "p.csv").set_index("image")
    assert second.seen == [names[1], names[2], *names[8:]]
    assert (table["problem"] == "").all()
    assert table.loc["image-002.png", "p_CHF"] == table.loc["image-003.png", "p_CHF"]
    interrupted()
    with pytest.MonkeyPatch.context() as patch:
        third = Stopped(patch)
        predicted(images, files, tmp_path / "p.csv", invert="yes")  # another question
    assert third.seen == names


def test_a_journal_of_something_else_is_no_journal(tmp_path: Path):
    out = tmp_path / "p.csv"
    first = Journal(out, {"model": "a"})
    first.add({"x": {"image": "x", "problem": ""}})
    assert Journal(out, {"model": "a"}).rows == {"x": {"image": "x", "problem": ""}}
    assert Journal(out, {"model": "b"}).rows == {}
    first.file.write_bytes(b"[1]\n{\n")
    assert Journal(out, {"model": "a"}).rows == {}
    first.finish()
    assert not first.file.exists()


def test_outputs_inside_the_folder_are_not_taken_for_images(files: Path, tmp_path: Path):
    images = tmp_path / "images"
    write_chest_dicom(images / "a.dcm", np.random.default_rng(0).random((40, 30)))
    more = {"pictures": images / "out" / "pictures", "dicom": images / "dicom"}
    for _ in range(2):
        assert len(predicted(images, files, images / "p.csv", **more)) == 1
    assert [path.name for path in (images / "dicom").iterdir()] == ["a.dcm"]


def test_files_of_one_name_get_pictures_of_their_own(tmp_path: Path):
    for name in ("x/a.png", "y/A.png", "y/a.dcm", "a-2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    stems = {item.name: item.stem for item in list_images(tmp_path)}
    assert stems == {"a-2.png": "a-2", "x/a.png": "a", "y/A.png": "A-3", "y/a.dcm": "a-4"}


def test_the_capture_is_a_picture_of_the_map(files: Path, tmp_path: Path):
    import pydicom
    from PIL import Image

    path = write_chest_dicom(tmp_path / "in" / "a.dcm", np.random.default_rng(0).random((400, 300)))
    predicted(path, files, tmp_path / "p.csv", pictures=tmp_path / "out", dicom=tmp_path / "dicom")
    dataset = pydicom.dcmread(tmp_path / "dicom" / "a.dcm")
    assert (dataset.PhotometricInterpretation, dataset.Modality) == ("RGB", "OT")
    shown = np.asarray(Image.open(tmp_path / "out" / "a-gaze.png"))
    np.testing.assert_array_equal(dataset.pixel_array, shown)
    assert shown.shape[0] > 400  # the legend below
    assert shown.shape[1] == 300


def test_evaluate_writes_scores_rows_and_a_page_that_needs_nothing_else(files: Path, tmp_path: Path, capsys):
    from visus.methods.chestxray.estimator import ChestXrayReader

    out = tmp_path / "scores"
    found = VERBS["evaluate"](files / "egd", model=files / "run", out=out, device="cpu")
    made = ChestXrayReader.open(files / "run", device="cpu")
    source = read_data(files / "egd")
    plain = made.evaluate(source, intervals=True)
    assert set(plain) | {"ece_before", "ece_before_low", "ece_before_high"} == set(found)
    assert all(found[name] == pytest.approx(value, abs=1e-6) for name, value in plain.items())
    assert json.loads((out / "scores.json").read_text()) == found
    assert re.search(r"AUC, mean of the classes +\d\.\d{3}  \d\.\d{3} to \d\.\d{3}", capsys.readouterr().out)
    table = pd.read_csv(out / "images.csv")
    assert table["image"].tolist() == source.names
    assert table["patient"].tolist() == [1 + i // 2 for i in range(18)]
    assert table["truth"].tolist() == source.targets
    assert table["cc"].mean() == pytest.approx(found["cc"], abs=1e-9)
    assert not set(source.patients) & set((out / "images.csv").read_text().replace("\n", ",").split(","))
    page = (out / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page)
    assert "<script" not in page
    assert page.count("<img ") == 2 * 3 * 4
    assert page.count("<svg") == 3
    assert "Not a medical device" in page


def test_evaluate_with_gaze_alone_and_with_labels_alone(files: Path, tmp_path: Path):
    images = files / "own" / "images"
    (tmp_path / "gaze").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("gaze", "labels"):
        (tmp_path / name / "images").symlink_to(images, target_is_directory=True)
    common = {"model": files / "run", "device": "cpu"}
    looked = VERBS["evaluate"](
        tmp_path / "gaze", fixations=files / "own" / "fixations.csv", out=tmp_path / "a", **common
    )
    assert {name for name in looked if "_" not in name} == {"kl", "cc", "sim", "nss"}
    told = VERBS["evaluate"](
        tmp_path / "labels", labels=files / "own" / "labels.csv", out=tmp_path / "b", **common
    )
    assert "auc_macro" in told
    assert "cc" not in told
    assert "cases by diagnosis" in (tmp_path / "b" / "index.html").read_text()
    assert "cases by gaze" in (tmp_path / "a" / "index.html").read_text()


def test_compare_tests_every_measure(files: Path, tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    classes = np.array(["Normal", "CHF", "pneumonia"])
    truth = np.tile([0, 1, 2], 20)

    def evaluated(name: str, skill: float) -> Path:
        logits = rng.normal(size=(60, 3)) + skill * np.eye(3)[truth]
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        frame = pd.DataFrame(
            {"image": [f"i{i}" for i in range(60)], "patient": range(60), "truth": classes[truth]}
        )
        frame[SHARES] = shares
        frame["correct"] = (shares.argmax(1) == truth).astype(float)
        frame["cc"] = rng.normal(0.3 + 0.1 * skill, 0.1, 60)
        (tmp_path / name).mkdir()
        frame.to_csv(tmp_path / name / "images.csv", index=False)
        return tmp_path / name

    good, poor = evaluated("good", 3.0), evaluated("poor", 0.3)
    rows = {row["measure"]: row for row in VERBS["compare"](good, poor, out=tmp_path / "c.csv")}
    assert set(rows) == {"accuracy", "cc", "auc_Normal", "auc_CHF", "auc_pneumonia"}
    assert rows["cc"]["low"] > 0.1
    assert rows["cc"]["p_holm"] < 0.01
    assert rows["auc_CHF"]["test"] == "DeLong"
    assert all(row["p_holm"] >= row["p"] for row in rows.values())
    assert "60 images of 60 patients" in capsys.readouterr().out
    same = VERBS["compare"](good, good)
    assert all(row["difference"] == 0 and row["p"] == 1 for row in same)
    frame = pd.read_csv(good / "images.csv").assign(patient=np.arange(60) // 2)
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    paired = {row["measure"]: row for row in VERBS["compare"](tmp_path / "pairs.csv", poor)}
    assert paired["auc_CHF"]["test"] == "interval alone"
    assert paired["auc_CHF"]["low"] > 0
    frame.assign(image=[f"other{i}" for i in range(60)]).to_csv(tmp_path / "others.csv", index=False)
    with pytest.raises(InputError, match="has no image of"):
        VERBS["compare"](good, tmp_path / "others.csv")
    frame.assign(truth="CHF").to_csv(tmp_path / "wrong.csv", index=False)
    with pytest.raises(InputError, match="tells another truth"):
        VERBS["compare"](good, tmp_path / "wrong.csv")


def test_explain_draws_every_class(files: Path, tmp_path: Path, capsys):
    image = sorted((files / "egd").rglob("*.dcm"))[0]
    VERBS["explain"](image, model=files / "run", out=tmp_path / "e.png", device="cpu")
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    VERBS["explain"](image, model=files / "run", out=tmp_path / "maps", device="cpu")
    names = {path.stem for path in (tmp_path / "maps").iterdir()}
    assert names == {"gaze", "gradcam-Normal", "gradcam-CHF", "gradcam-pneumonia"}
    assert np.load(tmp_path / "maps" / "gaze.npy").sum() == pytest.approx(1, abs=1e-5)
    shares = re.findall(r"^(?:Normal|CHF|pneumonia) +(0\.\d+)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert sum(map(float, shares[:3])) == pytest.approx(1, abs=2e-3)
    with pytest.raises(InputError, match="predict --pictures takes folders"):
        VERBS["explain"](files / "egd", model=files / "run", out=tmp_path / "f.png")
    with pytest.raises(InputError, match="is not a PNG file"):
        VERBS["explain"](image, model=files / "run", out=tmp_path / "f.jpg")


@pytest.mark.parametrize(
    ("network", "gaze", "label", "kinds"),
    [
        ("dense", False, True, {"gradcam.png"}),
        ("unet", True, False, {"gaze.png", "density.png", "density.npy"}),
        ("mtunet", True, True, {"gaze.png", "density.png", "density.npy"}),
    ],
)
def test_networks_that_do_one_thing(tmp_path: Path, network, gaze, label, kinds):
    run = quick_model(tmp_path / "run", f"network={network}", count=12)
    image = tmp_path / "a.png"
    write_image(image, np.random.default_rng(0).random((1, 50, 40)))
    out = tmp_path / "p.csv"
    VERBS["predict"](
        image, model=run, out=out, pictures=tmp_path / "pics", dicom=tmp_path / "dicom", device="cpu"
    )
    columns = set(pd.read_csv(out))
    assert ("gaze_x" in columns, "label" in columns) == (gaze, label)
    assert {path.name.removeprefix("a-") for path in (tmp_path / "pics").iterdir()} == kinds
    assert (tmp_path / "dicom" / "a.dcm").is_file()
    if network != "dense":
        with pytest.raises(InputError, match="no diagnosis of a dense encoder"):
            VERBS["explain"](image, model=run, out=tmp_path / "e.png", device="cpu")


def test_other_modalities_are_told(files: Path, tmp_path: Path):
    picture = np.random.default_rng(0).random((40, 30))
    for name, modality in (("ct", "CT"), ("dx", "DX"), ("odd", "ANNA")):
        write_chest_dicom(tmp_path / "in" / f"{name}.dcm", picture, Modality=modality)
    notes = predicted(tmp_path / "in", files, tmp_path / "p.csv")["note"].tolist()
    assert notes[0] == "says modality CT: is this a chest radiograph?"
    assert notes[1:] == ["", ""]


def test_the_web_form_can_ask_and_draw():
    asked = read_signature(VERBS["predict"], "chestxray")
    assert (asked.data, asked.positional, asked.needs_table, asked.draws) == ("images", True, False, True)


def test_halves_of_a_map():
    assert where(np.array([[1.0, 0.0], [0.0, 3.0]])) == {
        "gaze_x": 0.75,
        "gaze_y": 0.75,
        "gaze_left": 0.25,
        "gaze_right": 0.75,
    }
    assert where(np.array([[1.0, 2.0, 1.0]]))["gaze_left"] == 0.5
