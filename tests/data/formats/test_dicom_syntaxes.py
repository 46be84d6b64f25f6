"""Compressed DICOM: pictures of our own put through GDCM's encoders, and pairs of real files of one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visus.data.formats.dicom import read_dicom
from visus.errors import InputError

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
gdcm = pytest.importorskip("gdcm", reason="python-gdcm is not installed")

LOSSLESS = {
    "JPEGLosslessProcess14": "1.2.840.10008.1.2.4.57",
    "JPEGLosslessProcess14_1": "1.2.840.10008.1.2.4.70",
    "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
    "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
    "RLELossless": "1.2.840.10008.1.2.5",
}
LOSSY = {"JPEGBaselineProcess1": "1.2.840.10008.1.2.4.50"}


def real(name: str) -> Path:
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"{name} is not installed with pydicom or pydicom-data")
    return Path(found)


def scene(bits: int, signed: bool, frames: int = 0) -> np.ndarray:
    """Smooth waves and a little noise over the whole range of the bits."""
    rng = np.random.default_rng(bits)
    y, x = np.mgrid[:48, :40]
    wave = np.sin(y / 9)[None] * np.cos(x / 7 + np.arange(frames or 1)[:, None, None])
    share = np.clip((wave + 1) / 2 + rng.normal(0, 0.01, wave.shape), 0, 1)
    numbers = np.rint(share * (2**bits - 1)).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    return numbers if frames else numbers[0]


def write(path: Path, numbers: np.ndarray, bits: int, signed: bool, **facts) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "DX", "MONOCHROME1", 1
    dataset.Rows, dataset.Columns = numbers.shape[-2:]
    wide = 8 if bits == 8 else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = wide, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    if numbers.ndim == 3:
        dataset.NumberOfFrames = len(numbers)
    dataset.PixelData = numbers.astype(f"{'<i' if signed else '<u'}{wide // 8}").tobytes()
    dataset["PixelData"].VR = "OB" if wide == 8 else "OW"
    for name, value in facts.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def compress(source: Path, target: Path, kind: str) -> Path:
    """Write `source` in another transfer syntax."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
    change.SetInput(reader.GetImage())
    if not change.Change():
        pytest.skip(f"GDCM cannot write {kind} of {source.name}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize(
    ("bits", "signed"),
    [(8, False), (10, False), (12, False), (12, True), (14, False), (16, False), (16, True)],
)
def test_lossless_syntaxes_give_the_very_pixels(tmp_path, kind, bits, signed):
    numbers = scene(bits, signed)
    plain = write(tmp_path / "plain.dcm", numbers, bits, signed)
    squeezed = compress(plain, tmp_path / "squeezed.dcm", kind)
    assert str(pydicom.dcmread(squeezed).file_meta.TransferSyntaxUID) == LOSSLESS[kind]
    offset = 2 ** (bits - 1) if signed else 0
    expected = 1 - (numbers + offset) / (2**bits - 1)
    assert np.array_equal(read_dicom(squeezed).array[0], expected.astype(np.float32))
    assert np.array_equal(read_dicom(squeezed).array, read_dicom(plain).array)


def test_baseline_jpeg_is_close(tmp_path):
    numbers = scene(8, False)
    plain = write(tmp_path / "plain.dcm", numbers, 8, False)
    squeezed = compress(plain, tmp_path / "squeezed.dcm", "JPEGBaselineProcess1")
    assert str(pydicom.dcmread(squeezed).file_meta.TransferSyntaxUID) == LOSSY["JPEGBaselineProcess1"]
    assert np.abs(read_dicom(squeezed).array - read_dicom(plain).array).mean() < 0.01


@pytest.mark.parametrize("kind", ["JPEGLosslessProcess14_1", "JPEG2000Lossless", "RLELossless"])
def test_one_frame_of_several(tmp_path, kind):
    plain = write(tmp_path / "plain.dcm", scene(12, False, frames=3), 12, False)
    squeezed = compress(plain, tmp_path / "squeezed.dcm", kind)
    whole = read_dicom(plain).array
    assert whole.shape == (1, 3, 48, 40)
    assert np.array_equal(read_dicom(squeezed).array, whole)
    for frame in range(3):
        assert np.array_equal(read_dicom(squeezed, frame=frame).array, whole[:, frame])
        assert np.array_equal(read_dicom(plain, frame=frame).array, whole[:, frame])
    for frame in (-1, 3):
        with pytest.raises(InputError, match=r"3 frames: 0\.\.2"):
            read_dicom(squeezed, frame=frame)


