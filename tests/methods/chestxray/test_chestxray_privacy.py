"""What a DICOM file says of a person stays in the file, and odd files give an answer or a reason."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from chestxray_files import chest, chests, quick_model, write_chest_dicom

from visus.data.formats import write_image
from visus.errors import InputError
from visus.methods.chestxray.verbs import VERBS

pydicom = pytest.importorskip("pydicom", reason="DICOM files need the extra medical")
SHARES = ["p_Normal", "p_CHF", "p_pneumonia"]
SECRET = {
    "PatientName": "ZZNAMEZZ^ANNA",
    "PatientID": "ZZID0815",
    "PatientBirthDate": "19310217",
    "PatientAge": "093Y",
    "PatientAddress": "ZZSTREETZZ 7",
    "AccessionNumber": "ZZACC4711",
    "StudyDate": "20171129",
    "StudyTime": "235959.731",
    "AcquisitionDateTime": "20171129235958.137",
    "StudyInstanceUID": "1.2.826.0.1.987654321.11",
    "SeriesInstanceUID": "1.2.826.0.1.987654321.12",
    "SOPInstanceUID": "1.2.826.0.1.987654321.13",
    "FrameOfReferenceUID": "1.2.826.0.1.987654321.14",
    "InstitutionName": "ZZCLINICZZ",
    "ReferringPhysicianName": "ZZDOCTORZZ^BOB",
    "OperatorsName": "ZZOPERATORZZ",
    "StudyDescription": "ZZSTUDYZZ",
    "SeriesDescription": "ZZSERIESZZ",
    "DeviceSerialNumber": "ZZSERIAL99",
    "StationName": "ZZSTATION",
    "PatientComments": "ZZCOMMENTZZ",
    "ImageComments": "ZZREMARKZZ",
    "BodyPartExamined": "ZZBODYZZ",
    "ViewPosition": "ZZVIEW",
    "Manufacturer": "ZZMAKERZZ",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_model(tmp_path_factory.mktemp("chestxray") / "run")


def telling(path: Path, picture: np.ndarray, **more) -> Path:
    """A radiograph that says everything about its patient, also in private tags, sequences and the preamble."""
    write_chest_dicom(path, picture, **{**SECRET, **more})
    dataset = pydicom.dcmread(path)
    dataset.preamble = b"ZZPREAMBLEZZ".ljust(128, b"\0")
    block = dataset.private_block(0x0099, "ZZPRIVATEZZ", create=True)
    block.add_new(1, "LO", "ZZSECRETZZ")
    inside = pydicom.Dataset()
    inside.PatientID, inside.RequestedProcedureDescription = "ZZNESTEDZZ", "ZZPROCZZ"
    dataset.RequestAttributesSequence = pydicom.Sequence([inside])
    dataset.file_meta.MediaStorageSOPInstanceUID = SECRET["SOPInstanceUID"]
    dataset.save_as(path, enforce_file_format=True)
    return path


def words() -> list[bytes]:
    """What must be found nowhere; shorter words would be found in compressed pixels by chance."""
    parts = [part for value in SECRET.values() for part in re.split(r"[\^ ]", value)]
    more = [
        "987654321",
        "ZZPREAMBLEZZ",
        "ZZPRIVATEZZ",
        "ZZSECRETZZ",
        "ZZNESTEDZZ",
        "ZZPROCZZ",
        "ZZPHOTOZZ",
        "ZZP1000",
    ]
    return sorted({part.encode() for part in [*parts, *more] if len(part) >= 6})


def contents(path: Path) -> list[bytes]:
    """A file's bytes, and of a PNG file those of its text chunks, of which there must be none."""
    data = path.read_bytes()
    if not data.startswith(b"\x89PNG"):
        return [data]
    found, place, kinds = [path.name.encode()], 8, set()
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        kinds.add(kind)
        if kind not in (b"IDAT", b"IEND"):
            found.append(data[place + 8 : place + 8 + size])
        place += size + 12
    assert kinds == {b"IHDR", b"IDAT", b"IEND"}
    return found


def leaks(folder: Path, said: str) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    texts = [(path.name, text) for path in files for text in contents(path)] + [("said", said.encode())]
    return [f"{name}: {word!r}" for name, text in texts for word in words() if word in text]


def test_the_search_for_leaks_finds_them(tmp_path):
    path = telling(tmp_path / "a.dcm", np.random.default_rng(0).random((20, 20)))
    found = leaks(tmp_path, "")
    assert len(found) > 20
    assert any("ZZNAMEZZ" in line for line in found)
    assert b"ZZNESTEDZZ" in path.read_bytes()
    assert b"ZZPREAMBLEZZ" in path.read_bytes()


