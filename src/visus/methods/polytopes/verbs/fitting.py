"""`fit`, `predict`, `evaluate` and `example`: the classifier on a person's own table."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    from visus.data.tables.source import RowTable


def fit(
    table: Path,
    /,
    *,
    target: str,
    out: Path,
    columns: list[str] | None = None,
    group: str | None = None,
    preset: Literal["smoke", "demo", "gpu", "paper"] = "demo",
    set: list[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Train a small ReLU classifier on two to four numeric columns and count its cells meanwhile.

    Run again to resume. OUT gets the model, census.json (the history), report.html and its pictures. The
    recidivism table of ProPublica (compas-scores-two-years.csv) is filtered as its publishers do.

    Args:
        table: the table (comma, semicolon or tab), one row per item, with a header.
        target: column with the classes.
        out: folder for the run; the model is written to OUT/model.
        columns: the input columns; all numeric ones if left out.
        group: column naming what must stay together in the validation split, such as the person.
        preset: sizes and training time.
        set: settings to change, as key=value (for example epochs=30 hidden=[20,20]).
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision; fp16 needs a GPU.
        tensorboard: also write TensorBoard event files.
    """
    from visus.data.tables import ColumnWarning
    from visus.engine import Run
    from visus.methods.polytopes.config import check
    from visus.methods.polytopes.estimator import Polytopes
    from visus.methods.polytopes.verbs.pages import write_history
    from visus.records import leaving_nothing, override, write_json

    config = override(Polytopes.preset(preset), set or [])
    if columns:
        config = override(config, {"columns": columns})
    check(config)
    data = _read(table, target=target, group=group, columns=config.columns)
    with leaving_nothing(out), warnings.catch_warnings():
        warnings.simplefilter("ignore", ColumnWarning)  # the columns taken are told below
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        made = Polytopes(config).fit(data, run)
    if not run.is_main:
        return
    made.save(out / "model")
    write_json(out / "layout.json", {"target": target, "group": group})
    print(f"learned {target} from {', '.join(made.columns_)} of {len(data):,} rows")
    write_history(out, made, name=table.name, target=target)
    print(f"model: {out / 'model'}, report: {out / 'report.html'}")


def predict(table: Path, /, *, model: Path, out: Path, device: str = "auto") -> None:
    """Classify the rows of a table and say in what cell of the network each lies.

    Args:
        table: the table; the target need not be there.
        model: the folder given to fit as --out, or the model folder in it.
        out: CSV to write: prediction, probability of each class, facets, simplices and volume of the cell, and
            whether the row lies in the box at all.
        device: auto, cpu or cuda.
    """
    import pandas as pd

    from visus.data.formats.table import write_table
    from visus.methods.polytopes.estimator import Polytopes

    made = Polytopes.open(model, device=device)
    data = _read(table, columns=made.columns_)
    found = made.predict(data)
    columns: dict[str, Any] = {name: data.frame[name] for name in made.columns_}
    columns["prediction"] = found["name"]
    for i, name in enumerate(made.classes_):
        columns[f"probability={name}"] = found["probabilities"][:, i].tolist()
    for name in ("facets", "simplices", "volume"):
        columns[name] = found[name].tolist()
    columns["inside"] = found["inside"].int().tolist()
    write_table(out, pd.DataFrame(columns))
    print(f"{len(data)} predictions: {out}")


def evaluate(
    table: Path, /, *, model: Path, target: str | None = None, out: Path | None = None, device: str = "auto"
) -> None:
    """Score a model on a table that it did not learn from, and its cells.

    Args:
        table: a table with the target.
        model: the folder given to fit as --out, or the model folder in it.
        target: column with the truth; that of the training table if left out.
        out: also write the scores to this file (.json).
        device: auto, cpu or cuda.
    """
    from visus.methods.polytopes.estimator import Polytopes
    from visus.records import read_json, write_json

    made = Polytopes.open(model, device=device)
    if target is None:
        file = (model if (model / "model").is_dir() else model.parent) / "layout.json"
        target = read_json(file).get("target") if file.exists() else None
    if target is None:
        raise InputError("is not known for this model", field="target", remedy="give --target")
    scores = made.evaluate(_read(table, target=target, columns=made.columns_))
    for name, value in scores.items():
        print(f"{name:24} {value:.4f}")
    if out is not None:
        write_json(out, scores)


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example files and print commands that use them.

    OUT/train.csv and OUT/test.csv hold points in two half moons; OUT/network.safetensors is a random 3-10-6
    network; OUT/digits.safetensors a random network on 8x8 pictures, OUT/digit-*.png three such pictures.

    Args:
        out: folder to write to.
        seed: every random choice follows from it.
    """
    from visus.data.formats import write_image
    from visus.data.formats.table import write_table
    from visus.data.formats.weights import write_network
    from visus.data.worlds import digits, points

    world = points.make("moons", n=400, n_test=200, seed=seed)
    for part, source in (("train", world.train), ("test", world.test)):
        write_table(out / f"{part}.csv", source.frame)
    pictures = digits.make("xor", n=3, n_test=1, seed=seed).train.batch(range(3))["image"].numpy()
    names = [str(out / f"digit-{i + 1}.png") for i in range(3)]
    for name, picture in zip(names, pictures):
        write_image(Path(name), picture)
    for name, network in _networks(seed).items():
        write_network(out / name, network)
    start, run = ["visus", "polytopes"], str(out / "run")
    train, test = str(out / "train.csv"), str(out / "test.csv")
    quick = ["--preset", "demo", "--set", "hidden=[16,16]", "epochs=50"]
    commands = [
        [*start, "fit", train, "--target", points.TARGET, "--out", run, *quick],
        [*start, "predict", test, "--model", run, "--out", str(out / "predictions.csv")],
        [*start, "evaluate", test, "--model", run, "--target", points.TARGET],
        [*start, "census", run, "--out", str(out / "moons")],
        [
            *start,
            "census",
            str(out / "network.safetensors"),
            "--box",
            "-1",
            "1",
            "--out",
            str(out / "network"),
        ],
        [*start, "slice", str(out / "digits.safetensors"), "--points", *names, "--out", str(out / "digits")],
    ]
    for command in commands:
        print(" ".join(command))
    return commands


def _read(
    table: Path, *, target: str | None = None, group: str | None = None, columns: Sequence[str] = ()
) -> RowTable:
    """The table's rows; the published recidivism table is read by its own rules."""
    from visus.data.corpora.compas import FEATURES, TARGET, is_compas, load_compas
    from visus.data.tables.source import RowTable

    if target in (None, TARGET) and is_compas(table):
        return load_compas(table, columns=columns or FEATURES, filtered=target is not None)
    return RowTable.from_csv(table, target=target, group=group)


def _networks(seed: int) -> dict[str, Any]:
    from torch import nn

    from visus.engine.seeds import seeded
    from visus.methods.polytopes.model.classifier import Classifier

    with seeded(seed, "example"):
        return {
            "network.safetensors": Classifier(3, (10, 6), 1).plain(),
            "digits.safetensors": nn.Sequential(nn.Flatten(), Classifier(64, (24, 16), 10).plain()),
        }
