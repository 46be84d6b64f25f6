"""`tf.train.Example` messages as plain dicts: name -> list of bytes, float32 array or int64 array.

message Example  { Features features = 1; }        message BytesList { repeated bytes value = 1; }
message Features { map<string, Feature> feature = 1; }     FloatList { repeated float value = 1 [packed]; }
message Feature  { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }  Int64List { int64 value = 1 [packed]; }

Source: Protocol Buffers encoding guide (varints, wire types, packed and unpacked repeated fields, the last
value of a map key and of a oneof counts, parts of one message met twice are joined).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Values = list[bytes] | NDArray[np.float32] | NDArray[np.int64]
"""What a feature holds."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST = 10
"""Bytes of the longest varint."""
_LISTS = {1: "bytes", 2: "float", 3: "int64"}


class Example(Mapping[str, Values]):
    """The features of a message. A feature is decoded when it is asked for, so unused ones cost nothing.

    Raises
    ------
    ValueError : the bytes are no such message (on opening, or when the feature is asked for).

    >>> Example(encode_example({"x": np.array([1, -1])}))["x"].tolist()
    [1, -1]
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._features: dict[str, memoryview] = {}
        for number, value in _fields(memoryview(data)):
            if number != 1:
                continue
            for entry_number, entry in _fields(_message(value)):
                if entry_number == 1:
                    name, feature = _entry(_message(entry))
                    self._features[name] = feature

    def __getitem__(self, name: str) -> Values:
        feature = self._features[name]
        try:
            return _decoded(feature)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)


def encode_example(features: Mapping[str, Sequence[bytes] | np.ndarray]) -> bytes:
    """The message of named features: floating arrays become float lists, integer and boolean arrays int64
    lists, sequences of bytes byte lists. Lists are packed, names sorted.
    """
    entries = b"".join(
        _tagged(1, _tagged(1, name.encode()) + _tagged(2, _encoded(values)))
        for name, values in sorted(features.items())
    )
    return _tagged(1, entries)


def _encoded(values: Sequence[bytes] | np.ndarray) -> bytes:
    if not isinstance(values, np.ndarray):
        return _tagged(1, b"".join(_tagged(1, bytes(value)) for value in values))
    flat = values.reshape(-1)
    if values.dtype.kind == "f":
        return _tagged(2, _tagged(1, flat.astype("<f4").tobytes()))
    if values.dtype.kind in "biu":
        return _tagged(3, _tagged(1, encode_varints(flat.astype(np.int64))))
    raise TypeError(f"{values.dtype} has no place in an example")


def decode_varints(data: bytes | memoryview) -> NDArray[np.int64]:
    """Packed varints, all at once. A `ValueError` tells of a number that does not end or is too long."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if not len(raw):
        return np.zeros(0, dtype=np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise ValueError("a number is cut off")
    before = np.concatenate([np.zeros(_LONGEST, np.uint8), raw])
    values = raw[ends].astype(np.uint32)  # the last byte is the most significant one
    more = np.ones(len(ends), dtype=bool)
    for k in range(1, _LONGEST + 1):
        byte = before[_LONGEST - k :][ends]
        more &= byte >= 0x80
        if not more.any():
            return values.astype(np.uint64).view(np.int64)
        if k == 4:  # up to here 32 bits are enough, and faster
            values = values.astype(np.uint64)
        values = np.where(more, (values << values.dtype.type(7)) | (byte & np.uint8(0x7F)), values)
    raise ValueError(f"a number has more than {_LONGEST} bytes")


def encode_varints(values: NDArray[np.int64]) -> bytes:
    """Integers as packed varints; negative ones take 10 bytes, as two's complement."""
    rest = np.ascontiguousarray(values, dtype=np.int64).view(np.uint64)
    if not len(rest):
        return b""
    lengths = np.ones(len(rest), dtype=np.int64)
    for k in range(1, 10):
        over = rest >= np.uint64(1) << np.uint64(7 * k)
        if not over.any():
            break
        lengths += over
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]), dtype=np.uint8)
    starts = ends - lengths
    for k in range(int(lengths.max())):
        here = np.flatnonzero(lengths > k)
        piece = ((rest[here] >> np.uint64(7 * k)) & np.uint64(0x7F)).astype(np.uint8)
        out[starts[here] + k] = piece | np.where(lengths[here] > k + 1, 0x80, 0).astype(np.uint8)
    return out.tobytes()


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(number, content) of every field; content is a number only for varints."""
    place, size = 0, len(data)
    while place < size:
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field has the unknown wire type {kind}")
        if place + length > size:
            raise ValueError("a field is longer than its message")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number is cut off or too long")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
        shift += 7


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should")
    return value


def _entry(data: memoryview) -> tuple[str, memoryview]:
    name, feature = "", memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            try:
                name = bytes(_message(value)).decode()
            except UnicodeDecodeError:
                raise ValueError("a name is not UTF-8") from None
        elif number == 2:
            feature = _message(value)
    return name, feature


def _decoded(feature: memoryview) -> Values:
    kind, parts = "bytes", []
    for number, value in _fields(feature):
        if number in _LISTS:
            if _LISTS[number] != kind:
                kind, parts = _LISTS[number], []
            parts.append(_message(value))
    values = [value for part in parts for number, value in _fields(part) if number == 1]
    if kind == "bytes":
        return [bytes(_message(value)) for value in values]
    if kind == "float":
        joined = b"".join(_message(value) for value in values)
        if len(joined) % 4:
            raise ValueError("a list of floats is cut off")
        return np.frombuffer(joined, dtype="<f4").astype(np.float32)
    pieces = [_integers(run) for run in _runs(values)]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)


def _runs(values: Iterable[memoryview | int]) -> Iterator[memoryview | list[int]]:
    """Packed pieces as they are, neighboring single numbers together."""
    single: list[int] = []
    for value in values:
        if isinstance(value, int):
            single.append(value)
            continue
        if single:
            yield single
            single = []
        yield value
    if single:
        yield single


def _integers(run: memoryview | list[int]) -> NDArray[np.int64]:
    if isinstance(run, list):
        return np.array(run, dtype=np.uint64).view(np.int64)
    return decode_varints(run)


def _tagged(number: int, data: bytes) -> bytes:
    return encode_varints(np.array([number << 3 | _BYTES, len(data)])) + data
