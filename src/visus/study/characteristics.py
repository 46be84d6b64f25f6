"""How often the verdict is wrong and how often it sees what is there, by simulation.

`python -m visus.study.characteristics` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visus.protocols import Claim
from visus.study.verdict import interval, satisfied

Direction = Literal["higher", "lower", "equal"]
Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
DIRECTIONS: tuple[Direction, ...] = ("higher", "lower", "equal")


def _lognormal(sigma: float) -> Draw:
    return lambda rng, shape: rng.lognormal(0, sigma, shape) - np.exp(sigma**2 / 2)


def _lognormal_arms(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    return rng.lognormal(0, 1, shape) - rng.lognormal(0, 1, shape)


def _accuracies(items: int, rate: float) -> Draw:
    return lambda rng, shape: (rng.binomial(items, rate, shape) - rng.binomial(items, rate, shape)) / items


DIFFERENCES: Mapping[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "lognormal 0.5": _lognormal(0.5),
    "minus lognormal 0.5": lambda rng, shape: -_lognormal(0.5)(rng, shape),
    "lognormal arms": _lognormal_arms,
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "accuracy of 100 items": _accuracies(100, 0.8),
    "accuracy of 50 items, near 1": _accuracies(50, 0.98),
}
"""Name -> paired differences with mean zero."""
BEYOND: Mapping[str, Draw] = {
    "lognormal 1": _lognormal(1.0),
    "minus lognormal 1": lambda rng, shape: -_lognormal(1.0)(rng, shape),
}
"""Skewness 6: three to ten seeds do not show such a tail, and no interval made from them can allow for it."""


@dataclass(frozen=True, kw_only=True)
class Characteristic:
    """One row: a kind of differences, a number of seeds, a direction."""

    differences: str
    seeds: int
    direction: Direction
    false_holds: float
    """Share of studies that say `holds` although the true effect is only the smallest effect (for `equal`: at
    the worse edge of the band)."""
    power: Mapping[float, float]
    """Distance in standard deviations of a difference -> share of studies that say `holds`. The distance is
    that of the true effect beyond the smallest effect; for `equal`, the half width of the band around 0."""


def operating_characteristics(
    *,
    differences: Mapping[str, Draw] = {**DIFFERENCES, **BEYOND},
    seeds: Sequence[int] = (3, 5, 10),
    distances: Sequence[float] = (1.0, 2.0, 3.0, 4.0),
    simulations: int = 2000,
    random_seed: int = 0,
) -> list[Characteristic]:
    """Simulate studies without and with an effect and count what the verdict says.

    Parameters
    ----------
    differences : name -> function that draws (studies, seeds) paired differences of mean zero.
    seeds : numbers of seeds per study.
    distances : effect sizes for the power, in standard deviations of one difference.
    simulations : studies per row.
    random_seed : seeds the simulation.
    """
    rows = []
    for name, draw in differences.items():
        deviation = float(draw(np.random.default_rng((random_seed, 1)), (100_000, 1)).std())
        for count in seeds:
            drawn = draw(np.random.default_rng((random_seed, count)), (simulations, count))
            bounds = interval(drawn)
            for direction in DIRECTIONS:
                power = {step: _power(bounds, direction, step * deviation) for step in distances}
                false = _false_holds(bounds, direction, 10 * deviation)
                rows.append(
                    Characteristic(
                        differences=name, seeds=count, direction=direction, false_holds=false, power=power
                    )
                )
    return rows


def _claim(direction: Direction, smallest: float) -> Claim:
    return Claim(
        id="simulated",
        statement="",
        statement_zh="",
        experiment="simulation",
        candidate="candidate",
        reference="reference",
        metric="value",
        direction=direction,
        smallest_effect=smallest,
    )


def _false_holds(bounds: tuple[NDArray, NDArray], direction: Direction, smallest: float) -> float:
    edges = {"higher": (smallest,), "lower": (-smallest,), "equal": (-smallest, smallest)}[direction]
    claim = _claim(direction, smallest)
    return max(float(satisfied(claim, bounds[0] + edge, bounds[1] + edge).mean()) for edge in edges)


def _power(bounds: tuple[NDArray, NDArray], direction: Direction, distance: float) -> float:
    if direction == "equal":
        return float(satisfied(_claim(direction, distance), *bounds).mean())
    effect = distance if direction == "higher" else -distance
    return float(satisfied(_claim(direction, 0.0), bounds[0] + effect, bounds[1] + effect).mean())


def table(rows: Sequence[Characteristic]) -> str:
    """The rows as text, shares in percent."""
    steps = list(rows[0].power) if rows else []
    head = f"{'differences':30s} {'seeds':>5s}  {'direction':9s} {'false holds':>11s}  power at"
    lines = [head + "".join(f" {step:>4g} sd" for step in steps)]
    for row in rows:
        cells = "".join(f" {100 * row.power[step]:7.1f}" for step in steps)
        name = f"{row.differences:30s} {row.seeds:5d}  {row.direction:9s}"
        lines.append(f"{name} {100 * row.false_holds:11.2f}          {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(operating_characteristics()))
