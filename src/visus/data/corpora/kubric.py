"""Scene folders as Kubric renders them, before they become a MOVi set.

A scene folder holds `rgba_00000.png`, `segmentation_00000.png` (palette), `depth_00000.tiff`,
`forward_flow_00000.png` and `backward_flow_00000.png` (16 bits; rows and columns are the first two channels),
`data_ranges.json` (ends of the flows' levels), `metadata.json` (objects, camera) and `events.json`.

Data: Greff et al., Kubric: a scalable dataset generator (CVPR 2022).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visus.data.formats.frame_files import read_frames, write_frame, write_mask
from visus.data.formats.images import read_labels, read_picture
from visus.data.formats.png16 import read_uint16_png, write_uint16_png
from visus.data.frames import (
    Size,
    chosen_fields,
    dequantized,
    instance_mask,
    padded,
    quantized,
    resized_clip,
)
from visus.data.videos import Clip, Videos, collisions_within, frame_range
from visus.errors import InputError
from visus.records import read_json, write_atomically, write_json

_ATTRIBUTES = {
    "shape": ("shape_label", "shape"),
    "size": ("size_label",),
    "color": ("color_label",),
    "material": ("material_label", "material"),
    "category": ("category",),
    "asset_id": ("asset_id",),
}
_FLOATS = ("scale", "mass", "friction", "restitution")
_LISTS = ("positions", "velocities", "image_positions")


class Kubric:
    """Scene folders as videos; fields and attributes as `visus.data.corpora.movi.Movi`.

    Parameters
    ----------
    folder : a scene folder, or a folder of scene folders.
    max_instances : rows of the fields by object; ids above it become background.
    size : (height, width) to resize to.
    fields : names to read; None reads all.

    Raises
    ------
    InputError : no scene folder, or (when read) a file that is absent, damaged or of another size.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        max_instances: int = 10,
        size: Size | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.max_instances, self.size, self.fields = max_instances, size, fields
        self.scenes = scene_folders(self.folder)
        if not self.scenes:
            problem = "holds no scene folders with metadata.json and rgba_00000.png"
            raise InputError(problem, file=self.folder, remedy="give the folder that Kubric wrote")
        self.names = [scene.name for scene in self.scenes]

    def __len__(self) -> int:
        return len(self.scenes)

    def num_frames(self, index: int) -> int:
        return len(self._frames(self.scenes[index]))

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        scene, name = self.scenes[index], self.names[index]
        frames = self._frames(scene)
        start, stop = frame_range(len(frames), start, stop, name=name)
        clip = self._pictures(scene, frames[start:stop])
        clip |= self._instances(scene, len(frames), start, stop)
        events = scene / "events.json"
        if self._wants("collisions") and events.exists():
            told = [_event(event) for event in _list(read_json(events), "collisions", events)]
            clip["collisions"] = collisions_within(told, start, stop)
        clip = resized_clip({**clip, "name": name}, self.size)
        return chosen_fields(clip, self.fields, file=scene, where="fields")

    def fingerprint(self) -> str:
        """Hash of the scenes' names, the sizes of their files and the way of reading."""
        told = [
            (scene.name, sorted((path.name, path.stat().st_size) for path in scene.iterdir()))
            for scene in self.scenes
        ]
        fields = None if self.fields is None else sorted(self.fields)
        return hashlib.sha256(repr((told, self.max_instances, self.size, fields)).encode()).hexdigest()

    def _wants(self, field: str) -> bool:
        return self.fields is None or field in self.fields

    def _frames(self, scene: Path) -> list[str]:
        """Frame numbers as text, in order and without gaps."""
        numbers = sorted(path.stem.rpartition("_")[2] for path in scene.glob("rgba_*.png"))
        told = read_json(scene / "metadata.json").get("metadata", {}).get("num_frames", len(numbers))
        wanted = [f"{k:05d}" for k in range(max(int(told), len(numbers)))]
        if numbers != wanted:
            absent = next((k for k in wanted if k not in numbers), numbers[-1])
            raise InputError(
                "does not exist", file=scene / f"rgba_{absent}.png", remedy="render the scene again"
            )
        return numbers

    def _pictures(self, scene: Path, frames: Sequence[str]) -> Clip:
        clip: Clip = {"video": read_frames([scene / f"rgba_{k}.png" for k in frames])}
        shape = clip["video"].shape[-2:]
        if self._wants("segmentation") and _has(scene, "segmentation", ".png"):
            masks = [_sized(scene / f"segmentation_{k}.png", read_labels, shape) for k in frames]
            clip["segmentation"] = instance_mask(np.stack(masks), self.max_instances)
        for field in ("forward_flow", "backward_flow"):
            if self._wants(field) and _has(scene, field, ".png"):
                ends = _ends(scene / "data_ranges.json", field)
                paths = [scene / f"{field}_{k}.png" for k in frames]
                levels = np.stack([_sized(path, read_uint16_png, shape)[:2] for path in paths])
                clip[field] = torch.from_numpy(dequantized(levels, *ends))
        if self._wants("depth") and _has(scene, "depth", ".tiff"):
            paths = [scene / f"depth_{k}.tiff" for k in frames]
            depth = np.stack([_sized(path, lambda path: read_picture(path).array, shape) for path in paths])
            clip["depth"] = torch.from_numpy(depth)
        return clip

    def _instances(self, scene: Path, frames: int, start: int, stop: int) -> Clip:
        path, most = scene / "metadata.json", self.max_instances
        instances = _list(read_json(path), "instances", path)
        clip: Clip = {}
        if self._wants("num_instances"):
            clip["num_instances"] = min(len(instances), most)
        for field in (*_LISTS, "visibility"):
            if self._wants(field) and instances and all(field in item for item in instances):
                rows = _rows(instances, field, frames, path)[:, start:stop]
                clip[field] = padded(rows, most, torch.int64 if field == "visibility" else torch.float32)
        if self._wants("boxes") and all("bboxes" in item for item in instances):
            clip["boxes"] = torch.from_numpy(_boxes(instances, frames, most, path)[start:stop])
        if self._wants("objects"):
            clip["objects"] = [_attributes(item) for item in instances[:most]]
        return clip


