"""Kubric scenes, tar shards, folders of pictures, video files, and the front door that tells them apart."""

import json
import shutil

import numpy as np
import pytest
import torch
from made_videos import Made, assert_same

from visus.data.corpora.davis import Davis, write_davis, write_frame_folders
from visus.data.corpora.kubric import Kubric, write_kubric
from visus.data.corpora.movi import Movi
from visus.data.corpora.movi_writing import write_movi
from visus.data.corpora.video_shards import VideoShards, write_video_shards
from visus.data.corpora.videos import read_videos
from visus.data.formats.frame_files import davis_palette, read_frame, write_mask, write_masks
from visus.data.formats.shards import write_shard
from visus.data.videos import Clips
from visus.errors import InputError

STORED = (
    *("video", "segmentation", "boxes", "visibility", "positions", "velocities", "image_positions"),
    *("num_instances", "collisions", "objects", "backward_flow", "forward_flow", "depth"),
)
WINDOWS = [(0, None), (1, 3), (4, 5)]


# Kubric


@pytest.mark.parametrize("window", WINDOWS)
def test_kubric_scenes_round_trip(tmp_path, window):
    given = Made(3)
    write_kubric(tmp_path, given)
    names = {path.name for path in (tmp_path / "0").iterdir()}
    assert {"metadata.json", "events.json", "data_ranges.json", "rgba_00004.png", "depth_00000.tiff"} < names
    again = read_videos(tmp_path, max_instances=4)
    assert again.names == ["0", "1", "2"]
    for index in range(3):
        part = {**given.read(index, *window), "whole": given.read(index)}
        assert_same(part, again.read(index, *window), fields=STORED, quanta=("backward_flow", "forward_flow"))
    assert len(read_videos(tmp_path / "1")) == 1


def test_kubric_counts_time_in_fractions_and_marks_the_floor(tmp_path):
    write_kubric(tmp_path, Made(1))
    event = {
        "frame": 2.75,
        "instances": [1, 65535],
        "force": 3,
        "position": [1, 2, 3],
        "image_position": [0.5, 0.5],
        "contact_normal": [0, 0, 1],
    }
    (tmp_path / "0" / "events.json").write_text(json.dumps({"collisions": [event, {**event, "frame": 5.0}]}))
    (told,) = Kubric(tmp_path).read(0)["collisions"]
    assert (told["frame"], told["instances"], told["force"]) == (2, (1, -1), 3.0)


def test_kubric_scenes_in_parts_and_in_the_order_of_their_numbers(tmp_path):
    write_kubric(tmp_path / "train", Made(11, frames=1))
    write_kubric(tmp_path / "test", Made(1, frames=1))
    assert read_videos(tmp_path).names == [str(k) for k in range(11)]
    assert len(read_videos(tmp_path, split="test")) == 1


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda scene: (scene / "rgba_00002.png").unlink(), "rgba_00002.png: does not exist"),
        (lambda scene: (scene / "rgba_00004.png").unlink(), "rgba_00004.png: does not exist"),
        (lambda scene: (scene / "depth_00001.tiff").unlink(), "depth_00001.tiff: does not exist"),
        (
            lambda scene: (scene / "rgba_00001.png").write_bytes(b"\x89PNG no"),
            "rgba_00001.png: is no picture",
        ),
        (lambda scene: cut_off(scene / "backward_flow_00001.png"), "backward_flow_00001.png: is cut off"),
        (lambda scene: cut_off(scene / "metadata.json"), "metadata.json: line .*: is not valid JSON"),
        (
            lambda scene: (scene / "data_ranges.json").write_text("{}"),
            "data_ranges.json: .*has no min and max",
        ),
        (
            lambda scene: write_mask(scene / "segmentation_00000.png", np.zeros((3, 3), int)),
            r"is \(3, 3\), but",
        ),
        (lambda scene: edit(scene / "metadata.json", "positions", []), "one entry for each of 5 frames"),
        (lambda scene: edit(scene / "metadata.json", "bbox_frames", [9]), "boxes for 1 frames of 5"),
        (lambda scene: (scene / "events.json").write_text("[]"), "events.json: collisions: is no list"),
    ],
)
def test_damaged_kubric_scenes_are_named(tmp_path, damage, problem):
    write_kubric(tmp_path, Made(1))
    damage(tmp_path / "0")
    with pytest.raises(InputError, match=problem):
        Kubric(tmp_path).read(0)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


