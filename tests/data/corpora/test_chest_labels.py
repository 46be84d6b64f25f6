"""Label tables: tiny ones of the same columns always, the real ones where torchxrayvision's files are."""

from __future__ import annotations

import ast
import gzip
import importlib.metadata
import io
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from visus.data.corpora.chest_labels import read_chest_labels
from visus.errors import InputError

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    "1_0.png,Cardiomegaly|Effusion,0,1,57,M,PA,2682,2749,0.143,0.143\n"
    "1_1.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143\n"
)
GOOGLE = (
    "Image Index,Finding Labels,Patient ID,View Position,Fracture,Pneumothorax,Airspace opacity,Nodule or mass\n"
    "1_0.png,Mass,1,PA,NO,YES,,no\n"
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1_0.png,Mass,10.5,20,30,40\n1_0.png,Nodule,1,2,3,4\n"
CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Edema,Fracture\n"
    "C/train/patient00001/study1/view1_frontal.jpg,F,68,Frontal,AP,1.0,,0.0\n"
    "C\\train\\patient00001\\study1\\view2_lateral.jpg,F,68,Lateral,,,-1.0,1.0\n"
)
PADCHEST = (
    ",ImageID,PatientID,Projection,Report,Labels\n"
    '0,a.png,7,PA,"two, commas","[\'normal\']"\n'
    "1,b.png,7,L,x,\"['pulmonary fibrosis', ' kyphosis', '']\"\n"
    "2,c.png,8,PA,x,[]\n"
    "3,d.png,9,PA,x,\n"
)
RSNA = "patientId,x,y,width,height,Target\na,,,,,0\nb,10,20,30,40,1\nb,50,60,7,8,1\n"
VIN = (
    "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    "a,No finding,14,R1,,,,\na,No finding,14,R2,,,,\na,Nodule/Mass,8,R3,1,2,3,4\n"
    "b,ILD,5,R1,1,2,3,4\nb,ILD,5,R1,5,6,7,8\nb,ILD,5,R2,1,2,3,5\nb,No finding,14,R3,,,,\n"
)
SIIM = "ImageId, EncodedPixels\n1.2, -1\n1.3, 5 2 9 3\n1.3, 50 2\n"


