"""The method's commands: `visus attention fit | predict | evaluate | example | cost | replace`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError

if TYPE_CHECKING:
    pass

Part = Literal["train", "test"]
Kind = Literal["standard", "optimized", "efficient", "super"]


def fit(
    data: Path,
    /,
    *,
    out: Path,
    preset: Literal["smoke", "demo", "gpu", "paper"] = "demo",
    set: list[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
    text_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> None:
    """Train a classifier on pictures or texts; run again to resume.

    DATA is one of: a folder with one sub-folder of pictures per class (or such folders inside train/ and
    test/), a table of picture paths and labels, the folder aclImdb, or a table of texts and labels.

    Args:
        data: folder or table to learn from.
        out: folder for the run; the model is written to OUT/model.
        preset: sizes and training time.
        set: settings to change, as key=value (for example kind=efficient epochs=5).
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision: no, bf16 or fp16.
        tensorboard: also write TensorBoard event files.
        text_column: column with the texts; found by usual names if left out.
        image_column: column with the picture paths; found by usual names if left out.
        label_column: column with the labels; found by usual names if left out.
    """
    from visus.engine import Run
    from visus.methods.attention.config import check, told_reduction
    from visus.methods.attention.estimator import AttentionClassifier
    from visus.records import leaving_nothing, override

    config = override(AttentionClassifier.preset(preset), set or [])
    check(config)
    columns = {"text": text_column, "image": image_column, "label": label_column}
    source = read_data(data, part="train", image_size=config.image_size, columns=columns)
    paths = getattr(source, "paths", None)
    reduction = told_reduction(config, source.read(paths[0]).shape[-2:]) if paths else None
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        if reduction and run.is_main:
            print(reduction)
        made = AttentionClassifier(config).fit(source, run)
    if not run.is_main:
        return
    made.save(out / "model")
    count = sum(p.numel() for p in made.model_.parameters())
    print(f"learned {len(made.classes_)} classes from {len(source)} items with {count:,} parameters")
    print(f"model: {out / 'model'}")


def predict(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    part: Part = "test",
    device: str = "auto",
    text_column: str | None = None,
    image_column: str | None = None,
) -> None:
    """Classify pictures or texts with a trained model; writes a table.

    Columns: item (path or number), label, probability, and one column p_<class> per class. Labels in DATA are
    not needed.

    Args:
        data: what to classify: as for fit, or a folder of pictures without sub-folders, or one picture.
        model: the folder given to fit as --out, or the model folder in it.
        out: table to write (.csv).
        part: which part of a data set that comes in parts.
        device: auto, cpu or cuda.
        text_column: column with the texts; found by usual names if left out.
        image_column: column with the picture paths; found by usual names if left out.
    """
    from visus.data.formats import write_classes
    from visus.methods.attention.estimator import AttentionClassifier

    made = AttentionClassifier.open(model, device=device)
    columns = {"text": text_column, "image": image_column, "label": None}
    source = read_data(data, part=part, image_size=made.settings.image_size, columns=columns, labeled=False)
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
    text_column: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> None:
    """Score a trained model on labeled pictures or texts.

    Says so if these are the very items of the training, as far as the run's folder tells.

    Args:
        data: as for fit.
        model: the folder given to fit as --out, or the model folder in it.
        out: also write the scores to this file (.json).
        part: which part of a data set that comes in parts.
        device: auto, cpu or cuda.
        text_column: column with the texts; found by usual names if left out.
        image_column: column with the picture paths; found by usual names if left out.
        label_column: column with the labels; found by usual names if left out.
    """
    from visus.methods.attention.estimator import AttentionClassifier
    from visus.records import write_json

    made = AttentionClassifier.open(model, device=device)
    columns = {"text": text_column, "image": image_column, "label": label_column}
    source = read_data(data, part=part, image_size=made.settings.image_size, columns=columns)
    scores = made.evaluate(source)
    if made.learned_from(source, model):
        print("warning: these are the items the model was trained on")
    for name, value in scores.items():
        print(f"{name:20} {value:.4f}")
    if out is not None:
        write_json(out, scores)


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example data in the real layouts and print commands that use them.

    OUT/digits has one folder of PNG pictures per class in train/ and test/; OUT/aclImdb has made-up reviews.

    Args:
        out: folder to write to.
        seed: chooses pictures and reviews.
    """
    from visus.data.corpora.image_folder import write_image_folder
    from visus.data.worlds import reviews
    from visus.methods.attention.claims import digits

    sizes: dict[Part, int] = {"train": 400, "test": 200}
    for part, count in sizes.items():
        source = digits(part, seed=seed)
        write_image_folder(out / "digits" / part, source["image"][:count].numpy(), source["target"][:count])
    reviews.write(out / "aclImdb", n_train=1500, n_test=300, seed=seed)
    start = ["visus", "attention"]
    commands = []
    small = ["width=32", "layers=1", "length=32", "epochs=8", "learning_rate=0.005"]
    for name, settings in (("digits", ["epochs=30"]), ("aclImdb", small)):
        data, run = str(out / name), str(out / f"run-{name}")
        commands += [
            [*start, "fit", data, "--out", run, "--preset", "demo", "--set", *settings],
            [*start, "predict", data, "--model", run, "--out", str(out / f"predictions-{name}.csv")],
            [*start, "evaluate", data, "--model", run],
        ]
    for command in commands:
        print(" ".join(command))
    return commands


