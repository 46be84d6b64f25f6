"""Commands that train and score: `fit`, `evaluate`, `fewshot`, `example`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from visus.methods.nsi.verbs.common import (
    Part,
    PresetName,
    item_names,
    open_model,
    read_schema,
    remembered,
    with_features,
)


def fit(
    data: Path,
    /,
    *,
    out: Path,
    preset: PresetName = "demo",
    set: list[str] | None = None,
    schema: Path | None = None,
    backbone: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Learn which slot of a picture means which object of its program; run again to resume.

    DATA is one of: a folder of pictures with a program of the same name (.xml or .json) beside each; a folder
    with pictures and programs.jsonl; such folders inside train/ and test/; or CLEVR, CLEVR-Hans, CLEVRTex or COCO.

    Args:
        data: folder to learn from.
        out: folder for the run; the model is written to OUT/model, the attributes that were found to
            OUT/attributes.json, and what they make of programs, as a JSON schema, to OUT/schema.json.
        preset: sizes and training time.
        set: settings to change, as key=value (for example slots=8 attributes=[shape,color]).
        schema: JSON file with the attributes of the objects, as OUT/attributes.json; read off the training
            pictures if left out.
        backbone: folder of a frozen vision transformer, as transformers saves it; its features take the place
            of pictures and are kept in OUT/features.
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision: no, bf16 or fp16.
        tensorboard: also write TensorBoard event files.
    """
    from visus.engine import Run
    from visus.methods.nsi.config import check
    from visus.methods.nsi.estimator import NSI, FrozenFeatures
    from visus.methods.nsi.estimator.reading import read_data
    from visus.records import leaving_nothing, override, write_json

    config = override(NSI.preset(preset), set or [])
    check(config)
    known = read_schema(schema)
    source = read_data(data, part="train", size=config.image_size, schema=known)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        if backbone is not None:
            cache = out / "features"
            source = FrozenFeatures(source, backbone, cache=cache, device=run.device)
        made = NSI(config).fit(source, run, schema=known)
    if not run.is_main:
        return
    made.backbone_ = None if backbone is None else remembered(source, backbone)
    made.save(out / "model")
    write_json(out / "attributes.json", made.schema_.to_plain())
    write_json(out / "schema.json", made.schema_.json_schema())
    count = sum(p.numel() for part in made.parts().values() for p in part.parameters())
    print(f"learned from {len(source)} pictures with {count:,} parameters")
    print(f"attributes: {', '.join(made.schema_.by_name)}; at most {made.schema_.most} objects")
    print(f"model: {out / 'model'}")


def evaluate(
    data: Path,
    /,
    *,
    model: Path,
    out: Path | None = None,
    part: Part = "test",
    backbone: Path | None = None,
    device: str = "auto",
) -> None:
    """Score retrieval in both directions, written programs, discovery and grounding.

    All pictures of DATA are each other's gallery: chance is 1 in their number. Discovery and grounding need masks
    (DATA/masks/NAME.png, or those of a corpus).

    Args:
        data: as for fit.
        model: the folder given to fit as --out, or the model folder in it.
        out: also write the scores to this file (.json).
        part: which part of a data set that comes in parts.
        backbone: folder of the frozen network, if it has moved.
        device: auto, cpu or cuda.
    """
    from visus.methods.nsi.estimator.reading import read_data
    from visus.records import write_json

    made = open_model(model, device)
    source = read_data(data, part=part, size=made.settings.image_size)
    scores = made.evaluate(with_features(made, source, backbone=backbone, device=device))
    print(f"{len(source)} pictures")
    for name, value in scores.items():
        print(f"{name:20} {value:.4f}")
    if out is not None:
        write_json(out, scores)


