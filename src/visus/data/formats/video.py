"""Video files (MP4, MOV, MKV, WebM, AVI, ...) through PyAV, extra `video`.

Frames are numbered in the order in which they are shown, from 0, as the file stores them: none is repeated or
dropped to make the rate even, and `times` says when each is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from visus.data.formats.picture import present
from visus.data.formats.replacing import replacing
from visus.errors import InputError
from visus.extras import need

VIDEO_FILES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv")
"""File names that are taken for videos when a folder is searched."""
WRITTEN = (".mp4", ".mov", ".mkv")

_REMEDY = "play it in a video player; if that fails too, copy or export it again"
_CLOCK = 90_000
_SECONDS = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file holds, found without decoding its pictures."""

    height: int
    width: int
    """Size as shown, the rotation applied."""
    times: Float64[np.ndarray, " t"]
    """Seconds at which the frames are shown, from the first frame on."""
    rotation: int
    """Degrees by which the stored picture is turned counterclockwise: 0, 90, 180 or 270."""
    codec: str
    first_stamp: int | None
    """Time stamp of the first frame, by which frames are found; None: reading starts at the front."""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def rate_hz(self) -> float:
        """Mean frames per second; 0 for a single frame."""
        return (self.frames - 1) / float(self.times[-1]) if self.frames > 1 and self.times[-1] > 0 else 0.0

    @property
    def constant_rate(self) -> bool:
        """Whether all frames are shown equally long, up to the clock's rounding (half a frame)."""
        if self.frames < 3:
            return True
        gaps = np.diff(self.times)
        return bool(gaps.max() < 1.5 * np.median(gaps) and gaps.min() > 0.5 * np.median(gaps))


class Frame(NamedTuple):
    """One picture of a video."""

    time: float
    """Seconds since the first frame."""
    image: UInt8[np.ndarray, "3 h w"]


def probe_video(path: str | Path) -> VideoInfo:
    """Size, time stamps and rotation, from the container and one decoded picture.

    Raises
    ------
    InputError : absent, empty, cut off, no video, or without a video stream.
    """
    path = present(path)
    with _opened(path) as (container, stream):
        stamps, timed = _stamps(container, stream, path)
    with _opened(path) as (container, stream):
        first = next(_decoded(container, path), None)
        if first is None:
            raise InputError("holds no picture that can be decoded", file=path, remedy=_REMEDY)
        rotation = round(first.rotation / 90) * 90 % 360
        height, width = first.height, first.width
        if rotation % 180:
            height, width = width, height
        clock = float(stream.time_base)
        codec = str(stream.codec_context.name)
    times = (np.array(stamps, dtype=np.float64) - stamps[0]) * clock
    return VideoInfo(
        height=height,
        width=width,
        times=times,
        rotation=rotation,
        codec=codec,
        first_stamp=stamps[0] if timed else None,
    )


