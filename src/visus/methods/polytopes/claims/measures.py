"""How one cell of an experiment (an arm with a seed) is measured, where nothing is trained."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from visus.methods.polytopes.baselines import (
    TRIANGLES,
    central_cells,
    fewest_facets,
    mean_facets_bound,
    most_cells,
    random_arrangement,
    sample_cells,
    tangent_network,
    weighted_vertices,
)
from visus.methods.polytopes.claims.data import (
    BIAS,
    DEPTH_WIDTH,
    LARGE,
    LINES,
    POINTS,
    STATED_SHARE,
    WIDTHS,
    network,
    scaled,
)
from visus.methods.polytopes.config import SIMPLE, Init
from visus.protocols import Run, Scores, Trial

if TYPE_CHECKING:
    from visus.methods.polytopes.model.complex import Complex
    from visus.methods.polytopes.model.tally import Tally

NEURONS = 12
PLANE = (2, 16, 16)
SPACE = {"one_layer": (3, 14), "two_layers": (3, 10, 10), "three_layers": (3, 8, 8, 8)}
TANGENT = 40
MEMORY_GB = 8.0


def counted(model: nn.Module, run: Run, half: float = 1.0, *, tolerance: float = 1e-12) -> Complex:
    """The census of the box [-half, half]^d on the run's device."""
    from visus.methods.polytopes import census

    return census(model, (-half, half), device=run.device, tolerance=tolerance)


def shape_scores(tally: Tally) -> Scores:
    """What the claims say of a census: number of cells, share of simple ones, mean facets."""
    return {
        "num_cells": float(tally.num_cells),
        "share_simple": tally.share("num_simplices", SIMPLE),
        "mean_facets": tally.mean("num_facets"),
    }


def measure_arrangements(trial: Trial, run: Run) -> Scores:
    """Cells of one layer in space, with and without biases, against the formulas."""
    if trial.arm == "stated":
        return {"generic": float(most_cells(NEURONS, 3)), "central": float(central_cells(NEURONS, 3))}
    model = random_arrangement(NEURONS, 3, seed=trial.seed)
    generic = counted(model, run, half=2 * farthest_crossing(model))
    with torch.no_grad():
        layer = model.get_submodule("0")
        layer.get_parameter("bias").zero_()
    return {"generic": float(generic.num_cells), "central": float(counted(model, run).num_cells)}


def farthest_crossing(model: nn.Sequential) -> float:
    """Largest coordinate of the points where d hyperplanes of the first layer meet."""
    layer = model.get_submodule("0")
    weight, bias = layer.get_parameter("weight").detach(), layer.get_parameter("bias").detach()
    chosen = torch.tensor(list(itertools.combinations(range(len(bias)), weight.shape[1])))
    return float(torch.linalg.solve(weight[chosen], -bias[chosen]).abs().max())


def measure_plane(trial: Trial, run: Run) -> Scores:
    """Means over the cells of a network on the plane, and the Euler characteristic."""
    if trial.arm == "stated":
        return {"mean_sides": 4.0, "mean_triangles": 2.0, "euler": 1.0}
    found = counted(network(PLANE, init="kaiming", bias=0.1, seed=trial.seed), run)
    vertices, edges, cells = found.f_vector
    return {
        "mean_sides": int(found.num_facets.sum()) / cells,
        "mean_triangles": int(found.num_simplices("pull").sum()) / cells,
        "euler": float(vertices - edges + cells),
    }


def measure_whole_space(trial: Trial, run: Run) -> Scores:
    """Facets of the cells on all of space: those inside a box beyond all vertices."""
    if trial.arm == "stated":
        return {"mean_facets": float(mean_facets_bound(3)), "cells_below": 0.0}
    widths = SPACE[trial.arm]
    model = network(widths, init="kaiming", bias=0.1, seed=trial.seed)
    degree = covered(model, run).interior_degree
    below = degree < fewest_facets(widths[1], widths[0])
    return {"mean_facets": float(degree.double().mean()), "cells_below": float(below.sum())}


def covered(model: nn.Module, run: Run) -> Complex:
    """The census of a box beyond all vertices: one that has as many cells as a box a thousand times as large."""
    half = 100.0
    while half < 1e6:
        found = counted(model, run, half, tolerance=1e-15)
        if found.num_cells == counted(model, run, 1000 * half, tolerance=1e-15).num_cells:
            return found
        half *= 10
    raise ArithmeticError("vertices beyond a million")


