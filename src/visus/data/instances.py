"""What a map of object numbers says of the objects: boxes, visible pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64, Integer


def boxes_and_visibility(
    segmentation: Integer[np.ndarray, "*batch h w"], most: int
) -> tuple[Float32[np.ndarray, "*batch m 4"], Int64[np.ndarray, "*batch m"]]:
    """The tightest boxes [ymin, xmin, ymax, xmax] in 0..1 and the pixels of objects 1..`most`.

    Object i + 1 of the map stands at place i. An object without pixels has the box 0 0 0 0.

    >>> boxes, visible = boxes_and_visibility(np.array([[0, 2], [0, 2]]), 2)
    >>> boxes[1].tolist(), visible.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0, 2])
    """
    height, width = segmentation.shape[-2:]
    boxes = np.zeros((*segmentation.shape[:-2], most, 4), np.float32)
    visible = np.zeros((*segmentation.shape[:-2], most), np.int64)
    for i in range(most):  # one object at a time: a long clip of many objects would not fit at once
        inside = segmentation == i + 1
        rows, columns = inside.any(axis=-1), inside.any(axis=-2)
        visible[..., i] = inside.sum(axis=(-2, -1))
        low_y, low_x = rows.argmax(axis=-1), columns.argmax(axis=-1)
        high_y = height - rows[..., ::-1].argmax(axis=-1)
        high_x = width - columns[..., ::-1].argmax(axis=-1)
        box = np.stack([low_y / height, low_x / width, high_y / height, high_x / width], axis=-1)
        boxes[..., i, :] = np.where(visible[..., i, None] > 0, box, 0)
    return boxes, visible
