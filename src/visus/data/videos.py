"""Videos with what is known of them, and their windows as items that can be trained on.

A clip is a dict of the fields below without the batch axis; `Clips` and `Whole` add it. Absent fields are
absent keys. Per frame (first axis `t`):

| field | shape, type | meaning |
|---|---|---|
| video | t 3 h w uint8 | color |
| segmentation | t h w uint8 | 0 background, i+1 = object i; objects beyond the most are background |
| backward_flow, forward_flow | t 2 h w float32 | way since the frame before, until the next: rows, columns [px] |
| depth | t 1 h w float32 | distance to the camera |
| normal | t 3 h w float32 | direction of the surface in the world, -1..1 (only where asked for) |
| boxes | t m 4 float32 | ymin xmin ymax xmax in 0..1; zeros where the object is absent or hidden |
| visibility | t m int64 | visible pixels |
| positions, velocities | t m 3 float32 | of the world |
| image_positions | t m 2 float32 | x, y in 0..1 |
| times | t float32 | seconds since the first frame (video files only) |

Both flows point the way of time, as in the MOVi data: what is at x was at x - backward_flow(x) and will be at
x + forward_flow(x).

Per clip: `num_instances` int, `objects` list of dicts, `collisions` list of dicts (`frame` counts from the
clip's first frame, `instances` is a pair with -1 for floor, wall and panel), `name` str.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from visus.data.loader import Indices, as_indices, collate
from visus.errors import InputError
from visus.protocols import Batch

Clip = dict[str, Any]
"""One clip: field -> tensor without a batch axis, number, list or text."""

FRAME_FIELDS = (
    "video",
    "segmentation",
    "backward_flow",
    "forward_flow",
    "depth",
    "normal",
    "boxes",
    "visibility",
    "positions",
    "velocities",
    "image_positions",
    "times",
)
"""Fields whose first axis is time."""


@runtime_checkable
class Videos(Protocol):
    """Videos that can be read in any order, whole or in part. Reading is pure."""

    @property
    def names(self) -> Sequence[str]:
        """One name per video, all different."""
        ...

    def __len__(self) -> int: ...

    def num_frames(self, index: int) -> int:
        """Frames of video `index`, known without decoding it where the format allows."""
        ...

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        """Frames `start` to `stop` (not included; None: the end) of video `index`."""
        ...


def frame_range(frames: int, start: int, stop: int | None, *, name: str) -> tuple[int, int]:
    """`start` and `stop` checked against a video of `frames` frames.

    Raises
    ------
    InputError : the range is empty or leaves the video.

    >>> frame_range(24, 6, None, name="a")
    (6, 24)
    """
    end = frames if stop is None else stop
    if not 0 <= start < end <= frames:
        problem = f"frames {start} to {end} do not lie within its {frames} frames"
        raise InputError(problem, field=f"video {name}", remedy="ask for frames the video has")
    return start, end


def cut(clip: Clip, start: int, stop: int | None = None) -> Clip:
    """Frames `start` to `stop` of a clip that is in memory; tensors are views.

    Collisions outside the range are left out, and the others count their frame from `start`.
    """
    frames = len(clip["video"])
    start, stop = frame_range(frames, start, stop, name=str(clip.get("name", "")))
    made = {key: value[start:stop] if key in FRAME_FIELDS else value for key, value in clip.items()}
    if "collisions" in clip:
        made["collisions"] = collisions_within(clip["collisions"], start, stop)
    return made


def collisions_within(collisions: Sequence[dict[str, Any]], start: int, stop: int) -> list[dict[str, Any]]:
    """The collisions of frames `start` to `stop`, their `frame` counted from `start`.

    >>> collisions_within([{"frame": 2}, {"frame": 7}], 6, 12)
    [{'frame': 1}]
    """
    return [
        {**event, "frame": event["frame"] - start} for event in collisions if start <= event["frame"] < stop
    ]


class Clips:
    """Windows of equal length as items of a source.

    Video 0 gives windows at 0, `stride`, 2 `stride`, ... as far as whole windows reach, then video 1, ...
    A batch holds the fields of the clip with a batch axis, and `start` (b,) int64.

    Parameters
    ----------
    length : frames of a window.
    stride : frames between the starts of two windows; None takes `length` (windows do not overlap).
    limit : at most this many windows, the first ones.
    fields : names of the fields to keep (`name` and `start` always stay); None keeps all.
    short : `skip` leaves out videos with fewer than `length` frames (`skipped` names them), `refuse` is an
        error.

    Raises
    ------
    InputError : no window is left, a video is too short and refused, or a field is absent (when read).
    """

    def __init__(
        self,
        videos: Videos,
        length: int = 6,
        stride: int | None = None,
        limit: int | None = None,
        fields: Collection[str] | None = None,
        *,
        short: Literal["skip", "refuse"] = "skip",
    ) -> None:
        stride = length if stride is None else stride
        for name, value in (("length", length), ("stride", stride), ("limit", limit)):
            if value is not None and value < 1:
                raise InputError(f"must be at least 1, got {value}", field=name)
        if short not in ("skip", "refuse"):
            raise InputError(f"must be skip or refuse, got {short}", field="short")
        self.videos, self.length, self.fields = videos, length, fields
        self.skipped: list[str] = []
        self.windows: list[tuple[int, int]] = []
        for index in range(len(videos)):
            frames = videos.num_frames(index)
            if frames < length:
                self._leave_out(index, frames, short)
            self.windows += [(index, start) for start in range(0, frames - length + 1, stride)]
        self.windows = self.windows[:limit]
        if not self.windows:
            problem = f"no video has {length} frames ({len(videos)} videos)"
            raise InputError(problem, field="length", remedy="use shorter windows or longer videos")

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, indices: Indices) -> Batch:
        items = []
        for item in as_indices(indices, len(self)).tolist():
            index, start = self.windows[item]
            clip = self.videos.read(index, start, start + self.length)
            items.append({**_chosen(clip, self.fields), "start": start})
        return _batch(items)

    def fingerprint(self) -> str:
        """Hash of the videos and the windows."""
        told = f"{fingerprint(self.videos)}:{self.length}:{self.windows}:{_told(self.fields)}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _leave_out(self, index: int, frames: int, short: str) -> None:
        name = self.videos.names[index]
        if short == "refuse":
            problem = f"has {frames} frames, fewer than a window of {self.length}"
            raise InputError(problem, field=f"video {name}", remedy='use shorter windows, or short="skip"')
        self.skipped.append(name)


class Whole:
    """Every video in full as an item of a source; the videos of one batch need equally many frames.

    Parameters
    ----------
    limit : at most this many videos, the first ones.
    fields : names of the fields to keep (`name` always stays); None keeps all.
    """

    def __init__(
        self, videos: Videos, limit: int | None = None, fields: Collection[str] | None = None
    ) -> None:
        if len(videos) == 0:
            raise InputError("has no videos", field="videos", remedy="give at least one video")
        if limit is not None and limit < 1:
            raise InputError(f"must be at least 1, got {limit}", field="limit")
        self.videos, self.fields = videos, fields
        self.count = len(videos) if limit is None else min(limit, len(videos))

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Indices) -> Batch:
        chosen = as_indices(indices, len(self)).tolist()
        for index in chosen:
            frames, first = self.videos.num_frames(index), self.videos.num_frames(chosen[0])
            if frames != first:
                names = self.videos.names
                raise InputError(
                    f"has {frames} frames but {names[chosen[0]]}, in the same batch, has {first}",
                    field=f"video {names[index]}",
                    remedy="use batch size 1, or windows of equal length (Clips)",
                )
        return _batch([_chosen(self.videos.read(index), self.fields) for index in chosen])

    def fingerprint(self) -> str:
        """Hash of the videos and how many of them are used."""
        told = f"{fingerprint(self.videos)}:{self.count}:{_told(self.fields)}"
        return hashlib.sha256(told.encode()).hexdigest()


class Remembered:
    """Videos whose last read ranges stay in memory, at most `limit` bytes; empty again in another process.

    What `read` returns is shared: do not write into it.
    """

    def __init__(self, videos: Videos, limit: int = 1 << 29) -> None:
        self.videos, self.limit, self.used = videos, limit, 0
        self._kept: OrderedDict[tuple[int, int, int | None], Clip] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"videos": self.videos, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["videos"], state["limit"])

    def __getattr__(self, name: str) -> Any:
        if name == "videos":  # while unpickling, before the attribute is there
            raise AttributeError(name)
        return getattr(self.videos, name)

    @property
    def names(self) -> Sequence[str]:
        return self.videos.names

    def __len__(self) -> int:
        return len(self.videos)

    def num_frames(self, index: int) -> int:
        return self.videos.num_frames(index)

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        key = (index, start, stop)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return dict(self._kept[key])
        clip = self.videos.read(index, start, stop)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = clip
                self.used += _bytes(clip)
            while self.used > self.limit:
                self.used -= _bytes(self._kept.popitem(last=False)[1])
        return dict(clip)

    def fingerprint(self) -> str:
        """That of the videos."""
        return fingerprint(self.videos)


def fingerprint(videos: Videos) -> str:
    """The videos' own fingerprint, or a hash of their names, lengths and first and last frames."""
    own = getattr(videos, "fingerprint", None)
    if own is not None:
        return own()
    digest = hashlib.sha256()
    for index, name in enumerate(videos.names):
        digest.update(f"{name}:{videos.num_frames(index)}".encode())
    for index in sorted({0, len(videos) - 1}) if len(videos) else []:
        digest.update(videos.read(index, 0, 1)["video"].numpy().tobytes())
        digest.update(videos.read(index, videos.num_frames(index) - 1)["video"].numpy().tobytes())
    return digest.hexdigest()


def _chosen(clip: Clip, fields: Collection[str] | None) -> Clip:
    if fields is None:
        return clip
    absent = [name for name in fields if name not in clip and name != "start"]
    if absent:
        there = ", ".join(sorted(clip))
        where = f"video {clip.get('name', '')}"
        raise InputError(f"has no {absent[0]}", field=where, remedy=f"choose among: {there}")
    return {name: value for name, value in clip.items() if name in fields or name == "name"}


def _batch(items: list[Clip]) -> Batch:
    first = items[0] if items else {}
    for item in items:
        for field, value in item.items():
            known = first.get(field)
            if isinstance(value, Tensor) and isinstance(known, Tensor) and value.shape != known.shape:
                raise InputError(
                    f"has {field} of shape {tuple(value.shape)} but {first.get('name')}, in the same batch, "
                    f"has {tuple(known.shape)}",
                    field=f"video {item.get('name')}",
                    remedy="read the videos with one size, or use batch size 1",
                )
    return collate(items)


def _told(fields: Collection[str] | None) -> str:
    return "all" if fields is None else ",".join(sorted(fields))


def _bytes(clip: Clip) -> int:
    return sum(value.numel() * value.element_size() for value in clip.values() if isinstance(value, Tensor))
