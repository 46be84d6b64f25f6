"""What the commands read and write: videos in any layout, hints about a first frame, folders that appear whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visus.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from visus.data.corpora.video_files import VideoFiles
    from visus.data.videos import Videos
    from visus.methods.statm.estimator import Segments, StatmTracker

COLUMNS = ("video", "frame", "object", "ymin", "xmin", "ymax", "xmax", "pixels")
"""Of the tables of boxes that are written."""


def open_videos(
    data: Path, *, part: str, max_instances: int, boxes: Path | None = None, skip_damaged: bool = False
) -> Videos:
    """The videos in a folder or file, told apart by what is there; `boxes` is a table for video files."""
    if boxes is not None:
        from visus.data.corpora.video_files import VideoFiles

        _there(boxes, "--boxes")
        _there(data, "data")
        return VideoFiles(data, split=part, max_instances=max_instances, boxes=boxes)
    from visus.data.corpora.videos import read_videos

    corrupt = "skip" if skip_damaged else "refuse"
    return read_videos(data, split=part, max_instances=max_instances, corrupt=corrupt)


def open_video(video: Path, boxes: Path | None, *, objects: int) -> VideoFiles:
    """One video file; its boxes are in `boxes`, or in boxes.csv beside it.

    Raises
    ------
    InputError : there is no such file, or it is a folder.
    """
    from visus.data.corpora.video_files import VideoFiles

    _there(video, "video")
    if video.is_dir():
        raise InputError("is a folder", file=video, remedy="give one video file")
    if boxes is not None:
        _there(boxes, "--boxes")
    return VideoFiles(video, max_instances=objects, boxes=boxes)


def known_of(
    made: StatmTracker, videos: VideoFiles, *, boxes: Path | None, mask: Path | None
) -> dict[str, Any]:
    """What the slots of a model start from, for the first frame of one video; says what of it is not used.

    Raises
    ------
    InputError : it is not given, or does not belong to the first frame; names the file and says what to give.
    """
    if boxes is not None and mask is not None:
        raise InputError("boxes and a mask were given", field="--boxes, --mask", remedy="give one of the two")
    if made.init_ == "none":
        if boxes is not None or mask is not None:
            print(f"note: {boxes or mask} is not used: the slots of this model start from noise")
        return {}
    if mask is not None:
        return {"segmentation": _first_mask(mask, videos, most=made.settings.max_instances)}
    if made.init_ == "masks":
        raise InputError(
            "no mask of the first frame was given", file=videos.paths[0], remedy="give --mask FIRST.png"
        )
    return {"boxes": _first_boxes(videos, boxes, most=made.settings.max_instances)}


def asked_for(ids: Tensor, known: Mapping[str, Any]) -> Tensor:
    """A video's ids (t, h, w) with the objects alone that are known in its first frame: nobody follows the others."""
    import torch

    if "boxes" in known:
        wanted = torch.from_numpy(known["boxes"]).any(-1).nonzero()[:, 0] + 1
    elif "segmentation" in known:
        wanted = torch.from_numpy(known["segmentation"]).unique()
    else:
        return ids
    return ids.where(torch.isin(ids, wanted), 0)


def _first_mask(mask: Path, videos: VideoFiles, *, most: int) -> np.ndarray:
    from visus.data.formats.images import read_labels

    ids, info = read_labels(mask), videos.info(0)
    if ids.shape != (info.height, info.width):
        raise InputError(
            f"is {ids.shape[0]}x{ids.shape[1]}, the video's frames are {info.height}x{info.width}",
            file=mask,
            remedy="give a mask of the first frame, of its size",
        )
    numbers = sorted({int(number) for number in ids.flat if number > 0})
    if not numbers or numbers[0] > most:
        told = "shows no object" if not numbers else f"shows no object up to number {most}"
        raise InputError(told, file=mask, remedy=f"give the objects the values 1 to {most}, the background 0")
    _say_left_out([number for number in numbers if number > most], most)
    return ids


