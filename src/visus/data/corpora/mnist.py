"""MNIST and its relatives (Fashion-MNIST, KMNIST): idx files, packed or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from visus.data.formats.picture import present
from visus.data.image_table import ImageTable
from visus.errors import InputError
from visus.records import write_atomically

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIX = {"train": "train", "test": "t10k"}


def load_mnist(folder: str | Path, part: Literal["train", "test"] = "train") -> ImageTable:
    """`{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` as images (n, 1, h, w), target `label` (int).

    Raises
    ------
    InputError : a file is absent, cut off or no idx file, or there are more images than labels.
    """
    folder = Path(folder)
    if part not in _PREFIX:
        raise InputError(f"must be train or test, got {part}", field="part")
    images_file = _found(folder, f"{_PREFIX[part]}-images", "idx3-ubyte")
    labels_file = _found(folder, f"{_PREFIX[part]}-labels", "idx1-ubyte")
    images, labels = read_idx(images_file), read_idx(labels_file)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        problem = f"{images.shape} images do not go with {labels.shape} labels"
        raise InputError(problem, file=images_file, remedy="take both files from the same part")
    frame = pd.DataFrame({"label": labels.astype(np.int64)})
    return ImageTable(frame, images=images[:, None], target="label", file=folder)


def read_idx(path: str | Path) -> np.ndarray:
    """An idx file: two zero bytes, type, number of axes, axes as big-endian 32-bit integers, values."""
    path = present(path)
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            raise InputError("is cut off or damaged", file=path, remedy="download it again") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise InputError("is not an idx file", file=path, remedy="download it again")
    axes = content[3]
    if len(content) < 4 + 4 * axes:
        raise InputError("is cut off", file=path, remedy="download it again")
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    kind = np.dtype(TYPES[content[2]])
    wanted = math.prod(shape) * kind.itemsize
    if len(content) - 4 - 4 * axes != wanted:
        problem = f"holds {len(content) - 4 - 4 * axes} bytes of values where its head says {wanted}"
        raise InputError(problem, file=path, remedy="download it again")
    values = np.frombuffer(content, dtype=kind, offset=4 + 4 * axes).reshape(shape)
    return values.astype(kind.newbyteorder("="))


def write_idx(path: str | Path, values: np.ndarray) -> None:
    """Write an array as idx, packed when the name ends in .gz."""
    values = np.asarray(values)
    codes = {np.dtype(kind).newbyteorder("="): (code, kind) for code, kind in TYPES.items()}
    if values.dtype not in codes:
        raise InputError(f"{values.dtype} has no idx type", file=path, remedy="use uint8")
    code, kind = codes[values.dtype]
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    content = head + values.astype(kind).tobytes()
    write_atomically(Path(path), gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


def write_mnist(folder: str | Path, images: np.ndarray, labels: np.ndarray, *, part: str = "train") -> None:
    """Write uint8 images (n, h, w) and labels (n,) as the two packed files of a part."""
    start = Path(folder) / _PREFIX[part]
    write_idx(start.with_name(f"{start.name}-images-idx3-ubyte.gz"), np.asarray(images, dtype=np.uint8))
    write_idx(start.with_name(f"{start.name}-labels-idx1-ubyte.gz"), np.asarray(labels, dtype=np.uint8))


def _found(folder: Path, name: str, kind: str) -> Path:
    for joint in ("-", "."):
        for ending in (".gz", ""):
            path = folder / f"{name}{joint}{kind}{ending}"
            if path.exists():
                return path
    raise InputError(
        "does not exist", file=folder / f"{name}-{kind}.gz", remedy="give the folder that holds the idx files"
    )
