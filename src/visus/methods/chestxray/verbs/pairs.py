"""Two models' rows of the same images, and the tests of their differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from visus.errors import InputError

MEASURES = ("correct", "kl", "cc", "sim", "nss", "auc_judd")


def measures(left: Any, right: Any, seed: int) -> list[dict[str, Any]]:
    """Rows of the measures that both tables have."""
    from visus.metrics.paired import compare_paired

    rows = []
    for name in MEASURES:
        if name not in left or name not in right:
            continue
        ours, theirs = left[name].to_numpy(float), right[name].to_numpy(float)
        both = ~np.isnan(ours) & ~np.isnan(theirs)
        if not both.any():
            continue
        found = compare_paired(ours, theirs, groups=left["patient"].to_numpy(), seed=seed)
        rows.append(
            {
                "measure": "accuracy" if name == "correct" else name,
                "images": found.items,
                "first": float(ours[both].mean()),
                "second": float(theirs[both].mean()),
                "difference": found.difference,
                "low": found.interval[0],
                "high": found.interval[1],
                "p_t": found.t_p,
                "p_wilcoxon": found.wilcoxon_p,
                "p": found.permutation_p,
                "test": "random signs",
            }
        )
    return rows


def areas(left: Any, right: Any, seed: int) -> list[dict[str, Any]]:
    """Rows of the areas under the ROC curve, class by class."""
    if "truth" not in left:
        return []
    people = left["patient"].to_numpy()
    alone = len(np.unique(people)) == len(people)
    rows = []
    for column in (name for name in left if name.startswith("p_") and name in right):
        positive = (left["truth"] == column[2:]).to_numpy().astype(int)
        if min(positive.sum(), (1 - positive).sum()) < 2:
            continue
        ours, theirs = left[column].to_numpy(float), right[column].to_numpy(float)
        found = _delong(positive, ours, theirs) if alone else _drawn(positive, ours, theirs, people, seed)
        rows.append({"measure": f"auc_{column[2:]}", "images": len(left), **found})
    return rows


def _delong(positive: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    from visus.metrics.paired import delong

    found = delong(positive, ours, theirs)
    return {
        "first": found.first,
        "second": found.second,
        "difference": found.difference,
        "low": found.interval[0],
        "high": found.interval[1],
        "p_t": float("nan"),
        "p_wilcoxon": float("nan"),
        "p": found.p,
        "test": "DeLong",
    }


def _drawn(
    positive: np.ndarray, ours: np.ndarray, theirs: np.ndarray, people: np.ndarray, seed: int
) -> dict[str, Any]:
    """The interval over patients alone: DeLong's test takes every image for a patient of its own."""
    from visus.metrics import auc, bootstrap_interval

    def difference(target: Any, first: Any, second: Any, *, weight: Any = None) -> Any:
        return auc(target, first, weight=weight) - auc(target, second, weight=weight)

    low, high = bootstrap_interval(difference, positive, ours, theirs, groups=people, seed=seed)
    first, second = float(auc(positive, ours)), float(auc(positive, theirs))
    nothing = dict.fromkeys(("p_t", "p_wilcoxon", "p"), float("nan"))
    values = {"first": first, "second": second, "difference": first - second, "low": low, "high": high}
    return {**values, **nothing, "test": "interval alone"}


def table_of(path: Path) -> Path:
    """The table of single images: the file itself, or the one in a folder that `evaluate` wrote."""
    return path / "images.csv" if path.is_dir() else path


def read_items(path: Path) -> Any:
    """The rows that `evaluate` wrote: a folder or the table in it."""
    from visus.data.formats import read_table
    from visus.data.formats.table import require_column

    file = table_of(path)
    frame = read_table(file, text_columns=("image", "truth", "label"))
    for column in ("image", "patient"):
        require_column(frame, column, file=file)
    if frame["image"].duplicated().any():
        raise InputError("names an image twice", file=file, field="image", remedy="evaluate it again")
    return frame


def paired(left: Any, right: Any, first: Path, second: Path) -> tuple[Any, Any]:
    """Both tables with the images they share, in one order.

    Raises
    ------
    InputError : no image is in both, or their truth differs.
    """
    left, right = left.set_index("image"), right.set_index("image")
    shared = [name for name in left.index if name in right.index]
    if not shared:
        raise InputError(f"has no image of {first}", file=second, remedy="evaluate both on the same data")
    if len(shared) < max(len(left), len(right)):
        print(f"note: {len(shared)} images are in both tables and are compared")
    left, right = left.loc[shared], right.loc[shared]
    if "truth" in left and "truth" in right and not left["truth"].equals(right["truth"]):
        raise InputError(
            "tells another truth", file=second, field="truth", remedy="evaluate both on the same data"
        )
    return left, right
