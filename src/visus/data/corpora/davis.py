"""Videos as folders of pictures with folders of masks: DAVIS and the same idea in its plainest form.

- DAVIS: `JPEGImages/480p/<video>/00000.jpg`, `Annotations/480p/<video>/00000.png` (or
  `Annotations_unsupervised`), parts in `ImageSets/2017/{train,val}.txt`; YouTube-VOS has no `480p`;
- plain: `frames/<video>/*.jpg`, `masks/<video>/*.png`, with parts `train/frames/...`.

Masks are indexed PNG: the index is the object, 0 is background; 255 (void) and ids above the most become
background.

Data: Pont-Tuset et al., The 2017 DAVIS challenge on video object segmentation (arXiv 1704.00675).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from visus.data.formats.frame_files import picture_files, read_frames, write_frame, write_masks
from visus.data.formats.images import read_labels
from visus.data.frames import Size, boxes_of, chosen_fields, instance_mask, resized_clip, visible_pixels
from visus.data.videos import Clip, Videos, frame_range
from visus.errors import InputError
from visus.records import write_atomically

_SAME = {"validation": "val", "val": "validation"}


class Davis:
    """Folders of pictures as videos.

    A video with a mask for every frame has `segmentation`, `boxes`, `visibility` and `num_instances`. Where
    only some frames have masks (the first one, as DAVIS gives it to be followed) there is no `segmentation`,
    and `boxes` are zero on the other frames.

    Parameters
    ----------
    folder : the root of one of the two layouts.
    split : part to read, where there are parts.
    max_instances : objects at most, 1 to 254.
    size : (height, width) to resize to.
    fields : names to read; None reads all.
    resolution : folder below `JPEGImages`; None takes the only one, or 480p.

    Raises
    ------
    InputError : no frames, a part that is not there, or (when read) a picture that is damaged or of another
        size; names the file.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        split: str = "train",
        max_instances: int = 10,
        size: Size | None = None,
        fields: Collection[str] | None = None,
        resolution: str | None = None,
    ) -> None:
        if not 1 <= max_instances <= 254:
            raise InputError(f"must be 1 to 254, got {max_instances}", field="max_instances")
        self.folder = Path(folder)
        self.max_instances, self.size, self.fields = max_instances, size, fields
        frames, masks = _folders(self.folder, split, resolution)
        self.names = _part(self.folder, frames, split)
        self.frames = [picture_files(frames / name) for name in self.names]
        self.masks = [masks_of(masks / name, paths) for name, paths in zip(self.names, self.frames)]
        for name, paths in zip(self.names, self.frames):
            if not paths:
                raise InputError("holds no pictures", file=frames / name, remedy="add frames or remove it")
        self._most: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def num_frames(self, index: int) -> int:
        return len(self.frames[index])

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        name, masks = self.names[index], self.masks[index]
        start, stop = frame_range(len(self.frames[index]), start, stop, name=name)
        clip: Clip = {"video": read_frames(self.frames[index][start:stop])}
        if any(masks):
            clip |= mask_fields(masks, start, stop, tuple(clip["video"].shape[-2:]), self.max_instances)
            clip["num_instances"] = self._count(index)
        clip = resized_clip({**clip, "name": name}, self.size)
        return chosen_fields(clip, self.fields, file=self.folder, where=f"video {name}")

    def fingerprint(self) -> str:
        """Hash of the files' names and sizes and the way of reading."""
        files = [
            (path.name, path.stat().st_size)
            for frames, masks in zip(self.frames, self.masks)
            for path in (*frames, *(mask for mask in masks if mask))
        ]
        fields = None if self.fields is None else sorted(self.fields)
        told = repr((self.names, files, self.max_instances, self.size, fields))
        return hashlib.sha256(told.encode()).hexdigest()

    def _count(self, index: int) -> int:
        if index not in self._most:
            self._most[index] = object_count(self.masks[index], self.max_instances)
        return self._most[index]


def masks_of(folder: Path, frames: list[Path]) -> list[Path | None]:
    """The mask of each frame: the picture of the same name (up to the ending), or None.

    Raises
    ------
    InputError : there are masks but none belongs to a frame.
    """
    found = {path.stem: path for path in picture_files(folder)}
    matched = [found.get(path.stem) for path in frames]
    if found and frames and not any(matched):
        problem = f"holds masks, but none is named like a frame ({frames[0].stem})"
        raise InputError(problem, file=folder, remedy="name masks like their frames")
    return matched