def test_nothing_of_a_person_reaches_any_output(run, tmp_path, capsys):
    """predict (a batch with damaged files, a single one, a stopped one), explain, and the web form's inputs."""
    rng, images, out = np.random.default_rng(1), tmp_path / "images", tmp_path / "out"
    for number, kind in enumerate(("Normal", "CHF", "pneumonia")):
        telling(images / f"{number}.dcm", chest(rng, kind)[0], inverted=number == 1)
    whole = telling(images / "whole.dcm", chest(rng, "CHF")[0]).read_bytes()
    (images / "cut.dcm").write_bytes(whole[:-500])
    (images / "torn.dcm").write_bytes(whole[:700])
    (images / "odd.dcm").write_bytes(whole.replace(b"MONOCHROME2 ", b"ZZPHOTOZZ   "))
    telling(images / "many.dcm", rng.random((3, 20, 20)))
    more = {"pictures": out / "pictures", "dicom": out / "dicom", "device": "cpu"}
    VERBS["predict"](images, model=run, out=out / "all.csv", **more)
    VERBS["predict"](images / "0.dcm", model=run, out=out / "one.csv", invert="auto", **more)
    VERBS["explain"](images / "0.dcm", model=run, out=out / "maps", device="cpu")
    VERBS["explain"](images / "0.dcm", model=run, out=out / "explained.png", device="cpu")
    for name in ("cut.dcm", "torn.dcm", "many.dcm"):
        with pytest.raises(InputError) as error:
            VERBS["predict"](images / name, model=run, out=out / "no.csv", **more)
        print(error.value)
    said = "".join(capsys.readouterr())
    assert len(list((out / "dicom").iterdir())) >= 4
    assert leaks(out, said) == []
    captured = pydicom.dcmread(out / "dicom" / "0.dcm")
    for name in ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "PatientBirthDate"):
        assert not captured.get(name)
    assert captured.StudyInstanceUID != SECRET["StudyInstanceUID"]
    assert captured.preamble == b"\0" * 128


def test_nothing_of_a_person_reaches_scores_pages_and_models(run, tmp_path, capsys):
    """fit and evaluate on files that say everything: the master sheet's ids stay there, too."""
    from visus.data.corpora.egd_cxr_writing import write_egd_cxr

    data, out = tmp_path / "data", tmp_path / "out"
    write_egd_cxr(data, chests(12, seed=3))
    for path in sorted(data.rglob("*.dcm")):
        telling(path, pydicom.dcmread(path).pixel_array[:72, :60] / 4095)
    sheet = next(data.rglob("master_sheet.csv"))
    frame = pd.read_csv(sheet, dtype=str)
    frame["patient_id"] = ["ZZP" + text for text in frame["patient_id"]]
    frame.to_csv(sheet, index=False)
    small = ["contrastive_epochs=0", "classify_epochs=0", "saliency_epochs=0", "final_epochs=1"]
    VERBS["fit"](data, out=out / "run", preset="smoke", set=small, device="cpu")
    VERBS["evaluate"](data, model=run, out=out / "scores", device="cpu")
    assert leaks(out, "".join(capsys.readouterr())) == []


def test_burned_in_text_is_told_and_marked(run, tmp_path):
    image = telling(tmp_path / "a.dcm", chest(np.random.default_rng(0), "CHF")[0], BurnedInAnnotation="YES")
    VERBS["predict"](image, model=run, out=tmp_path / "p.csv", dicom=tmp_path / "dicom", device="cpu")
    assert "text is burned into its pixels" in pd.read_csv(tmp_path / "p.csv")["note"][0]
    assert pydicom.dcmread(tmp_path / "dicom" / "a.dcm").BurnedInAnnotation == "YES"


def shares(image: Path, run: Path, out: Path, **options) -> np.ndarray:
    VERBS["predict"](image, model=run, out=out, device="cpu", **options)
    return pd.read_csv(out)[SHARES].to_numpy(float)[0]


@pytest.fixture
def picture() -> np.ndarray:
    return np.rint(chest(np.random.default_rng(5), "CHF", (160, 128))[0] * 255) / 255


@pytest.mark.parametrize(
    "ending", [".png", ".tif", ".npy", ".bmp", ".dcm", "-16.png", "-color.png", "-inverse.dcm"]
)
def test_one_picture_in_any_format_gives_one_answer(run, tmp_path, picture, ending):
    plain = tmp_path / "plain.npy"
    write_image(plain, picture[None])
    path = tmp_path / f"a{ending}"
    if ending.endswith(".dcm"):
        write_chest_dicom(path, picture, inverted="inverse" in ending)
    elif ending == "-color.png":
        write_image(path, np.repeat(picture[None], 3, axis=0))
    else:
        write_image(path, picture[None], bits=16 if "16" in ending else 8)
    expected = shares(plain, run, tmp_path / "e.csv")
    np.testing.assert_allclose(shares(path, run, tmp_path / "p.csv"), expected, atol=2e-4)


