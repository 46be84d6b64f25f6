"""MOVi-A to MOVi-E: the TFRecord files of TensorFlow Datasets, read without TensorFlow.

A folder holds `movi_a-train.tfrecord-00000-of-00010`, ... and may hold `features.json` and the names of
classes (`instances-shape_label.labels.txt`). Every record is one video with all its annotations.

Data: Greff et al., Kubric: a scalable dataset generator (CVPR 2022).
"""

from __future__ import annotations

import bisect
import hashlib
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visus.data.formats.example import Example
from visus.data.formats.png16 import decode_uint16_png
from visus.data.formats.tfrecord import Corrupt, RecordFile
from visus.data.frames import Size, chosen_fields, dequantized, instance_mask, padded, resized_clip
from visus.data.videos import Clip, collisions_within, frame_range
from visus.errors import InputError
from visus.records import read_json

FLOOR = 65535
"""Stands for floor and background in the pair of a collision."""

NAMES = {
    "shape_label": (
        *("cube", "cylinder", "sphere", "cone", "torus", "gear"),
        *("torus_knot", "sponge", "spot", "teapot", "suzanne"),
    ),
    "size_label": ("small", "large"),
    "color_label": ("blue", "brown", "cyan", "gray", "green", "purple", "red", "yellow"),
    "material_label": ("metal", "rubber"),
    "category": (
        *("Action Figures", "Bag", "Board Games", "Bottles and Cans and Cups", "Camera", "Car Seat"),
        *("Consumer Goods", "Hat", "Headphones", "Keyboard", "Legos", "Media Cases", "Mouse", "None"),
        *("Shoe", "Stuffed Toys", "Toys"),
    ),
}
"""Classes of the published sets (the shapes of MOVi-A are the first three of MOVi-B)."""

_SHARD = re.compile(r"^(?P<name>.+)-(?P<split>[^-]+)\.tfrecord-(?P<number>\d{5})-of-(?P<count>\d{5})$")
_PER_FRAME = {"positions": 3, "velocities": 3, "image_positions": 2}