def fewshot(
    data: Path,
    /,
    *,
    model: Path,
    out: Path,
    shots: int = 10,
    preset: PresetName = "demo",
    set: list[str] | None = None,
    backbone: Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Learn classes of pictures from a few per class, on the slots of a trained model; run again to resume.

    DATA: one sub-folder of pictures per class (or such folders inside train/ and test/), a table with the columns
    path and label, or CLEVR-Hans. What is not learned from is scored: the part test, or else the pictures that are
    left. `visus nsi predict` classifies further pictures with OUT.

    Args:
        data: pictures with classes.
        model: the folder given to fit as --out, or the model folder in it.
        out: folder for the run: OUT/model and OUT/scores.json.
        shots: pictures per class to learn from; 0 takes all.
        preset: sizes and training time.
        set: settings to change, as key=value (for example epochs=50).
        backbone: folder of the frozen network, if it has moved.
        seed: draws the pictures and starts the classifier.
        device: auto, cpu or cuda.
    """
    from visus.data.loader import Subset
    from visus.engine import Run
    from visus.methods.nsi.config import check
    from visus.methods.nsi.estimator import NSIFewShot
    from visus.methods.nsi.estimator.reading import read_classes
    from visus.records import leaving_nothing, override, write_json

    config = override(NSIFewShot.preset(preset), [*(set or []), f"shots={shots}"])
    check(config)
    made = open_model(model, device)
    size = made.settings.image_size
    source = with_features(
        made, read_classes(data, part="train", size=size), backbone=backbone, device=device
    )
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device)
        learned = NSIFewShot(config, made).fit(source, run)
    if not run.is_main:
        return
    learned.save(out / "model")
    used = frozenset(learned.used_)
    rest = [i for i in range(len(source)) if i not in used]
    if (data / "test").is_dir():
        test = read_classes(data, part="test", size=size)
        test = with_features(made, test, backbone=backbone, device=device)
    else:
        test = Subset(source, rest) if rest else None
    print(f"learned {len(learned.classes_)} classes from {len(used)} pictures; model: {out / 'model'}")
    scores: dict[str, float] = {}
    if test is not None:
        scores = learned.evaluate(test)
        for name, value in scores.items():
            print(f"{name:20} {value:.4f} on {len(test)} other pictures")
    write_json(
        out / "scores.json", {"learned_from": [item_names(source)[i] for i in learned.used_], **scores}
    )


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example pictures with programs and print commands that use them.

    OUT/scenes has train/ and test/ with a PNG, an XML program and a mask per picture; OUT/kinds has pictures in
    one sub-folder per class.

    Args:
        out: folder to write to.
        seed: chooses the pictures.
    """
    from visus.data.corpora.image_folder import write_image_folder
    from visus.data.worlds.scenes import SceneImages
    from visus.methods.nsi.estimator import NSI
    from visus.methods.nsi.estimator.reading import write_pictures
    from visus.methods.nsi.model.schema import Schema

    train = NSI.example("train", seed=seed)
    schema = Schema.infer(train.batch(range(len(train)))["objects"])
    for part in ("train", "test"):
        write_pictures(out / "scenes" / part, NSI.example(part, seed=seed), schema)
    kinds = SceneImages(36, seed=seed, size=32, objects=(2, 4), classes="clean").batch(range(36))
    write_image_folder(out / "kinds", kinds["image"].numpy(), kinds["target"])
    picture = sorted((out / "scenes" / "test").glob("*.png"))[0]
    start, scenes, run = ["visus", "nsi"], str(out / "scenes"), str(out / "run")
    index = ["--model", run, "--index", str(out / "index")]
    commands = [
        [*start, "fit", scenes, "--out", run, "--preset", "smoke"],
        [*start, "predict", scenes, "--model", run, "--out", str(out / "programs.csv")],
        [*start, "evaluate", scenes, "--model", run],
        [*start, "align", scenes, "--model", run, "--out", str(out / "aligned")],
        [*start, "describe", scenes, "--model", run, "--out", str(out / "described")],
        [*start, "retrieve", *index, "--build", scenes, "--query", "color=red shape=cube"],
        [*start, "retrieve", *index, "--query", str(picture), "--out", str(out / "found.csv")],
        [*start, "fewshot", str(out / "kinds"), "--model", run, "--shots", "5", "--preset", "smoke"],
    ]
    commands[-1] += ["--out", str(out / "kinds-run")]
    for command in commands:
        print(" ".join(f'"{word}"' if " " in word else word for word in command))
    return commands