def edit(path, key, value):
    plain = json.loads(path.read_text())
    plain["instances"][0][key] = value
    path.write_text(json.dumps(plain))


# Shards


@pytest.mark.parametrize("window", WINDOWS)
def test_shards_round_trip(tmp_path, window):
    given = Made(5)
    paths = write_video_shards(tmp_path, given, name="movi_e", per_shard=2)
    assert [path.name for path in paths] == [f"movi_e-train-{k:06d}.tar" for k in range(3)]
    again = read_videos(tmp_path, max_instances=4)
    assert again.names == ["0", "1", "2", "3", "4"]
    for index in range(5):
        assert_same(given.read(index, *window), again.read(index, *window), fields=STORED, quanta=())
    assert len(read_videos(paths[1])) == 2


def published(path, *, flow, segmentations=None, frames=4):
    """A sample as the conversions of MOVi, DAVIS and YouTube-VIS in public code store it."""
    rng = np.random.default_rng(0)
    files = {"video.npy": rng.integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8)}
    if segmentations is not None:
        files["segmentations.npy"] = segmentations
    if flow is not None:
        files["forward_flow.npy"] = flow
    write_shard(path, [("0", files)])
    return files


def test_published_shards_are_read_and_flow_in_levels_is_left_out(tmp_path):
    ids = np.zeros((4, 6, 8, 1), np.uint8)
    ids[:, :3, :4], ids[2:, 3:, 4:], ids[0, 5, 7] = 1, 2, 255
    levels = np.random.default_rng(0).integers(0, 65536, (4, 6, 8, 2)).astype(np.float32)
    files = published(tmp_path / "movi_c-train-000000.tar", flow=levels, segmentations=ids)
    clip = VideoShards(tmp_path, max_instances=3).read(0, 1, 4)
    assert np.array_equal(clip["video"].numpy(), np.moveaxis(files["video.npy"][1:], -1, 1))
    assert clip["segmentation"].max() == 2
    assert clip["num_instances"] == 2
    assert clip["boxes"][0].tolist() == [[0, 0, 0.5, 0.5], [0] * 4, [0] * 4]
    assert clip["visibility"].tolist() == [[12, 0, 0], [12, 12, 0], [12, 12, 0]]
    assert "forward_flow" not in clip
    pixels = np.random.default_rng(0).normal(size=(4, 6, 8, 2)).astype(np.float32)
    published(tmp_path / "movi_c-train-000000.tar", flow=pixels)
    clip = VideoShards(tmp_path).read(0)
    assert np.array_equal(clip["forward_flow"].numpy(), np.moveaxis(pixels, -1, 1))
    assert set(clip) == {"video", "forward_flow", "name"}


def test_one_mask_per_object_becomes_ids(tmp_path):
    masks = np.zeros((4, 6, 8, 2), np.uint8)
    masks[:, :3, :, 0], masks[:, 2:, :, 1] = 25, 7  # value: the category; they overlap in row 2
    published(tmp_path / "ytvis-train-000000.tar", flow=None, segmentations=masks)
    clip = VideoShards(tmp_path).read(0)
    assert clip["segmentation"][0, :, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert clip["num_instances"] == 2


def test_shards_have_parts_by_name(tmp_path):
    write_video_shards(tmp_path, Made(2), split="train", name="a")
    write_video_shards(tmp_path, Made(1), split="validation", name="a")
    assert len(read_videos(tmp_path)) == 2
    assert len(read_videos(tmp_path, split="validation")) == 1
    with pytest.raises(InputError, match=r"no shards of the part test \(there are: train, validation\)"):
        read_videos(tmp_path, split="test")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"video.npy": np.zeros((4, 6, 8), np.uint8)}, r"sample 0, video.npy: has shape \(4, 6, 8\), not"),
        (
            {"segmentations.npy": np.zeros((3, 6, 8, 1), np.uint8)},
            r"segmentations.npy: has shape \(3, 6, 8, 1\)",
        ),
        (
            {"depth.npy": np.zeros((4, 5, 8, 1), np.float32)},
            r"depth.npy: has shape \(4, 5, 8, 1\), but the video",
        ),
        ({"clip.json": b"{"}, "sample 0, clip.json: cannot be read"),
    ],
)
def test_wrong_shards_are_named(tmp_path, files, problem):
    video = {"video.npy": np.zeros((4, 6, 8, 3), np.uint8)}
    write_shard(tmp_path / "a.tar", [("0", {**video, **files})])
    with pytest.raises(InputError, match=rf"a.tar: {problem}" if "sample" in problem else problem):
        VideoShards(tmp_path).read(0)


