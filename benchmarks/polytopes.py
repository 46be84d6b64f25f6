"""The exact census against other ways to the cells of a network, side by side in one run.

    python benchmarks/polytopes.py [--quick] [--out polytopes.json] [--device cuda] [--memory 4]

Up to 16 GB of memory:

    python benchmarks/polytopes.py --memory 16 --out polytopes.json

Every way gives cells per second; a ratio says how many times faster the census is:

- `linear programs`: the walk over cells that tests every row of every cell (scipy, and highspy with warm starts),
  on the first cells it reaches;
- `edges`: torch edge subdivision, which yields vertices and edges and no cells;
- `half-spaces`: qhull's intersection of half-spaces per cell, from a point inside that is given to it;
- `hull`, `Delaunay`: qhull on the vertices of each cell, which are given to it.

The last three start from what the census found, so they are lower bounds on their cost. With one CPU thread (the
default) processor time is taken; two workers are timed on the wall. Memory is the growth of a fresh process's peak
while it counts. Exit code 1 if, on a CPU, a gate is missed: 3-32-32-32 in less than 1 s and 3-80-40 with biases
.01 in less than 10 s of processor time.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from timing import measure, provenance
from visus.methods.polytopes import Complex, census
from visus.methods.polytopes.baselines import subdivide_edges, walk_cells
from visus.methods.polytopes.baselines.layers import halfspaces, hidden_layers
from visus.methods.polytopes.baselines.programs import Solver

SAMPLE = 400
"""Cells that are enough to time what is done cell by cell."""
PROGRAMS: dict[Solver, int] = {"scipy": 400, "highspy": 2000}
"""Linear programs that are enough to time a walk; at least two cells are walked."""
BYTES_PER_CELL = {2: 1000, 3: 2000, 4: 4000, 5: 10_000}
"""Generous guesses that keep the sweeps below the memory limit; what was measured is in the output."""


@dataclass(frozen=True, kw_only=True)
class Net:
    """A ReLU stack and a box [-half, half]^d; `bias` None starts it as torch does."""

    widths: tuple[int, ...]
    bias: float | None = None
    half: float = 1.0
    seconds: float | None = None
    """Gate on the processor time of a census."""

    @property
    def name(self) -> str:
        return "-".join(map(str, self.widths)) + (f" (+-{self.half:g})" if self.half != 1 else "")

    def build(self) -> nn.Sequential:
        """Float64 weights of seed 0: Xavier uniform with constant biases, else uniform within 1 / sqrt(fan-in)."""
        generator = torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(self.widths, (*self.widths[1:], 1), strict=True):
            layer = nn.Linear(fan_in, fan_out, dtype=torch.float64)
            reach = fan_in**-0.5
            with torch.no_grad():
                if self.bias is None:
                    layer.weight.uniform_(-reach, reach, generator=generator)
                    layer.bias.uniform_(-reach, reach, generator=generator)
                else:
                    nn.init.xavier_uniform_(layer.weight, generator=generator)
                    layer.bias.fill_(self.bias)
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers[:-1])


GATES = {
    "3-32-32-32": Net(widths=(3, 32, 32, 32), seconds=1.0),
    "3-80-40": Net(widths=(3, 80, 40), bias=0.01, seconds=10.0),
}
FULL = [
    Net(widths=(2, 16, 16, 16)),
    Net(widths=(2, 16, 16, 16), half=10.0),
    Net(widths=(2, 64, 64, 64), half=10.0),
    Net(widths=(2, 256, 256, 256)),
    GATES["3-32-32-32"],
    Net(widths=(3, 40, 20)),
    GATES["3-80-40"],
    Net(widths=(3, 160, 80)),
    Net(widths=(3, *[20] * 8)),
    Net(widths=(4, 10, 10)),
    Net(widths=(5, 8, 6)),
]
QUICK = [Net(widths=(2, 16, 16)), Net(widths=(3, 10, 10)), Net(widths=(4, 6, 5))]
SWEEPS = {
    "width": [Net(widths=(3, n, n), bias=0.01) for n in (10, 20, 40, 80, 160, 240, 320)],
    "depth": [Net(widths=(3, *[20] * n), bias=0.01) for n in (1, 2, 3, 4, 5, 6, 8, 10, 14, 20)],
    "dimension": [Net(widths=(d, 12, 12), bias=0.01) for d in (2, 3, 4, 5, 6)],
}
QUICK_SWEEPS = {"width": [Net(widths=(3, n, n), bias=0.01) for n in (5, 10)]}


def count(net: Net, device: str, workers: int = 1) -> Complex:
    """The census of the benchmark."""
    return census(net.build(), (-net.half, net.half), device=device, workers=workers)


# ---- ways to the cells ------------------------------------------------------------------------------------


def ways(net: Net, found: Complex, device: str) -> dict[str, tuple[Callable[[], Any], int]]:
    """Name -> what is timed, and how many cells that call is worth."""
    model, box = net.build(), (-net.half, net.half)
    made: dict[str, tuple[Callable[[], Any], int]] = {
        "census": (functools.partial(count, net, device), found.num_cells),
        "edges": (functools.partial(subdivide_edges, model, box, device=device), found.num_cells),
    }
    chosen = np.random.default_rng(0).permutation(found.num_cells)[:SAMPLE]
    spaces = list(given_halfspaces(net, found, chosen))
    points = [found.lattice.points[found.vertices_of(int(cell))].cpu().numpy() for cell in chosen]
    made["half-spaces"] = (functools.partial(intersect, spaces), len(chosen))
    made["hull"] = (functools.partial(hull, points), len(chosen))
    made["Delaunay"] = (functools.partial(delaunay, points), len(chosen))
    rows = sum(net.widths[1:]) + 2 * net.widths[0]
    for solver, programs in PROGRAMS.items():
        if importlib.util.find_spec(solver):
            few = max(2, min(found.num_cells, programs // rows))
            walk = functools.partial(walk_cells, model, box, solver=solver, most=few)
            made[f"linear programs ({solver})"] = (walk, few)
    return made


def given_halfspaces(net: Net, found: Complex, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (normal, offset) as qhull wants them, and a point inside, for some cells."""
    layers, d = hidden_layers(net.build()), net.widths[0]
    bounds = (np.full(d, -net.half), np.full(d, net.half))
    patterns, centers = found.patterns().cpu().numpy(), found.centroids.cpu().numpy()
    for cell in chosen:
        normals, offsets = halfspaces(layers, patterns[cell], bounds)
        used = np.abs(normals).sum(1) > 0
        yield np.c_[-normals[used], -offsets[used]], centers[cell]


