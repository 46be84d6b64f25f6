"""MOVi: written as TensorFlow Datasets lays it out, and records made by hand as it serializes them."""

import json
import struct

import numpy as np
import pytest
import torch
from made_videos import Made, assert_same

from visus.data.corpora.movi import FLOOR, NAMES, Movi
from visus.data.corpora.movi_writing import movi_features, write_movi
from visus.data.corpora.videos import read_videos
from visus.data.formats.example import Example, encode_example
from visus.data.formats.tfrecord import RecordFile, write_tfrecords
from visus.data.videos import Clips
from visus.errors import InputError
from visus.protocols import Source

EXACT = (
    *("video", "segmentation", "boxes", "visibility", "positions", "velocities", "image_positions"),
    *("num_instances", "collisions", "backward_flow", "forward_flow", "depth"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movi") / "movi_a" / "128x128" / "1.0.0"
    write_movi(folder, Made(5), shards=2)
    write_movi(folder, Made(1, seed=9), split="validation")
    return folder


def test_the_layout_is_that_of_tensorflow_datasets(folder):
    assert {path.name for path in folder.iterdir()} == {
        "features.json",
        *(
            f"instances-{key}.labels.txt"
            for key in ("shape_label", "size_label", "color_label", "material_label")
        ),
        "movi_a-train.tfrecord-00000-of-00002",
        "movi_a-train.tfrecord-00001-of-00002",
        "movi_a-validation.tfrecord-00000-of-00001",
    }
    example = Example(RecordFile(folder / "movi_a-train.tfrecord-00000-of-00002").read(0))
    assert set(example) == {
        *("video", "segmentations", "depth", "forward_flow", "backward_flow"),
        *(f"metadata/{key}" for key in ("video_name", "width", "height", "num_frames", "num_instances")),
        *(f"metadata/{key}_range" for key in ("depth", "forward_flow", "backward_flow")),
        *(
            f"instances/{key}"
            for key in ("positions", "velocities", "image_positions", "visibility", "scale")
        ),
        *(f"instances/{key}_label" for key in ("shape", "size", "color", "material")),
        *(f"instances/{key}" for key in ("color", "is_dynamic")),
        *(
            f"instances/{key}/ragged_{part}"
            for key in ("bboxes", "bbox_frames")
            for part in ("flat_values", "row_lengths_0")
        ),
        *(
            f"events/collisions/{key}"
            for key in ("frame", "instances", "force", "position", "image_position", "contact_normal")
        ),
    }
    assert all(png.startswith(b"\x89PNG") for png in example["video"])
    assert example["forward_flow"].dtype == np.int64
    assert example["forward_flow"].min() == 0
    assert example["forward_flow"].max() == 65535
    assert len(example["instances/positions"]) == 3 * 5 * 3
    lengths = example["instances/bboxes/ragged_row_lengths_0"]
    assert lengths.tolist() == example["instances/bbox_frames/ragged_row_lengths_0"].tolist()
    assert len(set(lengths.tolist())) > 1  # really ragged
    assert FLOOR in example["events/collisions/instances"]
    assert (folder / "instances-shape_label.labels.txt").read_text().split()[-1] == "star"


@pytest.mark.parametrize("window", [(0, None), (2, 4)])
def test_videos_round_trip(folder, window):
    given, again = Made(5), Movi(folder, max_instances=4)
    assert len(again) == 5
    assert again.names[0] == "train-00000-0000"
    assert again.names[3] == "train-00001-0000"
    for index in range(5):
        assert again.num_frames(index) == 5
        clip = again.read(index, *window)
        part = {**given.read(index, *window), "whole": given.read(index)}
        assert_same(part, clip, fields=EXACT)
        assert clip["name"] == again.names[index]
        for before, after in zip(part["objects"], clip["objects"]):
            assert {key: after[key] for key in before} == before
    assert isinstance(Clips(again, 2), Source)
    assert Clips(again, 2).batch([0, 1])["segmentation"].shape == (2, 2, 12, 16)


def test_fewer_and_more_rows_than_objects(folder):
    given = Made(5).read(1)
    few = Movi(folder, max_instances=2).read(1)
    assert few["num_instances"] == 2
    assert len(few["objects"]) == 2
    assert few["segmentation"].max() == 2
    assert torch.equal(few["segmentation"], torch.where(given["segmentation"] > 2, 0, given["segmentation"]))
    assert torch.equal(few["boxes"], given["boxes"][:, :2])
    many = Movi(folder, max_instances=23).read(1)
    assert many["boxes"].shape == (5, 23, 4)
    assert torch.equal(many["boxes"][:, :4], given["boxes"])
    assert not many["boxes"][:, 4:].any()
    assert many["num_instances"] == 3


def test_only_the_asked_fields_are_read(folder):
    videos = Movi(folder, max_instances=4, fields=("boxes", "forward_flow"))
    assert set(videos.read(0)) == {"boxes", "forward_flow", "name"}
    with pytest.raises(InputError, match=r"record 0 at byte 0: has no normal.*choose among"):
        Movi(folder, fields=("normal",)).read(0)
    small = Movi(folder, max_instances=4, size=(6, 8), fields=("video", "backward_flow")).read(0)
    assert small["video"].shape == (5, 3, 6, 8)
    assert small["backward_flow"].abs().max() < Made(5).read(0)["backward_flow"].abs().max()
    one = Movi(folder, max_instances=4, size=(6, 8), fields=("boxes",)).read(0)
    assert torch.equal(one["boxes"], Made(5).read(0)["boxes"])


def test_normals_are_kept_to_a_quantum(tmp_path):
    videos = Made(1)
    normal = torch.nn.functional.normalize(
        torch.randn(5, 3, 12, 16, generator=torch.Generator().manual_seed(0)), dim=1
    )
    videos.clips[0]["normal"] = normal
    write_movi(tmp_path, videos)
    assert "normal" not in Movi(tmp_path).read(0)
    again = Movi(tmp_path, fields=("normal",)).read(0, 1, 4)["normal"]
    assert (again - normal[1:4]).abs().max() <= 1.01 / 65535


def hand_record(frames=2, height=2, width=3):
    """A record of two objects with every number chosen by hand, as the serializer flattens nested lists."""
    levels = np.arange(frames * height * width * 2) * 1000
    base = movi_features(Made(1, frames=frames, height=8, width=8, objects=2).read(0))
    return {
        "video": base["video"],
        "metadata/num_instances": np.array([2]),
        "instances/bboxes/ragged_flat_values": np.array(
            [[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1, 1]], np.float32
        ),
        "instances/bboxes/ragged_row_lengths_0": np.array([1, 2]),
        "instances/bbox_frames/ragged_flat_values": np.array([1, 0, 1]),
        "instances/bbox_frames/ragged_row_lengths_0": np.array([1, 2]),
        "instances/shape_label": np.array([2, 99]),
        "instances/category": np.array([13, 0]),
        "instances/asset_id": [b"shoe_1", b"hat"],
        "instances/visibility": np.array([[5, 6], [7, 8]]),
        "metadata/forward_flow_range": np.array([-2.0, 3.0], np.float32),
        "forward_flow": np.resize(levels, frames * 8 * 8 * 2) % 65536,
        "events/collisions/frame": np.zeros(0, np.int64),
        "events/collisions/instances": np.zeros(0, np.int64),
        "events/collisions/force": np.zeros(0, np.float32),
        "events/collisions/position": np.zeros(0, np.float32),
        "events/collisions/image_position": np.zeros(0, np.float32),
        "events/collisions/contact_normal": np.zeros(0, np.float32),
    }


def write_record(folder, features):
    folder.mkdir(exist_ok=True)
    write_tfrecords(folder / "movi_c-train.tfrecord-00000-of-00001", [encode_example(features)])
    return Movi(folder, max_instances=3)


def test_a_record_made_by_hand_means_what_the_layout_says(tmp_path):
    record = hand_record()
    videos = write_record(tmp_path, record)
    assert videos.num_frames(0) == 2  # no features.json: counted in the record
    clip = videos.read(0)
    expected = torch.zeros(2, 3, 4)
    expected[1, 0] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    expected[0, 1] = torch.tensor([0.0, 0.0, 0.5, 0.5])
    expected[1, 1] = torch.tensor([0.25, 0.25, 1.0, 1.0])
    assert torch.equal(clip["boxes"], expected)
    assert clip["visibility"].tolist() == [[5, 7, 0], [6, 8, 0]]
    assert clip["objects"] == [
        {"shape": "sphere", "category": "None", "asset_id": "shoe_1"},
        {"shape": "99", "category": "Action Figures", "asset_id": "hat"},
    ]
    assert clip["collisions"] == []
    flow = np.asarray(record["forward_flow"]).reshape(2, 8, 8, 2) / 65535 * 5 - 2
    assert np.allclose(clip["forward_flow"].numpy(), np.moveaxis(flow, -1, 1), atol=1e-5)
    assert "backward_flow" not in clip
    assert "segmentation" not in clip
    assert NAMES["category"][13] == "None"


def test_a_scene_without_objects(tmp_path):
    videos = Made(1, objects=0)
    write_movi(tmp_path, videos)
    clip = Movi(tmp_path, max_instances=4).read(0)
    assert clip["num_instances"] == 0
    assert clip["objects"] == []
    assert clip["boxes"].shape == (5, 4, 4)
    assert not clip["positions"].any()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("video", [b"no picture"] * 2, "video, frame 0: is no picture"),
        ("video", np.array([1]), "video holds no pictures"),
        ("video", None, "has no video"),
        ("forward_flow", np.arange(7), r"forward_flow holds 7 numbers where \(2, 8, 8, 2\)"),
        ("forward_flow", [b"x"], "forward_flow holds text"),
        ("metadata/forward_flow_range", None, "has no metadata/forward_flow_range"),
        ("instances/visibility", np.arange(3), r"visibility holds 3 numbers where \(2, 2\)"),
        ("instances/bbox_frames/ragged_flat_values", np.array([1, 0, 5]), "a box in frame 5 of 2"),
        ("instances/bbox_frames/ragged_row_lengths_0", np.array([2, 1]), "other numbers of boxes"),
        ("instances/bboxes/ragged_row_lengths_0", np.array([1, 3]), r"holds 12 numbers where \(4, 4\)"),
        ("segmentations", [b"\x89PNG"], "segmentations, frame 0: is no picture"),
    ],
)
def test_a_wrong_record_is_named(tmp_path, key, value, problem):
    record = {**hand_record(), key: value}
    videos = write_record(tmp_path, {name: item for name, item in record.items() if item is not None})
    with pytest.raises(InputError, match=rf"tfrecord-00000-of-00001: record 0 at byte 0: .*{problem}"):
        videos.read(0)


