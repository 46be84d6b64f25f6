"""NIfTI volumes."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from visus.data.formats import read_image, write_image
from visus.data.formats.nifti import read_nifti, write_nifti
from visus.data.formats.picture import Picture
from visus.errors import InputError

nibabel = pytest.importorskip("nibabel")
VALUES = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32) * 1000


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_values_affine_and_spacing_round_trip(tmp_path, ending):
    affine = np.array([[2, 0, 0, -10], [0, 1.5, 0, 5], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    path = tmp_path / f"x{ending}"
    write_image(path, Picture(array=VALUES, kind="nifti", affine=affine))
    picture = read_image(path)
    assert np.array_equal(picture.array, VALUES)
    assert np.allclose(picture.affine, affine)
    assert picture.spacing_mm == (2.0, 1.5, 3.0)
    assert picture.meta["orientation"] == "RAS"
    first = path.read_bytes()
    write_image(path, picture)
    assert path.read_bytes() == first


def test_canonical_axes_keep_every_voxel_at_its_place(tmp_path):
    affine = np.array([[0, 0, 2, 1], [-1, 0, 0, 2], [0, 3, 0, 4], [0, 0, 0, 1.0]])  # stored as P, S, R
    nibabel.save(nibabel.Nifti1Image(VALUES[0], affine), tmp_path / "x.nii")
    stored, turned = read_nifti(tmp_path / "x.nii", canonical=False), read_nifti(tmp_path / "x.nii")
    assert stored.meta["orientation"] == "PSR"
    assert turned.meta["orientation"] == "RAS"
    assert stored.spacing_mm == pytest.approx((1, 3, 2))
    assert turned.spacing_mm == pytest.approx((2, 1, 3))
    assert stored.array.shape == (1, 4, 5, 6)
    assert turned.array.shape == (1, 6, 4, 5)
    for index in ((0, 0, 0), (3, 1, 2), (1, 4, 5)):
        place = stored.affine @ [*index, 1]
        there = np.rint(np.linalg.inv(turned.affine) @ place).astype(int)[:3]
        assert turned.array[(0, *there)] == stored.array[(0, *index)]


def test_stored_scaling_and_units(tmp_path):
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "x.nii")
    picture = read_nifti(tmp_path / "x.nii")
    expected = np.asarray(nibabel.load(tmp_path / "x.nii").dataobj)
    assert np.allclose(picture.array[0], expected)
    assert picture.spacing_mm == (1000.0, 1000.0, 1000.0)
    assert picture.affine[0, 0] == 1000.0


def test_four_axes_become_channels_and_odd_shapes_are_refused(tmp_path):
    def saved(values):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
        return tmp_path / "x.nii"

    assert read_nifti(saved(np.zeros((4, 5, 6, 2), np.float32))).array.shape == (2, 4, 5, 6)
    assert read_nifti(saved(np.zeros((4, 5, 6, 1, 3), np.float32))).array.shape == (3, 4, 5, 6)
    with pytest.raises(InputError, match="has shape"):
        read_nifti(saved(np.zeros((4, 5, 6, 2, 3), np.float32)))
    with pytest.raises(InputError, match="not finite"):
        read_nifti(saved(np.full((2, 2, 2), np.nan, np.float32)))
    colors = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="colors"):
        read_nifti(saved(colors))
    with pytest.raises(InputError, match="not \\(c, x, y, z\\)"):
        write_nifti(tmp_path / "y.nii", Picture(array=np.zeros((1, 2, 2), np.float32), kind="numpy"))
    assert not (tmp_path / "y.nii").exists()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_cut_off_files_are_named(tmp_path, ending, share):
    path = tmp_path / f"x{ending}"
    write_nifti(path, Picture(array=VALUES, kind="nifti"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError) as caught:
        read_nifti(path)
    assert str(path) in str(caught.value)
    assert "cut off" in str(caught.value)


def test_foreign_content(tmp_path):
    (tmp_path / "x.nii").write_text("no volume" * 100)
    with pytest.raises(InputError, match="not a NIfTI"):
        read_nifti(tmp_path / "x.nii")
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"no volume" * 100))
    with pytest.raises(InputError, match="not a NIfTI"):
        read_nifti(tmp_path / "x.nii.gz")


@pytest.mark.parametrize(
    "name", ["anatomical.nii", "functional.nii", "standard.nii.gz", "example_nifti2.nii.gz"]
)
def test_real_volumes_of_nibabel(name):
    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip("nibabel is installed without its test data")
    reference = nibabel.as_closest_canonical(nibabel.load(path))
    picture = read_image(path)
    values = np.asarray(reference.dataobj, dtype=np.float32)
    assert np.array_equal(picture.array, values[None] if values.ndim == 3 else np.moveaxis(values, -1, 0))
    assert np.allclose(picture.affine, reference.affine)
    assert picture.meta["orientation"] == "RAS"
