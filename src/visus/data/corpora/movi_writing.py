"""Any videos with ground truth as TFRecord files in the layout of MOVi."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visus.data.corpora.movi import FLOOR, NAMES, declared_frames
from visus.data.formats.example import encode_example
from visus.data.formats.png16 import encode_uint16_png
from visus.data.formats.tfrecord import write_tfrecords
from visus.data.frames import quantized
from visus.data.videos import Clip, Videos
from visus.errors import InputError
from visus.records import write_atomically, write_json

_FLOATS = ("scale", "mass", "friction", "restitution")
Features = dict[str, Any]


def write_movi(
    folder: str | Path, videos: Videos, *, name: str = "movi_a", split: str = "train", shards: int = 1
) -> None:
    """Write `<name>-<split>.tfrecord-00000-of-00001`, ..., the names of classes and `features.json`.

    Fields that a clip does not have are left out. Flow and depth become 16-bit levels between the least and
    the greatest value of the clip. Of the object attributes the layout takes `shape`, `size`, `color`,
    `material` and `category` (names the published sets lack are added at the end of the classes), `rgb`,
    `asset_id`, `scale`, `dynamic`, `mass`, `friction` and `restitution`; an attribute is written where every
    object of a video has it.

    Raises
    ------
    InputError : no videos, more shards than videos, or several parts written with different classes.
    """
    folder = Path(folder)
    if not 1 <= shards <= len(videos):
        problem = f"must be 1 to the number of videos ({len(videos)}), got {shards}"
        raise InputError(problem, file=folder, field="shards")
    names = _classes(videos)
    for key, values in names.items():
        path = folder / f"instances-{key}.labels.txt"
        text = "".join(f"{value}\n" for value in values)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            problem = "was written with other classes"
            raise InputError(problem, file=path, remedy="write this part into a folder of its own")
        write_atomically(path, text)
    parts = np.array_split(np.arange(len(videos)), shards)
    for number, part in enumerate(parts):
        path = folder / f"{name}-{split}.tfrecord-{number:05d}-of-{shards:05d}"
        write_tfrecords(path, _records(videos, part.tolist(), names))
    _describe(folder, {videos.num_frames(index) for index in range(len(videos))})


def _records(videos: Videos, part: Sequence[int], names: Mapping[str, Sequence[str]]) -> Iterator[bytes]:
    for index in part:
        yield encode_example(movi_features(videos.read(index), names))


def movi_features(clip: Clip, names: Mapping[str, Sequence[str]] = NAMES) -> Features:
    """The features of one record.

    Raises
    ------
    InputError : an attribute is none of the classes in `names`.
    """
    video = clip["video"].numpy()
    frames, _, height, width = video.shape
    count = int(clip.get("num_instances", 0))
    features: Features = {
        "video": [_png(frame) for frame in np.moveaxis(video, 1, -1)],
        "metadata/video_name": [str(clip.get("name", "")).encode()],
        "metadata/width": np.array([width]),
        "metadata/height": np.array([height]),
        "metadata/num_frames": np.array([frames]),
        "metadata/num_instances": np.array([count]),
    }
    if "segmentation" in clip:
        features["segmentations"] = [_png(mask) for mask in clip["segmentation"].numpy()]
    for field in ("forward_flow", "backward_flow"):
        if field in clip:
            levels, ends = quantized(clip[field].numpy())
            features[field] = np.moveaxis(levels, 1, -1)
            features[f"metadata/{field}_range"] = np.array(ends, dtype=np.float32)
    if "depth" in clip:
        levels, ends = quantized(clip["depth"].numpy())
        features["depth"] = [encode_uint16_png(level) for level in levels]
        features["metadata/depth_range"] = np.array(ends, dtype=np.float32)
    if "normal" in clip:
        levels = np.rint((clip["normal"].numpy().astype(np.float64) + 1) * 32767.5).astype(np.uint16)
        features["normal"] = [encode_uint16_png(level) for level in levels]
    features |= _instances(clip, count)
    features |= _attributes(clip.get("objects", [])[:count], names)
    if "collisions" in clip:
        features |= _collisions(clip["collisions"])
    return features


def _instances(clip: Clip, count: int) -> Features:
    features: Features = {}
    for field in ("positions", "velocities", "image_positions", "visibility"):
        if field in clip:
            rows = clip[field].numpy()[:, :count]
            features[f"instances/{field}"] = np.ascontiguousarray(np.moveaxis(rows, 0, 1))
    if "boxes" in clip:
        boxes = np.moveaxis(clip["boxes"].numpy()[:, :count], 0, 1)
        seen = boxes.any(axis=-1)
        lengths = seen.sum(axis=1)
        features["instances/bboxes/ragged_flat_values"] = boxes[seen].astype(np.float32)
        features["instances/bboxes/ragged_row_lengths_0"] = lengths
        features["instances/bbox_frames/ragged_flat_values"] = np.nonzero(seen)[1]
        features["instances/bbox_frames/ragged_row_lengths_0"] = lengths
    return features


def _attributes(objects: Sequence[Mapping[str, Any]], names: Mapping[str, Sequence[str]]) -> Features:
    features: Features = {}

    def column(key: str) -> list[Any] | None:
        given = [item.get(key) for item in objects]
        return None if not given or any(value is None for value in given) else given

    for key, classes in names.items():
        values = column(key.removesuffix("_label"))
        if values is not None:
            features[f"instances/{key}"] = np.array([_class(str(value), classes, key) for value in values])
    for key in _FLOATS:
        values = column(key)
        if values is not None:
            features[f"instances/{key}"] = np.array(values, dtype=np.float32)
    if (rgb := column("rgb")) is not None:
        features["instances/color"] = np.array(rgb, dtype=np.float32).reshape(-1, 3)
    if (assets := column("asset_id")) is not None:
        features["instances/asset_id"] = [str(value).encode() for value in assets]
    if (dynamic := column("dynamic")) is not None:
        features["instances/is_dynamic"] = np.array([value == "yes" for value in dynamic])
    return features


def _class(value: str, classes: Sequence[str], key: str) -> int:
    if value not in classes:
        raise InputError(f"{value} is none of the classes", field=key, remedy=f"use: {', '.join(classes)}")
    return classes.index(value)


def _collisions(events: Sequence[Mapping[str, Any]]) -> Features:
    start, floats = "events/collisions/", ("position", "image_position", "contact_normal")
    pairs = np.array([event["instances"] for event in events], dtype=np.int64).reshape(-1, 2)
    widths = (3, 2, 3)
    return {
        f"{start}frame": np.array([event["frame"] for event in events], dtype=np.int64),
        f"{start}instances": np.where(pairs < 0, FLOOR, pairs),
        f"{start}force": np.array([event["force"] for event in events], dtype=np.float32),
        **{
            start + key: np.array([event[key] for event in events], dtype=np.float32).reshape(-1, width)
            for key, width in zip(floats, widths)
        },
    }


def _classes(videos: Videos) -> dict[str, tuple[str, ...]]:
    """Classes in use: the published names of a label, then the others in alphabetical order."""
    found: dict[str, set[str]] = {key: set() for key in NAMES}
    for index in range(len(videos)):
        for item in videos.read(index, 0, 1).get("objects", []):
            for key in NAMES:
                value = item.get(key.removesuffix("_label"))
                if value is not None:
                    found[key].add(str(value))
    return {
        key: (*NAMES[key], *sorted(values.difference(NAMES[key]))) for key, values in found.items() if values
    }


def _describe(folder: Path, lengths: set[int]) -> None:
    """`features.json` with the one thing a reader needs from it: the number of frames, where it is fixed.

    Parts written one after another share the file: a fixed number holds for all of them or is not told.
    """
    path = folder / "features.json"
    if path.exists():
        lengths = lengths | {declared_frames(folder) or -1}
    length = str(next(iter(lengths))) if len(lengths) == 1 else "-1"
    video = {"pythonClassName": "tensorflow_datasets.core.features.video_feature.Video"}
    plain = {
        "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "featuresDict": {"features": {"video": {**video, "sequence": {"length": length}}}},
    }
    write_json(path, plain)


def _png(array: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG")
    return buffer.getvalue()
