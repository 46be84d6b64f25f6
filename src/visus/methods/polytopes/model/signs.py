"""Sign patterns, eight to a byte."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Integer, UInt8
from torch import Tensor


def unpack(packed: UInt8[Tensor, "n bytes"], count: int) -> Bool[Tensor, "n signs"]:
    """The first `count` bits of every row, the highest bit of a byte first (as `numpy.unpackbits`).

    >>> unpack(torch.tensor([[0b10100000]], dtype=torch.uint8), 4).tolist()
    [[True, False, True, False]]
    """
    bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> bits) & 1).bool().flatten(1)[:, :count]


def find_rows(table: UInt8[Tensor, "n bytes"], rows: UInt8[Tensor, "m bytes"]) -> Integer[Tensor, " m"]:
    """For each of `rows` the place of an equal row in `table`, -1 where there is none.

    Rows are looked up by a 64-bit hash and then compared byte by byte.

    >>> find_rows(torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8), torch.tensor([[3, 4]], dtype=torch.uint8))
    tensor([1])
    """
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(2**62, (table.shape[1],), generator=generator).tolist()
    known, place = torch.sort(_hash(table, factors))
    near = torch.searchsorted(known, _hash(rows, factors)).clamp_max(len(table) - 1)
    found = place[near]
    return torch.where((table[found] == rows).all(1), found, -1)


def _hash(rows: Tensor, factors: list[int]) -> Tensor:
    total = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for column, factor in zip(rows.unbind(1), factors, strict=True):
        total += column.long() * factor
    return total
