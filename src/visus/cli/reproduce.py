"""`visus reproduce`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.markup import escape
from rich.table import Table

from visus.catalogue import find, get
from visus.cli.device import check_device
from visus.cli.terminal import console, heading
from visus.protocols import Evidence, PaperEvidence
from visus.records import read_json, write_json

_COLORS = {"holds": "green", "fails": "red", "undecided": "yellow"}


def reproduce(
    slug: Annotated[str, tyro.conf.Positional],
    *,
    preset: Literal["smoke", "demo", "gpu", "paper"] = "demo",
    seeds: int | None = None,
    workers: int | None = None,
    backend: Literal["local", "ray", "dask"] = "local",
    address: str | None = None,
    out: Path | None = None,
    experiments: list[str] | None = None,
    device: str = "auto",
) -> int:
    """Measure the claims of one paper: every arm with every seed, then the verdicts.

    Results are kept trial by trial: the same command goes on after a stop (Ctrl-C), and runs crashed trials
    again. Writes OUT/evidence.json. Exit code 1 if a trial crashed.

    Args:
        slug: name of the paper, as in `visus list`; its arXiv number or title will do too.
        preset: smoke takes seconds, demo minutes on 2 cores, gpu needs one GPU, paper uses published values.
        seeds: seeds per arm instead of the preset's; claims are decided from 3 on.
        workers: trials at one time; by default one per CPU, or one per GPU.
        backend: processes of this machine, or a Ray or Dask cluster that is already running.
        address: the cluster's address; by default from RAY_ADDRESS or DASK_SCHEDULER_ADDRESS.
        out: folder for trials and evidence; by default runs/SLUG.
        experiments: only these experiments; evidence of the others already in OUT is kept.
        device: auto, cpu, cuda or cuda:<n>.
    """
    from visus.study import from_json, measure, merge, to_json

    check_device(device, backend=backend)
    card = find(slug) or get(slug)
    provable = card.load()
    out = Path("runs") / card.slug if out is None else Path(out)
    file = out / "evidence.json"
    before = _before(file, preset) if experiments else None
    paper = measure(
        provable,
        card.slug,
        arxiv=card.arxiv,
        preset=preset,
        out=out,
        seeds=seeds,
        experiments=experiments,
        workers=workers,
        backend=backend,
        address=address,
        device=device,
    )
    document = to_json([paper], preset=preset, device=device)
    if before is not None:
        document = merge(before, document)
    write_json(file, document)
    whole = next(found for found in from_json(document) if found.slug == card.slug)
    heading(f"{card.title} ({card.url})")
    show(whole)
    _failures(paper)
    console().print(f"\n{_summary(whole)}. Evidence: {escape(str(file))}", soft_wrap=True)
    return 1 if paper.failures else 0


def show(paper: PaperEvidence) -> None:
    """Print the verdict table; columns separated by tabs where the output is no terminal."""
    rows = [_row(evidence) for evidence in paper.claims]
    heads = ("Claim", "Arms (mean ± sd)", "Effect [95 % interval]", "Verdict")
    screen = console()
    if not screen.is_terminal:
        for row in (heads, *rows):
            print("\t".join(cell.replace("\n", "; ") for cell in row))
        return
    grid = Table(show_lines=True)
    for head, share in zip(heads, (4, 4, 3, 2), strict=True):
        grid.add_column(head, ratio=share, overflow="fold")
    for evidence, row in zip(paper.claims, rows, strict=True):
        color = _COLORS[evidence.verdict]
        grid.add_row(*map(escape, row[:-1]), f"[{color}]{escape(row[-1])}[/{color}]")
    screen.print(grid)


def _row(evidence: Evidence) -> tuple[str, str, str, str]:
    from visus.report.reading import read

    arms = {arm: [value for value in column if math.isfinite(value)] for arm, column in evidence.arms.items()}
    reading = read(replace(evidence, arms=arms), "en")
    lines = [
        f"{arm.name}: {arm.mean}" + (f" ± {arm.deviation}" if arm.count > 1 else "") + f" (n={arm.count})"
        for arm in reading.arms
    ]
    effect = reading.effect if evidence.interval is None else f"{reading.effect} {reading.interval}"
    caveat = f"{reading.caveat_word}: {reading.caveat}" if reading.caveat else ""
    verdict = "\n".join(text for text in (reading.verdict_word, reading.why, caveat) if text)
    return f"{reading.statement}\n({reading.condition})", "\n".join(lines), effect, verdict


def _failures(paper: PaperEvidence) -> None:
    for name, text in paper.failures.items():
        print()
        heading(f"crashed: {name}")
        console().print(escape(text.rstrip()), soft_wrap=True)


def _summary(paper: PaperEvidence) -> str:
    from visus.report.reading import tally

    return ", ".join(tally([paper], "en"))


def _before(file: Path, preset: str) -> dict[str, Any] | None:
    """Evidence to add to; refused before anything is measured if it does not fit."""
    from visus.errors import InputError
    from visus.study import from_json

    if not file.exists():
        return None
    document = read_json(file)
    from_json(document, file=file)
    if document.get("preset") != preset:
        remedy = f"give --preset {document.get('preset')} or another --out"
        raise InputError(
            f"holds evidence of another preset than {preset}", file=file, field="preset", remedy=remedy
        )
    return document