def written(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def reports(path: Path) -> Path:
    one = "<e><uId id='CXR1'/><MeSH><major>Cardiomegaly/mild</major><major>normal</major></MeSH>" + (
        "<parentImage id='CXR1_1'/><parentImage id='CXR1_2'/></e>"
    )
    two = "<e><uId id='CXR2'/><MeSH><automatic>no</automatic></MeSH><parentImage id='CXR2_1'/></e>"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (("r/1.xml", one), ("r/2.xml", two), ("r/readme.txt", "no report")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def values(labels, *findings: str) -> list:
    return labels.frame[list(findings)].to_numpy().tolist()


def test_nih(tmp_path):
    labels = read_chest_labels(written(tmp_path, NIH))
    assert (labels.kind, labels.findings) == ("nih", ("Cardiomegaly", "Effusion", "No Finding"))
    assert labels.frame["patient"].tolist() == ["1", "1"]
    assert labels.frame["view"].tolist() == ["PA", "AP"]
    assert values(labels, *labels.findings) == [[1, 1, 0], [0, 0, 1]]
    adjudicated = read_chest_labels(written(tmp_path, GOOGLE))
    assert adjudicated.kind == "nih_google"
    np.testing.assert_array_equal(values(adjudicated, *adjudicated.findings), [[0, 1, np.nan, 0]])


def test_nih_boxes(tmp_path):
    labels = read_chest_labels(written(tmp_path, BOXES))
    assert labels.boxes is not None
    assert labels.boxes.to_numpy().tolist() == [
        ["1_0.png", "Mass", 10.5, 20, 40.5, 60],
        ["1_0.png", "Nodule", 1, 2, 4, 6],
    ]
    assert values(labels, "Mass", "Nodule") == [[1, 1]]


@pytest.mark.parametrize(("uncertain", "value"), [("missing", np.nan), ("positive", 1), ("negative", 0)])
def test_chexpert(tmp_path, uncertain, value):
    labels = read_chest_labels(written(tmp_path, CHEXPERT), uncertain=uncertain)
    np.testing.assert_array_equal(
        values(labels, "No Finding", "Edema", "Fracture"), [[1, np.nan, 0], [np.nan, value, 1]]
    )
    assert labels.frame["patient"].tolist() == ["patient00001"] * 2
    assert labels.frame["view"].tolist() == ["AP", "Lateral"]


def test_padchest(tmp_path):
    labels = read_chest_labels(written(tmp_path, PADCHEST))
    assert labels.findings == ("kyphosis", "normal", "pulmonary fibrosis")
    np.testing.assert_array_equal(
        values(labels, *labels.findings), [[0, 1, 0], [1, 0, 1], [0, 0, 0], [np.nan] * 3]
    )
    assert labels.frame["patient"].tolist() == ["7", "7", "8", "9"]


def test_rsna(tmp_path):
    labels = read_chest_labels(written(tmp_path, RSNA))
    assert values(labels, "Pneumonia") == [[0], [1]]
    assert labels.boxes is not None
    assert labels.boxes[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[10, 20, 40, 60], [50, 60, 57, 68]]


def test_vinbigdata(tmp_path):
    path = written(tmp_path, VIN)
    labels = read_chest_labels(path)
    assert labels.findings == ("ILD", "No finding", "Nodule/Mass")
    assert values(labels, *labels.findings) == [[0, 1, 1], [1, 1, 0]]
    assert labels.boxes is not None
    assert len(labels.boxes) == 4
    assert values(read_chest_labels(path, agree=2), *labels.findings) == [[0, 1, 0], [1, 0, 0]]
    assert labels.frame["patient"].isna().all()


def test_siim(tmp_path):
    labels = read_chest_labels(written(tmp_path, SIIM))
    assert labels.frame["image"].tolist() == ["1.2", "1.3"]
    assert values(labels, "Pneumothorax") == [[0], [1]]


def test_nlm(tmp_path):
    labels = read_chest_labels(reports(tmp_path / "reports.tgz"))
    assert labels.frame["image"].tolist() == ["CXR1_1", "CXR1_2", "CXR2_1"]
    assert labels.frame["patient"].tolist() == ["CXR1", "CXR1", "CXR2"]
    assert labels.findings == ("Cardiomegaly", "normal")
    assert values(labels, *labels.findings) == [[1, 1], [1, 1], [0, 0]]


def test_packed_tables_and_named_kinds(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(NIH.encode()))
    assert len(read_chest_labels(tmp_path / "t.csv.gz", "nih")) == 2
    with pytest.raises(InputError, match="no such column"):
        read_chest_labels(tmp_path / "t.csv.gz", "chexpert")
    with pytest.raises(InputError, match="no such kind"):
        read_chest_labels(tmp_path / "t.csv.gz", "mimic")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b\n1,2\n", "is no label table known here.*known, by columns: nih"),
        (NIH.replace("1_1.png", "1_0.png"), "column Image Index, line 3: names the same image again"),
        (NIH.replace(",1,58,", ",,58,"), "column Patient ID, line 3: is empty"),
        (NIH + "x,", r"line 4: has 2 fields"),
        (NIH.split("\n")[0] + "\n", "no rows"),
        (CHEXPERT.replace("-1.0", "3"), "column Edema, line 3: 3 is none of"),
        (CHEXPERT.replace("-1.0", "maybe"), "column Edema, line 3: 'maybe' is not a number"),
        (CHEXPERT.replace("patient00001/", "case1/", 1), "column Path, line 2: names no patient"),
        (RSNA.replace("b,10,", "b,,"), "line 3: the box"),
        (RSNA.replace("30,40,1", "-30,40,1"), "line 3: the box"),
        (VIN.replace("1,2,3,4", "3,2,1,4", 1), "line 4: the box"),
        (GOOGLE.replace("YES", "perhaps"), "column Pneumothorax, line 2: 'perhaps' is neither"),
        (SIIM.replace("1.2,", ","), "column ImageId, line 2: is empty"),
        ("", "empty"),
    ],
)
def test_a_broken_row_names_file_column_and_line(tmp_path, text, match):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=match) as caught:
        read_chest_labels(path)
    assert caught.value.file == path


