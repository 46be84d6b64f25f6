"""Frames with their segments drawn over them."""

from __future__ import annotations

import colorsys
import functools

import numpy as np
from jaxtyping import Float, UInt8

FILL = 0.45
"""Share of the color inside a segment."""
LEAST_SIDE = 240
"""Smaller frames are enlarged by whole factors before drawing, or numbers could not be read."""


@functools.cache
def color_of(number: int) -> tuple[int, int, int]:
    """A strong color for object 1, 2, ...: neighbors in number are far apart in hue.

    >>> color_of(1) != color_of(2)
    True
    """
    hue = (0.05 + (number - 1) * 0.381966) % 1.0  # the golden angle
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if number % 2 else 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def palette() -> UInt8[np.ndarray, "256 3"]:
    """Background black, then the objects' colors."""
    return np.array([(0, 0, 0), *(color_of(number) for number in range(1, 256))], dtype=np.uint8)


def overlay(
    frame: UInt8[np.ndarray, "3 h w"],
    ids: UInt8[np.ndarray, "h w"],
    boxes: Float[np.ndarray, "m 4"] | None = None,
) -> UInt8[np.ndarray, "3 y x"]:
    """The frame with segments tinted and outlined, and each object's number at its box's upper left corner.

    Frames smaller than `LEAST_SIDE` are enlarged; sides become even, as videos need.
    """
    factor = max(1, -(-LEAST_SIDE // min(ids.shape)))
    large = np.moveaxis(frame, 0, -1).repeat(factor, 0).repeat(factor, 1)
    ids = ids.repeat(factor, 0).repeat(factor, 1)
    colors = palette()[ids].astype(np.float32)
    inside = (ids > 0)[..., None]
    drawn = np.where(inside, (1 - FILL) * large + FILL * colors, large)
    drawn = np.where(outlines(ids)[..., None], colors, drawn).round().astype(np.uint8)
    if boxes is not None:
        drawn = _numbered(drawn, boxes)
    rows, columns = drawn.shape[0] % 2, drawn.shape[1] % 2
    drawn = np.pad(drawn, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return np.ascontiguousarray(np.moveaxis(drawn, -1, 0))


def outlines(ids: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Pixels of a segment that touch another id above, below, left or right."""
    wide = np.pad(ids, 1, mode="edge")
    middle = wide[1:-1, 1:-1]
    others = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    return (middle > 0) & np.logical_or.reduce([middle != other for other in others])


def _numbered(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=max(12, min(picture.shape[:2]) // 20))
    for number, (top, left, bottom, right) in enumerate(boxes.tolist(), 1):
        if bottom > top and right > left:
            corner = (left * picture.shape[1] + 2, top * picture.shape[0])
            draw.text(
                corner, str(number), fill=(255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0)
            )
    return np.asarray(canvas)
