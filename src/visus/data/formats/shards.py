"""Tar shards as WebDataset writes them: the files of one sample stand side by side and share their name up
to the first dot (`000012.video.npy`, `000012.segmentations.npy`).
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from visus.data.formats.picture import present
from visus.data.formats.replacing import replacing
from visus.data.formats.tfrecord import Corrupt
from visus.errors import InputError

_REMEDY = 'download the file again, or read it with corrupt="skip"'
_UNSAFE = re.compile(r"[./\\\s]")


class Member(NamedTuple):
    """Where a file lies in its shard."""

    offset: int
    size: int


class Shard:
    """Samples of one uncompressed tar file in any order; only the places of their files are in memory.

    `keys` are the samples in the order of the file and `samples[key]` their files by ending (`video.npy`).
    A file cut off at its end is refused, or its last sample is left out and named in `skipped`.

    Raises
    ------
    InputError : absent, empty, no tar file, compressed, or damaged and refused.
    """

    def __init__(self, path: str | Path, *, corrupt: Corrupt = "refuse") -> None:
        if corrupt not in ("refuse", "skip"):
            raise InputError(f"must be refuse or skip, got {corrupt}", field="corrupt")
        self.path = present(path)
        self.samples: dict[str, dict[str, Member]] = {}
        self.skipped: list[str] = []
        damage = self._scan()
        if damage:
            if corrupt == "refuse" or not self.samples:
                raise InputError(damage, file=self.path, remedy=_REMEDY)
            last = next(reversed(self.samples))
            del self.samples[last]
            self.skipped.append(f"sample {last}: {damage}")
        if not self.samples:
            raise InputError("holds no samples", file=self.path, remedy="give a shard with files in it")

    @property
    def keys(self) -> list[str]:
        """The samples' keys in the order of the file."""
        return list(self.samples)

    def bytes_of(self, key: str, ending: str) -> bytes:
        """The content of a file of a sample."""
        member = self._member(key, ending)
        with self.path.open("rb") as stream:
            stream.seek(member.offset)
            content = stream.read(member.size)
        if len(content) < member.size:
            raise InputError("is cut off", file=self.path, field=_where(key, ending), remedy=_REMEDY)
        return content

    def shape_of(self, key: str, ending: str) -> tuple[int, ...]:
        """Shape of an array, from its head alone."""
        return self._array_head(key, ending)[0]

    def array_of(self, key: str, ending: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows `start` to `stop` of an array stored as .npy; other rows are not read. Pickles are refused."""
        shape, kind, fortran, place = self._array_head(key, ending)
        rows = shape[0] if shape else 1
        stop = rows if stop is None else min(stop, rows)
        row = int(np.prod(shape[1:], dtype=np.int64)) * kind.itemsize
        member = self._member(key, ending)
        with self.path.open("rb") as stream:
            if fortran or not shape:
                stream.seek(member.offset)
                return npy.read_array(io.BytesIO(stream.read(member.size)), allow_pickle=False)[start:stop]
            stream.seek(place + start * row)
            content = stream.read(max(stop - start, 0) * row)
        return np.frombuffer(bytearray(content), dtype=kind).reshape(max(stop - start, 0), *shape[1:])

    def _array_head(self, key: str, ending: str) -> tuple[tuple[int, ...], np.dtype, bool, int]:
        member = self._member(key, ending)
        with self.path.open("rb") as stream:
            stream.seek(member.offset)
            try:
                version = npy.read_magic(stream)
                reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, fortran, kind = reader(stream)
            except (ValueError, EOFError) as error:
                where = _where(key, ending)
                raise InputError(f"is no array ({error})", file=self.path, field=where) from None
            place = stream.tell()
        where = _where(key, ending)
        if kind.hasobject:
            problem, remedy = "holds Python objects", "save plain numbers"
            raise InputError(problem, file=self.path, field=where, remedy=remedy)
        wanted = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if place - member.offset + wanted != member.size:
            problem = f"holds {member.size} bytes where shape {shape} of {kind} needs {wanted} and a head"
            raise InputError(problem, file=self.path, field=where, remedy=_REMEDY)
        return shape, kind, fortran, place

    def _member(self, key: str, ending: str) -> Member:
        files = self.samples[key]
        if ending not in files:
            there = ", ".join(files)
            raise InputError(
                f"has no {ending}", file=self.path, field=f"sample {key}", remedy=f"there are: {there}"
            )
        return files[ending]

    def _scan(self) -> str:
        """Fill `samples`; returns what is wrong with the file, or nothing."""
        size, end = self.path.stat().st_size, 0
        try:
            with tarfile.open(self.path, "r:") as archive:
                for member in archive:
                    end = member.offset_data + -(-member.size // 512) * 512
                    key, ending = split_name(member.name)
                    if member.isfile() and key:
                        files = self.samples.setdefault(key, {})
                        files[ending] = Member(member.offset_data, member.size)
        except (tarfile.TarError, EOFError, ValueError) as error:
            if not self.samples:
                remedy = "unpack it to a plain .tar" if _compressed(self.path) else "give a .tar file"
                raise InputError(f"is no plain tar file ({error})", file=self.path, remedy=remedy) from None
            return f"is damaged ({error})"
        with self.path.open("rb") as stream:
            stream.seek(end)
            closing = stream.read(1024)
        if end > size or len(closing) < 512 or any(closing):
            return "is cut off: the mark of its end is missing"
        return ""


def write_shard(path: str | Path, samples: Iterable[tuple[str, Mapping[str, np.ndarray | bytes]]]) -> int:
    """Write (key, files by ending) as a shard, one sample in memory at a time; returns their number.

    Arrays become .npy (their endings need .npy). The same samples give the same bytes.

    Raises
    ------
    InputError : no sample, a key met twice, or a key with a dot, a slash or a space.
    """
    seen: set[str] = set()
    with replacing(path) as draft, tarfile.open(draft, "w", format=tarfile.USTAR_FORMAT) as archive:
        for key, files in samples:
            if not key or _UNSAFE.search(key):
                raise InputError("keys have no dots, slashes or spaces", file=path, field=f"sample {key!r}")
            if key in seen:
                raise InputError("is there twice", file=path, field=f"sample {key}")
            seen.add(key)
            for ending, content in files.items():
                data = content if isinstance(content, bytes) else _npy(content)
                entry = tarfile.TarInfo(f"{key}.{ending}")
                entry.size, entry.mode = len(data), 0o644
                archive.addfile(entry, io.BytesIO(data))
        if not seen:
            raise InputError("has no samples to write", file=path)
    return len(seen)


def split_name(name: str) -> tuple[str, str]:
    """Key and ending of a file in a shard: the name is split at the first dot after the last slash.

    >>> split_name("a/000012.video.npy")
    ('a/000012', 'video.npy')
    """
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return (folder + slash + key if key else ""), ending.lower()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def _where(key: str, ending: str) -> str:
    return f"sample {key}, {ending}"