def test_cut_off_shards_are_refused_or_skipped(tmp_path):
    (path,) = write_video_shards(tmp_path, Made(3))
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content.rstrip(b"\0")))])
    with pytest.raises(InputError, match=r"cut off|damaged"):
        read_videos(tmp_path)
    kept = read_videos(tmp_path, corrupt="skip")
    assert len(kept) == 2
    assert "sample 2: is" in kept.skipped[0]


# Folders of pictures


@pytest.mark.parametrize("window", WINDOWS)
def test_folders_of_pictures_round_trip(tmp_path, window):
    given = Made(3)
    write_frame_folders(tmp_path, given)
    again = read_videos(tmp_path, max_instances=4)
    assert again.names == given.names
    for index in range(3):
        fields = ("video", "segmentation", "boxes", "visibility", "num_instances", "name")
        assert_same(given.read(index, *window), again.read(index, *window), fields=fields)


def test_davis_layout_with_parts(tmp_path):
    given = Made(3, height=32, width=48)
    for clip in given.clips:  # smooth, so that JPEG keeps it nearly
        clip["video"] = torch.arange(48).mul(4).expand(5, 3, 32, 48).to(torch.uint8)
    write_davis(tmp_path, given, split="train")
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("v1\n")
    for index, name in ((0, "v0"), (2, "v2")):
        again = read_videos(tmp_path, max_instances=4)
        assert again.names == ["v0", "v1", "v2"]
        clip = again.read(index)
        assert clip["name"] == name
        assert (clip["video"].int() - given.read(index)["video"].int()).abs().max() <= 3
        assert torch.equal(clip["segmentation"], given.read(index)["segmentation"])
    assert read_videos(tmp_path, split="validation").names == ["v1"]
    with pytest.raises(InputError, match=r"no part test \(there are: train, val\)"):
        read_videos(tmp_path, split="test")
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("v1\nv9\n")
    with pytest.raises(InputError, match=r"val.txt: names v9, which is not in"):
        read_videos(tmp_path, split="val")
    shutil.rmtree(tmp_path / "ImageSets")
    (tmp_path / "JPEGImages" / "1080p").mkdir()
    assert len(read_videos(tmp_path)) == 3
    with pytest.raises(InputError, match="no resolution 720p"):
        Davis(tmp_path, resolution="720p")


def test_youtube_vos_has_no_level_of_resolutions(tmp_path):
    write_frame_folders(tmp_path, Made(2))
    (tmp_path / "frames").rename(tmp_path / "JPEGImages")
    (tmp_path / "masks").rename(tmp_path / "Annotations")
    clip = read_videos(tmp_path, max_instances=4).read(1)
    assert torch.equal(clip["segmentation"], Made(2).read(1)["segmentation"])


def test_only_the_first_mask_gives_boxes_alone(tmp_path):
    given = Made(1)
    write_frame_folders(tmp_path, given)
    for path in (tmp_path / "masks" / "v0").iterdir():
        if path.stem != "00000":
            path.unlink()
    clip = read_videos(tmp_path, max_instances=4).read(0)
    assert torch.equal(clip["boxes"][0], given.read(0)["boxes"][0])
    assert not clip["boxes"][1:].any()
    assert "segmentation" not in clip
    assert clip["num_instances"] == 3


def test_masks_are_indexed_with_the_palette_of_davis(tmp_path):
    from PIL import Image

    ids = np.array([[0, 1, 2], [3, 20, 255]])
    write_mask(tmp_path / "m.png", ids)
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), ids)
        colors = np.asarray(image.convert("RGB"))
    assert colors[0].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert colors[1].tolist() == [[128, 128, 0], [0, 64, 128], [224, 224, 192]]
    assert len(davis_palette()) == 768
    assert [path.name for path in write_masks(tmp_path / "v", torch.zeros(2, 3, 3, dtype=torch.uint8))] == [
        "00000.png",
        "00001.png",
    ]
    for wrong in (np.array([[300]]), np.array([[-1]]), np.zeros((2, 2, 2), int), np.zeros((2, 2))):
        with pytest.raises(InputError, match="a mask is"):
            write_mask(tmp_path / "w.png", wrong)
    assert not (tmp_path / "w.png").exists()