def test_a_mask_with_too_few_frames_is_named(tmp_path):
    record = hand_record()
    masks = movi_features(Made(1, frames=1, height=8, width=8, objects=2).read(0))["segmentations"]
    videos = write_record(tmp_path, {**record, "segmentations": masks})
    with pytest.raises(InputError, match="segmentations has 1 frames where the video has more"):
        videos.read(0)


def test_bytes_that_are_no_example_are_named(tmp_path):
    write_tfrecords(tmp_path / "movi_c-train.tfrecord-00000-of-00001", [b"\xff\xff\xff"])
    with pytest.raises(InputError, match="record 0 at byte 0: is no example"):
        Movi(tmp_path).read(0)


def test_damaged_records_are_refused_or_skipped(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "movi_a-train.tfrecord-00000-of-00002"
    content = bytearray(path.read_bytes())
    second = 16 + struct.unpack("<Q", content[:8])[0]
    content[second + 500] ^= 1
    path.write_bytes(bytes(content))
    videos = Movi(tmp_path, max_instances=4)
    videos.read(0)
    with pytest.raises(InputError, match=rf"of-00002: record 1 at byte {second}: is damaged"):
        videos.read(1)
    kept = read_videos(tmp_path, corrupt="skip", max_instances=4)
    assert len(kept) == 4
    assert kept.names[1] == "train-00000-0002"  # names stay with the record
    assert kept.skipped == [
        f"{path.name}: record 1 at byte {second}: is damaged: its data do not match their checksum"
    ]
    assert torch.equal(kept.read(1)["video"], Made(5).read(2)["video"])


def test_parts_shards_and_lengths(folder, tmp_path):
    assert len(Movi(folder, split="validation")) == 1
    with pytest.raises(
        InputError, match=r"split: holds no shards \*-test.tfrecord.*parts there: train, validation"
    ):
        Movi(folder, split="test")
    for path in folder.iterdir():
        if "00001-of-00002" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"lacks 1 of 2 shards, first movi_a-train.tfrecord-00001-of-00002"):
        Movi(tmp_path)
    features = json.loads((tmp_path / "features.json").read_text())
    assert features["featuresDict"]["features"]["video"]["sequence"]["length"] == "5"
    features["featuresDict"]["features"]["video"]["sequence"]["length"] = "7"
    (tmp_path / "features.json").write_text(json.dumps(features))
    with pytest.raises(InputError, match=r"has 5 frames where features.json tells of 7"):
        Movi(tmp_path, split="validation").read(0)


