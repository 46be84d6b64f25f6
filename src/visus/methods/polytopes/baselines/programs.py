"""The walk over cells by linear programs: the way other tools enumerate a network's cells."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import nn

from visus.errors import InputError
from visus.extras import need
from visus.methods.polytopes.baselines.layers import (
    Bounds,
    Layers,
    bounds_of,
    halfspaces,
    hidden_layers,
    patterns_at,
)

Solver = Literal["scipy", "highspy"]
Least = Callable[[np.ndarray, np.ndarray, np.ndarray], Float[np.ndarray, " r"]]

TOLERANCE = 1e-9
"""How far a row must be violable, in units of x, to bound the cell."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What a walk found: patterns (N, n), facets with and without those of the box (N,), programs solved."""

    patterns: Bool[np.ndarray, "N n"]
    num_facets: Int[np.ndarray, " N"]
    interior_degree: Int[np.ndarray, " N"]
    num_programs: int

    @property
    def num_cells(self) -> int:
        """Number of cells N."""
        return len(self.patterns)


def walk_cells(
    model: nn.Module,
    box: tuple[Any, Any] | None = (-1.0, 1.0),
    *,
    solver: Solver = "scipy",
    seed: int = 0,
    most: int | None = None,
) -> Walk:
    """All cells of a generic ReLU stack, breadth first over shared facets.

    Row i of a cell {A x + c >= 0} is a facet if a_i x + c_i can become negative while the other rows hold:
    one linear program per cell and row. Behind a facet of neuron i lies the cell whose pattern differs in
    place i only. Cells x (neurons + 2 d) programs of d variables, so tens to hundreds of cells a second.

    Source: the search used by LP-based tools (Cao et al. 2025, "relucent"; Xu et al. 2022, "Traversing the
    local polytopes of ReLU neural networks"), after Avis and Fukuda 1996.

    Parameters
    ----------
    box : lower and upper bounds; None walks all of R^d.
    solver : `scipy` calls HiGHS anew for every program, `highspy` keeps one model per cell and starts from the
        basis before (needs the package highspy).
    seed : draws the point the walk starts from.
    most : stop after this many cells (a benchmark's rate).

    Raises
    ------
    visus.errors.InputError : the model is no ReLU stack, the solver is unknown.
    """
    layers = hidden_layers(model)
    dimension = layers[0][0].shape[1]
    bounds = None if box is None else bounds_of(box, dimension)
    least = _solver(solver)
    first = _start(layers, bounds, dimension, seed)
    seen, queue, degrees, programs = {first.tobytes(): first}, deque([first]), [], 0
    while queue and (most is None or len(degrees) < most):
        pattern = queue.popleft()
        normals, offsets = halfspaces(layers, pattern, bounds)
        rows = np.flatnonzero(np.abs(normals).sum(axis=1) > 0)
        facets = rows[least(normals[rows], offsets[rows], np.arange(len(rows))) < -TOLERANCE]
        programs += len(rows)
        inside = facets[facets < len(pattern)]
        degrees.append((len(facets), len(inside)))
        for neuron in inside:
            beyond = pattern.copy()
            beyond[neuron] ^= True
            if beyond.tobytes() not in seen:
                seen[beyond.tobytes()] = beyond
                queue.append(beyond)
    found = np.array(degrees)
    patterns = np.array(list(seen.values())[: len(found)])
    return Walk(patterns=patterns, num_facets=found[:, 0], interior_degree=found[:, 1], num_programs=programs)


def _start(layers: Layers, bounds: Bounds | None, dimension: int, seed: int) -> Bool[np.ndarray, " n"]:
    low, high = bounds or (-np.ones(dimension), np.ones(dimension))
    point = np.random.default_rng(seed).uniform(low, high)
    return patterns_at(layers, point[None])[0]


def _solver(name: str) -> Least:
    if name == "scipy":
        return least_by_scipy
    if name == "highspy":
        need("highspy", extra="dev", purpose="the walk with warm starts")
        return least_by_highspy
    raise InputError(f"{name!r} is unknown", field="solver", remedy="choose scipy or highspy")


def least_by_scipy(
    normals: Float[np.ndarray, "m d"], offsets: Float[np.ndarray, " m"], rows: Int[np.ndarray, " r"]
) -> Float[np.ndarray, " r"]:
    """Least a_i x + c_i over {A x + c >= 0} for the given rows i, where row i itself may sink to -1."""
    from scipy.optimize import linprog

    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = []
    for i in rows:
        slack = offsets.copy()
        slack[i] += 1.0
        solved = linprog(normals[i], A_ub=-normals, b_ub=slack, bounds=(None, None), options=options)
        if solved.status != 0:
            raise ArithmeticError(f"linear program of row {i}: {solved.message}")
        found.append(solved.fun + offsets[i])
    return np.array(found)


def least_by_highspy(
    normals: Float[np.ndarray, "m d"], offsets: Float[np.ndarray, " m"], rows: Int[np.ndarray, " r"]
) -> Float[np.ndarray, " r"]:
    """The same with one model whose cost and one bound change from row to row."""
    import highspy

    count, dimension = normals.shape
    infinite = highspy.kHighsInf
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = dimension, count
    program.col_cost_ = np.zeros(dimension)
    program.col_lower_, program.col_upper_ = np.full(dimension, -infinite), np.full(dimension, infinite)
    program.row_lower_, program.row_upper_ = -offsets, np.full(count, infinite)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.arange(0, count * dimension + 1, dimension)
    program.a_matrix_.index_ = np.tile(np.arange(dimension), count)
    program.a_matrix_.value_ = normals.ravel()
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("primal_feasibility_tolerance", 1e-10)
    solver.setOptionValue("dual_feasibility_tolerance", 1e-10)
    solver.passModel(program)
    columns, found = np.arange(dimension, dtype=np.int32), []
    for i in rows:
        solver.changeColsCost(dimension, columns, normals[i])
        solver.changeRowBounds(int(i), float(-offsets[i] - 1.0), infinite)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"linear program of row {i}: {solver.getModelStatus()}")
        found.append(solver.getInfo().objective_function_value + offsets[i])
        solver.changeRowBounds(int(i), float(-offsets[i]), infinite)
    return np.array(found)
