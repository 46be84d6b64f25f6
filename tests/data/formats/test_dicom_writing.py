"""Written secondary captures: what they show, and that nobody can be found in them."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from visus.data.formats import read_image, write_image
from visus.data.formats.dicom import read_dicom, read_series, write_dicom
from visus.data.formats.dicom.quiet import quiet
from visus.data.formats.picture import Picture
from visus.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

SECRETS = {
    "PatientName": "Wunderlich^Ottilie",
    "PatientID": "MRN-83725561",
    "OtherPatientIDs": "INS-55102934",
    "PatientBirthDate": "19410923",
    "PatientAge": "083Y",
    "PatientAddress": "Lindenstrasse 77, Hannover",
    "PatientTelephoneNumbers": "+49-511-5550199",
    "PatientComments": "prefers to be called Tilly",
    "ReferringPhysicianName": "Brinkmann^Egon",
    "OperatorsName": "Zielinska",
    "InstitutionName": "Klinikum Eilenriede",
    "InstitutionAddress": "Waldweg 3",
    "StationName": "XR-ROOM-9",
    "DeviceSerialNumber": "SN-40871",
    "AccessionNumber": "ACC-20240611-7",
    "StudyID": "ST-90210",
    "StudyDate": "20240611",
    "StudyTime": "141502.331",
    "ContentDate": "20240612",
    "StudyDescription": "Thorax Frau Wunderlich",
    "SeriesDescription": "pa aufrecht Wunderlich",
    "ProtocolName": "Thorax_Stativ_W",
    "ImageComments": "Vorbefund Dr. Brinkmann",
    "AdditionalPatientHistory": "COPD since 1998",
    "StudyInstanceUID": "1.2.276.0.7230010.3.1.2.77001",
    "SeriesInstanceUID": "1.2.276.0.7230010.3.1.3.77002",
    "FrameOfReferenceUID": "1.2.276.0.7230010.3.1.4.77003",
    "RequestedProcedureDescription": "Ausschluss Pneumonie, Fr. W.",
    # Attributes whose values are kept, where they are one of the standard's short codes.
    "ViewPosition": "Ottilie Wunderlich, PA",
    "BodyPartExamined": "thorax of Ottilie",
}
SOP_UID = "1.2.276.0.7230010.3.1.1.77000"


def full_of_secrets(path: Path, side: int = 24) -> Path:
    """A radiograph as a hospital's archive would give it, with private tags and nested data sets."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = SOP_UID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.SourceApplicationEntityTitle = "EILENRIEDE_PACS"
    with quiet():  # two of the codes are free text, as happens
        for name, value in SECRETS.items():
            setattr(dataset, name, value)
    block = dataset.private_block(0x0029, "SECRETWORKS 2.1", create=True)
    block.add_new(0x01, "LO", "private Wunderlich")
    request = Dataset()
    request.RequestingPhysician, request.AccessionNumber = "Brinkmann^Egon", "ACC-NESTED-4"
    dataset.RequestAttributesSequence = Sequence([request])
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME1", 1
    dataset.Rows = dataset.Columns = side
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.PixelData = (np.arange(side * side, dtype=np.uint16) * 7 % 4096).tobytes()
    with quiet():
        dataset.save_as(path, enforce_file_format=True)
    return path


def words() -> list[str]:
    """Every value that must not be seen again, whole and in parts."""
    whole = [*SECRETS.values(), SOP_UID, "EILENRIEDE_PACS", "SECRETWORKS 2.1", "ACC-NESTED-4"]
    names = ["Wunderlich", "Ottilie", "Brinkmann", "Egon", "Zielinska", "Eilenriede", "Tilly", "Hannover"]
    return [*whole, *names]


def everything(dataset) -> list[str]:
    """All values of all elements, also nested ones, private ones and those of the file's head, as text."""
    found = []
    for part in (dataset.file_meta, dataset):
        for element in part.iterall():
            assert not element.tag.is_private, element.tag
            if element.keyword != "PixelData" and element.VR != "SQ":
                found += [str(value) for value in (element.value if element.VM > 1 else [element.value])]
    return found


