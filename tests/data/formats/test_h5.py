"""HDF5 containers."""

import numpy as np
import pytest

from visus.data.formats.h5 import created, opened, read_dataset
from visus.errors import InputError

pytest.importorskip("h5py")


def test_a_file_takes_its_name_only_when_complete(tmp_path):
    path = tmp_path / "sub" / "x.h5"

    def fail():
        with created(path) as file:
            file["a"] = np.arange(3)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert list(path.parent.iterdir()) == []
    with created(path) as file:
        file["g/a"] = np.arange(3)
    with opened(path) as file:
        assert read_dataset(file["g"], "a", file=path).tolist() == [0, 1, 2]
        with pytest.raises(InputError, match=r"/g/b: no such data set.*the group holds: a"):
            read_dataset(file["g"], "b", file=path)
        with pytest.raises(InputError, match="no such data set"):
            read_dataset(file, "g", file=path)


def test_cut_off_and_foreign_files(tmp_path):
    path = tmp_path / "x.h5"
    with created(path) as file:
        file["a"] = np.zeros(5000)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cut off or not an HDF5"), opened(path):
        pass
    path.write_text("words")
    with pytest.raises(InputError, match="not an HDF5"), opened(path):
        pass
