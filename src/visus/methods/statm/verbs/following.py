"""`visus statm predict | track`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError
from visus.methods.statm.verbs.files import (
    known_of,
    open_video,
    open_videos,
    rows_of,
    whole_folder,
    write_frame_ids,
    write_rows,
)
from visus.methods.statm.verbs.fitting import Part

if TYPE_CHECKING:
    import numpy as np

    from visus.data.corpora.video_files import VideoFiles
    from visus.methods.statm.estimator import StatmTracker

REMEMBERED = 96
"""Past frames that attention over time sees in `track`, so that memory stays bounded in long videos."""


def predict(
    videos: Path,
    /,
    *,
    model: Path,
    out: Path,
    masks: Path | None = None,
    part: Part = "test",
    boxes: Path | None = None,
    device: str = "auto",
) -> None:
    """Follow the objects of all videos of a folder; writes a table of their boxes, frame by frame.

    Columns: video, frame (from 0), object (from 1), ymin, xmin, ymax, xmax (shares of height and width), pixels.

    Args:
        videos: as DATA of fit; hints about the first frames are taken from boxes or masks where the model needs any.
        model: the folder given to fit as --out, or the model folder in it.
        out: table to write (.csv).
        masks: also write every frame's segmentation, as indexed PNG in a new folder per video.
        part: which part of a data set that comes in parts.
        boxes: table of boxes for video files, if it is not boxes.csv beside them.
        device: auto, cpu or cuda.
    """
    from visus.engine.progress import StepProgress
    from visus.methods.statm.estimator import StatmTracker

    made = StatmTracker.open(model, device=device)
    opened = open_videos(videos, part=part, max_instances=made.settings.max_instances, boxes=boxes)
    rows: list[tuple[Any, ...]] = []
    with nullcontext() if masks is None else whole_folder(masks, field="--masks") as folder:
        with StepProgress(len(opened)) as progress:
            for index, name in enumerate(opened.names):
                frame = 0
                for found in made.follow_video(opened, index):
                    rows += rows_of(name, frame, found)
                    if folder is not None:
                        write_frame_ids(folder / name, frame, found.segmentation[0].cpu().numpy())
                    frame += found.segmentation.shape[1]
                progress.advance("predicting")
        write_rows(out, rows)
    print(f"{len(rows)} boxes in {len(opened)} videos: {out}")


def track(
    video: Path,
    /,
    *,
    model: Path,
    out: Path,
    boxes: Path | None = None,
    mask: Path | None = None,
    memory: int = REMEMBERED,
    piece: int = 8,
    device: str = "auto",
) -> None:
    """Follow objects through a video file from their boxes in its first frame.

    Writes OUT/masks/00000.png, ... (indexed, as DAVIS has them), OUT/boxes.csv and OUT/overlay.mp4. A few frames
    at a time are in memory, however long the video.

    Args:
        video: the video file.
        model: the folder given to fit as --out, or the model folder in it.
        out: new folder to write to; it appears when all is done.
        boxes: table with frame (0), object (from 1), ymin, xmin, ymax, xmax in 0..1 or in pixels.
        mask: instead of boxes, a mask of the first frame (indexed or gray; the value is the object).
        memory: past frames that are remembered, if the model remembers more.
        piece: frames at a time; more is faster and needs more memory. The result is the same.
        device: auto, cpu or cuda.
    """
    from visus.data.formats.video import write_video
    from visus.methods.statm.estimator import StatmTracker

    for name, value in (("--memory", memory), ("--piece", piece)):
        if value < 1:
            raise InputError(f"{value} is not 1 or more", field=name, remedy="give 1 or more")
    made = StatmTracker.open(model, device=device)
    videos = open_video(video, boxes, objects=made.settings.max_instances)
    known = known_of(made, videos, boxes=boxes, mask=mask)
    info, bound = videos.info(0), made.settings.buffer
    if info.frames > memory and (bound is None or bound > memory):
        made = made.remembering(memory)
        print(f"{info.frames} frames; the last {memory} are remembered (--memory)")
    with whole_folder(out) as folder:
        rows: list[tuple[Any, ...]] = []
        drawn = _drawn(made, videos, known, piece=piece, masks=folder / "masks", rows=rows)
        rate = info.rate_hz or 12.0
        even = info.constant_rate
        write_video(folder / "overlay.mp4", drawn, rate_hz=rate, times=None if even else info.times.tolist())
        write_rows(folder / "boxes.csv", rows)
    objects = len({row[2] for row in rows})
    print(f"{objects} objects followed through {info.frames} frames: {out / 'overlay.mp4'}")


def _drawn(
    made: StatmTracker,
    videos: VideoFiles,
    known: dict[str, Any],
    *,
    piece: int,
    masks: Path,
    rows: list[tuple[Any, ...]],
) -> Iterator[np.ndarray]:
    """Frames with their segments, as the video is followed; masks and rows are written on the way."""
    from visus.data.formats.video import stream_video
    from visus.engine.progress import StepProgress
    from visus.methods.statm.verbs.overlay import overlay

    waiting: list[np.ndarray] = []

    def frames() -> Iterator[np.ndarray]:
        for shown in stream_video(videos.paths[0], info=videos.info(0)):
            waiting.append(shown.image)
            yield shown.image

    done = 0
    with StepProgress(videos.info(0).frames) as progress:
        for found in made.track(frames(), known, piece=piece):
            ids, around = found.segmentation[0].cpu().numpy(), found.boxes[0].cpu().numpy()
            rows += rows_of(videos.names[0], done, found)
            write_frame_ids(masks, done, ids)
            for frame, segments, places in zip(waiting[: len(ids)], ids, around):
                progress.advance("tracking")
                yield overlay(frame, segments, places)
            del waiting[: len(ids)]
            done += len(ids)
