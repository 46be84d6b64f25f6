"""A search with networks trained on the user's pictures, and what is written of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.gptnas.verbs.models import say_known
from visus.records import leaving_nothing, write_atomically, write_json
from visus.webpage import Page

if TYPE_CHECKING:
    from visus.methods.gptnas.config import GPTNASConfig
    from visus.methods.gptnas.estimator import GPTNAS
    from visus.methods.gptnas.search.run import Progress


def search_pictures(
    config: GPTNASConfig,
    source: Any,
    out: Path,
    *,
    seed: int,
    device: str,
    workers: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Search, without the final training, and write what was found; run again to resume."""
    from visus.engine import Run
    from visus.methods.gptnas.estimator import GPTNAS

    made = GPTNAS(config)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, progress=False)
        made.search(source, run, workers=workers, progress=progress if run.is_main else None)
    if not run.is_main:
        return
    summary = write_search(made, out)
    print(f"best accuracy {summary['fitness']:.4f} on held-out pictures: {' > '.join(summary['blocks'])}")
    say_known(made)
    print(f"written: {out / 'index.html'}")


def write_search(made: GPTNAS, out: Path) -> dict[str, Any]:
    """best.txt (the record), best.svg, curve.svg, history.csv, summary.json and index.html."""
    from visus.methods.gptnas.figures import draw_architecture, draw_curves

    space, best = made.space(), made.best_
    winner = next(entry for entry in made.search_ if tuple(entry["individual"]) == tuple(best))
    record = made.architecture()
    regrown = [place for place, flag in enumerate(winner["regrown"]) if flag]
    drawing = draw_architecture(record, regrown=regrown, merge=False)
    curve = draw_curves(
        {"gpt" if made.information_ is not None else "ga": best_so_far(made.search_)},
        quantity="best accuracy so far on held-out pictures (%)",
        log=False,
        first=1,
    )
    summary = {
        "blocks": list(space.names(best)),
        "fitness": winner["fitness"],
        "candidates": len(made.search_),
        "parameters": record.num_params,
        "information_nats": made.information_,
        "warnings": made.warnings_,
    }
    write_atomically(out / "best.txt", record.to_text())
    write_atomically(out / "best.svg", drawing)
    write_atomically(out / "curve.svg", curve)
    write_atomically(out / "history.csv", history_csv(made))
    write_json(out / "summary.json", summary)
    page = Page("Architecture search on pictures")
    page.add_text(
        f"{summary['candidates']} candidates trained; the best reached {100 * winner['fitness']:.2f} % on pictures "
        "held out of their training."
    )
    if made.information_ is not None:
        page.add_text(
            f"Information of the prior on held-out networks: {made.information_:.3f} nats per layer."
        )
    for warning in made.warnings_:
        page.add_text(f"Warning: {warning}.", note=True)
    page.add_drawing(curve, "Accuracy of the best candidate so far.")
    page.add_heading("The best architecture")
    page.add_drawing(
        drawing, "Its blocks with the sizes after them; framed blocks were written by the prior."
    )
    page.add_code(record.to_text(), title=f"Its record, {len(record.layers)} layers (best.txt)")
    page.add_heading("All candidates").add_table(*candidate_rows(made))
    page.write(out / "index.html")
    return summary


def candidate_rows(made: GPTNAS) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of candidates, the best first; blocks the prior wrote stand in brackets."""
    space, rows = made.space(), []
    for number, entry in enumerate(made.search_, 1):
        names = zip(space.names(entry["individual"]), entry["regrown"], strict=True)
        blocks = " > ".join(f"[{name}]" if flag else name for name, flag in names)
        rows.append((entry["fitness"], [blocks, f"{100 * entry['fitness']:.2f}", str(number)]))
    rows.sort(key=lambda row: -row[0])
    return ["blocks (in brackets: written by the prior)", "accuracy, %", "number"], [row for _, row in rows]


def best_so_far(history: Sequence[dict[str, Any]]) -> list[float]:
    """The largest fitness of the first n candidates, in %."""
    found, top = [], -math.inf
    for entry in history:
        top = max(top, entry["fitness"])
        found.append(100 * top)
    return found


def history_csv(made: GPTNAS) -> str:
    """One row per candidate in the order of the search."""
    space = made.space()
    lines = ["number,generation,fitness,regrown,blocks"]
    for number, entry in enumerate(made.search_, 1):
        names = " > ".join(space.names(entry["individual"]))
        written = "".join("x" if flag else "." for flag in entry["regrown"])
        lines.append(f'{number},{entry["generation"]},{entry["fitness"]:.6f},{written},"{names}"')
    return "\n".join(lines) + "\n"
