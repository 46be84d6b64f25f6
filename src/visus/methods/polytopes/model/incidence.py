"""Ragged lists and the grouping they need: which faces, which vertices belong to what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Integer
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Lists of different lengths, one after the other.

    List i is `items[offsets[i] : offsets[i + 1]]`.

    >>> lists = Ragged.grouped(torch.tensor([1, 0, 1]), torch.tensor([7, 8, 9]), 3)
    >>> [part.tolist() for part in lists]
    [[8], [7, 9], []]
    """

    offsets: Integer[Tensor, " lists_and_one"]
    items: Integer[Tensor, " m"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Integer[Tensor, " n"]:
        index = range(len(self))[index]
        return self.items[int(self.offsets[index]) : int(self.offsets[index + 1])]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.split(self.items, self.lengths.tolist()))

    @cached_property
    def lengths(self) -> Integer[Tensor, " lists"]:
        """Items per list."""
        return self.offsets.diff()

    @cached_property
    def owners(self) -> Integer[Tensor, " m"]:
        """The list of every item."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.items))

    @classmethod
    def grouped(cls, owners: Integer[Tensor, " m"], items: Integer[Tensor, " m"], count: int) -> Ragged:
        """Items put into the lists 0..count-1 that `owners` names, in their order."""
        if bool((owners.diff() < 0).any()):
            owners, order = torch.sort(owners, stable=True)
            items = items[order]
        return cls(_offsets(owners, count), items)

    @classmethod
    def distinct(cls, owners: Integer[Tensor, " m"], items: Integer[Tensor, " m"], count: int) -> Ragged:
        """As `grouped`, every list ascending and without repetition."""
        bits = int(items.max()).bit_length() if len(items) else 0
        return cls.from_keys((owners.long() << bits) | items, bits, count)

    @classmethod
    def from_keys(cls, keys: Integer[Tensor, " m"], bits: int, count: int) -> Ragged:
        """As `distinct`, of the numbers owner * 2^bits + item, which are sorted in place."""
        keys = sort_keys(keys)
        fresh = torch.ones(len(keys), dtype=torch.bool, device=keys.device)
        torch.ne(keys[1:], keys[:-1], out=fresh[1:])
        keys = keys[fresh]
        return cls(_offsets(keys >> bits, count), keys.bitwise_and_((1 << bits) - 1))

    def part(self, start: int, stop: int) -> Ragged:
        """The lists start..stop-1."""
        offsets = self.offsets[start : stop + 1]
        return Ragged(offsets - offsets[0], self.items[int(offsets[0]) : int(offsets[-1])])

    def take(self, lists: Integer[Tensor, " n"]) -> tuple[Integer[Tensor, " m"], Integer[Tensor, " m"]]:
        """The named lists end to end: for every item its position in `lists`, and the item."""
        lists = lists.long()
        lengths, starts = self.lengths[lists], self.offsets[lists]
        total = int(lengths.sum())
        which = torch.repeat_interleave(lengths, output_size=total)
        shift = starts - (torch.cumsum(lengths, 0) - lengths)
        return which, self.items[torch.arange(total, device=self.items.device) + shift[which]]

    def mean(self, values: Float[Tensor, "v c"]) -> Float[Tensor, "lists c"]:
        """Mean of `values` over the items of every list."""
        total = values.new_zeros(len(self), values.shape[1])
        total.index_add_(0, self.owners, values[self.items])
        return total / self.lengths[:, None]

    def first_largest(self, scores: Float[Tensor, " m"]) -> Integer[Tensor, " lists"]:
        """Position in `items` of the largest score of every list; of several, the first."""
        best = scores.new_full((len(self),), -torch.inf).scatter_reduce_(0, self.owners, scores, "amax")
        place = torch.arange(len(self.items), device=scores.device)
        place = torch.where(scores == best[self.owners], place, len(self.items))
        first = torch.full((len(self),), len(self.items), device=scores.device)
        return first.scatter_reduce_(0, self.owners, place, "amin")


def _offsets(owners: Tensor, count: int) -> Tensor:
    lengths = torch.bincount(owners, minlength=count)
    return torch.cat([lengths.new_zeros(1), torch.cumsum(lengths, 0)])


def sort_keys(keys: Integer[Tensor, " m"]) -> Integer[Tensor, " m"]:
    """Ascending keys. On the CPU NumPy sorts them in place, several times as fast as torch."""
    if keys.device.type == "cpu":
        keys.numpy().sort()
        return keys
    return torch.sort(keys).values


def rings(points: Float[Tensor, "v d"], polygons: Ragged) -> Ragged:
    """Vertices of flat convex polygons, put in the order in which one walks around each.

    By angle around the mean, in a basis of the polygon's plane: towards the vertex farthest from the mean, and
    towards the vertex farthest from that line. In 2-D counterclockwise.
    """
    arms = points[polygons.items] - polygons.mean(points)[polygons.owners]
    first = unit(arms[polygons.first_largest(arms.square().sum(1))])[polygons.owners]
    along = (arms * first).sum(1)
    rest = arms - along[:, None] * first
    second = unit(rest[polygons.first_largest(rest.square().sum(1))])
    if points.shape[1] == 2:
        second = torch.stack([-first[polygons.offsets[:-1], 1], first[polygons.offsets[:-1], 0]], 1)
    angle = torch.atan2((arms * second[polygons.owners]).sum(1), along)
    by_angle = torch.argsort(angle)
    order = by_angle[torch.sort(polygons.owners[by_angle], stable=True).indices]
    return Ragged(polygons.offsets, polygons.items[order])


def unit(vectors: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    """Vectors of length 1 in the same directions; zeros stay."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(torch.finfo(vectors.dtype).tiny)
