"""Small videos with every field, to be written in the layouts and read back."""

import numpy as np
import torch

from visus.data.frames import boxes_of, visible_pixels
from visus.data.videos import cut

SHAPES = ("cube", "sphere", "star")


class Made:
    """`count` videos of moving rectangles that leave and enter the picture; `most` rows, `objects` used."""

    def __init__(self, count=3, *, frames=5, height=12, width=16, most=4, objects=3, seed=0):
        rng = np.random.default_rng(seed)
        lengths = [frames] * count if isinstance(frames, int) else frames
        self.names = [f"v{k}" for k in range(count)]
        self.clips = [
            made_clip(rng, name, length, height, width, most, objects)
            for name, length in zip(self.names, lengths)
        ]

    def __len__(self):
        return len(self.clips)

    def num_frames(self, index):
        return len(self.clips[index]["video"])

    def read(self, index, start=0, stop=None):
        return cut(self.clips[index], start, stop)


def made_clip(rng, name, frames, height, width, most, objects):
    segmentation = np.zeros((frames, height, width), np.uint8)
    for i in range(objects):
        y, x = rng.integers(0, height - 4), rng.integers(0, width - 4)
        for t in range(frames):
            if (t * i) % 3 != 2:  # all but the first are away now and then
                segmentation[t, y : y + 4, max(x - t, 0) : max(x - t, 0) + 4] = i + 1
    masks = torch.from_numpy(segmentation)
    rows = lambda *shape: torch.from_numpy(
        np.where(np.arange(most)[:, None] < objects, rng.normal(size=(frames, most, *shape)), 0).astype(
            np.float32
        )
    )
    pictures = lambda channels: torch.from_numpy(
        rng.normal(size=(frames, channels, height, width)).astype(np.float32)
    )
    return {
        "video": torch.from_numpy(rng.integers(0, 256, (frames, 3, height, width), dtype=np.uint8)),
        "segmentation": masks,
        "backward_flow": 3 * pictures(2),
        "forward_flow": 3 * pictures(2),
        "depth": 5 + pictures(1).abs(),
        "boxes": boxes_of(masks, most),
        "visibility": visible_pixels(masks, most),
        "positions": rows(3),
        "velocities": rows(3),
        "image_positions": rows(2),
        "num_instances": objects,
        "objects": [
            {
                "shape": SHAPES[i % 3],
                "size": "small",
                "color": "red",
                "material": "rubber",
                "scale": 0.5 + i,
                "rgb": (1.0, 0.5, 0.25),
                "dynamic": "yes" if i else "no",
            }
            for i in range(objects)
        ],
        "collisions": [
            {
                "frame": t,
                "instances": (0, -1) if t % 2 else (1, 0),
                "force": 1.5 * t,
                "position": (1.0, 2.0, float(t)),
                "image_position": (0.5, 0.25),
                "contact_normal": (0.0, 0.0, 1.0),
            }
            for t in range(1, frames)
        ],
        "name": name,
    }


def assert_same(given, again, *, fields, quanta=("backward_flow", "forward_flow", "depth")):
    """Equal fields; those of `quanta` within one level of 16 bits."""
    for field in fields:
        if field in quanta:
            values = given["whole"][field] if "whole" in given else given[field]
            quantum = float(values.max() - values.min()) / 65535
            assert (given[field] - again[field]).abs().max() <= quantum, field
        elif isinstance(given[field], torch.Tensor):
            assert again[field].dtype == given[field].dtype, field
            assert torch.equal(given[field], again[field]), field
        else:
            assert given[field] == again[field], field
