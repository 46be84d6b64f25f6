"""What a tabular benchmark of architectures holds, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, UInt8

from visus.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchitectureTable:
    """Every architecture of a small space with what its training gave, in lexicographic order.

    An architecture is a tuple of `length` indices into `symbols`; row `index(a)` is the number a reads in base
    `len(symbols)`.

    Parameters
    ----------
    fitness : what a search may look at, accuracy [%], (rows,).
    score : what is reported, from other training runs or other images than the fitness, accuracy [%], (rows,).
    columns : further facts by name, each (rows,).
    """

    name: str
    symbols: tuple[str, ...]
    length: int
    fitness: Float64[np.ndarray, " rows"]
    score: Float64[np.ndarray, " rows"]
    columns: Mapping[str, Float64[np.ndarray, " rows"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in {"fitness": self.fitness, "score": self.score, **self.columns}.items():
            if values.shape != (len(self),):
                raise InputError(f"has shape {values.shape}, expected ({len(self)},)", field=name)
            if not np.isfinite(values).all():
                raise InputError("holds values that are not finite numbers", field=name)
            values.setflags(write=False)

    def __len__(self) -> int:
        return len(self.symbols) ** self.length

    def index(self, architecture: Sequence[int]) -> int:
        """Row of an architecture.

        Raises
        ------
        InputError : another number of symbols, or a symbol the space does not have.
        """
        base, row = len(self.symbols), 0
        if len(architecture) != self.length or not all(0 <= symbol < base for symbol in architecture):
            problem = f"{tuple(architecture)} is not {self.length} numbers from 0 to {base - 1}"
            raise InputError(problem, field="architecture")
        for symbol in architecture:
            row = row * base + symbol
        return row

    def architecture(self, row: int) -> tuple[int, ...]:
        """The architecture of a row."""
        return tuple(int(symbol) for symbol in np.unravel_index(row, (len(self.symbols),) * self.length))

    def architectures(self) -> UInt8[np.ndarray, "rows length"]:
        """All of them."""
        grid = np.indices((len(self.symbols),) * self.length, dtype=np.uint8)
        return grid.reshape(self.length, -1).T

    def best(self, by: str = "score") -> int:
        """Row of the largest value of `fitness`, `score` or a column."""
        return int(np.argmax(self.column(by)))

    def column(self, name: str) -> Float64[np.ndarray, " rows"]:
        """`fitness`, `score` or a further column."""
        known = {"fitness": self.fitness, "score": self.score, **self.columns}
        if name not in known:
            raise InputError(f"{name!r} is no column", field="by", remedy=f"choose from {', '.join(known)}")
        return known[name]
