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
    found = read_plain_pickle(write(tmp_path / "p", content, protocol))
    assert found["a"] == content["a"]
    assert np.array_equal(found["x"], content["x"])
    assert found["x"].dtype == np.int32


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("kind", ["<f8", ">f8", ">i2", "<u4", "?"])
def test_byte_and_axis_order_of_arrays(tmp_path, protocol, kind):
    values = (np.arange(24).reshape(2, 3, 4) % 5).astype(kind)
    arrays = {"c": values, "f": np.asfortranarray(values), "none": values[:0], "one": [values[1]]}
    found = read_plain_pickle(write(tmp_path / "p", arrays, protocol))
    for name, expected in arrays.items():
        assert np.array_equal(found[name], expected)
    assert found["c"].flags.writeable
    assert np.dtype("f8").byteorder == "="


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_single_numbers_of_numpy(tmp_path, protocol):
    numbers = [np.float64(3.5), np.int64(-2), np.float32(0.5), np.bool_(True), np.float64(0.1)]
    found = read_plain_pickle(write(tmp_path / "p", {"0,1": numbers, "t": (numbers[0],)}, protocol))
    assert found["0,1"] == [3.5, -2, 0.5, True, 0.1]
    assert found["t"] == (3.5,)
    assert {type(number) for number in found["0,1"]} == {int, float, bool}


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
        np.array(["text"]),
        np.datetime64("2020-01-01"),
    ]
    for attack in attacks:
        for protocol in (0, 2, 4):
            write(tmp_path / "p", {b"data": attack}, protocol)
            with pytest.raises(InputError, match=r"refused.*What to do: use the other file"):
                read_plain_pickle(tmp_path / "p", remedy="use the other file")
    assert not marker.exists()


def test_a_pickle_cannot_change_the_reader(tmp_path):
    """BUILD with a state for attributes, on a name that may be called: written opcode by opcode."""
    for name in ("numpy.core.multiarray\nscalar", "_codecs\nencode", "numpy\ndtype"):
        stream = b"\x80\x02}U\x01ac" + name.encode() + b"\nN}U\x0c__defaults__)s\x86bs."
        (tmp_path / "p").write_bytes(stream)
        with pytest.raises(InputError, match="refused"):
            read_plain_pickle(tmp_path / "p")


def test_damaged_files(tmp_path):
    whole = pickle.dumps({"a": [1.0] * 100})
    for content in (whole[:50], b"words", pickle.dumps([1])):
        (tmp_path / "p").write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_plain_pickle(tmp_path / "p")
        assert caught.value.file == tmp_path / "p"
