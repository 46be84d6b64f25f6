"""The method's commands: `visus hyperfusion fit | predict | evaluate | explain | example`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.hyperfusion.config import Fusion, Position

if TYPE_CHECKING:
    from visus.data.image_table import ImageTable
    from visus.methods.hyperfusion.estimator import Ensemble, HyperFusion

PresetName = Literal["smoke", "demo", "gpu", "paper", "paper_age"]
Mode = Literal["entropy", "mean", "entropy_vote", "confident"]


def fit(
    *,
    table: Path,
    image_column: str,
    target: str,
    out: Path,
    group: str | None = None,
    root: Path | None = None,
    columns: list[str] | None = None,
    fusion: Fusion | None = None,
    position: Position | None = None,
    folds: int = 0,
    mode: Mode = "entropy",
    preset: PresetName = "gpu",
    set: list[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Train on a table with one image per row; run again to resume.

    The table is CSV (or semicolons, tabs); images are .png .jpg .tif .npy .nii.gz .dcm files or DICOM
    folders, in 2 or 3 dimensions. Empty cells are allowed everywhere but in the target.

    Args:
        table: the table.
        image_column: column with the images' paths.
        target: column to predict, classes or numbers.
        out: folder for the run; the model is written to OUT/model.
        group: column naming what must stay together in splits, such as the patient.
        root: folder that relative image paths start from; by default the table's.
        columns: kinds, as name=continuous, name=categorical, name=binary, name=ignore; others are inferred.
        fusion: how table and image meet; hyper unless the settings say otherwise.
        position: which layers the table emits; fc1 unless the settings say otherwise.
        folds: train so many models by cross-validation and save them as an ensemble; 0 = one model.
        mode: how the ensemble combines its members.
        preset: sizes and training time.
        set: settings to change, as key=value (for example epochs=30 image_size=[128,128]).
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision; fp16 needs a GPU.
        tensorboard: also write TensorBoard event files.
    """
    from visus.data.formats.table import write_table
    from visus.engine import Run
    from visus.methods.hyperfusion.config import check
    from visus.methods.hyperfusion.estimator import HyperFusion, cross_validate
    from visus.records import leaving_nothing, override, write_json

    given = [f"{key}={value}" for key, value in (("fusion", fusion), ("position", position)) if value]
    config = override(HyperFusion.preset(preset), [*(set or []), *given])
    if columns:
        config = override(config, {"columns": _kinds(columns)})
    check(config)
    layout = {"image_column": image_column, "target": target, "group": group}
    data = _read(table, layout, root)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        if preset == "gpu" and run.device.type == "cpu" and run.is_main:
            print("training with the settings of preset gpu on the CPU; --preset demo is quicker")
        if folds:
            with _plain_notes(run.is_main):
                found = cross_validate(config, data, count=folds, run=run)
            if not run.is_main:
                return
            found.ensemble(mode).save(out / "model")
            said = _as_frame(data, found.prediction, found.members[0], table, image_column)
            write_table(out / "held_out.csv", said)
            write_json(out / "scores.json", {"held_out": found.scores, "folds": found.fold_scores})
            _print_scores(found.scores, f"held-out items of {folds} folds")
        else:
            with _plain_notes(run.is_main):
                made = HyperFusion(config).fit(data, run)
            if not run.is_main:
                return
            made.save(out / "model")
            print(f"learned {target} from {len(data)} rows")
    write_json(out / "layout.json", layout)
    print(f"model: {out / 'model'}")


def predict(
    *,
    model: Path,
    table: Path,
    out: Path,
    image_column: str | None = None,
    root: Path | None = None,
    device: str = "auto",
) -> None:
    """Predict the target of every row of a table and write a CSV.

    Args:
        model: the run's folder, or a folder with a saved model.
        table: the table; the target need not be there.
        out: CSV to write: the image, the prediction, and the probability of each class.
        image_column: column with the images' paths; that of the training table if left out.
        root: folder that relative image paths start from; by default the table's.
        device: auto, cpu or cuda.
    """
    from visus.data.formats.table import write_table

    made, layout = _load(model, device, image_column)
    data = _read(table, {**layout, "group": None}, root, require_target=False)
    write_table(out, _as_frame(data, made.predict(data), made, table, layout["image_column"]))
    print(f"{len(data)} predictions: {out}")


