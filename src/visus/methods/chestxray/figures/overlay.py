"""Radiographs with a map laid over them as color: predicted gaze, recorded gaze, Grad-CAM."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from visus.errors import InputError

ANCHORS = ((60, 20, 110), (150, 30, 120), (213, 94, 0), (240, 170, 40), (255, 245, 170))
"""Colors from little to much, dark to bright, so that they can be told apart without color vision, too."""
STRENGTH = 0.72
"""Share of the color where the map is highest."""
LEAST_SIDE, MOST_SIDE = 320, 1024
"""Pictures are drawn with their longer side between these, in pixels."""
HALF = 0.5


def overlay(
    image: Float[np.ndarray, "h w"],
    map: Float[np.ndarray, "y x"] | None,
    *,
    words: str = "",
    line: bool = True,
    most: int = MOST_SIDE,
) -> UInt8[np.ndarray, "a b 3"]:
    """The radiograph in gray with the map as a color layer and a legend below.

    The color stands for the map relative to its own maximum. The white line surrounds the smallest region that
    holds half of the map.

    Parameters
    ----------
    image : 0..1, bright for dense.
    map : of the same field of view at any resolution, not negative; None or all zero draws the radiograph alone.
    words : what the color stands for, for the legend; no legend where empty, no color bar without a map.
    line : draw the line around half of the map.
    most : longest side of the picture in pixels.

    Raises
    ------
    visus.errors.InputError : not pictures, or values that are not finite.
    """
    for name, values in (("image", image), ("map", map)):
        if values is not None and (values.ndim != 2 or not values.size or not np.isfinite(values).all()):
            raise InputError(f"has shape {values.shape} or is not finite", field=name, remedy="give (h, w)")
    size = drawn_size(image.shape, most=most)
    gray = _resized(np.clip(image, 0, 1), size)
    picture = np.repeat(255 * gray[..., None], 3, axis=2)
    peak = 0.0 if map is None else float(map.max())
    drawn = peak > 0
    if map is not None and drawn:
        shown = np.maximum(_resized(map / peak, size), 0)
        share = STRENGTH * np.clip(shown, 0, 1)[..., None] ** 0.7
        picture = (1 - share) * picture + share * colored(shown)
        if line:
            white, black = _edges(region(shown))
            picture[black], picture[white] = 0, 255
    made = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    if not words:
        return made
    if map is not None and not drawn:
        words += ": zero everywhere"
    return np.concatenate([made, legend(size[1], words, line=line and drawn, bar=drawn)])


def colored(values: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s 3"]:
    """Colors 0..255 of values 0..1.

    >>> colored(np.array([0.0, 1.0])).tolist()
    [[60.0, 20.0, 110.0], [255.0, 245.0, 170.0]]
    """
    places = np.linspace(0, 1, len(ANCHORS))
    table = np.array(ANCHORS, dtype=np.float64)
    return np.stack([np.interp(values, places, table[:, channel]) for channel in range(3)], axis=-1)


def region(map: Float[np.ndarray, "h w"], *, share: float = HALF) -> Bool[np.ndarray, "h w"]:
    """The smallest set of pixels that holds `share` of the map's sum.

    >>> region(np.array([[3.0, 1.0], [1.0, 1.0]])).tolist()
    [[True, False], [False, False]]
    """
    order = np.sort(map, axis=None)[::-1]
    least = order[min(int(np.searchsorted(np.cumsum(order), share * order.sum())), order.size - 1)]
    return map >= least


def legend(width: int, words: str, *, line: bool = True, bar: bool = True) -> UInt8[np.ndarray, "a w 3"]:
    """A strip that explains the colors: what they measure, and a bar from less to more."""
    from PIL import Image, ImageDraw, ImageFont

    size = max(11, min(18, width // 26))
    font = ImageFont.load_default(size=size)
    said = f"{words} (white line: around half of it)" if line else words
    lines = _wrapped(said, font, width - size)
    height = round(size * (1.5 * (len(lines) + bar) + 0.6))
    strip = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(strip)
    for place, text in enumerate(lines):
        pen.text((size // 2, round(size * (0.3 + 1.5 * place))), text, fill=(27, 31, 36), font=font)
    if not bar:
        return np.asarray(strip)
    top = round(size * (0.4 + 1.5 * len(lines)))
    left, right = (pen.textlength(word, font=font) for word in ("less ", " more"))
    start, end = round(size / 2 + left), round(width - size / 2 - right)
    pen.text((size // 2, top), "less", fill=(27, 31, 36), font=font)
    pen.text((end + right - pen.textlength("more", font=font), top), "more", fill=(27, 31, 36), font=font)
    made = np.asarray(strip).copy()
    if end > start:
        shades = np.rint(colored(np.linspace(0, 1, end - start))).astype(np.uint8)
        made[top + size // 4 : top + size + size // 4, start:end] = shades
    return made


def png(picture: UInt8[np.ndarray, "h w *rgb"]) -> bytes:
    """The picture as a PNG file that holds nothing but its pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=False)
    return buffer.getvalue()


def drawn_size(shape: tuple[int, ...], *, most: int = MOST_SIDE) -> tuple[int, int]:
    """Height and width in which a picture of that shape is drawn: its own, or scaled into the bounds.

    >>> drawn_size((64, 48)), drawn_size((3056, 2544)), drawn_size((600, 500))
    ((320, 240), (1024, 852), (600, 500))
    """
    longest = max(shape)
    scale = min(max(longest, LEAST_SIDE), most) / longest
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _resized(values: np.ndarray, size: tuple[int, int]) -> Float[np.ndarray, "a b"]:
    from PIL import Image

    if values.shape == size:
        return values.astype(np.float64)
    shrinks = values.shape[0] > size[0]
    how = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((size[1], size[0]), how), dtype=np.float64
    )


def _edges(inside: Bool[np.ndarray, "h w"]) -> tuple[Bool[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """The region's outermost pixels, and those next to them outside: a white line needs a dark one on bone."""
    wide = np.pad(inside, 1, mode="edge")
    around = np.stack([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
    return inside & ~around.all(0), ~inside & around.any(0)


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """The text in lines no wider than `width`."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
