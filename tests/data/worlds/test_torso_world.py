"""The world of radiographs: the contract of real data, the truth beside it, and how hard it is."""

from __future__ import annotations

import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from visus.data.corpora.egd_cxr import load_egd_cxr
from visus.data.corpora.egd_cxr_writing import write_egd_cxr
from visus.data.gaze.density import density_map
from visus.data.gaze.table import GazeTable
from visus.data.worlds.torso.labels import CLASSES
from visus.data.worlds.torso.world import DECIDING, TorsoWorld, make, volume_shape
from visus.errors import InputError


@pytest.fixture(scope="module")
def world() -> TorsoWorld:
    return make(n=120, n_test=60, seed=3)


def pixels(table: GazeTable) -> torch.Tensor:
    assert table.images is not None
    return table.images


def every(table: GazeTable) -> dict:
    return table.batch(list(range(len(table))))


def test_batches_are_those_of_real_data(world):
    batch = world.train.batch([0, 4, 7])
    assert batch["image"].shape == (3, 1, 64, 64)
    assert batch["image"].dtype == torch.float32
    assert 0 <= batch["image"].min() < batch["image"].max() <= 1
    assert batch["gaze"].shape == batch["segmentation"].shape == (3, 64, 64)
    torch.testing.assert_close(batch["gaze"].sum((1, 2)), torch.ones(3))
    assert batch["has_gaze"].all()
    assert batch["segmentation"].dtype == torch.uint8
    assert set(batch["segmentation"].unique().tolist()) == {0, 1, 2, 3}
    assert set(batch["target"]) <= set(CLASSES)
    for fixations, gaze in zip(batch["fixations"], batch["gaze"]):
        assert fixations.ndim == 2
        assert fixations.shape[1] == 3
        expected = density_map(fixations, native=(64, 64), size=(64, 64))
        torch.testing.assert_close(gaze, expected)
    for boxes in batch["boxes"]:
        assert {"right lung", "left lung", "heart"} <= {box["name"] for box in boxes}
    assert pixels(world.train).dtype == torch.uint8


def test_the_frame_is_that_of_egd_without_the_answer_or_a_name(world):
    frame = world.train.frame
    assert list(frame) == ["dicom_id", "patient_id", "gender", "anchor_age", "diagnosis"]
    assert world.train.columns == ["gender", "anchor_age"]  # what a method sees as features
    assert all(re.fullmatch(r"([0-9a-f]{8}-){4}[0-9a-f]{8}", name) for name in frame["dicom_id"])
    assert frame["dicom_id"].is_unique
    assert set(frame["gender"]) == {"F", "M"}
    assert all(re.fullmatch(r"\d+ - \d+", band) for band in frame["anchor_age"])
    assert frame["diagnosis"].value_counts().to_dict() == dict.fromkeys(CLASSES, 40)
    assert world.train.batch([0])["name"] == [frame["dicom_id"].iloc[0]]
    assert world.train.batch([0])["patient"] == [frame["patient_id"].iloc[0]]


def test_patients_are_kept_together(world):
    train, test = (set(table.frame["patient_id"]) for table in (world.train, world.test))
    assert not train & test
    pictures = world.train.frame["patient_id"].value_counts()
    assert pictures.max() == 2
    assert 0.88 < len(train) / 120 < 1
    for _, rows in world.train.frame.groupby("patient_id"):
        assert rows[["gender", "anchor_age"]].nunique().max() == 1
        assert all(world.train_cases[i].person == world.train_cases[rows.index[0]].person for i in rows.index)
    parts = world.train.split({"a": 0.5, "b": 0.5}, seed=0)
    assert not set(parts["a"].frame["patient_id"]) & set(parts["b"].frame["patient_id"])


def test_everything_follows_from_the_seed_and_parts_from_their_own():
    first, again, other = make(n=6, n_test=2), make(n=6, n_test=5), make(n=6, n_test=2, seed=1)
    assert first.train.fingerprint() == again.train.fingerprint()
    pd.testing.assert_frame_equal(first.train_truth, again.train_truth)
    assert torch.equal(pixels(first.test), pixels(again.test)[:2])
    assert first.train.fingerprint() != other.train.fingerprint()
    longer = make(n=9, n_test=2)
    assert torch.equal(pixels(longer.train)[:6], pixels(first.train))


def test_the_truth_is_that_of_the_pictures(world):
    truth, frame = world.train_truth, world.train.frame
    assert truth["dicom_id"].tolist() == frame["dicom_id"].tolist()
    assert truth["diagnosis"].tolist() == frame["diagnosis"].tolist()
    assert truth["sex"].tolist() == frame["gender"].tolist()
    for diagnosis, severity, findings in zip(truth["diagnosis"], truth["severity"], truth["findings"]):
        own = [one["severity"] for one in findings if one["name"] in DECIDING[diagnosis]]
        assert severity == max(own, default=0.0)
        assert (severity > 0) == (diagnosis != "Normal")
    enlarged = truth.groupby("diagnosis")["ctr"].mean()
    assert enlarged["CHF"] > enlarged["Normal"] + 0.05
    assert (truth.loc[truth["diagnosis"] == "Normal", "ctr"] > 0.5).any()  # not by the heart alone
    assert (truth.loc[truth["diagnosis"] == "CHF", "ctr"] < 0.5).any()
    shown = world.train_cases[5].radiograph((64, 64))
    np.testing.assert_array_equal(np.rint(255 * shown.image), pixels(world.train)[5, 0].numpy())
    fine = world.train_cases[5].radiograph((160, 128))
    assert fine.image.shape == (160, 128)
    assert len(fine.findings) == len(truth["findings"][5])


