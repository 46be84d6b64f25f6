"""`visus digest`: a digest page in, the same page with measured evidence out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from visus.catalogue import Card, cards, find, get
from visus.cli.device import check_device
from visus.cli.terminal import console, heading, table
from visus.errors import InputError, MissingExtra
from visus.protocols import PaperEvidence, Preset
from visus.records import write_atomically, write_json

if TYPE_CHECKING:
    from visus.report.page import Page

FOLDER = Path("runs/digest")


def digest(
    page: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PAGE.md]")] = None,
    *,
    preset: Literal["smoke", "demo", "gpu", "paper"] = "demo",
    only: Annotated[str | None, tyro.conf.arg(metavar="A,B")] = None,
    lang: Literal["en", "zh"] | None = None,
    out: Path = FOLDER,
    seeds: int | None = None,
    workers: int | None = None,
    backend: Literal["local", "ray", "dask"] = "local",
    address: str | None = None,
    device: str = "auto",
) -> None:
    """A digest page in, the same page with measured evidence out.

    Runs the claims of every paper of the page that visus implements and writes OUT/evidence.md (the page with
    evidence), OUT/report.html (one file, no network needed), OUT/evidence.json and OUT/figures. Papers that visus
    does not implement stay on the page and say so. The same command resumes: finished trials do not run again.
    Exit code 0 also if claims fail (that is a result) and if trials crashed (they are listed, in the report too, and
    run again next time).

    Args:
        page: digest page (Markdown); without it, the catalogue of visus.
        preset: smoke takes seconds, demo minutes on 2 cores, gpu needs one GPU, paper uses published values.
        only: measure only these papers of the page, names separated by commas.
        lang: language of what is added; by default that of the page.
        out: folder for trials, evidence and report.
        seeds: seeds per arm instead of the preset's; claims are decided from 3 on.
        workers: trials at one time; by default one per CPU, or one per GPU.
        backend: processes of this machine, or a Ray or Dask cluster that is already running.
        address: the cluster's address; by default from RAY_ADDRESS or DASK_SCHEDULER_ADDRESS.
        device: auto, cpu, cuda or cuda:<n>.
    """
    from visus.report.page import page_of, read

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError("is a file", field=f"--out {out}", remedy="give a folder")
    check_device(device, backend=backend)
    source = page_of(cards(), lang or "en") if page is None else read(page)
    language = lang or source.lang
    study = _Study(
        preset=preset,
        out=out,
        options={
            "seeds": seeds,
            "workers": workers,
            "backend": backend,
            "address": address,
            "device": device,
        },
    )
    study.measure(_chosen(source, only))
    command = _command(page, only=only, lang=lang, out=out, preset=preset, options=study.options)
    _write(source, study, lang=language, command=command)
    _tell(study, language)


@dataclass
class _Study:
    """What is measured, one paper after the other."""

    preset: Preset
    out: Path
    options: dict[str, Any]
    papers: list[PaperEvidence] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """Slug -> why the paper was not run, or lacks its figures."""

    def measure(self, chosen: Sequence[Card]) -> None:
        """Measure the papers; one whose optional packages are missing is left out and said to be."""
        from visus.study import measure

        loaded = {}
        for card in chosen:  # before anything is measured, so that what is missing shows at once
            try:
                loaded[card.slug] = card.load()
            except MissingExtra as error:
                self.notes[card.slug] = str(error)
                _warn(f"{card.slug} is left out: {error}")
        for card in chosen:
            if card.slug not in loaded:
                continue
            heading(f"{card.slug}: {card.title}")
            paper = measure(
                loaded[card.slug],
                card.slug,
                arxiv=card.arxiv,
                preset=self.preset,
                out=self.out,
                **self.options,
            )
            self.papers.append(self._with_figures(paper, card))

    def _with_figures(self, paper: PaperEvidence, card: Card) -> PaperEvidence:
        """The method's own figures; a broken one does not cost the measurements."""
        import importlib

        try:
            module = importlib.import_module(f"{card.package}.figures")
        except ModuleNotFoundError as error:
            if error.name in (card.package, f"{card.package}.figures"):
                return paper
            raise
        try:
            return replace(paper, figures=list(module.figures(paper)))
        except Exception as error:
            _warn(f"{card.slug}: its figures could not be drawn ({type(error).__name__}: {error})")
            return paper


