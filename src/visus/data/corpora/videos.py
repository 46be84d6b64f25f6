"""Videos in whatever layout is there: MOVi, Kubric, shards, DAVIS, or one's own video files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from visus.data.corpora.davis import Davis, is_davis
from visus.data.corpora.kubric import Kubric, scene_folders
from visus.data.corpora.movi import Movi, is_movi
from visus.data.corpora.video_files import VideoFiles, video_paths
from visus.data.corpora.video_shards import VideoShards
from visus.data.formats.tfrecord import Corrupt
from visus.data.formats.video import VIDEO_FILES
from visus.data.frames import as_size
from visus.data.videos import Remembered, Videos
from visus.errors import InputError

_LAYOUTS = (
    "MOVi: <name>-<part>.tfrecord-00000-of-00001",
    "Kubric: <scene>/rgba_00000.png and metadata.json",
    "shards: *.tar with <key>.video.npy",
    "DAVIS: JPEGImages/480p/<video>/*.jpg, Annotations/480p/<video>/*.png",
    "pictures: frames/<video>/*.png, masks/<video>/*.png",
    f"video files: {' '.join('*' + ending for ending in VIDEO_FILES[:5])}, ..., boxes.csv",
)


def read_videos(
    path: str | Path,
    *,
    split: str = "train",
    max_instances: int = 10,
    size: int | tuple[int, int] | None = None,
    fields: Collection[str] | None = None,
    corrupt: Corrupt = "refuse",
    remember_bytes: int = 1 << 28,
) -> Videos:
    """Videos with what is known of them, told apart by what `path` holds.

    - MOVi-A to E: a folder of TFRecord shards, or a folder above exactly one such folder;
    - Kubric: a scene folder or a folder of them;
    - a tar shard or a folder of shards (videosaur, slotcontrast);
    - DAVIS, YouTube-VOS, or `frames/<video>` with `masks/<video>`;
    - a video file or a folder of them, with optional `boxes.csv` and `masks/<video>`.

    Data without parts are read whole, whatever `split` says.

    Parameters
    ----------
    max_instances : rows of the fields by object; ids above it become background.
    size : (height, width), or one side, to resize to; see `visus.data.frames.resized_clip`.
    fields : names to read; None reads all there are. Naming them saves decoding the others.
    corrupt : `refuse` or `skip` records of MOVi and samples of shards that are damaged (`skipped` names them).
    remember_bytes : memory for what was read last; 0 reads anew each time.

    Raises
    ------
    InputError : nothing there that can be read (lists what was looked for), a part that is not there, or
        damaged data.
    """
    path, sides = Path(path), as_size(size)
    if max_instances < 1 or max_instances > 254:
        raise InputError(f"must be 1 to 254, got {max_instances}", field="max_instances")
    if corrupt not in ("refuse", "skip"):
        raise InputError(f"must be refuse or skip, got {corrupt}", field="corrupt")
    if not path.exists():
        raise InputError("does not exist", file=path, remedy="check the path")
    videos = _found(path, split, corrupt, {"max_instances": max_instances, "size": sides, "fields": fields})
    return Remembered(videos, remember_bytes) if remember_bytes > 0 else videos


def _found(path: Path, split: str, corrupt: Corrupt, common: dict) -> Videos:
    if path.is_file():
        if path.name.lower().endswith(VIDEO_FILES):
            return VideoFiles(path, **common)
        if path.suffix.lower() == ".tar":
            return VideoShards(path, corrupt=corrupt, **common)
        raise _unknown(path, "is no video file and no .tar shard")
    movi = _movi_folder(path)
    if movi is not None:
        return Movi(movi, split=split, corrupt=corrupt, **common)
    for folder in (path, path / split):
        if scene_folders(folder):
            return Kubric(folder, **common)
    if any(path.glob("*.tar")):
        return VideoShards(path, split=split, corrupt=corrupt, **common)
    if is_davis(path):
        return Davis(path, split=split, **common)
    if video_paths(path) or any(video_paths(folder) for folder in path.iterdir() if folder.is_dir()):
        return VideoFiles(path, split=split, **common)
    raise _unknown(path, "holds no videos in a known layout")


def _movi_folder(path: Path) -> Path | None:
    """The folder with the shards: the path, or the only one up to three levels below it."""
    if is_movi(path):
        return path
    below = [path.glob("/".join("*" * depth) + "/*.tfrecord-*-of-*") for depth in (1, 2, 3)]
    found = sorted({file.parent for files in below for file in files if is_movi(file.parent)})
    if len(found) > 1:
        listed = ", ".join(str(folder.relative_to(path)) for folder in found)
        raise InputError(f"holds several sets: {listed}", file=path, remedy="give one of these folders")
    return found[0] if found else None


def _unknown(path: Path, problem: str) -> InputError:
    return InputError(problem, file=path, remedy="looked for: " + "; ".join(_LAYOUTS))
