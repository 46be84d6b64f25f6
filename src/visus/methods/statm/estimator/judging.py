"""Predictions and scores of many videos: what to read, what to push, what to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from visus.data.loader import concatenate, iterate
from visus.data.videos import Videos
from visus.errors import InputError
from visus.methods.statm.estimator import scores
from visus.methods.statm.estimator.building import FIELDS
from visus.methods.statm.estimator.segments import Segments
from visus.methods.statm.losses import squared_error
from visus.methods.statm.training import frames_of, resize_frames, targets_of, whole_videos
from visus.protocols import Batch, Prediction, Scores, Source

if TYPE_CHECKING:
    from visus.methods.statm.estimator.tracker import StatmTracker

READ_AT_ONCE = 8
"""Clips of a source at a time; whole videos, which may differ in length and size, are read one by one."""
PIECE = 24
"""Frames pushed at a time."""


def batches(data: Batch | Source | Videos) -> Iterator[Batch]:
    """Videos in batches of equal length.

    Raises
    ------
    InputError : there is none.
    """
    if isinstance(data, dict):
        yield data
        return
    videos = whole_videos(data)
    if videos is None:
        yield from iterate(cast(Source, data), READ_AT_ONCE)
        return
    if len(videos) == 0:
        raise InputError("is empty", field="data", remedy="give at least one video")
    for index in range(len(videos)):
        clip = videos.read(index)
        yield {key: value[None] if isinstance(value, Tensor) else [value] for key, value in clip.items()}


def predict(
    made: StatmTracker, data: Batch | Source | Videos, *, burn_in: int | None = None, steps: int = 0
) -> Prediction:
    """See `StatmTracker.predict` and, with `burn_in`, `StatmTracker.rollout`."""
    found: list[Batch] = []
    for batch in batches(data):
        frames = frames_of(batch)
        if found and burn_in is None and frames.shape[1] != found[0]["segmentation"].shape[1]:
            raise InputError(
                f"videos of {found[0]['segmentation'].shape[1]} and of {frames.shape[1]} frames",
                field="data",
                remedy="predict videos of one length at a time",
            )
        if burn_in is None:
            segments = followed(made, batch)
            found.append({key: getattr(segments, key) for key in ("segmentation", "boxes", "slots")})
        else:
            found.append(foretold(made, batch, burn_in=burn_in, steps=steps)[0]._asdict())
    if len({part["segmentation"].shape[2:] for part in found}) > 1:
        raise InputError("videos differ in size", field="data", remedy="predict videos of one size at a time")
    return concatenate([{key: value.cpu() for key, value in part.items()} for part in found])


def followed(made: StatmTracker, batch: Batch) -> Segments:
    """The segments of all frames of a batch."""
    following, frames = made.follow(batch), frames_of(batch)
    return joined([following.push(piece) for piece in frames.split(PIECE, dim=1)])


def foretold(made: StatmTracker, batch: Batch, *, burn_in: int, steps: int) -> tuple[Segments, Segments]:
    """The segments of `steps` frames that are not seen, and of those that were before."""
    frames = frames_of(batch)
    for name, value in (("burn_in", burn_in), ("steps", steps)):
        if value < 1:
            raise InputError(f"{value} is not 1 or more", field=name, remedy="give 1 or more")
    if frames.shape[1] < burn_in:
        names = batch.get("name") or ["the video"]
        raise InputError(
            f"has {frames.shape[1]} frames, fewer than the {burn_in} to be seen",
            field=f"video {names[0]}",
            remedy="give a longer video, or a smaller burn_in",
        )
    following = made.follow(batch)
    seen = joined([following.push(piece) for piece in frames[:, :burn_in].split(PIECE, dim=1)])
    size = (frames.shape[-2], frames.shape[-1])
    return following.foretell(seen.slots, steps, size=size, predictor=made.future_), seen


def joined(parts: list[Segments]) -> Segments:
    """Pieces of the same videos as one."""
    return Segments(*(torch.cat(values, dim=1) for values in zip(*parts)))


# ---- scores -----------------------------------------------------------------------------------------------


def evaluate_each(
    made: StatmTracker, data: Batch | Source | Videos, *, done: Callable[[int], None] | None = None
) -> dict[str, Tensor]:
    """See `StatmTracker.evaluate_each`."""
    parts = []
    for batch in batches(data):
        found, truth = followed(made, batch), _truth(made, batch)
        values: dict[str, Any] = {}
        if truth is not None:
            values |= scores.of_segments(truth, found.segmentation.cpu(), hinted=made.init_ != "none")
        if "boxes" in batch:
            values |= scores.of_boxes(batch["boxes"].float(), found.boxes.cpu())
        if all(FIELDS[name] in batch for name in made.targets_):  # a test video need not have a flow
            target = targets_of(made.inputs(batch), made.targets_)
            values["loss"] = squared_error(found.output, target).double()
        if made.targets_ == ("rgb",):
            values |= scores.of_frames(batch["video"], _colors(found.output, batch["video"]))
        parts.append((len(batch["video"]), values))
        if done is not None:
            done(len(batch["video"]))
    return scores.joined(parts)


def evaluate_future(made: StatmTracker, data: Batch | Source | Videos, *, burn_in: int, steps: int) -> Scores:
    """See `StatmTracker.evaluate_future`."""
    parts = []
    for batch in batches(data):
        frames = frames_of(batch)
        known = min(steps, frames.shape[1] - burn_in)
        if known < 1:
            raise InputError(
                f"has {frames.shape[1]} frames: none is left to compare with after {burn_in}",
                field=f"video {(batch.get('name') or ['1'])[0]}",
                remedy="give longer videos, or a smaller burn_in",
            )
        future, seen = foretold(made, batch, burn_in=burn_in, steps=known)
        later, truth = slice(burn_in, burn_in + known), _truth(made, batch)
        values: dict[str, Any] = {}
        if truth is not None:
            hinted = made.init_ != "none"
            values |= scores.of_segments(truth[:, later], future.segmentation.cpu(), hinted=hinted)
            whole = torch.cat([seen.segmentation, future.segmentation], dim=1).cpu()
            values |= scores.of_places(truth[:, : burn_in + known], whole, first=burn_in, hinted=hinted)
        if made.targets_ == ("rgb",):
            values |= scores.of_frames(frames[:, later], _colors(future.output, frames))
        parts.append((len(frames), values))
    return told(scores.joined(parts))


def _truth(made: StatmTracker, batch: Batch) -> Tensor | None:
    """Ids of every frame; None where at most the first frame's are known.

    Objects that cannot have a slot are background, as in training.
    """
    ids = batch.get("segmentation")
    if ids is None or ids.shape[1] != batch["video"].shape[1]:
        return None
    return ids.masked_fill(ids > made.settings.max_instances, 0)


def _colors(output: Tensor, frames: Tensor) -> Tensor:
    """Decoded colors on the grid of the frames."""
    return resize_frames(output, (frames.shape[-2], frames.shape[-1])).cpu()


def told(each: dict[str, Tensor]) -> Scores:
    """The means over videos.

    Raises
    ------
    InputError : no video could be judged.
    """
    found = scores.averaged(each)
    if not found:
        raise InputError(
            "holds nothing to score the model with",
            field="data",
            remedy="give videos with segmentation, boxes or the targets of the model",
        )
    return found
