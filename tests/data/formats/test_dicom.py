"""DICOM files of our own making, and those that pydicom ships."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from visus.data.formats import read_image, write_image
from visus.data.formats.dicom import read_dicom, read_series
from visus.data.formats.picture import Picture
from visus.errors import InputError

pydicom = pytest.importorskip("pydicom")
PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300


def make(path, pixels=PIXELS, **facts):
    """A small file with identifying attributes, as scanners write them."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "4711", "19500101"
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = int(pixels.dtype == np.int16)
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.PixelData = pixels.tobytes()
    for name, value in facts.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_radiographs_are_scaled_by_stored_bits_and_inverted_when_low_is_bright(tmp_path):
    plain = read_dicom(make(tmp_path / "a.dcm", ImagerPixelSpacing=[0.2, 0.1]))
    assert np.allclose(plain.array[0], PIXELS / 4095)
    assert plain.spacing_mm == (0.2, 0.1)
    assert plain.affine is None
    inverted = read_dicom(make(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1"))
    assert np.allclose(inverted.array, 1 - plain.array)
    signed = read_dicom(make(tmp_path / "c.dcm", PIXELS.astype(np.int16) - 2048))
    assert np.allclose(signed.array, plain.array)


def test_rescale_gives_physical_values(tmp_path):
    facts = {"Modality": "CT", "RescaleSlope": 2, "RescaleIntercept": -1000}
    picture = read_dicom(make(tmp_path / "a.dcm", **facts))
    assert np.allclose(picture.array[0], PIXELS * 2.0 - 1000)
    inverted = read_dicom(make(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **facts))
    assert np.array_equal(inverted.array, picture.array)  # HU do not depend on how they are shown


def test_windows_follow_the_standard(tmp_path):
    facts = {
        "Modality": "CT",
        "RescaleSlope": 1,
        "RescaleIntercept": -1000,
        "WindowCenter": [40, 1],
        "WindowWidth": [400, 2],
    }
    path = make(tmp_path / "a.dcm", **facts)

    def standard(value, center, width):
        """DICOM PS3.3, C.11.2.1.2.1, written out."""
        if value <= center - 0.5 - (width - 1) / 2:
            return 0.0
        if value > center - 0.5 + (width - 1) / 2:
            return 1.0
        return (value - (center - 0.5)) / (width - 1) + 0.5

    values = PIXELS.astype(float) - 1000
    for window in ((40, 400), "file", (800, 1500)):
        center, width = (40, 400) if window == "file" else window
        expected = [[standard(value, center, width) for value in row] for row in values]
        assert np.allclose(read_dicom(path, window=window).array[0], expected, atol=1e-6)
    assert np.array_equal(read_dicom(path, window=(200, 1)).array[0], (values > 199.5).astype(np.float32))
    dark = read_dicom(
        make(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **facts), window="file"
    )
    assert np.allclose(dark.array, 1 - read_dicom(path, window="file").array)
    with pytest.raises(InputError, match="states no window"):
        read_dicom(make(tmp_path / "c.dcm"), window="file")
    with pytest.raises(InputError, match="at least 1"):
        read_dicom(path, window=(0, 0.5))


def test_nothing_that_identifies_a_person_is_kept(tmp_path):
    picture = read_dicom(make(tmp_path / "a.dcm", ViewPosition="PA", PatientAge="070Y"))
    assert picture.meta == {
        "Modality": "CR",
        "ViewPosition": "PA",
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsStored": 12,
    }


def test_several_frames_make_a_volume(tmp_path):
    frames = np.stack([PIXELS, PIXELS + 1])
    path = make(tmp_path / "a.dcm", frames, PixelSpacing=[1, 2], SpacingBetweenSlices=3)
    picture = read_dicom(path)
    assert picture.array.shape == (1, 2, 3, 4)
    assert np.allclose(picture.array[0, 1] * 4095, PIXELS + 1, atol=1e-3)
    assert picture.spacing_mm == (3, 1, 2)


def series(folder, order=(2, 0, 3, 1), gap=2.5, **changes):
    folder.mkdir(exist_ok=True)
    for number, k in enumerate(order):
        facts = {
            "Modality": "CT",
            "RescaleIntercept": -1000,
            "RescaleSlope": 1,
            "SeriesInstanceUID": "1.2.3",
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-10, -20, 100 + gap * k],
            "PixelSpacing": [0.5, 0.75],
            **changes.get(f"slice{k}", {}),
        }
        make(folder / f"{number}.dcm", PIXELS + k, **facts)
    return folder


def test_a_series_is_sorted_by_position_and_placed_in_space(tmp_path):
    folder = series(tmp_path / "s")
    (folder / "notes.txt").write_text("not a slice")
    picture = read_image(folder)
    assert picture.array.shape == (1, 4, 3, 4)
    for k in range(4):
        assert np.allclose(picture.array[0, k], PIXELS + k - 1000.0)
    assert picture.spacing_mm == (2.5, 0.5, 0.75)
    # index (slice 3, row 2, column 1): left 10 - 0.75, front 20 - 2 * 0.5, up 100 + 3 * 2.5
    assert np.allclose(picture.affine @ [3, 2, 1, 1], [10 - 0.75, 20 - 1.0, 107.5, 1])
    assert picture.meta["slices"] == 4


@pytest.mark.parametrize(
    ("order", "changes", "words"),
    [
        ((0, 1, 3), {}, "a slice is missing"),
        ((0, 1, 2), {"slice1": {"ImagePositionPatient": [-10, -20, 100]}}, "same place"),
        ((0, 1), {"slice1": {"SeriesInstanceUID": "1.2.4"}}, "2 series"),
        ((0, 1), {"slice1": {"PixelSpacing": [1, 1]}}, "differs in PixelSpacing"),
        (
            (0, 1),
            {"slice0": {"ImagePositionPatient": None}, "slice1": {"ImagePositionPatient": None}},
            "no position",
        ),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path, order, changes, words):
    with pytest.raises(InputError, match=words):
        read_series(series(tmp_path / "s", order, **changes))


def test_folders_without_or_with_one_slice(tmp_path):
    with pytest.raises(InputError, match="no DICOM pictures"):
        read_series(tmp_path)
    make(tmp_path / "a.dcm")
    assert read_series(tmp_path).array.shape == (1, 3, 4)


def test_damaged_foreign_and_pixelless_files(tmp_path):
    path = make(tmp_path / "a.dcm", np.zeros((64, 64), np.uint16))
    whole = path.read_bytes()
    for content in (whole[:140], whole[:400], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_dicom(path)
        assert str(path) in str(caught.value)
    path.write_text("words" * 100)
    with pytest.raises(InputError, match="not a DICOM file"):
        read_dicom(path)
    dataset = pydicom.dcmread(make(path))
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(InputError, match="no pixels"):
        read_dicom(path)


def test_written_files_are_read_back(tmp_path):
    values = np.random.default_rng(0).random((1, 5, 7)).astype(np.float32)
    write_image(tmp_path / "a.dcm", Picture(array=values, kind="image", spacing_mm=(0.5, 0.25)))
    picture = read_image(tmp_path / "a.dcm")
    assert np.abs(picture.array - values).max() < 1e-5
    assert picture.spacing_mm == (0.5, 0.25)
    first = (tmp_path / "a.dcm").read_bytes()
    write_image(tmp_path / "a.dcm", Picture(array=values, kind="image", spacing_mm=(0.5, 0.25)))
    assert (tmp_path / "a.dcm").read_bytes() == first
    with pytest.raises(InputError):
        write_image(tmp_path / "b.dcm", np.zeros((2, 2, 2)))
    assert not (tmp_path / "b.dcm").exists()


def real(name):
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"{name} is not installed with pydicom")
    return Path(found)


def test_real_ct_and_mr():
    ct = read_image(real("CT_small.dcm"))
    assert ct.array.shape == (1, 128, 128)
    assert ct.array.min() < -800  # air
    assert ct.spacing_mm == pytest.approx((0.661468, 0.661468))
    reference = pydicom.dcmread(real("CT_small.dcm"))
    expected = reference.pixel_array * float(reference.RescaleSlope) + float(reference.RescaleIntercept)
    assert np.array_equal(ct.array[0], expected.astype(np.float32))
    mr = read_image(real("MR_small.dcm"))
    assert mr.array.min() >= 0
    assert mr.array.max() <= 1


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_expb.dcm", "MR_small.dcm"),
    ],
)
def test_real_encodings_of_one_picture_agree(name, same_as):
    assert np.array_equal(read_image(real(name)).array, read_image(real(same_as)).array)


