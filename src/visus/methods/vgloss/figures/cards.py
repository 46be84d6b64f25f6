"""A picture above what it was taken for and the sentence that did most for it."""

from __future__ import annotations

import io
import textwrap

import numpy as np
from PIL import Image

from visus.drawing import BLUE, INK, plain

WIDE, MARGIN = 288, 8
"""Points."""
LETTERS, LINES = 52, 3


def draw_card(picture: Image.Image, head: str, sentence: str) -> bytes:
    """A PNG file."""
    words = textwrap.wrap(sentence, LETTERS)[:LINES]
    inside = WIDE - 2 * MARGIN
    wide = min(inside, inside * picture.width / picture.height)
    high = wide * picture.height / picture.width
    whole = MARGIN + high + 26 + 14 * len(words)
    figure, axes = plain(whole / 72, width=WIDE / 72)
    extent = (MARGIN, MARGIN + wide, MARGIN + high, MARGIN)
    axes.imshow(np.asarray(picture.convert("RGB")), extent=extent, interpolation="nearest")
    below = MARGIN + high + 18
    axes.text(MARGIN, below, head, fontsize=12, color=BLUE, fontweight="bold", va="baseline")
    for number, line in enumerate(words, 1):
        axes.text(MARGIN, below + 14 * number, line, fontsize=8.5, color=INK, va="baseline")
    axes.set(xlim=(0, WIDE), ylim=(whole, 0), aspect="auto")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
