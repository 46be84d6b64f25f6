"""`visus statm fit | evaluate | example`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from visus.errors import InputError
from visus.methods.statm.config import Kind
from visus.methods.statm.verbs.files import open_videos, whole_folder

if TYPE_CHECKING:
    from visus.data.videos import Videos

PresetName = Literal["smoke", "demo", "gpu", "paper", "paper_plus"]
Part = Literal["train", "validation", "test"]


def fit(
    data: Path,
    /,
    *,
    out: Path,
    preset: PresetName = "demo",
    predictor: Kind | None = None,
    set: list[str] | None = None,
    part: Part = "train",
    boxes: Path | None = None,
    skip_damaged: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["no", "bf16", "fp16"] = "no",
    tensorboard: bool = False,
) -> None:
    """Learn to follow the objects of videos; run again to resume.

    DATA is one of: MOVi TFRecords, Kubric scene folders, webdataset shards with video.npy, folders of pictures
    (JPEGImages/ or frames/, with Annotations/ or masks/), or video files with an optional boxes.csv.

    Args:
        data: folder (or one video file) to learn from.
        out: folder for the run; the model is written to OUT/model.
        preset: sizes and training time.
        predictor: what foretells the next frame's slots; statm unless the settings say otherwise.
        set: settings to change, as key=value (for example targets=rgb steps=5000 image_size=[64,64]).
        part: which part of a data set that comes in parts.
        boxes: table of boxes for video files, if it is not boxes.csv beside them.
        skip_damaged: leave damaged records of TFRecords and shards out instead of stopping.
        seed: every random choice follows from it.
        device: auto, cpu or cuda.
        precision: mixed precision: no, bf16 or fp16.
        tensorboard: also write TensorBoard event files.
    """
    from visus.engine import Run
    from visus.methods.statm.config import check
    from visus.methods.statm.estimator import StatmTracker
    from visus.records import leaving_nothing, override

    given = [f"predictor={predictor}"] if predictor else []
    config = override(StatmTracker.preset(preset), [*(set or []), *given])
    check(config)
    videos = open_videos(
        data, part=part, max_instances=config.max_instances, boxes=boxes, skip_damaged=skip_damaged
    )
    notes = _notes(videos, config.clip_length)
    with leaving_nothing(out):
        run = Run(out, seed=seed, device=device, precision=precision, tensorboard=tensorboard)
        if run.is_main:
            print(*notes, sep="\n", end="\n" if notes else "")
        made = StatmTracker(config).fit(videos, run)
    if not run.is_main:
        return
    made.save(out / "model")
    count = sum(weight.numel() for part in made.parts().values() for weight in part.parameters())
    start = "noise" if made.init_ == "none" else f"{made.init_} of the first frame"
    print(f"learned from {len(videos)} videos with {count:,} parameters; slots start from {start},")
    print(f"decoded is {' and '.join(made.targets_)}")
    print(f"model: {out / 'model'}")


def evaluate(
    data: Path,
    /,
    *,
    model: Path,
    out: Path | None = None,
    pictures: Path | None = None,
    part: Part = "test",
    boxes: Path | None = None,
    burn_in: int | None = None,
    steps: int = 0,
    device: str = "auto",
) -> dict[str, float]:
    """Score a trained model on videos whose objects are known; with --steps also its roll-outs.

    Segmentations give fg_ari, miou_*, reappearance_ari, identity_switches, lost_after_gap and j_and_f; boxes give
    box_iou.

    Args:
        data: as for fit.
        model: the folder given to fit as --out, or the model folder in it.
        out: also write the scores to this file (.json).
        pictures: also write the scores of every video (videos.csv) and drawings of the best, a middling and the worst
            one to this new folder.
        part: which part of a data set that comes in parts.
        boxes: table of boxes for video files, if it is not boxes.csv beside them.
        burn_in: frames that are seen before a roll-out; as in training if left out.
        steps: frames of the roll-outs; 0 for none.
        device: auto, cpu or cuda.
    """
    from visus.engine.progress import StepProgress
    from visus.methods.statm.estimator import StatmTracker
    from visus.methods.statm.estimator.judging import told
    from visus.methods.statm.verbs.pictures import write_pictures
    from visus.records import write_json

    made = StatmTracker.open(model, device=device)
    if steps < 0:
        raise InputError(f"{steps} is below 0", field="--steps", remedy="give 0 or more")
    videos = open_videos(data, part=part, max_instances=made.settings.max_instances, boxes=boxes)
    with nullcontext() if pictures is None else whole_folder(pictures, field="--pictures") as folder:
        with StepProgress(len(videos)) as progress:
            each = made.evaluate_each(videos, done=lambda _: progress.advance("scoring"))
        scores = told(each)
        drawn = [] if folder is None else write_pictures(folder, made, videos, each)
    if steps:
        future = made.evaluate_future(videos, burn_in=burn_in, steps=steps)
        scores |= {f"future_{name}": value for name, value in future.items()}
    for name, value in scores.items():
        print(f"{name:34} {value:.4f}")
    for name, video, score in drawn:
        print(f"{name} video: {video} ({score:.4f}), {pictures}/{name}.svg")
    if out is not None:
        write_json(out, scores)
    return scores


def example(*, out: Path, seed: int = 0, layout: Literal["mp4", "movi"] = "mp4") -> list[list[str]]:
    """Write example videos in a real layout and print commands that use them.

    Layout mp4: OUT/train and OUT/test with MP4 files, boxes.csv and masks, and OUT/first.csv, the boxes in the
    first frame of one test video. Layout movi: OUT/*.tfrecord-*, with flow and depth.

    Args:
        out: folder to write to.
        seed: chooses the scenes.
        layout: mp4 (what people have) or movi (what the paper uses).
    """
    from visus.data.worlds.scenes import SceneVideos

    sizes: dict[Literal["train", "test"], int] = {"train": 12, "test": 4}
    parts: dict[str, Any] = {
        part: SceneVideos(count, frames=12, seed=seed, part=part, size=48, objects=(2, 4))
        for part, count in sizes.items()
    }
    start, run = ["visus", "statm"], str(out / "run")
    fitted = [*start, "fit", str(out), "--out", run, "--preset", "smoke"]
    commands = [
        [*fitted, "--set", "future_steps=10", "burn_in=4", "horizon=4"],
        [*start, "predict", str(out), "--model", run, "--out", str(out / "predictions.csv")],
        [*start, "evaluate", str(out), "--model", run, "--burn-in", "6", "--steps", "6"],
    ]
    if layout == "movi":
        from visus.data.corpora.movi_writing import write_movi

        for part, videos in parts.items():
            write_movi(out, videos, name="movi_scenes", split=part)
    else:
        commands += _written_as_files(out, parts, run)
    for command in commands:
        print(" ".join(command))
    return commands


def _written_as_files(out: Path, parts: dict[str, Videos], run: str) -> list[list[str]]:
    """Write video files; the commands that need them."""
    from visus.data.corpora.video_files import write_boxes, write_video_files

    for part, videos in parts.items():
        write_video_files(out / part, videos)
    name = parts["test"].names[0]
    write_boxes(out / "first.csv", {name: parts["test"].read(0)["boxes"][:1]})
    start, video = ["visus", "statm"], str(out / "test" / f"{name}.mp4")
    known = ["--model", run, "--boxes", str(out / "first.csv")]
    return [
        [*start, "track", video, *known, "--out", str(out / "tracked")],
        [*start, "rollout", video, *known, "--burn-in", "6", "--steps", "6", "--out", str(out / "future")],
    ]


def _notes(videos: Videos, length: int) -> list[str]:
    """What of the data is not used."""
    short = [videos.names[i] for i in range(len(videos)) if videos.num_frames(i) < length]
    notes = []
    if short and len(short) < len(videos):
        listed = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
        notes.append(f"note: {len(short)} of {len(videos)} videos have fewer than {length} frames: {listed}")
    if skipped := list(getattr(videos, "skipped", [])):
        notes.append(f"note: {len(skipped)} damaged records are left out: {skipped[0]}")
    return notes
