"""CIFAR-10 and CIFAR-100 in both published layouts, without executing what a pickle asks for.

The Python version of the sets is pickled and goes through `read_plain_pickle`, which refuses everything but
plain values and numeric arrays. The binary version of the sets holds the same pictures without any of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from visus.data.formats.picture import present
from visus.data.formats.plain_pickle import as_text, read_plain_pickle
from visus.data.formats.text import read_text
from visus.data.image_table import ImageTable
from visus.errors import InputError
from visus.records import write_atomically

PIXELS = 3 * 32 * 32
BINARY = "the binary version of the set can be read as well"


def load_cifar(
    folder: str | Path,
    part: Literal["train", "test"] = "train",
    *,
    level: Literal["fine", "coarse"] = "fine",
) -> ImageTable:
    """Images (n, 3, 32, 32) with the target `label` (class name), in the order of the files.

    `folder` is one of `cifar-100-python`, `cifar-100-binary`, `cifar-10-batches-py`, `cifar-10-batches-bin`,
    known by its content.

    Parameters
    ----------
    level : the 100 classes or the 20 coarse ones of CIFAR-100; no meaning for CIFAR-10.

    Raises
    ------
    InputError : the layout is unknown, a file is cut off or asks for foreign code, or pictures and labels
        differ.
    """
    folder = Path(folder)
    if part not in ("train", "test") or level not in ("fine", "coarse"):
        raise InputError(f"unknown part or level: {part}, {level}", field="part, level")
    if (folder / "meta").exists():
        content = read_plain_pickle(folder / part, remedy=BINARY)
        names = _names(
            read_plain_pickle(folder / "meta", remedy=BINARY), f"{level}_label_names", folder / "meta"
        )
        images, numbers = _pictures(content, f"{level}_labels", folder / part)
    elif (folder / "batches.meta").exists():
        meta = folder / "batches.meta"
        names = _names(read_plain_pickle(meta, remedy=BINARY), "label_names", meta)
        files = _batches(folder, part, "")
        parts = [_pictures(read_plain_pickle(file, remedy=BINARY), "labels", file) for file in files]
        images, numbers = _joined(parts)
    elif (folder / f"{level}_label_names.txt").exists():
        names = read_text(folder / f"{level}_label_names.txt").split()
        images, numbers = _binary(folder / f"{part}.bin", labels=2, take=int(level == "fine"))
    elif (folder / "batches.meta.txt").exists():
        names = read_text(folder / "batches.meta.txt").split()
        images, numbers = _joined(
            [_binary(file, labels=1, take=0) for file in _batches(folder, part, ".bin")]
        )
    else:
        raise InputError(
            "is no CIFAR folder", file=folder, remedy="give the unpacked folder, such as cifar-100-python"
        )
    if numbers.size and (numbers.min() < 0 or numbers.max() >= len(names)):
        raise InputError(f"label {int(numbers.max())} with {len(names)} class names", file=folder)
    frame = pd.DataFrame({"label": [names[number] for number in numbers.tolist()]})
    return ImageTable(frame, images=images.reshape(-1, 3, 32, 32), target="label", file=folder)


def write_cifar100(
    folder: str | Path,
    images: np.ndarray,
    labels: Sequence[int],
    names: Sequence[str],
    *,
    part: str = "train",
) -> None:
    """Write uint8 images (n, 3, 32, 32) in the binary layout of CIFAR-100, every coarse label 0."""
    rows = np.concatenate(
        [
            np.zeros((len(images), 1), np.uint8),
            np.asarray(labels, dtype=np.uint8)[:, None],
            np.asarray(images, dtype=np.uint8).reshape(-1, PIXELS),
        ],
        axis=1,
    )
    write_atomically(Path(folder) / f"{part}.bin", rows.tobytes())
    write_atomically(Path(folder) / "fine_label_names.txt", "\n".join(names) + "\n")
    write_atomically(Path(folder) / "coarse_label_names.txt", "all\n")


def _names(content: dict[str, Any], key: str, file: Path) -> list[str]:
    if not isinstance(content.get(key), list):
        raise InputError(f"has no list {key}", file=file, remedy="unpack the archive again")
    return [as_text(name) for name in content[key]]


def _pictures(content: dict[str, Any], key: str, file: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = content.get("data"), content.get(key)
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.ndim != 2
        or images.shape[1] != PIXELS
    ):
        raise InputError(
            f"holds no pictures of {PIXELS} bytes", file=file, field="data", remedy="unpack it again"
        )
    if not isinstance(labels, list) or len(labels) != len(images):
        raise InputError(
            f"holds no list of {len(images)} labels", file=file, field=key, remedy="unpack it again"
        )
    return images, np.asarray(labels, dtype=np.int64)


def _batches(folder: Path, part: str, ending: str) -> list[Path]:
    if part == "test":
        return [folder / f"test_batch{ending}"]
    files = [folder / f"data_batch_{i}{ending}" for i in range(1, 6)]
    return [file for file in files if file.exists()] or files[:1]


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def _binary(file: Path, *, labels: int, take: int) -> tuple[np.ndarray, np.ndarray]:
    content = np.fromfile(present(file), dtype=np.uint8)
    if len(content) % (labels + PIXELS):
        problem = f"{len(content)} bytes are not a multiple of {labels + PIXELS}"
        raise InputError(problem, file=file, remedy="unpack the archive again")
    rows = content.reshape(-1, labels + PIXELS)
    return rows[:, labels:], rows[:, take].astype(np.int64)
