"""Which clips are learned from: windows of videos, and videos held out as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from visus.data.frames import resized_clip
from visus.data.loader import Subset, iterate, sample_order
from visus.data.videos import Clip, Clips, Remembered, Videos, Whole, fingerprint
from visus.engine.seeds import derive_seed
from visus.errors import InputError
from visus.methods.statm.training.inputs import frames_of
from visus.protocols import Source

LEARNED_FROM = ("video", "segmentation", "backward_flow", "depth", "boxes", "points")
"""Fields that training may need; the others are not kept in memory."""
READ_AT_ONCE = 16


class Resized:
    """Videos whose frames are resized when read, with the fields of a training alone: what fits into memory."""

    def __init__(self, videos: Videos, size: tuple[int, int]) -> None:
        self.videos, self.size = videos, size

    @property
    def names(self) -> Sequence[str]:
        return self.videos.names

    def __len__(self) -> int:
        return len(self.videos)

    def num_frames(self, index: int) -> int:
        return self.videos.num_frames(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        clip = self.videos.read(index, start, stop)
        needed = {key: value for key, value in clip.items() if key in (*LEARNED_FROM, "name")}
        return resized_clip(needed, self.size)

    def fingerprint(self) -> str:
        """Hash of the videos and the size."""
        return hashlib.sha256(f"{fingerprint(self.videos)}:{self.size}".encode()).hexdigest()


@dataclass(frozen=True)
class Lessons:
    """Clips, and which of `videos` videos each was cut from."""

    clips: Source
    video_of: Tensor
    videos: int
    skipped: tuple[str, ...] = ()
    """Videos with fewer frames than a clip."""

    def split(self, share: float, *, seed: int) -> tuple[Source, Source | None]:
        """Clips to learn from, and those of about `share` of the videos; None where there are too few videos.

        Which videos are held out depends on their number and the seed, not on the length of the clips.
        """
        held = min(max(1, round(share * self.videos)), self.videos - 1) if share else 0
        if held == 0:
            return self.clips, None
        chosen = sample_order(self.videos, seed=derive_seed(seed, "validation"), epoch=0)[:held]
        out = torch.isin(self.video_of, chosen)
        if out.all() or not out.any():
            return self.clips, None
        return Subset(self.clips, (~out).nonzero()[:, 0]), Subset(self.clips, out.nonzero()[:, 0])


def lessons(data: Videos | Source, *, length: int, size: tuple[int, int]) -> Lessons:
    """Clips of `length` frames of videos (or of `Whole` videos); clips that are given as such stay as they are.

    Raises
    ------
    InputError : there is nothing, or no video is long enough.
    """
    if len(data) == 0:
        raise InputError("is empty", field="data", remedy="give at least one video")
    videos = whole_videos(data)
    if videos is not None:
        clips = Clips(Remembered(Resized(videos, size)), length=length)
        return _lessons(clips, len(videos))
    assert isinstance(data, Source)
    if isinstance(data, Clips):
        return _lessons(data, len(data.videos))
    names: list[Any] = []
    for batch in iterate(data, READ_AT_ONCE):
        names += list(batch.get("name") or range(len(names), len(names) + len(frames_of(batch))))
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return Lessons(data, torch.tensor([order[name] for name in names]), len(order))


def _lessons(clips: Clips, videos: int) -> Lessons:
    return Lessons(clips, torch.tensor([video for video, _ in clips.windows]), videos, tuple(clips.skipped))


def whole_videos(data: Any) -> Videos | None:
    """The videos behind a source of whole videos, or the videos themselves; None for clips."""
    if isinstance(data, Whole):
        return data.videos if len(data) == len(data.videos) else FirstVideos(data.videos, len(data))
    return data if isinstance(data, Videos) else None


class FirstVideos:
    """The first videos of some."""

    def __init__(self, videos: Videos, count: int) -> None:
        self.videos, self.count = videos, count

    @property
    def names(self) -> Sequence[str]:
        return list(self.videos.names)[: self.count]

    def __len__(self) -> int:
        return self.count

    def num_frames(self, index: int) -> int:
        return self.videos.num_frames(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        return self.videos.read(index, start, stop)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{fingerprint(self.videos)}:{self.count}".encode()).hexdigest()
