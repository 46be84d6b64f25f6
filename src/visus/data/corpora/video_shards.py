"""Videos in tar shards with one array per field, as videosaur and slotcontrast keep MOVi, DAVIS and YouTube-VIS.

A sample holds `video.npy` (t, h, w, 3) uint8 and may hold `segmentations.npy` (t, h, w, 1) ids or
(t, h, w, n) one mask per object, `forward_flow.npy` (t, h, w, 2), and, written by this package, every other
field of a clip under its name (time first, channels last) and `clip.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visus.data.formats.shards import Shard, write_shard
from visus.data.formats.tfrecord import Corrupt
from visus.data.frames import Size, boxes_of, chosen_fields, instance_mask, resized_clip, visible_pixels
from visus.data.videos import FRAME_FIELDS, Clip, Videos, collisions_within, frame_range
from visus.errors import InputError

_IMAGES = ("backward_flow", "forward_flow", "depth", "normal")
_OBJECTS = ("boxes", "visibility", "positions", "velocities", "image_positions")
_PLAIN = ("num_instances", "objects", "collisions")
PARTS = ("train", "validation", "test")


class VideoShards:
    """The samples of the shards of one part, in the order of the files.

    Boxes, visibility and the number of objects come from the masks where they are not stored. Of the flow in
    the public conversions of MOVi only 16-bit levels without their range are left, which cannot be turned
    into pixels: such flow is left out.

    Parameters
    ----------
    path : a shard, or a folder of shards; where names of shards tell the part (`*-train-*.tar`), those of
        `split` are taken.
    max_instances : rows of the fields by object; ids above it become background.
    size : (height, width) to resize to.
    fields : names to read; None reads all.
    corrupt : what to do with a shard that is cut off: an error, or leave out its last sample and name it in
        `skipped`.

    Raises
    ------
    InputError : no shards, no shards of the part, a damaged shard, or an array of a wrong shape.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: str = "train",
        max_instances: int = 10,
        size: Size | None = None,
        fields: Collection[str] | None = None,
        corrupt: Corrupt = "refuse",
    ) -> None:
        self.path, self.split = Path(path), split
        self.max_instances, self.size, self.fields = max_instances, size, fields
        self.shards = [Shard(file, corrupt=corrupt) for file in shard_files(self.path, split)]
        self.skipped = [f"{shard.path.name}: {line}" for shard in self.shards for line in shard.skipped]
        self.places = [(shard, key) for shard in self.shards for key in shard.keys]
        seen = Counter(_base(key) for _, key in self.places)
        self.names = [
            _base(key) if seen[_base(key)] == 1 else f"{shard.path.stem}-{_base(key)}"
            for shard, key in self.places
        ]

    def __len__(self) -> int:
        return len(self.places)

    def num_frames(self, index: int) -> int:
        return self._video_shape(index)[0]

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        (shard, key), name = self.places[index], self.names[index]
        frames, height, width, _ = self._video_shape(index)
        start, stop = frame_range(frames, start, stop, name=name)
        video = torch.from_numpy(shard.array_of(key, "video.npy", start, stop))
        clip: Clip = {"video": video.permute(0, 3, 1, 2).contiguous()}
        files = shard.samples[key]
        for field in (*_IMAGES, *_OBJECTS):
            if f"{field}.npy" in files and self._wants(field):
                array = self._field(shard, key, field, frames, (height, width), start, stop)
                if array is not None:
                    clip[field] = array
        if "segmentations.npy" in files:
            clip |= self._masks(shard, key, (frames, height, width), start, stop, clip)
        if "clip.json" in files:
            clip |= self._plain(shard, key, start, stop)
        clip = resized_clip({**clip, "name": name}, self.size)
        return chosen_fields(clip, self.fields, file=shard.path, where=f"sample {key}")

    def fingerprint(self) -> str:
        """Hash of the shards' names and sizes and the way of reading."""
        told = [(shard.path.name, shard.path.stat().st_size, len(shard.keys)) for shard in self.shards]
        fields = None if self.fields is None else sorted(self.fields)
        return hashlib.sha256(repr((told, self.max_instances, self.size, fields)).encode()).hexdigest()

    def _wants(self, field: str) -> bool:
        return self.fields is None or field in self.fields

    def _video_shape(self, index: int) -> tuple[int, int, int, int]:
        shard, key = self.places[index]
        shape = shard.shape_of(key, "video.npy")
        if len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InputError(
                f"has shape {shape}, not (t, h, w, 3)", file=shard.path, field=f"sample {key}, video.npy"
            )
        return shape[0], shape[1], shape[2], shape[3]

    def _field(
        self, shard: Shard, key: str, field: str, frames: int, side: Size, start: int, stop: int
    ) -> torch.Tensor | None:
        shape = shard.shape_of(key, f"{field}.npy")
        wanted = (frames, *side) if field in _IMAGES else (frames,)
        if shape[: len(wanted)] != wanted:
            raise InputError(
                f"has shape {shape}, but the video is {(frames, *side)}",
                file=shard.path,
                field=f"sample {key}, {field}.npy",
            )
        array = shard.array_of(key, f"{field}.npy", start, stop)
        if field.endswith("flow") and _are_levels(array, side):
            return None
        if field in _IMAGES:
            return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1), dtype=np.float32))
        kind = np.int64 if field == "visibility" else np.float32
        rows = np.zeros((len(array), self.max_instances, *array.shape[2:]), dtype=kind)
        rows[:, : array.shape[1]] = array[:, : self.max_instances]
        return torch.from_numpy(rows)

    def _masks(
        self, shard: Shard, key: str, shape: tuple[int, int, int], start: int, stop: int, clip: Clip
    ) -> Clip:
        stored = shard.shape_of(key, "segmentations.npy")
        if stored[:3] != shape or len(stored) not in (3, 4):
            problem = f"has shape {stored}, but the video is {shape}"
            raise InputError(problem, file=shard.path, field=f"sample {key}, segmentations.npy")
        ids = _as_ids(shard.array_of(key, "segmentations.npy", start, stop))
        mask = instance_mask(ids, self.max_instances)
        made: Clip = {"segmentation": mask}
        if "boxes" not in clip:
            made["boxes"] = boxes_of(mask, self.max_instances)
        if "visibility" not in clip:
            made["visibility"] = visible_pixels(mask, self.max_instances)
        if "clip.json" not in shard.samples[key] and self._wants("num_instances"):
            whole = _as_ids(shard.array_of(key, "segmentations.npy"))
            made["num_instances"] = int(instance_mask(whole, self.max_instances).max())
        return made

    def _plain(self, shard: Shard, key: str, start: int, stop: int) -> Clip:
        try:
            plain = json.loads(shard.bytes_of(key, "clip.json"))
            made = {field: plain[field] for field in _PLAIN if field in plain}
            if "num_instances" in made:
                made["num_instances"] = min(int(made["num_instances"]), self.max_instances)
            if "objects" in made:
                made["objects"] = [_tuples(item) for item in made["objects"][: self.max_instances]]
            if "collisions" in made:
                told = [_tuples(event) for event in made["collisions"]]
                made["collisions"] = collisions_within(told, start, stop)
        except (ValueError, TypeError, AttributeError) as error:
            where = f"sample {key}, clip.json"
            raise InputError(f"cannot be read ({error})", file=shard.path, field=where) from None
        return made


