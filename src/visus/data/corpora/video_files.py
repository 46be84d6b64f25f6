"""One's own video files with optional boxes and masks.

A folder holds `<name>.mp4`, ... and may hold `boxes.csv` and `masks/<name>/00000.png`; parts are folders
`train`, `validation`, `test` with the same in them. One file may be given instead of a folder; its boxes are
looked for beside it.

`boxes.csv` is described in `visus.data.formats.box_table`. Objects may be told of in the first frame only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import torch

from visus.data.corpora.davis import mask_fields, object_count
from visus.data.formats.box_table import BoxTable, read_boxes, write_boxes
from visus.data.formats.frame_files import picture_files, write_masks
from visus.data.formats.video import VIDEO_FILES, VideoInfo, probe_video, read_video, write_video
from visus.data.frames import Size, chosen_fields, resized_clip
from visus.data.videos import Clip, Videos, frame_range
from visus.errors import InputError


class VideoFiles:
    """Video files as videos, with `times`; frames are as stored, also where their rate changes.

    With a table of boxes every video has `boxes`, zero where the table says nothing, and `num_instances`, the
    greatest object number; with masks also `segmentation` and `visibility`.

    Parameters
    ----------
    path : a video file or a folder of them.
    split : part to read, where there are parts.
    max_instances : rows of `boxes`; objects with a greater number are left out.
    size : (height, width) to resize to.
    fields : names to read; None reads all.
    boxes : a table of boxes elsewhere; None takes `boxes.csv` in the folder, if it is there.

    Raises
    ------
    InputError : no video, a part that is not there, a table with a row that cannot be right (names line and
        column), or (when read) a video that is cut off or damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: str = "train",
        max_instances: int = 10,
        size: Size | None = None,
        fields: Collection[str] | None = None,
        boxes: str | Path | None = None,
    ) -> None:
        if not 1 <= max_instances <= 254:
            raise InputError(f"must be 1 to 254, got {max_instances}", field="max_instances")
        path = Path(path)
        self.max_instances, self.size, self.fields = max_instances, size, fields
        self.folder = path.parent if path.is_file() else part_folder(path, split)
        self.paths = [path] if path.is_file() else video_paths(self.folder)
        if not self.paths:
            problem = f"holds no video files ({' '.join(VIDEO_FILES)})"
            raise InputError(problem, file=self.folder, remedy="give a video or a folder of videos")
        self.names = _names(self.paths)
        table = self.folder / "boxes.csv" if boxes is None else Path(boxes)
        self.boxes = read_boxes(table) if boxes is not None or table.exists() else None
        if self.boxes is not None:
            _check_videos(self.boxes, self.paths, alone=path.is_file())
        self._infos: dict[int, VideoInfo] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def info(self, index: int) -> VideoInfo:
        """Size, time stamps and rotation of a video."""
        if index not in self._infos:
            self._infos[index] = probe_video(self.paths[index])
        return self._infos[index]

    def num_frames(self, index: int) -> int:
        return self.info(index).frames

    def read(self, index: int, start: int = 0, stop: int | None = None) -> Clip:
        info, name, most = self.info(index), self.names[index], self.max_instances
        start, stop = frame_range(info.frames, start, stop, name=name)
        video, times = read_video(self.paths[index], start, stop, info=info)
        clip: Clip = {"video": torch.from_numpy(video), "times": torch.from_numpy(times).float()}
        masks = self._masks(index)
        if any(masks):
            clip |= mask_fields(masks, start, stop, (info.height, info.width), most)
            clip["num_instances"] = object_count(masks, most)
        if self.boxes is not None:
            known, side = (
                (self.names[index], self.paths[index].stem, self.paths[index].name),
                (info.height, info.width),
            )
            boxes = self.boxes.dense(known, info.frames, side, most)
            clip["boxes"] = boxes[start:stop]
            if not any(masks):
                told = boxes.any(dim=2).any(dim=0).nonzero()
                clip["num_instances"] = int(told.max()) + 1 if len(told) else 0
        clip = resized_clip({**clip, "name": name}, self.size)
        return chosen_fields(clip, self.fields, file=self.paths[index], where="fields")

    def fingerprint(self) -> str:
        """Hash of the files' names and sizes, the table, and the way of reading."""
        files = [(path.name, path.stat().st_size) for path in self.paths]
        table = None if self.boxes is None else self.boxes.file.read_bytes()
        masks = [len(picture_files(self.folder / "masks" / name)) for name in self.names]
        fields = None if self.fields is None else sorted(self.fields)
        told = repr((files, table, masks, self.max_instances, self.size, fields))
        return hashlib.sha256(told.encode()).hexdigest()

    def _masks(self, index: int) -> list[Path | None]:
        """The mask of each frame, by number; None where there is none."""
        folder, frames = self.folder / "masks" / self.names[index], self.num_frames(index)
        masks: list[Path | None] = [None] * frames
        for path in picture_files(folder):
            number = path.stem.rpartition("_")[2]
            if not number.isdigit() or int(number) >= frames:
                problem = f"is named after no frame of 0..{frames - 1}"
                raise InputError(problem, file=path, remedy="name masks 00000.png, 00001.png, ...")
            masks[int(number)] = path
        return masks


