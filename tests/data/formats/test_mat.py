"""MATLAB files."""

import numpy as np
import pytest
from scipy.io import savemat

from visus.data.formats.mat import member, read_mat, variable, word
from visus.errors import InputError


def test_variables_structs_and_text(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.arange(6.0).reshape(2, 3), "s": {"name": "some text", "y": [1, 2]}})
    content = read_mat(tmp_path / "a.mat")
    assert set(content) == {"x", "s"}
    assert variable(content, "x", "a.mat").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert word(member(content["s"], "name", "a.mat")) == "some text"
    assert member(content["s"], "y", "a.mat").tolist() == [[1, 2]]
    assert word(np.array([])) == ""
    with pytest.raises(InputError, match=r"a.mat: has no variable z.*x \(2, 3\), s"):
        variable(content, "z", "a.mat")
    with pytest.raises(InputError, match=r"no struct with the field z.*name, y"):
        member(content["s"], "z", "a.mat")
    with pytest.raises(InputError, match=r"no struct with the field z.*no fields"):
        member(content["x"], "z", "a.mat")


def test_files_that_cannot_be_read(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.random.default_rng(0).random((50, 50))})
    whole = (tmp_path / "a.mat").read_bytes()
    for content in (whole[:900], whole[:60], b"words"):
        (tmp_path / "b.mat").write_bytes(content)
        with pytest.raises(InputError, match="cut off or no MATLAB file"):
            read_mat(tmp_path / "b.mat")
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "b.mat").write_bytes(head + bytes(512))
    with pytest.raises(InputError, match=r"MATLAB 7\.3 file.*-v7"):
        read_mat(tmp_path / "b.mat")
    with pytest.raises(InputError, match="does not exist"):
        read_mat(tmp_path / "none.mat")