def shard_files(path: Path, split: str) -> list[Path]:
    """The shards to read, in the order of their names."""
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.tar")) if path.is_dir() else []
    if not files:
        raise InputError("holds no .tar shards", file=path, remedy="give a folder of shards, or a shard")
    parts = {part for part in PARTS if any(_of_part(file, part) for file in files)}
    if not parts:
        return files
    chosen = [file for file in files if _of_part(file, split)]
    if not chosen:
        problem = f"holds no shards of the part {split} (there are: {', '.join(sorted(parts))})"
        raise InputError(problem, file=path, field="split", remedy="choose a part that is there")
    return chosen


def write_video_shards(
    folder: str | Path, videos: Videos, *, name: str = "videos", split: str = "train", per_shard: int = 32
) -> list[Path]:
    """Write `<name>-<split>-000000.tar`, ... with every field that the clips have; returns the paths."""
    if len(videos) == 0 or per_shard < 1:
        problem = f"needs videos and at least one per shard, got {len(videos)} and {per_shard}"
        raise InputError(problem, file=folder)
    paths = []
    for number, first in enumerate(range(0, len(videos), per_shard)):
        path = Path(folder) / f"{name}-{split}-{number:06d}.tar"
        write_shard(path, _samples(videos, range(first, min(first + per_shard, len(videos)))))
        paths.append(path)
    return paths


def _samples(videos: Videos, indices: range) -> Iterator[tuple[str, Mapping[str, np.ndarray | bytes]]]:
    for index in indices:
        clip = videos.read(index)
        files: dict[str, np.ndarray | bytes] = {}
        for field in FRAME_FIELDS:
            if field in clip and field not in ("segmentation", "times"):
                array = clip[field].numpy()
                image = field == "video" or field in _IMAGES
                files[f"{field}.npy"] = np.moveaxis(array, 1, -1) if image else array
        if "segmentation" in clip:
            files["segmentations.npy"] = clip["segmentation"].numpy()[..., None]
        plain = {field: clip[field] for field in _PLAIN if field in clip}
        if plain:
            files["clip.json"] = json.dumps(plain, sort_keys=True).encode()
        yield str(index), files


def _as_ids(array: np.ndarray) -> np.ndarray:
    """(t, h, w) ids from (t, h, w[, 1]) ids or (t, h, w, n) masks; where masks overlap the first one counts."""
    if array.ndim == 3:
        return array
    if array.shape[-1] == 1:
        return array[..., 0]
    on = array > 0
    return np.where(on.any(axis=-1), on.argmax(axis=-1) + 1, 0)


def _are_levels(flow: np.ndarray, side: Size) -> bool:
    """Whole numbers far beyond the picture are levels of 0..65535, not pixels."""
    return bool(
        flow.size and flow.min() >= 0 and flow.max() > 4 * max(side) and (flow == np.rint(flow)).all()
    )


def _of_part(file: Path, part: str) -> bool:
    return part in file.stem.replace("_", "-").split("-")


def _base(key: str) -> str:
    return key.rpartition("/")[2]


def _tuples(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
