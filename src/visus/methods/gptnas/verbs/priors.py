"""`visus gptnas prior | trace`: what regrows blocks, and models as records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.methods.gptnas.config import GPTNASConfig
    from visus.methods.gptnas.search.priors import Prior
    from visus.methods.gptnas.search.space import Space

PresetName = Literal["smoke", "demo", "gpu", "paper"]


def prior(
    *,
    out: Path,
    space: Literal["blocks", "nb201"] = "blocks",
    corpus: str | None = None,
    models: Path | None = None,
    preset: PresetName = "demo",
    set: list[str] | None = None,
    samples: int = 5,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train a prior, save it in a folder for --prior, and say what it knows.

    Space blocks learns from the 36 published networks (fewer with --set networks=[...]) and, before them, from a
    corpus of cells if one is given: this is the paper's two-stage training. Space nb201 learns from the cells of
    a table alone.

    Args:
        out: folder to write to; run again to resume.
        space: what the prior is about.
        corpus: cells to learn from: SET:topP of NAS-Bench-201 (cifar10:top10 for nb201 if left out), or for
            blocks also a NAS-Bench-101 file (.tfrecord; networks of at least 90 % validation accuracy).
        models: folder of models of yours to learn from, for blocks: ONNX files and records of `trace`.
        preset: sizes and training time, for blocks.
        set: settings to change, as key=value, for blocks (for example gpt_epochs=50 gpt_width=256).
        samples: architectures to draw and print.
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
    """
    from visus.methods.gptnas.verbs.models import configured

    for name, value, least in (("samples", samples, 0), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"is {value}", field=f"--{name}", remedy=f"give {least} or more")
    if space == "nb201":
        for name, given in (("models", models), ("set", set)):
            if given is not None:
                raise InputError("is for --space blocks", field=f"--{name}", remedy="leave it out")
        _cells(out, corpus or "cifar10:top10", samples=samples, seed=seed)
        return
    config = configured(preset, set, prior=None, workers=1)
    _blocks(config, out, corpus, models, samples=samples, seed=seed, device=device)


def trace(
    model: Path,
    /,
    *,
    out: Path | None = None,
    input_size: tuple[int, int, int] | None = None,
) -> None:
    """Write a model's record: one line per layer with all it takes to rebuild it.

    Args:
        model: an ONNX file, or a record (.txt or .json) to convert.
        out: file to write, .txt (ArcText) or .json; printed if left out.
        input_size: channels, height, width, for ONNX files that leave them open.
    """
    from visus.methods.gptnas.training.corpora import read_model
    from visus.records import write_atomically, write_json

    if out is not None and out.suffix not in (".txt", ".json"):
        if model.suffix == ".py":
            read_model(model)
        raise InputError(
            "is no kind of record", file=out, field="--out", remedy="end the name in .txt or .json"
        )
    record = read_model(model, input_size=input_size)
    if out is None:
        print(record.to_text(), end="")
        return
    if out.suffix == ".json":
        write_json(out, record.to_plain())
    else:
        write_atomically(out, record.to_text())
    print(f"{len(record.layers)} layers, {record.num_params:,} parameters: {out}")


def _cells(out: Path, corpus: str, *, samples: int, seed: int) -> None:
    from visus.data.corpora.nasbench201 import key_to_cell, load_nasbench201
    from visus.methods.gptnas.search.space import Space
    from visus.methods.gptnas.search.sweep import train_small_prior
    from visus.methods.gptnas.training.cells import Share, save_cells

    share = Share.parse(corpus, field="--corpus")
    table = load_nasbench201(share.source)  # type: ignore[arg-type]
    space = Space.of_table(table)
    cells = share.of(table)
    made = train_small_prior(cells, space, seed=seed)
    save_cells(made, out, {"corpus": str(share), "cells": len(cells), "seed": seed})
    _tell(made, space, most=len(space.symbols))
    for individual in _drawn(made, space, samples, seed):
        print(key_to_cell("".join(str(symbol) for symbol in individual)))
    print(f"prior: {out}")


def _blocks(
    config: GPTNASConfig,
    out: Path,
    corpus: str | None,
    models: Path | None,
    *,
    samples: int,
    seed: int,
    device: str,
) -> None:
    from visus.engine import Run
    from visus.methods.gptnas.training.corpora import read_models
    from visus.methods.gptnas.training.prior import network_space, train_prior
    from visus.methods.gptnas.training.setting import prior_recipe
    from visus.records import to_plain

    own = read_models(models) if models is not None else []
    stage1 = _stage_one(corpus)
    run = Run(out, seed=seed, device=device)
    recipe = prior_recipe(config)
    run.bind({"prior": to_plain(recipe), "corpus": corpus, "models": [model.to_text() for model in own]})
    made = train_prior(recipe, run, stage1=stage1, models=own)
    if not run.is_main:
        return
    made.save(out)
    space = network_space(least=config.least_blocks, most=config.most_blocks)
    for stage, value in made.information.items():
        print(f"{stage}: {value:.3f} nats per layer on held-out sequences")
    print(f"vocabulary: {len(made.vocabulary)} words; held-out networks: {', '.join(made.facts['held_out'])}")
    over = made.over(space, stages=config.stages)
    _tell(over, space, most=len(made.vocabulary))
    for individual in _drawn(over, space, samples, seed):
        print(" > ".join(space.names(individual)))
    print(f"prior: {out}")


def _stage_one(corpus: str | None) -> list[Any]:
    """Layers of the cells of a corpus."""
    from visus.methods.gptnas.training.corpora import sequences_101, sequences_201

    if corpus is None:
        return []
    if corpus.endswith(".tfrecord"):
        from visus.data.corpora.nasbench101 import read_nasbench101

        return sequences_101(read_nasbench101(corpus))
    from visus.data.corpora.nasbench201 import load_nasbench201
    from visus.methods.gptnas.training.cells import Share

    share = Share.parse(corpus, field="--corpus")
    table = load_nasbench201(share.source)  # type: ignore[arg-type]
    return sequences_201(table, share.of(table).tolist())


def _tell(made: Prior, space: Space, *, most: int) -> None:
    from visus.methods.gptnas.search.priors import warning_about

    print(f"information of the prior: {made.information:.3f} nats, from {most} words")
    told = warning_about(made)
    if told:
        print(f"warning: {told}")


def _drawn(made: Prior, space: Space, count: int, seed: int) -> list[tuple[int, ...]]:
    from visus.methods.gptnas.search.regrow import grow
    from visus.methods.gptnas.search.space import stream

    draws = stream(seed, "samples")
    return [grow(made, space, draws) for _ in range(count)]
