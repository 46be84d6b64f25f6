"""`visus gptnas search`: on the table of a benchmark, or with networks trained on the user's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from visus.errors import InputError
from visus.methods.gptnas.verbs.models import PresetName, configured, read_pictures, told


def search(
    *,
    space: Literal["nb201", "macro", "blocks"] = "nb201",
    dataset: Literal["cifar10", "cifar100", "imagenet"] = "cifar100",
    prior: str | None = None,
    evals: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    arms: list[str] | None = None,
    out: Path = Path("gptnas-search"),
    population: int | None = None,
    rate: float | None = None,
    workers: int = 1,
    table: Path | None = None,
    tests: Path | None = None,
    proxy: Path | None = None,
    images: Path | None = None,
    preset: PresetName = "demo",
    set: list[str] | None = None,
    device: str = "auto",
) -> None:
    """Search architectures: many times on a benchmark's table, or once with your pictures.

    Spaces nb201 (needs the extra `nas`) and macro (needs --table) look accuracies up, run every arm with many
    seeds and compare them at equal numbers of evaluations. Space blocks trains every candidate on --images;
    run it again to resume. Written to OUT: a page, figures, and the numbers.

    Args:
        space: nb201, macro or blocks.
        dataset: images of the nb201 table; imagenet is ImageNet16-120.
        prior: what regrows blocks. Tables: SET:topP or SET:bottomP (trained on that share of another set's
            table), none, uniform, null, anti, or the folder of a saved prior; cifar10:top10 (for cifar10,
            cifar100:top10) if left out. Blocks: zoo, uniform, none, or a folder.
        evals: budget of different evaluations (50 on tables).
        seeds: searches per arm on tables (100).
        seed: the first seed; every random choice follows from it.
        arms: searches to compare on tables: random, regularized, ga, uniform, null, anti, keep70, sampling, gpt,
            gpt_init, tpe; gpt@0.2 has an elimination rate of its own. All that the prior allows if left out.
        out: folder to write to.
        population: individuals kept (10 on tables).
        rate: elimination rate at the beginning (0.4).
        workers: processes that search, or train candidates, side by side.
        table: the JSON of NAS-Bench-Macro.
        tests: JSON with test accuracies of NAS-Bench-201, to report instead of validation accuracies.
        proxy: CSV with NAS-Bench-201 accuracies after 12 epochs, to search on.
        images: folder or table of labeled pictures, for space blocks.
        preset: sizes and training time, for space blocks.
        set: settings to change, as key=value, for space blocks.
        device: auto, cpu or cuda, for space blocks.
    """
    if workers < 1:
        raise InputError(f"is {workers}", field="--workers", remedy="give 1 or more")
    if space == "blocks":
        _only_for("tables", arms=arms, seeds=seeds, table=table, tests=tests, proxy=proxy)
        if images is None:
            raise InputError("is needed for --space blocks", field="--images", remedy="give labeled pictures")
        from visus.methods.gptnas.verbs.pictures import search_pictures

        named = {"evaluations": evals, "population": population, "elimination": rate}
        given = [*(set or []), *(f"{key}={value}" for key, value in named.items() if value is not None)]
        config = configured(preset, given, prior=prior, workers=workers)
        source = read_pictures(images, "train", image_size=config.image_size)
        search_pictures(config, source, out, seed=seed, device=device, workers=workers, progress=told(True))
        return
    _only_for("--space blocks", images=images, set=set)
    from visus.methods.gptnas.verbs.tables import TableSearch, search_table

    for name, value, least in (("seeds", seeds, 1), ("population", population, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InputError(f"is {value}", field=f"--{name}", remedy=f"give {least} or more")
    if rate is not None and not 0 <= rate <= 1:
        raise InputError(f"is {rate}", field="--rate", remedy="give a probability, 0 to 1")
    asked = TableSearch(
        space=space,
        dataset=dataset,
        prior=prior or ("none" if space == "macro" else default_prior(dataset)),
        evals=50 if evals is None else evals,
        seeds=100 if seeds is None else seeds,
        seed=seed,
        arms=tuple(arms or ()),
        population=10 if population is None else population,
        rate=0.4 if rate is None else rate,
        workers=workers,
        table=table,
        tests=tests,
        proxy=proxy,
    )
    search_table(asked, out)


def default_prior(dataset: str) -> str:
    """A model of the best tenth of another set's cells."""
    from visus.methods.gptnas.verbs.tables import other_dataset

    return f"{other_dataset(dataset)}:top10"


def _only_for(what: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"is for {what}", field=f"--{name}", remedy="leave it out, or change --space")
