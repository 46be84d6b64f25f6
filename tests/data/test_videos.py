"""Windows of videos as items, and videos that stay in memory."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.data.frames import as_size, boxes_of, dequantized, quantized, resized_clip, visible_pixels
from visus.data.loader import fingerprint, iterate
from visus.data.videos import Clips, Remembered, Videos, Whole, collisions_within, cut
from visus.errors import InputError
from visus.protocols import Source


class Counted:
    """Videos whose frame k of video i holds the number 100 i + k."""

    def __init__(self, lengths, side=4):
        self.lengths, self.side, self.reads = lengths, side, 0
        self.names = [f"v{i}" for i in range(len(lengths))]

    def __len__(self):
        return len(self.lengths)

    def num_frames(self, index):
        return self.lengths[index]

    def read(self, index, start=0, stop=None):
        self.reads += 1
        frames = self.lengths[index]
        values = 100 * index + torch.arange(frames)
        clip = {
            "video": values.view(-1, 1, 1, 1).expand(-1, 3, self.side, self.side).to(torch.uint8),
            "boxes": values.view(-1, 1, 1).expand(-1, 2, 4).float(),
            "num_instances": index,
            "objects": [{"shape": "cube"}] * index,
            "collisions": [{"frame": k, "force": 1.0} for k in range(frames)],
            "name": self.names[index],
        }
        return cut(clip, start, stop)


def test_the_protocols_are_kept():
    videos = Counted([6])
    assert isinstance(videos, Videos)
    assert isinstance(Remembered(videos), Videos)
    assert isinstance(Clips(videos, 2), Source)
    assert isinstance(Whole(videos), Source)


def test_windows_are_where_they_are_said_to_be():
    clips = Clips(Counted([7, 2, 6]), length=3)
    assert clips.windows == [(0, 0), (0, 3), (2, 0), (2, 3)]
    assert clips.skipped == ["v1"]
    batch = clips.batch([1, 2])
    assert batch["video"].shape == (2, 3, 3, 4, 4)
    assert batch["video"][:, :, 0, 0, 0].tolist() == [[3, 4, 5], [200, 201, 202]]
    assert batch["boxes"].shape == (2, 3, 2, 4)
    assert batch["start"].tolist() == [3, 0]
    assert batch["start"].dtype == batch["num_instances"].dtype == torch.int64
    assert batch["name"] == ["v0", "v2"]
    assert [event["frame"] for event in batch["collisions"][0]] == [0, 1, 2]
    assert batch["objects"] == [[], [{"shape": "cube"}] * 2]


def test_overlapping_windows_limits_and_fields():
    assert Clips(Counted([7]), length=3, stride=2).windows == [(0, 0), (0, 2), (0, 4)]
    clips = Clips(Counted([7, 7]), length=3, stride=1, limit=6, fields=("video",))
    assert clips.windows == [(0, k) for k in range(5)] + [(1, 0)]
    assert set(clips.batch([0])) == {"video", "name", "start"}
    assert sum(len(batch["name"]) for batch in iterate(clips, 4)) == 6


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.integers(1, 6),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_windows_equal_a_slow_search(lengths, length, stride, limit):
    slow = [
        (i, start)
        for i, frames in enumerate(lengths)
        for start in range(frames)
        if start % stride == 0 and start + length <= frames
    ][:limit]
    if not slow:
        with pytest.raises(InputError, match="no video has"):
            Clips(Counted(lengths), length, stride, limit)
        return
    clips = Clips(Counted(lengths), length, stride, limit)
    assert clips.windows == slow
    last = clips.batch([len(clips) - 1])
    assert last["video"].shape[1] == length


def test_short_videos_can_be_refused():
    with pytest.raises(InputError, match="video v1: has 2 frames, fewer than a window of 3"):
        Clips(Counted([7, 2]), 3, short="refuse")
    with pytest.raises(InputError, match="skip or refuse"):
        Clips(Counted([7]), 3, short="x")  # pyright: ignore[reportArgumentType]
    for wrong in ({"length": 0}, {"stride": 0}, {"limit": 0}):
        with pytest.raises(InputError, match="must be at least 1"):
            Clips(Counted([7]), **{"length": 3, **wrong})


def test_an_absent_field_is_named():
    with pytest.raises(InputError, match=r"video v0: has no depth.*boxes, collisions"):
        Clips(Counted([7]), 3, fields=("depth",)).batch([0])
    with pytest.raises(IndexError):
        Clips(Counted([7]), 3).batch([9])


def test_whole_videos_and_unequal_lengths():
    whole = Whole(Counted([4, 4, 5]), fields=("video",))
    assert whole.batch([0, 1])["video"].shape == (2, 4, 3, 4, 4)
    assert set(whole.batch([2])) == {"video", "name"}
    with pytest.raises(InputError, match="video v2: has 5 frames but v0, in the same batch, has 4"):
        whole.batch([0, 2])
    assert len(Whole(Counted([4, 4, 5]), limit=2)) == 2
    with pytest.raises(InputError, match="no videos"):
        Whole(Counted([]))
    with pytest.raises(InputError, match="limit"):
        Whole(Counted([4]), limit=0)


def test_unequal_sizes_in_a_batch_are_named():
    class Growing(Counted):
        def read(self, index, start=0, stop=None):
            self.side = 4 + index
            return super().read(index, start, stop)

    with pytest.raises(InputError, match=r"video v1: has video of shape \(2, 3, 5, 5\) but v0"):
        Clips(Growing([2, 2]), 2).batch([0, 1])


def test_fingerprints_tell_windows_and_contents_apart():
    videos = Counted([6, 6])
    prints = {
        fingerprint(source)
        for source in (
            Clips(videos, 3),
            Clips(videos, 2),
            Clips(videos, 3, fields=("video",)),
            Clips(Counted([6, 7]), 3),
            Whole(videos),
            Whole(videos, limit=1),
        )
    }
    assert len(prints) == 6
    assert fingerprint(Clips(videos, 3)) == fingerprint(Clips(Counted([6, 6]), 3))


def test_remembered_ranges_are_read_once_and_forgotten_when_full():
    videos = Counted([6, 6])
    size = sum(
        v.numel() * v.element_size() for v in (videos.read(0, 0, 3)["video"], videos.read(0, 0, 3)["boxes"])
    )
    videos.reads = 0
    kept = Remembered(videos, limit=2 * size)
    for _ in range(3):
        assert torch.equal(kept.read(1, 0, 3)["video"], videos.read(1, 0, 3)["video"])
    assert videos.reads == 4  # one by the memory, three by the comparison
    kept.read(0, 0, 3)
    kept.read(1, 0, 3)
    kept.read(0, 3, 6)  # drops the one used longest ago: (0, 0, 3)
    videos.reads = 0
    kept.read(1, 0, 3)
    assert videos.reads == 0
    kept.read(0, 0, 3)
    assert videos.reads == 1
    assert kept.used <= 2 * size
    assert kept.lengths == [6, 6]  # what the videos know can still be asked
    again = pickle.loads(pickle.dumps(kept))
    assert again.used == 0
    assert torch.equal(again.read(0, 0, 3)["video"], kept.read(0, 0, 3)["video"])
    assert fingerprint(Clips(kept, 3)) == fingerprint(Clips(videos, 3))
    changed = kept.read(1, 0, 3)
    changed["name"] = "other"
    assert kept.read(1, 0, 3)["name"] == "v1"


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (3, 2), (0, 7)])
def test_ranges_outside_a_video_are_refused(start, stop):
    with pytest.raises(InputError, match="do not lie within its 6 frames"):
        Counted([6]).read(0, start, stop)


def test_collisions_follow_the_window():
    events = [{"frame": k} for k in (0, 2, 5, 6)]
    assert collisions_within(events, 2, 6) == [{"frame": 0}, {"frame": 3}]
    assert events == [{"frame": k} for k in (0, 2, 5, 6)]


def slow_boxes(mask, most):
    boxes = torch.zeros(len(mask), most, 4)
    for t, frame in enumerate(mask):
        for i in range(most):
            rows, columns = (frame == i + 1).nonzero(as_tuple=True)
            if len(rows):
                height, width = frame.shape
                boxes[t, i] = torch.tensor(
                    [
                        rows.min() / height,
                        columns.min() / width,
                        (rows.max() + 1) / height,
                        (columns.max() + 1) / width,
                    ]
                )
    return boxes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 7), st.integers(1, 4))
def test_boxes_and_visibility_equal_a_slow_count(seed, height, width, most):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, most + 2, (3, height, width), generator=generator).to(torch.uint8)
    mask[1] = 0
    assert torch.allclose(boxes_of(mask, most), slow_boxes(mask, most))
    slow = torch.tensor([[int((frame == i + 1).sum()) for i in range(most)] for frame in mask])
    assert torch.equal(visible_pixels(mask, most), slow)


def test_resizing_keeps_what_each_field_means():
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 8, 12, dtype=torch.uint8)
    mask[:, :4, :6], mask[:, 4:, 6:] = 1, 2
    clip = {
        "video": torch.randint(0, 256, (2, 3, 8, 12), generator=generator, dtype=torch.uint8),
        "segmentation": mask,
        "forward_flow": torch.tensor([2.0, 3.0]).view(1, 2, 1, 1).expand(2, 2, 8, 12),
        "depth": mask[:, None].float(),
        "boxes": boxes_of(mask, 3),
        "visibility": visible_pixels(mask, 3),
        "name": "v",
    }
    small = resized_clip(clip, (4, 4))
    assert small["video"].shape == (2, 3, 4, 4)
    assert small["video"].dtype == torch.uint8
    assert set(small["segmentation"].unique().tolist()) == {0, 1, 2}
    assert torch.equal(boxes_of(small["segmentation"], 3), clip["boxes"])
    assert torch.equal(small["boxes"], clip["boxes"])
    assert small["forward_flow"][:, 0].unique().tolist() == [1.0]  # half as many rows
    assert small["forward_flow"][:, 1].unique().tolist() == [1.0]  # a third of the columns
    assert small["depth"].unique().tolist() == [0.0, 1.0, 2.0]
    assert small["visibility"].tolist() == [[4, 4, 0]] * 2
    without = {key: value for key, value in clip.items() if key != "segmentation"}
    assert resized_clip(without, (4, 4))["visibility"].tolist() == [[4, 4, 0]] * 2
    assert resized_clip(clip, (8, 12)) is clip
    assert resized_clip(clip, None) is clip
    stripes = torch.tensor([0, 255, 255, 0] * 3).expand(1, 3, 8, 12).to(torch.uint8)
    shrunk = resized_clip({"video": stripes}, (8, 3))["video"].int()
    assert (shrunk - 127).abs().max() <= 40  # smoothed: two neighbors alone would give 255


def test_levels_are_within_half_a_quantum():
    values = torch.linspace(-7.3, 11.9, 999, dtype=torch.float64).numpy()
    levels, ends = quantized(values)
    assert levels.min() == 0
    assert levels.max() == 65535
    assert abs(dequantized(levels, *ends) - values).max() <= 0.51 * (ends[1] - ends[0]) / 65535
    flat, ends = quantized(values[:1].repeat(4))
    assert dequantized(flat, *ends).tolist() == pytest.approx([-7.3] * 4)


def test_sizes():
    assert as_size(None) is None
    assert as_size((4, 6)) == (4, 6)
    for wrong in (0, (4,), (4, 0), (1, 2, 3)):
        with pytest.raises(InputError, match="size"):
            as_size(wrong)
