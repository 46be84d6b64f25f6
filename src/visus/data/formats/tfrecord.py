"""TFRecord files and the examples in them, without TensorFlow.

A record is: length (8 bytes, little-endian), its checksum (4), the data, their checksum (4). A checksum is the
CRC-32C turned right by 15 bits plus 0xA282EAD8.

Source: TensorFlow's guide to TFRecord; the layout of an example is in `visus.data.formats.example`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from visus.data.formats.crc32c import crc32c
from visus.data.formats.picture import present
from visus.data.formats.replacing import replacing
from visus.errors import InputError

Corrupt = Literal["refuse", "skip"]
"""What to do with a record that is damaged: an error that names it, or leave it out and name it."""

_HEAD, _FOOT = 12, 4
_REMEDY = 'download the file again, or read it with corrupt="skip"'


class Span(NamedTuple):
    """Where a record lies in its file."""

    number: int
    """Counted from 0 among all records of the file, damaged ones included."""
    offset: int
    """First byte of the record's head."""
    length: int
    """Bytes of data."""


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as it is stored.

    >>> hex(masked_crc32c(b"123456789"))
    '0xc78ab0e5'
    """
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


class RecordFile:
    """Records of one file in any order; only their places are kept in memory.

    Opening reads the heads alone. Data are checked when they are read, or, with `corrupt="skip"`, when the
    file is opened, so that the number of records is right from the start.

    Raises
    ------
    InputError : the file is absent or empty, or a record is damaged and refused; names file, record and byte.
    """

    def __init__(self, path: str | Path, *, corrupt: Corrupt = "refuse") -> None:
        if corrupt not in ("refuse", "skip"):
            raise InputError(f"must be refuse or skip, got {corrupt}", field="corrupt")
        self.path = present(path)
        self.skipped: list[str] = []
        """What was left out and why, one line each."""
        with self.path.open("rb") as stream:
            self.spans = list(self._scan(stream, corrupt))
        if not self.spans:
            raise InputError("holds no whole record", file=self.path, remedy="download the file again")

    def __len__(self) -> int:
        return len(self.spans)

    def read(self, index: int) -> bytes:
        """The data of a record, checked."""
        with self.path.open("rb") as stream:
            return self._data(stream, self.spans[index])

    def where(self, index: int) -> str:
        """The place of a record in words, for messages."""
        return _where(self.spans[index])

    def refuse(self, index: int, problem: str) -> InputError:
        """The error that says what is wrong with the content of a record."""
        return InputError(problem, file=self.path, field=self.where(index), remedy=_REMEDY)

    def _scan(self, stream: BinaryIO, corrupt: Corrupt) -> Iterator[Span]:
        size, offset, number = self.path.stat().st_size, 0, 0
        while offset < size:
            span = Span(number, offset, 0)
            try:
                span = self._head(stream, span, size)
                if corrupt == "skip":
                    self._data(stream, span)
                yield span
            except InputError as error:
                if corrupt == "refuse":
                    raise
                self.skipped.append(f"{error.field}: {error.problem}")
                if span.length == 0:  # without a length nothing after it can be found
                    return
            offset += _HEAD + span.length + _FOOT
            number += 1

    def _head(self, stream: BinaryIO, span: Span, size: int) -> Span:
        stream.seek(span.offset)
        head = stream.read(_HEAD)
        if len(head) < _HEAD:
            raise InputError("is cut off", file=self.path, field=_where(span), remedy=_REMEDY)
        length, check = struct.unpack("<QI", head)
        if masked_crc32c(head[:8]) != check:
            problem = "has a length that does not match its checksum; no record after it can be found"
            raise InputError(problem, file=self.path, field=_where(span), remedy=_REMEDY)
        if span.offset + _HEAD + length + _FOOT > size:
            there = max(size - span.offset - _HEAD, 0)
            problem = f"is cut off: {min(there, length)} of {length} bytes are there"
            raise InputError(problem, file=self.path, field=_where(span), remedy=_REMEDY)
        return span._replace(length=length)

    def _data(self, stream: BinaryIO, span: Span) -> bytes:
        stream.seek(span.offset + _HEAD)
        data, foot = stream.read(span.length), stream.read(_FOOT)
        if len(data) < span.length or len(foot) < _FOOT:
            raise InputError("is cut off", file=self.path, field=_where(span), remedy=_REMEDY)
        if masked_crc32c(data) != struct.unpack("<I", foot)[0]:
            problem = "is damaged: its data do not match their checksum"
            raise InputError(problem, file=self.path, field=_where(span), remedy=_REMEDY)
        return data


def read_tfrecords(path: str | Path, *, corrupt: Corrupt = "refuse") -> Iterator[bytes]:
    """The records of a file one after another."""
    records = RecordFile(path, corrupt=corrupt)
    for index in range(len(records)):
        yield records.read(index)


def write_tfrecords(path: str | Path, records: Iterable[bytes]) -> int:
    """Write records as they come, one in memory at a time; returns their number.

    Raises
    ------
    InputError : no record at all.
    """
    count = 0
    with replacing(path) as draft, draft.open("wb") as stream:
        for data in records:
            length = struct.pack("<Q", len(data))
            stream.write(length + struct.pack("<I", masked_crc32c(length)) + data)
            stream.write(struct.pack("<I", masked_crc32c(data)))
            count += 1
        if not count:
            raise InputError("has no records to write", file=path)
    return count


def _where(span: Span) -> str:
    return f"record {span.number} at byte {span.offset}"
