"""Video files: exact positions, time stamps, rotation, losses, damage."""

from fractions import Fraction

import numpy as np
import pytest

from visus.data.formats.video import probe_video, read_video, stream_video, write_video
from visus.errors import InputError, MissingExtra

av = pytest.importorskip("av")
COUNT = 60


def numbered(k, height=32, width=64):
    """A frame that carries its number in eight light or dark bars."""
    bars = np.array([230 if (k >> bit) & 1 else 20 for bit in range(8)], dtype=np.uint8)
    return np.broadcast_to(np.repeat(bars, width // 8), (3, height, width)).copy()


def number_of(frame):
    bars = frame[:, 4:-4].astype(float).mean(axis=(0, 1)).reshape(8, -1)[:, 2:-2].mean(axis=1)
    return sum(1 << bit for bit in range(8) if bars[bit] > 128)


def numbers(frames):
    return [number_of(frame) for frame in frames]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for ending in (".mp4", ".mkv", ".mov"):
        write_video(folder / f"a{ending}", (numbered(k) for k in range(COUNT)))
    return folder


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_any_range_has_exactly_its_frames(files, ending):
    path = files / f"a{ending}"
    info = probe_video(path)
    assert (info.frames, info.height, info.width, info.rotation, info.codec) == (COUNT, 32, 64, 0, "h264")
    assert info.constant_rate
    assert info.rate_hz == pytest.approx(12, rel=1e-3)
    assert numbers(read_video(path)[0]) == list(range(COUNT))
    for start, stop in ((0, 1), (5, 9), (13, 14), (37, 60), (59, 60)):
        video, times = read_video(path, start, stop, info=info)
        assert numbers(video) == list(range(start, stop))
        assert times == pytest.approx(np.arange(start, stop) / 12, abs=1e-3)
        assert video.dtype == np.uint8
        assert video.shape == (stop - start, 3, 32, 64)


def test_streaming_gives_the_same_frames_one_by_one(files):
    whole, times = read_video(files / "a.mp4", 7, 30)
    stream = stream_video(files / "a.mp4", 7, 30)
    first = next(stream)
    assert first.time == times[0]
    assert np.array_equal(first.image, whole[0])
    assert np.array_equal(np.stack([frame.image for frame in stream]), whole[1:])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (3, 3), (0, 61), (60, None), (4, 2)])
def test_ranges_outside_the_video_are_refused(files, start, stop):
    with pytest.raises(InputError, match=r"a.mp4: frames .* do not lie within its 60 frames"):
        read_video(files / "a.mp4", start, stop)


def test_a_video_with_many_key_frames_and_reordered_frames_is_read_exactly(tmp_path):
    path = tmp_path / "b.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.options = {"g": "7", "bf": "3", "crf": "18"}
        for k in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.moveaxis(numbered(k), 0, -1).copy(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_video(path)
    for start in range(0, COUNT, 4):
        assert numbers(read_video(path, start, min(start + 3, COUNT), info=info)[0]) == list(
            range(start, min(start + 3, COUNT))
        )


def test_a_video_whose_clock_does_not_start_at_zero(tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.options = {"g": "6"}
        for k in range(30):
            frame = av.VideoFrame.from_ndarray(np.moveaxis(numbered(k), 0, -1).copy(), format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 10), 70 + k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe_video(path)
    assert info.times[[0, -1]] == pytest.approx([0, 2.9])
    assert info.first_stamp == 7000
    for start in (0, 4, 17, 29):
        assert numbers(read_video(path, start, start + 1)[0]) == [start]


def test_a_changing_rate_is_told_not_hidden(tmp_path):
    times = np.cumsum(np.random.default_rng(0).integers(1, 9, COUNT)) / 30
    write_video(tmp_path / "v.mp4", (numbered(k) for k in range(COUNT)), times=times)
    info = probe_video(tmp_path / "v.mp4")
    assert not info.constant_rate
    assert info.frames == COUNT
    assert info.times == pytest.approx(times - times[0], abs=1e-4)
    assert info.rate_hz == pytest.approx((COUNT - 1) / (times[-1] - times[0]))
    for start, stop in ((0, 3), (11, 20), (59, 60)):
        video, stamps = read_video(tmp_path / "v.mp4", start, stop)
        assert numbers(video) == list(range(start, stop))
        assert stamps == pytest.approx(times[start:stop] - times[0], abs=1e-4)
    with pytest.raises(InputError, match="times, frame 1: must rise"):
        write_video(tmp_path / "w.mp4", [numbered(0)] * 2, times=[0.0, 0.0])
    with pytest.raises(InputError, match="times, frame 1"):
        write_video(tmp_path / "w.mp4", [numbered(0)] * 2, times=[0.0])
    assert not (tmp_path / "w.mp4").exists()


def test_rotation_of_a_telephone_is_applied(tmp_path):
    """A matrix of a quarter turn clockwise in the track's header, as ISO 14496-12 (tkhd) has it."""
    image = np.zeros((3, 32, 64), np.uint8)
    image[0, :16, :32] = 250  # red in the upper left corner
    write_video(tmp_path / "r.mp4", [image] * 5, lossless=True)
    content = (tmp_path / "r.mp4").read_bytes()
    plain = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30], ">i4").tobytes()
    place = content.index(b"tkhd")
    at = content.index(plain, place)
    (tmp_path / "r.mp4").write_bytes(content[:at] + turned + content[at + len(plain) :])
    info = probe_video(tmp_path / "r.mp4")
    assert (info.height, info.width, info.rotation) == (64, 32, 270)
    video, _ = read_video(tmp_path / "r.mp4", 1, 3)
    assert video.shape == (2, 3, 64, 32)
    assert (video[:, 0, :32, 16:] == 250).all()  # now in the upper right
    assert video[:, 0].sum() == 2 * 16 * 32 * 250


