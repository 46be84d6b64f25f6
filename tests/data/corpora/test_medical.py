"""Medical corpora in their layouts."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from visus.data.corpora.adni import CROP, hemisphere, limits_to_numbers, load_adni, standardize, write_adni
from visus.data.corpora.brain_age import load_brain_age, write_brain_age
from visus.data.corpora.daft import load_daft, write_daft
from visus.data.corpora.hannover_cxr import load_hannover_cxr, write_hannover_cxr
from visus.errors import InputError

RNG = np.random.default_rng(0)
SMALL = ((1, 5), (0, 6), (2, 8))


def adni_frame():
    return pd.DataFrame(
        {
            "Subject": ["002_S_0295", "002_S_0413", "003_S_0907"],
            "Group": ["CN", "EMCI", "AD"],
            "AGE": [84.9, 76.4, 70.0],
            "PTGENDER": ["Male", "Female", "Female"],
            "PTEDUCAT": [18, 16, 12],
            "APOE4": [1, None, 0],
            "ABETA": [">1700", "<200", None],
            "PTAU": ["<8", "20.5", None],
            "TAU": ["300", ">1300", "120"],
            "FDG": [1.3, None, None],
            "AV45": [None, 1.1, None],
            "MMSE": [29, 27, 20],
        }
    )


def adni(folder):
    scans = RNG.normal(size=(3, 6, 7, 9)).astype(np.float32)
    masks = (RNG.random((3, 6, 7, 9)) < 0.7).astype(np.float32)
    return write_adni(folder, adni_frame(), scans, masks), scans, masks


def test_adni_layout(tmp_path):
    pytest.importorskip("nibabel")
    table, scans, masks = adni(tmp_path)
    assert (tmp_path / "002_S_0295" / "brain_scan_simple.nii.gz").exists()
    source = load_adni(tmp_path, table, crop=SMALL)
    batch = source.batch([1, 2])
    assert batch["image"].shape == (2, 1, 4, 6, 6)
    assert np.allclose(batch["image"][:, 0].numpy(), (scans * masks)[1:, 1:5, 0:6, 2:8])
    assert batch["target"] == ["MCI", "AD"]
    assert batch["row"][0] == {
        "AGE": 76.4,
        "PTGENDER": "Female",
        "PTEDUCAT": 16.0,
        "APOE4": None,
        "ABETA": 200.0,
        "PTAU": 20.5,
        "TAU": 1300.0,
        "FDG": None,
        "AV45": 1.1,
    }
    assert source.groups == ["002_S_0295", "002_S_0413", "003_S_0907"]
    assert "MMSE" not in source.columns
    copy = pickle.loads(pickle.dumps(source))
    assert copy.batch([1, 2])["image"].equal(batch["image"])
    assert load_adni(tmp_path, table, crop=None).batch([0])["image"].shape == (1, 1, 6, 7, 9)


def test_the_published_crop_fits_the_published_network():
    assert [end - start for start, end in CROP] == [64, 96, 128]
    half = hemisphere(torch.zeros(1, 1, 64, 96, 128), mirrored=False)
    assert half.shape == (1, 1, 64, 96, 64)


def test_malformed_adni(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    table, _, _ = adni(tmp_path)
    whole = table.read_text()
    for old, new, words in [
        ("AGE", "Age", ["column AGE", "did you mean Age"]),
        ("EMCI", "SMC", ["column Group, line 3", "SMC is no group"]),
        ("20.5", "high", ["column PTAU, line 3", "high is not a number"]),
        ("003_S_0907", "002_S_0413", ["column Subject, line 4", "twice"]),
        ("003_S_0907", "009_S_0000", ["column Subject, line 4", "does not exist"]),
    ]:
        table.write_text(whole.replace(old, new))
        with pytest.raises(InputError) as caught:
            load_adni(tmp_path, table, crop=SMALL)
        for word in [str(table), *words]:
            assert word in str(caught.value)
    table.write_text(whole)
    with pytest.raises(InputError, match=r"line 2.*smaller than the crop"):
        load_adni(tmp_path, table).batch([0])
    mask = tmp_path / "002_S_0295" / "brain_mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((6, 7, 8), np.float32), np.eye(4)), mask)
    with pytest.raises(InputError, match="does not fit"):
        load_adni(tmp_path, table, crop=SMALL).batch([0])
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(InputError, match="cut off"):
        load_adni(tmp_path, table, crop=SMALL).batch([0])
    mask.unlink()
    with pytest.raises(InputError, match=r"brain_mask.nii.gz does not exist"):
        load_adni(tmp_path, table)


def test_limits():
    column = pd.Series(["<200", ">1700", " 5 ", None, ""], name="ABETA")
    numbers = limits_to_numbers(column).tolist()
    assert numbers[:3] == [200.0, 1700.0, 5.0]
    assert np.isnan(numbers[3:]).all()
    assert limits_to_numbers(pd.Series([1, 2])).tolist() == [1.0, 2.0]


def test_hemispheres_and_standardization_against_loops():
    images = torch.randn(2, 2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images[:, :, 0] = 0
    left, right = hemisphere(images, mirrored=False), hemisphere(images, mirrored=True)
    for i in range(3):
        assert left[..., i].equal(images[..., 3 + i])
        assert right[..., i].equal(images[..., 2 - i])
    with pytest.raises(InputError, match="odd"):
        hemisphere(images[..., :5], mirrored=False)
    done = standardize(images)
    for b in range(2):
        for c in range(2):
            image = images[b, c].numpy()
            inside = image[image != 0]
            expected = np.where(image != 0, (image - inside.mean()) / inside.std(), 0)
            assert np.allclose(done[b, c].numpy(), expected)
    assert standardize(torch.zeros(1, 1, 2, 2)).abs().max() == 0
    assert torch.isfinite(standardize(torch.full((1, 1, 2, 2), 3.0))).all()


def test_brain_age_layout(tmp_path):
    frame = pd.DataFrame(
        {
            "Subject": ["001", "002"],
            "Age": [30.5, 71.0],
            "ProjName": ["UKB", "IXI"],
            "Gender_F": [1, 0],
            "Gender_M": [0, 1],
        }
    )
    volumes = RNG.normal(size=(2, 4, 3, 4)).astype(np.float32)
    table = write_brain_age(tmp_path, frame, volumes)
    source = load_brain_age(tmp_path, table)
    batch = source.batch([1])
    assert np.array_equal(batch["image"].numpy(), volumes[1:, None])
    assert batch["row"] == [{"Gender_F": 0, "Gender_M": 1}]
    assert batch["target"] == [71.0]
    assert source.groups == ["001", "002"]
    with_site = load_brain_age(tmp_path, table, columns=("Gender_F", "ProjName"))
    assert with_site.batch([0])["row"] == [{"Gender_F": 1, "ProjName": "UKB"}]
    whole = table.read_text()
    for old, new, words in [
        ("Age", "Years", "column Age"),
        ("30.5", "", "target is missing in 1 of 2"),
        ("30.5", "old", "line 2: old is not a number"),
        ("002,", "003,", "line 3: .*003.npy does not exist"),
    ]:
        table.write_text(whole.replace(old, new))
        with pytest.raises(InputError, match=words):
            load_brain_age(tmp_path, table)
    table.write_text(whole)
    np.save(tmp_path / "001.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"line 2.*not three axes"):
        load_brain_age(tmp_path, table).batch([0])


def daft(folder, columns=("age", "gender")):
    volumes = RNG.normal(size=(3, 4, 4, 4)).astype(np.float32)
    rows = np.array([[70.0, 1.0], [80.0, 0.0], [75.0, np.nan]])
    facts = [
        {"RID": 11, "VISCODE": "bl", "DX": "CN", "event": "no", "time": 1.5},
        {"RID": 12, "VISCODE": "bl", "DX": "MCI", "event": "yes", "time": 2.5},
        {"RID": 11, "VISCODE": "m12", "DX": "Dementia", "event": "no", "time": 0.5},
    ]
    write_daft(folder / "d.h5", volumes, rows, columns, facts)
    return folder / "d.h5", volumes


def test_daft_layout(tmp_path):
    h5py = pytest.importorskip("h5py")
    file, volumes = daft(tmp_path)
    with h5py.File(file) as content:
        assert content["00001/Left-Hippocampus/vol_with_bg"].shape == (4, 4, 4)
        assert content["stats/tabular/mean"][0] == 75.0
    source = load_daft(file)
    batch = source.batch([0, 2])
    assert np.array_equal(batch["image"].numpy(), volumes[[0, 2], None])
    assert batch["row"] == [{"age": 70.0, "gender": 1.0}, {"age": 75.0, "gender": None}]
    assert batch["target"] == ["CN", "Dementia"]
    assert source.groups == [11, 12, 11]
    assert load_daft(file, target="time").targets == [1.5, 2.5, 0.5]
    assert source.fingerprint() == load_daft(file).fingerprint()
    assert source.fingerprint() != load_daft(file, target="time").fingerprint()


def test_malformed_daft(tmp_path):
    h5py = pytest.importorskip("h5py")
    file, _ = daft(tmp_path)
    with pytest.raises(InputError, match=r"/00000: has no attribute stage.*DX, RID"):
        load_daft(file, target="stage")
    with pytest.raises(InputError, match="/00000/Right/vol_with_bg"):
        load_daft(file, region="Right")
    with h5py.File(file, "a") as content:
        del content["00002/tabular"]
        content["00002/tabular"] = np.zeros(3)
    with pytest.raises(InputError, match=r"/00002/tabular: shape \(3,\) does not fit 2 columns"):
        load_daft(file)
    with h5py.File(file, "a") as content:
        del content["stats"]
    with pytest.raises(InputError, match="no group /stats/tabular"):
        load_daft(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match="cut off"):
        load_daft(file)


def hannover(folder):
    frame = pd.DataFrame(
        {
            "patient_id": ["0e1", "0e1", "b", "c"],
            "image_id": ["01", "02", "03", "04"],
            "sex": ["m", "m", "f", None],
            "age": [None] * 4,
            "icu_admission_offset": [0.0, -3.0, None, None],
            "death_offset": [None, None, 4.0, None],
            "projection": ["ap", "ap", "pa", "pa"],
            "crp_val": [5.0, -np.inf, 30.0, None],
            "d-dimer_val": [0.6, np.inf, None, 2.7],
            **{name: [None] * 4 for name in ("factor_xii_val", "ldh_val", "lymphocytes_val")},
            **{name: [None] * 4 for name in ("neutrophils_val", "pco2_val", "po2_val")},
        }
    )
    images = np.rint(RNG.random((4, 1, 5, 6)) * 255) / 255
    write_hannover_cxr(folder, frame, images)
    return images


def test_hannover_layout(tmp_path):
    images = hannover(tmp_path)
    source = load_hannover_cxr(tmp_path)
    batch = source.batch([0, 1, 2, 3])
    assert np.allclose(batch["image"].numpy(), images, atol=1e-6)
    assert source.columns == ["sex", "crp_val", "d-dimer_val"]  # columns without values are gone
    assert batch["target"] == ["yes", "yes", "no", "no"]
    assert [row["crp_val"] for row in batch["row"]] == [5.0, 5.0, 30.0, None]
    assert [row["d-dimer_val"] for row in batch["row"]] == [0.6, 2.7, None, 2.7]
    assert batch["row"][3]["sex"] is None
    assert source.groups == ["0e1", "0e1", "b", "c"]
    assert load_hannover_cxr(tmp_path, target="death").targets == ["no", "no", "yes", "no"]
    assert load_hannover_cxr(tmp_path, target="projection").targets == ["ap", "ap", "pa", "pa"]
    assert load_hannover_cxr(tmp_path, image_size=(3, 3)).batch([0])["image"].shape == (1, 1, 3, 3)


def test_malformed_hannover(tmp_path):
    with pytest.raises(InputError, match=r"data.csv: does not exist"):
        load_hannover_cxr(tmp_path)
    hannover(tmp_path)
    with pytest.raises((InputError, TypeError)):  # a type error where calls are type-checked
        load_hannover_cxr(tmp_path, target="age")
    (tmp_path / "png" / "03.png").unlink()
    with pytest.raises(InputError, match=r"column image_id, line 4: .*03.png does not exist \(1 of 4"):
        load_hannover_cxr(tmp_path)
    table = tmp_path / "data.csv"
    table.write_text(table.read_text().replace("crp_val", "crp"))
    with pytest.raises(InputError, match="column crp_val"):
        load_hannover_cxr(tmp_path)
