"""NAS-Bench-101 files: the published layout, written here byte by byte."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from visus.data.corpora.nasbench101 import Cell, Evaluation, read_nasbench101, write_nasbench101
from visus.errors import InputError


def evaluation(*numbers):
    """An EvaluationData message: five doubles, fields 1 to 5 (wire type 1)."""
    return b"".join(
        bytes([key << 3 | 1]) + struct.pack("<d", number) for key, number in enumerate(numbers, 1)
    )


def metrics(*, parameters=b"\x8a\x98\x8a\x04", runs=3):
    """A ModelMetrics message; 8,555,530 as a varint is 8a 98 8a 04."""
    message = b""
    for half in range(runs):
        inner = evaluation(54.0 * half, 800.5 * half, 0.4 * half, 0.3 * half + 0.1, 0.3 * half + 0.05)
        message += b"\x0a" + bytes([len(inner)]) + inner
    return message + b"\x10" + parameters + b"\x19" + struct.pack("<d", 1769.25)


def crc32c(content):
    """Bit by bit, polynomial 0x1EDC6F41 reflected."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def frame(payload):
    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


BITS = "0110000100010000"
CELL = ["00005c142e6f48ac74fdcf73e3439874", 108, BITS, "input,conv3x3-bn-relu,maxpool3x3,output"]


def payload(*changed, **kwargs):
    fields = [*CELL, base64.b64encode(metrics(**kwargs)).decode()]
    for place, content in changed:
        fields[place] = content
    return json.dumps(fields).encode()


def written(tmp_path, *payloads):
    path = tmp_path / "nasbench_only108.tfrecord"
    path.write_bytes(b"".join(frame(content) for content in payloads))
    return path


def test_the_checksum_is_crc32c():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the standard


def test_a_file_of_the_published_layout_is_read(tmp_path):
    path = written(tmp_path, payload((2, "0110000100010000")), payload((1, 4)))
    (cell,) = read_nasbench101(path, checked=True)
    assert cell.hash == CELL[0]
    assert cell.adjacency == ((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0))
    assert cell.operations == ("input", "conv3x3-bn-relu", "maxpool3x3", "output")
    assert (cell.parameters, cell.seconds, cell.epochs) == (8_555_530, 1769.25, 108)
    assert [item.epoch for item in cell.evaluations] == [0.0, 54.0, 108.0]
    assert cell.evaluations[1] == Evaluation(epoch=54, seconds=800.5, train=0.4, validation=0.4, test=0.35)
    assert cell.validation == pytest.approx(0.7)
    assert [found.epochs for found in read_nasbench101(path, epochs=None)] == [108, 4]
    assert [found.epochs for found in read_nasbench101(path, epochs=4)] == [4]


def test_fields_of_value_zero_may_be_left_out(tmp_path):
    inner = b"\x19" + struct.pack("<d", 0.5)
    message = b"\x0a" + bytes([len(inner)]) + inner + b"\x10\x05\x19" + struct.pack("<d", 1.0)
    (cell,) = read_nasbench101(written(tmp_path, payload((4, base64.b64encode(message).decode()))))
    assert cell.evaluations == (Evaluation(epoch=0, seconds=0, train=0.5, validation=0, test=0),)


def test_writing_gives_back_what_was_read(tmp_path):
    path = written(tmp_path, payload(), payload((0, "other"), (1, 12)))
    cells = list(read_nasbench101(path, epochs=None))
    write_nasbench101(tmp_path / "again.tfrecord", cells)
    assert list(read_nasbench101(tmp_path / "again.tfrecord", epochs=None, checked=True)) == cells
    assert isinstance(cells[0], Cell)


def test_a_missing_or_empty_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list(read_nasbench101(tmp_path / "none.tfrecord"))
    with pytest.raises(InputError, match="is empty"):
        list(read_nasbench101(written(tmp_path)))


@pytest.mark.parametrize("cut", [1, 4, 30, 300])
def test_a_cut_file_names_the_record(tmp_path, cut):
    path = written(tmp_path, payload(), payload())
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match="record 2: is cut off") as error:
        list(read_nasbench101(path))
    assert error.value.file == path


def test_damage_is_noticed(tmp_path):
    path = written(tmp_path, payload(), payload())
    content = bytearray(path.read_bytes())
    path.write_bytes(b"not a TFRecord at all, just text" + content)
    with pytest.raises(InputError, match="record 1: is no TFRecord frame"):
        list(read_nasbench101(path))
    content[40] = ord("1") if content[40] == ord("0") else ord("0")
    path.write_bytes(content)
    with pytest.raises(InputError, match="record 1: does not match its checksum"):
        list(read_nasbench101(path, checked=True))


BROKEN = {
    "no list": b"17",
    "four fields": json.dumps(CELL).encode(),
    "bits of another size": payload((2, "0110")),
    "no bits": payload((2, "011000010001000x")),
    "a two": payload((2, "0210000100010000")),
    "a loop": payload((2, "1110000100010000")),
    "an unknown operation": payload((3, "input,conv5x5,maxpool3x3,output")),
    "no input": payload((3, "output,maxpool3x3,maxpool3x3,output")),
    "no base64": payload((4, "***")),
    "a cut message": payload((4, base64.b64encode(metrics()[:-3]).decode())),
    "an endless number": payload((4, base64.b64encode(b"\xff" * 9).decode())),
    "no evaluations": payload(runs=0),
    "operations that are no text": payload((3, 4)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_record_of_other_content_is_refused(tmp_path, what):
    path = written(tmp_path, payload(), BROKEN[what])
    with pytest.raises(InputError, match="record 2") as error:
        list(read_nasbench101(path))
    assert error.value.file == path