def cost(
    *,
    width: int,
    length: int,
    heads: int = 1,
    batch: int = 1,
    element_bytes: Literal[1, 2, 4, 8] = 4,
    wa_bias: bool = False,
    out: Path | None = None,
) -> None:
    """Parameters, operations and cache of every kind of attention, and where Super stops paying.

    Operations are multiply-accumulates (MACs) of one self-attention layer.

    Args:
        width: numbers per token (d).
        length: tokens per sequence (l).
        heads: number of heads.
        batch: sequences at a time.
        element_bytes: bytes per number in the cache (4 = float32, 2 = bfloat16).
        wa_bias: count a bias of Super attention's token mixing.
        out: also write the numbers to this file (.json).
    """
    from dataclasses import asdict

    from visus.nn.attention.cost import KINDS, super_limits
    from visus.nn.attention.cost import cost as count
    from visus.records import write_json

    sizes: dict[str, Any] = {"width": width, "length": length, "num_heads": heads, "batch": batch}
    rows = [count(kind, **sizes, wa_bias=wa_bias, element_bytes=element_bytes) for kind in KINDS]
    limits = super_limits(width, wa_bias=wa_bias)
    standard = rows[0]
    print(f"one layer of width {width}, {heads} heads, {batch} x {length} tokens")
    titles = f"{'parameters':>12} {'MACs':>16} {'of standard':>12} {'new token MACs':>15} {'cache bytes':>14}"
    print(f"{'':10} {titles}")
    for row in rows:
        share = f"{row.macs / standard.macs:.0%}"
        print(
            f"{row.kind:10} {row.parameters:12,} {row.macs:16,} {share:>12} {row.decode_macs:15,} "
            f"{row.cache_bytes:14,}"
        )
    verdict = "pays" if length <= limits.macs else "does not pay"
    print(
        f"Super needs fewer operations than standard up to length {limits.macs:,} and has fewer parameters "
        f"up to {limits.parameters:,}: at length {length:,} it {verdict} in operations."
    )
    if out is not None:
        write_json(
            out, {"sizes": sizes, "kinds": [asdict(row) for row in rows], "super_limits": asdict(limits)}
        )


def replace(
    folder: Path,
    /,
    *,
    kind: Kind = "efficient",
    weights: Literal["exact", "restrict", "fresh"] = "restrict",
    length: int | None = None,
    out: Path | None = None,
) -> None:
    """Report what another kind of attention would change in a Hugging Face ViT or BERT; with --out, write it.

    Reads a local folder (config.json and weights); needs the extra `text`. The written model is read back
    with `visus.nn.attention.load_replaced`. Unless weights is `exact`, its function differs from the
    original's: train it on.

    Args:
        folder: the model's folder.
        kind: kind of attention to put in.
        weights: exact (refuses more than one head), restrict (keeps what fits into the heads' slices) or fresh.
        length: most tokens (Super attention) and the tokens to count operations for; else from the
            configuration.
        out: folder for the converted model and the list of its replaced modules.
    """
    from visus.nn.attention.pretrained import describe_replacement, open_pretrained, save_replaced

    if out is not None and out.resolve() == folder.resolve():
        raise InputError("is the folder of the original model", field="--out", remedy="choose another folder")
    model = open_pretrained(folder)
    before = sum(p.numel() for p in model.parameters())
    if out is None:
        rows = describe_replacement(model, kind, length=length)
    else:
        rows = save_replaced(model, out, kind, weights=weights, length=length)
    for row in rows:
        old, new = row["parameters"]
        macs_old, macs_new = row["macs"]
        print(
            f"{row['name']}: {row['num_heads']} heads of {row['width'] // row['num_heads']}, "
            f"parameters {old:,} -> {new:,}, MACs at {row['length']} tokens {macs_old:,} -> {macs_new:,}"
        )
    saved = sum(row["parameters"][0] - row["parameters"][1] for row in rows)
    print(
        f"whole model: {before:,} parameters, {before - saved:,} with {kind} attention in {len(rows)} layers"
    )
    if not all(row["exact"] for row in rows):
        print("several heads: the conversion changes what the model computes; train it on before use")
    if out is not None:
        print(f"written: {out}")


def read_data(
    path: Path, *, part: Part, image_size: int, columns: dict[str, str | None], labeled: bool = True
) -> Any:
    """The source in `path`: pictures (resized to squares of `image_size`) or texts, told apart by what is
    there.

    Raises
    ------
    InputError : nothing there that can be read, or only the other part of a data set in parts.
    """
    from visus.data.corpora import image_folder, imdb, text_csv
    from visus.data.corpora.pictures import load_pictures
    from visus.data.formats import EXTENSIONS
    from visus.data.formats.table import read_rows

    if not path.exists():
        raise InputError("does not exist", file=path, remedy="give a folder or a table")
    if any((path / name / "pos").is_dir() for name in ("train", "test")):
        return imdb.load_imdb(path, part)
    if path.is_file() and not path.name.lower().endswith(EXTENSIONS):
        header = [cell.strip().lower() for cell in read_rows(path)[0][1]]
        of_pictures = any(name in header for name in image_folder.PATH_NAMES)
        if not (columns["image"] or (of_pictures and not columns["text"])):
            if labeled and header == ["review", "sentiment"]:
                return imdb.load_imdb(path)
            texts = [columns["text"]] if columns["text"] else None
            return text_csv.load_text_csv(
                path, text_columns=texts, label_column=columns["label"], require_label=labeled
            )
    return load_pictures(
        path,
        part,
        labeled=labeled,
        image_size=(image_size, image_size),
        image_column=columns["image"],
        label_column=columns["label"],
    )


VERBS: dict[str, Callable[..., Any]] = {
    "fit": fit,
    "predict": predict,
    "evaluate": evaluate,
    "example": example,
    "cost": cost,
    "replace": replace,
}
