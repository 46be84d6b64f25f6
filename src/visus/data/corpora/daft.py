"""The HDF5 layout of DAFT: one group per scan with a hippocampus volume and a table row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from visus.data.formats.h5 import created, opened, read_dataset
from visus.data.image_table import ImageTable
from visus.errors import InputError

REGION, VOLUME = "Left-Hippocampus", "vol_with_bg"
ATTRIBUTES = ("RID", "VISCODE", "DX", "event", "time")


def load_daft(
    file: str | Path, *, target: str = "DX", region: str = REGION, volume: str = VOLUME
) -> ImageTable:
    """Volumes (n, 1, 64, 64, 64) with the table's columns as features and the subject `RID` as group.

    Layout: `/<id>/<region>/<volume>`, `/<id>/tabular` (one number per column, as measured), attributes RID,
    VISCODE, DX, event, time on `/<id>`; `/stats/tabular/columns` names the columns (`mean` and `stddev`
    beside it are not used: statistics come from the training rows of the split at hand). Scans come in the
    order of names.

    Source: 2107.05990 (DAFT) and its published file format.

    Parameters
    ----------
    target : an attribute: `DX` (diagnosis), `time`, `event`.

    Raises
    ------
    InputError : not HDF5, a data set or attribute is absent, or a row's length differs from the columns'.
    """
    file = Path(file)
    with opened(file) as content:
        if "stats/tabular" not in content:
            raise InputError(
                "has no group /stats/tabular", file=file, remedy="give a file in the layout of DAFT"
            )
        columns = [_text(name) for name in read_dataset(content["stats/tabular"], "columns", file=file)]
        names = sorted(name for name in content if name != "stats")
        rows = [_row(content[name], columns, target, file) for name in names]
        for name in names:
            if region not in content[name] or volume not in content[name][region]:
                raise InputError("no such data set", file=file, field=f"/{name}/{region}/{volume}")
    if not rows:
        raise InputError("holds no scans", file=file)
    paths = [file / name for name in names]
    read = _Reader(region, volume)
    return ImageTable(pd.DataFrame(rows), images=paths, target=target, group="RID", file=file, read=read)


def write_daft(
    file: str | Path,
    volumes: np.ndarray,
    rows: np.ndarray,
    columns: Sequence[str],
    attributes: Sequence[dict[str, Any]],
) -> None:
    """Write volumes (n, h, w, d), table rows (n, m) and the attributes of every scan in this layout."""
    with created(file) as content:
        stats = content.create_group("stats/tabular")
        stats["columns"] = np.array(list(columns), dtype="S")
        stats["mean"], stats["stddev"] = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        for i, (volume, row, facts) in enumerate(zip(volumes, rows, attributes)):
            group = content.create_group(f"{i:05d}")
            group.attrs.update(facts)
            group.create_group(REGION)[VOLUME] = np.asarray(volume, dtype=np.float32)
            group["tabular"] = np.asarray(row, dtype=np.float64)


def _row(group: Any, columns: list[str], target: str, file: Path) -> dict[str, Any]:
    for name in ("RID", target):
        if name not in group.attrs:
            held = ", ".join(sorted(group.attrs))
            raise InputError(
                f"has no attribute {name}", file=file, field=group.name, remedy=f"there are: {held}"
            )
    values = read_dataset(group, "tabular", file=file)
    if values.shape != (len(columns),):
        problem = f"shape {values.shape} does not fit {len(columns)} columns"
        raise InputError(problem, file=file, field=f"{group.name}/tabular")
    facts = {name: _plain(group.attrs[name]) for name in dict.fromkeys(("RID", target))}
    return {**dict(zip(columns, values.tolist())), **facts}


class _Reader:
    """`<file>/<id>` -> volume. A class, so that sources travel between processes."""

    def __init__(self, region: str, volume: str) -> None:
        self.region, self.volume = region, volume

    def __call__(self, item: Path) -> Float[Tensor, "1 h w d"]:
        with opened(item.parent) as content:
            values = read_dataset(content[item.name][self.region], self.volume, file=item.parent)
        if values.ndim != 3:
            raise InputError(f"has shape {values.shape}, not three axes", file=item.parent, field=item.name)
        return torch.from_numpy(values.astype(np.float32))[None]


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value.item() if isinstance(value, np.generic) else value
