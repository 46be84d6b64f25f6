"""Search for settings by the cross-entropy of unseen objects."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from visus.data.loader import fingerprint
from visus.data.triplets import OddOneOutData
from visus.engine import Run
from visus.errors import InputError, Interrupted, VisusError
from visus.methods.alignment.config import AlignmentConfig, check
from visus.methods.alignment.estimator.folds import cross_validate
from visus.records import override, read_json, to_plain, write_json

GRID: Mapping[str, Sequence[Any]] = {"penalty_weight": (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)}
"""The penalties of the public code."""
COLLAPSED = 1e-7
"""A cross-entropy this close to log 3, in single precision, is that of a map that has become zero."""


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """One setting and how it did on unseen objects."""

    settings: dict[str, Any]
    cross_entropy: float | None
    """None: the training diverged."""
    accuracy: float | None
    why: str = ""
    """Why it cannot be chosen."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """All points in the grid's order, and the configuration of the best."""

    points: list[SearchPoint]
    best: AlignmentConfig


def search(
    config: AlignmentConfig,
    data: OddOneOutData,
    *,
    grid: Mapping[str, Sequence[Any]] = GRID,
    folds: int = 3,
    run: Run | None = None,
) -> SearchResult:
    """Cross-validate every combination of settings; the lowest cross-entropy on unseen objects wins.

    A combination that diverged, or whose map collapsed to zero (cross-entropy log 3), cannot win. Every combination
    is a run inside `run`, with its result beside it: an interrupted search goes on where it stopped.

    Paper: the public code of 2211.01201 (lowest cross-validated cross-entropy; not-a-number and log 3 skipped).

    Parameters
    ----------
    grid : field of `AlignmentConfig` -> values to try.

    Raises
    ------
    InputError : as `cross_validate`; an empty grid, unknown settings, or no combination that can be chosen.
    """
    combinations = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    if not grid or not combinations:
        raise InputError("holds nothing to try", field="grid", remedy="give at least one value per setting")
    configs = [override(config, settings) for settings in combinations]
    for one in configs:
        check(one)
    run = run or Run(progress=False)
    bound = {"method": "alignment", "search": folds, "config": to_plain(config), "data": fingerprint(data)}
    run.bind({**bound, "grid": {name: list(values) for name, values in grid.items()}})
    points = [
        _point(settings, one, data, folds, run.child(f"point-{number}"))
        for number, (settings, one) in enumerate(zip(combinations, configs), 1)
    ]
    fit = [i for i, point in enumerate(points) if not point.why]
    if not fit:
        told = "; ".join(sorted({point.why for point in points}))
        raise InputError(f"has no combination that can be chosen ({told})", field="grid", remedy="try others")
    best = min(fit, key=lambda i: points[i].cross_entropy or math.inf)
    return SearchResult(points=points, best=configs[best])


def _point(
    settings: dict[str, Any], config: AlignmentConfig, data: OddOneOutData, folds: int, run: Run
) -> SearchPoint:
    file = run.folder / "point.json"
    if file.exists():
        return SearchPoint(**{**read_json(file), "settings": settings})
    try:
        scores = cross_validate(config, data, folds=folds, run=run, refit=False).scores
    except (InputError, Interrupted):
        raise
    except VisusError as error:
        point = SearchPoint(settings=settings, cross_entropy=None, accuracy=None, why=str(error))
    else:
        entropy = scores["cross_entropy"]
        why = "" if math.isfinite(entropy) else "cross-entropy is not finite"
        why = "the map collapsed to zero" if abs(entropy - math.log(3)) < COLLAPSED else why
        point = SearchPoint(
            settings=settings,
            cross_entropy=entropy if math.isfinite(entropy) else None,
            accuracy=scores["accuracy"],
            why=why,
        )
    if run.is_main:
        write_json(file, dataclasses.asdict(point))
    return point
