"""PNG files with 16-bit color (depth, flow and normal maps), which Pillow would reduce to 8 bits."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt16

from visus.errors import InputError
from visus.records import write_atomically

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def is_deep_color_png(path: str | Path) -> bool:
    """Whether the file is a 16-bit PNG of more than one channel, not interlaced."""
    with Path(path).open("rb") as stream:
        head = stream.read(29)
    deep = len(head) == 29 and head.startswith(SIGNATURE) and head[24] == 16
    return deep and head[25] in (2, 4, 6) and head[28] == 0


def read_deep_color_png(path: str | Path) -> Float32[np.ndarray, "c h w"]:
    """A 16-bit color PNG in 0..1."""
    return (read_uint16_png(path) / np.float32(65535)).astype(np.float32)


def read_uint16_png(path: str | Path) -> UInt16[np.ndarray, "c h w"]:
    """The stored integers of a 16-bit PNG that is not interlaced."""
    path = Path(path)
    try:
        return decode_uint16_png(path.read_bytes())
    except (struct.error, zlib.error, IndexError, KeyError, ValueError) as error:
        raise InputError(f"is cut off or damaged ({error})", file=path, remedy="copy it again") from None


def decode_uint16_png(content: bytes) -> UInt16[np.ndarray, "c h w"]:
    """The stored integers of a 16-bit PNG held in memory. A `ValueError` says what is wrong with it.

    Source: Portable Network Graphics specification, third edition, sections 9 (filters) and 11 (chunks).
    """
    if not content.startswith(SIGNATURE):
        raise ValueError("no PNG signature")
    place, data, head = 8, b"", None
    while True:
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", content, place + 8 + length)
        if zlib.crc32(kind + body) != check:
            raise ValueError("a checksum does not match")
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            data += body
        elif kind == b"IEND":
            break
        place += 12 + length
    if head is None or head[2] != 16 or head[6] != 0:
        raise ValueError("not a 16-bit PNG without interlacing")
    width, height, channels = head[0], head[1], CHANNELS[head[3]]
    rows = np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(height, 1 + width * channels * 2)
    plain = _unfilter(rows, channels * 2).reshape(height, width, channels, 2)
    return np.moveaxis(plain[..., 0].astype(np.uint16) * 256 + plain[..., 1], -1, 0).copy()


def _unfilter(rows: np.ndarray, step: int) -> np.ndarray:
    """Undo the per-row prediction; `step` bytes make a pixel."""
    height, width = rows.shape[0], (rows.shape[1] - 1) // step
    out = np.zeros((height, width, step), dtype=np.uint8)
    above = np.zeros((width, step), dtype=np.uint8)
    for y in range(height):
        kind, row = int(rows[y, 0]), rows[y, 1:].reshape(width, step)
        if kind == 0:
            out[y] = row
        elif kind == 1:
            out[y] = np.cumsum(row, axis=0, dtype=np.uint8)
        elif kind == 2:
            out[y] = row + above
        elif kind in (3, 4):
            out[y] = _sequential(kind, row.astype(np.int32), above.astype(np.int32))
        else:
            raise ValueError(f"unknown row filter {kind}")
        above = out[y]
    return out


def _sequential(kind: int, row: np.ndarray, above: np.ndarray) -> np.ndarray:
    out = np.zeros_like(row)
    left = corner = np.zeros(row.shape[1], dtype=np.int32)
    for x in range(len(row)):
        up = above[x]
        if kind == 3:
            guess = (left + up) // 2
        else:
            center = left + up - corner
            to_left, to_up, to_corner = abs(center - left), abs(center - up), abs(center - corner)
            nearer = np.where(to_up <= to_corner, up, corner)
            guess = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearer)
        left = out[x] = (row[x] + guess) & 255
        corner = up
    return out


def write_uint16_png(path: str | Path, values: UInt16[np.ndarray, "c h w"]) -> None:
    """Write 1 to 4 channels of 16-bit integers as PNG, the reverse of `read_uint16_png`."""
    try:
        content = encode_uint16_png(values)
    except ValueError as error:
        raise InputError(f"cannot be written ({error})", file=path, field="image") from None
    write_atomically(Path(path), content)


def encode_uint16_png(values: UInt16[np.ndarray, "c h w"]) -> bytes:
    """The bytes of such a PNG, the reverse of `decode_uint16_png`. A `ValueError` says what is wrong."""
    channels, height, width = values.shape
    color = {count: kind for kind, count in CHANNELS.items()}.get(channels)
    if color is None or values.dtype != np.uint16:
        raise ValueError(f"{values.dtype} {values.shape} is not uint16 with 1 to 4 channels")
    rows = np.ascontiguousarray(np.moveaxis(values, 0, -1)).astype(">u2").view(np.uint8).reshape(height, -1)
    data = zlib.compress(np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes())
    content = SIGNATURE
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
    return content
