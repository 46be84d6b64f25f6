"""What a census leaves in a folder: tables, pictures, one page to read."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from visus.methods.polytopes.config import SIMPLE
from visus.records import write_atomically, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from visus.methods.polytopes.baselines import Sample
    from visus.methods.polytopes.estimator import Polytopes
    from visus.methods.polytopes.model import Complex, Tally
    from visus.methods.polytopes.model.simplices import Rule
    from visus.methods.polytopes.model.tally import Measure

NAMES: Mapping[Measure, str] = {
    "num_facets": "facets",
    "num_simplices": "simplices",
    "num_vertices": "vertices",
    "interior_degree": "neighbors",
}
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.2rem .7rem;text-align:right;
border-bottom:1px solid #ddd;white-space:nowrap}td:first-child,th:first-child{text-align:left}
th[colspan]{text-align:center;border:0;color:#555;font-weight:normal}.table{overflow-x:auto}
svg{max-width:100%;height:auto}figure{margin:1.5rem 0}figcaption{color:#555}"""
VIEWS = (
    "How many simplices the cells have: every cell counting once, and every cell counting by its volume, which is "
    f"what a random point sees. Shaded: simple cells, of at most {SIMPLE}."
)


class Watch:
    """Tells every few seconds how many cells there are and about how long the rest takes."""

    def __init__(self, every: float = 5.0) -> None:
        self.every = every

    def __enter__(self) -> Self:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._started = self._told = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._told > self._started:
            self._console.print(f"counted in {time.monotonic() - self._started:.0f} s", highlight=False)

    def __call__(self, found: int, expected: int) -> None:
        now = time.monotonic()
        if now - self._told < self.every:
            return
        self._told = now
        left = (now - self._started) * max(0.0, expected / max(found, 1) - 1)
        self._console.print(
            f"{found:,} cells of about {expected:,}, about {left:.0f} s left", highlight=False
        )


def write_complex(
    out: Path, cells: Complex, *, name: str, rule: Rule = "pull", points: Tensor | None = None
) -> None:
    """cells.csv, complex.safetensors, summary.json, pictures and report.html in `out`; prints the table."""
    from visus.methods.polytopes import figures

    tally = cells.tally(rule)
    pictures = {"histograms": (figures.draw_views(tally), VIEWS)}
    if cells.dim == 2:
        drawing = figures.draw_cells(cells, points=None if points is None else points.cpu().numpy())
        dots = "" if points is None else " Dots: the given points."
        caption = (
            f"The cells, colored by their number of triangles. Black: the predicted class changes.{dots}"
        )
        pictures = {"cells": (drawing, caption), **pictures}
    elif cells.dim == 3:
        drawing = figures.draw_exploded(cells)
        pictures = {
            "cells": (drawing, "The cells, pulled apart, colored by their number of facets."),
            **pictures,
        }
    extra: dict[str, Any] = {"f_vector": list(cells.f_vector), "dimension": cells.dim}
    extra["box"] = [list(map(float, end)) for end in cells.box]
    if points is not None:
        extra["points"] = points.tolist()
    from visus.data.formats.table import write_table

    write_table(out / "cells.csv", _table(cells, rule))
    cells.save(out / "complex.safetensors")
    _finish(out, tally, name=name, dimension=cells.dim, pictures=pictures, extra=extra)


def write_tally(out: Path, tally: Tally, *, name: str, dimension: int) -> None:
    """summary.json, the histogram and report.html in `out`; prints the table."""
    from visus.methods.polytopes import figures

    _finish(
        out,
        tally,
        name=name,
        dimension=dimension,
        pictures={"histograms": (figures.draw_views(tally), VIEWS)},
        extra={"dimension": dimension},
    )