@pytest.mark.parametrize("side", [(33, 47), (16, 17), (1, 1)])
def test_lossless_keeps_every_pixel_of_any_size(tmp_path, side):
    video = np.random.default_rng(0).integers(0, 256, (4, 3, *side), dtype=np.uint8)
    assert write_video(tmp_path / "l.mp4", video, lossless=True) == 4
    assert np.array_equal(read_video(tmp_path / "l.mp4")[0], video)


def test_odd_sides_are_padded_or_refused(tmp_path):
    ramp = np.linspace(0, 255, 33, dtype=np.uint8)
    video = np.broadcast_to(ramp, (3, 3, 21, 33))
    write_video(tmp_path / "p.mp4", video, quality=5)
    again, _ = read_video(tmp_path / "p.mp4")
    assert again.shape == (3, 3, 22, 34)
    assert np.abs(again[..., :21, :33].astype(int) - video).max() < 12
    with pytest.raises(InputError, match=r"size: has an odd side: \(21, 33\)"):
        write_video(tmp_path / "q.mp4", video, odd="refuse")
    assert [path.name for path in tmp_path.iterdir()] == ["p.mp4"]


def test_usual_files_can_be_shown_everywhere(files):
    with av.open(str(files / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == Fraction(12)
    content = (files / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # can be shown while it loads


def test_quality_trades_size(tmp_path):
    video = np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    for quality in (5, 40):
        write_video(tmp_path / f"{quality}.mp4", video, quality=quality)
    assert (tmp_path / "40.mp4").stat().st_size < 0.3 * (tmp_path / "5.mp4").stat().st_size


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_files_that_are_cut_off_are_named(files, tmp_path, keep, ending):
    content = (files / f"a{ending}").read_bytes()
    path = tmp_path / f"cut{ending}"
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=rf"cut{ending}: .*(cut off|empty|damaged|no video|no pictures)"):
        read_video(path)


def test_damage_inside_is_named(files, tmp_path):
    content = bytearray((files / "a.mp4").read_bytes())
    start = content.index(b"mdat") + 4
    content[start + 200 :] = bytes(len(content) - start - 200)
    (tmp_path / "d.mp4").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"d.mp4: .*cannot be decoded"):
        read_video(tmp_path / "d.mp4")


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("hello " * 100)
    with pytest.raises(InputError, match=r"text.mp4: is no video"):
        probe_video(tmp_path / "text.mp4")
    with pytest.raises(InputError, match="does not exist"):
        probe_video(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video stream"):
        probe_video(tmp_path / "sound.mp4")


def test_writing_refuses_what_it_cannot_write(tmp_path):
    cases = [
        ([np.zeros((3, 8, 8))], "frame 0: is float64"),
        ([np.zeros((8, 8, 3), np.uint8)], r"frame 0: is uint8 \(8, 8, 3\)"),
        ([numbered(0), numbered(1, height=30)], "frame 1: is"),
        ([], "no frames"),
    ]
    for frames, problem in cases:
        with pytest.raises(InputError, match=problem):
            write_video(tmp_path / "x.mp4", frames)
    with pytest.raises(InputError, match=r"use one of: .mp4 .mov .mkv"):
        write_video(tmp_path / "x.gif", [numbered(0)])
    for wrong in ({"rate_hz": 0}, {"quality": 60}):
        with pytest.raises(InputError, match="needs a rate above 0"):
            write_video(tmp_path / "x.mp4", [numbered(0)], **wrong)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"visus\[video\]"):
        write_video(tmp_path / "x.mp4", [numbered(0)])
    (tmp_path / "x.mp4").write_bytes(b"x")
    with pytest.raises(MissingExtra, match=r"visus\[video\]"):
        probe_video(tmp_path / "x.mp4")


def test_other_containers_are_read(tmp_path):
    for name, codec in (("m.avi", "mpeg4"), ("w.webm", "libvpx")):
        if codec not in av.codecs_available:
            continue
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
            stream.bit_rate = 400_000
            for k in range(20):
                frame = av.VideoFrame.from_ndarray(np.moveaxis(numbered(k), 0, -1).copy(), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        info = probe_video(tmp_path / name)
        assert info.frames == 20
        assert info.times[-1] == pytest.approx(1.9, abs=0.01)
        assert numbers(read_video(tmp_path / name, 6, 11)[0]) == list(range(6, 11))
