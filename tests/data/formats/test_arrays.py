"""NumPy files."""

import numpy as np
import pytest

from visus.data.formats import read_image, write_image
from visus.data.formats.arrays import (
    channels_first,
    read_array,
    read_arrays,
    read_npy,
    scaled,
    write_arrays,
)
from visus.errors import InputError


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_values_round_trip(tmp_path, ending):
    values = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    write_image(tmp_path / f"x{ending}", values)
    picture = read_image(tmp_path / f"x{ending}")
    assert np.array_equal(picture.array, values)
    assert picture.kind == "numpy"


def test_scaling_is_by_type():
    assert scaled(np.array([0, 128, 255], np.uint8)).tolist() == pytest.approx([0, 128 / 255, 1])
    assert scaled(np.array([65535], np.uint16)).tolist() == [1.0]
    assert scaled(np.array([-1000, 3000], np.int16)).tolist() == [-1000, 3000]
    assert scaled(np.array([True, False])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((6, 7), "auto", (1, 6, 7)),
        ((6, 7, 3), "auto", (3, 6, 7)),
        ((3, 6, 7), "auto", (3, 6, 7)),
        ((9, 12, 10), "auto", (1, 9, 12, 10)),
        ((1, 9, 12, 10), "auto", (1, 9, 12, 10)),
        ((9, 12, 10, 2), "auto", (2, 9, 12, 10)),
        ((3, 3, 3), "space", (1, 3, 3, 3)),
        ((6, 7, 9), "channels_last", (9, 6, 7)),
        ((9, 6, 7), "channels_first", (9, 6, 7)),
    ],
)
def test_axes(shape, layout, expected):
    assert channels_first(np.zeros(shape), layout).shape == expected


@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2, 2), (0, 4), (9, 9, 9, 9)])
def test_shapes_that_are_no_pictures(shape):
    with pytest.raises(InputError, match="shape"):
        channels_first(np.zeros(shape))


def test_archives_need_one_array_or_one_named_image(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.ones((2, 2)), other=np.zeros(3))
    assert read_array(tmp_path / "a.npz").sum() == 4
    np.savez(tmp_path / "b.npz", x=np.ones(2), y=np.ones(2))
    with pytest.raises(InputError, match="holds x, y"):
        read_array(tmp_path / "b.npz")


def test_named_arrays_round_trip(tmp_path):
    given = {"a": np.arange(6).reshape(2, 3), "b": np.array([1.5], np.float32)}
    write_arrays(tmp_path / "x.npz", given)
    found = read_arrays(tmp_path / "x.npz")
    assert found.keys() == given.keys()
    for name, values in given.items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values)
    np.save(tmp_path / "y.npy", given["a"])
    with pytest.raises(InputError, match="without a name"):
        read_arrays(tmp_path / "y.npy")
    (tmp_path / "z.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:40])
    with pytest.raises(InputError, match="not a complete"):
        read_arrays(tmp_path / "z.npz")


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.save(tmp_path / "o.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects"):
        read_array(tmp_path / "o.npy")
    np.savez(tmp_path / "o.npz", np.array([Bomb()], dtype=object))
    with pytest.raises(InputError, match="Python objects"):
        read_array(tmp_path / "o.npz")
    assert not (tmp_path / "ran").exists()


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((20, 20)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a complete NumPy file"):
        read_npy(path)
    np.savez(tmp_path / "x.npz", np.zeros((20, 20)))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a complete NumPy file"):
        read_npy(tmp_path / "x.npz")
    path.write_text("words")
    with pytest.raises(InputError):
        read_npy(path)
    np.save(path, np.array([["a", "b"]]))
    with pytest.raises(InputError, match="not numbers"):
        read_npy(path)