@pytest.mark.parametrize("kind", ["ExplicitVRLittleEndian", *LOSSLESS])
def test_files_cut_off_anywhere_are_refused(tmp_path, kind):
    path = write(tmp_path / "plain.dcm", scene(12, False), 12, False)
    if kind in LOSSLESS:
        path = compress(path, tmp_path / "squeezed.dcm", kind)
    whole, cut = path.read_bytes(), tmp_path / "cut.dcm"
    for share in (0.05, 0.3, 0.6, 0.8, 0.9, 0.97):
        cut.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError) as caught:
            read_dicom(cut)
        assert str(cut) in str(caught.value)


PAIRS = [
    ("RG1_J2KR.dcm", "RG1_UNCR.dcm"),
    ("RG1_J2KI.dcm", "RG1_UNCI.dcm"),
    ("RG3_J2KR.dcm", "RG3_UNCR.dcm"),
    ("RG3_J2KI.dcm", "RG3_UNCI.dcm"),
    ("693_J2KR.dcm", "693_UNCR.dcm"),
    ("693_J2KI.dcm", "693_UNCI.dcm"),
    ("MR2_J2KR.dcm", "MR2_UNCR.dcm"),
    ("MR2_J2KI.dcm", "MR2_UNCI.dcm"),
    ("US1_J2KR.dcm", "US1_UNCR.dcm"),
    ("JPEG2000.dcm", "JPEG2000_UNC.dcm"),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
    ("MR_small_padded.dcm", "MR_small.dcm"),
    ("emri_small_RLE.dcm", "emri_small.dcm"),
    ("emri_small_big_endian.dcm", "emri_small.dcm"),
    ("emri_small_jpeg_2k_lossless.dcm", "emri_small.dcm"),
    ("emri_small_jpeg_ls_lossless.dcm", "emri_small.dcm"),
    ("rtdose_rle.dcm", "rtdose.dcm"),
    ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb.dcm"),
    ("SC_rgb_rle.dcm", "SC_rgb.dcm"),
    ("SC_rgb_rle_16bit.dcm", "SC_rgb_16bit.dcm"),
    ("SC_rgb_rle_2frame.dcm", "SC_rgb_2frame.dcm"),
    ("SC_rgb_expb_16bit_2frame.dcm", "SC_rgb_16bit_2frame.dcm"),
    ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
    ("color-pl.dcm", "color-px.dcm"),
    ("OBXXXX1A_rle.dcm", "OBXXXX1A.dcm"),
    ("OBXXXX1A_expb.dcm", "OBXXXX1A.dcm"),
    ("OBXXXX1A_expb_2frame.dcm", "OBXXXX1A_2frame.dcm"),
    ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm"),
]


@pytest.mark.parametrize(("name", "same_as"), PAIRS)
def test_real_files_of_one_picture_agree(name, same_as):
    ours, theirs = read_dicom(real(name)), read_dicom(real(same_as))
    assert np.array_equal(ours.array, theirs.array)


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_ebcr_dcmd.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_ebcyn1_dcmd.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_dcmtk_ebcynp_dcmd.dcm"),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_dcmtk_ebcys4_dcmd.dcm"),
        ("US1_J2KI.dcm", "US1_UNCI.dcm"),
        ("SC_ybr_full_uncompressed.dcm", "SC_rgb.dcm"),
    ],
)
def test_real_color_files_agree_after_their_color_transform(name, same_as):
    ours, theirs = read_dicom(real(name)), read_dicom(real(same_as))
    assert np.abs(ours.array - theirs.array).mean() < 0.01


def test_what_no_decoder_knows_is_said():
    with pytest.raises(InputError, match=r"compressed \(JPEG Extended.*pylibjpeg") as caught:
        read_dicom(real("JPGExtended.dcm"))
    assert "JPGExtended.dcm" in str(caught.value)


def test_real_radiographs_are_right_way_up():
    chest = read_dicom(real("RG1_UNCR.dcm"))
    assert chest.meta["PhotometricInterpretation"] == "MONOCHROME1"
    assert chest.spacing_mm is None or min(chest.spacing_mm) > 0
    stored = pydicom.dcmread(real("RG1_UNCR.dcm")).pixel_array
    assert np.allclose(chest.array[0], 1 - stored / (2**15 - 1), atol=1e-6)
    air, spine = chest.array[0, 20:60, 20:60], chest.array[0, 1400:1500, 850:950]
    assert air.mean() < spine.mean()