def write_history(out: Path, made: Polytopes, *, name: str, target: str) -> None:
    """history.svg, histograms, the means against the bound, and report.html in `out`; prints the table."""
    from visus.methods.polytopes import figures

    rows = [row for row in made.history_ if row["epoch"] in made.tallies_]
    epochs = [row["epoch"] for row in rows]
    tallies = [made.tallies_[epoch] for epoch in epochs]
    pictures = {}
    if tallies:
        scores = {"accuracy": [row["accuracy"] for row in rows]}
        ends = {f"epoch {epoch}": made.tallies_[epoch] for epoch in dict.fromkeys((epochs[0], epochs[-1]))}
        means = {f"epoch {row['epoch']}": [row["interior_degree_mean"]] for row in rows}
        counts = {f"epoch {row['epoch']}": [row["num_cells"]] for row in rows}
        bounds = figures.draw_bounds(
            means, counts, dimension=len(made.columns_), what="mean neighbors per cell"
        )
        pictures = {
            "history": (figures.draw_history(epochs, tallies, scores=scores), "The cells while training."),
            "histograms": (figures.draw_histograms(ends), "Every cell counting once."),
            "histograms_by_volume": (
                figures.draw_histograms(ends, weight="volume"),
                "Every cell counting by its volume: what a random point of the box sees.",
            ),
            "bounds": (
                bounds,
                "The mean number of neighbors beside 2 d, the theorem's bound for networks in general position: "
                "it hardly knows how many cells there are.",
            ),
        }
    head = ("epoch", "accuracy", "cells", "facets", "simplices", "simple", "simple by volume", "moved")
    lines = [
        f"A classifier of {target} by {', '.join(made.columns_)}, its cells in the box from {_place(made.box_[0])} to "
        f"{_place(made.box_[1])} (standard deviations from the means of the columns).",
        f"Simple cells have at most {SIMPLE} simplices (rule {made.settings.rule}). Moved: distance of the "
        "histogram of facets from the first one (total variation, 0 to 1).",
    ]
    body = [_history_row(row) for row in made.history_]
    for file, (svg, _) in pictures.items():
        write_atomically(out / f"{file}.svg", svg)
    title = f"The cells of {name} while it learns"
    groups = (("", 3), ("mean per cell", 2), ("simple, of the", 2), ("", 1))
    short = (*head[:5], "cells", "volume", "moved")
    write_atomically(out / "report.html", page(title, lines, short, body, pictures, groups=groups))
    _say(title, [], head, body)


def _history_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    start = (str(row["epoch"]), f"{row['accuracy']:.3f}")
    if "given_up" in row:
        return (*start, row["given_up"], "", "", "", "", "")
    return (
        *start,
        f"{int(row['num_cells']):,}",
        f"{row['num_facets_mean']:.2f}",
        f"{row['num_simplices_mean']:.2f}",
        f"{row[f'num_simplices_at_most_{SIMPLE}']:.1%}",
        f"{row[f'num_simplices_at_most_{SIMPLE}_by_volume']:.1%}",
        f"{row['num_facets_moved']:.3f}",
    )


def _place(point: Sequence[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in point)})"


def write_sample(out: Path, found: Sample, *, name: str, points: int, seed: int) -> None:
    """What sampling sees, with the warning that it is not a census."""
    warning = (
        f"{points:,} random points fell into {found.num_cells:,} cells. This is no census: a cell is found in "
        "proportion to its volume, and large cells have more facets and simplices."
    )
    rows = {
        NAMES[measure]: {
            "mean": float(values.mean()),
            "largest": int(values.max()),
            f"at_most_{SIMPLE}": found.share(measure, at_most=SIMPLE),
        }
        for measure in NAMES
        for values in [getattr(found, measure)]
    }
    summary = {"network": name, "mode": "sample", "biased": True, "points": points, "seed": seed}
    write_json(out / "summary.json", {**summary, "cells_found": found.num_cells, **rows})
    head = ("", "mean", "largest", f"at most {SIMPLE}")
    body = [
        (key, f"{row['mean']:.2f}", str(row["largest"]), f"{row[f'at_most_{SIMPLE}']:.1%}")
        for key, row in rows.items()
    ]
    _say(f"{name}: a sample, not a census", [warning], head, body)
    write_atomically(out / "report.html", page(f"{name}: a sample, not a census", [warning], head, body, {}))
    print(f"written: {out}")