def test_nobody_is_found_in_what_is_read(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    path = full_of_secrets(tmp_path / "a.dcm")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        pictures = [read_dicom(path), read_image(path), read_dicom(path, window=(2000, 4000))]
        folder = tmp_path / "one"
        folder.mkdir()
        full_of_secrets(folder / "b.dcm")
        pictures.append(read_series(folder))
    said = "".join([*(str(one.message) for one in warned), caplog.text, *capfd.readouterr()])
    for picture in pictures:
        assert set(picture.meta) == {"Modality", "PhotometricInterpretation", "BitsStored"}
        said += repr(picture)
    assert not [word for word in words() if word.lower() in said.lower()]


def test_nobody_is_found_in_error_messages(tmp_path):
    whole = full_of_secrets(tmp_path / "a.dcm").read_bytes()
    cut = tmp_path / "cut.dcm"
    errors = []
    for size in range(140, len(whole), 37):
        cut.write_bytes(whole[:size])
        try:
            read_dicom(cut)
        except InputError as error:
            errors.append(error)
    for error in errors:
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
        assert not [word for word in words() if word.lower() in str(error).lower()]
    assert len(errors) > 50
    for options in ({"frame": 4}, {"window": "file"}):
        with pytest.raises(InputError) as caught:
            read_dicom(tmp_path / "a.dcm", **options)
        assert not [word for word in words() if word.lower() in str(caught.value).lower()]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_nobody_is_found_in_what_is_written(tmp_path, bits, channels):
    picture = read_dicom(full_of_secrets(tmp_path / "a.dcm"))
    drawn = Picture(
        array=np.repeat(picture.array, channels, axis=0),
        kind=picture.kind,
        spacing_mm=picture.spacing_mm,
        meta=picture.meta,
    )
    write_dicom(tmp_path / "b.dcm", drawn, bits=bits, series="predicted gaze", derivation="overlay, 0..1")
    values = everything(pydicom.dcmread(tmp_path / "b.dcm"))
    raw = (tmp_path / "b.dcm").read_bytes().lower()
    source = pydicom.dcmread(tmp_path / "a.dcm")
    with quiet():
        heads = [element for part in (source, source.file_meta) for element in part.iterall()]
    uids = [str(element.value) for element in heads if element.keyword.endswith("InstanceUID")]
    assert len(uids) >= 4
    for word in [*words(), *uids]:
        assert not [value for value in values if word.lower() in value.lower()], word
        assert word.lower().encode() not in raw, word
    # The walk would find it: the caller's own words are there.
    assert "predicted gaze" in values
    assert b"overlay, 0..1" in raw


def test_what_a_file_says_about_itself(tmp_path):
    gray = Picture(
        array=np.random.default_rng(0).random((1, 5, 7), np.float32), kind="image", spacing_mm=(2, 3)
    )
    write_dicom(tmp_path / "a.dcm", gray, bits=8, series="gaze ü 肺", derivation="made from a picture")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
    assert "BurnedInAnnotation" not in dataset  # nobody said
    assert dataset.SeriesDescription == "gaze ü 肺"
    assert dataset.DerivationDescription == "made from a picture"
    assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
    assert len({dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID}) == 3
    assert list(dataset.PixelSpacing) == [2, 3]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"):
        assert name in dataset, "the standard asks for it"
        assert not dataset[name].value
    marked = Picture(array=gray.array, kind="dicom", meta={"BurnedInAnnotation": "YES", "PatientName": "Doe"})
    write_dicom(tmp_path / "b.dcm", marked)
    assert pydicom.dcmread(tmp_path / "b.dcm").BurnedInAnnotation == "YES"
    assert b"Doe" not in (tmp_path / "b.dcm").read_bytes()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(5, 7), (6, 4)])  # an odd number of bytes is filled up
def test_written_pictures_are_read_back(tmp_path, bits, channels, shape):
    values = np.random.default_rng(bits).random((channels, *shape)).astype(np.float32)
    write_dicom(tmp_path / "a.dcm", Picture(array=values, kind="image"), bits=bits)
    found = read_dicom(tmp_path / "a.dcm")
    expected = np.rint(values.astype(np.float64) * (2**bits - 1)) / (2**bits - 1)
    assert np.allclose(found.array, expected, atol=1e-7)
    stored = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    order = stored if channels == 1 else np.moveaxis(stored, -1, 0)
    assert np.allclose(order / (2**bits - 1), expected[0] if channels == 1 else expected)


def test_equal_pictures_give_equal_files_and_others_other_identifiers(tmp_path):
    array = np.random.default_rng(0).random((1, 4, 4)).astype(np.float32)
    for name, words in (("a", ""), ("b", ""), ("c", "other")):
        write_dicom(tmp_path / f"{name}.dcm", Picture(array=array, kind="image"), series=words)
    first, second, third = ((tmp_path / f"{name}.dcm").read_bytes() for name in "abc")
    assert first == second
    assert (
        pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID
        != pydicom.dcmread(tmp_path / "c.dcm").SOPInstanceUID
    )
    assert first != third


def test_values_outside_are_cut(tmp_path):
    array = np.array([[[-1.0, 0.0], [1.0, 7.0]]], dtype=np.float32)
    write_image(tmp_path / "a.dcm", array)
    assert read_image(tmp_path / "a.dcm").array.tolist() == [[[0, 0], [1, 1]]]


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((2, 3, 3)), {}, "shape"),
        (np.zeros((1, 2, 3, 3)), {}, "shape"),
        (np.zeros((1, 0, 3)), {}, "shape"),
        (np.full((1, 3, 3), np.nan), {}, "finite"),
        (np.zeros((1, 3, 3)), {"bits": 12}, "8 or 16"),
        (np.zeros((1, 3, 3)), {"series": "x" * 65}, "series"),
        (np.zeros((1, 3, 3)), {"series": "a\\b"}, "backslash"),
        (np.zeros((1, 3, 3)), {"derivation": "x" * 1025}, "derivation"),
        (np.zeros((1, 3, 3)), {"derivation": "a\0b"}, "control"),
        (np.zeros((1, 1, 70_000)), {}, "more than DICOM"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, array, options, words):
    with pytest.raises(InputError, match=words):
        write_dicom(tmp_path / "a.dcm", Picture(array=array.astype(np.float32), kind="image"), **options)
    assert list(tmp_path.iterdir()) == []
