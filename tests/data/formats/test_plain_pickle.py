"""The pickle reader that runs nothing."""

import builtins
import os
import pickle

import numpy as np
import pytest

from visus.data.formats.plain_pickle import read_plain_pickle
from visus.errors import InputError


def write(path, content, protocol=pickle.HIGHEST_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_a_pickle_of_python_2_is_read(tmp_path):
    """Text of Python 2 is a byte string there: written opcode by opcode."""
    stream = b"\x80\x02}q\x00(U\x06labelsq\x01]q\x02(K\x00K\x01eU\x05namesq\x03]q\x04U\x03\xe9abau."
    (tmp_path / "p").write_bytes(stream)
    assert read_plain_pickle(tmp_path / "p") == {"labels": [0, 1], "names": [b"\xe9ab"]}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_plain_values_and_arrays_come_back(tmp_path, protocol):
    content = {"a": {"b": [1.5, 2, "c"]}, "x": np.arange(6, dtype=np.int32).reshape(2, 3)}
    if protocol == 5:
        del content["x"]  # protocol 5 rebuilds arrays through a function that is not let through
    found = read_plain_pickle(write(tmp_path / "p", content, protocol))
    assert found["a"] == content["a"]
    if "x" in content:
        assert np.array_equal(found["x"], content["x"])
        assert found["x"].dtype == np.int32


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_that_asks_for_code_is_refused_before_anything_runs(tmp_path):
    marker = tmp_path / "ran"
    attacks = [
        Call(os.mkdir, str(marker)),
        Call(builtins.open, str(marker), "w"),
        Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
        Call(np.fromfile, str(marker)),
        np.array([Call(os.mkdir, str(marker))], dtype=object),
    ]
    for attack in attacks:
        for protocol in (0, 2, 4):
            write(tmp_path / "p", {b"data": attack}, protocol)
            with pytest.raises(InputError, match=r"refused.*What to do: use the other file"):
                read_plain_pickle(tmp_path / "p", remedy="use the other file")
    assert not marker.exists()


def test_damaged_files(tmp_path):
    whole = pickle.dumps({"a": [1.0] * 100})
    for content in (whole[:50], b"words", pickle.dumps([1])):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_plain_pickle(tmp_path / "p")
        assert caught.value.file == tmp_path / "p"
