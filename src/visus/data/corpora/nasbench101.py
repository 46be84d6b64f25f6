"""NAS-Bench-101: 423,624 cells with their accuracies, from the published TFRecord files, without TensorFlow.

A file (`nasbench_only108.tfrecord`, `nasbench_full.tfrecord`) is a row of frames: length (8 bytes), checksum of the
length (4), payload, checksum of the payload (4). A payload is a JSON list: hash, epochs, adjacency as a text of
0 and 1 row by row, operations separated by commas, and a base64 message ModelMetrics (protobuf: 1 repeated
EvaluationData, 2 trainable parameters, 3 total time; EvaluationData: 1 epoch, 2 training time, 3 train, 4 validation,
5 test accuracy; at the start, half way and at the end).

Source: 1902.09635.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from visus.data.formats.picture import present
from visus.errors import InputError
from visus.records import write_atomically

OPERATIONS = ("input", "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3", "output")
MOST_VERTICES = 7
REMEDY = "download the file again"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A point of a training run: accuracies in [0, 1], time in seconds."""

    epoch: float
    seconds: float
    train: float
    validation: float
    test: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run of one cell.

    hash : of the cell, the same for its repeated runs. epochs : of the run.
    adjacency : row i, column j is 1 where vertex i feeds vertex j; upper triangular.
    operations : of the vertices, from `input` to `output`.
    evaluations : at the start, half way, at the end.
    """

    hash: str
    epochs: int
    adjacency: tuple[tuple[int, ...], ...]
    operations: tuple[str, ...]
    parameters: int
    seconds: float
    evaluations: tuple[Evaluation, ...]

    @property
    def validation(self) -> float:
        """Validation accuracy at the end, in [0, 1]."""
        return self.evaluations[-1].validation


def read_nasbench101(path: str | Path, *, epochs: int | None = 108, checked: bool = False) -> Iterator[Cell]:
    """The runs of a file in its order, one at a time.

    Parameters
    ----------
    epochs : only runs of that length; None for all.
    checked : also verify the checksum of every payload (slow: pure Python). That of the length always is.

    Raises
    ------
    InputError : the file is missing, cut off or damaged; the frame is named by its number.
    """
    path = present(path)
    with path.open("rb") as stream:
        for number, payload in enumerate(_frames(stream, path, checked), 1):
            cell = _cell(payload, path, number)
            if epochs is None or cell.epochs == epochs:
                yield cell


def write_nasbench101(path: str | Path, cells: Iterable[Cell]) -> None:
    """Write runs in the published layout."""
    frames = []
    for cell in cells:
        fields = [cell.hash, cell.epochs, "".join(str(bit) for row in cell.adjacency for bit in row)]
        metrics = b"".join(_message(1, _evaluation_bytes(item)) for item in cell.evaluations)
        metrics += b"\x10" + _varint_bytes(cell.parameters) + b"\x19" + struct.pack("<d", cell.seconds)
        text = json.dumps([*fields, ",".join(cell.operations), base64.b64encode(metrics).decode()])
        length, payload = struct.pack("<Q", len(text)), text.encode()
        frames.append(length + _checksum(length) + payload + _checksum(payload))
    write_atomically(Path(path), b"".join(frames))


# ---- frames -------------------------------------------------------------------------------------------------


def _frames(stream: BinaryIO, path: Path, checked: bool) -> Iterator[bytes]:
    number = 0
    while head := stream.read(12):
        number += 1
        where = f"record {number}"
        if len(head) < 12 or head[8:] != _checksum(head[:8]):
            raise InputError("is no TFRecord frame", file=path, field=where, remedy=REMEDY)
        (length,) = struct.unpack("<Q", head[:8])
        payload, tail = stream.read(length), stream.read(4)
        if len(payload) < length or len(tail) < 4:
            raise InputError("is cut off", file=path, field=where, remedy=REMEDY)
        if checked and tail != _checksum(payload):
            raise InputError("does not match its checksum", file=path, field=where, remedy=REMEDY)
        yield payload


def _crc_table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli), one entry per byte."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _crc_table()


def _checksum(content: bytes) -> bytes:
    """The masked CRC-32C of TFRecord: rotated right by 15 bits plus a constant."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


# ---- payloads -----------------------------------------------------------------------------------------------


def _cell(payload: bytes, path: Path, number: int) -> Cell:
    where = f"record {number}"
    try:
        name, epochs, adjacency, operations, metrics = json.loads(payload)
        words = tuple(operations.split(","))
        size = len(words)
        bits = [int(bit) for bit in adjacency]
        rows = tuple(tuple(bits[i * size : (i + 1) * size]) for i in range(size))
        message = _fields(base64.b64decode(metrics, validate=True))
        evaluations = tuple(_evaluation(content) for content in message.get(1, []))
        cell = Cell(
            hash=str(name),
            epochs=int(epochs),
            adjacency=rows,
            operations=words,
            parameters=int(message[2][0]),
            seconds=float(message[3][0]),
            evaluations=evaluations,
        )
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        struct.error,
        binascii.Error,
    ) as error:
        problem = f"is no run of NAS-Bench-101 ({type(error).__name__}: {error})"
        raise InputError(problem, file=path, field=where, remedy=REMEDY) from None
    _check(cell, len(bits), path, where)
    return cell


def _check(cell: Cell, bits: int, path: Path, where: str) -> None:
    size = len(cell.operations)
    problem = None
    if not 2 <= size <= MOST_VERTICES or bits != size * size:
        problem = f"has {bits} adjacency bits for {size} operations"
    elif (
        set(cell.operations) - set(OPERATIONS)
        or cell.operations[0] != "input"
        or cell.operations[-1] != "output"
    ):
        problem = f"has operations {','.join(cell.operations)}"
    elif any(cell.adjacency[i][j] not in (0, j > i) for i in range(size) for j in range(size)):
        problem = "has an adjacency that is not upper triangular"
    elif not cell.evaluations:
        problem = "has no evaluations"
    if problem:
        raise InputError(problem, file=path, field=where, remedy=REMEDY)


def _evaluation(content: bytes) -> Evaluation:
    numbers = {key: float(values[0]) for key, values in _fields(content).items()}
    # protobuf leaves a field of value 0 out
    epoch, seconds, train, validation, test = (numbers.get(key, 0.0) for key in range(1, 6))
    return Evaluation(epoch=epoch, seconds=seconds, train=train, validation=validation, test=test)


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a protobuf message by number: integers, doubles, or bytes."""
    found: dict[int, list[Any]] = {}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key & 7 == 0:
            content, place = _varint(message, place)
        elif key & 7 == 1:
            (content,) = struct.unpack_from("<d", message, place)
            place += 8
        elif key & 7 == 2:
            length, place = _varint(message, place)
            content = message[place : place + length]
            if len(content) < length:
                raise ValueError("message cut off")
            place += length
        else:
            raise ValueError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(content)
    return found


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place


def _varint_bytes(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _message(key: int, content: bytes) -> bytes:
    return _varint_bytes(key << 3 | 2) + _varint_bytes(len(content)) + content


def _evaluation_bytes(item: Evaluation) -> bytes:
    numbers = (item.epoch, item.seconds, item.train, item.validation, item.test)
    return b"".join(
        _varint_bytes(key << 3 | 1) + struct.pack("<d", number)
        for key, number in enumerate(numbers, 1)
        if number
    )
