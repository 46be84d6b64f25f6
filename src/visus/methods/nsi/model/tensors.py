"""Scenes as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Programs:
    """A batch of scene programs, padded to the same number of rows.

    categories : (b, p, categorical attributes) class numbers; 0 where missing or padded.
    values : (b, p, numbers) continuous attributes side by side, scaled to 0..1; 0 where missing or padded.
    present : (b, p, attributes) whether the object has the attribute; False in padded rows.
    length : (b,) objects of each scene; its rows come first.
    """

    categories: Int[Tensor, "b p categorical"]
    values: Float[Tensor, "b p numbers"]
    present: Bool[Tensor, "b p attributes"]
    length: Int[Tensor, " b"]

    @property
    def mask(self) -> Bool[Tensor, "b p"]:
        """True where a row is an object."""
        return torch.arange(self.categories.shape[1], device=self.length.device) < self.length[:, None]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.length.device

    def __len__(self) -> int:
        return self.length.shape[0]

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> Programs:
        """Some scenes; one number gives a batch of one."""
        if isinstance(rows, int):
            rows = [rows]
        return Programs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> Programs:
        """The same batch on another device."""
        return Programs(*(getattr(self, field.name).to(device) for field in fields(self)))

    def trimmed(self, rows: int | None = None) -> Programs:
        """The batch without the rows that all its scenes have as padding (at least one row stays)."""
        kept = max(1, int(self.length.max()) if len(self) else 1) if rows is None else rows
        return Programs(self.categories[:, :kept], self.values[:, :kept], self.present[:, :kept], self.length)

    @staticmethod
    def cat(batches: Sequence[Programs]) -> Programs:
        """Several batches of the same schema as one, padded to the longest."""
        rows = max(batch.categories.shape[1] for batch in batches)
        columns = []
        for field in fields(Programs):
            parts = [getattr(batch, field.name) for batch in batches]
            if field.name != "length":
                parts = [_padded(part, rows) for part in parts]
            columns.append(torch.cat(parts))
        return Programs(*columns)


def _padded(part: Tensor, rows: int) -> Tensor:
    return torch.cat([part, part.new_zeros(part.shape[0], rows - part.shape[1], part.shape[2])], 1)