def intersect(spaces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Vertices of each cell from its half-spaces."""
    from scipy.spatial import HalfspaceIntersection, QhullError

    for rows, inside in spaces:
        try:
            HalfspaceIntersection(rows, inside)
        except QhullError:  # a sliver: the time until qhull gives up counts all the same
            continue


def hull(points: list[np.ndarray]) -> None:
    """Facets of each cell from its vertices."""
    from scipy.spatial import ConvexHull, QhullError

    for corners in points:
        try:
            ConvexHull(scaled(corners))
        except QhullError:
            continue


def delaunay(points: list[np.ndarray]) -> None:
    """Simplices of each cell from its vertices."""
    from scipy.spatial import Delaunay, QhullError

    for corners in points:
        try:
            Delaunay(scaled(corners))
        except QhullError:
            continue


def scaled(corners: np.ndarray) -> np.ndarray:
    """Centered, extent one."""
    return (corners - corners.mean(0)) / np.ptp(corners, axis=0)


# ---- measuring --------------------------------------------------------------------------------------------


def compare(net: Net, device: str, seconds: float) -> dict[str, Any]:
    """Cells per second of every way on one network."""
    found = count(net, device)
    made = ways(net, found, device)
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    calls = {name: call for name, (call, _) in made.items()}
    times = measure(calls, repeats=5, warmup=0, seconds=seconds, clock=clock)
    rates = {name: made[name][1] / min(spent) for name, spent in times.items()}
    return {
        "net": net.name,
        "cells": found.num_cells,
        "f_vector": list(found.f_vector),
        "seconds": min(times["census"]),
        "gate_seconds": net.seconds,
        "cells_per_second": rates,
        "times_faster": {name: rates["census"] / rate for name, rate in rates.items() if name != "census"},
        "lattice_bytes_per_cell": found.lattice.bytes / found.num_cells,
        "workers": workers_row(net, device),
    }


def workers_row(net: Net, device: str) -> dict[str, float] | None:
    """Seconds on the wall with one and two processes."""
    if device != "cpu":
        return None
    spent = {}
    for workers in (1, 2):
        begun = time.perf_counter()
        count(net, device, workers)
        spent[str(workers)] = time.perf_counter() - begun
    return spent


def peak(net: Net, device: str) -> dict[str, float]:
    """Seconds of processor time, cells and peak memory of a census in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_here, (asdict(net), device, torch.get_num_threads()))