def evaluate(
    *,
    model: Path,
    table: Path,
    image_column: str | None = None,
    target: str | None = None,
    group: str | None = None,
    root: Path | None = None,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, float]:
    """Score predictions against the table's target, with 95 % bootstrap intervals.

    Args:
        model: the run's folder, or a folder with a saved model.
        table: a table that the model was not trained on.
        image_column: column with the images' paths; that of the training table if left out.
        target: column with the truth; that of the training table if left out.
        group: column naming what is resampled as a whole, such as the patient; as in training if left out.
        root: folder that relative image paths start from; by default the table's.
        out: JSON file to write the scores to.
        seed: of the bootstrap.
        device: auto, cpu or cuda.
    """
    from visus.records import write_json

    made, layout = _load(model, device, image_column, target=target, group=group)
    scores = made.evaluate(_read(table, layout, root), seed=seed)
    if out is not None:
        write_json(out, scores)
    _print_scores(scores, str(table))
    return scores


def explain(
    *,
    model: Path,
    table: Path,
    out: Path,
    columns: list[str] | None = None,
    image_column: str | None = None,
    root: Path | None = None,
    points: int = 9,
    items: int = 40,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Draw how the prediction changes with each table column while the image stays the same.

    Args:
        model: the run's folder, or a folder with a saved model.
        table: rows to start from.
        out: figure to write, .svg, .png or .pdf; the numbers go beside it as .json.
        columns: which columns; all that the model uses if left out.
        image_column: column with the images' paths; that of the training table if left out.
        root: folder that relative image paths start from; by default the table's.
        points: values tried per numeric column.
        items: at most so many rows.
        seed: chooses the rows.
        device: auto, cpu or cuda.
    """
    from visus.methods.hyperfusion.estimator import explain as respond
    from visus.methods.hyperfusion.figures import draw_responses
    from visus.records import write_json

    if out.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise InputError(
            "is not a kind of figure", file=out, field="out", remedy="end the name in .svg, .png or .pdf"
        )
    made, layout = _load(model, device, image_column)
    data = _read(table, {**layout, "group": None}, root, require_target=False)
    found = respond(made, data, columns=columns, points=points, items=items, seed=seed)
    outputs = list(made.classes_ or [layout["target"] or "prediction"])
    draw_responses(found, outputs, out)
    plain = [
        {"column": r.column, "values": r.values, "outputs": outputs, "mean": r.mean.tolist()} for r in found
    ]
    write_json(out.with_suffix(".json"), plain)
    for response in found:
        print(f"{response.column:24} changes the mean prediction by up to {response.effect:.3g}")
    print(f"figure: {out}")


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example data as real files and print commands that use them.

    OUT/train.csv and OUT/test.csv name 8x8 pictures of digits; the class is (digit >= 5) xor the column
    key, which is empty in one row of ten. Neither picture nor key alone says anything.

    Args:
        out: folder to write to.
        seed: chooses pictures and rows.
    """
    from visus.data.formats import write_image
    from visus.data.formats.table import write_table
    from visus.data.worlds import digits

    world = digits.make("xor", n=400, n_test=200, seed=seed, missing=0.1)
    for part, source in (("train", world.train), ("test", world.test)):
        (out / part).mkdir(parents=True, exist_ok=True)
        names = [f"{part}/{i:04d}.png" for i in range(len(source))]
        for i, name in enumerate(names):
            write_image(out / name, source.batch([i])["image"][0].numpy())
        write_table(
            out / f"{part}.csv",
            source.frame.assign(y=[("no", "yes")[int(y)] for y in source.targets], image=names),
        )
    start, run = ["visus", "hyperfusion"], str(out / "run")
    train, test = (str(out / f"{part}.csv") for part in ("train", "test"))
    flags = ["--image-column", "image", "--target", "y", "--columns", "key=binary", "--preset", "demo"]
    commands = [
        [*start, "fit", "--table", train, *flags, "--out", run],
        [*start, "predict", "--model", run, "--table", test, "--out", str(out / "predictions.csv")],
        [*start, "evaluate", "--model", run, "--table", test],
        [*start, "explain", "--model", run, "--table", test, "--out", str(out / "explained.svg")],
    ]
    for command in commands:
        print(" ".join(command))
    return commands


def _kinds(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, kind = pair.rpartition("=")
        if not equals:
            raise InputError(
                "is not of the form name=kind", field=f"--columns {pair}", remedy="write age=continuous"
            )
        found[name] = kind
    return found


def _read(
    table: Path, layout: dict[str, Any], root: Path | None, *, require_target: bool = True
) -> ImageTable:
    from visus.data.image_table import ImageTable

    return ImageTable.from_csv(table, root=root, require_target=require_target, **layout)


@contextmanager
def _plain_notes(show: bool) -> Iterator[None]:
    """Say once, without file and line, which columns were left out; other warnings pass as they are."""
    from visus.data.tables import ColumnWarning

    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", ColumnWarning)
        others = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, ColumnWarning):
                others(message, category, *rest, **more)
            elif show and not said:
                said.append(str(message))
                print(f"note: {message}")

        warnings.showwarning = note
        yield


def _load(
    folder: Path,
    device: str,
    image_column: str | None,
    *,
    target: str | None = None,
    group: str | None = None,
) -> tuple[HyperFusion | Ensemble, dict[str, Any]]:
    """The model, on the device, and which columns of a table hold what."""
    from visus.engine import Run
    from visus.methods.hyperfusion.estimator.ensemble import load
    from visus.records import read_json

    inside = folder / "model" if (folder / "model").is_dir() else folder
    made = _moved(load(inside), Run(device=device, progress=False).device)
    file = inside.parent / "layout.json"
    layout: dict[str, Any] = {"image_column": None, "target": None, "group": None}
    if file.exists():
        stored = read_json(file)
        if not isinstance(stored, dict):
            raise InputError("is not a JSON object", file=file, remedy="run fit again, or delete this file")
        layout |= stored
    layout |= {k: v for k, v in (("image_column", image_column), ("target", target), ("group", group)) if v}
    if layout["image_column"] is None:
        raise InputError("is not known for this model", field="image_column", remedy="give --image-column")
    return made, layout


def _moved(made: HyperFusion | Ensemble, device: Any) -> HyperFusion | Ensemble:
    for member in getattr(made, "members", [made]):
        for module in member.parts().values():
            module.to(device)
    return made


def _as_frame(data: ImageTable, prediction: dict[str, Any], made: Any, table: Path, image_column: str) -> Any:
    import pandas as pd

    from visus.data.formats.table import read_table

    columns: dict[str, Any] = {image_column: read_table(table, text_columns=(image_column,))[image_column]}
    if data.group is not None:
        columns[data.group] = data.frame[data.group]
    if "value" in prediction:
        return pd.DataFrame({**columns, "prediction": prediction["value"].numpy()})
    columns["prediction"] = prediction["name"]
    for i, name in enumerate(made.classes_):
        columns[f"probability={name}"] = prediction["probabilities"][:, i].numpy()
    return pd.DataFrame(columns)


def _print_scores(scores: dict[str, float], what: str) -> None:
    print(f"scores on {what}")
    for name, value in scores.items():
        if not name.endswith(("_low", "_high")):
            low, high = scores.get(f"{name}_low"), scores.get(f"{name}_high")
            interval = "" if low is None or high is None else f"  (95 % interval {low:.3f} to {high:.3f})"
            print(f"  {name:20} {value:.3f}{interval}")


VERBS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "explain": explain,
    "example": example,
}
