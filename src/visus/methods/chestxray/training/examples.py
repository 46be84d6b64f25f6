"""What training reads: radiographs with class numbers and, where somebody looked, densities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from visus.data.loader import Indices, as_indices
from visus.protocols import Batch, Source

FIELDS = ("image", "gaze", "has_gaze", "fixations")
READ_AT_ONCE = 32


class Examples:
    """Some items of a source with `label`, the number of the item's class; a source for the engine.

    Parameters
    ----------
    source : gives `image`, `gaze`, `has_gaze` and, if known, `fixations`.
    labels : (n,) class numbers of all items of the source.
    index : the items to use, in their order; None uses all.
    """

    def __init__(
        self, source: Source, labels: np.ndarray | Tensor, *, index: Sequence[int] | Tensor | None = None
    ) -> None:
        self.source, self.labels = source, torch.as_tensor(labels, dtype=torch.long)
        self.index = torch.arange(len(source)) if index is None else as_indices(index, len(source))

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, indices: Indices) -> Batch:
        """The fields that training needs, and nothing else of the items."""
        rows = self.index[as_indices(indices, len(self))]
        found = self.source.batch(rows.tolist())
        return {name: found[name] for name in FIELDS if name in found} | {"label": self.labels[rows]}

    def subset(self, index: Sequence[int] | Tensor) -> Examples:
        """Some items in the order of `index`."""
        return Examples(self.source, self.labels, index=self.index[as_indices(index, len(self))])

    def read_through(self) -> Bool[Tensor, " n"]:
        """Read every item once: what cannot be read is found before training. Says which items have gaze."""
        found = [
            self.batch(range(first, min(first + READ_AT_ONCE, len(self))))["has_gaze"]
            for first in range(0, len(self), READ_AT_ONCE)
        ]
        return torch.cat(found)

    @property
    def own_labels(self) -> Int64[Tensor, " n"]:
        """Class numbers of the items in use."""
        return self.labels[self.index]
