"""NAS-Bench-Macro: 6,561 networks of eight layers, each trained three times on CIFAR-10.

The published JSON holds {"22212220": {"test_acc": [three runs], "mean_acc", "params", "flops"}, ...}. Keys that
differ only in where a stage leaves layers out stand for one network and have one set of numbers.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.corpora.architecture_table import ArchitectureTable
from visus.data.formats.picture import present
from visus.errors import InputError

LAYERS = ("identity", "mb3_k3", "mb6_k5")
"""Skip the layer; inverted residual of expansion 3 and kernel 3; of expansion 6 and kernel 5."""
LENGTH = 8
NETWORKS = len(LAYERS) ** LENGTH
RUNS = 3
REMEDY = "give data/nas-bench-macro_cifar10.json of the repository xiusu/NAS-Bench-Macro"


def load_nasbench_macro(path: str | Path, *, run: int = 0) -> ArchitectureTable:
    """Fitness is the accuracy of one training run (`run`), the score the mean of the other two.

    Columns: mean_acc (all runs) [%], params, flops.

    Raises
    ------
    InputError : no JSON, other networks than the 6,561, or numbers that are not finite.
    """
    path = present(path)
    if run not in range(RUNS):
        raise InputError(f"is {run}", field="run", remedy="choose 0, 1 or 2")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"is no JSON: {error}", file=path, remedy=REMEDY) from None
    if not isinstance(content, dict) or len(content) != NETWORKS:
        found = len(content) if isinstance(content, dict) else "no object of"
        raise InputError(f"holds {found} networks, expected {NETWORKS}", file=path, remedy=REMEDY)
    accuracies = np.empty((NETWORKS, RUNS))
    columns = {name: np.empty(NETWORKS) for name in ("mean_acc", "params", "flops")}
    for key, entry in content.items():
        if not re.fullmatch(r"[0-2]{8}", key):
            raise InputError(f"{key!r} is not eight digits from 0 to 2", file=path)
        row = int(key, base=len(LAYERS))
        accuracies[row] = _numbers(entry, "test_acc", key, path, count=RUNS)
        for name, values in columns.items():
            values[row] = _numbers(entry, name, key, path)[0]
    return ArchitectureTable(
        name="nasbench-macro",
        symbols=LAYERS,
        length=LENGTH,
        fitness=accuracies[:, run].copy(),
        score=np.delete(accuracies, run, axis=1).mean(1),
        columns=columns,
    )


def _numbers(entry: Any, name: str, key: str, path: Path, *, count: int = 1) -> list[float]:
    value = entry.get(name) if isinstance(entry, dict) else None
    values: list[Any] = value if isinstance(value, list) else [value]
    plain = all(type(number) in (int, float) and math.isfinite(number) for number in values)
    if len(values) != count or not plain:
        problem = "is no finite number" if count == 1 else f"is no list of {count} finite numbers"
        raise InputError(problem, file=path, field=f"{key}, {name}")
    return values