@pytest.mark.parametrize("change", ["rotated", "upside down", "mirrored", "cropped", "tiny", "long", "flat"])
def test_pictures_that_no_one_would_hang_so_still_get_an_answer(run, tmp_path, picture, change):
    changed = {
        "rotated": np.rot90(picture),
        "upside down": picture[::-1],
        "mirrored": picture[:, ::-1],
        "cropped": picture[50:120, 30:70],
        "tiny": picture[:2, :1],
        "long": np.tile(picture, (1, 6)),
        "flat": np.full((40, 30), 0.5),
    }[change]
    path, out = tmp_path / "a.npy", tmp_path / "p.csv"
    write_image(path, np.ascontiguousarray(changed)[None])
    found = shares(path, run, out, pictures=tmp_path / "pictures", dicom=tmp_path / "dicom")
    assert found.sum() == pytest.approx(1, abs=2e-6)
    assert np.load(tmp_path / "pictures" / "a-density.npy").sum() == pytest.approx(1, abs=1e-5)
    if change == "flat":
        assert "every pixel has the same value" in pd.read_csv(out)["note"][0]


def test_a_wrong_photometric_interpretation_is_noticed_and_can_be_undone(run, tmp_path, picture):
    right = write_chest_dicom(tmp_path / "right.dcm", picture)
    wrong = write_chest_dicom(tmp_path / "wrong.dcm", 1 - picture)  # says MONOCHROME2, too
    out = tmp_path / "p.csv"
    expected, seen = shares(right, run, out), pd.read_csv(out, keep_default_na=False)["note"][0]
    assert "inverted" not in seen
    as_it_is = shares(wrong, run, out)
    assert "looks inverted (dense dark); --invert auto" in pd.read_csv(out)["note"][0]
    assert np.abs(as_it_is - expected).max() > 1e-4
    for how in ("auto", "yes"):
        np.testing.assert_allclose(shares(wrong, run, out, invert=how), expected, atol=1e-5)
    assert pd.read_csv(out, keep_default_na=False)["note"][0] == ""  # yes: nothing to tell
    shares(wrong, run, out, invert="auto")
    assert "was turned over" in pd.read_csv(out)["note"][0]
    np.testing.assert_allclose(shares(right, run, out, invert="auto"), expected, atol=1e-6)


def real(name: str) -> Path:
    from pydicom.data import get_testdata_file

    pytest.importorskip("data_store", reason="real DICOM files are in the package pydicom-data")
    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"{name} is not among the installed test files")
    return Path(found)


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_real_radiographs_from_end_to_end(run, tmp_path, name):
    path, out = real(name), tmp_path / "p.csv"
    found = shares(path, run, out, pictures=tmp_path / "pictures", dicom=tmp_path / "dicom")
    assert found.sum() == pytest.approx(1, abs=2e-6)
    stem = name.removesuffix(".dcm")
    drawn = pydicom.dcmread(tmp_path / "dicom" / f"{stem}.dcm")
    assert max(drawn.Rows, drawn.Columns) > 1000
    VERBS["explain"](path, model=run, out=tmp_path / "e.png", device="cpu")
    assert (tmp_path / "e.png").stat().st_size > 100_000


@pytest.mark.parametrize("same", [("RG1_UNCR.dcm", "RG1_J2KR.dcm"), ("RG3_UNCR.dcm", "RG3_J2KR.dcm")])
def test_losslessly_compressed_files_give_the_answer_of_the_plain_ones(run, tmp_path, same):
    pytest.importorskip("gdcm", reason="compressed DICOM files need python-gdcm")
    plain, packed = (shares(real(name), run, tmp_path / "p.csv") for name in same)
    np.testing.assert_allclose(packed, plain, atol=1e-6)


def test_lossless_jpeg_and_truncated_real_files(run, tmp_path):
    pytest.importorskip("gdcm", reason="compressed DICOM files need python-gdcm")
    path = real("JPEG-LL.dcm")
    assert shares(path, run, tmp_path / "p.csv").sum() == pytest.approx(1, abs=2e-6)
    data = path.read_bytes()
    (tmp_path / "cut.dcm").write_bytes(data[: len(data) // 3])
    with pytest.raises(InputError, match=r"cut\.dcm"):
        shares(tmp_path / "cut.dcm", run, tmp_path / "q.csv")
    assert not (tmp_path / "q.csv").exists()
