"""What is measured of every cell, and its histograms, which add up over parts and runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from visus.errors import InputError

Measure = Literal["num_facets", "num_vertices", "num_simplices", "interior_degree"]
Weight = Literal["cells", "volume"]
MEASURES: tuple[Measure, ...] = ("num_facets", "num_vertices", "num_simplices", "interior_degree")
WEIGHTS: tuple[Weight, ...] = ("cells", "volume")


@dataclass(frozen=True)
class Shapes:
    """The shape of every cell.

    `num_facets` counts facets on the box too, `interior_degree` (degree in the dual graph) does not;
    `num_simplices` belongs to one triangulation rule.
    """

    num_facets: Integer[Tensor, " n"]
    num_vertices: Integer[Tensor, " n"]
    num_simplices: Integer[Tensor, " n"]
    interior_degree: Integer[Tensor, " n"]
    volumes: Float[Tensor, " n"]
    touches_box: Bool[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.volumes)


class Tally:
    """Histograms of cell shapes, every cell counting once and every cell counting by its volume.

    The uniform ones are integers: adding complexes in any order and grouping gives the same. Volumes are sums
    of floating-point numbers, the same up to rounding.

    A volume-weighted share is the chance that a uniformly drawn point of the box lies in such a cell; sampling
    points instead of enumerating cells therefore estimates it, not the share of cells.

    Parameters
    ----------
    rule : the triangulation behind `num_simplices`; tallies of different rules do not add up.

    >>> shapes = Shapes(*(torch.tensor([3, 4]),) * 4, torch.tensor([0.5, 1.5]), torch.tensor([True, False]))
    >>> tally = Tally().add(shapes)
    >>> tally.mean("num_facets"), tally.mean("num_facets", "volume"), tally.share("num_facets", at_most=3)
    (3.5, 3.75, 0.5)
    """

    def __init__(self, rule: str = "pull") -> None:
        self.rule = rule
        self.num_cells = 0
        self.num_touching = 0
        """Cells with a facet on the box."""
        self.volume = 0.0
        self._bins: dict[tuple[Measure, Weight], np.ndarray] = {
            (measure, weight): np.zeros(0, np.int64 if weight == "cells" else np.float64)
            for measure in MEASURES
            for weight in WEIGHTS
        }

    def add(self, shapes: Shapes) -> Self:
        """Count the cells of a complex; returns itself."""
        self.num_cells += len(shapes)
        self.num_touching += int(shapes.touches_box.sum())
        self.volume += float(shapes.volumes.sum())
        for measure in MEASURES:
            values = getattr(shapes, measure)
            self._grow(measure, "cells", torch.bincount(values).cpu().numpy())
            self._grow(measure, "volume", torch.bincount(values, shapes.volumes).cpu().numpy())
        return self

    def merge(self, other: Tally) -> Tally:
        """A tally of the cells of both."""
        if self.rule != other.rule:
            raise InputError(
                f"simplices of rule {self.rule!r} and of rule {other.rule!r} cannot be added",
                field="rule",
                remedy="count both with one rule",
            )
        both = Tally(self.rule)
        both.num_cells = self.num_cells + other.num_cells
        both.num_touching = self.num_touching + other.num_touching
        both.volume = self.volume + other.volume
        for measure, weight in self._bins:
            for part in (self, other):
                both._grow(measure, weight, part._bins[measure, weight])
        return both

    def _grow(self, measure: Measure, weight: Weight, more: np.ndarray) -> None:
        have = self._bins[measure, weight]
        total = np.zeros(max(len(have), len(more)), have.dtype)
        total[: len(have)] += have
        total[: len(more)] += more
        self._bins[measure, weight] = total

    def histogram(self, measure: Measure, weight: Weight = "cells") -> np.ndarray:
        """Number of cells (int64) or volume (float64) at every value 0, 1, 2, ... of a measure."""
        if (measure, weight) not in self._bins:
            raise InputError(
                f"no histogram of {measure!r} by {weight!r}",
                field="measure, weight",
                remedy=f"measures: {', '.join(MEASURES)}; weights: cells, volume",
            )
        return self._bins[measure, weight].copy()

    def shares(self, measure: Measure, weight: Weight = "cells") -> np.ndarray:
        """The histogram divided by its sum."""
        counts = self.histogram(measure, weight).astype(np.float64)
        if not counts.sum() > 0:
            raise InputError("the tally is empty", field="tally", remedy="add the shapes of a complex")
        return counts / counts.sum()

    def mean(self, measure: Measure, weight: Weight = "cells") -> float:
        """Mean over cells, or over the points of the box."""
        shares = self.shares(measure, weight)
        return float(shares @ np.arange(len(shares)))

    def quantile(self, measure: Measure, level: float, weight: Weight = "cells") -> int:
        """Smallest value that a share of at least `level` does not exceed; `level` 1 gives the maximum."""
        if not 0 < level <= 1:
            raise InputError(f"{level} is no share", field="level", remedy="give a number above 0, up to 1")
        reached = np.cumsum(self.shares(measure, weight))
        # Rounding may leave the last sum below 1; a relative hair keeps level 1 at the true maximum.
        return int(np.argmax(reached >= level * reached[-1] * (1 - 1e-12)))

    def largest(self, measure: Measure) -> int:
        """Largest value of any cell."""
        self.shares(measure)
        return int(np.flatnonzero(self._bins[measure, "cells"])[-1])

    def share(self, measure: Measure, at_most: int, weight: Weight = "cells") -> float:
        """Share of the cells, or of the box, with a value of at most `at_most`."""
        return float(self.shares(measure, weight)[: max(at_most + 1, 0)].sum())

    def distance(self, other: Tally, measure: Measure, weight: Weight = "cells") -> float:
        """Total variation between the two distributions: half the sum of |p - q|, 0 (same) to 1 (disjoint)."""
        p, q = self.shares(measure, weight), other.shares(measure, weight)
        size = max(len(p), len(q))
        return float(np.abs(np.pad(p, (0, size - len(p))) - np.pad(q, (0, size - len(q)))).sum() / 2)

    def summary(self, at_most: int = 7) -> dict[str, float]:
        """Flat record: counts, and per measure the mean, 90 % quantile, maximum and share with at most `at_most`.

        Names end in `_by_volume` where cells count by their volume.
        """
        scores = {
            "num_cells": float(self.num_cells),
            "num_touching": float(self.num_touching),
            "volume": self.volume,
        }
        for measure in MEASURES:
            scores[f"{measure}_max"] = float(self.largest(measure))
            for weight in WEIGHTS:
                ending = "" if weight == "cells" else "_by_volume"
                scores[f"{measure}_mean{ending}"] = self.mean(measure, weight)
                scores[f"{measure}_p90{ending}"] = float(self.quantile(measure, 0.9, weight))
                scores[f"{measure}_at_most_{at_most}{ending}"] = self.share(measure, at_most, weight)
        return scores

    def to_plain(self) -> dict[str, Any]:
        """As dicts, lists and numbers, for JSON."""
        bins = {
            measure: {weight: self._bins[measure, weight].tolist() for weight in WEIGHTS}
            for measure in MEASURES
        }
        return {
            "rule": self.rule,
            "num_cells": self.num_cells,
            "num_touching": self.num_touching,
            "volume": self.volume,
            "histograms": bins,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Tally:
        """The tally that `to_plain` describes.

        Raises
        ------
        InputError : a part is missing, or the histograms do not sum to the number of cells.
        """
        try:
            tally = cls(str(plain["rule"]))
            tally.num_cells, tally.num_touching = int(plain["num_cells"]), int(plain["num_touching"])
            tally.volume = float(plain["volume"])
            for measure, weight in tally._bins:
                tally._grow(measure, weight, _bins(plain["histograms"][measure][weight], weight))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"is no tally ({error!r})", field="tally", remedy="give what to_plain wrote"
            ) from None
        if any(tally._bins[measure, "cells"].sum() != tally.num_cells for measure in MEASURES):
            raise InputError(
                "is no tally (histograms and num_cells differ)",
                field="tally",
                remedy="give what to_plain wrote",
            )
        return tally


def _bins(values: Any, weight: Weight) -> np.ndarray:
    bins = np.asarray(values, np.float64).reshape(len(values))
    if not (np.isfinite(bins).all() and (bins >= 0).all()):
        raise ValueError("a bin is negative or not a number")
    if weight == "volume":
        return bins
    counts = np.asarray(values, np.int64).reshape(len(values))
    if (counts != bins).any():
        raise ValueError("a count is not whole")
    return counts
