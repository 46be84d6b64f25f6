"""The census: every activation cell of a piecewise affine network in a box."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from visus.errors import InputError
from visus.methods.polytopes.model.cutting import Cutter, Functionals
from visus.methods.polytopes.model.lattice import Lattice, from_cutter, to_cutter
from visus.methods.polytopes.model.probe import Probe
from visus.methods.polytopes.model.splitting import Leaf, halve, join

if TYPE_CHECKING:
    from visus.methods.polytopes.model.complex import Complex
    from visus.methods.polytopes.model.simplices import Rule
    from visus.methods.polytopes.model.slices import Slice
    from visus.methods.polytopes.model.tally import Tally

    Found = Generator[tuple[Leaf | Tally, float], None, None]

Progress = Callable[[int, int], object]
"""Called with the cells found so far and an estimate of all."""
Box = tuple[float | Sequence[float] | Tensor, float | Sequence[float] | Tensor]

BLOCK = 16 * 2**20
"""Bytes of a sub-complex above which it is split: larger ones leave the cache, smaller ones are slowed by overhead."""
TASKS = 8
"""Sub-complexes per process, so that the processes end together."""
SEED = 2**20
"""Bytes of a sub-complex that is worth a process of its own."""
VALUES = 64 * 2**20
"""Bytes of functionals evaluated at a time."""


@dataclass
class Node:
    """A sub-complex on its way through the stages; `share` is its part of the whole work, by halving."""

    cutter: Cutter
    stage: int = 0
    columns: Tensor | None = None
    waiting: Functionals | None = None
    share: float = 1.0
    path: str = ""


@dataclass(frozen=True)
class Walk:
    """What does not change on the way: the network and the settings."""

    probe: Probe
    tolerance: float
    block: int
    rule: Rule | None = None
    """For histograms only: the triangulation rule. None: the complex itself is wanted."""

    def leaves(self, node: Node) -> Found:
        """The finished sub-complexes below a node with their shares, depth first: few are open at a time."""
        stack = [node]
        while stack:
            node = stack.pop()
            if self._advance(node):
                yield self._leaf(node.cutter), node.share
            else:
                stack.extend(self.split(node))

    def spread(self, node: Node, count: int) -> tuple[list[tuple[Leaf | Tally, float]], list[Node]]:
        """Finished leaves and at least `count` open nodes, widest first, if the complex is large enough."""
        done, open_nodes = [], [node]
        while open_nodes and len(open_nodes) < count:
            node = open_nodes.pop(0)
            if self._advance(node):
                done.append((self._leaf(node.cutter), node.share))
            else:
                open_nodes.extend(self.split(node))
        return done, open_nodes

    def split(self, node: Node) -> list[Node]:
        """Two nodes of half the cells."""
        nodes = []
        for side, half in enumerate(halve(node.cutter, node.path)):
            waiting = None if node.waiting is None else node.waiting.at(half.points)
            path = f"{node.path}{side}"
            nodes.append(replace(node, cutter=half.cutter, waiting=waiting, share=node.share / 2, path=path))
        return nodes

    def _advance(self, node: Node) -> bool:
        """Cut until all stages are done (True) or the sub-complex is too large (False)."""
        probe, cutter = self.probe, node.cutter
        while True:
            if node.waiting is not None and len(node.waiting):
                cutter.cut(node.waiting, tolerance=self.tolerance, limit=self.block)
            else:
                if node.columns is not None and not len(node.columns):
                    node.stage, node.columns = node.stage + 1, None
                if node.stage == len(probe.widths):
                    return True
            if cutter.bytes > self.block and cutter.num_cells > 1:
                return False
            if node.waiting is None or not len(node.waiting):
                self._refill(node)

    def _refill(self, node: Node) -> None:
        """Evaluate the next functionals of the stage at the points."""
        arrays = node.cutter.arrays
        points = arrays.tensor(node.cutter.points.view.T)
        width = self.probe.widths[node.stage]
        batch = max(1, VALUES // (8 * len(points)))
        if node.columns is None:
            every = torch.arange(width, device=points.device)
            node.columns = every if width <= batch else self.probe.changing(points, node.stage)
        chosen, node.columns = node.columns[:batch], node.columns[batch:]
        values = self.probe.functionals(points, node.stage, None if len(chosen) == width else chosen)
        assert values is not None
        first = 1 + sum(self.probe.widths[: node.stage])
        node.waiting = Functionals(arrays, arrays.array(values), (chosen + first).tolist())

    def _leaf(self, cutter: Cutter) -> Leaf | Tally:
        from visus.methods.polytopes.model.complex import Complex

        if self.rule is not None:
            lattice = from_cutter(cutter)
            none = torch.zeros((lattice.num_cells, 0), dtype=torch.uint8, device=lattice.device)
            return Complex(lattice, lattice.points[:, :0], none, num_signs=0).tally(self.rule)
        leaf = Leaf.of(cutter, self.probe.outputs(cutter.arrays.tensor(cutter.points.view.T)), torch.empty(0))
        leaf.patterns = self.probe.packed_patterns(interior_points(leaf.lattice))
        return leaf


def interior_points(lattice: Lattice) -> Tensor:
    """(n, d) a point inside each cell: a mean of its vertices, weighted by the number of flags at each."""
    # Coordinate after coordinate: adding up vectors is several times faster than adding up rows of a table.
    sums = [*lattice.points.t(), lattice.points.new_ones(len(lattice.points))]
    first, last = lattice.edges.t().contiguous()
    sums = [total.index_select(0, first) + total.index_select(0, last) for total in sums]
    for rows, count in zip(lattice.rows, lattice.f_vector[2:], strict=True):
        face, side = rows.t().contiguous()
        sums = [total.new_zeros(count).index_add_(0, face, total.index_select(0, side)) for total in sums]
    return torch.stack(sums[:-1], 1) / sums[-1][:, None]


def census(
    model: nn.Module,
    box: Box | None = None,
    *,
    dimension: int | None = None,
    slice: Slice | None = None,
    shape: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-12,
    workers: int = 1,
    memory_gb: float | None = None,
    progress: Progress | None = None,
) -> Complex:
    """All activation cells of a network in a box, exactly.

    Every stage of the network (see `Probe`) cuts the face lattice of the box by its units one after the other; at
    vertices the functionals are evaluated, on edges they are interpolated. No linear programs, no sampling; vertices
    on a hyperplane, repeated and vanishing units are handled. Two faces closer than `tolerance` (relative to the
    largest value of a functional) are one.

    Parameters
    ----------
    model : piecewise affine module from (v, ...) to (v, k). It is copied, in float64 and evaluation mode.
    box : (low, high), numbers or one per input dimension; [-1, 1] by default, that of the slice if there is one.
    dimension : of the input, if neither the box nor the first linear layer tells it.
    slice : look at a plane or 3-d flat of a high-dimensional input space; the box is in its coordinates.
    shape : of one input, when the model does not take vectors.
    device : where to compute.
    workers : processes; sub-complexes are cut apart from each other, the result is the same.
    memory_gb : refuse a complex that would need more.
    progress : called with the cells found so far and an estimate of all.

    Raises
    ------
    InputError : the box, the model or its weights cannot be used, or the memory would not do.

    >>> census(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).requires_grad_(False)).dim
    2
    """
    from visus.methods.polytopes.model.complex import Complex

    probe, root = _start(model, box, dimension, slice, shape, device)
    walk = Walk(probe, tolerance, BLOCK)
    leaves: list[Leaf] = []
    held = 0
    for leaf, done in _finished(walk, root, workers):
        leaves.append(leaf)
        held += leaf.bytes
        need = 2 * held / done / 1e9  # the parts and the whole exist together at the end
        if memory_gb is not None and need > memory_gb:
            raise InputError(
                f"would need about {need:.1f} GB, more than the {memory_gb:g} allowed",
                field="complex",
                remedy="use census_stream (histograms only), a smaller box or a larger memory_gb",
            )
        if progress is not None:
            found = sum(part.lattice.num_cells for part in leaves)
            progress(found, round(found / done))
    whole = join(leaves)
    leaves.clear()
    return Complex(whole.lattice, whole.outputs, whole.patterns, num_signs=sum(probe.widths), slice=slice)


def census_stream(
    model: nn.Module,
    box: Box | None = None,
    *,
    dimension: int | None = None,
    slice: Slice | None = None,
    shape: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    tolerance: float = 1e-12,
    workers: int = 1,
    memory_gb: float | None = None,
    progress: Progress | None = None,
    rule: Rule = "pull",
) -> Tally:
    """Histograms of the cells of a network in a box, for complexes of any size: nothing else is kept.

    Sub-complexes are enumerated depth first, counted and forgotten. Parameters as for `census`; `memory_gb` bounds
    the sub-complexes of one process, `rule` is that of the triangulation.
    """
    from visus.methods.polytopes.model.tally import Tally

    probe, root = _start(model, box, dimension, slice, shape, device)
    block = BLOCK if memory_gb is None else min(BLOCK, max(2**20, int(memory_gb * 1e9 / 16)))
    walk = Walk(probe, tolerance, block, rule)
    total = Tally(rule)
    for tally, done in _finished(walk, root, workers):
        total = total.merge(tally)
        if progress is not None:
            progress(total.num_cells, round(total.num_cells / done))
    return total


def _finished(walk: Walk, root: Node, workers: int) -> Iterator[tuple[Any, float]]:
    """What the walk makes of each sub-complex, and the share of the work that is done then."""
    done = 0.0
    with closing(_parallel(walk, root, workers) if workers > 1 else walk.leaves(root)) as results:
        for result, share in results:
            done += share
            yield result, done


def _parallel(walk: Walk, root: Node, workers: int) -> Found:
    """`Walk.leaves` with the open nodes spread over processes."""
    from joblib import Parallel, delayed

    finished, nodes = replace(walk, block=min(walk.block, SEED)).spread(root, workers * TASKS)
    yield from finished
    pool = Parallel(n_jobs=workers, return_as="generator_unordered")
    for results in cast(Any, pool(delayed(_work)(walk, node) for node in nodes)):
        yield from results


def _work(walk: Walk, node: Node) -> list[tuple[Any, float]]:
    return list(walk.leaves(node))


def _start(
    model: nn.Module,
    box: Box | None,
    dimension: int | None,
    slice: Slice | None,
    shape: Sequence[int] | None,
    device: torch.device | str,
) -> tuple[Probe, Node]:
    """The network ready to be asked, and the box, checked."""
    if slice is not None:
        if dimension not in (None, slice.dimension):
            raise InputError(
                f"is {dimension}, that of the slice {slice.dimension}",
                field="dimension",
                remedy="leave it out",
            )
        model, shape, dimension = nn.Sequential(slice, model), None, slice.dimension
        box = slice.box if box is None else box
    low, high = check_box((-1.0, 1.0) if box is None else box, dimension or _dimension(model, shape))
    if shape is not None and math.prod(shape) != len(low):
        raise InputError(f"is {tuple(shape)}, the box has {len(low)} dimensions", field="shape")
    probe = Probe(model, shape=shape, device=device)
    corners = torch.tensor([low, high], dtype=torch.float64, device=device)
    inner = torch.tensor([0.3, 0.5, 0.8], dtype=torch.float64, device=device)[:, None]
    probe.examine(torch.lerp(corners[0], corners[1], inner))
    return probe, Node(to_cutter(Lattice.box(low, high, device=device)))


def check_box(box: Box, dimension: int | None) -> tuple[list[float], list[float]]:
    """Lowest and highest corner of a box given as numbers or one number per dimension.

    >>> check_box((-1, [2.0, 3.0]), None)
    ([-1.0, -1.0], [2.0, 3.0])
    """
    try:
        ends = [torch.as_tensor(end, dtype=torch.float64).flatten().tolist() for end in box]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError("does not hold numbers", field="box", remedy="give (low, high)") from error
    if len(ends) != 2:
        raise InputError(f"has {len(ends)} parts", field="box", remedy="give (low, high)")
    sizes = {len(end) for end in ends} - {1}
    dimension = dimension or (sizes.pop() if len(sizes) == 1 else None)
    if dimension is None:
        raise InputError(
            "is not known", field="dimension", remedy="give dimension=, or a box with one value per axis"
        )
    if dimension < 2:
        raise InputError(
            "is 1, where cells are intervals",
            field="dimension",
            remedy="use a network of two inputs or more; add an input that it ignores",
        )
    if any(len(end) not in (1, dimension) for end in ends):
        raise InputError(
            f"has {max(len(end) for end in ends)} values per corner, the input has {dimension} dimensions",
            field="box",
            remedy="give numbers, or one value per input dimension",
        )
    low, high = (end * dimension if len(end) == 1 else end for end in ends)
    for axis, (a, b) in enumerate(zip(low, high, strict=True)):
        if not (math.isfinite(a) and math.isfinite(b)):
            raise InputError("is not finite", field=f"box, axis {axis}", remedy="give finite numbers")
        if not a < b:
            raise InputError(f"is empty: {a:g} to {b:g}", field=f"box, axis {axis}", remedy="give low < high")
    return low, high


def _dimension(model: nn.Module, shape: Sequence[int] | None) -> int | None:
    """Length of an input, as far as the shape or the first layer tells it."""
    if shape is not None:
        return math.prod(shape)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            return module.in_features
        if isinstance(module, (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase)):
            return None
    return None