def _chosen(page: Page, only: str | None) -> list[Card]:
    """The implemented papers of the page, in its order, or those of them that `only` names."""
    from visus.report.listing import list_papers

    on_page = list(
        {paper.slug: paper.card for paper in list_papers(page, {}, cards()) if paper.card}.values()
    )
    works = [card for card in on_page if card.implemented]
    if only is None:
        return works
    names = [name.strip() for name in only.split(",") if name.strip()]
    if not names:
        raise InputError(
            "names no paper", field="--only", remedy="write for example --only attention,hyperfusion"
        )
    wanted = {card.slug for card in (find(name) or get(name) for name in names)}
    for slug in sorted(wanted):
        if slug not in {card.slug for card in works}:
            why = (
                "is not implemented yet" if slug in {card.slug for card in on_page} else "is not on the page"
            )
            remedy = "choose from " + ", ".join(card.slug for card in works) if works else "leave out --only"
            raise InputError(f"{slug} {why}", field="--only", remedy=remedy)
    return [card for card in works if card.slug in wanted]


def _write(source: Page, study: _Study, *, lang: str, command: str) -> None:
    """Make everything first, then write file by file, each at one stroke, what names the others last."""
    from visus.report.digest_page import FIGURES, REPORT, annotate, figure_files
    from visus.report.html import report
    from visus.report.listing import Context, list_papers
    from visus.report.page import write
    from visus.study import to_json

    document = to_json(study.papers, preset=study.preset, device=study.options["device"])
    context = Context(
        header={key: value for key, value in document.items() if key != "papers"},
        command=command,
        notes=study.notes,
    )
    by_arxiv = {paper.arxiv: paper for paper in study.papers}
    figures = figure_files(study.papers, lang=lang)
    annotated = write(annotate(source, by_arxiv, cards(), lang, context=context))
    page = report(list_papers(source, by_arxiv, cards(), study.notes), context, lang=lang)
    for name, svg in figures.items():
        write_atomically(study.out / FIGURES / name, svg)
    write_json(study.out / "evidence.json", document)
    write_atomically(study.out / REPORT, page)
    write_atomically(study.out / "evidence.md", annotated)


def _tell(study: _Study, lang: str) -> None:
    from visus.report.reading import read, tally
    from visus.report.words import words

    if not study.papers:
        console().print(
            "No paper of this page is implemented in visus yet; the page says so.", soft_wrap=True
        )
    rows = []
    for paper in study.papers:
        for evidence in paper.claims:
            reading = read(evidence, lang)
            verdict = f"{reading.mark} {reading.verdict_word}"
            rows.append((paper.slug, verdict, reading.effect, reading.interval, reading.statement))
    if rows:
        print()
        said = words(lang)
        table(
            (said["paper"], said["verdict"], said["effect"], said["interval"], said["claim"]), rows, spare=3
        )
        print("\n" + said["comma"].join(tally(study.papers, lang)))
    crashed = [f"{paper.slug}/{name}" for paper in study.papers for name in paper.failures]
    if crashed:
        _warn(f"{len(crashed)} trials crashed (tracebacks in the report): {', '.join(crashed)}")
    for name in ("report.html", "evidence.md", "evidence.json"):
        console().print(str(study.out / name), markup=False, soft_wrap=True)


def _warn(message: str) -> None:
    console(stderr=True).print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)


def _command(
    page: Path | None, *, only: str | None, lang: str | None, out: Path, preset: str, options: dict[str, Any]
) -> str:
    """The command line that gives this evidence again."""
    given = {"preset": preset, "only": only, "lang": lang, "out": out, **options}
    usual = {"backend": "local", "device": "auto"}
    words = ["visus", "digest", *([str(page)] if page is not None else [])]
    for name, value in given.items():
        if value is not None and usual.get(name) != value:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
