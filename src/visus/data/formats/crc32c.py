"""CRC-32C (Castagnoli), fast without a compiled package: pieces are reduced side by side, then folded.

A CRC is linear over GF(2). With its start value moved into the first four bytes, zero bytes in front of the
data change nothing, and crc(a + b) = shift(crc(a), len(b)) ^ crc(b), where `shift` is a 32x32 bit matrix.

Source: RFC 3720, appendix B.4 (polynomial 0x1EDC6F41, reflected; test vectors).
"""

from __future__ import annotations

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78
_SHORT = 512
"""Shorter data are reduced byte by byte."""


def crc32c(data: bytes | memoryview) -> int:
    """Checksum of `data`.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) < _SHORT:
        state, table = 0xFFFFFFFF, _byte_list()
        for byte in bytes(data):
            state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    log_width = max(int(np.log2(len(data))) // 2, 4)
    pieces = _pieces(data, 1 << log_width)
    table, state = _pair_table(), np.zeros(pieces.shape[1], dtype=np.uint32)
    for row in pieces:
        state = table[(state ^ row) & 0xFFFF] ^ (state >> 16)
    return int(_folded(state, log_width)) ^ 0xFFFFFFFF


def _pieces(data: bytes | memoryview, width: int) -> np.ndarray:
    """`data` behind zeros as (width / 2, count): column j is piece j as little-endian pairs of bytes."""
    count = -(-len(data) // width)
    padded = np.zeros(count * width, dtype=np.uint8)
    begin = len(padded) - len(data)
    padded[begin:] = np.frombuffer(data, dtype=np.uint8)
    padded[begin : begin + 4] ^= 0xFF
    return np.ascontiguousarray(padded.view("<u2").reshape(count, width // 2).T)


def _folded(state: np.ndarray, log_width: int) -> np.uint32:
    """One state from those of neighboring pieces of 2^log_width bytes."""
    while len(state) > 1:
        if len(state) % 2:
            state = np.concatenate([np.zeros(1, np.uint32), state])
        state = _shifted(state[0::2], log_width) ^ state[1::2]
        log_width += 1
    return state[0]


def _shifted(state: np.ndarray, log_width: int) -> np.ndarray:
    tables = _shift_tables(log_width)
    out = tables[0][state & 0xFF]
    for i in range(1, 4):
        out = out ^ tables[i][(state >> (8 * i)) & 0xFF]
    return out


@functools.cache
def _byte_table() -> np.ndarray:
    """State after one zero byte, for each of the states 0..255."""
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        state = np.where(state & 1, (state >> 1) ^ np.uint32(POLYNOMIAL), state >> 1)
    return state


@functools.cache
def _byte_list() -> list[int]:
    return _byte_table().tolist()


@functools.cache
def _pair_table() -> np.ndarray:
    """State after two zero bytes, for each of the states 0..65535."""
    table, state = _byte_table(), np.arange(65536, dtype=np.uint32)
    for _ in range(2):
        state = table[state & 0xFF] ^ (state >> 8)
    return state


@functools.cache
def _shift_tables(log_width: int) -> np.ndarray:
    """(4, 256): what each byte of a state becomes after 2^log_width zero bytes."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if log_width == 0:
        columns = _byte_table()[bits & 0xFF] ^ (bits >> 8)
    else:
        columns = _shifted(_shifted(bits, log_width - 1), log_width - 1)
    values = np.arange(256, dtype=np.uint32)
    tables = np.zeros((4, 256), dtype=np.uint32)
    for place in range(4):
        for bit in range(8):
            tables[place] ^= np.where((values >> bit) & 1, columns[8 * place + bit], np.uint32(0))
    return tables