def measure_scaling(trial: Trial, run: Run) -> Scores:
    """A network, and the same with biases and box three times as large."""
    widths = (3, 10, 6) if trial.preset == "smoke" else (3, 24, 12)
    base = counted(network(widths, bias=0.05, seed=trial.seed), run)
    if trial.arm == "original":
        return {"num_cells": float(base.num_cells), "distance": 0.0}
    other = counted(scaled(network(widths, bias=0.05, seed=trial.seed), 3.0), run, half=3.0)
    distance = base.tally("pull").distance(other.tally("pull"), "num_simplices")
    return {"num_cells": float(other.num_cells), "distance": distance}


def measure_contrast(trial: Trial, run: Run) -> Scores:
    """Facets of the most complicated cell of one layer."""
    if trial.arm == "neurons":
        return {"most_facets": float(TANGENT)}
    made = trial.arm == "tangent"
    model = tangent_network(TANGENT, 3, seed=trial.seed) if made else network((3, TANGENT), seed=trial.seed)
    return {"most_facets": float(counted(model, run).interior_degree.max())}


def measure_initialization(trial: Trial, run: Run) -> Scores:
    """All cells of a network at random initialization."""
    if trial.arm == "stated":
        return {"share_simple": STATED_SHARE, "mean_facets": 6.0}
    init: Init = trial.arm  # type: ignore[assignment]
    return _tallied(network(WIDTHS[trial.preset], init=init, seed=trial.seed), trial, run)


def measure_depth(trial: Trial, run: Run) -> Scores:
    """The same width, more hidden layers."""
    depth = int(trial.arm.removeprefix("depth_"))
    model = network((3, *[DEPTH_WIDTH[trial.preset]] * depth), seed=trial.seed)
    return _tallied(model, trial, run)


def measure_bias(trial: Trial, run: Run) -> Scores:
    """The same weights, biases of another size."""
    bias = float(trial.arm.removeprefix("bias_"))
    return _tallied(network(WIDTHS[trial.preset], bias=bias, seed=trial.seed), trial, run)


def measure_large(trial: Trial, run: Run) -> Scores:
    """A census too large to keep."""
    if trial.arm == "stated":
        return {"share_simple": STATED_SHARE}
    return _tallied(network(LARGE, seed=trial.seed), trial, run)


def _tallied(model: nn.Module, trial: Trial, run: Run) -> Scores:
    """Scores of the unit box, streamed where the preset's networks may not fit."""
    from visus.methods.polytopes import census_stream

    if trial.preset in ("smoke", "demo"):
        return shape_scores(counted(model, run).tally("pull"))
    return shape_scores(census_stream(model, (-1.0, 1.0), device=run.device, memory_gb=MEMORY_GB))


def measure_sampling(trial: Trial, run: Run) -> Scores:
    """One network seen in three ways: all cells, the cells that points find, and by volume."""
    model = network(WIDTHS[trial.preset], bias=BIAS, seed=trial.seed)
    if trial.arm == "sampled":
        found = sample_cells(model, points=POINTS[trial.preset], seed=trial.seed)
        share = found.share("num_simplices", at_most=SIMPLE)
        return {"num_cells": float(found.num_cells), "share_simple": share}
    tally = counted(model, run).tally("pull")
    weight = "volume" if trial.arm == "by_volume" else "cells"
    share = tally.share("num_simplices", SIMPLE, weight)
    return {"num_cells": float(tally.num_cells), "share_simple": share}


def measure_lines(trial: Trial, run: Run) -> Scores:
    """Cells of random lines whose centers lie well inside the box, so that no side of it cuts them.

    Weighting typical cells by area gives the cell around a fixed point of the plane.
    """
    if trial.arm == "poisson":
        return {"sides_by_volume": weighted_vertices(2), "triangles": TRIANGLES}
    found = counted(random_arrangement(LINES[trial.preset], 2, seed=trial.seed), run)
    inner = (found.centroids.abs().amax(1) < 0.7) & ~found.touches_box
    return line_scores(found.num_facets[inner], found.volumes[inner])


def line_scores(sides: Tensor, areas: Tensor) -> Scores:
    """Mean number of sides weighted by area, and the share of triangles."""
    weighted = (sides.double() * areas).sum() / areas.sum()
    return {"sides_by_volume": float(weighted), "triangles": float((sides == 3).double().mean())}