def _first_boxes(videos: VideoFiles, boxes: Path | None, *, most: int) -> np.ndarray:
    from visus.methods.statm.training import check_boxes

    video, table = videos.paths[0], videos.boxes
    if table is None:
        raise InputError(
            "no boxes of the first frame were given",
            file=video,
            remedy="give --boxes FIRST.csv with the columns object, frame (0), ymin, xmin, ymax, xmax",
        )
    file = boxes or videos.folder / "boxes.csv"
    mine = [name in (video.name, video.stem) for name in table.video or [video.name] * len(table.frame)]
    if not any(mine):
        assert table.video is not None
        raise InputError(
            f"tells of other videos ({table.video[0]}, ...), not of {video.stem}",
            file=file,
            field="column video",
            remedy=f"write {video.stem} there, or leave the column out",
        )
    first = [number for number, frame, ours in zip(table.object, table.frame, mine) if ours and frame == 0]
    if not first:
        raise InputError(
            f"has no box in frame 0 of {video.name}",
            file=file,
            field="column frame",
            remedy="give the boxes of the first frame, frame 0",
        )
    beyond = sorted({int(number) for number in first if number > most})
    if len(beyond) == len(first):
        raise InputError(
            f"has no object up to number {most} in frame 0, the most that this model was made for",
            file=file,
            field="column object",
            remedy="number the objects from 1, or fit with --set max_instances=N",
        )
    _say_left_out(beyond, most)
    clip = videos.read(0, 0, 1)
    if "segmentation" in clip:  # masks beside the video show whether rows and columns were exchanged
        ids = asked_for(clip["segmentation"], {"boxes": clip["boxes"][0].numpy()})
        check_boxes(clip["boxes"], ids, names=[videos.names[0]])
    return clip["boxes"][0].numpy()


def _say_left_out(numbers: list[int], most: int) -> None:
    if numbers:
        listed = ", ".join(str(number) for number in numbers)
        print(f"note: object {listed} is left out: this model follows objects 1 to {most} (max_instances)")


def rows_of(name: str, first: int, found: Segments) -> list[tuple[Any, ...]]:
    """Rows of a table of boxes for a piece of one video that begins at frame `first`."""
    rows = []
    ids, boxes = found.segmentation[0].cpu(), found.boxes[0].cpu()
    for frame in range(len(ids)):
        pixels = ids[frame].flatten().bincount(minlength=boxes.shape[1] + 1)
        for i, box in enumerate(boxes[frame].tolist()):
            if pixels[i + 1]:
                rows.append(
                    (name, first + frame, i + 1, *(round(side, 6) for side in box), int(pixels[i + 1]))
                )
    return rows


def write_rows(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """Write such rows; the table can be read as boxes of video files."""
    import pandas as pd

    from visus.data.formats.table import write_table

    write_table(path, pd.DataFrame(rows, columns=pd.Index(COLUMNS)))


@contextmanager
def whole_folder(out: Path, *, field: str = "--out") -> Iterator[Path]:
    """A folder to write into that takes the place of `out` when the block ends without an error.

    Raises
    ------
    InputError : `out` is a file, or a folder with something in it.
    """
    if out.exists() and not out.is_dir():
        raise InputError("is a file", file=out, field=field, remedy="name a folder")
    if out.is_dir() and any(out.iterdir()):
        raise InputError("is not empty", file=out, field=field, remedy="name a new folder, or empty it")
    made = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except (FileExistsError, NotADirectoryError):
        raise InputError("lies below a file", file=out, field=field, remedy="name a folder") from None
    except PermissionError:
        problem = "may not be written (permission denied)"
        raise InputError(problem, file=out, field=field, remedy="name a folder of yours") from None
    try:
        yield draft
        draft.chmod(0o755)
        draft.replace(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            folder.rmdir()
        raise


def write_frame_ids(folder: Path, first: int, ids: np.ndarray) -> None:
    """Write segmentations as indexed PNG files, named by frame."""
    from visus.data.formats.frame_files import write_mask

    for number, frame in enumerate(ids, first):
        write_mask(folder / f"{number:05d}.png", frame)


def _there(path: Path, field: str) -> None:
    if not path.exists():
        raise InputError("does not exist", file=path, field=field, remedy="check the path")