def scene_folders(folder: Path) -> list[Path]:
    """The folder itself if it is a scene, else the scenes in it, numbers in their order."""
    if _is_scene(folder):
        return [folder]
    inside = [path for path in folder.iterdir() if _is_scene(path)] if folder.is_dir() else []
    return sorted(inside, key=lambda path: (not path.name.isdigit(), path.name.zfill(12)))


def _is_scene(folder: Path) -> bool:
    return (folder / "metadata.json").is_file() and any(folder.glob("rgba_*.png"))


def _has(scene: Path, layer: str, ending: str) -> bool:
    return any(scene.glob(f"{layer}_*{ending}"))


def _sized(path: Path, reader: Any, shape: Sequence[int]) -> np.ndarray:
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="render the scene again")
    array = reader(path)
    if array.shape[-2:] != tuple(shape):
        raise InputError(f"is {array.shape[-2:]}, but the picture is {tuple(shape)}", file=path)
    return array


def _ends(path: Path, field: str) -> tuple[float, float]:
    try:
        ends = read_json(path)[field]
        return float(ends["min"]), float(ends["max"])
    except (KeyError, TypeError, ValueError):
        raise InputError("has no min and max", file=path, field=field) from None


def _list(plain: Any, key: str, path: Path) -> list[dict[str, Any]]:
    values = plain.get(key) if isinstance(plain, dict) else None
    if not isinstance(values, list):
        raise InputError("is no list", file=path, field=key, remedy="give the file that Kubric wrote")
    return values


def _rows(instances: Sequence[Mapping[str, Any]], field: str, frames: int, path: Path) -> np.ndarray:
    try:
        rows = np.array([item[field] for item in instances], dtype=np.float64)
    except (ValueError, TypeError):
        rows = np.zeros(0)
    if rows.ndim < 2 or rows.shape[:2] != (len(instances), frames):
        problem = f"does not have one entry for each of {frames} frames"
        raise InputError(problem, file=path, field=f"instances, {field}")
    return rows