class Movi:
    """The videos of one part of a MOVi set, in the order of the files.

    Only the places of the records are kept; a record is read and its pictures are decoded when asked for, and
    of them only the frames and fields that are asked for. `num_instances` and `objects` tell of the first
    `max_instances` objects (the most visible ones: the set is sorted). Object attributes: `shape`, `size`,
    `color`, `material`, `category` names, `rgb`, `asset_id`, `scale`, `dynamic`, `mass`, `friction`,
    `restitution`, as far as the set has them.

    Parameters
    ----------
    folder : holds the shards of one set in one resolution.
    split : `train`, `validation` or `test` (test: MOVi-C, D and E only).
    max_instances : rows of the fields by object; ids above it become background.
    size : (height, width) to resize to.
    fields : names to read; None reads all but `normal`.
    corrupt : what to do with damaged records; `skip` checks all data when opened and tells in `skipped`.

    Raises
    ------
    InputError : no shards of the part, a shard is missing, or a record is damaged and refused.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        split: str = "train",
        max_instances: int = 10,
        size: Size | None = None,
        fields: Collection[str] | None = None,
        corrupt: Corrupt = "refuse",
    ) -> None:
        self.folder, self.split = Path(folder), split
        self.max_instances, self.size, self.fields = max_instances, size, fields
        self.files = [RecordFile(path, corrupt=corrupt) for path in shard_paths(self.folder, split)]
        self.skipped = [f"{file.path.name}: {line}" for file in self.files for line in file.skipped]
        self.ends = np.cumsum([len(file) for file in self.files]).tolist()
        self.names = [
            f"{split}-{number:05d}-{span.number:04d}"
            for number, file in enumerate(self.files)
            for span in file.spans
        ]
        self.labels = {key: class_names(self.folder, key) for key in NAMES}
        self._declared = declared_frames(self.folder)
        self._frames: dict[int, int] = {}

    def __len__(self) -> int:
        return self.ends[-1]

    def num_frames(self, index: int) -> int:
        if self._declared is not None:
            return self._declared
        if index not in self._frames:
            file, place = self._place(index)
            example = _Record(file, place)
            self._frames[index] = len(example.encoded("video"))
        return self._frames[index]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        file, place = self._place(index)
        record, name = _Record(file, place), self.names[index]
        frames = len(record.encoded("video"))
        if self._declared not in (None, frames):
            raise file.refuse(place, f"has {frames} frames where features.json tells of {self._declared}")
        start, stop = frame_range(frames, start, stop, name=name)
        clip = self._pictures(record, frames, start, stop)
        clip |= self._instances(record, frames, start, stop)
        if self._wants("collisions") and "events/collisions/frame" in record.example:
            clip["collisions"] = collisions_within(record.collisions(), start, stop)
        clip = resized_clip({**clip, "name": name}, self.size)
        return chosen_fields(clip, self.fields, file=file.path, where=file.where(place))

    def fingerprint(self) -> str:
        """Hash of the files' names and sizes and the way of reading."""
        told = [(file.path.name, file.path.stat().st_size, len(file)) for file in self.files]
        fields = None if self.fields is None else sorted(self.fields)
        return hashlib.sha256(repr((told, self.max_instances, self.size, fields)).encode()).hexdigest()

    def _place(self, index: int) -> tuple[RecordFile, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} is outside 0..{len(self) - 1}")
        number = bisect.bisect_right(self.ends, index)
        return self.files[number], index - (self.ends[number - 1] if number else 0)

    def _wants(self, field: str) -> bool:
        return field != "normal" if self.fields is None else field in self.fields

    def _pictures(self, record: _Record, frames: int, start: int, stop: int) -> Clip:
        images = _stacked(record, "video", start, stop, channels=3)
        clip: Clip = {"video": torch.from_numpy(images)}
        height, width = images.shape[-2:]
        if self._wants("segmentation") and "segmentations" in record.example:
            masks = _stacked(record, "segmentations", start, stop, channels=1)[:, 0]
            clip["segmentation"] = instance_mask(masks, self.max_instances)
        for field in ("forward_flow", "backward_flow"):
            if self._wants(field) and field in record.example:
                levels = record.numbers(field, (frames, height, width, 2))[start:stop]
                flow = dequantized(levels, *record.range_of(field))
                clip[field] = torch.from_numpy(flow).permute(0, 3, 1, 2).contiguous()
        if self._wants("depth") and "depth" in record.example:
            levels = _stacked(record, "depth", start, stop, channels=1)
            clip["depth"] = torch.from_numpy(dequantized(levels, *record.range_of("depth")))
        if self._wants("normal") and "normal" in record.example:
            levels = np.stack([record.normal(k) for k in range(start, stop)])
            clip["normal"] = torch.from_numpy(dequantized(levels, -1.0, 1.0))
        return clip

    def _instances(self, record: _Record, frames: int, start: int, stop: int) -> Clip:
        most, clip = self.max_instances, {}
        count = record.count()
        if self._wants("num_instances"):
            clip["num_instances"] = min(count, most)
        for field, width in _PER_FRAME.items():
            if self._wants(field) and f"instances/{field}" in record.example:
                rows = record.numbers(f"instances/{field}", (count, frames, width))
                clip[field] = padded(rows[:, start:stop], most)
        if self._wants("visibility") and "instances/visibility" in record.example:
            rows = record.numbers("instances/visibility", (count, frames))
            clip["visibility"] = padded(rows[:, start:stop], most, torch.int64)
        if self._wants("boxes") and "instances/bboxes/ragged_flat_values" in record.example:
            clip["boxes"] = torch.from_numpy(record.boxes(frames, most)[start:stop])
        if self._wants("objects"):
            clip["objects"] = record.objects(self.labels)[:most]
        return clip


