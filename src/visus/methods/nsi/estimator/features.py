"""Features of a frozen network in place of pictures, computed once and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visus.data.loader import Indices, as_indices, fingerprint
from visus.errors import InputError
from visus.methods.nsi.model.backbones import FrozenBackbone
from visus.protocols import Batch, Source

READ_AT_ONCE = 32
NAMES = ("segmentation", "depth")
"""Fields that are cut to the square that the network sees, as the pictures are."""


class FrozenFeatures:
    """A source whose pictures have also `features` (b, n, c) of a frozen vision transformer.

    Parameters
    ----------
    source : with `image`.
    backbone : folder of the network, as transformers saves it, or a network that was opened before.
    size : side of the square the network sees; by default the one it was trained at.
    cache : folder for the features, float16, one file per (pictures, network); None computes them at every
        reading. A file is written whole or not at all, and read without loading all of it.
    device : where the network runs.

    Raises
    ------
    InputError : the folder holds no such network.
    MissingExtra : transformers is not installed.
    """

    def __init__(
        self,
        source: Source,
        backbone: str | Path | FrozenBackbone,
        *,
        size: int | None = None,
        cache: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        made = isinstance(backbone, FrozenBackbone)
        self.network = backbone if made else FrozenBackbone(backbone, size=size)
        self.network.to(device)
        self.source, self.device = source, torch.device(device)
        self.cells: tuple[int, int] = self.network.cells
        self.file = None if cache is None else Path(cache) / f"features-{self.fingerprint()[:24]}.npy"
        self._kept: Any = None

    @property
    def paths(self) -> Any:
        """The files of the pictures, where the source has some."""
        return getattr(self.source, "paths", None)

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Indices) -> Batch:
        index = as_indices(indices, len(self))
        batch = dict(self.source.batch(index.tolist()))
        for name in NAMES:
            if name in batch:
                batch[name] = _square(batch[name])
        if self.file is None:
            batch["features"] = self._computed(batch["image"])
            return batch
        if self._kept is None:
            self._kept = self._whole_file(self.file)
        batch["features"] = torch.from_numpy(np.array(self._kept[index.numpy()])).float()
        return batch

    def fingerprint(self) -> str:
        """Hash of the pictures' fingerprint and the network's."""
        return hashlib.sha256((fingerprint(self.source) + self.network.fingerprint()).encode()).hexdigest()

    def _computed(self, images: Tensor) -> Tensor:
        images = images.float().expand(-1, 3, -1, -1)
        return self.network(images.to(self.device)).float().cpu()

    def _whole_file(self, file: Path) -> np.ndarray:
        """The cached features, computed first where they are not there yet."""
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f".{file.name}.partly")
            shape = (len(self), self.cells[0] * self.cells[1], self.network.features)
            try:
                made = np.lib.format.open_memmap(draft, mode="w+", dtype=np.float16, shape=shape)
                for start in range(0, len(self), READ_AT_ONCE):
                    rows = range(start, min(len(self), start + READ_AT_ONCE))
                    made[rows.start : rows.stop] = self._computed(self.source.batch(rows)["image"]).numpy()
                made.flush()
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as error:
            remedy = "delete the file; it is computed again"
            raise InputError(f"cannot be read ({error})", file=file, remedy=remedy) from None


def _square(values: Tensor) -> Tensor:
    """The central square of maps (..., h, w)."""
    height, width = values.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return values[..., top : top + side, left : left + side]