def _boxes(instances: Sequence[Mapping[str, Any]], frames: int, most: int, path: Path) -> np.ndarray:
    boxes = np.zeros((frames, most, 4), dtype=np.float32)
    for i, item in enumerate(instances[:most]):
        seen, values = item.get("bbox_frames", range(frames)), item["bboxes"]
        if len(seen) != len(values) or any(not 0 <= k < frames for k in seen):
            problem = f"has {len(values)} boxes for {len(seen)} frames of {frames}"
            raise InputError(problem, file=path, field=f"instances, {i}, bboxes")
        if len(seen):
            boxes[list(seen), i] = np.array(values, dtype=np.float32).reshape(-1, 4)
    return boxes


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, keys in _ATTRIBUTES.items():
        given = next((item[key] for key in keys if key in item), None)
        if given is not None:
            made[name] = str(given)
    made |= {key: float(item[key]) for key in _FLOATS if key in item}
    if "is_dynamic" in item:
        made["dynamic"] = "yes" if item["is_dynamic"] else "no"
    if isinstance(item.get("color"), list):
        made["rgb"] = tuple(float(value) for value in item["color"][:3])
    return made


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """A collision; Kubric counts time in fractions of frames."""
    return {
        "frame": int(event["frame"]),
        "instances": tuple(-1 if i in (-1, 65535) else int(i) for i in event["instances"]),
        "force": float(event["force"]),
        **{key: tuple(map(float, event[key])) for key in ("position", "image_position", "contact_normal")},
    }


def write_kubric(folder: str | Path, videos: Videos) -> None:
    """Write every video with ground truth as a scene folder of its own, named 0, 1, ..."""
    for index in range(len(videos)):
        _write_scene(Path(folder) / str(index), videos.read(index))


def _write_scene(scene: Path, clip: Clip) -> None:
    video, count = clip["video"], int(clip.get("num_instances", 0))
    for k, frame in enumerate(video):
        write_frame(scene / f"rgba_{k:05d}.png", frame)
        if "segmentation" in clip:
            write_mask(scene / f"segmentation_{k:05d}.png", clip["segmentation"][k].numpy())
        if "depth" in clip:
            write_atomically(scene / f"depth_{k:05d}.tiff", _tiff(clip["depth"][k, 0].numpy()))
    ranges = {}
    for field in ("forward_flow", "backward_flow"):
        if field in clip:
            levels, (low, high) = quantized(clip[field].numpy())
            ranges[field] = {"min": low, "max": high}
            third = np.zeros_like(levels[:, :1])
            for k, level in enumerate(np.concatenate([levels, third], axis=1)):
                write_uint16_png(scene / f"{field}_{k:05d}.png", level)
    write_json(scene / "data_ranges.json", ranges)
    metadata = {
        "num_frames": len(video),
        "num_instances": count,
        "resolution": [video.shape[-1], video.shape[-2]],
    }
    instances = [_instance(clip, i) for i in range(count)]
    write_json(scene / "metadata.json", {"metadata": metadata, "instances": instances})
    write_json(scene / "events.json", {"collisions": clip.get("collisions", [])})


def _instance(clip: Clip, i: int) -> dict[str, Any]:
    item = dict(clip["objects"][i]) if "objects" in clip else {}
    made: dict[str, Any] = {
        key: item[key] for key in ("shape", "material", "category", "asset_id") if key in item
    }
    made |= {f"{key}_label": item[key] for key in ("size", "color") if key in item}
    made |= {key: item[key] for key in _FLOATS if key in item}
    if "rgb" in item:
        made["color"] = list(item["rgb"])
    if "dynamic" in item:
        made["is_dynamic"] = item["dynamic"] == "yes"
    made |= {field: clip[field][:, i].tolist() for field in (*_LISTS, "visibility") if field in clip}
    if "boxes" in clip:
        boxes = clip["boxes"][:, i]
        seen = boxes.any(dim=1)
        made["bboxes"] = boxes[seen].tolist()
        made["bbox_frames"] = seen.nonzero().flatten().tolist()
    return made


def _tiff(depth: np.ndarray) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(depth.astype(np.float32)).save(buffer, format="TIFF")
    return buffer.getvalue()