def _peak_here(fields: dict[str, Any], device: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    net = Net(**{**fields, "widths": tuple(fields["widths"])})
    count(Net(widths=(2, 4)), device)  # imports and caches are not the census's
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    before, begun = resident("VmRSS", forget=True), time.process_time()
    found = count(net, device)
    spent = time.process_time() - begun
    grown = resident("VmHWM") - before
    if device != "cpu":
        grown = float(torch.cuda.max_memory_allocated())
    return {"cells": float(found.num_cells), "seconds": spent, "peak_bytes": grown}


def resident(field: str, *, forget: bool = False) -> float:
    """Bytes of this process in memory: `VmRSS` now, `VmHWM` at most since the last call with `forget`; 0 without Linux.

    `ru_maxrss` will not do: a new process inherits its parent's.
    """
    if not Path("/proc/self/status").exists():
        return 0.0
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * int(next(line.split()[1] for line in lines if line.startswith(field)))


def sweep(nets: list[Net], device: str, memory_gb: float, seconds: float) -> Iterator[dict[str, Any]]:
    """Census of ever larger networks, until memory or time would run out.

    The next size is expected to grow as the last two did.
    """
    rows: list[dict[str, Any]] = []
    for net in nets:
        if rows:
            growth = rows[-1]["cells"] / rows[-2]["cells"] if len(rows) > 1 else 4.0
            expected = rows[-1]["cells"] * max(growth, 1.5)
            bytes_each = max(
                rows[-1]["peak_bytes"] / rows[-1]["cells"], BYTES_PER_CELL.get(net.widths[0], 30_000)
            )
            if expected * bytes_each > memory_gb * 1e9 or rows[-1]["seconds"] * growth > seconds:
                return
        found = peak(net, device)
        rows.append({"net": net.name, **found, "cells_per_second": found["cells"] / found["seconds"]})
        yield rows[-1]


# ---- output -----------------------------------------------------------------------------------------------


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the comparison."""
    others = list(dict.fromkeys(name for row in rows for name in row["times_faster"]))
    table = Table(title="cells per second of the census, and how many times faster it is than each other way")
    for column in ("net", "cells", "seconds", "cells/s", *others, "lattice B/cell", "1 / 2 workers, wall s"):
        table.add_column(column, justify="right")
    for row in rows:
        spent = row["workers"]
        table.add_row(
            row["net"],
            f"{row['cells']:,}",
            f"{row['seconds']:.2f}",
            f"{row['cells_per_second']['census']:,.0f}",
            *(f"{row['times_faster'].get(name, float('nan')):.1f}" for name in others),
            f"{row['lattice_bytes_per_cell']:.0f}",
            "-" if spent is None else f"{spent['1']:.2f} / {spent['2']:.2f}",
        )
    console.print(table)


def show_sweep(name: str, rows: list[dict[str, Any]], console: Console) -> None:
    """Print a scaling."""
    table = Table(title=f"scaling in {name}")
    for column in ("net", "cells", "seconds", "cells/s", "peak bytes per cell", "peak MB"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["net"],
            f"{row['cells']:,.0f}",
            f"{row['seconds']:.2f}",
            f"{row['cells_per_second']:,.0f}",
            f"{row['peak_bytes'] / row['cells']:,.0f}",
            f"{row['peak_bytes'] / 1e6:,.0f}",
        )
    console.print(table)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three small networks, no gates (seconds)")
    parser.add_argument("--out", type=Path, help="write the measurements as JSON")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--seconds", type=float, default=None, help="about so long per network and per sweep's step"
    )
    parser.add_argument("--memory", type=float, default=3.0, help="GB that a sweep may use")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write, and judge the gates."""
    options, console = parse(arguments), Console()
    torch.set_num_threads(options.threads)
    limit = options.seconds or (1.0 if options.quick else 20.0)
    rows = [compare(net, options.device, limit) for net in (QUICK if options.quick else FULL)]
    show(rows, console)
    scaling = {}
    for name, nets in (QUICK_SWEEPS if options.quick else SWEEPS).items():
        scaling[name] = list(sweep(nets, options.device, options.memory, limit))
        show_sweep(name, scaling[name], console)
    gates = {row["net"]: row["seconds"] for row in rows if row["gate_seconds"]}
    passed = options.device != "cpu" or all(spent < GATES[name].seconds for name, spent in gates.items())
    for name, spent in gates.items():
        console.print(f"gate: {name} in {spent:.2f} s (less than {GATES[name].seconds:g} s on a CPU)")
    if gates:
        console.print("gates passed" if passed else "gates MISSED")
    if options.out:
        record = {
            "benchmark": "polytopes",
            "provenance": provenance(),
            "gates": {"seconds": gates, "passed": passed},
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**record, "rows": rows, "scaling": scaling}, indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
