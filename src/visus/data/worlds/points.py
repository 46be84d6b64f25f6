"""Points in two or three dimensions whose class follows from where they lie, with the exact rule beside them.

Shapes
------
Columns are `x`, `y` (and `z`), the target is `region`; its classes are the words `in` and `out`.

- `moons`: two half circles of radius 1 that interlock, the lower one `in` (2-D).
- `circles`: a circle of radius 0.5 (`in`) inside one of radius 1 (2-D).
- `spirals`: two arms of an Archimedean spiral, one and a half turns each (2-D).
- `checker`: uniform in [-1, 1]^d for d = 2 or 3; `in` where sin(f x) sin(f y) sin(f z) > 0 with frequency f = 3
  by default.
- `random`: uniform in [-1, 1]^d, labels drawn by a coin: nothing can be learned beyond the training points.

`noise` moves points of moons, circles and spirals by a normal step after their class is decided, so classes
overlap; `label_noise` flips that share of the labels anywhere, in training and in test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from visus.data.tables.source import RowTable
from visus.errors import InputError

Shape = Literal["moons", "circles", "spirals", "checker", "random"]
AXES = ("x", "y", "z")
TARGET = "region"
CLASSES = ("out", "in")


@dataclass(frozen=True, kw_only=True)
class PointsWorld:
    """Two parts, and the labels before noise."""

    train: RowTable
    test: RowTable
    train_clean: Bool[np.ndarray, " n"]
    test_clean: Bool[np.ndarray, " m"]


def make(
    shape: Shape = "moons",
    *,
    n: int = 1000,
    n_test: int = 1000,
    dimension: int | None = None,
    seed: int = 0,
    noise: float = 0.1,
    label_noise: float = 0.0,
    frequency: float = 3.0,
) -> PointsWorld:
    """Draw a world: two sources of rows with the columns `x`, `y` (and `z`) and the target `region`.

    Parameters
    ----------
    shape : see above.
    n, n_test : training and test points.
    dimension : 2 or 3; None is 3 for `checker` and `random` and 2 for the others, which have no other.
    seed : every random choice follows from it; training points do not change with `n_test`.
    noise : standard deviation of the step off moons, circles and spirals.
    label_noise : share of labels flipped, up to 0.5.
    frequency : of the checker.

    Raises
    ------
    InputError : a number out of its bounds, or a dimension that the shape does not have.

    >>> world = make("checker", n=4, seed=1)
    >>> world.train.columns, len(world.test)
    (['x', 'y', 'z'], 1000)
    """
    flat = shape in _CURVES
    dimension = (2 if flat else 3) if dimension is None else dimension
    _check(shape, dimension, n=n, n_test=n_test, noise=noise, label_noise=label_noise)
    parts = []
    for number, count in enumerate((n, n_test)):
        rng = np.random.default_rng([seed, number])
        if flat:
            points, clean = _CURVES[shape](count, rng)
            points = points + noise * rng.standard_normal(points.shape)
        else:
            points = rng.uniform(-1, 1, (count, dimension))
            coin = rng.random(count) < 0.5
            clean = inside_checker(points, frequency=frequency) if shape == "checker" else coin
        label = clean ^ (rng.random(count) < label_noise)
        frame = pd.DataFrame(points, columns=list(AXES[:dimension]))
        frame[TARGET] = np.array(CLASSES, dtype=object)[label.astype(int)]
        parts.append((RowTable(frame, target=TARGET), clean))
    (train, train_clean), (test, test_clean) = parts
    return PointsWorld(train=train, test=test, train_clean=train_clean, test_clean=test_clean)


def inside_checker(points: Float[np.ndarray, "n d"], *, frequency: float = 3.0) -> Bool[np.ndarray, " n"]:
    """Where the product of sin(frequency * coordinate) over the axes is positive.

    >>> inside_checker(np.array([[0.5, 0.5], [0.5, -0.5]])).tolist()
    [True, False]
    """
    return np.sin(frequency * np.asarray(points)).prod(axis=1) > 0


def _check(shape: str, dimension: int, *, n: int, n_test: int, noise: float, label_noise: float) -> None:
    if shape not in (*_CURVES, "checker", "random"):
        known = ", ".join([*_CURVES, "checker", "random"])
        raise InputError(f"unknown shape {shape!r}", field="shape", remedy=f"use one of {known}")
    allowed = (2,) if shape in _CURVES else (2, 3)
    if dimension not in allowed:
        remedy = "give " + " or ".join(map(str, allowed))
        raise InputError(f"{shape} has no {dimension} dimensions", field="dimension", remedy=remedy)
    for name, count in (("n", n), ("n_test", n_test)):
        if count < 1:
            raise InputError(f"is {count}", field=name, remedy="ask for at least one point")
    if not (noise >= 0 and math.isfinite(noise)):
        raise InputError(f"is {noise}", field="noise", remedy="give 0 or more")
    if not 0 <= label_noise <= 0.5:
        raise InputError(
            f"{label_noise} is not a share of wrong labels", field="label_noise", remedy="0 to 0.5"
        )


def _halves(n: int) -> Bool[np.ndarray, " n"]:
    """Both classes in turn, so that their counts differ by one at most."""
    return np.arange(n) % 2 == 1


def _moons(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    lower, angle = _halves(n), rng.uniform(0, math.pi, n)
    x = np.where(lower, 1 - np.cos(angle), np.cos(angle))
    y = np.where(lower, 0.5 - np.sin(angle), np.sin(angle))
    return np.column_stack([x, y]), lower


def _circles(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    inner, angle = _halves(n), rng.uniform(0, 2 * math.pi, n)
    radius = np.where(inner, 0.5, 1.0)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), inner


def _spirals(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    second = _halves(n)
    turn = 3 * math.pi * np.sqrt(rng.uniform(0.02, 1, n))  # the root spreads points evenly along the arm
    angle, radius = turn + np.where(second, math.pi, 0), turn / math.pi
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), second


_CURVES = {"moons": _moons, "circles": _circles, "spirals": _spirals}
