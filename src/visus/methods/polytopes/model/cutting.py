"""Cutting a face lattice by one hyperplane after the other, at a cost set by the few faces that are hit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from visus.errors import VisusError
from visus.methods.polytopes.model.arrays import Array, Arrays
from visus.methods.polytopes.model.growing import Growing


class Inconsistent(VisusError):
    """The signs at the points cannot be those of a hyperplane: rounding is as large as the faces themselves."""


@dataclass
class Hits:
    """What one hyperplane does to the faces of one dimension k.

    `touched` faces contain a point on the hyperplane (`mark` is one, per touched face); `mask` marks them among
    all. `split` ones have points above and below it (`split_mark` are their marks), `flat` ones neither. `high` and
    `low` tell which touched faces have points above and below; None if all have both. `sign` is the side of some
    vertex of every face. `moved` holds the places in the table `above[k]`, as a vector, whose entry passes from a
    split face to its part below.
    """

    touched: Array
    mark: Array
    mask: Array
    split: Array
    split_mark: Array
    flat: Array
    high: Array = None
    low: Array = None
    sign: Array = None
    moved: Array = None


class Functionals:
    """Functionals waiting to cut: their values at all points, kept up to date as points are born.

    Parameters
    ----------
    arrays : where they live.
    values : (m, f0). Rows that do not change sign are dropped: they never will.
    names : one number per row, under which the cut enters the keys of the faces.
    """

    def __init__(self, arrays: Arrays, values: Array, names: list[int]) -> None:
        kept = list(range(len(names)))
        if len(names):
            low, high = arrays.extremes(values)
            kept = arrays.positions((low < 0) & (high > 0)).tolist()
        self._arrays = arrays
        self._rows = Growing(arrays, values if len(kept) == len(names) else values[kept])
        self._names = [names[row] for row in kept]
        self._done = 0

    def __len__(self) -> int:
        return len(self._names) - self._done

    def at(self, points: Array) -> Functionals:
        """What is left to do, at some of the points."""
        values = self._arrays.contiguous(self._rows.view[self._done :][:, points])
        return Functionals(self._arrays, values, self._names[self._done :])

    def pop(self) -> tuple[Array, int]:
        """Values and name of the next functional."""
        self._done += 1
        return self._rows.view[self._done - 1], self._names[self._done - 1]

    def interpolate(self, top: Array, bottom: Array, weight: Array) -> None:
        """Values of what is left at points born between others."""
        between(self._rows, self._done, top, bottom, weight)


class Cutter:
    """A lattice in the form that is fast to cut.

    Incidences are kept upwards: column g of the table `above[k]` lists the k-faces that the (k-1)-face g bounds. In
    general position it has 2 (d - k + 1) rows, and one gather per row finds all that a hyperplane hits. From
    dimension 2 on faces are counted from 1: 0 means "no face". `vertex[k]` is some vertex of each k-face: the side
    on which an untouched face lies is the side of that vertex.

    A split face keeps its number for its part above; the part below, its child, is appended. `keys`, if given,
    name faces (0: nameless) independently of their numbers: a face that two lattices share keeps equal keys in both
    when both are cut by the same functionals in the same order.
    """

    def __init__(
        self,
        arrays: Arrays,
        points: Array,
        ends: Array,
        above: dict[int, Array],
        vertex: dict[int, Array],
        wall: Array,
        cells: int,
        keys: list[Array] | None = None,
    ) -> None:
        self.arrays, self.dim, self.num_cells = arrays, len(points), cells
        self.points, self.ends, self.wall = (Growing(arrays, part) for part in (points, ends, wall))
        self.above = {k: Growing(arrays, table) for k, table in above.items()}
        self.vertex = {k: Growing(arrays, ids) for k, ids in vertex.items()}
        self.keys = None if keys is None else [Growing(arrays, part) for part in keys]
        self._numbers = {k: arrays.zeros(0, "int32") for k in range(1, self.dim + 1)}

    @property
    def bytes(self) -> int:
        """Memory held."""
        parts = (self.points, self.ends, self.wall, *self.above.values(), *self.vertex.values())
        return sum(part.bytes for part in (*parts, *(self.keys or ())))

    @property
    def sizes(self) -> list[int]:
        """Length of the tables of dimension 0..d (from 2 on one more than there are faces)."""
        middle = [self.above[k + 1].size for k in range(2, self.dim)]
        return [self.points.size, self.ends.size, *middle, self.num_cells + 1]

    def some_vertex(self, k: int) -> Array:
        """A vertex of every k-face, 0 < k < d."""
        return self.ends.view[0] if k == 1 else self.vertex[k].view

    def cut(self, waiting: Functionals, *, tolerance: float, limit: float = math.inf) -> None:
        """Cut by functionals, one after the other, until all are done or more than `limit` bytes are held.

        A point with |value| <= tolerance * max |value| counts as on the hyperplane.
        """
        while len(waiting) and self.bytes <= limit:
            z, name = waiting.pop()
            allowed = tolerance
            while not self._try_cut(z, name, waiting, allowed):
                if allowed == 0:
                    raise Inconsistent("float64 cannot tell faces apart any more: use a smaller box")
                allowed = allowed / 100 if allowed > 1e-16 else 0.0

    def _try_cut(self, z: Array, name: int, waiting: Functionals, tolerance: float) -> bool:
        """Cut once; False (and nothing changed) when faces are smaller than the tolerance."""
        low, high = (float(x) for x in self.arrays.extremes(z))
        limit = tolerance * max(-low, high)
        if low >= -limit or high <= limit:
            return True
        side, sizes = self.arrays.signs(z, limit), self.sizes
        generic = bool(side.all())
        try:
            hits = {1: self._hit_edges(side, generic)}
            for k in range(2, self.dim + 1):
                hits[k] = self._hit_faces(k, hits[k - 1], sizes[k], generic)
                if k < self.dim:
                    hits[k].sign = self.arrays.take(side, self.vertex[k].view)
            self._number_split(hits, generic)
            born = self._born_edges(hits, side, generic)
        except Inconsistent:
            return False
        ridges = {} if generic else {k: self._ridges(k, hits) for k in range(3, self.dim + 1)}
        counts = {k: len(hit.split) for k, hit in hits.items()}
        self._split_edges(hits[1].split, z, waiting)
        self.ends.append(born)
        for k in range(2, self.dim + 1):
            self._split_faces(k, hits, sizes)
        for k, (ridge, owner) in ridges.items():
            self._link(k - 1, ridge, owner + (sizes[k - 1] + counts[k - 1] - 1))
        self._extend_records(hits, name)
        self.num_cells += counts[self.dim]
        return True

    # What is hit

    def _numbering(self, k: int, faces: Array, size: int) -> Array:
        """Scratch: 1, 2, ... at `faces`, 0 at 0, anything elsewhere."""
        if len(self._numbers[k]) < size:
            self._numbers[k] = self.arrays.zeros(int(size * 1.5) + 64, "int32")
        number = self._numbers[k]
        number[0] = 0
        number[faces] = self.arrays.arange(1, len(faces))
        return number

    def _hit_edges(self, side: Array, generic: bool) -> Hits:
        arrays, (first, last) = self.arrays, self.ends.view
        one, two = arrays.take(side, first), arrays.take(side, last)
        mask = one != two if generic else one * two <= 0
        touched = arrays.positions(mask)
        if generic:
            fresh = arrays.arange(self.points.size, len(touched))
            return Hits(touched, fresh, mask, touched, fresh, touched[:0], sign=one)
        self._numbering(1, touched, len(mask))
        high, low = (arrays.maximum(one, two) > 0)[touched], (arrays.minimum(one, two) < 0)[touched]
        mark = arrays.where(one == 0, first, last)[touched]
        both = arrays.positions(high & low)
        mark[both] = arrays.arange(self.points.size, len(both))
        hits = self._hits(touched, mark, mask, high, low)
        hits.sign = one
        return hits

    def _hits(self, touched: Array, mark: Array, mask: Array, high: Array, low: Array) -> Hits:
        both, neither = (self.arrays.positions(part) for part in (high & low, ~(high | low)))
        return Hits(touched, mark, mask, touched[both], mark[both], touched[neither], high, low)

    def _hit_faces(self, k: int, below: Hits, size: int, generic: bool) -> Hits:
        """From what is hit one dimension below: the k-faces around it, and on which side their boundary lies."""
        arrays, table = self.arrays, self.above[k]
        owners = table.view[:, below.touched].reshape(-1)
        mask = arrays.zeros(size, "bool")
        mask[owners] = True
        mask[0] = False
        touched = arrays.positions(mask)
        number = self._numbering(k, touched, size)
        mark = arrays.empty(len(touched) + 1, "int32")
        mark[arrays.take(number, owners)] = arrays.tile(below.mark, len(table.view))
        mark = mark[1:]
        if generic:
            passing = (below.sign < 0) & ~below.mask
            return Hits(
                touched, mark, mask, touched, mark, touched[:0], moved=self._places(table, mask, passing)
            )
        place = self._places(table, mask, None)
        column = place % table.stride
        sign, inside = below.sign[column], below.mask[column]
        high, low = sign > 0, sign < 0
        known = arrays.positions(inside)
        rank = self._numbers[k - 1][column[known]] - 1
        high[known], low[known] = below.high[rank], below.low[rank]
        owner = number[table.flat[place]] - 1
        owner_high, owner_low = (arrays.zeros(len(touched), "bool") for _ in range(2))
        owner_high[owner[high]] = True
        owner_low[owner[low]] = True
        split = (owner_high & owner_low)[owner]
        if bool((split & ~high & ~low).any()):
            raise Inconsistent("a facet of a split face lies on the hyperplane")
        hits = self._hits(touched, mark, mask, owner_high, owner_low)
        hits.moved = place[split & low & ~high]
        return hits

    def _places(self, table: Growing, mask: Array, chosen: Array | None) -> Array:
        """Where a table holds one of the faces in `mask`, in the chosen columns: places in the table as a vector."""
        found = []
        for row, entries in enumerate(table.view):
            here = self.arrays.take(mask, entries)
            found.append(
                self.arrays.positions(here if chosen is None else here & chosen) + row * table.stride
            )
        return self.arrays.concat(found)

    def _number_split(self, hits: dict[int, Hits], generic: bool) -> None:
        """From here on the scratch numbers count split faces; 0 stands for a touched face that is not split."""
        if generic:
            return
        for k, hit in hits.items():
            self._numbers[k][hit.touched] = 0
            self._numbering(k, hit.split, 0)

    def _born_edges(self, hits: dict[int, Hits], side: Array, generic: bool) -> Array:
        """The edge in which each split 2-face meets the hyperplane: its two ends (2, n)."""
        arrays, table, edges = self.arrays, self.above[2].view, hits[1]
        face = arrays.take(self._numbers[2], table[:, edges.split].reshape(-1))
        point = arrays.tile(edges.split_mark, len(table))
        if not generic:
            ends = self.ends.view[:, edges.touched].reshape(-1)
            on = arrays.positions(arrays.take(side, ends) == 0)
            owners = table[:, edges.touched[on % len(edges.touched)]].reshape(-1)
            code = arrays.cast(arrays.take(self._numbers[2], owners), "int64") * len(side)
            code = arrays.unique(code + arrays.tile(ends[on], len(table)))
            face = arrays.concat([face, arrays.cast(code // len(side), "int32")])
            point = arrays.concat([point, arrays.cast(code % len(side), "int32")])
        count = len(hits[2].split) + 1
        if bool((arrays.count(face, count)[1:] != 2).any()):
            raise Inconsistent("a polygon is cut in other than two points")
        # Both points of a face are written to one place; the one that is not there afterwards is the other.
        one, two = (arrays.empty(count, "int32") for _ in range(2))
        one[face] = point
        rest = arrays.positions(arrays.take(one, face) != point)
        two[face[rest]] = point[rest]
        return arrays.stack([one[1:], two[1:]])

    def _ridges(self, k: int, hits: dict[int, Hits]) -> tuple[Array, Array]:
        """Old (k-2)-faces that bound the (k-1)-face born in a split k-face: (ridges, numbers of the k-faces)."""
        arrays = self.arrays
        ridge = owner = hits[k - 2].flat
        for level in (k - 1, k):
            table = self.above[level].view
            owner = table[:, owner].reshape(-1)
            known = arrays.positions(owner > 0)
            owner, ridge = owner[known], arrays.tile(ridge, len(table))[known]
        number = arrays.take(self._numbers[k], owner)
        code = ridge * self.sizes[k] + number
        code = arrays.unique(code[arrays.positions(number > 0)])
        return code // self.sizes[k], code % self.sizes[k]

    # What changes

    def _split_edges(self, split: Array, z: Array, waiting: Functionals) -> None:
        """New points on the split edges, by interpolation, and the two parts of each edge."""
        arrays, count = self.arrays, len(split)
        ends = self.ends.view[:, split]
        swapped = arrays.take(z, ends[0]) < 0
        top, bottom = arrays.where(swapped, ends[1], ends[0]), arrays.where(swapped, ends[0], ends[1])
        highest = arrays.take(z, top)
        weight = highest / (highest - arrays.take(z, bottom))
        fresh = arrays.arange(self.points.size, count)
        between(self.points, 0, top, bottom, weight)
        waiting.interpolate(top, bottom, weight)
        self.ends.view[0][split] = top
        self.ends.view[1][split] = fresh
        self.ends.append(arrays.stack([fresh, bottom]))

    def _split_faces(self, k: int, hits: dict[int, Hits], sizes: list[int]) -> None:
        """Incidences between k-faces and (k-1)-faces after the split of both."""
        arrays, table, number, split = self.arrays, self.above[k], self._numbers[k], hits[k].split
        moved = hits[k].moved
        table.flat[moved] = arrays.take(number, table.flat[moved]) + (sizes[k] - 1)
        children = self._renumber(table.view[:, hits[k - 1].split], number, sizes[k] - 1)
        parts = [arrays.cast(split, "int32")[None], arrays.arange(sizes[k], len(split))[None]]
        if k < self.dim:
            owners = self.above[k + 1].view[:, split]
            parts.append(self._renumber(owners, self._numbers[k + 1], sizes[k] + len(split) - 1))
        born = arrays.concat(parts)
        table.widen(len(born))
        for block in (children, born):
            room = table.extend(block.shape[1])
            room[: len(block)] = block
            room[len(block) :] = 0

    def _renumber(self, owners: Array, number: Array, offset: int) -> Array:
        """Scratch numbers of split faces, shifted; 0 stays 0."""
        ranks = self.arrays.take(number, owners.reshape(-1)).reshape(owners.shape)
        return (ranks + offset) * (ranks > 0)

    def _link(self, k: int, faces: Array, owners: Array) -> None:
        """Add k-faces `owners` to the columns `faces` (sorted, repeated as often as needed) of `above[k]`."""
        if not len(faces):
            return
        arrays, table = self.arrays, self.above[k]
        first = arrays.concat([faces[:1] == faces[:1], faces[1:] != faces[:-1]])
        group = first.cumsum(0) - 1
        start = arrays.positions(first)
        rank = arrays.arange(0, len(faces)) - start[group]
        column = faces[start]
        entries = table.view[:, column]
        # Move the entries of each column to its top.
        used = (entries > 0).cumsum(0)
        packed = arrays.zeros(tuple(entries.shape), "int32")
        for row in range(len(entries)):
            filled = arrays.positions(entries[row] > 0)
            packed[used[row][filled] - 1, filled] = entries[row][filled]
        place = used[-1][group] + rank
        table.widen(int(place.max()) + 1)
        table.view[: len(packed), column] = packed
        table.view[place, faces] = arrays.cast(owners, "int32")

    def _extend_records(self, hits: dict[int, Hits], name: int) -> None:
        """A vertex of each new face; the walls of new facets; the keys."""
        arrays = self.arrays
        for k, vertex in self.vertex.items():
            vertex.view[hits[k].split] = hits[k].split_mark
            vertex.append(arrays.concat([hits[k].split_mark, hits[k + 1].split_mark]))
        inside = arrays.zeros(len(hits[self.dim].split), "int32") - 1
        self.wall.append(arrays.concat([self.wall.view[hits[self.dim - 1].split], inside]))
        if self.keys is None:
            return
        for k, keys in enumerate(self.keys):
            parts = [mix(keys.view[hits[k].split], 2 * name)] if k else []
            if k + 1 < self.dim:
                parts.append(mix(self.keys[k + 1].view[hits[k + 1].split], 2 * name + 1))
            else:
                parts.append(arrays.zeros(len(inside), "int64"))
            keys.append(arrays.concat(parts))


def between(table: Growing, first: int, top: Array, bottom: Array, weight: Array) -> None:
    """Append columns top + weight * (bottom - top), in the rows from `first` on; the others are given up."""
    rows = table.view[first:]
    start, step = rows[:, top], rows[:, bottom]
    step -= start
    step *= weight
    step += start
    table.extend(len(weight), first)[first:] = step


def mix(keys: Array, salt: int) -> Array:
    """New pseudo-random 64-bit keys from old ones; 0 stays 0 (multiplications and shifts as in splitmix64)."""
    mixed = (keys ^ (salt * 0x1E3779B97F4A7C15 & 0x7FFFFFFFFFFFFFFF)) * -0x40A7B892E31B1A47
    mixed = (mixed ^ (mixed >> 29)) * -0x6B2FB644ECCEEE15
    return (mixed ^ (mixed >> 32)) * (keys != 0)
