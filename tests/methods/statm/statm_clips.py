"""Small clips with everything that is known of them, for tests."""

from __future__ import annotations

import torch

from visus.methods.statm.config import StatmConfig
from visus.methods.statm.training import Inputs, as_inputs

TINY = StatmConfig(size="tiny", image_size=(12, 12), max_instances=2, slots=3, batch_size=2)


def clip(b: int = 2, t: int = 3, h: int = 12, w: int = 12, seed: int = 0) -> dict:
    """Two rectangles that move to the right; the second one is absent from the first frame of item 0."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.zeros(b, t, h, w, dtype=torch.uint8)
    for frame in range(t):
        ids[:, frame, 1:4, frame : frame + 3] = 1
        ids[int(frame == 0) :, frame, 6:10, frame : frame + 4] = 2
    return {
        "video": torch.randint(0, 256, (b, t, 3, h, w), generator=random, dtype=torch.uint8),
        "segmentation": ids,
        "backward_flow": torch.randn(b, t, 2, h, w, generator=random),
        "depth": torch.rand(b, t, 1, h, w, generator=random),
        "name": [f"clip {i}" for i in range(b)],
    }


def read(batch: dict, hint: str = "boxes", size: tuple[int, int] = (12, 12), objects: int = 2) -> Inputs:
    """A batch as the network reads it."""
    return as_inputs(batch, size=size, hint=hint, objects=objects)
