"""Lookup tables, rescale, windows, padding and polarity of DICOM pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visus.data.formats.dicom import read_dicom
from visus.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
RAMP = np.arange(16, dtype=np.uint16).reshape(4, 4) * 273  # 0..4095


def write(path: Path, numbers: np.ndarray = RAMP, **facts) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "DX", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = numbers.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = int(numbers.dtype.kind == "i")
    for name, value in facts.items():
        if isinstance(name, str) and name.startswith("x"):
            dataset.add_new(int(name[1:], 16), *value)
        else:
            setattr(dataset, name, value)
    dataset.PixelData = numbers.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def table(entries, first=0, bits=16, **facts):
    """One item of a sequence of lookup tables."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", [int(value) for value in entries])
    for name, value in facts.items():
        setattr(item, name, value)
    return Sequence([item])


def test_rescaled_radiographs_keep_their_share_of_the_bits(tmp_path):
    plain = read_dicom(write(tmp_path / "a.dcm")).array
    assert plain.max() == 1
    for modality in ("CR", "DX", "MG"):
        facts = {"Modality": modality, "RescaleSlope": 0.684, "RescaleIntercept": 20, "RescaleType": "OD"}
        assert np.array_equal(read_dicom(write(tmp_path / "b.dcm", **facts)).array, plain)
        dark = read_dicom(write(tmp_path / "c.dcm", PhotometricInterpretation="MONOCHROME1", **facts))
        assert np.allclose(dark.array, 1 - plain)
    falling = write(tmp_path / "d.dcm", RescaleSlope=-1, RescaleIntercept=4095)
    assert np.allclose(read_dicom(falling).array, 1 - plain)
    windowed = read_dicom(
        write(tmp_path / "e.dcm", RescaleSlope=0.5, RescaleIntercept=0), window=(1024, 2048)
    )
    assert np.allclose(windowed.array[0], np.clip((RAMP / 2 - 1023.5) / 2047 + 0.5, 0, 1), atol=1e-6)


def test_both_ways_to_say_that_low_is_bright_invert_once(tmp_path):
    plain = read_dicom(write(tmp_path / "a.dcm")).array
    for photometric, shape, inverted in (
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
    ):
        path = write(tmp_path / "b.dcm", PhotometricInterpretation=photometric, PresentationLUTShape=shape)
        expected = 1 - plain if inverted else plain
        assert np.allclose(read_dicom(path).array, expected), (photometric, shape)


def test_padding_becomes_background(tmp_path):
    numbers = RAMP.copy()
    numbers[0] = 4095
    expected = numbers / 4095
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        path = write(tmp_path / "a.dcm", numbers, PhotometricInterpretation=photometric)
        dataset = pydicom.dcmread(path)
        dataset.add_new("PixelPaddingValue", "US", 4095)
        dataset.save_as(path)
        found = read_dicom(path).array[0]
        assert (found[0] == 0).all(), photometric
        assert found[3, 3] == 0, "a pixel that has the value is taken for padding"
        body = expected if photometric == "MONOCHROME2" else 1 - expected
        assert np.allclose(found[1:3], body[1:3])
    ranged = pydicom.dcmread(write(tmp_path / "b.dcm"))
    ranged.add_new("PixelPaddingValue", "US", 273)
    ranged.add_new("PixelPaddingRangeLimit", "US", 819)
    ranged.save_as(tmp_path / "b.dcm")
    assert np.flatnonzero(read_dicom(tmp_path / "b.dcm").array).tolist() == list(range(4, 16))


@pytest.mark.parametrize(("vr", "value"), [("SS", -2000), ("US", 63536)])
def test_padding_of_physical_values_is_the_least_of_the_others(tmp_path, vr, value):
    numbers = RAMP.astype(np.int16)
    numbers[0] = -2000
    facts = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024, "BitsStored": 16, "HighBit": 15}
    path = write(tmp_path / "a.dcm", numbers, **facts)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", vr, value)
    dataset.save_as(path)
    found = read_dicom(path).array[0]
    assert np.array_equal(found[1:], RAMP[1:].astype(np.float32) - 1024)
    assert (found[0] == found[1:].min()).all()