class _Record:
    """One example with checks of what is asked of it."""

    def __init__(self, file: RecordFile, place: int) -> None:
        self.file, self.place = file, place
        try:
            self.example = Example(file.read(place))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise self.error(f"is no example ({error})") from None
        self._lists: dict[str, list[bytes]] = {}

    def error(self, problem: str) -> InputError:
        return self.file.refuse(self.place, problem)

    def _values(self, key: str) -> Any:
        try:
            return self.example[key]
        except KeyError:
            raise self.error(f"has no {key}") from None
        except ValueError as error:
            raise self.error(f"cannot be read ({error})") from None

    def encoded(self, key: str) -> list[bytes]:
        if key not in self._lists:
            values = self._values(key)
            if not isinstance(values, list) or not values:
                raise self.error(f"{key} holds no pictures")
            self._lists[key] = values
        return self._lists[key]

    def numbers(self, key: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        values = self._values(key)
        if isinstance(values, list):  # an empty list has no type
            if values:
                raise self.error(f"{key} holds text where numbers should be")
            values = np.zeros(0, dtype=np.float32)
        if shape is None:
            return values
        if values.size != np.prod(shape, dtype=np.int64):
            raise self.error(f"{key} holds {values.size} numbers where {shape} are expected")
        return values.reshape(shape)

    def range_of(self, key: str) -> tuple[float, float]:
        low, high = self.numbers(f"metadata/{key}_range", (2,)).tolist()
        return low, high

    def count(self) -> int:
        if "metadata/num_instances" in self.example:
            return int(self.numbers("metadata/num_instances", (1,))[0])
        key = "instances/bboxes/ragged_row_lengths_0"
        return len(self.numbers(key)) if key in self.example else 0

    def picture(self, key: str, frame: int, *, channels: int) -> np.ndarray:
        """A picture as stored, (c, h, w)."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self._frame(key, frame))) as image:
                array = np.array(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise self.error(f"{key}, frame {frame}: is no picture ({error})") from None
        array = array[..., None] if array.ndim == 2 else array
        if array.shape[-1] != channels:
            problem = f"{key}, frame {frame}: has {array.shape[-1]} channels, not {channels}"
            raise self.error(problem)
        return np.moveaxis(array, -1, 0)

    def normal(self, frame: int) -> np.ndarray:
        """Levels of the surface's direction; color of 16 bits, which Pillow would reduce to 8."""
        content = self._frame("normal", frame)
        try:
            return decode_uint16_png(content)
        except (ValueError, KeyError, IndexError) as error:
            raise self.error(f"normal, frame {frame}: is no 16-bit picture ({error})") from None

    def _frame(self, key: str, frame: int) -> bytes:
        contents = self.encoded(key)
        if frame >= len(contents):
            raise self.error(f"{key} has {len(contents)} frames where the video has more")
        return contents[frame]

    def boxes(self, frames: int, most: int) -> np.ndarray:
        """(frames, most, 4) from the ragged lists of boxes and of the frames they belong to."""
        lengths = self.numbers("instances/bboxes/ragged_row_lengths_0").astype(np.int64)
        total = int(lengths.sum())
        values = self.numbers("instances/bboxes/ragged_flat_values", (total, 4))
        seen_lengths = self.numbers("instances/bbox_frames/ragged_row_lengths_0").astype(np.int64)
        seen = self.numbers("instances/bbox_frames/ragged_flat_values", (total,)).astype(np.int64)
        if not np.array_equal(lengths, seen_lengths):
            raise self.error("has other numbers of boxes than of their frames")
        if total and not 0 <= seen.min() <= seen.max() < frames:
            raise self.error(f"has a box in frame {seen.max()} of {frames}")
        owner = np.repeat(np.arange(len(lengths)), lengths)
        kept = owner < most
        boxes = np.zeros((frames, most, 4), dtype=np.float32)
        boxes[seen[kept], owner[kept]] = values[kept]
        return boxes

    def objects(self, labels: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """Attributes of each object, as far as the record has them."""
        made: list[dict[str, Any]] = [{} for _ in range(self.count())]
        for key, names in labels.items():
            for item, value in zip(made, self._column(key, len(made))):
                known = 0 <= int(value) < len(names)
                item[key.removesuffix("_label")] = names[int(value)] if known else str(int(value))
        for key in ("scale", "mass", "friction", "restitution"):
            for item, value in zip(made, self._column(key, len(made))):
                item[key] = float(value)
        for item, value in zip(made, self._column("is_dynamic", len(made))):
            item["dynamic"] = "yes" if value else "no"
        if "instances/asset_id" in self.example:
            for item, value in zip(made, self._values("instances/asset_id")):
                item["asset_id"] = bytes(value).decode(errors="replace")
        if "instances/color" in self.example:
            for item, value in zip(made, self.numbers("instances/color", (len(made), 3)).tolist()):
                item["rgb"] = tuple(value)
        return made

    def _column(self, key: str, count: int) -> np.ndarray:
        name = f"instances/{key}"
        return self.numbers(name, (count,)) if name in self.example else np.zeros(0)

    def collisions(self) -> list[dict[str, Any]]:
        """Events in plain words; the floor becomes -1."""
        start = "events/collisions/"
        frames = self.numbers(f"{start}frame").astype(np.int64)
        count = len(frames)
        pairs = self.numbers(f"{start}instances", (count, 2)).astype(np.int64)
        pairs = np.where(pairs == FLOOR, -1, pairs)
        widths = {"position": 3, "image_position": 2, "contact_normal": 3}
        vectors = {key: self.numbers(start + key, (count, width)) for key, width in widths.items()}
        forces = self.numbers(f"{start}force", (count,))
        return [
            {
                "frame": int(frames[k]),
                "instances": tuple(pairs[k].tolist()),
                "force": float(forces[k]),
                **{key: tuple(rows[k].tolist()) for key, rows in vectors.items()},
            }
            for k in range(count)
        ]


def _stacked(record: _Record, key: str, start: int, stop: int, *, channels: int) -> np.ndarray:
    frames = [record.picture(key, k, channels=channels) for k in range(start, stop)]
    if len({frame.shape for frame in frames}) > 1:
        raise record.error(f"{key}: its frames differ in size")
    return np.stack(frames)


def is_movi(folder: Path) -> bool:
    """Whether the folder holds such shards."""
    return folder.is_dir() and any(_SHARD.match(path.name) for path in folder.iterdir())


def shard_paths(folder: Path, split: str) -> list[Path]:
    """The shards of a part in their order, all of them."""
    found: dict[str, dict[int, tuple[Path, int]]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _SHARD.match(path.name)
        if match:
            parts = found.setdefault(match["split"], {})
            parts[int(match["number"])] = path, int(match["count"])
    if split not in found:
        there = ", ".join(sorted(found)) or "none"
        problem = f"holds no shards *-{split}.tfrecord-00000-of-00001 (parts there: {there})"
        raise InputError(problem, file=folder, field="split", remedy="choose a part that is there")
    shards = found[split]
    count = max(count for _, count in shards.values())
    absent = [number for number in range(count) if number not in shards]
    if absent:
        example = next(iter(shards.values()))[0].name
        missing = re.sub(r"-\d{5}-of", f"-{absent[0]:05d}-of", example)
        problem = f"lacks {len(absent)} of {count} shards, first {missing}"
        raise InputError(problem, file=folder, field="split", remedy="download all shards of the part")
    return [shards[number][0] for number in range(count)]


def class_names(folder: Path, key: str) -> tuple[str, ...]:
    """Names of a class label: those written beside the shards, else the published ones."""
    path = folder / f"instances-{key}.labels.txt"
    return tuple(path.read_text(encoding="utf-8").split("\n")[:-1]) if path.exists() else NAMES[key]


def declared_frames(folder: Path) -> int | None:
    """Frames of every video where `features.json` fixes them, else None."""
    path = folder / "features.json"
    if not path.exists():
        return None
    plain = read_json(path)
    for step in ("featuresDict", "features", "video"):
        plain = plain.get(step, {}) if isinstance(plain, dict) else {}
    sequence = plain.get("sequence", {}) if isinstance(plain, dict) else {}
    length = str(sequence.get("length", "")) if isinstance(sequence, dict) else ""
    return int(length) if length.isdigit() and int(length) else None
