"""Cells of NAS-Bench-101 as records: the paper's first training stage.

Nothing is traced: a cell's record is written down directly, which takes well under a millisecond, and `build`
makes the network of it.

Source: 1902.09635, sec. 2 (edges out of the input are 1x1 projections, inner vertices add what flows in, the output
joins its sources and adds the projected input).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from visus.errors import InputError
from visus.methods.gptnas.model.records import SOURCE, Architecture, Layer, Setting, Size
from visus.methods.gptnas.model.tokens import Vocabulary


@runtime_checkable
class CellLike(Protocol):
    """A cell as a graph; `visus.data.corpora.nasbench101.Cell` is one."""

    @property
    def adjacency(self) -> Sequence[Sequence[int]]: ...
    @property
    def operations(self) -> Sequence[str]: ...
    @property
    def validation(self) -> float: ...


def vertex_channels(in_channels: int, out_channels: int, adjacency: Sequence[Sequence[int]]) -> list[int]:
    """Channels of every vertex of a cell.

    The output's channels are shared equally among the vertices that feed it, the first ones taking the rest;
    every other vertex has as many as the widest vertex it feeds.

    >>> vertex_channels(8, 9, [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    [8, 5, 4, 9]
    """
    last = len(adjacency) - 1
    channels = [in_channels, *[0] * (last - 1), out_channels]
    feeding = [v for v in range(1, last) if adjacency[v][last]]
    for place, vertex in enumerate(feeding):
        channels[vertex] = out_channels // len(feeding) + (place < out_channels % len(feeding))
    for vertex in range(last - 1, 0, -1):
        if not adjacency[vertex][last]:
            fed = [channels[w] for w in range(vertex + 1, last) if adjacency[vertex][w]]
            channels[vertex] = max(fed, default=0)
    return channels


def cell_architecture(
    adjacency: Sequence[Sequence[int]],
    operations: Sequence[str],
    *,
    name: str = "cell",
    channels: int = 128,
    side: int = 32,
    stacks: int = 3,
    cells: int = 3,
    num_classes: int = 10,
) -> Architecture:
    """The network of a cell: stem, `stacks` of `cells` cells, global mean, classifier.

    A stack has twice the channels of the one before; a 2x2 maximum halves the image between them. The defaults
    are those of NAS-Bench-101.

    Raises
    ------
    InputError : the matrix is no cell, or names an unknown operation.
    """
    _check_cell(adjacency, operations)
    draw = _Drawing()
    x = draw.conv(SOURCE, (3, side, side), channels, 3)
    for stack in range(stacks):
        if stack:
            x = draw.pool(x, kernel=2, stride=2, padding=0)
        for _ in range(cells):
            x = draw.cell(x, channels * 2**stack, adjacency, operations)
    x = draw.other("mean", [x], draw.size(x)[:1], dims=(2, 3))
    draw.add(family="fc", inputs=(x,), out_size=(num_classes,), bias_used=True)
    return Architecture(name=name, input_size=(3, side, side), layers=tuple(draw.layers))


def cell_corpus(
    cells: Iterable[CellLike], vocabulary: Vocabulary | None = None, *, threshold: float = 0.9
) -> tuple[list[list[int]], Vocabulary]:
    """Sentences of the cells whose validation accuracy is at least `threshold`, and the vocabulary they are in.

    Each sentence is a network with one cell; without a vocabulary one is fitted on them.

    Paper: 2305.05351, sec. IV-A keeps the 295,889 of 423,624 cells with 90 % or more.
    Differs: there it is not said how many of the nine cells of a network are written; here one, as they repeat.
    """
    kept = (cell for cell in cells if cell.validation >= threshold)
    networks = (cell_architecture(cell.adjacency, cell.operations, stacks=1, cells=1) for cell in kept)
    if vocabulary is not None:
        return [vocabulary.sentence(network) for network in networks], vocabulary
    known = list(networks)
    vocabulary = Vocabulary.fit(known)
    return [vocabulary.sentence(network) for network in known], vocabulary


class _Drawing:
    """Layers written one after the other; methods give the id of what they wrote."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.source_size: Size = ()

    def size(self, source: int) -> Size:
        return self.source_size if source == SOURCE else self.layers[source].out_size

    def add(self, **fields: Any) -> int:
        place = len(self.layers)
        self.layers.append(Layer(id=place, in_size=self.size(fields["inputs"][0]), **fields))
        return place

    def other(self, name: str, inputs: Sequence[int], out_size: Size, **value: Setting) -> int:
        settings = tuple(sorted(value.items()))
        return self.add(family="other", name=name, inputs=tuple(inputs), out_size=out_size, value=settings)

    def conv(self, x: int, size: Size, channels: int, kernel: int) -> int:
        """Convolution, batch normalization, ReLU; the image keeps its size."""
        if x == SOURCE:
            self.source_size = size
        out = (channels, *size[1:])
        options = {
            "kernel": (kernel,) * 2,
            "stride": (1, 1),
            "padding": (kernel // 2,) * 4,
            "dilation": (1, 1),
        }
        x = self.add(family="conv", inputs=(x,), out_size=out, groups=1, bias_used=False, **options)
        x = self.other("BatchNorm2d", [x], out, parameters=2 * channels)
        return self.other("ReLU", [x], out)

    def pool(self, x: int, *, kernel: int, stride: int, padding: int) -> int:
        channels, height, width = self.size(x)
        options = {"kernel": (kernel,) * 2, "stride": (stride,) * 2, "dilation": (1, 1)}
        out = (channels, height // stride, width // stride)
        return self.add(
            family="pool", type="MAX", inputs=(x,), out_size=out, padding=(padding,) * 4, **options
        )

    def cell(
        self, x: int, out_channels: int, adjacency: Sequence[Sequence[int]], operations: Sequence[str]
    ) -> int:
        size, last = self.size(x), len(operations) - 1
        channels = vertex_channels(size[0], out_channels, adjacency)
        made = {0: x}
        for vertex in range(1, last):
            flowing = [
                self._cut(made[source], channels[vertex])
                for source in range(1, vertex)
                if adjacency[source][vertex]
            ]
            if adjacency[0][vertex]:
                flowing.append(self.conv(x, size, channels[vertex], 1))
            made[vertex] = self._operate(operations[vertex], self._sum(flowing), channels[vertex])
        ends = [made[vertex] for vertex in range(1, last) if adjacency[vertex][last]]
        if not ends:
            return self.conv(x, size, out_channels, 1)
        joined = ends[0]
        if len(ends) > 1:
            joined = self.other("cat", ends, (out_channels, *size[1:]), dim=1)
        if adjacency[0][last]:
            joined = self._sum([joined, self.conv(x, size, out_channels, 1)])
        return joined

    def _operate(self, operation: str, x: int, channels: int) -> int:
        if operation == "maxpool3x3":
            return self.pool(x, kernel=3, stride=1, padding=1)
        return self.conv(x, self.size(x), channels, 1 if operation == "conv1x1-bn-relu" else 3)

    def _cut(self, x: int, channels: int) -> int:
        """The first channels of a vertex that has more."""
        have, *rest = self.size(x)
        return (
            x
            if have == channels
            else self.other("slice", [x], (channels, *rest), dim=1, start=0, stop=channels)
        )

    def _sum(self, terms: Sequence[int]) -> int:
        total = terms[0]
        for term in terms[1:]:
            total = self.other("add", [total, term], self.size(total))
        return total


def _check_cell(adjacency: Sequence[Sequence[int]], operations: Sequence[str]) -> None:
    """Whether every vertex lies on a way from the input to the output."""
    size = len(operations)
    inner = {"conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"}
    square = size > 1 and len(adjacency) == size and all(len(row) == size for row in adjacency)
    if not square or any(adjacency[i][j] for i in range(size) for j in range(i + 1)):
        raise InputError(f"is no upper triangular {size} x {size} matrix", field="adjacency")
    unknown = sorted(set(operations[1:-1]) - inner)
    if unknown:
        raise InputError(f"are {unknown}", field="operations", remedy=f"known: {', '.join(sorted(inner))}")
    for vertex in range(size):
        enters = vertex == 0 or any(adjacency[i][vertex] for i in range(vertex))
        leaves = vertex == size - 1 or any(adjacency[vertex][vertex + 1 :])
        if not enters or not leaves:
            raise InputError(
                f"leaves vertex {vertex} unconnected", field="adjacency", remedy="take the vertex out"
            )
