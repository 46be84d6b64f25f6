"""`visus chestxray fit | example`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from visus.errors import InputError
from visus.methods.chestxray.verbs.data import read_data
from visus.methods.chestxray.verbs.outputs import check_folder

if TYPE_CHECKING:
    from visus.methods.chestxray.estimator import ChestXrayReader

PresetName = Literal["smoke", "demo", "gpu", "paper"]


def fit(
    data: Path,
    /,
    *,
    out: Path,
    labels: Path | None = None,
    fixations: Path | None = None,
    mimic: Path | None = None,
    target: str | None = None,
    skip: bool = False,
    preset: PresetName = "gpu",
    set: list[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Learn diagnoses and where radiologists look; run again to resume in whatever stage it stopped.

    DATA is one of: an EGD-CXR folder (master_sheet.csv, fixations.csv or eye_gaze.csv, DICOM files), a REFLACX folder,
    or a folder with images/, fixations.csv (image, x, y, duration) and labels.csv (image, label, and patient if there
    are several images of one). Gaze may be missing for part of the images, or for all.

    Args:
        data: folder to learn from.
        out: folder for the run; the model is written to OUT/model.
        labels: table with an image and its diagnosis per row, if it is not labels.csv in DATA.
        fixations: table with a fixation per row, if it is not fixations.csv in DATA.
        mimic: folder of MIMIC-CXR, where DATA (EGD-CXR, REFLACX) names images that lie elsewhere.
        target: finding to learn (yes or no), where DATA is REFLACX.
        skip: leave out what is incomplete (absent pictures, none or several diagnoses, fixations on unknown
            pictures) instead of refusing it; counts are told.
        preset: sizes and training time.
        set: settings to change, as key=value (for example network=mtunet final_epochs=20).
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision; fp16 needs a GPU.
        tensorboard: also write TensorBoard event files.
    """
    from visus.engine import Run
    from visus.methods.chestxray.config import check
    from visus.methods.chestxray.estimator import ChestXrayReader
    from visus.records import leaving_nothing, override

    config = override(ChestXrayReader.preset(preset), set or [])
    check(config)
    source = read_data(data, labels=labels, fixations=fixations, mimic=mimic, target=target, skip=skip)
    check_labels(source, config.network, data)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        if run.is_main:
            print(source.report())
            if preset in ("gpu", "paper") and run.device.type == "cpu":
                print(f"training with the settings of preset {preset} on the CPU; --preset demo is quicker")
        made = ChestXrayReader(config).fit(source, run)
    if not run.is_main:
        return
    made.save(out / "model")
    for line in story(made):
        print(line)
    print(f"model: {out / 'model'}")


def check_labels(source: GazeTable, network: str, data: Path) -> None:
    """Refuse to learn diagnoses where there are none.

    Raises
    ------
    InputError : says where they are looked for.
    """
    if source.target is None and network != "unet":
        remedy = "add labels.csv (image, label) or give --labels; --set network=unet learns gaze alone"
        raise InputError("has no diagnoses", file=data, remedy=remedy)


def story(made: ChestXrayReader) -> list[str]:
    """The stages of a training: length, best epoch, and which weights each began from and left."""
    count = sum(weight.numel() for part in made.parts().values() for weight in part.parameters())
    lines = [
        f"learned {', '.join(made.classes_) or 'gaze'} with {count:,} parameters, temperature {made.temperature_:.2f}"
    ]
    lines += [f"note: {note}" for note in made.notes_]
    for stage in made.lineage_:
        epochs = "1 epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
        known = stage.best_epoch is not None
        best = f", best epoch {stage.best_epoch} (validation loss {stage.best:.4f})" if known else ""
        lines.append(f"  {stage.stage:12} {epochs}{best}: {stage.began[:8]} -> {stage.ended[:8]}")
    return lines


def lineage(*, model: Path) -> list[dict[str, object]]:
    """Show how a model came to be: its stages, and by hashes which weights each began from and left.

    A stage that begins with the hash that the stage before it left went on from there.

    Args:
        model: the folder given to fit as --out, or the model folder in it.
    """
    from dataclasses import asdict

    from visus.methods.chestxray.estimator import ChestXrayReader

    made = ChestXrayReader.open(model, device="cpu")
    for line in story(made):
        print(line)
    return [asdict(stage) for stage in made.lineage_]


def example(*, out: Path, seed: int = 0) -> list[list[str]]:
    """Write example files and print commands that use them.

    OUT/train and OUT/test are laid out like EGD-CXR beside MIMIC-CXR: DICOM files (some MONOCHROME1), master sheet,
    fixations, gaze samples with calibration rows, boxes, masks. OUT/files has the same test images as PNG files in
    images/, with fixations.csv and labels.csv; OUT/one.dcm is one of them as DICOM.

    Args:
        out: folder to write to.
        seed: chooses the patients.
    """
    from visus.data.corpora.egd_cxr_writing import write_egd_cxr
    from visus.data.corpora.gaze_files import write_gaze_files
    from visus.methods.chestxray.estimator import ChestXrayReader
    from visus.records import write_atomically

    check_folder(out, "--out")
    for part in ("train", "test"):
        source = ChestXrayReader.example(part, seed=seed)
        write_egd_cxr(out / part, source, seed=seed)
    write_gaze_files(out / "files", source)
    write_atomically(out / "one.dcm", sorted((out / "test").rglob("*.dcm"))[0].read_bytes())
    start, run = ["visus", "chestxray"], str(out / "run")
    train, test, files = str(out / "train"), str(out / "test"), str(out / "files")
    found = [
        "--out",
        str(out / "found.csv"),
        "--pictures",
        str(out / "pictures"),
        "--dicom",
        str(out / "dicom"),
    ]
    commands = [
        [*start, "fit", train, "--preset", "smoke", "--out", run],
        [*start, "predict", test, "--model", run, *found],
        [*start, "evaluate", files, "--model", run, "--out", str(out / "scores")],
        [*start, "explain", str(out / "one.dcm"), "--model", run, "--out", str(out / "explained.png")],
        [*start, "lineage", "--model", run],
    ]
    for command in commands:
        print(" ".join(command))
    return commands
