"""What is searched: lists of symbols of bounded length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable

Individual: TypeAlias = tuple[int, ...]
"""An architecture: indices into the symbols of its space."""


@dataclass(frozen=True)
class Space:
    """Lists of `least` to `most` symbols; an individual is a tuple of indices into `symbols`.

    Parameters
    ----------
    symbols : names of the operations or blocks.
    layers : per symbol, how many layers it stands for (1 each when left out); used where layers, not blocks,
        are knocked out.

    >>> space = Space("tiny", ("a", "b"), least=1, most=3)
    >>> space.size, space.varies, space.names((0, 1, 1))
    (14, True, ('a', 'b', 'b'))
    """

    name: str
    symbols: tuple[str, ...]
    least: int
    most: int
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise InputError("are empty or repeat themselves", field="symbols")
        if not 1 <= self.least <= self.most:
            raise InputError(f"are {self.least} and {self.most}", field="least, most")
        if self.layers and (len(self.layers) != len(self.symbols) or min(self.layers) < 1):
            raise InputError("needs one number of 1 or more per symbol", field="layers")

    @classmethod
    def of_table(cls, table: ArchitectureTable) -> Space:
        """The space a benchmark's table covers."""
        return cls(table.name, table.symbols, least=table.length, most=table.length)

    @property
    def varies(self) -> bool:
        """Whether individuals differ in length."""
        return self.least != self.most

    @property
    def size(self) -> int:
        """Number of individuals."""
        return sum(len(self.symbols) ** length for length in range(self.least, self.most + 1))

    def random(self, rng: np.random.Generator) -> Individual:
        """A length and then every symbol, each drawn evenly."""
        length = self.least + pick(self.most - self.least + 1, rng)
        return tuple(rng.integers(len(self.symbols), size=length).tolist())

    def names(self, individual: Sequence[int]) -> tuple[str, ...]:
        """The individual's symbols by name."""
        return tuple(self.symbols[symbol] for symbol in individual)

    def check(self, individual: Sequence[int]) -> Individual:
        """The individual as a tuple of plain integers.

        Raises
        ------
        InputError : too short, too long, or a symbol the space does not have.
        """
        made = tuple(int(symbol) for symbol in individual)
        if not self.least <= len(made) <= self.most:
            problem = f"has {len(made)} symbols, the space allows {self.least} to {self.most}"
            raise InputError(problem, field="individual")
        if not all(0 <= symbol < len(self.symbols) for symbol in made):
            problem = f"{made} holds a symbol outside 0 to {len(self.symbols) - 1}"
            raise InputError(problem, field="individual")
        return made

    def layer_counts(self) -> tuple[int, ...]:
        """Layers per symbol."""
        return self.layers or (1,) * len(self.symbols)


def block_space(
    names: Sequence[str], *, layers: Sequence[int] = (), least: int = 10, most: int = 20
) -> Space:
    """Networks of 10 to 20 blocks, the space of the paper (sec. IV-B: 15 blocks)."""
    return Space("blocks", tuple(names), least=least, most=most, layers=tuple(layers))


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose: draws for one leave those for another where they were."""
    if seed < 0:
        raise InputError(f"is {seed}", field="seed", remedy="choose 0 or more")
    return np.random.default_rng([seed, *purpose.encode()])


def pick(count: int, rng: np.random.Generator) -> int:
    """One of 0 .. count - 1, evenly; many times faster than `rng.integers` for a single number."""
    return int(rng.random() * count)