def test_videos_of_unequal_length_and_classes(tmp_path):
    write_movi(tmp_path, Made(2, frames=[3, 5]))
    videos = Movi(tmp_path)
    assert [videos.num_frames(k) for k in (0, 1)] == [3, 5]
    write_movi(tmp_path, Made(1, frames=3), split="test")
    assert [Movi(tmp_path).num_frames(k) for k in (0, 1)] == [3, 5]
    other = Made(1)
    other.clips[0]["objects"][0]["shape"] = "blob"
    with pytest.raises(InputError, match=r"labels.txt: was written with other classes"):
        write_movi(tmp_path, other, split="validation")
    with pytest.raises(InputError, match="shape_label: blob is none of the classes"):
        movi_features(other.read(0))
    with pytest.raises(InputError, match="shards: must be 1 to the number"):
        write_movi(tmp_path, Made(1), shards=2)


def test_the_front_door_finds_the_only_set_below(folder, tmp_path):
    videos = read_videos(folder.parent.parent, max_instances=4)
    assert len(videos) == 5
    assert torch.equal(videos.read(0)["video"], Made(5).read(0)["video"])
    write_movi(folder.parents[1] / "256x256" / "1.0.0", Made(1))
    with pytest.raises(InputError, match=r"several sets: 128x128/1.0.0, 256x256/1.0.0"):
        read_videos(folder.parents[1])
    with pytest.raises(IndexError):
        Movi(folder).read(5)


def test_fingerprints_tell_ways_of_reading_apart(folder):
    prints = {
        Movi(folder, **options).fingerprint()
        for options in (
            {},
            {"max_instances": 3},
            {"size": (8, 8)},
            {"fields": ("video",)},
            {"split": "validation"},
        )
    }
    assert len(prints) == 5