def test_broken_archives_and_arguments(tmp_path):
    path = reports(tmp_path / "reports.tgz")
    (tmp_path / "cut.tgz").write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cut off or damaged"):
        read_chest_labels(tmp_path / "cut.tgz")
    with pytest.raises(InputError, match="does not exist"):
        read_chest_labels(tmp_path / "none.tgz")
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    with pytest.raises(InputError, match="no reports"):
        read_chest_labels(tmp_path / "empty.tgz")
    with pytest.raises(InputError, match="uncertain"):
        read_chest_labels(path, uncertain="often")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="agree"):
        read_chest_labels(path, agree=0)


# ---- the real tables ----------------------------------------------------------------------------------------


def real(name: str) -> Path:
    try:
        files = importlib.metadata.files("torchxrayvision") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("torchxrayvision, whose files hold the real tables, is not installed")
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found or not found[0].exists():
        pytest.skip(f"this torchxrayvision holds no {name}")
    return found[0]


def test_real_nih():
    path = real("Data_Entry_2017_v2020.csv.gz")
    labels, direct = read_chest_labels(path), pd.read_csv(path)
    assert len(labels) == len(direct) == 112120
    assert labels.frame["patient"].nunique() == direct["Patient ID"].nunique() == 30805
    for name in labels.findings:
        assert labels.frame[name].sum() == direct["Finding Labels"].str.split("|").explode().eq(name).sum()
    boxes = read_chest_labels(real("BBox_List_2017.csv.gz")).boxes
    assert boxes is not None
    assert len(boxes) == 984
    assert set(boxes["image"]) <= set(labels.frame["image"])
    assert len(read_chest_labels(real("google2019_nih-chest-xray-labels.csv.gz"))) == 4376


def test_real_chexpert():
    path = real("chexpert_train.csv.gz")
    labels, direct = read_chest_labels(path), pd.read_csv(path)
    assert len(labels) == len(direct) == 223414
    assert (
        labels.frame["patient"].nunique() == direct["Path"].str.extract(r"(patient\d+)")[0].nunique() == 64540
    )
    for name in labels.findings:
        assert labels.frame[name].eq(1).sum() == direct[name].eq(1).sum()
        assert labels.frame[name].isna().sum() == (direct[name].isna() | direct[name].eq(-1)).sum()


def test_real_padchest():
    path = real("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz")
    began = time.process_time()
    labels = read_chest_labels(path)
    assert time.process_time() - began < 20
    direct = pd.read_csv(path, usecols=["PatientID", "Labels"], dtype=str)
    assert len(labels) == len(direct) == 160861
    assert labels.frame["patient"].nunique() == direct["PatientID"].nunique() == 67625
    assert labels.frame["normal"].isna().sum() == direct["Labels"].isna().sum() == 103
    lists = [{name.strip() for name in ast.literal_eval(text)} for text in direct["Labels"][::40].dropna()]
    sampled = labels.frame.iloc[::40]
    for name in ("pneumonia", "normal", "cardiomegaly", "pulmonary edema"):
        assert sampled[name].sum() == sum(name in names for names in lists) > 0


def test_real_rsna_vinbigdata_siim_and_nlm():
    direct = pd.read_csv(real("kaggle_stage_2_train_labels.csv.zip"))
    labels = read_chest_labels(real("kaggle_stage_2_train_labels.csv.zip"))
    assert len(labels) == direct["patientId"].nunique() == 26684
    assert labels.boxes is not None
    assert len(labels.boxes) == direct["Target"].sum() == 9555
    direct = pd.read_csv(real("vinbigdata-train.csv.gz"))
    labels = read_chest_labels(real("vinbigdata-train.csv.gz"))
    assert len(labels) == direct["image_id"].nunique() == 15000
    assert labels.boxes is not None
    assert len(labels.boxes) == direct["x_min"].notna().sum()
    for name in labels.findings:
        assert labels.frame[name].sum() == direct[direct["class_name"] == name]["image_id"].nunique()
    direct = pd.read_csv(real("siim-pneumothorax-train-rle.csv.gz"))
    labels = read_chest_labels(real("siim-pneumothorax-train-rle.csv.gz"))
    assert len(labels) == direct["ImageId"].nunique() == 12047
    marked = direct[direct[" EncodedPixels"].str.strip() != "-1"]
    assert labels.frame["Pneumothorax"].sum() == marked["ImageId"].nunique()
    labels = read_chest_labels(real("NLMCXR_reports.tgz"))
    assert (len(labels), labels.frame["patient"].nunique()) == (7470, 3851)
    assert labels.frame["Cardiomegaly"].sum() > 100