def test_real_color_pictures():
    for name in (
        "SC_rgb_jpeg.dcm",
        "SC_rgb_small_odd.dcm",
        "examples_ybr_color.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "examples_palette.dcm",
    ):
        picture = read_image(real(name))
        assert picture.array.shape[0] == 3, name
        assert 0 <= picture.array.min() <= picture.array.max() <= 1


def test_a_compression_without_decoder_is_explained():
    path = real("JPEGLSNearLossless_16.dcm")
    try:
        pydicom.dcmread(path).pixel_array  # noqa: B018
    except RuntimeError:
        with pytest.raises(InputError, match=r"compressed \(JPEG-LS.*pylibjpeg"):
            read_image(path)
    else:
        assert read_image(path).array.ndim == 3


def test_every_real_file_gives_a_finite_picture_or_a_reason():
    folder = real("CT_small.dcm").parent
    read = refused = unnamed = 0
    for path in sorted(folder.glob("*.dcm")):
        if path.stat().st_size > 500_000:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                picture = read_dicom(path)
            except InputError as error:
                refused += 1
                unnamed += str(path) not in str(error)
            else:
                assert np.isfinite(picture.array).all(), path
                assert picture.array.ndim in (3, 4), path
                read += 1
    assert read >= 40
    assert refused >= 5
    assert unnamed == 0