def test_void_and_ids_above_the_most_are_background(tmp_path):
    write_frame_folders(tmp_path, Made(1, frames=1))
    write_mask(tmp_path / "masks" / "v0" / "00000.png", np.resize([0, 1, 5, 255], (12, 16)))
    clip = Davis(tmp_path, max_instances=4).read(0)
    assert clip["segmentation"].unique().tolist() == [0, 1]
    assert clip["num_instances"] == 1
    assert Davis(tmp_path, max_instances=6).read(0)["num_instances"] == 5


def test_wrong_folders_of_pictures_are_named(tmp_path):
    write_frame_folders(tmp_path, Made(1))
    frames, masks = tmp_path / "frames" / "v0", tmp_path / "masks" / "v0"
    cut_off(frames / "00001.png")
    with pytest.raises(InputError, match=r"00001.png: is no picture, or is damaged"):
        Davis(tmp_path).read(0)
    assert Davis(tmp_path).read(0, 2, 4)["video"].shape[0] == 2
    shutil.copy(masks / "00000.png", frames / "00001.png")
    write_mask(masks / "00002.png", np.zeros((3, 3), int))
    with pytest.raises(InputError, match=r"00002.png: is \(3, 3\), but its frame is \(12, 16\)"):
        Davis(tmp_path).read(0)
    write_mask(frames / "00003.png", np.zeros((3, 3), int))
    with pytest.raises(InputError, match=r"00003.png: is \(3, 3\), but 00002.png is \(12, 16\)"):
        Davis(tmp_path).read(0, 2)
    for path in list(masks.iterdir()):
        path.rename(path.with_name(f"mask{path.name}"))
    with pytest.raises(InputError, match="none is named like a frame"):
        Davis(tmp_path)
    shutil.rmtree(frames)
    with pytest.raises(InputError, match="no folders of pictures"):
        Davis(tmp_path)
    frames.mkdir()
    with pytest.raises(InputError, match="v0: holds no pictures"):
        Davis(tmp_path)
    with pytest.raises(InputError, match="max_instances"):
        Davis(tmp_path, max_instances=255)
    with pytest.raises(InputError, match="does not exist"):
        read_frame(tmp_path / "none.png")


# The front door


def test_every_layout_gives_the_same_video(tmp_path):
    given = Made(2)
    pytest.importorskip("av")
    from visus.data.corpora.video_files import write_video_files

    writers = {
        "movi": write_movi,
        "kubric": write_kubric,
        "shards": write_video_shards,
        "pictures": write_frame_folders,
        "files": lambda folder, videos: write_video_files(folder, videos, lossless=True),
    }
    for name, write in writers.items():
        write(tmp_path / name, given)
        videos = read_videos(tmp_path / name, max_instances=4)
        assert len(videos) == 2
        assert len(set(videos.names)) == 2
        clips = Clips(videos, 2, fields=("video", "segmentation", "boxes", "num_instances"))
        batch = clips.batch([1, 3])
        for item, index in ((0, 0), (1, 1)):
            part = given.read(index, 2, 4)
            assert torch.equal(batch["video"][item], part["video"]), name
            assert torch.equal(batch["segmentation"][item], part["segmentation"]), name
            assert torch.allclose(batch["boxes"][item], part["boxes"], atol=1e-6), name
        assert batch["num_instances"].tolist() == [3, 3]
        assert len(clips.fingerprint()) == 64
        again = read_videos(
            tmp_path / name, max_instances=4, size=(6, 8), fields=("video",), remember_bytes=0
        )
        assert again.read(1)["video"].shape == (5, 3, 6, 8)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_videos(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no videos in a known layout.*MOVi.*Kubric.*tar.*DAVIS.*mp4"):
        read_videos(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes.txt: is no video file and no .tar shard.*looked for"):
        read_videos(tmp_path / "notes.txt")
    for wrong in ({"max_instances": 0}, {"max_instances": 255}, {"corrupt": "x"}, {"size": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            read_videos(tmp_path, **wrong)
    for reader in (Kubric, VideoShards, Movi, Davis):
        with pytest.raises(InputError, match="holds no"):
            reader(tmp_path)
