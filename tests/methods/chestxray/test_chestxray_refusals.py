"""What the commands refuse: paths that would be written over, data without truth, settings that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chestxray_files import QUICK, write_chest_dicom, write_files

from visus.data.formats import write_image
from visus.errors import InputError
from visus.methods.chestxray.verbs import VERBS
from visus.methods.chestxray.verbs.data import read_data
from visus.methods.chestxray.verbs.images import list_images

pytest.importorskip("pydicom", reason="DICOM files need the extra medical")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`egd`: 18 images laid out like EGD-CXR; `own`: PNG files with tables; `run`: a model."""
    return write_files(tmp_path_factory.mktemp("chestxray"))


def test_unknown_diagnoses_are_named(files: Path, tmp_path: Path):
    table = (files / "own" / "labels.csv").read_text().replace("pneumonia", "tuberculosis")
    (tmp_path / "labels.csv").write_text(table)
    (tmp_path / "images").symlink_to(files / "own" / "images", target_is_directory=True)
    with pytest.raises(InputError, match=r"does not know tuberculosis.*it knows Normal, CHF, pneumonia"):
        VERBS["evaluate"](tmp_path, model=files / "run", out=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_options_that_the_data_does_not_have_are_refused(files: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"--labels: is not for this kind of data.*--mimic"):
        read_data(files / "egd", labels=files / "own" / "labels.csv")
    with pytest.raises(InputError, match=r"gone\.csv: --fixations: does not exist"):
        read_data(files / "own", fixations=tmp_path / "gone.csv")
    with pytest.raises(InputError, match="--out: is a folder"):
        VERBS["predict"](files / "egd", model=files / "run", out=tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        list_images(tmp_path / "nothing")


def test_nothing_that_is_read_is_written_over(files: Path, tmp_path: Path):
    image = write_chest_dicom(tmp_path / "in" / "a.dcm", np.random.default_rng(0).random((40, 30)))
    (tmp_path / "list.csv").write_text(f"image\n{image}\n")
    before = {path: path.read_bytes() for path in (image, tmp_path / "list.csv")}
    common = {"model": files / "run", "device": "cpu"}
    refused = [
        ("predict", image, {"out": image}),
        ("predict", tmp_path / "list.csv", {"out": tmp_path / "list.csv"}),
        ("predict", image, {"out": tmp_path / "p.csv", "dicom": image.parent}),
        (
            "predict",
            tmp_path / "list.csv",
            {"out": tmp_path / "p.csv", "dicom": tmp_path / "x" / ".." / "in"},
        ),
        ("predict", image.parent, {"out": tmp_path / "p.csv", "pictures": image.parent}),
        ("explain", image, {"out": image.parent}),
    ]
    for verb, given, options in refused:
        with pytest.raises(InputError, match="written over"):
            VERBS[verb](given, **options, **common)
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in tmp_path.iterdir()} == {"in", "list.csv"}


def test_outputs_that_cannot_be_written_are_refused_before_the_work(files: Path, tmp_path: Path, monkeypatch):
    from visus.methods.chestxray.estimator import ChestXrayReader

    image, folder, file = tmp_path / "a.npy", tmp_path / "e.png", tmp_path / "file"
    write_image(image, np.random.default_rng(0).random((1, 40, 30)))
    folder.mkdir()
    file.write_text("x")
    monkeypatch.setattr(ChestXrayReader, "open", lambda *_, **__: pytest.fail("the model was read first"))
    common = {"model": files / "run", "device": "cpu"}
    with pytest.raises(InputError, match=r"file/p\.csv: --out: lies below a file"):
        VERBS["predict"](image, out=file / "p.csv", **common)
    with pytest.raises(InputError, match="file: --pictures: is a file"):
        VERBS["predict"](image, out=tmp_path / "p.csv", pictures=file, **common)
    with pytest.raises(InputError, match=r"e\.png: --out: is a folder"):
        VERBS["explain"](image, out=folder, **common)
    with pytest.raises(InputError, match="file: --out: is a file"):
        VERBS["evaluate"](files / "own", out=file, **common)
    with pytest.raises(InputError, match=r"e\.png: --out: is a folder"):
        VERBS["compare"](file, file, out=folder)
    with pytest.raises(InputError, match="file: --out: is a file"):
        VERBS["example"](out=file)


def test_data_without_truth_teaches_and_scores_nothing(files: Path, tmp_path: Path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "images").symlink_to(files / "own" / "images", target_is_directory=True)
    with pytest.raises(InputError, match=r"bare: has no diagnoses.*--labels; --set network=unet"):
        VERBS["fit"](tmp_path / "bare", out=tmp_path / "run", preset="smoke", set=QUICK, device="cpu")
    with pytest.raises(InputError, match="bare: holds nothing that can be scored"):
        VERBS["evaluate"](tmp_path / "bare", model=files / "run", out=tmp_path / "scores", device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


def test_a_wrong_setting_is_not_blamed_on_the_data(files: Path, tmp_path: Path):
    none = [f"{stage}_epochs=0" for stage in ("contrastive", "classify", "saliency", "final")]
    with pytest.raises(InputError, match="no stage is left") as error:
        VERBS["fit"](files / "egd", out=tmp_path / "run", preset="smoke", set=none, device="cpu")
    assert error.value.file is None
    assert not (tmp_path / "run").exists()


def test_incomplete_data_can_be_skipped(files: Path, tmp_path: Path):
    import shutil

    shutil.copytree(files / "egd", tmp_path / "egd")
    sorted((tmp_path / "egd").rglob("*.dcm"))[0].unlink()
    with pytest.raises(InputError, match="1 of 18 pictures are missing"):
        read_data(tmp_path / "egd")
    assert len(read_data(tmp_path / "egd", skip=True)) == 17
