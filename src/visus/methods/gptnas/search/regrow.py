"""Elimination and regrowth: part of an individual is knocked out and written anew by a prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float64

from visus.errors import InputError
from visus.methods.gptnas.search.space import Individual, Space

if TYPE_CHECKING:
    from visus.methods.gptnas.search.priors import Prior

Unit = Literal["block", "layer"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a symbol is drawn from a prior's distribution p.

    temperature : p^(1 / temperature), normalized.
    top_k : keep only the k most likely symbols.
    greedy : always take the most likely symbol; all individuals then converge to one continuation.
    """

    temperature: float = 1.0
    top_k: int | None = None
    greedy: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise InputError(f"is {self.temperature}", field="temperature", remedy="choose more than 0")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"is {self.top_k}", field="top_k", remedy="choose 1 or more")

    def shape(self, p: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
        """The weights symbols are drawn with, not normalized."""
        if self.greedy:
            return (np.arange(len(p)) == int(np.argmax(p))).astype(np.float64)
        if self.top_k is not None and self.top_k < len(p):
            kept = np.argsort(-p, kind="stable")[: self.top_k]
            p = np.where(np.isin(np.arange(len(p)), kept), p, 0.0)
        return p if self.temperature == 1.0 else (p / p.max()) ** (1.0 / self.temperature)

    def draw(self, p: Float64[np.ndarray, " k"], rng: np.random.Generator) -> int:
        """One symbol."""
        cumulative = self.shape(p).cumsum()
        return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))


def elimination_rate(start: float, progress: float) -> float:
    """r_t = r_0 - (t / T) r_0, with `progress` = t / T; 0 from the end on.

    Paper: 2305.05351, eq. 3.

    >>> [elimination_rate(0.4, progress) for progress in (0.0, 0.5, 1.0)]
    [0.4, 0.2, 0.0]
    """
    return start * max(0.0, 1.0 - progress)


def regrow(
    individual: Individual,
    prior: Prior,
    space: Space,
    rng: np.random.Generator,
    *,
    rate: float,
    unit: Unit = "block",
    sampling: Sampling = Sampling(),
) -> tuple[Individual, tuple[bool, ...]]:
    """Walk from left to right; each symbol is kept, or with probability `rate` replaced by one the prior
    draws given everything placed so far - the new prefix, not the old one. Returns the new individual and
    which positions were written.

    Paper: 2305.05351, alg. 1. Differs: one draw decides per symbol (`unit="block"`). The paper's reading,
    where a block goes as soon as one of its n layers does, eliminates it with probability 1 - (1 - rate)^n,
    nearly always for long blocks; that is `unit="layer"`. Whether the likeliest block is taken or one is
    drawn is not stated there: drawn.

    Parameters
    ----------
    sampling : temperature, top-k, or the likeliest symbol.
    """
    written = _eliminated(individual, space, rng, rate=rate, unit=unit)
    if not any(written):
        return individual, written
    made: list[int] = []
    for symbol, gone in zip(individual, written, strict=True):
        if gone:
            p = prior.distribution(tuple(made))[: len(space.symbols)]
            symbol = sampling.draw(p, rng)
        made.append(symbol)
    return tuple(made), written


def grow(
    prior: Prior, space: Space, rng: np.random.Generator, *, sampling: Sampling = Sampling()
) -> Individual:
    """A whole individual drawn from the prior, ended by its end symbol where lengths vary."""
    made: list[int] = []
    while len(made) < space.most:
        p = prior.distribution(tuple(made))
        if len(made) < space.least:
            p = p[: len(space.symbols)]
        symbol = sampling.draw(p, rng)
        if symbol == len(space.symbols):
            break
        made.append(symbol)
    return tuple(made)


def _eliminated(
    individual: Sequence[int], space: Space, rng: np.random.Generator, *, rate: float, unit: Unit
) -> tuple[bool, ...]:
    if unit not in ("block", "layer"):
        raise InputError(f"{unit!r} is unknown", field="unit", remedy="choose block or layer")
    draws = rng.random(len(individual)).tolist()
    if unit == "block":
        return tuple(draw < rate for draw in draws)
    layers = space.layer_counts()
    shares = (1.0 - (1.0 - rate) ** layers[symbol] for symbol in individual)
    return tuple(draw < share for draw, share in zip(draws, shares, strict=True))