def mask_fields(masks: list[Path | None], start: int, stop: int, side: Size, most: int) -> Clip:
    """What masks tell of frames `start` to `stop`."""
    ids = np.zeros((stop - start, *side), dtype=np.int64)
    for k, path in enumerate(masks[start:stop]):
        if path is not None:
            labels = read_labels(path)
            if labels.shape != side:
                problem = f"is {labels.shape}, but its frame is {side}"
                raise InputError(problem, file=path, remedy="give masks the size of the frames")
            ids[k] = labels
    segmentation = instance_mask(ids, most)
    clip: Clip = {"boxes": boxes_of(segmentation, most)}
    if all(masks):
        clip["segmentation"] = segmentation
        clip["visibility"] = visible_pixels(segmentation, most)
    return clip


def object_count(masks: list[Path | None], most: int) -> int:
    """The greatest id in any mask, ids above `most` not counted."""
    highest = 0
    for path in masks:
        if path is not None:
            labels = read_labels(path)
            highest = max(highest, int(labels[labels <= most].max(initial=0)))
    return highest


def is_davis(folder: Path) -> bool:
    """Whether the folder has one of the two layouts, with or without parts."""
    return (folder / "JPEGImages").is_dir() or (folder / "frames").is_dir() or any(folder.glob("*/frames/*/"))


def write_davis(
    folder: str | Path, videos: Videos, *, split: str = "train", resolution: str = "480p"
) -> None:
    """Write videos and their masks as DAVIS does: JPEG (lossy) frames, indexed PNG, `ImageSets/2017`."""
    folder = Path(folder)
    for index, name in enumerate(videos.names):
        frames = folder / "JPEGImages" / resolution / name
        _write(videos.read(index), frames, folder / "Annotations" / resolution / name, ".jpg")
    text = "".join(f"{name}\n" for name in videos.names)
    write_atomically(folder / "ImageSets" / "2017" / f"{_SAME.get(split, split)}.txt", text)


def write_frame_folders(folder: str | Path, videos: Videos) -> None:
    """Write `frames/<video>/00000.png` and `masks/<video>/00000.png`; nothing is lost."""
    folder = Path(folder)
    for index, name in enumerate(videos.names):
        _write(videos.read(index), folder / "frames" / name, folder / "masks" / name, ".png")


def _write(clip: Clip, frames: Path, masks: Path, ending: str) -> None:
    for k, frame in enumerate(clip["video"]):
        write_frame(frames / f"{k:05d}{ending}", frame)
    if "segmentation" in clip:
        write_masks(masks, clip["segmentation"])


def _folders(folder: Path, split: str, resolution: str | None) -> tuple[Path, Path]:
    root = folder / "JPEGImages"
    if root.is_dir():
        there = sorted(path.name for path in root.iterdir() if path.is_dir())
        if resolution is None and there and picture_files(root / there[0]):
            return root, folder / _annotations(folder)
        chosen = resolution or (there[0] if len(there) == 1 else "480p")
        if chosen not in there:
            problem = f"has no resolution {chosen} (there are: {', '.join(there) or 'none'})"
            raise InputError(problem, file=root, field="resolution", remedy="name one that is there")
        return root / chosen, folder / _annotations(folder) / chosen
    base = next((folder / part for part in _names_of(split) if (folder / part / "frames").is_dir()), folder)
    if not (base / "frames").is_dir():
        raise InputError(
            f"holds no JPEGImages, no frames, and no {split}/frames",
            file=folder,
            field="split",
            remedy="put one folder of pictures per video into frames",
        )
    return base / "frames", base / "masks"


def _annotations(folder: Path) -> str:
    kinds = ("Annotations", "Annotations_unsupervised")
    return next((kind for kind in kinds if (folder / kind).is_dir()), kinds[0])


def _part(folder: Path, frames: Path, split: str) -> list[str]:
    """Names of the videos of the part, from the lists of DAVIS where there are any."""
    there = sorted(path.name for path in frames.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not there:
        raise InputError("holds no folders of pictures", file=frames, remedy="add one folder per video")
    lists = sorted((folder / "ImageSets").glob("*/*.txt"))
    if not frames.is_relative_to(folder / "JPEGImages") or not lists:
        return there
    years = sorted({path.parent for path in lists})
    year = folder / "ImageSets" / "2017" if folder / "ImageSets" / "2017" in years else years[-1]
    path = next((year / f"{part}.txt" for part in _names_of(split) if (year / f"{part}.txt").exists()), None)
    if path is None:
        known = ", ".join(sorted(file.stem for file in year.glob("*.txt")))
        problem = f"has no part {split} (there are: {known})"
        raise InputError(problem, file=year, field="split", remedy="choose a part that is there")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    absent = [name for name in names if name not in there]
    if absent:
        problem = f"names {absent[0]}, which is not in {frames} ({len(absent)} of {len(names)} are absent)"
        raise InputError(problem, file=path, remedy="download all videos of the part")
    return names


def _names_of(split: str) -> tuple[str, ...]:
    return (split, _SAME[split]) if split in _SAME else (split,)
