"""Searches on a benchmark's table: every arm with many seeds, and what is written of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.gptnas.training.cells import Share, load_cells
from visus.records import write_atomically, write_json
from visus.webpage import Page

if TYPE_CHECKING:
    from visus.data.corpora.architecture_table import ArchitectureTable
    from visus.methods.gptnas.search.priors import TabulatedPrior
    from visus.methods.gptnas.search.sweep import Curves

TableSpace = Literal["nb201", "macro"]
PLAIN = ("random", "regularized", "ga")
WORDS = ("none", "uniform", "null", "anti")
"""Priors by name: no prior; no knowledge; a model of all cells; a model of the worst tenth."""


@dataclass(frozen=True, kw_only=True)
class TableSearch:
    """What is asked for: see `visus gptnas search --help`."""

    space: TableSpace
    dataset: str
    prior: str
    evals: int
    seeds: int
    seed: int
    arms: tuple[str, ...]
    population: int
    rate: float
    workers: int
    table: Path | None = None
    tests: Path | None = None
    proxy: Path | None = None


def search_table(asked: TableSearch, out: Path) -> dict[str, Any]:
    """Sweep all arms and write curves.csv, summary.json, curves.svg, prior.svg, best.svg and index.html into `out`."""
    from visus.methods.gptnas.search.asktell import SearchSettings
    from visus.methods.gptnas.search.sweep import sweep

    table = load_table(asked)
    if not 1 <= asked.evals <= len(table):
        raise InputError(
            f"is {asked.evals}", field="--evals", remedy=f"give 1 to {len(table)}, the size of the space"
        )
    arms = asked.arms or default_arms(asked.prior)
    settings = SearchSettings(budget=asked.evals, population=asked.population, rate=asked.rate)
    seeds = range(asked.seed, asked.seed + asked.seeds)
    priors, warnings = make_priors(asked, arms, table)
    print(f"searching: {len(arms)} arms, {asked.seeds} searches each")
    curves = sweep(table, arms, seeds=seeds, settings=settings, priors=priors, workers=asked.workers)
    summary = summarize(asked, table, curves, warnings)
    write_reports(asked, table, curves, summary, priors, out)
    show(summary)
    print(f"written: {out / 'index.html'}")
    return summary


def load_table(asked: TableSearch) -> ArchitectureTable:
    """The table that is searched."""
    from visus.data.corpora.nasbench201 import load_nasbench201
    from visus.data.corpora.nasbench_macro import load_nasbench_macro

    if asked.space == "nb201":
        if asked.table is not None:
            raise InputError(
                "is read for --space macro only",
                field="--table",
                remedy="give --tests or --proxy, or leave it out",
            )
        return load_nasbench201(asked.dataset, tests=asked.tests, proxy=asked.proxy)  # type: ignore[arg-type]
    if asked.table is None:
        remedy = "give --table nas-bench-macro_cifar10.json (from the repository xiusu/NAS-Bench-Macro)"
        raise InputError("is needed for --space macro", field="--table", remedy=remedy)
    for name in ("tests", "proxy"):
        if getattr(asked, name) is not None:
            raise InputError("is read for --space nb201 only", field=f"--{name}", remedy="leave it out")
    return load_nasbench_macro(asked.table)


def make_priors(
    asked: TableSearch, arms: Sequence[str], table: ArchitectureTable
) -> tuple[dict[str, TabulatedPrior], list[str]]:
    """The priors that the arms need, and what a reader should know of the one asked for (`gpt`)."""
    from visus.methods.gptnas.search.priors import warning_about
    from visus.methods.gptnas.search.space import Space
    from visus.methods.gptnas.search.sweep import train_small_priors

    space, warnings = Space.of_table(table), []
    if not (asked.prior in WORDS or is_folder(asked.prior)):
        Share.parse(asked.prior)
    needed, found = needed_priors(arms), {}
    if "gpt" in needed and is_folder(asked.prior):
        found["gpt"] = load_cells(Path(asked.prior), space)
    if len(needed) > len(found):
        shares = {
            name: share for name, share in shares_of(asked, arms).items() if name in needed - found.keys()
        }
        share = next(iter(shares.values()))
        source = source_of(share, asked, table)
        if share.source in (asked.dataset, "table"):
            warnings.append(
                f"the priors were trained on the very accuracies they are scored on ({share.source}); what "
                "follows says nothing about a new data set"
            )
        corpora = {name: share.of(source) for name, share in shares.items()}
        told = ", ".join(f"{name} ({share}, {len(corpora[name]):,} cells)" for name, share in shares.items())
        print(f"training priors: {told}")
        found |= train_small_priors(corpora, space, seed=asked.seed, workers=asked.workers)
    told = warning_about(found.get("gpt"))
    return found, [*warnings, *([told] if told else [])]


def needed_priors(arms: Sequence[str]) -> set[str]:
    """Names of the trained priors that some arms need; an unknown arm is an `InputError`."""
    from visus.methods.gptnas.baselines import ARMS
    from visus.methods.gptnas.search.sweep import prior_names

    for arm in arms:
        if arm.partition("@")[0] not in ARMS:
            remedy = f"choose from {', '.join(ARMS)}, or for example gpt@0.2 for a rate of its own"
            raise InputError(f"{arm!r} is unknown", field="--arms", remedy=remedy)
    return set(prior_names(arms))


def shares_of(asked: TableSearch, arms: Sequence[str]) -> dict[str, Share]:
    """What the trained priors learn from: the share asked for, and controls from the same table."""
    if asked.prior in ("none", "uniform") or is_folder(asked.prior):
        known = ("gpt",) if is_folder(asked.prior) else ()
        arm = next(arm for arm in arms if needed_priors([arm]) - {*known})
        raise InputError(
            f"{arm!r} needs a prior that --prior {asked.prior} does not give",
            field="--arms",
            remedy="give a share of a table, for example --prior cifar10:top10, or leave the arm out",
        )
    share = share_of(asked)
    opposite = Share(share.source, not share.best, share.percent)
    return {
        "gpt": share,
        "null": Share(share.source, True, 100.0),
        "anti": opposite,
        "keep70": Share(share.source, True, 70.0),
    }


def is_folder(prior: str) -> bool:
    """Whether `--prior` names the folder of a saved prior."""
    return prior not in WORDS and Path(prior).is_dir()


def share_of(asked: TableSearch) -> Share:
    """The share of a table that `--prior` names."""
    if asked.prior in WORDS:
        source = "table" if asked.space == "macro" else other_dataset(asked.dataset)
        return Share(source, asked.prior == "null", 100.0 if asked.prior == "null" else 10.0)
    return Share.parse(asked.prior)


def other_dataset(dataset: str) -> str:
    """The set of images a prior is trained on unless another is named: not the one that is searched."""
    return "cifar100" if dataset == "cifar10" else "cifar10"


def source_of(share: Share, asked: TableSearch, table: ArchitectureTable) -> ArchitectureTable:
    """The table a prior is trained on."""
    from typing import get_args

    from visus.data.corpora.nasbench201 import Dataset, load_nasbench201

    if share.source == "table":
        return table
    if asked.space == "macro":
        raise InputError(
            f"{str(share)!r} is of another space than macro",
            field="--prior",
            remedy="give table:top10 (trained on the table itself), none, or the folder of a saved prior",
        )
    known = get_args(Dataset)
    if share.source not in known:
        remedy = f"choose {', '.join(known)}, or table for the table that is searched"
        raise InputError(f"knows no table {share.source!r}", field="--prior", remedy=remedy)
    return load_nasbench201(share.source)  # type: ignore[arg-type]


def default_arms(prior: str) -> tuple[str, ...]:
    """All arms that the prior allows; controls where they can be trained."""
    if prior == "none":
        return PLAIN
    if prior == "uniform":
        return (*PLAIN, "uniform")
    controls = () if prior in WORDS or is_folder(prior) else ("null", "anti")
    return (*PLAIN, "uniform", *controls, "sampling", "gpt")


# ---- what is written --------------------------------------------------------------------------------------


def summarize(
    asked: TableSearch, table: ArchitectureTable, curves: Curves, warnings: Sequence[str]
) -> dict[str, Any]:
    """Per arm the mean score after all evaluations, its interval, and the paired difference to the GA."""
    arms = {}
    for arm in curves.score:
        mean, error = curves.mean(arm, asked.evals)
        found = {"mean": mean, **_interval(mean, error), "best": best_of(table, curves, arm)}
        if arm != "ga" and "ga" in curves.score and asked.seeds > 1:
            gain, z = curves.difference(arm, "ga", asked.evals)
            found |= {"gain_over_ga": gain, "z": z}
        arms[arm] = found
    return {
        "space": asked.space,
        "dataset": asked.dataset if asked.space == "nb201" else "cifar10",
        "prior": asked.prior,
        "evaluations": asked.evals,
        "seeds": asked.seeds,
        "first_seed": asked.seed,
        "rate": asked.rate,
        "population": asked.population,
        "score": score_words(asked),
        "optimum": float(table.score.max()),
        "information_nats": curves.information,
        "most_information_nats": math.log(len(table.symbols)),
        "warnings": list(warnings),
        "arms": arms,
    }


def _interval(mean: float, error: float) -> dict[str, float]:
    return {} if math.isnan(error) else {"low": mean - 1.96 * error, "high": mean + 1.96 * error}


def score_words(asked: TableSearch) -> str:
    """What the reported accuracy is."""
    fitness = "after 12 epochs" if asked.proxy is not None else "of one training run"
    fitness = "mean of all runs" if asked.tests is not None and asked.proxy is None else fitness
    score = "test accuracy" if asked.tests is not None else "mean accuracy of the other training runs"
    return f"{score} of the architecture with the best validation accuracy ({fitness}) so far, in %"


def best_of(table: ArchitectureTable, curves: Curves, arm: str) -> str:
    """The architecture with the best fitness that any seed of an arm ended with."""
    import numpy as np

    fitness, score = curves.fitness[arm][:, -1], curves.score[arm][:, -1]
    winner = int(fitness.argmax())
    rows = np.flatnonzero((table.fitness == fitness[winner]) & (table.score == score[winner]))
    return "".join(str(symbol) for symbol in table.architecture(int(rows[0])))


def write_reports(
    asked: TableSearch,
    table: ArchitectureTable,
    curves: Curves,
    summary: Mapping[str, Any],
    priors: Mapping[str, TabulatedPrior],
    out: Path,
) -> None:
    """All files of a sweep; the page comes last."""
    from visus.methods.gptnas.figures import draw_curves
    from visus.methods.gptnas.figures.curves import named

    write_atomically(out / "curves.csv", curves_csv(curves))
    write_json(out / "summary.json", summary)
    name = title_of(asked)
    title = f"{name}, {asked.seeds} searches per arm"
    drawing = draw_curves(
        curves.score, title=title, quantity="score of the best so far (%)", optimum=summary["optimum"]
    )
    write_atomically(out / "curves.svg", drawing)
    page = Page(f"Architecture search on {name}")
    page.add_text(f"{asked.evals} evaluations, {asked.seeds} searches per arm. Score: {summary['score']}.")
    for warning in summary["warnings"]:
        page.add_text(f"Warning: {warning}.", note=True)
    page.add_table(*rows_of(summary)).add_drawing(
        drawing, "Mean score of the best found so far; bands are 95 % intervals of the mean over searches."
    )
    if summary["information_nats"]:
        page.add_heading("What the priors know")
        page.add_text(information_words(summary))
        if "gpt" in priors:
            believed = draw_belief(asked.space, priors["gpt"])
            write_atomically(out / "prior.svg", believed)
            page.add_drawing(
                believed,
                f"How often the prior {asked.prior} draws each operation at each place of an architecture.",
            )
    leading = (
        "gpt" if "gpt" in summary["arms"] else max(summary["arms"], key=lambda a: summary["arms"][a]["mean"])
    )
    key = summary["arms"][leading]["best"]
    best = draw_key(asked.space, table, key)
    write_atomically(out / "best.svg", best)
    page.add_heading("The best architecture found").add_drawing(
        best, f"{key}, by validation accuracy the best that {named(leading)} ended with."
    )
    page.write(out / "index.html")


def title_of(asked: TableSearch) -> str:
    """What is searched, in words."""
    if asked.space == "macro":
        return "NAS-Bench-Macro (CIFAR-10)"
    names = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet16-120"}
    return f"NAS-Bench-201, {names[asked.dataset]}"


def draw_belief(space: TableSpace, prior: TabulatedPrior) -> str:
    """What a prior draws, place by place."""
    from visus.data.corpora.nasbench201 import SOURCES
    from visus.methods.gptnas.figures import draw_prior, marginals

    symbols, length = prior.space.symbols, prior.space.most
    ends = [SOURCES[: i + 1].count(0) for i in range(len(SOURCES))]
    edges = [f"{source} \u2192 {end}" for source, end in zip(SOURCES, ends, strict=True)]
    places = edges if space == "nb201" else [f"layer {i + 1}" for i in range(length)]
    shares = marginals(prior.distribution, symbols=len(symbols), length=length)
    return draw_prior(shares, symbols, places=places, information=prior.information)


def draw_key(space: TableSpace, table: ArchitectureTable, key: str) -> str:
    """A cell as a graph, a macro network as a chain."""
    from visus.methods.gptnas.figures import Stone, draw_architecture, draw_cell

    if space == "nb201":
        return draw_cell(key, title=key)
    sizes = [(32, 32, 32), (32, 32, 32), *[(64, 16, 16)] * 3, *[(128, 8, 8)] * 3]
    stones = [
        Stone(name=table.symbols[int(sign)], out_size=size) for sign, size in zip(key, sizes, strict=True)
    ]
    return draw_architecture(stones, title=key)


def curves_csv(curves: Curves) -> str:
    """arm, evaluations, mean, low, high, searches."""
    lines = ["arm,evaluations,mean,low,high,searches"]
    for arm, score in curves.score.items():
        for count in range(1, score.shape[1] + 1):
            mean, error = curves.mean(arm, count)
            ends = _interval(mean, error)
            shown = [f"{ends[name]:.4f}" if name in ends else "" for name in ("low", "high")]
            lines.append(f"{arm},{count},{mean:.4f},{shown[0]},{shown[1]},{len(score)}")
    return "\n".join(lines) + "\n"


def rows_of(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of arms."""
    from visus.methods.gptnas.figures.curves import named

    rows = []
    for arm, found in summary["arms"].items():
        interval = f"{found['low']:.2f} to {found['high']:.2f}" if "low" in found else ""
        gain = f"{found['gain_over_ga']:+.2f}" if "gain_over_ga" in found else ""
        z = f"{found['z']:+.1f}" if "z" in found else ""
        rows.append([named(arm), f"{found['mean']:.2f}", interval, gain, z, found["best"]])
    return ["arm", "mean", "95 % interval", "over GA", "z", "best"], rows


def information_words(summary: Mapping[str, Any]) -> str:
    """What each prior knows, in nats."""
    most = summary["most_information_nats"]
    known = ", ".join(f"{name} {value:.3f}" for name, value in summary["information_nats"].items())
    return f"Information of the priors on held-out architectures, in nats per symbol (at most {most:.2f}): {known}."


def show(summary: Mapping[str, Any]) -> None:
    """The table of arms on the terminal."""
    print(
        f"{summary['evaluations']} evaluations, {summary['seeds']} searches per arm; optimum {summary['optimum']:.2f}"
    )
    print(f"score: {summary['score']}")
    head, rows = rows_of(summary)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print("  ".join(cells).rstrip())
    if summary["information_nats"]:
        print(information_words(summary))
    for warning in summary["warnings"]:
        print(f"warning: {warning}")
