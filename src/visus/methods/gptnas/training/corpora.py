"""What a prior over blocks learns from: published networks, the user's models, cells of a benchmark."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from visus.errors import InputError
from visus.methods.gptnas.model.cells import cell_architecture
from visus.methods.gptnas.model.records import Architecture, Layer
from visus.methods.gptnas.model.tracing import trace
from visus.records import read_json

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable
    from visus.data.corpora.nasbench101 import Cell

RECORDS = (".json", ".txt", ".arctext")
MODELS = (*RECORDS, ".onnx")
REMEDY = "give ONNX files, or records that `visus gptnas trace` wrote; Python modules are not executed"
CHANNELS, SIDE = 16, 32
"""Of the images the operations of a cell are recorded on; tokens know no sizes."""


def read_model(path: Path, *, input_size: Sequence[int] | None = None) -> Architecture:
    """A model's file as a record: ONNX, or a record as text or JSON.

    Parameters
    ----------
    input_size : (C, H, W) for ONNX files that leave it open.

    Raises
    ------
    InputError : another kind of file, a broken one, or an operator that is not known; names the file.
    """
    if not path.exists():
        raise InputError("does not exist", file=path, remedy=REMEDY)
    if path.suffix.lower() not in MODELS:
        raise InputError("is no model that can be read", file=path, remedy=REMEDY)
    if path.suffix.lower() == ".onnx":
        return _from_onnx(path, input_size)
    if path.suffix.lower() == ".json":
        return Architecture.from_plain(read_json(path), file=str(path))
    try:
        return Architecture.from_text(path.read_text(encoding="utf-8"), file=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", file=path, remedy=REMEDY) from None


def read_models(folder: Path) -> list[Architecture]:
    """Every model in a folder and below it, in the order of the names.

    Raises
    ------
    InputError : no folder, nothing in it that can be read, or a broken file.
    """
    if not folder.is_dir():
        raise InputError("is not a folder", file=folder, remedy=REMEDY)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MODELS and path.is_file())
    if not files:
        raise InputError("holds no models", file=folder, remedy=REMEDY)
    return [read_model(path) for path in files]


def _from_onnx(path: Path, input_size: Sequence[int] | None) -> Architecture:
    from visus.data.formats.onnx_graph import read_onnx

    model = read_onnx(path)
    declared = input_size if input_size is not None else model.input_shape
    if declared is None or len(declared) != 3 or None in declared:
        raise InputError(
            f"leaves the size of its input open ({declared})",
            file=path,
            field="input",
            remedy="give the size of the pictures, as channels height width",
        )
    size = tuple(int(side) for side in declared if side is not None)
    try:
        return trace(model, size, name=path.stem)
    except InputError as error:
        raise InputError(error.problem, file=path, field=error.field, remedy=error.remedy) from None


# ---- sequences of layers ----------------------------------------------------------------------------------


def body(network: Architecture) -> Architecture:
    """A network without its classifier: up to the last layer that gives more than one position.

    What follows (the global pool, the linear layer) is not searched; the end of a sequence stands for it.
    """
    spread = [
        layer.id
        for layer in network.layers
        if len(layer.out_size) == 3 and layer.out_size[1] * layer.out_size[2] > 1
    ]
    if not spread:
        return network
    count = spread[-1] + 1
    spans = tuple(span for span in network.blocks if span[2] <= count)
    return replace(network, layers=network.layers[:count], blocks=spans)


def _conv(kernel: int) -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, bias=False)


@functools.cache
def operation_layers(name: str) -> tuple[Layer, ...]:
    """The layers of an operation of NAS-Bench-201; none for what computes nothing.

    >>> [layer.name or layer.family for layer in operation_layers("nor_conv_3x3")]
    ['ReLU', 'conv', 'BatchNorm2d']
    """
    with torch.device("meta"):
        norm = nn.BatchNorm2d(CHANNELS)
        made: Mapping[str, nn.Module | None] = {
            "none": None,
            "skip_connect": None,
            "nor_conv_1x1": nn.Sequential(nn.ReLU(), _conv(1), norm),
            "nor_conv_3x3": nn.Sequential(nn.ReLU(), _conv(3), norm),
            "avg_pool_3x3": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        }
    if name not in made:
        raise InputError(f"{name!r} is unknown", field="operation", remedy=f"one of {', '.join(made)}")
    module = made[name]
    return () if module is None else trace(module, (CHANNELS, SIDE, SIDE)).layers


def sequences_101(runs: Iterable[Cell], *, least: float = 0.9) -> list[tuple[Layer, ...]]:
    """The layers of each cell of NAS-Bench-101 whose mean validation accuracy over its runs is at least `least`.

    Each sequence is a network with one cell, without its classifier.

    Paper: 2305.05351, sec. IV-A (295,889 of 423,624 cells reach 90 %).
    """
    cells: dict[str, tuple[Cell, list[float]]] = {}
    for run in runs:
        cells.setdefault(run.hash, (run, []))[1].append(run.validation)
    return [
        body(cell_architecture(cell.adjacency, cell.operations, stacks=1, cells=1)).layers
        for cell, accuracies in cells.values()
        if sum(accuracies) / len(accuracies) >= least
    ]


def sequences_201(table: ArchitectureTable, architectures: Iterable[Sequence[int]]) -> list[list[Layer]]:
    """The layers of cells of NAS-Bench-201, edge by edge; cells without layers are left out."""
    kinds = [operation_layers(name) for name in table.symbols]
    found = [[layer for symbol in cell for layer in kinds[symbol]] for cell in architectures]
    return [layers for layers in found if layers]