def test_gaze_lies_where_lesions_are(world):
    batch, truth = every(world.train), world.train_truth
    normal = batch["gaze"][[i for i, name in enumerate(batch["target"]) if name == "Normal"]].mean(0)
    gain: dict[bool, list[float]] = {True: [], False: []}
    for i, findings in enumerate(truth["findings"]):
        for one in findings:
            if one["name"] == "consolidation":
                x1, y1, x2, y2 = (round(value) for value in one["box"])
                ratio = float(batch["gaze"][i, y1:y2, x1:x2].sum() / normal[y1:y2, x1:x2].sum())
                gain[one["noticed"]].append(ratio)
    assert len(gain[True]) > 20
    assert np.median(gain[True]) > 1.4
    assert np.median(gain[True]) > np.median(gain[False])
    assert np.mean(np.array(gain[True] + gain[False]) < 1) > 0.03  # and yet some dwell elsewhere
    lungs = torch.isin(batch["segmentation"], torch.tensor([1, 2]))
    share = (batch["gaze"] * lungs).sum((1, 2))
    assert 0.45 < share.mean() < 0.85


def test_gaze_can_be_left_out():
    full, part, none = (make(n=20, n_test=3, gaze_share=share) for share in (1.0, 0.4, 0.0))
    assert sum(part.train.has_gaze) == 8
    assert sum(none.train.has_gaze) == 0
    assert torch.equal(pixels(part.train), pixels(full.train))
    batch, whole = every(part.train), every(full.train)
    seen = batch["has_gaze"]
    assert torch.equal(batch["gaze"][seen], whole["gaze"][seen])
    assert batch["gaze"][~seen].abs().sum() == 0
    assert all(len(f) == 0 for f, has in zip(batch["fixations"], seen) if not has)
    assert all(len(reading.fixations) >= 25 for reading in none.train_readings)


def test_the_world_survives_the_layout_of_egd_cxr(tmp_path):
    pytest.importorskip("pydicom")
    world = make(n=6, n_test=1)
    back = load_egd_cxr(write_egd_cxr(tmp_path, world.train))
    given, read = every(world.train), every(back)
    assert read["target"] == given["target"]
    torch.testing.assert_close(read["image"], given["image"], atol=2e-3, rtol=0)
    for a, b in zip(read["fixations"], given["fixations"]):
        assert len(a) == len(b)
        assert (a - b).abs().max() < 1.0
    assert torch.equal(read["segmentation"], given["segmentation"])
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert all(name.encode() not in written for name in world.train.names)  # ids are made anew


def auc(world: TorsoWorld, key: str) -> float:
    train, test = every(world.train), every(world.test)
    model = make_pipeline(
        StandardScaler(), PCA(30, random_state=0), StandardScaler(), LogisticRegression(C=0.1)
    )
    model.fit(train[key].flatten(1).numpy(), train["target"])
    guess = model.predict_proba(test[key].flatten(1).numpy())
    truth = np.array(test["target"])
    return float(
        np.mean([roc_auc_score(truth == name, guess[:, k]) for k, name in enumerate(model.classes_)])
    )


def test_neither_picture_nor_gaze_gives_the_answer_away(world):
    picture, gaze = auc(world, "image"), auc(world, "gaze")
    assert 0.6 < picture < 0.9
    assert 0.5 < gaze < 0.85


def test_difficulty_makes_findings_fainter():
    plain, faint = (make(n=24, n_test=1, difficulty=difficulty) for difficulty in (0.0, 1.0))
    ill = np.array(plain.train_truth["diagnosis"]) != "Normal"
    gap = np.array(plain.train_truth["severity"]) - np.array(faint.train_truth["severity"])
    assert (gap[ill] > 0).mean() > 0.9
    missed = [
        np.mean([not one["noticed"] for row in world.train_truth["findings"] for one in row])
        for world in (plain, faint)
    ]
    assert missed[1] > missed[0]


def test_views_and_sizes():
    world = make(n=24, n_test=1, size=(48, 40), view="mixed")
    assert pixels(world.train).shape == (24, 1, 48, 40)
    assert set(world.train_truth["view"]) == {"PA", "AP"}
    assert volume_shape((64, 64))[0] == 48


def test_pictures_are_quick():
    start = time.process_time()
    make(n=20, n_test=1)
    assert time.process_time() - start < 20 * 0.15  # 0.03 s each on an idle core


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"n": 0}, "n"),
        ({"n_test": 0}, "n_test"),
        ({"gaze_share": 1.5}, "gaze_share"),
        ({"difficulty": -1.0}, "difficulty"),
        ({"size": (16, 64)}, "size"),
        ({"view": "lateral"}, "view"),
    ],
)
def test_bad_input_is_named(settings, field):
    with pytest.raises(InputError, match=field):
        make(**settings)
