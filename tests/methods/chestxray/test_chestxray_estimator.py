"""The reader: what it learns, says, scores and keeps, for every network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from chestxray_samples import CLASSES, phantoms, small
from PIL import Image

from visus.data.gaze.placement import Placement
from visus.data.gaze.table import GazeTable, View
from visus.data.loader import Tensors
from visus.engine import Run
from visus.errors import InputError
from visus.methods.chestxray import ChestXrayReader
from visus.methods.chestxray.baselines import mean_gaze_map
from visus.methods.chestxray.estimator import to_native
from visus.methods.chestxray.estimator.fitting import WARMTH, calibrated, split
from visus.methods.chestxray.training import weights_hash
from visus.metrics import auc_micro, correlation, expected_calibration_error

NETWORKS = ("dual", "mtunet", "unet", "res_se", "dense", "gaze_mtl")


def fit(data: GazeTable, *settings: str, folder: Path | None = None) -> ChestXrayReader:
    return ChestXrayReader(small(*settings)).fit(data, Run(folder, progress=False, device="cpu"))


@pytest.fixture(scope="module")
def train() -> GazeTable:
    return phantoms(36, with_gaze=0.7)


@pytest.fixture(scope="module")
def test() -> GazeTable:
    return phantoms(15, seed=1, with_gaze=0.6)


@pytest.fixture(scope="module")
def model(train: GazeTable) -> ChestXrayReader:
    return fit(train, "base_channels=4", "saliency_epochs=2")


# ---- forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_says_what_it_can(network: str, train: GazeTable, test: GazeTable) -> None:
    made = fit(train, f"network={network}")
    diagnoses, looks = network != "unet", network not in ("dense", "gaze_mtl")
    found = made.predict(test)
    wanted = {"probabilities", "label", "name", "logits"} if diagnoses else set()
    assert set(found) == wanted | ({"density"} if looks else set())
    if diagnoses:
        assert made.classes_ == ("CHF", "Normal", "pneumonia")
        torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(15))
        assert found["label"].dtype == torch.int64
        assert found["name"] == [made.classes_[i] for i in found["label"].tolist()]
    if looks:
        assert found["density"].shape == (15, 32, 32)
        torch.testing.assert_close(found["density"].sum((1, 2)), torch.ones(15))
    scores = made.evaluate(test)
    assert ("auc_macro" in scores) is diagnoses
    assert ("cc" in scores) is looks


def test_the_order_of_the_classes_is_the_one_asked_for(train: GazeTable) -> None:
    made = fit(train, "classes=[Normal, CHF, pneumonia]", "network=dense", "contrastive_epochs=0")
    assert made.classes_ == CLASSES
    other = phantoms(6, classes=("Normal", "zebra"))
    with pytest.raises(InputError, match="'zebra' is not a class"):
        made.evaluate(other)


def test_a_file_an_array_and_a_tensor_are_the_same_picture(tmp_path: Path, model: ChestXrayReader) -> None:
    """Bit for bit: DICOM of both polarities and PNG by path, bytes and brightness as tensors."""
    pydicom = pytest.importorskip("pydicom")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 41), dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    write_dicom(pydicom, tmp_path / "b.dcm", pixels, "MONOCHROME2")
    write_dicom(pydicom, tmp_path / "c.dcm", 255 - pixels, "MONOCHROME1")
    paths = [tmp_path / name for name in ("a.png", "b.dcm", "c.dcm")]
    table = GazeTable(pd.DataFrame({"name": list("abc")}), images=paths, fixations=[None] * 3)
    tensor = torch.from_numpy(pixels)[None, None]
    ways = [
        model.predict(table.subset([0])),
        model.predict(table.subset([1])),
        model.predict(table.subset([2])),
        model.predict({"image": tensor}),
        model.predict({"image": pixels[None, None] / np.float32(255)}),
        model.predict(Tensors({"image": tensor.float() / 255})),
        model.predict(table.subset([0]).batch([0])),
    ]
    for found in ways[1:]:
        for name in ("logits", "density"):
            torch.testing.assert_close(found[name], ways[0][name], rtol=0, atol=1e-6)


def write_dicom(pydicom: Any, path: Path, pixels: np.ndarray, polarity: str) -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    made = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, polarity
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    made.save_as(path, enforce_file_format=True)


def test_color_is_weighed_by_luminance(model: ChestXrayReader) -> None:
    color = torch.rand(2, 3, 32, 32)
    gray = 0.299 * color[:, :1] + 0.587 * color[:, 1:2] + 0.114 * color[:, 2:]
    torch.testing.assert_close(
        model.predict({"image": color})["logits"], model.predict({"image": gray})["logits"]
    )


@pytest.mark.parametrize(
    ("batch", "fragment"),
    [
        ({"row": [1]}, "image: is missing"),
        ({"image": torch.rand(2, 32, 32)}, "shape"),
        ({"image": torch.rand(2, 2, 32, 32)}, "shape"),
        ({"image": torch.rand(2, 1, 32, 32) * 200}, "outside 0..1"),
        ({"image": torch.full((2, 1, 32, 32), torch.nan)}, "item 0 has values that are not finite"),
        ({"image": torch.zeros(0, 1, 32, 32)}, "no items"),
    ],
)
def test_what_is_no_radiograph_is_refused(model: ChestXrayReader, batch: Any, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment):
        model.predict(batch)


def test_densities_on_the_picture_as_it_was_given(model: ChestXrayReader) -> None:
    given = torch.rand(2, 1, 90, 45)
    maps = model.predict({"image": given}, native=True)["density"]
    seen = model.predict({"image": given})["density"]
    assert [tuple(one.shape) for one in maps] == [(90, 45)] * 2
    assert all(float(one.sum()) == pytest.approx(1.0, abs=1e-5) for one in maps)
    place = Placement.of((90, 45), (32, 32), "pad")
    assert torch.equal(maps[0], to_native(seen[0], place))


def test_a_peak_goes_back_to_its_place_and_the_padding_is_cut_off() -> None:
    place = Placement.of((200, 100), (40, 40), "pad")
    density = torch.full((40, 40), 1e-6)
    density[30, 12] = 1.0  # of the 20 columns from 10 on
    density[5, 2] = 50.0  # beside the picture
    found = to_native(density / density.sum(), place)
    row, column = divmod(int(found.argmax()), 100)
    assert abs(row - 152) <= 4
    assert abs(column - 12) <= 4
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-5)
    beside = torch.zeros(40, 40)
    beside[5, 2] = 1.0
    torch.testing.assert_close(to_native(beside, place), torch.full((200, 100), 1 / 20000))


def test_tables_of_other_sizes_are_seen_through_the_models_view(model: ChestXrayReader) -> None:
    table = phantoms(4, size=(70, 50), seed=3)
    other = table.viewed(View(image_size=(20, 20), sigma_px=1.0))
    assert torch.equal(model.predict(table)["density"], model.predict(other)["density"])
    assert [tuple(one.shape) for one in model.predict(table, native=True)["density"]] == [(70, 50)] * 4


# ---- missing gaze, missing targets ------------------------------------------------------------------------


def test_without_any_gaze_the_diagnosis_is_learned_alone() -> None:
    made = fit(phantoms(24, with_gaze=0.0))
    assert [stage.stage for stage in made.lineage_] == ["contrastive", "classify", "final"]
    assert any("no training image has gaze" in note for note in made.notes_)
    assert "density" not in made.predict(phantoms(3))
    scores = made.evaluate(phantoms(9))
    assert "auc_macro" in scores
    assert "cc" not in scores
    with pytest.raises(InputError, match="no training image has gaze"):
        fit(phantoms(24, with_gaze=0.0), "network=unet")


def test_images_without_gaze_are_told_of_and_take_part(model: ChestXrayReader) -> None:
    assert [stage.stage for stage in model.lineage_] == ["contrastive", "classify", "saliency", "final"]
    assert any("have no gaze" in note for note in model.notes_)
    assert model.abilities_.gaze


def test_a_table_needs_a_target_unless_nothing_is_diagnosed() -> None:
    whole = phantoms(12)
    bare = GazeTable(
        whole.frame.drop(columns="diagnosis"),
        images=whole.images if whole.images is not None else [],
        fixations=whole._fixations,
    )
    with pytest.raises(InputError, match="target: is not there"):
        fit(bare)
    made = fit(bare, "network=unet")
    assert made.classes_ == ()
    assert set(made.evaluate(bare)) == {"kl", "cc", "sim", "nss", "auc_judd"}


@pytest.mark.parametrize(
    ("settings", "head"),
    [(["final_epochs=0"], "dense_head"), (["final_stage=head"], "fusion"), (["schedule=joint"], "fusion")],
)
def test_the_diagnosis_comes_from_the_head_that_was_trained(
    settings: list[str], head: str, train: GazeTable
) -> None:
    made = fit(train, *settings)
    assert made.abilities_.diagnosis == head
    batch = train.resized((32, 32)).batch([0, 1, 2])
    net: Any = made.net_
    direct = net.classify(batch["image"]) if head == "dense_head" else net(batch["image"])
    torch.testing.assert_close(made.predict(batch)["logits"], direct.logits.detach())


def test_nothing_but_a_gaze_table_is_learned_from() -> None:
    with pytest.raises(InputError, match="GazeTable"):
        ChestXrayReader(small()).fit(Tensors({"image": torch.rand(4, 1, 8, 8)}))  # type: ignore[arg-type]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InputError, match="left for training"):
        fit(phantoms(2, per_patient=1))


# ---- the validation part ----------------------------------------------------------------------------------


def test_no_patient_is_in_both_parts_and_each_has_gaze() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{number}" for number in rng.integers(0, 40, 100)]
    labels, seen = rng.integers(0, 3, 100), torch.from_numpy(rng.random(100) < 0.3)
    train, held = split(labels, seen, patients, share=0.2, seed=0)
    assert sorted([*train.tolist(), *held.tolist()]) == list(range(100))
    assert not {patients[i] for i in train} & {patients[i] for i in held}
    assert 12 <= len(held) <= 28
    assert 0.1 < float(seen[held].float().mean()) < 0.5
    assert len(set(labels[held.numpy()])) == 3
    again = split(labels, seen, patients, share=0.2, seed=0)[1]
    assert torch.equal(held, again)


def test_without_a_validation_part_the_last_epochs_stand(train: GazeTable) -> None:
    made = fit(train, "validation=0", "saliency_epochs=2")
    assert made.temperature_ == 1.0
    assert all(stage.best is None and stage.best_epoch is None for stage in made.lineage_)
    assert [stage.epochs for stage in made.lineage_] == [1, 1, 2, 1]
    assert any("not calibrated" in note for note in made.notes_)


def test_probabilities_are_calibrated_on_the_validation_part(model: ChestXrayReader, test: GazeTable) -> None:
    found = model.predict(test)
    torch.testing.assert_close(found["probabilities"], (found["logits"] / model.temperature_).softmax(1))
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = torch.from_numpy(np.array([rng.choice(3, p=row) for row in chances]))
    assert calibrated(torch.from_numpy(5 * logits), labels) == pytest.approx(5.0, rel=0.1)
    assert calibrated(torch.eye(3, dtype=torch.float64), torch.arange(3)) == WARMTH[0]


# ---- scores -----------------------------------------------------------------------------------------------


def test_scores_per_image_and_their_means(model: ChestXrayReader, test: GazeTable) -> None:
    items, scores = model.scores_of(test), model.evaluate(test)
    seen = np.array(test.has_gaze)
    assert len(items) == 15
    assert items.name == test.names
    assert items.patient == list(test.patients)
    for name in ("kl", "cc", "sim", "nss", "auc_judd"):
        assert np.isnan(items.maps[name]).tolist() == (~seen).tolist()
        assert scores[name] == pytest.approx(items.maps[name][seen].mean())
    batch = test.viewed(model.view).batch(range(15))
    density = model.predict(test)["density"]
    np.testing.assert_allclose(items.maps["cc"][seen], correlation(density, batch["gaze"])[seen])
    assert items.right is not None
    assert scores["accuracy"] == pytest.approx(items.right.mean())
    assert scores["auc_micro"] == pytest.approx(auc_micro(items.target, items.probabilities))
    assert scores["ece"] == pytest.approx(expected_calibration_error(items.target, items.probabilities))
    named = [scores[f"auc_{label}"] for label in model.classes_]
    assert scores["auc_macro"] == pytest.approx(np.mean(named))


def test_intervals_hold_their_scores(model: ChestXrayReader, test: GazeTable) -> None:
    scores, plain = model.evaluate(test, intervals=True), model.evaluate(test)
    assert {name for name in scores if not name.endswith(("_low", "_high"))} == set(plain)
    assert all(scores[f"{name}_low"] <= scores[f"{name}_high"] for name in plain)
    assert scores["cc_low"] <= scores["cc"] <= scores["cc_high"]
    assert model.evaluate(test, intervals=True, seed=1) != scores


# ---- Grad-CAM ---------------------------------------------------------------------------------------------


def test_grad_cam_of_a_class_and_of_the_most_probable(model: ChestXrayReader, test: GazeTable) -> None:
    batch = test.batch([0, 1, 2])
    maps = {label: model.grad_cam(batch, label) for label in model.classes_}
    assert all(found.shape == (3, 32, 32) and bool((found >= 0).all()) for found in maps.values())
    named = model.predict(batch)["name"]
    best = model.grad_cam(batch)
    for i, label in enumerate(named):
        torch.testing.assert_close(best[i], maps[label][i])
    with pytest.raises(InputError, match="'zebra' is not a class"):
        model.grad_cam(batch, "zebra")


def test_grad_cam_follows_the_head_that_diagnoses(train: GazeTable) -> None:
    made = fit(train, "final_epochs=0")

    def maps() -> torch.Tensor:
        return torch.stack([made.grad_cam(train.batch(range(6)), label) for label in CLASSES])

    before = maps()
    assert float(before.sum()) > 0
    with torch.no_grad():  # what the fused head says does not matter
        for weight in made.net_.get_submodule("fusion").parameters():
            weight.zero_()
    assert torch.equal(before, maps())
    with pytest.raises(InputError, match="does not diagnose"):
        fit(train, "network=unet").grad_cam(train.batch([0]))


# ---- saving -----------------------------------------------------------------------------------------------


def test_all_that_was_learned_is_saved(tmp_path: Path, model: ChestXrayReader, test: GazeTable) -> None:
    model.save(tmp_path / "model")
    loaded = ChestXrayReader.load(tmp_path / "model")
    for name in ("classes_", "abilities_", "temperature_", "sigmas_", "lineage_", "notes_"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert weights_hash(loaded.net_) == model.lineage_[-1].ended
    one, other = model.predict(test), loaded.predict(test)
    assert all(torch.equal(one[name], other[name]) for name in ("probabilities", "density"))
    assert all(weight.requires_grad for weight in loaded.net_.parameters())


def test_weights_of_the_dense_encoder_are_read_for_training_and_not_again(
    tmp_path: Path, train: GazeTable
) -> None:
    from safetensors.torch import save_file

    from visus.methods.chestxray.model import build_backbone

    torch.manual_seed(7)
    file = tmp_path / "compact.safetensors"
    start = build_backbone("compact")
    save_file(dict(start.state_dict()), file)
    config = dataclasses.replace(
        small("contrastive_epochs=0", "classify_epochs=0", "final_epochs=0"), backbone_weights=str(file)
    )
    made = ChestXrayReader(config).fit(train, Run(progress=False, device="cpu"))
    net: Any = made.net_
    assert weights_hash(net.backbone) == weights_hash(start)
    made.save(tmp_path / "model")
    file.unlink()
    assert weights_hash(ChestXrayReader.load(tmp_path / "model").net_) == weights_hash(net)
    with pytest.raises(InputError, match=r"compact\.safetensors"):
        ChestXrayReader(config).fit(train, Run(progress=False, device="cpu"))


def test_a_folder_of_other_data_is_refused(tmp_path: Path, train: GazeTable) -> None:
    quick = ("network=dense", "contrastive_epochs=0")
    fit(train, *quick, folder=tmp_path / "run")
    with pytest.raises(InputError, match="other settings"):
        fit(phantoms(36, seed=9), *quick, folder=tmp_path / "run")


def test_nothing_is_written_where_nothing_can_be_learned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same class"):
        fit(phantoms(12, classes=("Normal",)), folder=tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


# ---- learning ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_to_diagnose_and_to_look() -> None:
    """CC beats the mean training map by 0.05 and AUC 0.8; gaze of other images teaches no more than that map."""
    train, test = phantoms(180, per_patient=1), phantoms(60, seed=1, per_patient=1)
    settings = (
        "base_channels=4",
        "batch_size=16",
        "contrastive_batch=16",
        "final_batch=16",
        "validation=0.15",
    )
    lengths = ("contrastive_epochs=1", "classify_epochs=4", "saliency_epochs=8", "final_epochs=6")
    made = fit(train, *settings, *lengths)
    seen, unseen = train.viewed(made.view), test.viewed(made.view)
    known = seen.batch(range(len(seen)))
    mean = mean_gaze_map(known["gaze"], known["has_gaze"])
    truth = unseen.batch(range(len(unseen)))["gaze"]
    usual = float(correlation(mean.expand_as(truth), truth).mean())
    scores = made.evaluate(test)
    assert scores["cc"] > usual + 0.05
    assert scores["auc_macro"] > 0.8
    order = np.random.default_rng(0).permutation(len(train))
    mixed = GazeTable(
        train.frame,
        images=train.images if train.images is not None else [],
        fixations=[train._fixations[i] for i in order],
        target="diagnosis",
        group="patient",
    )
    assert fit(mixed, *settings, *lengths).evaluate(test)["cc"] < usual + 0.05