def test_modality_tables(tmp_path):
    entries = (np.arange(4096) // 2) ** 2 % 1000
    expected = entries[RAMP].astype(float)
    path = write(tmp_path / "a.dcm", ModalityLUTSequence=table(entries, bits=10, ModalityLUTType="US"))
    assert np.allclose(read_dicom(path).array[0], expected / 1023, atol=1e-6)
    path = write(tmp_path / "b.dcm", ModalityLUTSequence=table(entries, bits=10, ModalityLUTType="HU"))
    assert np.array_equal(read_dicom(path).array[0], expected.astype(np.float32))
    # Numbers outside the table take its ends.
    short = write(tmp_path / "c.dcm", ModalityLUTSequence=table([5, 7, 9], first=500, bits=4))
    shown = np.round(read_dicom(short).array[0] * 15)
    assert shown.tolist() == np.where(RAMP <= 500, 5, 9).tolist()


def test_windows_of_the_file(tmp_path):
    entries = np.linspace(255, 0, 4096).astype(int)
    both = {"VOILUTSequence": table(entries, bits=8), "WindowCenter": 5, "WindowWidth": 3}
    found = read_dicom(write(tmp_path / "a.dcm", **both), window="file").array[0]
    assert np.allclose(found, entries[RAMP] / 255, atol=1e-6), "the table goes before the window"
    for function, expected in (
        ("LINEAR", np.clip((RAMP - 1999.5) / 999 + 0.5, 0, 1)),
        ("LINEAR_EXACT", np.clip((RAMP - 2000.0) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))),
    ):
        path = write(tmp_path / "b.dcm", WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function)
        assert np.allclose(read_dicom(path, window="file").array[0], expected, atol=1e-6), function


def test_damaged_tables_are_refused(tmp_path):
    for bad in (table([1, 2, 3], bits=0), table([1, 2, 3], bits=99)):
        path = write(tmp_path / "a.dcm", ModalityLUTSequence=bad)
        with pytest.raises(InputError, match="damaged lookup table"):
            read_dicom(path)
    short = table([1, 2, 3])
    short[0].LUTDescriptor = [9, 0, 16]
    with pytest.raises(InputError, match="LUTDescriptor"):
        read_dicom(write(tmp_path / "b.dcm", ModalityLUTSequence=short))


def test_overlays_are_left_out(tmp_path):
    marked = RAMP | np.where(np.eye(4) > 0, 0x8000, 0).astype(np.uint16)
    path = write(tmp_path / "a.dcm", marked, x60000102=("US", 15), x60000100=("US", 16))
    assert np.array_equal(read_dicom(path).array, read_dicom(write(tmp_path / "b.dcm")).array)
    apart = write(tmp_path / "c.dcm", x60000102=("US", 0), x60003000=("OW", b"\xff\xff"))
    assert np.array_equal(read_dicom(apart).array, read_dicom(path).array)
    beyond = write(tmp_path / "d.dcm", marked)
    assert read_dicom(beyond).array.max() == 1, "numbers above the stored bits are cut"


def test_floating_point_pixels_are_values(tmp_path):
    path = write(tmp_path / "a.dcm", Modality="OT")
    dataset = pydicom.dcmread(path)
    values = np.linspace(-3, 5, 16, dtype=np.float32).reshape(4, 4)
    for name in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        del dataset[name]
    dataset.BitsAllocated = 32
    dataset.add_new("FloatPixelData", "OF", values.tobytes())
    dataset.save_as(path)
    assert np.array_equal(read_dicom(path).array[0], values)


def test_position_of_the_patient_is_kept_as_a_fact(tmp_path):
    facts = {
        "ViewPosition": "AP",
        "Laterality": "R",
        "PatientOrientation": ["L", "F"],
        "PixelAspectRatio": [2, 1],
        "BodyPartExamined": "CHEST",
        "BurnedInAnnotation": "YES",
    }
    picture = read_dicom(write(tmp_path / "a.dcm", **facts, PixelSpacing=[0.0, 0.0]))
    assert picture.spacing_mm is None, "no distance is zero"
    expected = {**facts, "PatientOrientation": "L\\F", "PixelAspectRatio": "2\\1"}
    assert {name: picture.meta[name] for name in facts} == expected


def real(name: str) -> Path:
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"{name} is not installed with pydicom or pydicom-data")
    return Path(found)


def test_real_tables_equal_pydicom():
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    path = real("mlut_18.dcm")
    dataset = pydicom.dcmread(path)
    expected = apply_modality_lut(dataset.pixel_array, dataset)
    top = 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    assert np.allclose(read_dicom(path).array[0], expected / top, atol=1e-6)
    path = real("vlut_04.dcm")
    dataset = pydicom.dcmread(path)
    expected = apply_voi_lut(dataset.pixel_array, dataset)
    top = 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    assert np.allclose(read_dicom(path, window="file").array[0], expected / top, atol=1e-6)
    assert expected.std() > 0
