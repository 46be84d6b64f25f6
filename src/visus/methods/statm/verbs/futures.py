"""`visus statm rollout`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.methods.statm.verbs.files import (
    asked_for,
    known_of,
    open_video,
    rows_of,
    whole_folder,
    write_frame_ids,
    write_rows,
)

if TYPE_CHECKING:
    import numpy as np

    from visus.methods.statm.estimator import Segments, StatmTracker


def rollout(
    video: Path,
    /,
    *,
    model: Path,
    out: Path,
    boxes: Path | None = None,
    mask: Path | None = None,
    burn_in: int | None = None,
    steps: int = 10,
    device: str = "auto",
) -> None:
    """See the first frames of a video file and foretell those to come.

    Writes OUT/future.mp4 (the frames foretold, or flat colors for the objects where the model did not learn
    colors), OUT/masks, OUT/boxes.csv and, where the video goes on, OUT/compared.mp4 (what came on the left,
    what was foretold on the right) and OUT/scores.json.

    Args:
        video: the video file.
        model: the folder given to fit as --out, or the model folder in it.
        out: new folder to write to; it appears when all is done.
        boxes: table with frame (0), object (from 1), ymin, xmin, ymax, xmax in 0..1 or in pixels.
        mask: instead of boxes, a mask of the first frame (indexed or gray; the value is the object).
        burn_in: frames that are seen; as in training if left out.
        steps: frames to foretell.
        device: auto, cpu or cuda.
    """
    from visus.methods.statm.estimator import StatmTracker
    from visus.records import write_json

    made = StatmTracker.open(model, device=device)
    videos = open_video(video, boxes, objects=made.settings.max_instances)
    known = known_of(made, videos, boxes=boxes, mask=mask)
    seen = made.settings.burn_in if burn_in is None else burn_in
    frames = videos.num_frames(0)
    clip = videos.read(0, 0, min(frames, max(1, seen + steps)))
    batch = {"video": clip["video"][None], "name": [videos.names[0]], **made.as_hints(known)}
    if "segmentation" in clip:
        batch["segmentation"] = asked_for(clip["segmentation"], known)[None]
    future = made.foretell(batch, burn_in=seen, steps=steps)
    rate, later = videos.info(0).rate_hz or 12.0, clip["video"][seen:].numpy()
    with whole_folder(out) as folder:
        shown = _shown(made, future, size=(clip["video"].shape[-2], clip["video"].shape[-1]))
        _write(folder, videos.names[0], seen, future, shown, later, rate)
        told = f"{steps} frames after the first {seen}"
        if len(later):
            scores = made.evaluate_future(batch, burn_in=seen, steps=steps)
            write_json(folder / "scores.json", scores)
            told += ": " + ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    print(told)
    print(f"written: {out}")


def _shown(made: StatmTracker, future: Segments, *, size: tuple[int, int]) -> np.ndarray:
    """The foretold frames as pictures (t, 3, h, w)."""
    import numpy as np

    from visus.methods.statm.training import resize_frames
    from visus.methods.statm.verbs.overlay import palette

    if made.targets_ == ("rgb",):
        colors = resize_frames(future.output, size)[0].clamp(0, 1) * 255
        return colors.round().byte().cpu().numpy()
    ids = future.segmentation[0].cpu().numpy()
    return np.ascontiguousarray(np.moveaxis(palette()[ids], -1, 1))


def _write(
    folder: Path,
    name: str,
    seen: int,
    future: Segments,
    shown: np.ndarray,
    later: np.ndarray,
    rate: float,
) -> None:
    import numpy as np

    from visus.data.formats.video import write_video
    from visus.methods.statm.verbs.overlay import overlay

    ids, around = future.segmentation[0].cpu().numpy(), future.boxes[0].cpu().numpy()
    empty: Any = np.zeros_like(ids[0])
    made = [overlay(frame, empty) for frame in shown]
    write_video(folder / "future.mp4", made, rate_hz=rate)
    if len(later):
        beside = [
            np.concatenate([overlay(real, empty), overlay(foretold, segments, places)], axis=2)
            for real, foretold, segments, places in zip(later, shown, ids, around)
        ]
        write_video(folder / "compared.mp4", beside, rate_hz=rate)
    write_frame_ids(folder / "masks", seen, ids)
    write_rows(folder / "boxes.csv", rows_of(name, seen, future))