def video_paths(folder: Path) -> list[Path]:
    """The video files of a folder in the order of their names."""
    return sorted(
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.lower().endswith(VIDEO_FILES) and not path.name.startswith(".")
    )


def part_folder(folder: Path, split: str) -> Path:
    """The folder of a part if there is one, else the folder itself.

    Raises
    ------
    InputError : there are only other parts.
    """
    if (folder / split).is_dir():
        return folder / split
    parts = [part for part in ("train", "validation", "val", "test") if video_paths(folder / part)]
    if parts and not video_paths(folder):
        problem = f"has no part {split} (there are: {', '.join(parts)})"
        raise InputError(problem, file=folder, field="split", remedy="choose a part that is there")
    return folder


def write_video_files(
    folder: str | Path,
    videos: Videos,
    *,
    rate_hz: float = 12,
    lossless: bool = False,
    ending: str = ".mp4",
    first_boxes: bool = False,
) -> None:
    """Write `<name>.mp4`, `boxes.csv` (with `first_boxes` those of the first frame only) and `masks/<name>`."""
    folder, boxes = Path(folder), {}
    for index, name in enumerate(videos.names):
        clip = videos.read(index)
        write_video(folder / f"{name}{ending}", clip["video"], rate_hz=rate_hz, lossless=lossless)
        if "segmentation" in clip:
            write_masks(folder / "masks" / name, clip["segmentation"])
        if "boxes" in clip:
            boxes[name] = clip["boxes"][:1] if first_boxes else clip["boxes"]
    if any(bool(values.any()) for values in boxes.values()):
        write_boxes(folder / "boxes.csv", boxes)


def _names(paths: list[Path]) -> list[str]:
    """Names without endings, with them where two files would share one."""
    stems = [path.stem for path in paths]
    return [path.name if stems.count(path.stem) > 1 else path.stem for path in paths]


def _check_videos(boxes: BoxTable, paths: list[Path], *, alone: bool) -> None:
    """Refuse a table that leaves open which video it means; beside one file it may tell of others too."""
    if boxes.video is None:
        if len(paths) > 1:
            problem, remedy = "is absent, but there are several videos", "add it: the names of the files"
            raise InputError(problem, file=boxes.file, field="column video", remedy=remedy)
        return
    known = {name for path in paths for name in (path.name, path.stem)}
    unknown = [name for name in boxes.video if name not in known]
    if unknown and not alone:
        problem = f"{unknown[0]} is no video of the folder"
        where = boxes.line_of_video(unknown[0])
        raise InputError(problem, file=boxes.file, field=where, remedy="correct the name")