def stream_video(
    path: str | Path, start: int = 0, stop: int | None = None, *, info: VideoInfo | None = None
) -> Iterator[Frame]:
    """Frames `start` to `stop` one by one; a handful of frames is in memory at a time.

    Parameters
    ----------
    info : what `probe_video` said of the file, to save asking again.

    Raises
    ------
    InputError : as `probe_video`, a range outside the video, or a frame that cannot be decoded.
    """
    path = present(path)
    info = probe_video(path) if info is None else info
    stop = info.frames if stop is None else stop
    if not 0 <= start < stop <= info.frames:
        problem = f"frames {start} to {stop} do not lie within its {info.frames} frames"
        raise InputError(problem, file=path, remedy="ask for frames the video has")
    at = start
    with _opened(path) as (container, stream):
        for frame in _from(container, stream, path, start, info):
            image = np.rot90(frame.to_ndarray(format="rgb24"), k=info.rotation // 90)
            yield Frame(float(info.times[at]), np.ascontiguousarray(np.moveaxis(image, -1, 0)))
            at += 1
            if at == stop:
                return
    raise InputError(f"frame {at} of {info.frames} cannot be decoded", file=path, remedy=_REMEDY)


def read_video(
    path: str | Path, start: int = 0, stop: int | None = None, *, info: VideoInfo | None = None
) -> tuple[UInt8[np.ndarray, "t 3 h w"], Float64[np.ndarray, " t"]]:
    """Frames `start` to `stop` and the seconds at which they are shown."""
    frames = list(stream_video(path, start, stop, info=info))
    shapes = {frame.image.shape for frame in frames}
    if len(shapes) > 1:
        problem = f"its pictures change in size: {sorted(shapes)}"
        raise InputError(problem, file=path, remedy="export it with one size")
    return np.stack([frame.image for frame in frames]), np.array([frame.time for frame in frames])


def write_video(
    path: str | Path,
    frames: Iterable[Any],
    *,
    rate_hz: float = 12,
    quality: int = 18,
    lossless: bool = False,
    odd: Literal["pad", "refuse"] = "pad",
    times: Sequence[float] | None = None,
) -> int:
    """Write H.264 as frames come, one in memory at a time; returns their number. MP4, MOV or MKV by ending.

    Parameters
    ----------
    frames : uint8 arrays or tensors (3, h, w), all of one size.
    rate_hz : frames per second.
    quality : 0 (best) to 51 (worst), x264's constant rate factor.
    lossless : keep every pixel exactly, as H.264 in RGB, which not all players show.
    odd : with the usual half-resolution color sides must be even; `pad` repeats the last row or column,
        `refuse` is an error. Lossless files keep odd sides.
    times : seconds at which the frames are shown, rising, instead of an even rate.

    Raises
    ------
    InputError : no frames, frames of another shape or size, odd sides refused, or an unknown ending.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise InputError("has no known video ending", file=path, remedy=f"use one of: {' '.join(WRITTEN)}")
    if rate_hz <= 0 or not 0 <= quality <= 51:
        problem = f"needs a rate above 0 and a quality of 0 to 51, got {rate_hz} and {quality}"
        raise InputError(problem, file=path)
    av = need("av", extra="video", purpose="writing videos")
    rate = Fraction(rate_hz).limit_denominator(100_000)
    count = 0
    with replacing(path) as draft, av.open(str(draft), "w", options=_muxing(path)) as container:
        stream = None
        for frame in frames:
            image = _checked(frame, path, count, lossless, odd)
            if stream is None:
                stream = _encoder(container, image, rate, quality, lossless)
            if image.shape != (stream.height, stream.width, 3):
                problem = f"is {image.shape[:2]}, but the first is {(stream.height, stream.width)}"
                raise InputError(problem, file=path, field=f"frame {count}")
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.time_base = Fraction(1, _CLOCK)
            picture.pts = round(count * _CLOCK / rate) if times is None else _stamp(times, count, path)
            container.mux(stream.encode(picture))
            count += 1
        if stream is None:
            raise InputError("has no frames to write", file=path)
        container.mux(stream.encode(None))
    return count


def _muxing(path: Path) -> dict[str, str]:
    return {} if path.suffix.lower() == ".mkv" else {"movflags": "+faststart"}


def _encoder(container: Any, image: np.ndarray, rate: Fraction, quality: int, lossless: bool) -> Any:
    stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=rate)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "rgb24" if lossless else "yuv420p"
    stream.options = {"qp": "0"} if lossless else {"crf": str(quality)}
    stream.codec_context.time_base = Fraction(1, _CLOCK)
    return stream


def _checked(frame: Any, path: Path, number: int, lossless: bool, odd: str) -> np.ndarray:
    array = np.asarray(frame)
    if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        problem = f"is {array.dtype} {array.shape}, not uint8 (3, h, w)"
        raise InputError(problem, file=path, field=f"frame {number}")
    extra = [side % 2 for side in array.shape[1:]]
    if any(extra) and not lossless:
        if odd == "refuse":
            remedy = 'write it lossless, with odd="pad", or resize it'
            raise InputError(f"has an odd side: {array.shape[1:]}", file=path, field="size", remedy=remedy)
        array = np.pad(array, ((0, 0), (0, extra[0]), (0, extra[1])), mode="edge")
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


def _stamp(times: Sequence[float], number: int, path: Path) -> int:
    if number >= len(times) or (number and times[number] <= times[number - 1]):
        raise InputError("must rise and be one per frame", file=path, field=f"times, frame {number}")
    return round((times[number] - times[0]) * _CLOCK)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    av = need("av", extra="video", purpose="reading videos")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        told = getattr(error, "strerror", None) or error
        raise InputError(
            f"is no video, or is cut off or damaged ({told})", file=path, remedy=_REMEDY
        ) from None
    with container:
        if not container.streams.video:
            raise InputError("has no video stream", file=path, remedy="give a file with pictures")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _stamps(container: Any, stream: Any, path: Path) -> tuple[list[int], bool]:
    """Time stamps of the frames in the order shown, and whether frames can be found by them."""
    av = need("av", extra="video", purpose="reading videos")
    stored, shown = 0, []
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the flush at the end
                continue
            stored += 1
            if not packet.is_discard:
                shown.append(packet.pts)
    except av.error.FFmpegError as error:
        problem = f"is cut off or damaged after {stored} frames ({error.strerror})"
        raise InputError(problem, file=path, remedy=_REMEDY) from None
    if stored < stream.frames:
        problem = f"is cut off: {stored} of {stream.frames} frames are there"
        raise InputError(problem, file=path, remedy=_REMEDY)
    if not shown:
        raise InputError("holds no pictures", file=path, remedy=_REMEDY)
    if all(stamp is not None for stamp in shown) and len(set(shown)) == len(shown):
        shown.sort()
        _refuse_short(stream, shown, path)
        return shown, True
    with _opened(path) as (again, _):  # no usable stamps in the container: the decoder counts
        count = sum(1 for _ in _decoded(again, path))
    step = 1 / ((stream.average_rate or Fraction(25)) * stream.time_base)
    return [round(k * step) for k in range(count)], False


def _refuse_short(stream: Any, stamps: list[int], path: Path) -> None:
    """Containers that do not count frames (Matroska) still tell how long the stream lasts."""
    told = _SECONDS.fullmatch(stream.metadata.get("DURATION", ""))
    if told is None or len(stamps) < 2:
        return
    hours, minutes, seconds = (float(part) for part in told.groups())
    clock = float(stream.time_base)
    lasts, gap = stamps[-1] * clock, max(np.diff(stamps)) * clock
    wanted = 3600 * hours + 60 * minutes + seconds
    if wanted - lasts > 2 * gap + 0.01:
        problem = f"is cut off: {lasts:.2f} of {wanted:.2f} seconds are there"
        raise InputError(problem, file=path, remedy=_REMEDY)


def _decoded(container: Any, path: Path) -> Iterator[Any]:
    av = need("av", extra="video", purpose="reading videos")
    try:
        yield from container.decode(video=0)
    except (av.error.FFmpegError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise InputError(f"a frame cannot be decoded ({told})", file=path, remedy=_REMEDY) from None


def _from(container: Any, stream: Any, path: Path, start: int, info: VideoInfo) -> Iterator[Any]:
    """Decoded frames from number `start` on."""
    if info.first_stamp is None:
        for number, frame in enumerate(_decoded(container, path)):
            if number >= start:
                yield frame
        return
    clock = float(stream.time_base)
    tolerance = 0.5 * float(np.diff(info.times).min() if info.frames > 1 else 1.0)
    if start:
        target = info.first_stamp + int(info.times[start] / clock)
        container.seek(target, stream=stream, backward=True)
    number = start
    for frame in _decoded(container, path):
        time = (frame.pts - info.first_stamp) * clock
        if time < info.times[start] - tolerance:  # between the key frame and the wanted one
            continue
        if number < info.frames and abs(time - info.times[number]) > tolerance:
            raise InputError(f"frame {number} cannot be decoded", file=path, remedy=_REMEDY)
        yield frame
        number += 1