def _table(cells: Complex, rule: Rule) -> Any:
    import pandas as pd

    shapes = cells.shapes(rule)
    columns = {
        "cell": range(cells.num_cells),
        "facets": shapes.num_facets.tolist(),
        "vertices": shapes.num_vertices.tolist(),
        "simplices": shapes.num_simplices.tolist(),
        "neighbors": shapes.interior_degree.tolist(),
        "volume": shapes.volumes.tolist(),
        "touches_box": shapes.touches_box.int().tolist(),
    }
    centers = cells.centroids.cpu()
    return pd.DataFrame({**columns, **{f"center_{i + 1}": centers[:, i].tolist() for i in range(cells.dim)}})


def _finish(
    out: Path,
    tally: Tally,
    *,
    name: str,
    dimension: int,
    pictures: Mapping[str, tuple[str, str]],
    extra: Mapping[str, Any],
) -> None:
    from visus.methods.polytopes.baselines.bounds import mean_facets_bound

    head = (
        "per cell",
        "mean",
        "90 %",
        "largest",
        f"at most {SIMPLE}",
        "mean by volume",
        f"at most {SIMPLE} by volume",
    )
    body = [
        (
            label,
            f"{tally.mean(measure):.2f}",
            str(tally.quantile(measure, 0.9)),
            str(tally.largest(measure)),
            f"{tally.share(measure, SIMPLE):.1%}",
            f"{tally.mean(measure, 'volume'):.2f}",
            f"{tally.share(measure, SIMPLE, 'volume'):.1%}",
        )
        for measure, label in NAMES.items()
    ]
    lines = [
        f"{tally.num_cells:,} cells fill a volume of {tally.volume:.6g}; {tally.num_touching:,} touch the box."
    ]
    lines.append(f"Simplices are those of the rule {tally.rule}; facets on the box count.")
    lines.append(
        f"Inside the box a cell has {tally.mean('interior_degree'):.2f} neighbors on average; the theorem's bound for "
        f"networks in general position is 2 d = {mean_facets_bound(dimension)}."
    )
    summary = {
        "network": name,
        "mode": "exact",
        **extra,
        **tally.summary(at_most=SIMPLE),
        "tally": tally.to_plain(),
    }
    write_json(out / "summary.json", summary)
    for file, (svg, _) in pictures.items():
        write_atomically(out / f"{file}.svg", svg)
    groups = (("", 1), ("every cell counting once", 4), ("by volume", 2))
    short = (*head[:5], "mean", f"at most {SIMPLE}")
    shown = page(f"The cells of {name}", lines, short, body, pictures, groups=groups)
    write_atomically(out / "report.html", shown)
    _say(name, lines, head, body)
    print(f"written: {out}")


def _say(title: str, lines: Sequence[str], head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    print(title)
    for line in lines:
        print(line)
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    for row in (head, *body):
        print("  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]))


def page(
    title: str,
    lines: Sequence[str],
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    pictures: Mapping[str, tuple[str, str]],
    *,
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """One HTML page without links to anything: text, a table, pictures; `groups` are heads over some columns."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

    shown = "".join(
        f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for svg, caption in pictures.values()
    )
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    over = "".join(f"<th colspan={width}>{html.escape(label)}</th>" for label, width in groups)
    rows = cells(head, "th") + "".join(cells(row, "td") for row in body)
    table = f"<tr>{over}</tr>{rows}" if groups else rows
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{text}"
        f'<div class="table"><table>{table}</table></div>{shown}'
        "</body></html>\n"
    )
