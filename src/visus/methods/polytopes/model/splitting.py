"""Taking a complex apart into sub-complexes that can be cut on their own, and putting the parts together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visus.engine.seeds import derive_seed
from visus.methods.polytopes.model.arrays import Array
from visus.methods.polytopes.model.cutting import Cutter, mix
from visus.methods.polytopes.model.lattice import Lattice, from_cutter


@dataclass
class Half:
    """A sub-complex and which points of the whole it has."""

    cutter: Cutter
    points: Array


def halve(cutter: Cutter, path: str) -> tuple[Half, Half]:
    """Two sub-complexes of half the cells each, apart along the axis in which the complex is longest.

    The faces they share get keys, unique if `path` is, by which `join` finds them again after any cutting.
    """
    arrays = cutter.arrays
    corner = _corners(cutter)
    low, high = arrays.extremes(corner)
    axis = int((high - low).argmax())
    order = corner[axis].argsort() + 1
    closures = []
    for cells in (order[: len(order) // 2], order[len(order) // 2 :]):
        mask = arrays.zeros(cutter.num_cells + 1, "bool")
        mask[cells] = True
        closures.append(_closure(cutter, mask))
    salt = derive_seed(0, "shared faces", path)
    keys = []
    for k, (one, two) in enumerate(zip(closures[0][:-1], closures[1][:-1], strict=True)):
        old = arrays.zeros(len(one), "int64")
        if cutter.keys is not None:
            old[:] = cutter.keys[k].view
        shared = arrays.positions(one & two & (old == 0))
        old[shared] = mix((shared + 1) * (cutter.dim + 1) + k, salt)
        keys.append(old)
    first, second = (_part(cutter, closure, keys) for closure in closures)
    return first, second


def _corners(cutter: Cutter) -> Array:
    """(d, cells) a vertex of each cell."""
    arrays, table = cutter.arrays, cutter.above[cutter.dim].view
    places = cutter.points.view[:, cutter.some_vertex(cutter.dim - 1)]
    corner = arrays.zeros((cutter.dim, cutter.num_cells + 1), "float64")
    for row in table:
        corner[:, row] = places
    return corner[:, 1:]


def _closure(cutter: Cutter, cells: Array) -> list[Array]:
    """Masks of the faces of all dimensions 0..d that belong to some cells."""
    arrays = cutter.arrays
    masks = [cells]
    for k in range(cutter.dim, 1, -1):
        table = cutter.above[k].view
        mask = arrays.zeros(table.shape[1], "bool")
        for row in table:
            mask |= arrays.take(masks[-1], row)
        masks.append(mask)
    mask = arrays.zeros(cutter.points.size, "bool")
    mask[cutter.ends.view[:, arrays.positions(masks[-1])].reshape(-1)] = True
    masks.append(mask)
    return masks[::-1]


def _part(cutter: Cutter, masks: list[Array], keys: list[Array]) -> Half:
    """The sub-complex of the faces in `masks`."""
    arrays = cutter.arrays
    for mask in masks[2:]:
        mask[0] = True  # "no face" is part of every table
    kept = [arrays.positions(mask) for mask in masks]
    number = []
    for mask, faces in zip(masks, kept, strict=True):
        ids = arrays.zeros(len(mask), "int32")
        ids[faces] = arrays.arange(0, len(faces))
        number.append(ids)

    def renumbered(table: Array, k: int, faces: Array) -> Array:
        part = table[:, faces]
        return arrays.take(number[k], part.reshape(-1)).reshape(part.shape)

    part = Cutter(
        arrays,
        arrays.contiguous(cutter.points.view[:, kept[0]]),
        renumbered(cutter.ends.view, 0, kept[1]),
        {k: renumbered(store.view, k, kept[k - 1]) for k, store in cutter.above.items()},
        {k: renumbered(store.view[None], 0, kept[k])[0] for k, store in cutter.vertex.items()},
        cutter.wall.view[kept[cutter.dim - 1]],
        len(kept[-1]) - 1,
        [key[faces] for key, faces in zip(keys, kept, strict=False)],
    )
    return Half(part, kept[0])


@dataclass
class Leaf:
    """A finished sub-complex: its lattice, the keys of its faces by dimension 0..d-1, and data of points and cells."""

    lattice: Lattice
    keys: list[Tensor] | None
    outputs: Tensor
    patterns: Tensor

    @classmethod
    def of(cls, cutter: Cutter, outputs: Tensor, patterns: Tensor) -> Leaf:
        """The plain form of a cutter that is done."""
        plain = None
        if cutter.keys is not None:
            found = (cutter.arrays.tensor(keys.view) for keys in cutter.keys)
            plain = [keys[int(k > 1) :].clone() for k, keys in enumerate(found)]
        return cls(from_cutter(cutter), plain, outputs, patterns)

    @property
    def bytes(self) -> int:
        """Memory of the tensors."""
        keys = sum(key.nbytes for key in self.keys or ())
        return self.lattice.bytes + keys + self.outputs.nbytes + self.patterns.nbytes


def join(leaves: Sequence[Leaf]) -> Leaf:
    """One complex of all parts; faces of equal key become one."""
    if len(leaves) == 1 and leaves[0].keys is None:
        return leaves[0]
    dim = leaves[0].lattice.dim
    numbers: list[list[Tensor]] = []
    owned: list[list[Tensor]] = []
    for k in range(dim):
        found = [_keys(leaf, k) for leaf in leaves]
        sizes = [len(part) for part in found]
        number, own = _unify(torch.cat(found))
        numbers.append(list(number.split(sizes)))
        owned.append(list(own.split(sizes)))
    starts = [0]
    for leaf in leaves:
        starts.append(starts[-1] + leaf.lattice.num_cells)

    def ordered(k: int, parts: Sequence[Tensor]) -> Tensor:
        ids = torch.cat([n[o] for n, o in zip(numbers[k], owned[k], strict=True)])
        data = torch.cat([part[o] for part, o in zip(parts, owned[k], strict=True)])
        result = torch.empty_like(data)
        result[ids] = data
        return result

    lattices = [leaf.lattice for leaf in leaves]
    edges = [n[part.edges.long()].int() for n, part in zip(numbers[0], lattices, strict=True)]
    rows = []
    for k in range(2, dim + 1):
        parts = []
        for leaf, part in enumerate(lattices):
            face, side = part.rows[k - 2].long().unbind(1)
            side = numbers[k - 1][leaf][side]
            if k == dim:
                face = face + starts[leaf]
            else:
                mine = owned[k][leaf][face]
                face, side = numbers[k][leaf][face[mine]], side[mine]
            parts.append(torch.stack([face.int(), side.int()], 1))
        rows.append(torch.cat(parts))
    whole = Lattice(
        ordered(0, [part.points for part in lattices]),
        ordered(1, edges),
        rows,
        ordered(dim - 1, [part.wall for part in lattices]),
    )
    outputs = ordered(0, [leaf.outputs for leaf in leaves])
    return Leaf(whole, None, outputs, torch.cat([leaf.patterns for leaf in leaves]))


def _keys(leaf: Leaf, k: int) -> Tensor:
    if leaf.keys is not None:
        return leaf.keys[k]
    return torch.zeros(leaf.lattice.f_vector[k], dtype=torch.int64, device=leaf.lattice.device)


def _unify(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers under which faces of equal key (other than 0) are one, and which face of each number comes first."""
    named = torch.nonzero(keys)[:, 0]
    own = torch.ones(len(keys), dtype=torch.bool, device=keys.device)
    distinct, group = keys.index_select(0, named).unique(return_inverse=True)
    first = torch.full_like(distinct, len(keys)).scatter_reduce_(0, group, named, "amin")
    own[named] = first[group] == named
    number = own.cumsum(0) - 1
    number[named] = number[first[group]]
    return number, own
