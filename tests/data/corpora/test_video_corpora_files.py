"""One's own video files with boxes and masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_videos import Made, assert_same

from visus.data.corpora.video_files import VideoFiles, write_video_files
from visus.data.corpora.videos import read_videos
from visus.data.formats.box_table import read_boxes, write_boxes
from visus.data.formats.frame_files import write_mask
from visus.data.formats.video import write_video
from visus.data.videos import Clips
from visus.errors import InputError

pytest.importorskip("av")
HEAD = "video,frame,object,ymin,xmin,ymax,xmax\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_video_files(folder, Made(3), lossless=True)
    return folder


@pytest.fixture
def plain(tmp_path):
    """Two videos of 20 x 10 pixels without boxes."""
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", np.zeros((4, 3, 20, 10), np.uint8))
    return tmp_path


@pytest.mark.parametrize("window", [(0, None), (1, 3), (4, 5)])
def test_videos_boxes_and_masks_round_trip(folder, window):
    assert {path.name for path in folder.iterdir()} == {"v0.mp4", "v1.mp4", "v2.mp4", "boxes.csv", "masks"}
    given, again = Made(3), VideoFiles(folder, max_instances=4)
    assert again.names == given.names
    for index in range(3):
        part, clip = given.read(index, *window), again.read(index, *window)
        assert_same(part, clip, fields=("video", "segmentation", "visibility", "num_instances", "name"))
        assert torch.allclose(clip["boxes"], part["boxes"], atol=1e-6)
        assert clip["times"].tolist() == pytest.approx([k / 12 for k in range(5)][slice(*window)])
    assert Clips(again, 2).batch([0, 1])["times"].shape == (2, 2)


def test_one_file_has_its_boxes_and_masks(folder):
    videos = read_videos(folder / "v1.mp4", max_instances=4)
    assert videos.names == ["v1"]
    assert torch.allclose(videos.read(0)["boxes"], Made(3).read(1)["boxes"], atol=1e-6)
    assert torch.equal(videos.read(0)["segmentation"], Made(3).read(1)["segmentation"])


def test_first_boxes_only_and_fewer_rows(tmp_path):
    write_video_files(tmp_path, Made(2), first_boxes=True)
    clip = VideoFiles(tmp_path, max_instances=2).read(0)
    expected = Made(2).read(0)["boxes"][:, :2].clone()
    expected[1:] = 0
    assert torch.allclose(clip["boxes"], expected, atol=1e-6)
    assert clip["segmentation"].max() == 2
    assert clip["num_instances"] == 2


def test_videos_without_boxes_have_none(plain):
    clip = read_videos(plain).read(0)
    assert set(clip) == {"video", "times", "name"}
    small = read_videos(plain, size=(10, 5)).read(1, 1, 3)
    assert small["video"].shape == (2, 3, 10, 5)


def test_boxes_in_pixels_and_in_shares_mean_the_same(plain):
    (plain / "boxes.csv").write_text(HEAD + "a.mp4,0,2,5,2,10,4\na,3,1,-3,8,20,99\n")
    videos = VideoFiles(plain, max_instances=3)
    boxes = videos.read(0)["boxes"]
    expected = torch.zeros(4, 3, 4)
    expected[0, 1] = torch.tensor([0.25, 0.2, 0.5, 0.4])
    expected[3, 0] = torch.tensor([0.0, 0.8, 1.0, 1.0])  # cut at the edge of the picture
    assert torch.allclose(boxes, expected)
    assert videos.read(0, 2)["num_instances"] == 2
    assert not videos.read(1)["boxes"].any()
    assert videos.read(1)["num_instances"] == 0
    (plain / "boxes.csv").write_text(HEAD + "a,0,2,0.25,0.2,0.5,0.4\na,3,1,0,0.8,1,1\n")
    assert torch.allclose(VideoFiles(plain, max_instances=3).read(0)["boxes"], expected)
    (plain / "boxes.csv").rename(plain / "others.csv")
    assert torch.allclose(
        VideoFiles(plain, max_instances=3, boxes=plain / "others.csv").read(0)["boxes"], expected
    )


def test_one_video_needs_no_column_of_names(plain):
    (plain / "b.mp4").unlink()
    (plain / "boxes.csv").write_text("frame;object;ymin;xmin;ymax;xmax\n0;1;0,25;0;0,5;1\n")
    assert VideoFiles(plain).read(0)["boxes"][0, 0].tolist() == [0.25, 0, 0.5, 1]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("frame,object,ymin,xmin,ymax,xmax\n0,1,0,0,1,1\n", "column video: is absent, but there are several"),
        ("video,frame,object,ymin,xmin,ymax\na,0,1,0,0,1\n", "column xmax: no such column"),
        (HEAD + "a,0,1,0,0,1,1\nc,0,1,0,0,1,1\n", "column video, line 3: c is no video of the folder"),
        (HEAD + "a,0,1,0,0,one,1\n", "column ymax, line 2: one is not a number"),
        (HEAD + "a,0,1,0,0,,1\n", "column ymax, line 2: nan is not a number"),
        (HEAD + "a,0,0,0,0,1,1\n", "column object, line 2: 0 is not a whole number from 1"),
        (HEAD + "a,0.5,1,0,0,1,1\n", "column frame, line 2: 0.5 is not a whole number from 0"),
        (HEAD + "a,-1,1,0,0,1,1\n", "column frame, line 2: -1 is not a whole number from 0"),
        (HEAD + "a,4,1,0,0,1,1\n", r"column frame, line 2: is 4, but the video has frames 0\.\.3"),
        (HEAD + "a,0,1,0.5,0,0.5,1\n", "line 2: the box is empty or turned over"),
        (HEAD + "a,0,1,0,0,1,1\na,0,1,0,0,1,1\n", "line 3: is the second box of the same object"),
        (HEAD + "a,0,1,0,0,1.2,1\n", r"values up to 1.2 are neither 0\.\.1 nor pixels"),
        (HEAD + "a,0,1,30,0,40,9\n", "line 2: the box lies outside the picture of 20 x 10 pixels"),
        (HEAD, "has a header but no rows"),
    ],
)
def test_wrong_tables_are_named(plain, table, problem):
    (plain / "boxes.csv").write_text(table)
    with pytest.raises(InputError, match=rf"boxes.csv: .*{problem}"):
        VideoFiles(plain).read(0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5))
def test_written_boxes_are_read_back(tmp_path_factory, seed, frames, most):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(2, frames, most, 2, generator=generator).mul(0.45)
    boxes = torch.cat([corners[0], corners[0] + 0.05 + corners[1]], dim=-1)
    boxes *= (torch.rand(frames, most, 1, generator=generator) > 0.3).float()
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    if not boxes.any():
        with pytest.raises(InputError, match="no boxes to write"):
            write_boxes(path, {"v": boxes})
        return
    write_boxes(path, {"v": boxes, "w": torch.zeros(2, 1, 4)})
    again = read_boxes(path).dense(["v"], frames, (7, 9), most)
    assert torch.allclose(again, boxes, atol=6e-7)


def test_parts_are_folders(tmp_path):
    write_video_files(tmp_path / "train", Made(2))
    write_video_files(tmp_path / "test", Made(1))
    assert len(read_videos(tmp_path)) == 2
    assert len(read_videos(tmp_path, split="test")) == 1
    with pytest.raises(InputError, match=r"has no part validation \(there are: train, test\)"):
        read_videos(tmp_path, split="validation")


def test_files_that_share_a_stem_keep_their_endings(plain):
    write_video(plain / "a.mkv", np.zeros((2, 3, 20, 10), np.uint8))
    videos = VideoFiles(plain)
    assert videos.names == ["a.mkv", "a.mp4", "b"]
    assert [videos.num_frames(k) for k in range(3)] == [2, 4, 4]


def test_damaged_files_and_wrong_masks_are_named(plain, tmp_path_factory):
    write_mask(plain / "masks" / "a" / "00009.png", np.zeros((20, 10), int))
    with pytest.raises(InputError, match=r"00009.png: is named after no frame of 0\.\.3"):
        VideoFiles(plain).read(0)
    (plain / "masks" / "a" / "00009.png").unlink()
    write_mask(plain / "masks" / "a" / "00001.png", np.zeros((3, 3), int))
    with pytest.raises(InputError, match=r"00001.png: is \(3, 3\), but its frame is \(20, 10\)"):
        VideoFiles(plain).read(0)
    content = (plain / "b.mp4").read_bytes()
    (plain / "b.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"b.mp4: "):
        VideoFiles(plain).read(1)
    with pytest.raises(InputError, match=r"b.mp4: "):
        Clips(VideoFiles(plain), 2)
    with pytest.raises(InputError, match="holds no video files"):
        VideoFiles(tmp_path_factory.mktemp("none"))
    with pytest.raises(InputError, match="max_instances"):
        VideoFiles(plain, max_instances=0)


def test_fingerprints_see_the_table(plain):
    before = VideoFiles(plain).fingerprint()
    (plain / "boxes.csv").write_text(HEAD + "a,0,1,0,0,1,1\n")
    after = VideoFiles(plain).fingerprint()
    assert len({before, after, VideoFiles(plain, max_instances=3).fingerprint()}) == 3
