"""`visus gptnas fit | predict | evaluate | example`: a network found for the user's pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from visus.methods.gptnas.estimator import GPTNAS
    from visus.methods.gptnas.search.run import Progress

Part = Literal["train", "test"]
PresetName = Literal["smoke", "demo", "gpu", "paper"]
Precision = Literal["no", "bf16", "fp16"]


def fit(
    data: Path,
    /,
    *,
    out: Path,
    preset: PresetName = "demo",
    prior: str | None = None,
    set: list[str] | None = None,
    workers: int = 1,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "no",
    tensorboard: bool = False,
    image_column: str | None = None,
    label_column: str | None = None,
) -> None:
    """Search a network for your pictures and train the best; run again to resume.

    DATA is one of: a folder with one sub-folder of pictures per class (or such folders inside train/ and
    test/), a table of picture paths and labels, MNIST's files, a CIFAR folder.

    Args:
        data: folder or table to learn from.
        out: folder for the run; the model is written to OUT/model.
        preset: sizes, budget and training time.
        prior: zoo, uniform, none, or the folder of a saved prior; what the preset says if left out.
        set: settings to change, as key=value (for example evaluations=30 image_size=[32,32]).
        workers: candidates trained side by side.
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision: no, bf16 or fp16.
        tensorboard: also write TensorBoard event files.
        image_column: column with the picture paths; found by usual names if left out.
        label_column: column with the labels; found by usual names if left out.
    """
    from visus.engine import Run
    from visus.methods.gptnas.estimator import GPTNAS
    from visus.records import leaving_nothing

    config = configured(preset, set, prior=prior, workers=workers)
    columns = {"image_column": image_column, "label_column": label_column}
    source = read_pictures(data, "train", image_size=config.image_size, **columns)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        made = GPTNAS(config).fit(source, run, workers=workers, progress=told(run.is_main))
    if not run.is_main:
        return
    made.save(out / "model")
    say_known(made)
    count = sum(weight.numel() for weight in made.net_.parameters())
    names = made.space().names(made.best_)
    print(f"best of {len(made.search_)} candidates, {count:,} parameters: {' > '.join(names)}")
    print(f"model: {out / 'model'}")


def predict(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    part: Part = "test",
    device: str = "auto",
    image_column: str | None = None,
) -> None:
    """Classify pictures with the network found; writes a table.

    Columns: item (path or number), label, probability, and one column p_<class> per class. Labels in DATA are
    not needed.

    Args:
        data: what to classify: as for fit, or a folder of pictures without sub-folders, or one picture.
        model: the folder given to fit as --out, or the model folder in it.
        out: table to write (.csv).
        part: which part of a data set that comes in parts.
        device: auto, cpu or cuda.
        image_column: column with the picture paths; found by usual names if left out.
    """
    from visus.data.formats import write_classes
    from visus.methods.gptnas.estimator import GPTNAS

    made = GPTNAS.open(model, device=device)
    size = made.pixels_.size
    source = read_pictures(data, part, image_size=size, labeled=False, image_column=image_column)
    found = made.predict(source)
    paths = getattr(source, "paths", None)
    write_classes(
        out,
        [str(path) for path in paths] if paths else range(1, len(source) + 1),
        labels=found["name"],
        probabilities=found["probabilities"].numpy(),
        classes=made.classes_,
    )
    print(f"{len(source)} predictions: {out}")


def evaluate(
    data: Path,
    /,
    *,
    model: Path,
    out: Path | None = None,
    part: Part = "test",
    device: str = "auto",
    image_column: str | None = None,
    label_column: str | None = None,
) -> None:
    """Score the network found on labeled pictures.

    Args:
        data: as for fit.
        model: the folder given to fit as --out, or the model folder in it.
        out: also write the scores to this file (.json).
        part: which part of a data set that comes in parts.
        device: auto, cpu or cuda.
        image_column: column with the picture paths; found by usual names if left out.
        label_column: column with the labels; found by usual names if left out.
    """
    from visus.methods.gptnas.estimator import GPTNAS
    from visus.records import write_json

    made = GPTNAS.open(model, device=device)
    columns = {"image_column": image_column, "label_column": label_column}
    source = read_pictures(data, part, image_size=made.pixels_.size, **columns)
    scores = made.evaluate(source)
    for name, value in scores.items():
        print(f"{name:20} {value:.4f}")
    if out is not None:
        write_json(out, scores)


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example pictures in the real layout and print commands that use them.

    OUT/digits has one folder of PNG pictures per class in train/ and test/: handwritten digits of 8x8 pixels.

    Args:
        out: folder to write to.
        seed: chooses the pictures.
    """
    from visus.data.corpora.image_folder import write_image_folder
    from visus.methods.gptnas.estimator import GPTNAS

    parts: tuple[Part, ...] = ("train", "test")
    for part in parts:
        source = GPTNAS.example(part, seed=seed)
        write_image_folder(out / "digits" / part, source["image"].numpy(), source["target"])
    data, run = str(out / "digits"), str(out / "run")
    small = ["evaluations=6", "population=3", "epochs=20", "gpt_epochs=2", "networks=[resnet18,googlenet]"]
    start = ["visus", "gptnas"]
    commands = [
        [*start, "fit", data, "--out", run, "--preset", "demo", "--set", *small],
        [*start, "predict", data, "--model", run, "--out", str(out / "predictions.csv")],
        [*start, "evaluate", data, "--model", run],
    ]
    for command in commands:
        print(" ".join(command))
    return commands


def configured(preset: PresetName, settings: list[str] | None, *, prior: str | None, workers: int) -> Any:
    """The preset with changes; refuses what makes no sense before anything is read."""
    from visus.errors import InputError
    from visus.methods.gptnas.config import PRESETS, check
    from visus.records import override

    config = override(PRESETS[preset], settings or [])
    if prior is not None:
        config = override(config, {"prior": prior})
    check(config)
    if config.prior not in ("zoo", "uniform", "none") and not Path(config.prior).is_dir():
        raise InputError(
            f"{config.prior!r} is no folder with a saved prior",
            field="prior",
            remedy="give zoo, uniform, none, or a folder that `visus gptnas prior --space blocks` wrote (its --corpus "
            "takes cells of a benchmark, such as cifar10:top10)",
        )
    if workers < 1:
        raise InputError(f"is {workers}", field="--workers", remedy="give 1 or more")
    return config


def read_pictures(path: Path, part: Part, **options: Any) -> Any:
    """The pictures in `path`, see `visus.data.corpora.pictures.load_pictures`."""
    from visus.data.corpora.pictures import load_pictures

    return load_pictures(path, part, **options)


def told(shown: bool) -> Callable[[Progress], None] | None:
    """Prints how far a search is, one line per evaluation."""
    if not shown:
        return None

    def tell(progress: Progress) -> None:
        print(
            f"candidate {progress.evaluated} of {progress.budget}: best accuracy so far {progress.best:.4f}"
        )

    return tell


def say_known(made: GPTNAS) -> None:
    """Prints what the prior knew, and the warnings."""
    if made.information_ is not None:
        print(f"information of the prior: {made.information_:.3f} nats per layer")
    for warning in made.warnings_:
        print(f"warning: {warning}")
